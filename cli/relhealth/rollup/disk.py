"""Writing a rollup so that a kill at any moment leaves the old one or the new one."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from relhealth.errors import OutputError
from relhealth.printable import printable
from relhealth.rollup.manifest import FOLDER, LOCK, MANIFEST, Manifest

_SYNC_THREADS = 4


@contextmanager
def locked(root: str, waiting: Callable[[], None]) -> Iterator[Path]:
    """Hold the lock of a data set's rollup; yield its folder, made if need be.

    ``waiting`` is called once when another run holds it. Raises ``OutputError`` where the folder
    cannot be written.
    """
    folder = Path(root, FOLDER)
    try:
        folder.mkdir(exist_ok=True)
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise OutputError(
            f"{printable(str(folder))}: cannot write the rollup:"
            f" {(error.strerror or str(error)).lower()}"
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield folder
    finally:
        os.close(descriptor)


def clean(folder: Path, manifest: Manifest | None) -> None:
    """Remove what no manifest names: files of runs that were killed, and of older rollups."""
    kept = {LOCK, MANIFEST} | (manifest.folders() if manifest else set())
    for one in list(os.scandir(folder)):
        if one.name not in kept:
            _remove(one)


def clean_run(folder: Path, run: str, manifest: Manifest | None) -> None:
    """Remove what a run wrote and no manifest names."""
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
    """Make the rollup what the manifest names; its files are written and synced already."""
    sync(folder)
    new = folder / f"{MANIFEST}.new"
    with new.open("wb") as stream:
        stream.write(manifest.to_json())
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(new, folder / MANIFEST)
    sync(folder)


class Syncing:
    """Has folders on disk while others are still written: a sync waits, and does no work."""

    def __init__(self) -> None:
        """Start no thread yet."""
        self._pool = ThreadPoolExecutor(_SYNC_THREADS, thread_name_prefix="relhealth-sync")
        self._pending: list[Future[None]] = []

    def add(self, folder: Path) -> dict[str, int]:
        """Begin to sync a folder's files and the folder; return the bytes of each file."""
        files = sorted(folder.iterdir())
        self._pending.append(self._pool.submit(_sync_all, [*files, folder]))
        return {file.name: file.stat().st_size for file in files}

    def wait(self) -> None:
        """Return once all is on disk; raise what went wrong."""
        for future in self._pending:
            future.result()
        self._pending.clear()

    def close(self) -> None:
        """Let go of the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def _sync_all(paths: list[Path]) -> None:
    for path in paths:
        sync(path)


def sync(path: Path) -> None:
    """Have a file or folder on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
