"""Parquet of every make that people have, and what is refused of it, asked over every question."""

from __future__ import annotations

import datetime as dt
import gzip
import os
import socket
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import rows
from command import run as command
from files import NOW, faults, overview, write
from paths import by
from relhealth import DataError, ReleaseHealth
from relhealth.core.errors import ExitCode, QuestionError
from relhealth.gate.policy import Policy, Rule
from rows import NOON, duration, error, session, user

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GIVEN = [
    *(session(org_id=5, environment=name, value=3.0) for name in ("prod", None, "é")),
    session("crashed", org_id=5, environment="prod"),
    *(user(2**64 - number, org_id=5, environment="prod") for number in range(1, 5)),
    user(2**64 - 1, "crashed", org_id=5, environment="prod"),
    error(7, org_id=5),
    duration(2.5, org_id=5),
    session(project_id=2, org_id=5, release="é@1"),
]
TEXTS = ["metric", "release", "environment", "session_status", "abnormal_mechanism"]


def answers(source: Path | str) -> Any:
    """The answers of every question about a source."""
    told = []
    for path in ("files", "templates"):
        with by(path), ReleaseHealth(source, org=5) as health:
            policy = Policy(rule=(Rule(target=60.0),))
            inspected = replace(health.inspect(now=NOW), bytes=0, files=0, empty_files=())
            told.append(
                (
                    health.overview(now=NOW, health_stats_period="24h").rows,
                    health.overview(now="latest", environments=["prod"]).rows,
                    replace(inspected, invalid_rows={}, dimensions=()),
                    health.gate([rows.RELEASE], policy, now=NOW).verdict,
                    health.releases(now=NOW).rows,
                )
            )
    assert told[0] == told[1]
    return told[0]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The answers over the same rows in a plain file."""
    file = tmp_path_factory.mktemp("plain") / "a.parquet"
    rows.write(file, GIVEN)
    found = answers(file)
    assert found[0][0].total_sessions == 9
    return found


def cast(kinds: dict[str, pa.DataType]) -> pa.Table:
    """Return the rows with some columns of other types."""
    table = rows.table(GIVEN)
    for name, kind in kinds.items():
        values = table[name].to_pylist()
        if pa.types.is_decimal(kind):
            values = [None if one is None else Decimal(one) for one in values]
        table = table.set_column(
            table.schema.get_field_index(name), name, pa.array(values, type=kind)
        )
    return table


def as_text(pattern: Callable[[dt.datetime], str]) -> pa.Table:
    """Return the rows with timestamps as text."""
    table = rows.table(GIVEN)
    texts = [pattern(at) for at in table["timestamp"].to_pylist()]
    return table.set_column(table.schema.get_field_index("timestamp"), "timestamp", pa.array(texts))


KINDS: dict[str, dict[str, pa.DataType]] = {
    "decimals of Spark": {"member": pa.decimal128(20, 0), "project_id": pa.decimal128(19, 0)},
    "decimals of Snowflake": dict.fromkeys(
        ["org_id", "project_id", "member"], pa.decimal128(38, 0)
    ),
    "small decimals": {"org_id": pa.decimal128(1, 0), "project_id": pa.decimal128(9, 0)},
    "a value as decimal": {"value": pa.decimal128(18, 3)},
    "a value as float": {"value": pa.float32()},
    "a value as half a float": {"value": pa.float16()},
    "binary": dict.fromkeys(TEXTS, pa.binary()),
    "large binary": dict.fromkeys(TEXTS, pa.large_binary()),
    "large strings": dict.fromkeys(TEXTS, pa.large_string()),
    "views of strings": dict.fromkeys(TEXTS, pa.string_view()),
}


@pytest.mark.parametrize("kind", KINDS)
def test_types(kind: str, tmp_path: Path, plain: Any) -> None:
    types = KINDS[kind]
    if kind.endswith("binary"):
        table = rows.table(GIVEN)
        for name, wanted in types.items():
            at = table.schema.get_field_index(name)
            table = table.set_column(at, name, table[name].cast(wanted))
    else:
        table = cast({name: wanted for name, wanted in types.items() if name != "value"})
        if "value" in types:
            value = [None if one is None else one for one in table["value"].to_pylist()]
            array = (
                pa.array([None if one is None else Decimal(str(one)) for one in value])
                if pa.types.is_decimal(types["value"])
                else pa.array([None if one is None else np.float16(one) for one in value])
            ).cast(types["value"])
            table = table.set_column(table.schema.get_field_index("value"), "value", array)
    pq.write_table(table, tmp_path / "a.parquet")
    assert answers(tmp_path) == plain


INSTANTS: dict[str, Callable[[dt.datetime], str]] = {
    "with Z": lambda at: f"{at:%Y-%m-%dT%H:%M:%SZ}",
    "of BigQuery": lambda at: f"{at:%Y-%m-%d %H:%M:%S} UTC",
    "of Postgres": lambda at: f"{at:%Y-%m-%d %H:%M:%S}+00",
    "without a zone": lambda at: f"{at:%Y-%m-%d %H:%M:%S}",
    "of another zone": lambda at: at.astimezone(
        dt.timezone(dt.timedelta(hours=5, minutes=45))
    ).isoformat(),
    "with an offset without a colon": lambda at: f"{at:%Y-%m-%dT%H:%M:%S.000000000+0000}",
    "in lower case": lambda at: f"{at:%Y-%m-%dt%H:%M:%Sz}",
    "without separators": lambda at: f"{at:%Y%m%dT%H%M%SZ}",
}


@pytest.mark.parametrize("written", INSTANTS)
def test_timestamps_as_text(written: str, tmp_path: Path, plain: Any) -> None:
    pq.write_table(as_text(INSTANTS[written]), tmp_path / "a.parquet")
    assert answers(tmp_path) == plain


@pytest.mark.parametrize(
    "bad", ["yesterday", "2026-13-01", "infinity", "", "1772452800", "2026-03-02 12:00:00 X/Y"]
)
def test_text_that_is_no_instant_is_refused(bad: str, tmp_path: Path) -> None:
    """With an example; never a null in silence."""
    table = as_text(lambda at: f"{at:%Y-%m-%dT%H:%M:%SZ}")
    texts = [*table["timestamp"].to_pylist()[:-1], bad]
    at = table.schema.get_field_index("timestamp")
    pq.write_table(table.set_column(at, "timestamp", pa.array(texts)), tmp_path / "a.parquet")
    refused(
        tmp_path / "a.parquet", f"column timestamp: found string with 1 value that is .*'{bad}'"
    )


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("member", 2**64),
        ("member", -(2**63) - 1),
        ("project_id", 2**63),
        ("org_id", -(2**63) - 1),
    ],
)
def test_decimals_beyond_64_bits_are_refused(column: str, value: int, tmp_path: Path) -> None:
    table = cast({column: pa.decimal128(38, 0)})
    values = [*table[column].to_pylist()[:-1], Decimal(value)]
    at = table.schema.get_field_index(column)
    array = pa.array(values, pa.decimal128(38, 0))
    pq.write_table(table.set_column(at, column, array), tmp_path / "a.parquet")
    refused(tmp_path / "a.parquet", rf"column {column}: found decimal128\(38, 0\) .*'{value}'")


def test_binary_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    table = rows.table(GIVEN)
    array = pa.array([b"\xff\xfe"] * len(table))
    at = table.schema.get_field_index("release")
    pq.write_table(table.set_column(at, "release", array), tmp_path / "a.parquet")
    refused(tmp_path / "a.parquet", r"column release: found binary with 12 values that are not UTF")


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()], ids=str)
def test_strings_that_are_not_utf_8_name_their_column(kind: pa.DataType, tmp_path: Path) -> None:
    table = rows.table(GIVEN)
    given = pa.array([b"p\xff", *[b"p"] * (len(table) - 1)])
    bytes_of = {pa.string(): pa.binary(), pa.large_string(): pa.large_binary()}
    array = given.cast(bytes_of.get(kind, pa.binary_view())).view(kind)
    at = table.schema.get_field_index("release")
    pq.write_table(table.set_column(at, "release", array), tmp_path / "a.parquet")
    refused(
        tmp_path / "a.parquet",
        rf"column release: found {kind} with 1 value that is not UTF-8, such as 'p\\xff'; expected"
        " a string; write it in UTF-8",
    )


def refused(file: Path, pattern: str) -> None:
    """Expect one line that names the file, for every question."""
    questions: list[Callable[[ReleaseHealth], object]] = [
        lambda health: health.overview(now=NOW),
        lambda health: health.overview(now="latest"),
        lambda health: health.inspect(now=NOW),
        lambda health: health.releases(now=NOW),
    ]
    for ask in questions:
        with ReleaseHealth(file) as health, pytest.raises(DataError, match=pattern) as caught:
            ask(health)
        (fault,) = caught.value.faults
        assert fault.startswith(f"{file}: column ")


ENCODINGS = {
    "delta strings": dict.fromkeys(TEXTS, "DELTA_BYTE_ARRAY"),
    "delta lengths": dict.fromkeys(TEXTS, "DELTA_LENGTH_BYTE_ARRAY"),
    "some delta strings": {"release": "DELTA_BYTE_ARRAY"},
    "delta integers": dict.fromkeys(
        ["org_id", "project_id", "member", "timestamp"], "DELTA_BINARY_PACKED"
    ),
    "split streams": dict.fromkeys(["value", "member"], "BYTE_STREAM_SPLIT"),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_encodings(encoding: str, version: str, tmp_path: Path, plain: Any) -> None:
    pq.write_table(
        rows.table(GIVEN),
        tmp_path / "a.parquet",
        use_dictionary=False,
        column_encoding=ENCODINGS[encoding],
        data_page_version=version,
    )
    assert answers(tmp_path) == plain


@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "brotli", "lz4", "zstd"])
def test_codecs(codec: str, tmp_path: Path, plain: Any) -> None:
    pq.write_table(
        rows.table(GIVEN), tmp_path / "a.parquet", compression=codec, data_page_version="2.0"
    )
    assert answers(tmp_path) == plain


def test_duckdb_v2(tmp_path: Path, plain: Any) -> None:
    rows.write(tmp_path / "plain.parquet", GIVEN)
    duckdb.sql(
        f"COPY (FROM '{tmp_path}/plain.parquet') TO '{tmp_path}/v2.parquet'"
        " (PARQUET_VERSION V2, DICTIONARY_SIZE_LIMIT 1)"
    )
    assert answers(tmp_path / "v2.parquet") == plain


def test_a_rollup_of_delta_strings(tmp_path: Path, plain: Any) -> None:
    encoding = ENCODINGS["delta strings"]
    pq.write_table(
        rows.table(GIVEN), tmp_path / "a.parquet", use_dictionary=False, column_encoding=encoding
    )
    with by("rollup"), ReleaseHealth(tmp_path, org=5) as health:
        assert health.overview(now=NOW, health_stats_period="24h").rows == plain[0]


def test_columns_that_no_question_reads(tmp_path: Path, plain: Any) -> None:
    """Whatever their type."""
    table = rows.table(GIVEN)
    for name, kind in {
        "m": pa.map_(pa.string(), pa.int64()),
        "s": pa.struct([("value", pa.int64())]),
        "l": pa.list_(pa.int64()),
        "t": pa.time64("ns"),
        "d": pa.decimal256(76, 3),
        "u": pa.uuid(),
        "j": pa.json_(),
    }.items():
        table = table.append_column(name, pa.nulls(len(table), kind))
    pq.write_table(table, tmp_path / "a.parquet")
    assert answers(tmp_path) == plain


def test_encrypted_columns_are_named(tmp_path: Path) -> None:
    """A footer in plain, of which Arrow would end the process."""
    from base64 import b64decode, b64encode

    from pyarrow.parquet import encryption

    class Keys(encryption.KmsClient):  # type: ignore[misc]
        def wrap_key(self, key: bytes, _: str) -> bytes:
            return b64encode(key)

        def unwrap_key(self, key: bytes, _: str) -> bytes:
            return b64decode(key)

    factory = encryption.CryptoFactory(lambda _: Keys())
    table = rows.table(GIVEN)
    for name, columns in {"some": ["release"], "all": list(table.schema.names)}.items():
        how = encryption.EncryptionConfiguration(
            footer_key="f", column_keys={"c": columns}, plaintext_footer=True
        )
        properties = factory.file_encryption_properties(encryption.KmsConnectionConfig(), how)
        file = tmp_path / f"{name}.parquet"
        with pq.ParquetWriter(file, table.schema, encryption_properties=properties) as writer:
            writer.write_table(table)
        assert faults(file) == [
            f"{file}: the file has encrypted columns; write it without encryption"
        ]


def test_files_without_a_suffix(tmp_path: Path, plain: Any) -> None:
    """By their first bytes; hidden files and other formats are skipped."""
    for at, name in enumerate(
        ["20261120_1", "b.parq", "c.parquet.snappy", "d.PARQUET", "e.parquet.gz", "year=2026/f"]
    ):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        rows.write(file, GIVEN[2 * at : 2 * at + 2])
    for name in ["_SUCCESS", ".e.crc", "x.crc", "notes.md", "_metadata", "_common_metadata"]:
        (tmp_path / name).write_bytes(b"no data")
    for folder in ["_temporary", "_ledger", ".hidden"]:
        (tmp_path / folder).mkdir()
        rows.write(tmp_path / folder / "a.parquet", GIVEN)
        rows.write(tmp_path / folder / "b", GIVEN)
    rows.write(tmp_path / "_unfinished", GIVEN)
    assert answers(tmp_path) == plain


def test_what_is_no_file_is_passed_over(tmp_path: Path, plain: Any) -> None:
    """Sockets, pipes and links to nothing, beside data."""
    rows.write(tmp_path / "a.parquet", GIVEN)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("gone")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket"))
        assert answers(tmp_path) == plain


OTHER_TYPES = {
    "interval": "INTERVAL 1 DAY",
    "time": "'10:00:00+02'::TIMETZ",
    "bits": "'101'::BIT",
    "union": "union_value(a := 1)",
    "variant": "'{}'::JSON::VARIANT",
    "array": "[1, 2]::INTEGER[2]",
    "enum": "'a'::ENUM('a', 'b')",
    "struct": "{'metric': 1}",
    "map": "MAP {'member': 1}",
}


@pytest.mark.parametrize("kind", OTHER_TYPES)
def test_other_types_of_duckdb(kind: str, tmp_path: Path, plain: Any) -> None:
    """In a column that no question reads."""
    rows.write(tmp_path / "plain.parquet", GIVEN)
    duckdb.sql(
        f"COPY (SELECT *, {OTHER_TYPES[kind]} AS other FROM '{tmp_path}/plain.parquet')"
        f" TO '{tmp_path}/other.parquet'"
    )
    assert answers(tmp_path / "other.parquet") == plain


def test_text_as_enum_and_instants_as_int96(tmp_path: Path, plain: Any) -> None:
    rows.write(tmp_path / "plain.parquet", GIVEN)
    duckdb.sql(
        f"COPY (SELECT * REPLACE (session_status::ENUM('init', 'crashed', 'errored', 'exited') AS"
        f" session_status) FROM '{tmp_path}/plain.parquet') TO '{tmp_path}/enum.parquet'"
    )
    assert answers(tmp_path / "enum.parquet") == plain
    pq.write_table(
        rows.table(GIVEN), tmp_path / "spark.parquet", use_deprecated_int96_timestamps=True
    )
    assert answers(tmp_path / "spark.parquet") == plain


@pytest.mark.parametrize("kind", [pa.date32(), pa.date64()])
def test_dates(kind: pa.DataType, tmp_path: Path) -> None:
    table = rows.table([session(), user(1)])
    dates = pa.array([NOON.date()] * 2, kind)
    at = table.schema.get_field_index("timestamp")
    pq.write_table(table.set_column(at, "timestamp", dates), tmp_path / "a.parquet")
    midnight = NOON.replace(hour=0)
    rows.write(tmp_path / "b.parquet", [session(timestamp=midnight), user(1, timestamp=midnight)])
    assert overview(tmp_path / "a.parquet") == overview(tmp_path / "b.parquet")


def test_folders_in_another_case(tmp_path: Path) -> None:
    folder = tmp_path / "Project_ID=3" / "RELEASE=x%2F1"
    write(folder / "a.parquet", session(), without=["project_id", "release"])
    assert list(overview(tmp_path)) == [(3, "x/1")]


def test_empty_files(tmp_path: Path, plain: Any) -> None:
    rows.write(tmp_path / "a.parquet", GIVEN)
    for number in range(3):
        rows.write(tmp_path / f"empty{number}.parquet", [], without=["member", "release"])
    pq.write_table(pa.table({"x": pa.array([], pa.null())}), tmp_path / "other.parquet")
    assert answers(tmp_path) == plain


QUESTIONS = [
    ["overview"],
    ["overview", "-r", "shop@1"],
    ["overview", "-r", "1/shop@1"],
    ["inspect"],
    ["releases"],
    ["projects"],
    ["query", "-F", "sum(session)"],
    ["adoption"],
    ["release", "shop@1"],
    ["compare", "shop@1", "shop@2"],
]


@pytest.mark.parametrize("now", ["latest", NOW])
@pytest.mark.parametrize("line", QUESTIONS, ids=" ".join)
def test_no_data_yet(line: list[str], now: str, tmp_path: Path) -> None:
    """An answer with a warning, and no error."""
    rows.write(tmp_path / "a.parquet", [])
    ended = command(line[0], str(tmp_path), *line[1:], "--now", now, "-f", "json")
    assert ended.code == ExitCode.OK, ended.err
    assert "no data yet: 1 file and no row in any of the sources" in ended.err
    assert now != "latest" or "--now latest" not in ended.err
    assert '"files": 1' in ended.out


@pytest.mark.parametrize("now", ["latest", NOW])
@pytest.mark.parametrize("line", QUESTIONS, ids=" ".join)
def test_no_data_any_more(line: list[str], now: str, tmp_path: Path) -> None:
    """All inputs of a data set were taken out again."""
    table, dataset = tmp_path / "in.csv", tmp_path / "data"
    table.write_text(f"session_id,started,status,release\n1,{NOW},ok,shop@1\n")
    ingest = ["ingest", "--to", str(dataset), "--project", "1", "--now", NOW]
    assert command(*ingest, str(table)).code == ExitCode.OK
    assert command("ingest", "--to", str(dataset), "--forget", "in.csv").code == ExitCode.OK
    ended = command(line[0], str(dataset), *line[1:], "--now", now, "-f", "json")
    assert ended.code == ExitCode.OK, ended.err
    assert "no data yet: no file in any of the sources" in ended.err
    made = command("rollup", str(dataset))
    assert made.code == ExitCode.OK
    assert "0 days made" in made.err
    strict = command(line[0], str(dataset), *line[1:], "--now", now, "--strict")
    assert strict.code == ExitCode.DATA
    assert "no data yet" in strict.err


def test_a_table_of_sessions_names_ingest(tmp_path: Path) -> None:
    table = pa.table({"session_id": ["a"], "started": [NOON], "status": ["ok"], "release": ["x"]})
    file = tmp_path / "a.parquet"
    pq.write_table(table, file)
    (fault,) = faults(file)
    assert fault.startswith(f"{file}: a table of sessions (columns session_id, started, status)")
    assert "relhealth ingest" in fault


def test_a_directory_of_csv_names_ingest(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("session_id,status\n1,ok\n")
    (fault,) = faults(tmp_path)
    assert "no Parquet file in this directory, but CSV: " in fault
    assert "relhealth ingest" in fault


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"a.csv.gz": gzip.compress(b"a,b\n1,2\n")}, "CSV compressed by gzip: make a data set of"),
        ({"a.csv": "a,b\n".encode("utf-16")}, "CSV: make a data set of it with relhealth ingest"),
        (
            {"a.db": b"SQLite format 3\0", "b.xlsx": b"PK\x03\x04xl/", "c.csv": b"a,b\n"},
            (
                "a SQLite database: export its sessions as CSV or Parquet for relhealth ingest;"
                " an Excel or Office file: save the sheet as CSV for relhealth ingest; CSV: make"
            ),
        ),
        ({"a.txt": b"hello", "b.txt": b"hello"}, "files of other kinds, such as a.txt"),
    ],
)
def test_a_directory_without_parquet_says_what_is_there(
    files: dict[str, bytes], told: str, tmp_path: Path
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    (fault,) = faults(tmp_path)
    assert fault.startswith(f"{tmp_path}: no Parquet file in this directory, but {told}")


def test_a_release_with_a_slash(tmp_path: Path) -> None:
    """Its name goes first; what may be two is refused with how to say each."""
    given = [
        session(project_id=7, release="2"),
        session(project_id=5, release="7/3"),
        session(project_id=5, release="org/pkg@1.0"),
        session(project_id=5, release="7/2"),
    ]
    file = write(tmp_path / "a.parquet", *given)

    def asked(*line: str) -> list[str]:
        ended = command("overview", str(file), "--now", NOW, "-f", "csv", *line)
        if ended.code:
            assert ended.code == ExitCode.USAGE
            return [ended.err]
        return [",".join(row.split(",")[:2]) for row in ended.out.splitlines()[1:]]

    assert asked("-r", "7/3") == ["5,7/3"]
    assert asked("-r", "5/7/3") == ["5,7/3"]
    assert asked("-r", "org/pkg@1.0") == ["5,org/pkg@1.0"]
    assert asked("-r", "7/2", "-p", "5") == ["5,7/2"]
    assert asked("-r", "2", "-p", "7") == ["7,2"]
    assert asked("-r", "5/7/2") == ["5,7/2"]
    (told,) = asked("-r", "7/2")
    assert "name the one by 5/7/2, the other by -p 7 -r 2" in told
    for line in (["gate", "-r", "7/3", "--target", "9"], ["compare", "7/3", "org/pkg@1.0"]):
        ended = command(line[0], str(file), *line[1:], "--now", NOW)
        assert ended.code in {ExitCode.OK, ExitCode.GATE_INCONCLUSIVE}, ended.err
    with ReleaseHealth(file) as health:
        assert list(health.overview(["7/2"], now=NOW)) == [(5, "7/2")]
        assert list(health.overview([(7, "2")], now=NOW)) == [(7, "2")]
        with pytest.raises(QuestionError):
            health.overview(["a\nb"], now=NOW)


@pytest.mark.parametrize("path", ["files", "templates", "rollup"])
def test_a_clock_days_ahead(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Latest ignores data later than the clock, and names its project and release."""
    monkeypatch.setattr("relhealth.core.clock.now", lambda: NOON + dt.timedelta(hours=2))
    late = session(project_id=3, release="b@2", timestamp=NOON + dt.timedelta(days=3))
    for name, given in {"a": [session(), late], "b": [session(timestamp=NOON)]}.items():
        write(tmp_path / f"{name}.parquet", *given, row_group_size=1)
    told: list[str] = []
    with by(path), ReleaseHealth(tmp_path, warn=told.append) as health:
        assert health.overview(now="latest").scope.now == NOON + dt.timedelta(seconds=1)
        health.inspect(now="latest")
    (warning,) = told
    assert "the newest of project 3, release b@2, is of 2026-03-05T12:00:00Z" in warning
    only = write(tmp_path / "only" / "c.parquet", late)
    with by(path), ReleaseHealth(only) as health, pytest.raises(DataError, match="later than the"):
        health.overview(now="latest")


@pytest.mark.parametrize(("hours", "now"), [(1, "latest"), (-1, "2026-03-02T12:00:01Z")])
def test_where_the_newest_sessions_are(
    hours: int, now: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by latest, where that passes over them."""
    monkeypatch.setattr("relhealth.core.clock.now", lambda: NOON + dt.timedelta(hours=hours))
    file = write(tmp_path / "a.parquet", session(timestamp=NOON))
    ended = command("overview", str(file), "--now", "2026-01-01T00:00:00Z")
    assert "the newest session metric is from 2026-03-02T12:00:00Z: ask about that" in ended.err
    assert f"with --now {now}\n" in ended.err
    assert " 1 release," in command("overview", str(file), "--now", now).err


def test_latest_names_what_it_passes_over(tmp_path: Path) -> None:
    file = write(tmp_path / "a.parquet", session(release="a@1.0"), session(release="nightly"))
    ask = ["-r", "latest", "--target", "9", "--now", NOW, "--settle", "0"]
    ended = command("gate", str(file), *ask)
    assert "latest ignores names that are not versions: 1/nightly" in ended.err


def test_overviews_of_the_same_rows_are_equal(tmp_path: Path) -> None:
    """What the comparisons above rely on."""
    rows.write(tmp_path / "a.parquet", GIVEN)
    rows.write(tmp_path / "b.parquet", GIVEN[1:])
    assert overview(tmp_path / "a.parquet") != overview(tmp_path / "b.parquet")
