"""What all tests share: options, and an environment that does not affect output."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

import pytest
from hypothesis import settings

from clusters import sail
from paths import by
from process import STEERING

if TYPE_CHECKING:
    from collections.abc import Iterator

# A busy machine is no failure.
settings.register_profile("relhealth", parent=settings(), deadline=None, max_examples=60)
settings.load_profile("relhealth")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the suite's own options."""
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="remake the files of tests/golden/; read the diff before you commit it",
    )

    parser.addoption(
        "--part",
        metavar="K/N",
        help="run one of N parts of the tests, of about the same size; K is from 0 to N - 1",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests of the part that was asked for."""
    if config.option.part is None:
        return
    part, parts = map(int, config.option.part.split("/"))
    left_out = [one for one in items if crc32(one.nodeid.encode()) % parts != part]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [one for one in items if crc32(one.nodeid.encode()) % parts == part]


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Run files that are named in this process, which starts sooner; the full suite on all cores.

    ``-n`` overrules it.
    """
    return 0 if config.option.file_or_dir else None


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every test without the variables by which a caller steers colour, width and now."""
    for name in STEERING:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session", autouse=True)
def unsynced() -> Iterator[None]:
    """Leave files to the system's cache: no test cuts the power, and to wait for disks takes long.

    Processes that tests start do wait.
    """
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that anyone may enter and write to; pytest's own are for one user alone."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder
        for path in folder.rglob("*"):  # so that who made it may remove it
            path.chmod(0o700)


@pytest.fixture(scope="module", params=["kernel", "duckdb", "rollup"])
def over(request: pytest.FixtureRequest) -> Iterator[None]:
    """Have a module's questions answered from its files, and again from their rollup."""
    with by(request.param):
        yield


@pytest.fixture(scope="module", params=["kernel", "duckdb", "rollup", "sail"])
def over_clusters_too(request: pytest.FixtureRequest) -> Iterator[None]:
    """Have a module's questions answered as by ``over``, and by a cluster, which takes longer."""
    with by(sail() if request.param == "sail" else request.param):
        yield
