"""The servers of this room, one of each for all tests of a process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from object_stores import KEYS, gcs_server, s3_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from object_stores import S3, Gcs


@pytest.fixture(scope="session")
def s3_process() -> Iterator[S3]:
    with s3_server() as store:
        yield store


@pytest.fixture(scope="session")
def gcs_process() -> Iterator[Gcs]:
    with gcs_server() as store:
        yield store


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, still empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "relhealth"


@pytest.fixture
def s3(s3_process: S3, cache: Path, monkeypatch: pytest.MonkeyPatch) -> S3:  # noqa: ARG001
    """A store that commands find by the usual variables."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_process.proxy.endpoint)
    s3_process.proxy.reset()
    return s3_process


@pytest.fixture
def gcs(gcs_process: Gcs, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Gcs:  # noqa: ARG001
    """A store that commands find by the usual variable."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_process.endpoint)
    return gcs_process
