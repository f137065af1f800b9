"""Parquet files of every make, and the answers over them."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import rows
from engines import duckdb_over
from relhealth import DataError, ReleaseHealth
from relhealth.datasets.sources import open_sources
from rows import NOON, session, user
from sessions import CONTRACT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relhealth.questions.overview import ReleaseOverview

NOW = "2026-03-02T12:30:00Z"
PAIR = (1, rows.RELEASE)
NOON_NS = 1_772_452_800 * 10**9  # nanoseconds since the epoch

INTEGERS = ["org_id", "project_id", "member"]
TEXTS = ["metric", "release", "environment", "session_status", "abnormal_mechanism"]
ZONES = [None, "UTC", "America/St_Johns", "+05:45"]
KINDS_OF_TEXT = [
    pa.large_string(),
    pa.string_view(),
    pa.dictionary(pa.int8(), pa.string()),
    pa.dictionary(pa.int32(), pa.large_string()),
]
KINDS_OF_TIMESTAMP = [
    pa.timestamp(unit, zone) for unit in ("s", "ms", "us", "ns") for zone in ZONES
]


def write(path: Path, *given: rows.Row, **options: Any) -> Path:
    """Write a file, of one session of `shop@1.0.0` unless rows are given, and its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    types, without = options.pop("types", None), options.pop("without", ())
    # A handle and not a path, in which pyarrow would read meaning.
    with path.open("wb") as file:
        pq.write_table(
            rows.table(given or [session()], types=types, without=without), file, **options
        )
    return path


def with_column(name: str, array: pa.Array, base: Sequence[rows.Row] = ()) -> pa.Table:
    """Return the contract's table with one column of another type."""
    table = rows.table(base or [session()] * len(array))
    return table.set_column(table.schema.get_field_index(name), name, array)


def with_timestamps(path: Path, *stored: int | None, kind: pa.DataType) -> Path:
    """Write a session at each instant, as stored: a number of the unit since the epoch."""
    pq.write_table(with_column("timestamp", pa.array(stored, pa.int64()).cast(kind)), path)
    return path


def various(timestamp: datetime = NOON, **columns: Any) -> list[rows.Row]:
    """200 sessions and 200 users, which statistics without the pages cannot show."""
    return [
        row
        for number in range(200)
        for row in (
            session(timestamp=timestamp, value=float(number % 7), **columns),
            user(number, timestamp=timestamp, **columns),
        )
    ]


def damage(path: Path, column: str, *, row_group: int = 0) -> Path:
    """Overwrite the pages of one column, leaving the footer as it is."""
    chunk = pq.ParquetFile(path).metadata.row_group(row_group).column(list(CONTRACT).index(column))
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    content = bytearray(path.read_bytes())
    content[start : start + chunk.total_compressed_size] = b"\xff" * chunk.total_compressed_size
    path.write_bytes(content)
    return path


def found(*sources: str | Path) -> list[str]:
    """Return the files that are read, by name."""
    return [Path(file.path).name for file in open_sources(sources).files]


def faults(*sources: str | Path) -> list[str]:
    """Return what the sources are refused for, one line a fault."""
    with pytest.raises(DataError) as refusal:
        open_sources(sources)
    lines = str(refusal.value).split("\n")
    assert lines == list(refusal.value.faults)
    return lines


def sessions(*sources: str | Path) -> dict[tuple[int, str], int]:
    """Return the sessions of each project and release, of all time: one template's answer."""
    always = {"start": datetime(1, 1, 1, tzinfo=UTC), "end": datetime(9999, 1, 1, tzinfo=UTC)}
    anyone = dict.fromkeys(["projects", "releases", "environments"])
    with closing(duckdb_over(*sources)) as engine:
        answer = engine.rows("sessions_by_status", {**always, **anyone})
    return {(row["project_id"], row["release"]): row["sessions"] for row in answer}


def overview(*sources: str | Path, now: str = NOW) -> dict[tuple[int, str], ReleaseOverview]:
    """Return the overview of all releases in the sources."""
    with ReleaseHealth(sources) as health:
        return dict(health.overview(now=now))
