"""What a footer says: the times of a file, what to skip; and pages that contradict it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

import rows
from files import (
    NOON_NS,
    NOW,
    PAIR,
    ZONES,
    damage,
    overview,
    sessions,
    various,
    with_timestamps,
    write,
)
from relhealth import DataError, ReleaseHealth
from relhealth.core.windows import Window
from relhealth.datasets.sources import open_sources
from rows import NOON, session, user

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("before", [1, 499, 500, 501, 999])
def test_nanoseconds_before_the_hour_are_before_it(
    tmp_path: Path, zone: str | None, before: int
) -> None:
    """Cut to microseconds and not rounded into the next hour: in the bucket from 11:00."""
    file = with_timestamps(tmp_path / "a.parquet", NOON_NS - before, kind=pa.timestamp("ns", zone))
    with ReleaseHealth(file) as health:
        (row,) = health.overview(health_stats_period="1h", now="2026-03-02T12:00:00Z").rows
        assert row.stats == {"1h": ((1_772_449_200, 1),)}
        assert health.inspect(now=NOW).last == NOON - timedelta(microseconds=1)


@pytest.mark.parametrize("zone", ZONES)
def test_nanoseconds_at_the_window_s_edges(tmp_path: Path, zone: str | None) -> None:
    """From 11:00 up to 12:00: its first and its last nanosecond, and none beyond."""
    hour = 3_600 * 10**9
    instants = [NOON_NS - hour - 1, NOON_NS - hour, NOON_NS - 1, NOON_NS]
    file = with_timestamps(tmp_path / "a.parquet", *instants, kind=pa.timestamp("ns", zone))
    with ReleaseHealth(file) as health:
        answer = health.overview(summary_stats_period="1h", now="2026-03-02T12:00:00Z")
        assert [row.total_sessions for row in answer.rows] == [2]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC"])
def test_rows_without_a_timestamp_are_told(tmp_path: Path, unit: str, zone: str | None) -> None:
    """They are in no window, but count in any unit, and beside other rows."""
    kind = {"timestamp": pa.timestamp(unit, zone)}
    write(tmp_path / "a.parquet", session(), session(timestamp=None), types=kind)
    write(tmp_path / "b.parquet", session(timestamp=None), types=kind)
    old = NOON - timedelta(days=400)
    write(tmp_path / "c.parquet", session(timestamp=old), session(timestamp=None), types=kind)
    with ReleaseHealth(tmp_path) as health:
        told = health.overview(now=NOW)
    assert told.invalid_rows == {"no timestamp": 3}
    assert [row.total_sessions for row in told.rows] == [1]


def test_a_file_knows_its_times(tmp_path: Path) -> None:
    """From the footer: first and last, in microseconds, over all its row groups."""
    later = NOON + HOUR
    for unit in ("ms", "us", "ns"):
        file = write(
            tmp_path / f"{unit}.parquet",
            session(timestamp=later),
            session(),
            types={"timestamp": pa.timestamp(unit, "UTC")},
            row_group_size=1,
        )
        (source,) = open_sources([file]).files
        assert (source.first_us, source.last_us) == (
            1_772_452_800_000_000,
            1_772_456_400_000_000,
        )


@pytest.mark.parametrize(
    ("start", "end", "overlaps"),
    [
        (NOON, NOON + HOUR, True),
        (NOON + HOUR, NOON + 2 * HOUR, True),  # its last row is the window's first instant
        (NOON + HOUR + timedelta(microseconds=1), NOON + 2 * HOUR, False),
        (NOON - HOUR, NOON + timedelta(microseconds=1), True),
        (NOON - HOUR, NOON, False),  # the window's end is not in it
    ],
)
def test_a_file_overlaps_a_window(
    tmp_path: Path, start: datetime, end: datetime, *, overlaps: bool
) -> None:
    file = write(tmp_path / "a.parquet", session(), session(timestamp=NOON + HOUR))
    (source,) = open_sources([file]).files
    assert source.overlaps(Window(start, end)) is overlaps


@pytest.mark.parametrize(
    "options",
    [
        {"write_statistics": False},
        {"use_deprecated_int96_timestamps": True},
    ],
    ids=str,
)
def test_a_file_that_does_not_know_its_times_is_read(
    tmp_path: Path, options: dict[str, bool]
) -> None:
    file = write(tmp_path / "a.parquet", **options)
    (source,) = open_sources([file]).files
    assert source.overlaps(Window(NOON + HOUR, NOON + 2 * HOUR))
    assert sessions(file) == {PAIR: 1}


@pytest.mark.parametrize("column", ["metric", "release", "session_status", "value", "member"])
@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
def test_a_damaged_file_is_named(tmp_path: Path, column: str, compression: str) -> None:
    """It alone, on one line, among good ones."""
    write(tmp_path / "a.parquet", *various(release="a@1"))
    bad = write(
        tmp_path / "b.parquet",
        *various(release="b@1"),
        *various(release="c@1"),
        compression=compression,
    )
    damage(bad, column)
    write(tmp_path / "c.parquet", *various(release="d@1"))
    with ReleaseHealth(tmp_path) as health, pytest.raises(DataError) as refusal:
        health.overview(now=NOW)
    (fault,) = refusal.value.faults
    assert "\n" not in fault
    assert fault.startswith(f"{bad}: damaged or changed while it was read; write it again (")


def test_a_file_that_changed_after_it_was_checked_is_named(tmp_path: Path) -> None:
    """Gone between two questions."""
    kept, gone = write(tmp_path / "a.parquet"), write(tmp_path / "b.parquet")
    with ReleaseHealth([kept, gone]) as health:
        assert len(health.overview(now=NOW)) == 1
        gone.unlink()
        with pytest.raises(DataError) as refusal:
            health.overview(now=NOW)
    (fault,) = refusal.value.faults
    assert fault.startswith(f"{gone}: ")


@pytest.mark.parametrize("kind", [pa.timestamp("us", "UTC"), pa.timestamp("ns")], ids=str)
def test_a_file_outside_the_window_is_not_read(tmp_path: Path, kind: pa.DataType) -> None:
    """Its footer gives its window; nobody reads its damaged pages."""
    old = NOON - timedelta(days=100)
    write(tmp_path / "new.parquet", *various(), types={"timestamp": kind})
    bad = write(tmp_path / "old.parquet", *various(timestamp=old), types={"timestamp": kind})
    for column in ("metric", "value", "member", "release"):
        damage(bad, column)
    with ReleaseHealth(tmp_path) as health:
        (row,) = health.overview(
            [PAIR], health_stats_period="30d", summary_stats_period="30d", now=NOW
        ).rows
        assert row.total_users == 200
        with pytest.raises(DataError):  # a question about that day does
            health.overview(now="2025-11-22T12:30:00Z")


@pytest.mark.parametrize("kind", [pa.timestamp("us", "UTC"), pa.timestamp("ns")], ids=str)
def test_a_row_group_outside_the_window_is_not_read(tmp_path: Path, kind: pa.DataType) -> None:
    old = NOON - timedelta(days=100)
    file = write(
        tmp_path / "a.parquet",
        *various(timestamp=old),
        *various(),
        types={"timestamp": kind},
        row_group_size=400,
    )
    damage(file, "value", row_group=0)
    ((_, row),) = overview(file).items()
    assert row.total_users == 200


def test_columns_that_no_figure_needs_are_not_read(tmp_path: Path) -> None:
    given = [row | {"abnormal_mechanism": f"m{n % 3}"} for n, row in enumerate(various())]
    file = damage(write(tmp_path / "a.parquet", *given), "abnormal_mechanism")
    with ReleaseHealth(file, engine="kernel") as health:
        (row,) = health.overview(now=NOW).rows
    assert row.total_users == 200


def newest(*sources: Path) -> datetime:
    """The instant that `latest` means."""
    with ReleaseHealth(sources) as health:
        return health.overview(now="latest").scope.now


def test_latest_is_a_second_after_the_newest_row(tmp_path: Path) -> None:
    """So that on the hour, too, the row lies in the window."""
    file = write(tmp_path / "a.parquet", session(timestamp=NOON - HOUR), session())
    assert newest(file) == NOON + SECOND
    assert overview(file, now="latest")[PAIR].total_sessions == 2


def test_latest_over_several_files(tmp_path: Path) -> None:
    """The newest row is in the last file by the footers, or in one without statistics."""
    write(tmp_path / "a.parquet", session(timestamp=NOON + HOUR))
    write(tmp_path / "b.parquet", session())
    assert newest(tmp_path) == NOON + HOUR + SECOND
    write(tmp_path / "c.parquet", session(timestamp=NOON + 2 * HOUR), write_statistics=False)
    assert newest(tmp_path) == NOON + 2 * HOUR + SECOND


def test_latest_passes_over_other_metrics(tmp_path: Path) -> None:
    """In the same file, and if an entire file of them is newer."""
    other = session(metric="c:transactions/count@none", timestamp=NOON + HOUR)
    write(tmp_path / "a.parquet", session(), other)
    write(tmp_path / "b.parquet", other | {"timestamp": NOON + 2 * HOUR})
    assert newest(tmp_path) == NOON + SECOND


def test_latest_of_any_session_metric(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", session(), user(1, timestamp=NOON + HOUR))
    write(tmp_path / "b.parquet", rows.error(1, timestamp=NOON + 2 * HOUR))
    assert newest(tmp_path / "a.parquet") == NOON + HOUR + SECOND
    assert newest(tmp_path) == NOON + 2 * HOUR + SECOND


def test_latest_of_nanoseconds(tmp_path: Path) -> None:
    """Cut to microseconds, as everywhere."""
    file = with_timestamps(tmp_path / "a.parquet", NOON_NS - 1, None, kind=pa.timestamp("ns"))
    assert newest(file) == NOON - timedelta(microseconds=1) + SECOND


def test_latest_without_a_session_metric(tmp_path: Path) -> None:
    file = write(tmp_path / "a.parquet", session(metric="c:transactions/count@none"))
    with pytest.raises(DataError, match=r"no session metric in 1 file\b"):
        newest(file)


@pytest.mark.parametrize("microseconds", [10**18, 253_402_300_799_000_000, -(10**17)])
def test_latest_where_the_data_leave_the_calendar(tmp_path: Path, microseconds: int) -> None:
    """Years 33658, 9999 and -1199: bad data, not a fault of the program."""
    with_timestamps(tmp_path / "a.parquet", microseconds, kind=pa.timestamp("us", "UTC"))
    with pytest.raises(DataError):
        newest(tmp_path)


def test_times_out_of_the_calendar_are_no_obstacle_to_other_questions(tmp_path: Path) -> None:
    """A row of the year 33658 is in no possible window."""
    stored = (10**18, NOON_NS // 1_000)
    with_timestamps(tmp_path / "a.parquet", *stored, kind=pa.timestamp("us", "UTC"))
    assert overview(tmp_path)[PAIR].total_sessions == 1
    assert overview(tmp_path, now="2020-01-01") == {}


def test_newest_of_utc_midnight(tmp_path: Path) -> None:
    """A zone in the file changes how an instant was written, not the instant."""
    midnight = datetime(2026, 3, 3, tzinfo=UTC)
    kind = {"timestamp": pa.timestamp("us", "America/St_Johns")}
    assert newest(write(tmp_path / "a.parquet", session(timestamp=midnight), types=kind)) == (
        midnight + SECOND
    )
