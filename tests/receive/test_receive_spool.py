"""The spool keeps what was acknowledged, whatever a kill or a disk leaves of its files."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relhealth.ingest import envelopes
from relhealth.ingest.staging import AcceptedSpan, Stage
from relhealth.receive import frames
from relhealth.receive.spool import FullError, Spool, taken_over

if TYPE_CHECKING:
    from pathlib import Path

ITEMS = st.lists(
    st.tuples(
        st.integers(min_value=1, max_value=10**18 - 1),
        st.binary(min_size=1, max_size=60).map(lambda one: frames.item("session", one)),
    ),
    max_size=6,
)
FUNCTION = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def written(items: list[tuple[int, bytes]]) -> tuple[bytes, list[int]]:
    """Return a file of frames, and where each frame ends."""
    content, ends = frames.beginning(), []
    for project, item in items:
        content += frames.frame(project, item)
        ends.append(len(content))
    return content, ends


def mended(path: Path, content: bytes) -> bytes:
    """Return what is left of a file once it is taken over."""
    path.write_bytes(content)
    with path.open("r+b") as file:
        frames.mend(file.fileno())
    return path.read_bytes()


@FUNCTION
@given(items=ITEMS, cut=st.integers(min_value=0, max_value=2_000))
def test_any_cut_keeps_what_was_complete(
    items: list[tuple[int, bytes]], cut: int, tmp_path: Path
) -> None:
    content, ends = written(items)
    at = cut % (len(content) + 1)
    kept = [end for end in ends if end <= at]
    left = mended(tmp_path / "file", content[:at])
    if kept:
        assert left == content[: kept[-1]]
    else:
        assert len(left) <= len(frames.beginning())


@FUNCTION
@given(items=ITEMS, place=st.integers(min_value=0, max_value=10_000), flip=st.integers(1, 255))
def test_damage_costs_one_frame(
    items: list[tuple[int, bytes]], place: int, flip: int, tmp_path: Path
) -> None:
    content, ends = written(items)
    at = place % len(content)
    damaged = content[:at] + bytes([content[at] ^ flip]) + content[at + 1 :]
    left = mended(tmp_path / "file", damaged)
    begins = [len(frames.beginning()), *ends]
    for begin, end in zip(begins, ends, strict=False):
        if not begin <= at < end:
            assert content[begin:end] in left
    assert mended(tmp_path / "file", left) == left  # so that it is the same input again


@FUNCTION
@given(items=ITEMS, end=st.binary(max_size=200))
def test_a_torn_end_is_left_out(items: list[tuple[int, bytes]], end: bytes, tmp_path: Path) -> None:
    content, _ = written(items)
    assert mended(tmp_path / "file", content + end) == content


def test_two_files_are_never_the_same_input() -> None:
    assert frames.beginning() != frames.beginning()


@pytest.mark.parametrize("payload", [b'{"sid":"a"}', b'{"sid":\n"a"}', b'{"sid":"a"}\r', b"{\r\n}"])
def test_an_ingest_reads_what_was_spooled(payload: bytes, tmp_path: Path) -> None:
    """Each item comes out as it went in, of its project."""
    seen: list[tuple[bytes, int | None]] = []
    stage = Stage(tmp_path, AcceptedSpan.until(None, "90d"))
    stage.reject = lambda _source, _reason, item, _example=None: seen.append((item, None))  # type: ignore[assignment]
    content, _ = written(
        [(7, frames.item("session", payload) * 2), (8, frames.item("sessions", b"{}"))]
    )
    with stage:
        envelopes.read(io.BytesIO(content), "spool", stage, project=None, org=None)
    assert [item for item, _ in seen] == [payload.removesuffix(b"\r")] * 2
    assert stage.tally.accepted["sessions"] == 1


def spooled(folder: Path) -> bytes:
    """Return what is in the files of a spool, without their first lines."""
    parts = [path.read_bytes() for path in sorted(folder.glob("*.envelopes"))]
    return b"".join(part[len(frames.beginning()) :] for part in parts)


def test_requests_share_a_sync(tmp_path: Path) -> None:
    async def add() -> int:
        spool = Spool(tmp_path, 10**6)
        await asyncio.gather(*(spool.add(1, b"%d\n" % number) for number in range(500)))
        syncs = spool.syncs
        assert spool.size == sum(path.stat().st_size for path in spool.folder.iterdir())
        await spool.close()
        return syncs

    tmp_path.mkdir(exist_ok=True)
    assert asyncio.run(add()) <= 3
    for number in range(500):
        assert b"\n%d\n" % number in spooled(tmp_path / "_spool")


def test_a_full_spool_takes_nothing(tmp_path: Path) -> None:
    async def fill() -> None:
        spool = Spool(tmp_path, 1_000)
        await spool.add(1, b"a" * 1_000)
        assert spool.is_full
        with pytest.raises(FullError):
            await spool.add(1, b"b")
        for path in spool.folder.iterdir():
            path.unlink()
        await spool.rotate()
        await spool.add(1, b"c")
        await spool.close()

    asyncio.run(fill())
    assert b"b" not in spooled(tmp_path / "_spool")


def test_a_removed_data_set_is_made_again(tmp_path: Path) -> None:
    """Nothing is acknowledged that is in a file which is no longer there."""

    async def remove() -> None:
        spool = Spool(tmp_path / "data", 10**6)
        await spool.add(1, b"a")
        shutil.rmtree(tmp_path / "data")
        await spool.add(1, b"b")
        assert b"b" in spooled(spool.folder)
        shutil.rmtree(tmp_path / "data")
        await spool.rotate()
        assert spool.size == 0
        await spool.add(1, b"c")
        await spool.close()

    asyncio.run(remove())
    assert b"c" in spooled(tmp_path / "data" / "_spool")


@pytest.mark.parametrize("failing", ["write", "fdatasync"])
def test_a_failed_write_is_no_acknowledgement(
    failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And leaves nothing behind that would count."""
    working = getattr(os, failing)
    broken: list[bool] = []

    def fail(descriptor: int, *given: bytes) -> int:
        if not broken:
            return int(working(descriptor, *given) or 0)
        if failing == "write":
            working(descriptor, bytes(given[0])[:9])
        raise OSError(28, "No space left on device")

    async def add() -> None:
        spool = Spool(tmp_path, 10**6)
        await spool.add(1, b"before\n")
        monkeypatch.setattr(os, failing, fail)
        broken.append(True)
        for _ in range(2):
            with pytest.raises(FullError):
                await spool.add(1, b"refused\n")
        failed = [spool.failed is not None]
        broken.clear()
        await spool.add(1, b"after\n")
        assert [*failed, spool.failed is not None] == [True, False]
        await spool.close()

    asyncio.run(add())
    found = spooled(tmp_path / "_spool")
    assert (found.count(b"before"), found.count(b"refused"), found.count(b"after")) == (1, 0, 1)


def test_only_the_files_of_the_dead_are_taken_over(tmp_path: Path) -> None:
    async def run() -> None:
        spool = Spool(tmp_path, 10**6)
        await spool.add(1, b"mine\n")
        dead = spool.folder / "0-dead.envelopes"
        dead.write_bytes(frames.beginning())
        with taken_over(spool.folder) as first, taken_over(spool.folder) as second:
            assert [path for path, _ in first] == [dead]
            assert second == []
        await spool.rotate()
        with taken_over(spool.folder) as all_of_them:
            assert len(all_of_them) == 2
        await spool.close()

    asyncio.run(run())
