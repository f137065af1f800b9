"""Files: dialects, encodings, compressions and folders, and rejections in bounded room."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from command import run
from envelopes import NOW, envelope, ingest, member_of, rejects_of, rows_of, update
from tables import Row, attempt, refusal, session, write_csv, write_lines, write_parquet

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

ROWS = [
    session(0, user_id="u0", duration=1.5, errors=0),
    session(1, user_id="u1", status="crashed", errors=1, duration=None),
    session(2, user_id=None, status="abnormal", environment=None, duration=None, errors=None),
]


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> Counter[tuple[Any, ...]]:
    """Return what is to become of the rows."""
    folder = tmp_path_factory.mktemp("wanted")
    ingest(write_csv(folder / "in.csv", ROWS), folder / "data")
    return rows_of(folder / "data")


def arrow(codec: str) -> Callable[[bytes], bytes]:
    """Return what compresses by a codec of Arrow."""

    def compress(content: bytes) -> bytes:
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, codec) as stream:
            stream.write(content)
        return bytes(sink.getvalue())

    return compress


CODECS: dict[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "gzip": gzip.compress,
    "zstd": arrow("zstd"),
    "xz": lzma.compress,
    "bzip2": bz2.compress,
    "lz4": arrow("lz4"),
}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be-bom"])
def test_dialects_of_csv(
    delimiter: str,
    line_end: str,
    encoding: str,
    tmp_path: Path,
    wanted: Counter[tuple[Any, ...]],
) -> None:
    source = write_csv(tmp_path / "in.csv", ROWS, delimiter)
    text = source.read_text().replace("\n", line_end)
    if encoding == "utf-16-be-bom":
        source.write_bytes(b"\xfe\xff" + text.encode("utf-16-be"))
    else:
        source.write_bytes(text.encode(encoding))
    ingest(source, tmp_path / "data")
    assert rows_of(tmp_path / "data") == wanted


def test_quoted_cells(tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text(
        '"session_id", "started" ,environment,note,status,project_id\n'
        f'a,{NOW},"shop;\n1|0","two\nlines, ""quoted""",ok,1\n\n'
        f'b,{NOW},r,"",ok,1\n'
    )
    told = ingest(source, tmp_path / "data", "--no-release")
    assert told["accepted"] == {"row": 2}
    assert {row[5] for row in rows_of(tmp_path / "data")} == {"shop;\n1|0", "r"}


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    ("declared", "delimiter"),
    [("sep=;", ";"), ("SEP=,", ","), ('"sep=|"', "|"), ("sep=\t", "\t"), ("sep=^", "^")],
)
def test_a_first_line_that_declares_the_delimiter(
    declared: str, delimiter: str, line_end: str, tmp_path: Path
) -> None:
    """As spreadsheets write and read it; also in a file that grows."""
    plain = write_csv(tmp_path / "plain", ROWS, delimiter).read_text()
    lines = [declared, *plain.splitlines()]
    source, dataset = tmp_path / "in.csv", tmp_path / "data"
    for upto in (3, len(lines)):
        content = "".join(line + line_end for line in lines[:upto])
        source.write_bytes(content.encode())
        told = ingest(source, dataset)
        assert told["rejected"] == {}
    ingest(write_csv(tmp_path / "other.csv", ROWS), tmp_path / "other")
    assert rows_of(dataset) == rows_of(tmp_path / "other")


def test_decimal_commas_where_commas_are_not_the_delimiter(tmp_path: Path) -> None:
    rows = [session(0, duration="1,5", errors="2,0", user_id="101,0", project_id="1,0")]
    told = ingest(write_csv(tmp_path / "in.csv", rows, ";"), tmp_path / "data")
    assert told["lost"] == {}
    plain = [session(0, duration=1.5, errors=2, user_id=101)]
    ingest(write_csv(tmp_path / "plain.csv", plain), tmp_path / "plain")
    assert rows_of(tmp_path / "data") == rows_of(tmp_path / "plain")
    named = [session(0, user_id="a,0"), session(1, user_id="101,5")]  # no numbers of no fraction
    ingest(write_csv(tmp_path / "named.csv", named, ";"), tmp_path / "named")
    members = {row[9] for row in rows_of(tmp_path / "named")} - {None}
    assert members == {member_of("a,0"), member_of("101,5")}


def test_rows_that_are_cut_are_rejected(tmp_path: Path) -> None:
    source = write_csv(tmp_path / "in.csv", ROWS)
    source.write_text(source.read_text() + f"s9,{NOW}\n" + ",".join(["x"] * 20) + "\n")
    told = ingest(source, tmp_path / "data", code=4)
    assert told["accepted"] == {"row": 3}
    assert told["rejected"] == {
        "row: fewer cells than the table has columns": 1,
        "row: more cells than the table has columns": 1,
    }


def test_an_open_quote_is_refused_since_it_swallows_rows(tmp_path: Path) -> None:
    source = write_csv(tmp_path / "in.csv", ROWS * 10)
    source.write_text(source.read_text() + f'"s9,{NOW}\n' + "s,x\n" * 100)
    assert "is not closed" in refusal(source)


def test_text_that_is_not_utf_8(tmp_path: Path) -> None:
    source = write_csv(tmp_path / "in.csv", [session(0, user_id="Ü"), session(1, release="Ü")])
    source.write_bytes(source.read_text().encode("latin-1"))
    told = ingest(source, tmp_path / "data", code=4)
    assert told["lost"] == {"user_id": 1}
    assert told["rejected"] == {"release: not UTF-8": 1}


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("what", ["csv", "envelope"])
def test_compressions_are_told_by_content(
    codec: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = write_csv(tmp_path / "csv", ROWS).read_bytes()
    if what == "envelope":
        content = envelope(*[update(f"{n:032x}") for n in range(200)])
    source = tmp_path / "in"
    source.write_bytes(CODECS[codec](content))
    plain = tmp_path / "plain"
    plain.write_bytes(content)
    ingest(source, tmp_path / "a")
    ingest(plain, tmp_path / "b")
    assert rows_of(tmp_path / "a") == rows_of(tmp_path / "b")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(source.read_bytes())))
    ingest("-", tmp_path / "c")
    assert rows_of(tmp_path / "c") == rows_of(tmp_path / "b")


@pytest.mark.parametrize("codec", [codec for codec in CODECS if codec != "none"])
def test_damaged_compressions_and_bombs_are_refused(codec: str, tmp_path: Path) -> None:
    content = envelope(*[update(os.urandom(16).hex()) for n in range(3000)])
    packed = CODECS[codec](content)
    source = tmp_path / "in"
    for size in (len(packed) - 3, len(packed) // 2):
        source.write_bytes(packed[:size])
        assert refusal(source) == f"{source}: {codec} data: cut short"
    source.write_bytes(packed[:-30] + b"\0\xff" * 15)
    assert refusal(source).startswith(f"{source}: {codec} data: ")
    source.write_bytes(CODECS[codec](CODECS[codec](content)))
    assert "compressed twice" in refusal(source)
    blank = b" " * 99_999 + b"\n"  # lines as long as that are few, and are read soon
    source.write_bytes(CODECS[codec](envelope() + blank * 700))
    assert f"{codec} data: a bomb, it grows more than 200 times" in refusal(source)


def test_compressed_parquet_is_refused_by_name(tmp_path: Path) -> None:
    source = write_parquet(tmp_path / "in", ROWS)
    source.write_bytes(gzip.compress(source.read_bytes()))
    assert "Parquet must be a plain file" in refusal(source)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_folders_tell_columns(kind: str, tmp_path: Path) -> None:
    write: Any = {"csv": write_csv, "jsonl": write_lines, "parquet": write_parquet}[kind]
    folders = {
        "release=shop%402.0%2F1/environment=prod": ("shop@2.0/1", "prod"),
        "release=__HIVE_DEFAULT_PARTITION__/environment=a b": (None, "a b"),
    }
    for number, name in enumerate(folders):
        folder = tmp_path / "in" / name / "date=2026-03-02"
        folder.mkdir(parents=True)
        write(folder / f"0.{kind}", [session(number, release=..., environment=...)])
        (folder / "_SUCCESS").write_bytes(b"")
        (folder / ".0.crc").write_bytes(b"x")
        (folder / "0.parquet.crc").write_bytes(b"x")
        (folder / "_committed_1").write_bytes(b"{}")
    (tmp_path / "in" / "_temporary").mkdir()
    (tmp_path / "in" / "_temporary" / "x").write_bytes(b"x")
    told = ingest(tmp_path / "in", tmp_path / "data")
    assert told["inputs"] == 2
    assert {(row[4], row[5]) for row in rows_of(tmp_path / "data")} == set(folders.values())
    assert told["columns"]["release"] == ["release (of the folder)"]


def test_a_column_of_the_file_goes_before_one_of_its_folder(tmp_path: Path) -> None:
    source = tmp_path / "release=folder" / "environment=staging" / "a.csv"
    source.parent.mkdir(parents=True)
    write_csv(source, [session(0, release="own", environment=...)])
    told = ingest(source, tmp_path / "data")
    assert told["columns"]["release"] == ["release"]
    assert told["columns"]["environment"] == ["environment (of the folder)"]
    assert {(row[4], row[5]) for row in rows_of(tmp_path / "data")} == {("own", "staging")}


def test_folders_of_table_formats_are_refused(tmp_path: Path) -> None:
    for number, (inside, what) in enumerate(
        [
            ("_delta_log/0.json", "a Delta Lake table"),
            ("metadata/v1.metadata.json", "an Iceberg table"),
            (".hoodie/hoodie.properties", "a Hudi table"),
        ]
    ):
        folder = tmp_path / str(number) / "deep" / "table"
        (folder / inside).parent.mkdir(parents=True)
        (folder / inside).write_bytes(b"{}")
        write_parquet(folder / "0.parquet", ROWS)
        result = run("ingest", str(tmp_path / str(number)), "--to", str(tmp_path / "data"))
        assert result.code == 4
        assert f"{folder}: a folder of {what}" in result.err


def test_rejections_take_bounded_room(tmp_path: Path) -> None:
    rows = [
        session(n, started=f"day {n}" if n % 2 else f"{n}", status=f"s{n}") for n in range(5000)
    ]
    source = write_csv(tmp_path / "in.csv", rows)
    options = ("--unknown-status", "reject")
    result = run("ingest", str(source), "--to", str(tmp_path / "data"), "--now", NOW, *options)
    assert len(result.err) < 40_000
    kept = rejects_of(tmp_path / "data")
    assert len(kept) == 2000
    assert {one["reason"] for one in kept} == {
        "started: no readable time",
        "started more than 90 days ago, which is the retention",
    }
    words = [session(n, status=f"word {n}") for n in range(5000)]
    said = refusal(write_csv(tmp_path / "in2.csv", words))
    assert "'(others)' (4,800)" in said


def test_other_items_are_counted_in_bounded_room(tmp_path: Path) -> None:
    items = [json.dumps({"type": f"kind {n}"}).encode() + b"\n{}" for n in range(3000)]
    source = tmp_path / "in"
    source.write_bytes(envelope(*items))
    told = ingest(source, tmp_path / "data", code=4)
    assert len(told["passed_over"]) <= 201
    assert sum(told["passed_over"].values()) == 3000


# One data set, for any file.

TEXT = st.text(st.characters(exclude_categories=["C"], exclude_characters="\r\n"), max_size=5)
IDS = st.none() | st.integers(0, 2**53).map(str) | TEXT
SESSIONS = st.fixed_dictionaries(
    {
        "user_id": IDS,
        "release": IDS,
        "environment": IDS,
        "status": st.sampled_from(["ok", "EXITED", "crashed", "Abnormal", "healthy", "errored"]),
        "errors": st.none() | st.integers(-1, 3),
        "duration": st.none() | st.integers(-1, 10).map(lambda n: n / 2),
        "second": st.integers(0, 3600),
    }
)


@settings(max_examples=5)
@given(st.data())
def test_every_format_gives_the_same_data_set(data: st.DataObject) -> None:
    check_formats(data)


@pytest.mark.slow
@settings(max_examples=15)
@given(st.data())
def test_every_format_gives_the_same_of_many_data_sets(data: st.DataObject) -> None:
    check_formats(data)


def check_formats(data: st.DataObject) -> None:
    drawn: list[Row] = data.draw(st.lists(SESSIONS, min_size=1, max_size=8))
    missing = data.draw(st.sampled_from(["", "NA", "NULL", "\\N", "nan", "None"]))
    delimiter = data.draw(st.sampled_from([",", ";", "\t", "|"]))
    codec = data.draw(st.sampled_from(list(CODECS)))
    unit = data.draw(st.sampled_from([1, 1000, 10**6, 10**9]))
    rows = []
    for number, one in enumerate(drawn):
        started = (1_772_449_200 + one["second"]) * unit
        rows.append(session(number, **{k: v for k, v in one.items() if k != "second"}))
        rows[-1]["started"] = started
    types = {
        "user_id": data.draw(st.sampled_from([pa.string(), pa.large_string(), pa.string_view()])),
        "errors": data.draw(st.sampled_from([pa.int8(), pa.float64(), pa.decimal128(38, 0)])),
        "duration": data.draw(st.sampled_from([pa.float32(), pa.float64(), pa.string()])),
        "started": data.draw(st.sampled_from([pa.int64(), pa.string(), pa.float64()])),
        "project_id": data.draw(st.sampled_from([pa.int16(), pa.float64(), pa.string()])),
    }
    numbers: list[dict[str, Any]] = [
        {
            name: value
            if value is None or name not in types
            else {pa.string(): str, pa.float64(): float}.get(types[name], lambda same: same)(value)
            for name, value in row.items()
        }
        for row in rows
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        quoted: list[dict[str, Any]] = [
            {
                key: '"' + value.replace('"', '""') + '"' if isinstance(value, str) else value
                for key, value in row.items()
            }
            for row in rows
        ]
        write_csv(folder / "csv", quoted, delimiter, missing)
        write_lines(folder / "jsonl", rows)
        for text in ("csv", "jsonl"):
            content = (folder / text).read_bytes()
            (folder / text).write_bytes(CODECS[codec](content))
        write_parquet(folder / "parquet", numbers, types)
        found = []
        for kind in ("csv", "jsonl", "parquet"):
            told = ingest(folder / kind, folder / f"d{kind}")
            found.append((told["lost"], told["rejected"], rows_of(folder / f"d{kind}")))
        assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("write", [write_csv, write_parquet])
def test_a_table_of_no_rows_is_a_fault_only_where_nothing_else_is(
    write: Callable[..., Path], tmp_path: Path, wanted: Counter[tuple[Any, ...]]
) -> None:
    """As parts of Spark are, or a day without sessions."""
    (tmp_path / "in").mkdir()
    write(tmp_path / "in" / "b", ROWS)
    types = {name: pa.string() for name in ROWS[0]}
    if write is write_parquet:
        pq.write_table(pa.schema(types).empty_table(), tmp_path / "in" / "a")
    else:
        (tmp_path / "in" / "a").write_text(",".join(types) + "\n")
    for _ in range(2):  # and again, when the other is known
        ingest(tmp_path / "in", tmp_path / "data")
    assert rows_of(tmp_path / "data") == wanted
    told = ("--to", str(tmp_path / "other"), "--now", NOW)
    ended = run("ingest", str(tmp_path / "in" / "a"), *told)
    assert ended.code == 4
    assert "nothing was ingested: the inputs hold no sessions" in ended.err
    ended = run("ingest", str(tmp_path / "in"), *told, "--replace")
    assert ended.code == 4
    assert "in/a: nothing in it could be ingested" in ended.err


@pytest.mark.parametrize("log", ["_delta_log/00000000000000000000.json", ".hoodie/a"])
def test_a_file_or_a_data_set_in_the_folder_of_a_table(log: str, tmp_path: Path) -> None:
    """The log of the table tells which files count, and would not have those of a data set."""
    folder = tmp_path / "t"
    (folder / log).parent.mkdir(parents=True)
    (folder / log).write_text("{}")
    part = folder / "x=1" / "a.parquet"
    part.parent.mkdir()
    write_parquet(part, ROWS)
    for source in (part, part.parent):
        result = attempt(source, tmp_path / "data")
        assert result.code == 4
        assert f"{source}: part of a " in result.err
        assert "whose log says which files count; export the table as Parquet" in result.err
    plain = write_parquet(tmp_path / "a.parquet", ROWS)
    for dataset in (folder, folder / "data"):
        result = attempt(plain, dataset)
        assert result.code == 4
        assert f"{dataset}: in a " in result.err
        assert "name another folder for the data set" in result.err


def test_a_data_set_is_no_input(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write_csv(folder / "a.csv", ROWS)
    dataset = folder / "data"
    assert ingest(folder, dataset)["known_inputs"] == 0
    told = ingest(folder, dataset)  # that it is for is passed over
    assert (told["inputs"], told["known_inputs"]) == (1, 1)
    for source, other in ((dataset, dataset), (dataset, tmp_path / "b"), (folder, tmp_path / "b")):
        result = attempt(source, other)
        assert result.code == 4
        assert f"{dataset}: a data set of relhealth ingest already; ask it" in result.err


def test_a_named_pipe_names_standard_input(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    result = attempt(pipe, tmp_path / "data")
    assert result.code == 4
    assert f"{pipe}: no file but a pipe or a device; pipe it into standard input" in result.err
