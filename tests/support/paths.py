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

            def rollup_of(_: Opened, sources: Sources) -> Rollup | None:
                return _rolled_up(sources, Path(folder)) if sources.files else None

            patched.setattr(Opened, "_rollup_of", rollup_of)
            patched.setattr("relhealth.rollup.disk.sync", lambda _: None)  # takes its time
        if path.startswith("sc://"):
            patched.setattr(opened, "_on_cluster", lambda *_: True)
            patched.setattr(opened, "named_on_cluster", _on_this_machine)
            patched.setattr(session, "Session", lambda *_: Session(path))
        yield


def _on_this_machine(named: Sequence[str | os.PathLike[str]]) -> list[str]:
    return [f"file://{os.path.abspath(source)}" for source in named]


def _rolled_up(sources: Sources, folder: Path) -> Rollup:
    """Make a rollup of just these files, wherever they are."""
    root = folder / str(len(os.listdir(folder)))
    for file in sources.files:
        link = root.joinpath(*Path(file.absolute).parts[1:])  # its folders may be columns
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file.absolute)
    make(root)
    opening = Rollup.open(root)
    assert opening.rollup is not None, opening.reason
    return opening.rollup
