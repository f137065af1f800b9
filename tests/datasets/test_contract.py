"""The data contract: what each column may be, and that files of every make answer as one."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import rows
from files import (
    INTEGERS,
    KINDS_OF_TEXT,
    KINDS_OF_TIMESTAMP,
    NOW,
    PAIR,
    TEXTS,
    faults,
    overview,
    sessions,
    with_column,
    write,
)
from relhealth import ReleaseHealth
from relhealth.datasets.contract import COLUMNS
from relhealth.datasets.sources import open_sources
from rows import NOON, session, user
from sessions import CONTRACT

if TYPE_CHECKING:
    from collections.abc import Callable

REQUIRED = [column.name for column in COLUMNS if column.required]


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_column(tmp_path: Path, name: str) -> None:
    kinds = {column.name: column.kind.value for column in COLUMNS}
    file = write(tmp_path / "a.parquet", without=[name])
    assert faults(file) == [f"{file}: column {name}: missing, expected {kinds[name]}"]


def test_required_columns_are_those_of_the_design() -> None:
    assert REQUIRED == [
        "project_id",
        "timestamp",
        "metric",
        "release",
        "environment",
        "session_status",
        "value",
        "member",
    ]


def test_optional_columns_may_be_missing(tmp_path: Path) -> None:
    file = write(tmp_path / "a.parquet", without=["org_id", "abnormal_mechanism"])
    assert sessions(file) == {PAIR: 1}


def test_other_columns_are_not_read(tmp_path: Path) -> None:
    """Whatever their type and name."""
    table = rows.table([session()])
    table = table.append_column("tags", pa.array([[{"a": 1}]]))
    table = table.append_column("o'dd \"name", pa.array([1]))
    pq.write_table(table, tmp_path / "a.parquet")
    assert sessions(tmp_path) == {PAIR: 1}


WRONG_TYPES = [
    *[
        (name, array, "an integer", shown)
        for name in INTEGERS
        for array, shown in [
            (pa.array(["1"]), "string"),
            (pa.array([1.0]), "double"),
            (pa.array([Decimal("1.0")]), "decimal128(2, 1)"),
            (pa.array([Decimal(1)], pa.decimal256(39, 0)), "decimal256(39, 0)"),
            (pa.array([True]), "bool"),
            (pa.array(["1"]).dictionary_encode(), "dictionary<values=string, "),
        ]
    ],
    *[
        ("timestamp", array, "a timestamp", shown)
        for array, shown in [
            (pa.array([1_772_452_800]), "int64"),
            (pa.array([1.0]), "double"),
            (pa.array([True]), "bool"),
            (pa.array([NOON.time()]), "time64[us]"),
        ]
    ],
    *[
        (name, array, "a string", shown)
        for name in TEXTS
        for array, shown in [
            (pa.array([1]), "int64"),
            (pa.array([True]), "bool"),
            (pa.array([["a"]]), "list<element: string>"),
        ]
    ],
    *[
        ("value", array, "a number", shown)
        for array, shown in [
            (pa.array(["1"]), "string"),
            (pa.array([True]), "bool"),
            (pa.array([{"value": 1.0}]), "struct<value: double>"),
            (pa.array([timedelta(seconds=1)]), "duration[us]"),
        ]
    ],
]


@pytest.mark.parametrize(
    ("name", "array", "expected", "shown"),
    WRONG_TYPES,
    ids=[f"{name}-{array.type}" for name, array, *_ in WRONG_TYPES],
)
def test_a_column_of_the_wrong_type(
    tmp_path: Path, name: str, array: pa.Array, expected: str, shown: str
) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(with_column(name, array), file)
    (fault,) = faults(file)
    assert fault.startswith(f"{file}: column {name}: found {shown}")
    assert f", expected {expected}; write it as " in fault


COUNTED = [session(value=2.0), session("crashed", value=1.0), user(7), user(8)]
KINDS_OF_INTEGER = [
    *[pa.int8(), pa.int16(), pa.int32(), pa.int64()],
    *[pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()],
]
KINDS_OF_NUMBER = [pa.float16(), pa.float32(), pa.float64(), *KINDS_OF_INTEGER]


def check_counted(*sources: Path) -> None:
    """2 sessions, 1 of them crashed, and 2 users, at noon, in any types."""
    ((pair, row),) = overview(*sources).items()
    assert pair == PAIR
    assert (row.total_sessions, row.sessions_crashed, row.total_users) == (2, 1, 2)
    # Noon lies in the window that ends at one, and not in the one that ends at noon.
    assert overview(*sources, now="2026-03-02T12:00:00Z") == {}


@pytest.mark.parametrize("kind", KINDS_OF_TEXT, ids=str)
def test_compatible_text(tmp_path: Path, kind: pa.DataType) -> None:
    file = write(tmp_path / "a.parquet", *COUNTED, types=dict.fromkeys(TEXTS, kind))
    check_counted(file)


@pytest.mark.parametrize("kind", KINDS_OF_INTEGER, ids=str)
def test_compatible_integers(tmp_path: Path, kind: pa.DataType) -> None:
    file = write(tmp_path / "a.parquet", *COUNTED, types=dict.fromkeys(INTEGERS, kind))
    check_counted(file)


@pytest.mark.parametrize("kind", KINDS_OF_NUMBER, ids=str)
def test_compatible_numbers(tmp_path: Path, kind: pa.DataType) -> None:
    plain = rows.table(COUNTED)["value"].combine_chunks()
    pq.write_table(with_column("value", plain.cast(kind), COUNTED), tmp_path / "a.parquet")
    check_counted(tmp_path)


@pytest.mark.parametrize("kind", [pa.decimal128(18, 0), pa.decimal128(38, 6)], ids=str)
def test_compatible_decimals(tmp_path: Path, kind: pa.DataType) -> None:
    values = pa.array([Decimal(2), Decimal(1), None, None], kind)
    pq.write_table(with_column("value", values, COUNTED), tmp_path / "a.parquet")
    check_counted(tmp_path)


@pytest.mark.parametrize("kind", KINDS_OF_TIMESTAMP, ids=str)
def test_compatible_timestamps(tmp_path: Path, kind: pa.DataType) -> None:
    """Any unit and any zone; without a zone it is UTC."""
    instants = [row["timestamp"].replace(tzinfo=None) for row in COUNTED]
    utc = pa.array(instants, pa.timestamp("us")).cast(pa.timestamp(kind.unit, kind.tz and "UTC"))
    written = utc.cast(kind)
    pq.write_table(with_column("timestamp", written, COUNTED), tmp_path / "a.parquet")
    check_counted(tmp_path)


def test_compatible_int96(tmp_path: Path) -> None:
    """The timestamps of old Spark and Impala, which have no statistics."""
    file = write(tmp_path / "a.parquet", *COUNTED, use_deprecated_int96_timestamps=True)
    assert pq.ParquetFile(file).schema.column(2).physical_type == "INT96"
    check_counted(file)


@pytest.mark.parametrize("kind", [np.uint64, np.float64])
def test_counters_are_exact_up_to_the_cap(tmp_path: Path, kind: type) -> None:
    """Beyond it they are invalid, also as integers that a double would round to another one."""
    pairs = ([2**32 - 1, 2**32], [2**32 + 1, 1], [2**53 + 1, 1], [2**64 - 2**11, 1])
    for number, pair in enumerate(pairs):
        values = pa.array(np.array(pair, dtype=kind))
        pq.write_table(with_column("value", values), tmp_path / f"{number}.parquet")
    assert sessions(tmp_path) == {PAIR: 2**33 - 1 + 3}
    with ReleaseHealth(tmp_path) as health:
        assert sum(health.overview(now=NOW).invalid_rows.values()) == 3


@pytest.mark.parametrize("name", list(CONTRACT))
def test_a_column_without_a_single_value(tmp_path: Path, name: str) -> None:
    """Written with the null type, it reads as nulls of the contract's type."""
    written = [row | {name: None} for row in COUNTED]
    file = write(tmp_path / "a.parquet", *written, types={name: pa.null()})
    same = write(tmp_path / "b.parquet", *written)
    with ReleaseHealth(file) as null, ReleaseHealth(same) as typed:
        one, other = null.overview(now=NOW), typed.overview(now=NOW)
    assert one.rows == other.rows
    assert one.invalid_rows == other.invalid_rows


@pytest.mark.parametrize("rename", [str.upper, str.title])
def test_names_in_another_case(tmp_path: Path, rename: Callable[[str], str]) -> None:
    table = rows.table([session(org_id=1), user(2, org_id=1)])
    pq.write_table(table, tmp_path / "plain.parquet")
    pq.write_table(table.rename_columns(list(map(rename, CONTRACT))), tmp_path / "other.parquet")
    assert overview(tmp_path / "other.parquet") == overview(tmp_path / "plain.parquet")
    with ReleaseHealth(tmp_path / "other.parquet") as health:
        assert health.inspect().organisations == (1,)


def test_names_that_differ_in_case_alone(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(rows.table([session()]).append_column("Release", pa.array(["x"])), file)
    (fault,) = faults(file)
    assert fault == (
        f"{file}: column release: found also as 'Release', expected one spelling;"
        " rename or leave out one of them"
    )


def test_a_column_that_is_there_twice(tmp_path: Path) -> None:
    """Which of them would count?"""
    file = tmp_path / "a.parquet"
    pq.write_table(rows.table([session()]).append_column("value", pa.array([5.0])), file)
    (fault,) = faults(file)
    assert fault.startswith(f"{file}: column value: ")


def test_all_faults_of_a_file_are_told(tmp_path: Path) -> None:
    types = {"project_id": pa.string(), "value": pa.string()}
    file = write(
        tmp_path / "a.parquet",
        session(project_id="1", value="1"),
        types=types,
        without=["member", "release"],
    )
    as_integer = "write it as an integer or as a decimal of scale 0, of up to 38 digits"
    assert faults(file) == [
        f"{file}: column project_id: found string, expected an integer; {as_integer}",
        f"{file}: column release: missing, expected a string",
        f"{file}: column value: found string, expected a number; write it as a double",
        f"{file}: column member: missing, expected an integer",
    ]


def test_mixed_types_answer_as_one(tmp_path: Path) -> None:
    """Every physical writing of the same two users and one session."""
    written = [session(org_id=1), user(1, org_id=1), user(200, org_id=1)]
    for number, integer in enumerate([pa.int16(), pa.uint8(), pa.int64(), pa.uint64()]):
        write(
            tmp_path / f"integer-{number}.parquet",
            *written,
            types=dict.fromkeys(INTEGERS, integer),
        )
    for number, text in enumerate(KINDS_OF_TEXT):
        write(tmp_path / f"text-{number}.parquet", *written, types=dict.fromkeys(TEXTS, text))
    for number, instant in enumerate(KINDS_OF_TIMESTAMP):
        write(tmp_path / f"instant-{number}.parquet", *written, types={"timestamp": instant})
    write(tmp_path / "number.parquet", *written, types={"value": pa.int32()})
    write(tmp_path / "null.parquet", *written, types={"environment": pa.null()})
    write(tmp_path / "short.parquet", *written, without=["org_id", "abnormal_mechanism"])
    write(tmp_path / "int96.parquet", *written, use_deprecated_int96_timestamps=True)
    write(tmp_path / "day=2026-03-02" / "release=shop@1.0.0" / "x.parquet", *written)
    folder = tmp_path / "day=2026-03-02" / "release=shop@1.0.0" / "project_id=1"
    write(folder / "x.parquet", *written, without=["release", "project_id"])
    files = len(open_sources([tmp_path]).files)
    assert files == 4 + len(KINDS_OF_TEXT) + len(KINDS_OF_TIMESTAMP) + 6
    ((pair, row),) = overview(tmp_path).items()
    assert pair == PAIR
    assert (row.total_sessions, row.total_users) == (files, 2)


def test_files_of_one_schema_have_each_its_own_folders(tmp_path: Path) -> None:
    for folder in ("project_id=1", "project_id=2", "day=1/project_id=3"):
        write(tmp_path / folder / "x.parquet", session(), without=["project_id"])
    assert sorted(overview(tmp_path)) == [(project, rows.RELEASE) for project in (1, 2, 3)]
    for folder in ("project_id=x", "project_id=y"):
        write(tmp_path / folder / "x.parquet", session(), without=["project_id"])
    assert faults(tmp_path) == [
        f"{tmp_path}/project_id={text}/x.parquet: column project_id:"
        f" found folder project_id={text}, expected an integer"
        for text in "xy"
    ]


def test_columns_in_another_order_answer_as_one(tmp_path: Path) -> None:
    table = rows.table([session(value=2.0), user(1)])
    pq.write_table(table, tmp_path / "a.parquet")
    pq.write_table(table.select(sorted(table.column_names)), tmp_path / "b.parquet")
    ((_, row),) = overview(tmp_path).items()
    assert (row.total_sessions, row.total_users) == (4, 1)


@pytest.mark.parametrize("signed", [-1, -(2**63), 2**63 - 1, 0])
def test_signed_and_unsigned_members_are_one(tmp_path: Path, signed: int) -> None:
    """A hash is 64 bits: written as a signed number, it is the same hash."""
    unsigned = signed % 2**64
    write(tmp_path / "a.parquet", session(), user(signed), types={"member": pa.int64()})
    write(tmp_path / "b.parquet", session(), user(unsigned))
    ((_, row),) = overview(tmp_path).items()
    assert row.total_users == 1


def test_signed_members_in_a_dictionary(tmp_path: Path) -> None:
    members = pa.array([None, -1, -1, -2], pa.int64()).dictionary_encode()
    given = [session(), user(1), user(1), user(1)]
    pq.write_table(with_column("member", members, given), tmp_path / "a.parquet")
    ((_, row),) = overview(tmp_path).items()
    assert row.total_users == 2
