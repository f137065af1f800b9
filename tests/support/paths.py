"""The ways to an answer; each gives the same one."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from relhealth.engines import choose
from relhealth.engines.duckdb import engine as duckdb_engine
from relhealth.engines.rollup.reader import Rollup
from relhealth.engines.spark import session
from relhealth.engines.spark.session import Session
from relhealth.questions import opened
from relhealth.questions.opened import Opened
from relhealth.rollup.build import make

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from relhealth.datasets.sources import Sources

# Further paths are the addresses of Spark Connect servers.
# The kernel, where it refuses nothing; DuckDB, on rows that it loads; DuckDB, on a view of the
# files; a rollup.
PATHS = ("kernel", "duckdb", "view", "rollup")


@contextmanager
def by(path: str) -> Iterator[None]:
    """Have every question answered by one of the paths."""
    with pytest.MonkeyPatch.context() as patched, TemporaryDirectory() as folder:
        patched.setattr(choose, "KERNEL_FROM", 0 if path == "kernel" else 2**63)
        if path == "view":
            patched.setattr(duckdb_engine, "MOST_LOADED", -1)
        if path == "rollup":
            rollups = _Rollups(Path(folder))

            def rollup_of(_: Opened, sources: Sources) -> Rollup | None:
                return rollups.of(sources) if sources.files else None

            patched.setattr(Opened, "_rollup_of", rollup_of)
        if path.startswith("sc://"):
            patched.setattr(opened, "_on_cluster", lambda *_: True)
            patched.setattr(opened, "named_on_cluster", _on_this_machine)
            patched.setattr(session, "Session", lambda *_: Session(path))
        yield


class _Rollups:
    """A rollup of each set of files, wherever they are; another when one has changed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._roots: dict[tuple[str, ...], str] = {}

    def of(self, sources: Sources) -> Rollup:
        files = tuple(file.absolute for file in sources.files)
        root = self._roots.get(files)
        if root is None or _opened(root).stale(self._links(root, files)) is not None:
            root = self._roots[files] = str(self._folder / str(len(os.listdir(self._folder))))
            for file, link in zip(files, self._links(root, files), strict=True):
                os.makedirs(os.path.dirname(link), exist_ok=True)
                os.symlink(file, link)
            make(root)
        return _opened(root)

    @staticmethod
    def _links(root: str, files: tuple[str, ...]) -> list[str]:
        return [os.path.join(root, file.lstrip("/")) for file in files]  # folders may be columns


def _on_this_machine(named: Sequence[str | os.PathLike[str]]) -> list[str]:
    return [f"file://{os.path.abspath(source)}" for source in named]


def _opened(root: str) -> Rollup:
    opening = Rollup.open(root)
    assert opening.rollup is not None, opening.reason
    return opening.rollup
