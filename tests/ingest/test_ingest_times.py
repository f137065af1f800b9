"""Times as SDKs, warehouses and spreadsheets write them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from envelopes import envelope, ingest, rows_of, update
from relhealth.ingest.instants import epoch_us, read_instant
from tables import attempt, session, write_csv, write_lines, write_parquet

if TYPE_CHECKING:
    from pathlib import Path

NOON_US = 1_772_452_800_000_000  # 2026-03-02T12:00:00Z
TEXTS = [
    "2026-03-02T12:00:00Z", "2026-03-02t12:00:00z", "2026-03-02 12:00:00", "2026-03-02 12:00",
    "2026-03-02 12:00:00 UTC", "2026-03-02 12:00:00UTC", "2026-03-02 12:00:00 GMT",
    "2026-03-02 12:00:00 Z", "2026-03-02 13:00:00+0100", "2026-03-02 13:00:00+01",
    "2026-03-02 13:00:00 +0100", "2026-03-02 13:00:00.000 +01:00", "2026-03-02T04:00:00-08",
    "2026-03-02 12:00:00.000000000", "2026-03-02T12:00:00.0000000Z", "2026-03-02 12:00:00,000",
    "20260302T120000Z", "20260302120000", "2026/03/02 12:00:00", "2026-3-2 12:00:00",
    "Mon, 02 Mar 2026 12:00:00 GMT", "2 Mar 2026 13:00:00 +0100", " 2026-03-02 12:00:00 ",
    "2026-03-02 12:00:00 +0000 UTC", "2026-03-02 13:00:00.000000001 +0100 CET m=+0.0123",
    "2026-03-02 17:30:00 +0530 +0530", "2026-03-02T13:00:00+01:00[Europe/Paris]",
    "2026-03-02T12:00:00Z[UTC]", "2026-03-02 11:59:60", "2026-03-02T11:59:60Z",
    "Mon Mar 02 12:00:00 UTC 2026", "Mon Mar 02 13:00:00 GMT+01:00 2026",
    "Mon Mar  2 12:00:00 2026", "Mon Mar 02 13:00:00 +0100 2026",
    "Mon Mar 02 2026 12:00:00 GMT+0000 (Coordinated Universal Time)",
    "Mon Mar 02 2026 13:00:00 GMT+0100 (Mitteleuropäische Normalzeit)",
    "Mon Mar 02 2026 04:00:00 GMT-0800", "Mon, 02 Mar 2026 12:00:00 UTC",
    "1772452800", "1772452800.0", "1.7724528E9", "1772452800000", "1772452800000000",
    "1772452800000000000",
]  # fmt: skip
UNREADABLE = [
    "", "yesterday", "03/02/2026 12:00", "02.03.2026 12:00", "2026-13-01", "2026-02-30",
    "12:00:00", "2026-03-02 12:00:00 CET", "2026-03-02 25:00", "inf", "nan", "1e400", "0x10", "١٢",
    "2026-03-02 12:00:00 America/New_York", "Mon Mar 02 12:00:00 CET 2026",
    "Mon Mar 02 12:00:00 CST 2026", "Mon Mar 02 2026 12:00:00 (Central European Standard Time)",
    "2026-03-02 12:00:00 (CET)", "Tue Mar 02 12:00:00 UTC 2026", "Mon Foo 02 12:00:00 UTC 2026",
    "Mon Mar 32 12:00:00 UTC 2026", "2026-03-02 24:00:01", "2026-03-02 25:00:00",
    "2026-03-02 12:00:61", "2026-03-02 12:60:00", "Mon Mar 02 12:00:00 2026 (x)",
    "2026-03-02T12:00:00[Europe/Paris]", "9" * 5000, True, None, [], float("nan"),
    float("inf"), 10**400, 1e25,
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_texts_of_one_instant(text: str) -> None:
    assert epoch_us(text) == NOON_US


@pytest.mark.parametrize("value", UNREADABLE)
def test_what_is_no_instant(value: object) -> None:
    assert read_instant(value) is None


@pytest.mark.parametrize("zone", ["", "Z", " +0000 UTC"])
def test_the_end_of_a_day_is_the_next(zone: str) -> None:
    midnight = NOON_US + 12 * 3600 * 10**6
    assert epoch_us(f"2026-03-02 24:00{zone}") == midnight
    assert epoch_us(f"2026-03-02T24:00:00.000{zone}") == midnight
    assert epoch_us(f"2026-03-02 23:59:60.5{zone}") == midnight + 500_000


def test_nanoseconds_are_cut() -> None:
    assert epoch_us("2026-03-02T12:00:00.123456789Z") == NOON_US + 123_456
    assert epoch_us(1_772_452_800_123_456_789) == NOON_US + 123_456


UNITS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("kind", [int, float, str])
def test_units_of_numbers_are_told_by_size_and_reported(
    unit: str, kind: type, tmp_path: Path
) -> None:
    started = kind(1_772_452_800 * UNITS[unit])
    for name, write in (("csv", write_csv), ("jsonl", write_lines), ("parquet", write_parquet)):
        source = write(tmp_path / name, [session(0, started=started)])
        told = ingest(source, tmp_path / f"d{name}")
        assert told["times"] == {"started": {f"epoch {unit}": 1}}
        (at,) = {row[2] for row in rows_of(tmp_path / f"d{name}")}
        assert at == datetime(2026, 3, 2, 12, tzinfo=UTC)


COLUMNS: list[tuple[pa.DataType, Any]] = [
    *((pa.timestamp(unit), datetime(2026, 3, 2, 12)) for unit in ("s", "ms", "us", "ns")),  # noqa: DTZ001 - no zone is UTC
    (pa.timestamp("us", "UTC"), datetime(2026, 3, 2, 12, tzinfo=UTC)),
    (pa.timestamp("ns", "America/New_York"), datetime(2026, 3, 2, 12, tzinfo=UTC)),
    (pa.string(), "2026-03-02 12:00:00 UTC"),
    (pa.dictionary(pa.int32(), pa.string()), "2026-03-02T12:00:00Z"),
]


@pytest.mark.parametrize(("kind", "value"), COLUMNS, ids=[str(kind) for kind, _ in COLUMNS])
def test_columns_of_instants(kind: pa.DataType, value: Any, tmp_path: Path) -> None:
    source = write_parquet(tmp_path / "in", [session(0, started=value)], {"started": kind})
    ingest(source, tmp_path / "data")
    (at,) = {row[2] for row in rows_of(tmp_path / "data")}
    assert at == datetime(2026, 3, 2, 12, tzinfo=UTC)


def test_days_are_instants(tmp_path: Path) -> None:
    for kind in (pa.date32(), pa.date64()):
        rows = [session(0, started=date(2026, 3, 2))]
        ingest(write_parquet(tmp_path / "in", rows, {"started": kind}), tmp_path / str(kind))
        (at,) = {row[2] for row in rows_of(tmp_path / str(kind))}
        assert at == datetime(2026, 3, 2, tzinfo=UTC)


def test_an_unreadable_time_is_quoted_once_with_its_column(tmp_path: Path) -> None:
    rows = [session(n, started=f"day {n}") for n in range(50)]
    result = attempt(write_csv(tmp_path / "in.csv", rows), tmp_path / "data")
    assert "started: no readable time, such as 'day 0' and 'day 1'" in result.err
    assert result.err.count("day ") == 2


def test_mixed_units_are_mentioned(tmp_path: Path) -> None:
    rows = [session(0, started=1_772_452_800), session(1, started=1_772_452_800_000)]
    source = write_csv(tmp_path / "in.csv", rows)
    result = attempt(source, tmp_path / "data")
    assert f"{source}: started: units of time are mixed in this column" in result.err


@pytest.mark.parametrize("started", ["2026-03-02 12:00:00 UTC", 1_772_452_800_000, "1772452800"])
def test_updates_start_at_such_times_too(started: object, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.write_bytes(envelope(update(started=started), update("b" * 32)))
    assert ingest(source, tmp_path / "data")["sessions"] == 2
    (at,) = {row[2] for row in rows_of(tmp_path / "data")}
    assert at == datetime(2026, 3, 2, 12, tzinfo=UTC)
