"""Values of tables: what is missing, what is lost, and one user in files of many types."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from envelopes import (
    DURATIONS,
    ERRORS,
    NOW,
    SESSIONS,
    USERS,
    envelope,
    ingest,
    member_of,
    rows_of,
    update,
)
from relhealth.ingest.values import MISSING
from tables import refusal, session, write_csv, write_lines, write_parquet

if TYPE_CHECKING:
    from pathlib import Path


def users_of(dataset: Path) -> set[int]:
    """Return the members of the users of a data set."""
    return {row[9] for row in rows_of(dataset) if row[3] == USERS}


WORDS = [*sorted(MISSING - {""}), "NULL", "NaN", "None", "N/A", "\\N", "NA", "Null", " NA ", "  "]


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_words_for_missing_are_missing(word: str, kind: str, tmp_path: Path) -> None:
    rows = [
        session(0, status="crashed", duration=word, user_id=word, errors=word),
        session(1, duration="2.5", user_id="u", errors="1", environment=word),
    ]
    write = {"csv": write_csv, "jsonl": write_lines, "parquet": write_parquet}[kind]
    told = ingest(write(tmp_path / f"in.{kind}", rows), tmp_path / "data")
    assert (told["accepted"], told["lost"], told["rejected"]) == ({"row": 2}, {}, {})
    assert users_of(tmp_path / "data") == {member_of("u")}
    environments = {row[5] for row in rows_of(tmp_path / "data")}
    assert environments == {"production", None}


BAD: dict[str, list[Any]] = {
    "duration": [-1.0, "x", "inf", "1e999", "-1", "nine", "1,5", True],
    "errors": [-1, "x", 1.5, "-3", "99999999999999999999"],
    "user_id": ["1e+16", "9007199254740992.0", "9007199254740993.0"],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in BAD.items() for value in values]
)
def test_a_bad_optional_field_loses_itself_only(name: str, value: Any, tmp_path: Path) -> None:
    for kind, write in (("csv", write_csv), ("jsonl", write_lines)):
        rows = [session(0, status="crashed", **{name: f'"{value}"' if kind == "csv" else value})]
        told = ingest(write(tmp_path / f"in.{kind}", rows), tmp_path / kind)
        assert (told["accepted"], told["lost"]) == ({"row": 1}, {name: 1})
        assert len(told["examples"][name]) == 1
        counted = {row[6] for row in rows_of(tmp_path / kind) if row[3] == SESSIONS}
        assert counted == {"init", "crashed"}


def test_nan_of_python_s_json_is_missing(tmp_path: Path) -> None:
    source = write_lines(
        tmp_path / "in.jsonl",
        [session(0, status="crashed", duration=float("nan"), user_id=float("nan"))],
    )
    assert b"NaN" in source.read_bytes()
    told = ingest(source, tmp_path / "data")
    assert (told["sessions"], told["lost"], told["statuses"]) == (1, {}, {"crashed": 1})


LENIENT: list[tuple[str, Any]] = [
    ("duration", -1), ("duration", "long"), ("duration", []), ("errors", -1), ("errors", "many"),
    ("errors", {}), ("did", []), ("did", True), ("did", 1.5), ("timestamp", []),
    ("timestamp", True), ("abnormal_mechanism", 5), ("duration", 10**400),
]  # fmt: skip


@pytest.mark.parametrize("beside", [0, 100])
@pytest.mark.parametrize(("name", "value"), LENIENT)
def test_an_update_outlives_a_bad_field(name: str, value: Any, beside: int, tmp_path: Path) -> None:
    updates = [update(f"{n:032x}", did="u", status="exited", duration=1.0) for n in range(beside)]
    bad = update("f" * 32, status="crashed") | {name: value}
    source = tmp_path / "in"
    source.write_bytes(envelope(*updates, bad))
    told = ingest(source, tmp_path / "data")
    assert (told["accepted"], told["rejected"]) == ({"session": beside + 1}, {})
    assert told["lost"] == {name: 1}
    crashed = [row for row in rows_of(tmp_path / "data") if row[6] == "crashed"]
    assert len(crashed) == 1


def test_an_environment_that_is_no_text_is_lost_and_a_release_rejects(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.write_bytes(envelope(update(attrs={"release": "a", "environment": {}})))
    assert ingest(source, tmp_path / "data")["lost"] == {"environment": 1}
    source.write_bytes(envelope(update(attrs={"release": {}, "environment": "p"})))
    told = ingest(source, tmp_path / "other", code=4)
    assert list(told["rejected"]) == ["release: expected text"]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("release", ["shop@1\n2", "shop@1\t2"])
def test_a_release_of_several_lines_rejects_its_row(
    release: str, kind: str, tmp_path: Path
) -> None:
    cell = f'"{release}"' if kind == "csv" else release
    rows = [session(0, release=cell, status="crashed"), session(1, release="\\n")]
    write = {"csv": write_csv, "jsonl": write_lines, "parquet": write_parquet}[kind]
    source = write(tmp_path / f"in.{kind}", rows)
    told = ingest(source, tmp_path / "data", "--max-rejected", "50%")
    assert told["rejected"] == {"release: a release has no line end and no tab": 1}
    assert told["accepted"] == {"row": 1}


TYPES = [
    (pa.int64(), 101), (pa.int8(), 101), (pa.uint64(), 101), (pa.float64(), 101.0),
    (pa.float32(), 101.0), (pa.decimal128(38, 0), Decimal(101)),
    (pa.decimal128(18, 3), Decimal(101)),
    (pa.string(), "101"), (pa.large_string(), "101"), (pa.string_view(), "101"),
    (pa.binary(), b"101"), (pa.large_binary(), b"101"), (pa.binary_view(), b"101"),
    (pa.binary(3), b"101"), (pa.dictionary(pa.int8(), pa.string()), "101"), (pa.string(), "101.0"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "value"), TYPES, ids=[str(kind) for kind, _ in TYPES])
def test_a_user_is_one_member_whatever_the_type(
    kind: pa.DataType, value: Any, tmp_path: Path
) -> None:
    rows = [session(0, user_id=value), session(1, user_id=None)]
    source = write_parquet(tmp_path / "in.parquet", rows, {"user_id": kind})
    told = ingest(source, tmp_path / "data")
    assert (told["sessions"], told["lost"]) == (2, {})
    assert users_of(tmp_path / "data") == {member_of("101")}


@pytest.mark.parametrize("value", ["101", 101, 101.0, "101.0"])
def test_a_user_is_one_member_in_text_formats_too(value: Any, tmp_path: Path) -> None:
    for kind, write in (("csv", write_csv), ("jsonl", write_lines)):
        told = ingest(write(tmp_path / kind, [session(0, user_id=value)]), tmp_path / f"d{kind}")
        assert told["lost"] == {}
        assert users_of(tmp_path / f"d{kind}") == {member_of("101")}


def test_uuids_of_16_bytes_are_the_users_of_text(tmp_path: Path) -> None:
    one = uuid.UUID("c1d2c3d4-0000-4000-8000-00000000000f")
    for kind in (pa.binary(16), pa.uuid()):
        rows = [session(0, user_id=one.bytes, session_id=one.bytes)]
        types = {"user_id": kind, "session_id": kind}
        dataset = tmp_path / str(kind)
        ingest(write_parquet(tmp_path / "in.parquet", rows, types), dataset)
        assert users_of(dataset) == {member_of(str(one))}


REFUSED: list[tuple[str, pa.DataType, Any]] = [
    ("user_id", pa.float64(), 1.5),
    ("user_id", pa.float64(), 2.0**60),
    ("user_id", pa.float32(), 2.0**30),
    ("user_id", pa.float64(), float("inf")),
    ("user_id", pa.bool_(), True),
    ("user_id", pa.list_(pa.string()), ["u"]),
    ("user_id", pa.binary(), b"\xff\xfe"),
    ("user_id", pa.timestamp("us"), 1),
    ("release", pa.float64(), 1.1),
    ("release", pa.struct([("a", pa.string())]), {"a": "b"}),
    ("release", pa.decimal128(5, 2), Decimal("1.10")),
    ("session_id", pa.float64(), 1e300),
    ("started", pa.float32(), 1.8e9),
    ("started", pa.time64("us"), 5),
    ("started", pa.bool_(), True),
    ("duration", pa.bool_(), True),
    ("project_id", pa.float64(), 1.5),
]


@pytest.mark.parametrize(("name", "kind", "value"), REFUSED)
def test_what_cannot_be_cast_is_refused_by_column_and_type(
    name: str, kind: pa.DataType, value: Any, tmp_path: Path
) -> None:
    rows = [session(0, **{name: value})]
    source = write_parquet(tmp_path / "in.parquet", rows, {name: kind})
    said = refusal(source)
    assert said.startswith(f"{source}: column {name} of type {str(kind)[:4]}")
    assert f" cannot be {name}: " in said


def test_numbers_of_every_type_are_numbers(tmp_path: Path) -> None:
    kinds: list[tuple[pa.DataType, pa.DataType]] = [
        (pa.decimal128(18, 3), pa.decimal128(38, 0)),
        (pa.float32(), pa.float64()),
        (pa.int16(), pa.uint8()),
        (pa.duration("ms"), pa.bool_()),
    ]
    for lasted, errors in kinds:
        given: Any = {pa.decimal128(18, 3): Decimal("2.000"), pa.duration("ms"): 2000}
        rows = [session(0, duration=given.get(lasted, 2), errors=errors == pa.bool_() or 1)]
        types = {"duration": lasted, "errors": errors}
        dataset = tmp_path / str(lasted)
        told = ingest(write_parquet(tmp_path / "in.parquet", rows, types), dataset)
        assert told["lost"] == {}
        found = rows_of(dataset)
        assert [row[8] for row in found if row[3] == DURATIONS] == [2.0]
        assert [row[9] for row in found if row[3] == ERRORS] == [member_of("s0")]


def test_ids_that_are_no_uuid_stay_as_they_are(tmp_path: Path) -> None:
    """Else 1-11 and 11-1 would be one session."""
    sids = ["1-11", "11-1", "aBc", "abc", "A" * 32, f"{'a' * 8}-{'a' * 24}"]
    for number, beside in enumerate((0, 100)):
        source, dataset = tmp_path / f"in{number}", tmp_path / f"data{number}"
        others = [update(f"{n:032x}") for n in range(beside)]
        source.write_bytes(envelope(*others, *[update(sid, status="crashed") for sid in sids]))
        assert ingest(source, dataset)["sessions"] == beside + 5
        table = tmp_path / f"{number}.csv"
        head = "session_id,started,project_id,status,release\n"
        rows = (f"{sid},{NOW},1,crashed,shop@1.0.0\n" for sid in sids)
        table.write_text(head + "".join(rows))
        assert ingest(table, tmp_path / f"table{number}")["sessions"] == 5
