"""Recognition: inputs are known by what a session, an envelope or a bucket has, or are refused."""

from __future__ import annotations

import json
import pickle
import sqlite3
import zipfile
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.feather
import pyarrow.orc
import pyarrow.parquet as pq
import pytest

from command import run
from envelopes import NOW, envelope, ingest, update
from tables import attempt, refusal, session, write_csv, write_lines, write_parquet

if TYPE_CHECKING:
    from pathlib import Path

EXTRA: list[dict[str, Any]] = [
    {"type": "mobile"}, {"sdk": "android"}, {"sdk": {"name": "x"}}, {"dsn": "https://k@o/1"},
    {"sent_at": NOW}, {"event_id": "e"}, {"trace": {}}, {"type": "session"}, {"length": 3},
    {"name": "n", "value": 1, "type": "mobile"}, {"tags": {}, "type": "event", "event_id": "e"},
    {"aggregates": []}, {"attrs": {}}, {"items": []},
]  # fmt: skip


@pytest.mark.parametrize("extra", EXTRA, ids=[" ".join(extra) for extra in EXTRA])
@pytest.mark.parametrize("before", [True, False])
def test_a_row_with_a_session_s_columns_is_a_table(
    extra: dict[str, Any],
    before: bool,  # noqa: FBT001 - a parameter
    tmp_path: Path,
) -> None:
    rows = [extra | session(n) if before else session(n) | extra for n in range(3)]
    told = ingest(write_lines(tmp_path / "in", rows), tmp_path / "data")
    assert (told["accepted"], told["sessions"]) == ({"row": 3}, 3)
    assert told["ignored_columns"] == list(extra)


def test_mapped_columns_are_a_session_s_too(tmp_path: Path) -> None:
    rows = [
        {"type": "x", "sdk": "y", "uuid": f"u{n}", "begin": NOW, "status": "ok", "release": "r"}
        for n in range(3)
    ]
    options = ("--map", "session_id=uuid", "--map", "started=begin", "-p", "1")
    told = ingest(write_lines(tmp_path / "in", rows), tmp_path / "data", *options)
    assert told["accepted"] == {"row": 3}
    said = refusal(tmp_path / "in", "-p", "1")
    assert "no column session_id or " in said
    assert "found type, sdk, uuid, begin, status, release" in said


def test_two_readings_are_refused(tmp_path: Path) -> None:
    row = {"name": "c:sessions/session@none", "type": "c", "value": 1, "timestamp": 1_772_452_800}
    source = write_lines(tmp_path / "in", [row | session(0) | {"project_id": 1}])
    said = refusal(source)
    assert said.endswith("may be read in more ways than one; say --from buckets or --from jsonl")
    assert ingest(source, tmp_path / "a", "--from", "jsonl")["accepted"] == {"row": 1}
    assert ingest(source, tmp_path / "b", "--from", "buckets")["accepted"] == {"bucket": 1}


ENVELOPES = [
    envelope(update()),
    envelope(update(), project=None),
    envelope(b'{"type":"event"}\n{}', update()),
    b"\n\n" + envelope(update()),
    envelope(update()).split(b"\n", 1)[1],  # without the line of headers
    b'{"sent_at":"x"}\n' + envelope(update()),
    b'{"dsn":"https://k@o/1","sdk":{"name":"x"},"trace":{}}\n' + envelope(update()),
]


@pytest.mark.parametrize("stream", ENVELOPES)
def test_envelopes_are_envelopes(stream: bytes, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.write_bytes(stream)
    assert ingest(source, tmp_path / "data", "-p", "1")["accepted"] == {"session": 1}


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("form", ["array", "objects"])
def test_json_documents_are_tables(indent: int | None, form: str, tmp_path: Path) -> None:
    rows = [session(n, user_id=n) for n in range(5)]
    source = tmp_path / "in.json"
    if form == "array":
        source.write_text(json.dumps(rows, indent=indent))
    else:
        source.write_text("\n".join(json.dumps(row, indent=indent) for row in rows))
    assert ingest(source, tmp_path / "data")["sessions"] == 5


@pytest.mark.parametrize(
    "content", ["[1, 2]", "[[1], [2]]", "[{}", "[", '{\n "a": [', "[" * 100_000]
)
def test_other_json_is_refused_by_name(content: str, tmp_path: Path) -> None:
    source = tmp_path / "in.json"
    source.write_text(content)
    assert "write an object a line, such as with jq" in refusal(source)


def unsupported(folder: Path) -> dict[str, Path]:
    """Write files of many kinds; return them by what they are."""
    table = pa.table({"session_id": ["a"], "started": [NOW]})
    found = {name: folder / str(n) for n, name in enumerate(
        ["a SQLite database", "a DuckDB database", "an Excel", "a zip archive", "an ORC file",
         "an Arrow IPC", "a Python pickle", "a PDF document", "an image", "an HTML page",
         "an XML document", "an Avro file", "a Parquet file with an encrypted footer",
         "a 7z archive", "a tar archive", "binary data of an unknown kind", "an old Excel"]
    )}  # fmt: skip
    with sqlite3.connect(found["a SQLite database"]) as database:
        database.execute("CREATE TABLE sessions (id TEXT)")
    database.close()
    duckdb.connect(str(found["a DuckDB database"])).close()
    for name, inside in (("an Excel", "xl/workbook.xml"), ("a zip archive", "sessions.csv")):
        with zipfile.ZipFile(found[name], "w") as archive:
            archive.writestr(inside, "session_id,started")
    pa.orc.write_table(table, str(found["an ORC file"]))
    pa.feather.write_feather(table, str(found["an Arrow IPC"]))
    found["a Python pickle"].write_bytes(pickle.dumps([{"session_id": 1}]))
    found["a PDF document"].write_bytes(b"%PDF-1.7\n%\xe2\xe3\n")
    found["an image"].write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    found["an HTML page"].write_bytes(b"\n <!DOCTYPE html><html>, ,")
    found["an XML document"].write_bytes(b"<?xml version='1.0'?><a,b>")
    found["an Avro file"].write_bytes(b"Obj\x01\x04\x16avro.schema")
    found["a Parquet file with an encrypted footer"].write_bytes(b"PARE\0\0PARE")
    found["a 7z archive"].write_bytes(b"7z\xbc\xaf\x27\x1c\0\4")
    found["a tar archive"].write_bytes(b"sessions.csv" + b"\0" * 245 + b"ustar\x0000")
    found["binary data of an unknown kind"].write_bytes(bytes(range(1, 256)) * 10 + b"\n,,,\n")
    found["an old Excel"].write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 100)
    return found


def test_what_is_not_supported_is_named_as_what_it_is(tmp_path: Path) -> None:
    for name, source in unsupported(tmp_path).items():
        said = refusal(source)
        assert said.startswith(f"{source}: {name}"), said
        assert said.isprintable()
        assert "; " in said
        if name != "a Parquet file with an encrypted footer":
            assert refusal(source, "--from", "csv").startswith(f"{source}: {name}")


@pytest.mark.parametrize("checksum", [b"\n" * 8, b" \t\r\n    ", b'{"a":1}\n', b"[1, 2]\n\n"])
def test_a_checksum_that_looks_like_text_hides_no_database(checksum: bytes, tmp_path: Path) -> None:
    source = tmp_path / "in"
    duckdb.connect(str(source)).close()
    source.write_bytes(checksum + source.read_bytes()[8:])
    assert refusal(source).startswith(f"{source}: a DuckDB database")


def test_metric_rows_can_be_asked_directly(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.write_bytes(envelope(update()))
    ingest(source, tmp_path / "data")
    (file,) = (tmp_path / "data").glob("date=*/*.parquet")
    copy = tmp_path / "metrics.parquet"
    pq.write_table(pq.read_table(file), copy)
    assert "session-metric rows already" in refusal(copy)


def test_text_of_no_kind_is_quoted_on_one_bounded_line(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.write_text("\x1b[31mred" + "x" * 10_000)
    said = refusal(source)
    assert said.isprintable()
    assert len(said) < 500 + len(str(source))


def test_parquet_without_its_end_is_refused(tmp_path: Path) -> None:
    source = write_parquet(tmp_path / "in", [session(0)])
    source.write_bytes(source.read_bytes()[:-9])
    assert refusal(source).startswith(f"{source}: not readable as Parquet")


def test_blank_inputs_hold_nothing(tmp_path: Path) -> None:
    source = tmp_path / "in"
    for content in (b"", b"\n \n", b"\xef\xbb\xbf"):
        source.write_bytes(content)
        result = attempt(source, tmp_path / "data")
        assert "internal" not in result.err


@pytest.mark.parametrize("name", ["ORCID", "SAS", "RDX", "GIF8", "PARE"])
def test_columns_named_as_formats_begin(name: str, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "in", [{name: 1} | session(0)])
    assert ingest(source, tmp_path / "data")["ignored_columns"] == [name]


def test_an_attachment_may_hold_anything(tmp_path: Path) -> None:
    payload = bytes(range(256)) * 4
    head = json.dumps({"type": "attachment", "length": len(payload)}).encode()
    stream = envelope(head + b"\n" + payload, update(status="crashed"))
    source = tmp_path / "in"
    source.write_bytes(stream)
    told = ingest(source, tmp_path / "data")
    assert (told["passed_over"], told["sessions"]) == ({"attachment": 1}, 1)


def test_a_table_may_have_the_columns_of_a_message(tmp_path: Path) -> None:
    row = {"session_id": "a", "started": NOW, "status": "ok", "release": "a@1", "project_id": 1}
    row |= {"topic": "t", "partition": 0, "offset": 1, "payload": "p"}
    source = tmp_path / "in"
    source.write_text(json.dumps(row) + "\n")
    result = run("ingest", str(source), "--to", str(tmp_path / "data"), "--now", NOW)
    assert result.code == 4
    assert "say --from kafka or --from jsonl" in result.err
    ingest(source, tmp_path / "data", "--from", "jsonl")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_named(encoding: str, tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_bytes(f"session_id,started,status,release\na,{NOW},ok,a@1\n".encode(encoding))
    result = run("ingest", str(source), "--to", str(tmp_path / "data"))
    assert result.code == 4
    assert f"{source}: text in UTF-16 without a byte order mark, which cannot" in result.err
    (told,) = run("overview", str(source)).err.splitlines()
    assert "not a Parquet file but text in UTF-16 without a byte order mark; write it in" in told
