"""Damaged files: refused by name, and never an end of the process or another answer."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from command import run
from files import NOW, damage, various, write
from places import ROOT
from process import finish, script
from relhealth import ReleaseHealth
from relhealth.datasets import footers, parquet_pages, thrift
from relhealth.datasets.checking import UNREADABLE
from relhealth.datasets.dictionaries import codes
from relhealth.rollup.build import make
from rows import NOON, session, table

if TYPE_CHECKING:
    from collections.abc import Callable

BENCHMARK = ROOT / "benchmarks" / "damage.py"
KIND = b"\x15\x04\x19\x35\x00\x06\x10"  # 64-bit integers, and their encodings
WHAT = "column timestamp is another one in a row group"
QUESTIONS = (("overview",), ("releases",), ("inspect",), ("overview", "--now", "latest"))


def answers(path: Path) -> list[tuple[int, str]]:
    """Return exit code and messages of each question."""
    found = []
    for command, *options in QUESTIONS:
        result = run(command, str(path), *(options or ["--now", NOW]), "-f", "json")
        found.append((result.code, result.err))
    return found


def patch(path: Path, change: Callable[[bytes], bytes]) -> Path:
    """Change the footer of a file."""
    data = path.read_bytes()
    at = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    footer = change(data[at:-8])
    path.write_bytes(data[:at] + footer + len(footer).to_bytes(4, "little") + b"PAR1")
    return path


@pytest.mark.parametrize("options", [[], ["--envelopes"]], ids=str)
@pytest.mark.parametrize(
    ("first", "count"),
    [("0", "14"), pytest.param("14", "25", marks=pytest.mark.slow)],
)
def test_cases_of_the_benchmark(first: str, count: str, options: list[str]) -> None:
    """Some of its cases, always the same: two of each writer, and twenty-five more."""
    chosen = ["--first", first, "--count", count]
    ended = finish([sys.executable, str(BENCHMARK), *chosen, *options])
    assert ended.code == 0, ended.out.decode() + ended.err


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (KIND + b"\x19\x18\x09timestamp", b"\x15\x02" + KIND[2:] + b"\x19\x18\x09timestamp", WHAT),
        (b"\x19\x18\x09timestamp", b"\x19\x18\x09timestamq", WHAT),
        (b"\x15\x04\x25\x02\x18\x09timestamp", b"\x15\x02\x25\x02\x18\x09timestamp", ""),
    ],
    ids=["kind", "name", "kind in the schema"],
)  # fmt: skip
def test_a_footer_that_would_end_the_process(
    tmp_path: Path, old: bytes, new: bytes, why: str
) -> None:
    """Arrow looks at columns and statistics in calls that no exception leaves."""
    path = write(tmp_path / "a.parquet", *various())
    patch(path, lambda footer: footer.replace(old, new))
    code = "from relhealth.__main__ import main; import sys; sys.exit(main(sys.argv[1:]))"
    for command in ("overview", "releases", "inspect"):
        ended = finish(script(code, command, str(path), "--now", NOW))
        assert ended.code == 4, ended
        assert why in ended.err
        assert "Traceback" not in ended.err


def test_every_byte_of_a_footer(tmp_path: Path) -> None:
    """Each changed in turn; what is wrong is raised."""
    path = write(tmp_path / "a.parquet", *various(), row_group_size=300)
    data = path.read_bytes()
    found = set()
    for at in range(len(data) - 8 - int.from_bytes(data[-8:-4], "little"), len(data) - 8):
        changed = bytearray(data)
        changed[at] ^= 1 << at % 8
        path.write_bytes(changed)
        try:
            footer = footers.read(str(path))
            footer.bounds("timestamp")
            found.add(len(footer.groups))
        except UNREADABLE:
            found.add(0)
    assert found == {0, 2}


@pytest.mark.parametrize("column", ["metric", "release", "session_status"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_checksums_are_checked_by_every_reader(tmp_path: Path, column: str, version: str) -> None:
    """A page that decodes as well as before, uncompressed, to something else."""
    path = write(
        tmp_path / "a.parquet",
        *various(),
        write_page_checksum=True,
        data_page_version=version,
        compression="none",
    )
    chunk = footers.read(str(path)).groups[0].chunks[column]
    data = bytearray(path.read_bytes())
    data[chunk.start + chunk.size - 1] ^= 1
    path.write_bytes(data)
    for code, said in answers(path):
        assert code == 4
        assert said.startswith(f"relhealth: error: {path}: damaged or changed while it was read;")
        assert f"column {column}: a page does not match its checksum" in said


def test_what_a_footer_says_twice_must_agree(tmp_path: Path) -> None:
    """The largest timestamp, in two forms: a reader skips row groups by one of them."""
    path = write(tmp_path / "a.parquet", session())
    stored = (int(NOON.timestamp()) * 10**6).to_bytes(8, "little")
    patch(path, lambda footer: footer.replace(stored, bytes(8), 1))
    for code, said in answers(path):
        assert code == 4
        assert "the statistics of column timestamp contradict one another" in said


def test_statistics_that_are_said_once_are_compared_with_the_column(tmp_path: Path) -> None:
    """DuckDB skips row groups by them."""
    path = write(tmp_path / "a.parquet", session(release="b@1"), write_page_checksum=True)
    patch(path, lambda footer: footer.replace(b"b@1", b"c@1"))
    result = run("releases", str(path), "--now", NOW)
    assert result.code == 4
    assert "the statistics of column release are not of what is in it" in result.err


def test_a_file_with_a_broken_seal(tmp_path: Path) -> None:
    data = ingested(tmp_path)
    (file,) = data.glob("date=*/*.parquet")
    patch(file, lambda footer: footer.replace(b"shop", b"shot"))
    for code, said in answers(data):
        assert code == 4
        assert f"{file}: truncated or damaged Parquet file; write it again" in said
        assert "the footer does not match its seal" in said


def ingested(tmp_path: Path) -> Path:
    """Return a data set of one session."""
    update = {
        "sid": "0" * 31 + "1",
        "did": "u",
        "init": True,
        "started": NOON.isoformat(),
        "status": "exited",
        "duration": 1.5,
        "attrs": {"release": "shop@1"},
    }
    raw = tmp_path / "raw.envelope"
    lines = ['{"dsn":"https://key@o1.ingest.example/42"}', '{"type":"session"}', json.dumps(update)]
    raw.write_text("\n".join(lines) + "\n")
    result = run("ingest", str(raw), "--to", str(tmp_path / "data"), "--now", NOW)
    assert result.code == 0, result.err
    return tmp_path / "data"


def test_a_struct_ends_behind_its_last_field() -> None:
    assert thrift.parse(b"\x15\x02\x00more") == ({1: 1}, 3)
    assert thrift.parse(b"\x16\x80\x02\x28\x02ab\x11\x00") == ({1: 128, 3: b"ab", 4: True}, 9)


NO_STRUCTS = {
    "cut": b"\x15",
    "deep": b"\x1c" * 100,
    "deep lists": b"\x19" * 100_000,
    "long list": b"\x19\xfc\xff\xff\xff\xff\x0f\x00",
    "long text": b"\x18\x7fa",
    "long number": b"\x15" + b"\xff" * 20,
    "twice": b"\x15\x02\x05\x02\x02\x00",
    "no such type": b"\x1f\x00",
}


@pytest.mark.parametrize("data", NO_STRUCTS.values(), ids=NO_STRUCTS.keys())
def test_bytes_that_are_no_struct(data: bytes) -> None:
    """Whatever size they ask for."""
    with pytest.raises(thrift.MalformedError):
        thrift.parse(data)


@pytest.mark.parametrize("options", [{}, {"write_statistics": False}, {"compression": "gzip"}])
def test_a_search_finds_what_a_walk_does(tmp_path: Path, options: dict[str, object]) -> None:
    given = [session(timestamp=None if at % 3 else NOON) for at in range(10)]
    path = write(tmp_path / "a.parquet", *given, row_group_size=2, **options)
    footer = footers.read(str(path))
    for column in ("timestamp", "org_id", "project_id"):
        walked = [group.chunks[column].bounds() for group in footer.groups]
        assert footer.bounds(column) == walked
        metadata = pq.read_metadata(path)
        at = metadata.schema.names.index(column)
        told = [metadata.row_group(group).column(at).statistics for group in range(5)]
        if told[0] is not None:
            assert [(one.low, one.high, one.nulls) for one in walked] == [
                (one.min_raw if one.has_min_max else None, one.max_raw if one.has_min_max else None,
                 one.null_count)
                for one in told
            ]  # fmt: skip


def test_only_what_may_be_read_is_checked(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", *various(), write_page_checksum=True)
    damage(path, "value")
    footer = footers.read(str(path))
    assert parquet_pages.check(str(path), footer, [0], ["metric", "no_such"])
    with pytest.raises(footers.DamagedError, match="column value"):
        parquet_pages.check(str(path), footer, [0], ["metric", "value"])


# inspect --verify


def test_verify_tells_what_could_be_verified(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet")
    write(tmp_path / "b.parquet", write_page_checksum=True)
    write(tmp_path / "c.parquet", session(), without=["release"])  # of another contract
    result = run("inspect", str(tmp_path), "--verify", "-f", "json")
    assert result.code == 0
    found = json.loads(result.out)["data"]
    assert found["files"] == 3
    assert (found["sealed"], found["checksums"], found["unverified"]) == (0, 1, 2)
    assert "2 files without checksums" in result.err


def test_verify_reads_columns_that_no_question_reads(tmp_path: Path) -> None:
    given = table([session()] * 100).append_column("other", pa.array([f"t{n}" for n in range(100)]))
    path = tmp_path / "a.parquet"
    pq.write_table(given, path, write_page_checksum=True)
    chunk = footers.read(str(path)).groups[0].chunks["other"]
    data = bytearray(path.read_bytes())
    data[chunk.start + chunk.size - 1] ^= 1
    path.write_bytes(data)
    assert run("overview", str(path), "--now", NOW).code == 0
    result = run("inspect", str(path), "--verify")
    assert result.code == 4
    assert "Damaged" in result.out
    assert f"error: {path}: damaged; write it again (column other: " in result.err


def test_verify_reads_the_rollup(tmp_path: Path) -> None:
    data = ingested(tmp_path)
    make(data)
    with ReleaseHealth(data) as health:
        undamaged = health.verify()
        assert undamaged.files == undamaged.sealed > 3
        (file,) = data.glob("_rollup/*/users.parquet")
        changed = bytearray(file.read_bytes())
        changed[40] ^= 4
        file.write_bytes(changed)
        (fault,) = health.verify().damaged
    assert fault.startswith(f"{file}: damaged")


def test_verify_of_what_is_not_there(tmp_path: Path) -> None:
    result = run("inspect", str(tmp_path / "a.parquet"), "--verify")
    assert result.code == 4
    assert "no such file" in result.err


def test_a_text_that_is_not_in_its_dictionary() -> None:
    texts = pa.DictionaryArray.from_arrays(pa.array([0, 7]), pa.array(["a"]), safe=False)
    with pytest.raises(ValueError, match="not in its dictionary"):
        codes(texts)
