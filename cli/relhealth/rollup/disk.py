"""Writes a rollup so that a kill at any moment leaves the old one or the new one."""

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from relhealth.machine.durable import sync, write
from relhealth.machine.workers import Workers
from relhealth.rollup.manifest import MANIFEST, Manifest

# The names that runs give to files; other files belong to somebody else.
_OURS = re.compile(r"(\d{4}-\d\d-\d\d|undated|names|staging)-\d{12}[0-9a-f]{6}|manifest\.json\.new")
_SYNC_THREADS = 4  # they only wait


def clean(folder: Path, manifest: Manifest | None) -> None:
    """Remove files of killed runs and older rollups, which the manifest does not name."""
    kept = manifest.folders() if manifest else set()
    for one in list(os.scandir(folder)):
        if _OURS.fullmatch(one.name) and one.name not in kept:
            _remove(one)


def clean_run(folder: Path, run: str, manifest: Manifest | None) -> None:
    """Remove the files of a run that the manifest does not name."""
    kept = manifest.folders() if manifest else set()
    for one in list(os.scandir(folder)):
        if one.name.endswith(f"-{run}") and one.name not in kept:
            _remove(one)


def _remove(one: "os.DirEntry[str]") -> None:
    if one.is_dir(follow_symlinks=False):
        shutil.rmtree(one.path, ignore_errors=True)
    else:
        os.unlink(one.path)


def publish(folder: Path, manifest: Manifest) -> None:
    """Write the manifest; its files must already be written and synced."""
    sync(folder)
    write(folder / MANIFEST, manifest.to_json())


def sync_all(folders: Sequence[Path]) -> None:
    """Sync folders and their files."""
    for _ in Workers(_SYNC_THREADS).each(_sync_folder, folders):
        pass


def _sync_folder(folder: Path) -> None:
    for file in folder.iterdir():
        sync(file)
    sync(folder)
