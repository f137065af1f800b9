"""`relhealth ingest` and `compact`: inputs of every kind, once, in full, and refusals."""

from __future__ import annotations

import base64
import gzip
import json
import os
import struct
import subprocess
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from command import run
from envelopes import (
    DURATIONS,
    ERRORS,
    NOW,
    SESSIONS,
    USERS,
    envelope,
    expected,
    ingest,
    member_of,
    rejects_of,
    rows_of,
    update,
)
from places import TESTS
from process import command, environment

if TYPE_CHECKING:
    from collections.abc import Sequence

DATA = TESTS / "data"
ONE = update(status="exited", duration=3.5, did="user-1")


def written(path: Path, content: bytes | str) -> Path:
    """Write an input."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def figures(dataset: Path, *options: str) -> dict[str, Any]:
    """Return the one release's figures of an overview at the usual now."""
    result = run("overview", str(dataset), "--now", NOW, "-f", "json", *options)
    assert result.code == 0, result.err
    (row,) = json.loads(result.out)["data"]
    return dict(row)


def refused(line: Sequence[str], code: int) -> str:
    """Return the one line of a refused ingest."""
    result = run("ingest", *line)
    assert (result.code, result.out) == (code, ""), result
    first = result.err.splitlines()[0]
    assert first.startswith("relhealth: error: ")
    assert result.err.count("\n") == 1 or code == 2
    return first.removeprefix("relhealth: error: ")


# Real SDKs.


def test_real_envelopes_give_the_figures_of_real_data(tmp_path: Path) -> None:
    dataset = tmp_path / "data"
    now = ("--now", "2026-11-23T21:00:00Z")
    line = ("ingest", str(DATA / "envelopes"), "--to", str(dataset), "-p", "1", *now, "-q")
    assert run(*line).code == 0
    asked = ("--now", "latest", "--stats-period", "24h", "-q", "-f", "csv")
    wanted = run("overview", str(DATA / "sdk_sessions.parquet"), *asked)
    assert wanted.code == 0
    assert run("overview", str(dataset), *asked) == wanted
    # The same in two halves, and compacted.
    halves = tmp_path / "halves"
    files = sorted((DATA / "envelopes").iterdir())
    for part in (files[::2], files[1::2]):
        to = ("--to", str(halves), "-p", "1", *now, "-q")
        assert run("ingest", *map(str, part), *to).code == 0
    assert len(list(halves.glob("date=*/*.parquet"))) == 2
    assert run("overview", str(halves), *asked) == wanted
    assert run("compact", str(halves)).code == 0
    assert len(list(halves.glob("date=*/*.parquet"))) == 1
    assert run("overview", str(halves), *asked) == wanted
    assert rows_of(halves) == rows_of(dataset)


# What an input may be.


@pytest.mark.parametrize("length", [True, False])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("last", [b"", b"\n", b"\n\n"])
@pytest.mark.parametrize("times", [1, 100])
def test_spellings_of_an_envelope(
    *, length: bool, line_end: bytes, last: bytes, times: int, tmp_path: Path
) -> None:
    updates = [update(f"{n:032x}", status="exited", duration=1.5) for n in range(times)]
    stream = envelope(*updates, length=length).rstrip(b"\n").replace(b"\n", line_end) + last
    ingest(written(tmp_path / "in", stream), tmp_path / "data")
    assert rows_of(tmp_path / "data") == expected((1, one) for one in updates)


def test_payloads_of_several_lines(tmp_path: Path) -> None:
    payload = json.dumps(ONE, indent=2).encode()
    head = json.dumps({"type": "session", "length": len(payload)}).encode()
    stream = envelope(head + b"\n" + payload) + envelope(ONE | {"sid": "b" * 32})
    told = ingest(written(tmp_path / "in", stream), tmp_path / "data")
    assert told["accepted"] == {"session": 2}
    assert rows_of(tmp_path / "data") == expected([(1, ONE), (1, ONE | {"sid": "b" * 32})])


def test_other_items_are_passed_over_and_counted(tmp_path: Path) -> None:
    others = [b'{"type":"event","length":4}\n{\n}\n', b'{"type":"log"}\n{}', b'{"type":"event"}\n']
    told = ingest(written(tmp_path / "in", envelope(*others, ONE)), tmp_path / "data")
    assert told["passed_over"] == {"event": 2, "log": 1}
    assert told["accepted"] == {"session": 1}


def test_the_project_is_the_envelope_s_or_the_named(tmp_path: Path) -> None:
    stream = envelope(ONE, project=7) + envelope(ONE, project=None)
    source = written(tmp_path / "in", stream)
    told = ingest(source, tmp_path / "data", code=4)
    assert told["rejected"] == {"no project: the envelope has no DSN; name one with --project": 1}
    ingest(source, tmp_path / "named", "-p", "8", "--org", "3")
    assert {row[:2] for row in rows_of(tmp_path / "named")} == {(3, 7), (3, 8)}


def test_directories_gzip_and_streams(tmp_path: Path) -> None:
    folder = tmp_path / "in" / "deeper"
    folder.mkdir(parents=True)
    written(folder / "b.envelope", envelope(ONE | {"sid": "b" * 32}))
    packed = gzip.compress(envelope(ONE)) + gzip.compress(envelope(ONE | {"sid": "c" * 32}))
    written(folder.parent / "a.gz", packed)
    written(folder.parent / ".hidden", b"nonsense")
    told = ingest(folder.parent, tmp_path / "data")
    assert (told["inputs"], told["sessions"], told["rejected"]) == (2, 3, {})


def from_stdin(stream: bytes, dataset: Path) -> dict[str, Any]:
    """Ingest standard input."""
    line = ("ingest", "-", "--to", str(dataset), "--now", NOW, "-f", "json", "-q")
    done = subprocess.run(
        command(*line), input=stream, capture_output=True, env=environment(), check=True
    )
    data: dict[str, Any] = json.loads(done.stdout)["data"]
    return data


def test_standard_input(tmp_path: Path) -> None:
    stream = b"\n".join(envelope(ONE | {"sid": f"{n:032x}"}) for n in range(500))
    assert from_stdin(stream, tmp_path / "data")["sessions"] == 500
    again = from_stdin(stream, tmp_path / "data")
    assert (again["known_inputs"], again["sessions"], again["items"]) == (1, 0, 0)
    rows = rows_of(tmp_path / "data")
    assert {rows[row] for row in rows if row[3] == SESSIONS} == {500}


def bucket(name: str, value: Any, **fields: Any) -> bytes:
    """Return a metric bucket of noon."""
    usual = {"org_id": 1, "project_id": 3, "timestamp": 1_772_452_805, "type": name[0]}
    tags = {"release": "shop@1.0.0", "environment": "production", "session.status": "init"}
    return json.dumps(usual | {"name": name, "value": value, "tags": tags} | fields).encode()


def test_metric_buckets(tmp_path: Path) -> None:
    lines = [
        bucket(SESSIONS, 5),
        bucket(USERS, [1, 2, 2**32]),
        bucket(DURATIONS, {"format": "array", "data": [1.0, 2.5]}),
        # 7 and 8 in 32 bits each, and 1.5 in 64 bits, little-endian.
        bucket(ERRORS, {"format": "base64", "data": "BwAAAAgAAAA"}),
        bucket(DURATIONS, {"format": "base64", "data": "AAAAAAAA+D8="}),
        bucket("c:transactions/count@none", 1),
        bucket(SESSIONS, 2**32),
        bucket(SESSIONS, 2**32 + 1),
        bucket(SESSIONS, -1),
        bucket(SESSIONS, 1, timestamp=1e18),
        bucket(SESSIONS, {"format": "base64", "data": "!"}),
        bucket(SESSIONS, 1, tags={"release": "shop\t1"}),
        b"{",
    ]
    told = ingest(written(tmp_path / "in", b"\n".join(lines)), tmp_path / "data", code=4)
    assert told["accepted"] == {"bucket": 6}
    assert told["passed_over"] == {"c:transactions/count@none": 1}
    assert sum(told["rejected"].values()) == 6
    rows = rows_of(tmp_path / "data")
    assert sorted((row[3], row[9] if row[8] is None else row[8]) for row in rows.elements()) == [
        (SESSIONS, 5.0),
        (SESSIONS, 2.0**32),
        *((DURATIONS, value) for value in (1.0, 1.5, 2.5)),
        *((ERRORS, member) for member in (7, 8)),
        *((USERS, member) for member in (1, 2, 2**32)),
    ]
    assert {row[:2] for row in rows} == {(1, 3)}


@pytest.mark.parametrize("padded", [True, False])
def test_values_packed_with_zstd(padded: bool, tmp_path: Path) -> None:  # noqa: FBT001 - a parameter
    def packed(code: str, *values: float) -> dict[str, str]:
        frame = pa.compress(struct.pack(f"<{len(values)}{code}", *values), "zstd", asbytes=True)
        text = base64.b64encode(frame).decode()
        return {"format": "zstd", "data": text if padded else text.rstrip("=")}

    lines = [
        bucket(DURATIONS, packed("d", 0.5, 2.0)),
        bucket(USERS, packed("I", 7, 2**32 - 1)),
        bucket(USERS, {"format": "zstd", "data": "AAAA"}),
        bucket(DURATIONS, packed("d", float("nan"))),
    ]
    told = ingest(written(tmp_path / "in", b"\n".join(lines)), tmp_path / "data", code=4)
    assert told["accepted"] == {"bucket": 2}
    assert sum(told["rejected"].values()) == 2
    rows = sorted((row[3], row[8], row[9]) for row in rows_of(tmp_path / "data"))
    assert rows == [
        (DURATIONS, 0.5, None), (DURATIONS, 2.0, None), (USERS, None, 7), (USERS, None, 2**32 - 1),
    ]  # fmt: skip


SHARED = {"project_id": 1, "release": "shop@1.0.0", "environment": "e"}
EXITED = {"session_id": "A-1", "started": "2026-03-02T12:00:00Z", "status": "exited"}
CRASHED = {"session_id": "A-2", "started": "2026-03-02 12:00:01", "status": "crashed"}
ERRORED = {"session_id": "A-3", "started": "2026-03-02T12:00:02Z", "status": "healthy"}
TABLE: list[dict[str, Any]] = [
    EXITED | SHARED | {"duration": 2.5},
    CRASHED | SHARED | {"user_id": "u"},
    ERRORED | SHARED | {"errors": 2},
]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_tables_of_sessions(kind: str, tmp_path: Path) -> None:
    names = list(dict.fromkeys(name for row in TABLE for name in row))
    source = tmp_path / f"sessions.{kind}"
    match kind:
        case "csv":
            lines = [",".join(str(row.get(name, "")) for name in names) for row in TABLE]
            written(source, "\n".join([",".join(names), *lines]))
        case "jsonl":
            written(source, "\n".join(map(json.dumps, TABLE)))
        case _:
            columns = {name: [row.get(name) for row in TABLE] for name in names}
            pq.write_table(pa.table(columns), source)
    told = ingest(source, tmp_path / "data")
    assert (told["accepted"], told["sessions"]) == ({"row": 3}, 3)
    rows = Counter(
        (row[3], row[6], row[8], row[9]) for row in rows_of(tmp_path / "data").elements()
    )
    assert rows == Counter(
        {
            (SESSIONS, "init", 1.0, None): 3,
            (SESSIONS, "crashed", 1.0, None): 1,
            (DURATIONS, "exited", 2.5, None): 1,
            (ERRORS, None, None, member_of("A-2")): 1,
            (ERRORS, None, None, member_of("A-3")): 1,
            (USERS, "errored", None, member_of("u")): 1,
            (USERS, "crashed", None, member_of("u")): 1,
        }
    )


def test_tables_with_columns_and_words_of_their_own(tmp_path: Path) -> None:
    source = written(tmp_path / "in.csv", f"uuid,begin,word\na,{NOW},bad\n")
    options: tuple[str, ...] = ("-p", "1", "--map", "session_id=uuid")
    options += ("--map", "started=begin")
    options += ("--map", "status=word")
    options += ("--no-release",)
    told = ingest(source, tmp_path / "data", *options, "--status", "bad=crashed")
    assert told["accepted"] == {"row": 1}
    assert (SESSIONS, "crashed") in {(row[3], row[6]) for row in rows_of(tmp_path / "data")}
    to = ("--to", str(tmp_path / "other"), "--now", NOW)
    found = refused([str(source), *to, *options], 4)
    assert found.startswith(f"{source}: unknown words for a status: 'bad' (1); say what each means")
    told = ingest(source, tmp_path / "other", *options, "--unknown-status", "reject", code=4)
    assert told["rejected"] == {
        "status: unknown word; say what it means with --status WORD=STATUS": 1
    }
    assert told["unknown_statuses"] == {"bad": 1}


def test_tables_without_their_columns(tmp_path: Path) -> None:
    source = written(tmp_path / "in.csv", "a,b\n1,2\n")
    found = refused([str(source), "--to", str(tmp_path / "data")], 4)
    assert found.startswith(f"{source}: no column session_id or sid or ")
    assert not list(tmp_path.glob("data/date=*"))


# Once.


def test_the_same_input_again_adds_nothing_and_says_so(tmp_path: Path) -> None:
    source, dataset = written(tmp_path / "in", envelope(ONE)), tmp_path / "data"
    ingest(source, dataset)
    before = sorted(dataset.rglob("*.parquet")), rows_of(dataset)
    copy = written(tmp_path / "copy", source.read_bytes())
    for again in (source, copy):
        told = ingest(again, dataset)
        assert (told["known_inputs"], told["items"], told["files"]) == (1, 0, [])
        result = run("ingest", str(again), "--to", str(dataset), "--now", NOW)
        assert f"{again}: ingested before, adds nothing" in result.err
    assert (sorted(dataset.rglob("*.parquet")), rows_of(dataset)) == before
    both = run("ingest", str(source), str(copy), "--to", str(tmp_path / "new"), "--now", NOW)
    assert both.code == 0
    assert rows_of(tmp_path / "new") == before[1]


def test_an_input_that_was_all_rejected_may_come_again(tmp_path: Path) -> None:
    source = written(tmp_path / "in", envelope(ONE, project=None))
    for _ in range(2):
        assert ingest(source, tmp_path / "data", code=4)["accepted"] == {}
    for known in (0, 1):
        told = ingest(source, tmp_path / "data", "-p", "1")
        assert (told["known_inputs"], told["sessions"]) == (known, 1 - known)


def test_a_first_update_delivered_twice_counts_once(tmp_path: Path) -> None:
    for times in (2, 200):
        dataset = tmp_path / str(times)
        crashed = update(status="crashed", did="user-1")
        stream = envelope(*[crashed] * times, crashed | {"sid": "AAAAAAAA-" + "a" * 24})
        told = ingest(written(tmp_path / f"in{times}", stream), dataset)
        assert told["sessions"] == 1
        assert rows_of(dataset) == expected([(1, crashed)])


# What is refused.


REJECTED = {
    "started more than 90 days ago": update(started="2025-11-02T12:00:00Z"),
    "started more than 5 days in the future": update(started="2026-03-09T12:00:00Z"),
    "started: no readable time": update(started="yesterday"),
    "status: unknown word": update(status="dead"),
    "sid: empty": update(sid="--"),
    "sid: expected text": update([5]),  # type: ignore[arg-type]  # as it may come
    "release: expected text": update(attrs={"release": ["shop"]}),
    "release: a release has no line end and no tab": update(attrs={"release": "shop\n1"}),
}


@pytest.mark.parametrize("reason", REJECTED)
@pytest.mark.parametrize("beside", [0, 100])
def test_bad_items_are_kept_with_their_reason(reason: str, beside: int, tmp_path: Path) -> None:
    good = [update(f"{n:032x}") for n in range(beside)]
    source = written(tmp_path / "in", envelope(*good, REJECTED[reason]))
    told = ingest(source, tmp_path / "data", code=0 if beside else 4)
    (found,) = told["rejected"]
    assert reason in found
    assert told["accepted"] == ({"session": beside} if beside else {})
    (kept,) = rejects_of(tmp_path / "data")
    assert (kept["reason"], kept["input"]) == (found, str(source))
    assert json.loads(kept["item"]) == REJECTED[reason]
    result = run("ingest", str(source), "--to", str(tmp_path / "x"), "--now", NOW)
    assert f"1 item rejected: {found}" in result.err
    assert result.err.count("yesterday") == (found == "started: no readable time")
    strict = ["--to", str(tmp_path / "strict"), "--now", NOW, "--strict"]
    assert reason in refused([str(source), *strict], 4)
    assert not rows_of(tmp_path / "strict")


def test_the_retention_can_be_longer(tmp_path: Path) -> None:
    old = update(started="2025-11-02T12:00:00Z")
    told = ingest(written(tmp_path / "in", envelope(old)), tmp_path / "d", "--retention", "365d")
    assert told["accepted"] == {"session": 1}


def test_sizes_are_bounded(tmp_path: Path) -> None:
    huge = update(did="x" * 2_000_000)
    deep = b'{"type":"session"}\n{"sid":' + b"[" * 500_000
    line = b'{"type":"session"}\n' + b"x" * 3_000_000
    many = [update(f"{n:032x}") for n in range(100)]
    stream = envelope(huge) + envelope(huge, length=False) + envelope(deep) + envelope(line)
    stream += envelope(*many, deep, *many)
    told = ingest(written(tmp_path / "in", stream), tmp_path / "data")
    assert told["accepted"] == {"session": 200}
    assert sum(told["rejected"].values()) == 5
    assert sum("longer than 1,048,576 bytes" in reason for reason in told["rejected"]) == 2


def test_a_bomb_and_damaged_gzip_are_refused(tmp_path: Path) -> None:
    bomb = written(tmp_path / "bomb.gz", gzip.compress(b"\n" * 200_000_000, 9))
    to = ["--to", str(tmp_path / "data"), "--now", NOW]
    assert "gzip data: a bomb, it grows more than 200 times" in refused([str(bomb), *to], 4)
    cut = written(tmp_path / "cut.gz", gzip.compress(envelope(ONE))[:-20])
    assert refused([str(cut), *to], 4) == f"{cut}: gzip data: cut short"


def test_what_is_no_input(tmp_path: Path) -> None:
    to = ["--to", str(tmp_path / "data")]
    gone = tmp_path / "gone"
    assert refused([str(gone), *to], 4) == f"{gone}: no such file or directory"
    empty = tmp_path / "empty"
    empty.mkdir()
    assert refused([str(empty), *to], 4) == f"{empty}: no file in this directory"
    assert ingest(written(tmp_path / "zero", b""), tmp_path / "data", code=4)["items"] == 0
    prose = written(tmp_path / "prose", "It was a dark night.")
    assert "neither envelopes, metric buckets nor a table" in refused([str(prose), *to], 4)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--retention", "x"], "retention"),
        (["--map", "nonsense"], "--map"),
        (["--map", "nonsense=a"], "unknown field"),
        (["--status", "bad=nonsense"], "unknown status"),
        (["--from", "xml"], "--from"),
        (["--now", "x"], "ISO 8601"),
        (["-f", "csv"], "table or json"),
        (["-"], "must be the only input"),
    ],
)
def test_bad_options(options: list[str], told: str, tmp_path: Path) -> None:
    source = written(tmp_path / "in", envelope(ONE))
    assert told in refused([str(source), "--to", str(tmp_path / "data"), *options], 2)
    assert not (tmp_path / "data").exists()


def test_a_dataset_that_cannot_be_written(tmp_path: Path) -> None:
    source, plain = written(tmp_path / "in", envelope(ONE)), written(tmp_path / "plain", b"")
    found = refused([str(source), "--to", str(plain)], 4)
    assert found.startswith(f"{plain}: cannot write the data set")
    result = run("compact", str(tmp_path))
    assert result.code == 4
    assert "no data set of relhealth ingest" in result.err


def test_the_summary_is_a_table_too(tmp_path: Path) -> None:
    source = written(tmp_path / "in", envelope(ONE, b'{"type":"event"}\n{}'))
    result = run("ingest", str(source), "--to", str(tmp_path / "data"), "--now", NOW)
    assert (result.code, result.err) == (
        0, "relhealth: 2 items, 1 session, 0 rejected items\n",
    )  # fmt: skip
    assert result.out.startswith("Ingested\n")
    assert SESSIONS in result.out
    out = tmp_path / "summary.json"
    line = ("ingest", str(source), "--to", str(tmp_path / "other"), "--now", NOW, "-o", str(out))
    assert run(*line, "-q") == (0, "", "")
    assert json.loads(out.read_text())["data"]["sessions"] == 1


# How it lies on disk.


def test_files_are_sorted_compressed_and_per_day(tmp_path: Path) -> None:
    starts = [f"2026-03-0{1 + n % 2}T0{n % 10}:00:00Z" for n in range(300)]
    updates = [update(f"{n:032x}", did=f"u{n % 7}", started=at) for n, at in enumerate(starts)]
    stream = b"".join(envelope(one, project=n % 3) for n, one in enumerate(updates))
    dataset = tmp_path / "data"
    ingest(written(tmp_path / "in", stream), dataset)
    files = sorted(dataset.glob("date=*/*.parquet"))
    assert [file.parent.name for file in files] == ["date=2026-03-01", "date=2026-03-02"]
    for file in files:
        with pq.ParquetFile(file) as opened:
            group = opened.metadata.row_group(0)
            for index in range(group.num_columns):
                assert group.column(index).compression == "ZSTD"
                assert group.column(index).statistics is not None
            rows = opened.read().to_pylist()
        keys = [(row["metric"], row["project_id"], row["timestamp"]) for row in rows]
        assert keys == sorted(keys)
    leftovers = {path.name for path in dataset.iterdir()} - {"_ledger", "_rejected"}
    assert leftovers == {"date=2026-03-01", "date=2026-03-02"}
    assert not (dataset / "_ledger" / "pending.json").exists()


def test_what_is_pending_is_seen_by_readers(tmp_path: Path) -> None:
    """A transaction that was committed has happened, though its files wait for their names."""
    source, dataset = written(tmp_path / "in", envelope(ONE)), tmp_path / "data"
    ingest(source, dataset)
    (file,) = dataset.glob("date=*/*.parquet")
    before = figures(dataset)
    staging = dataset / "_staging" / "t"
    staging.mkdir(parents=True)
    name = str(file.relative_to(dataset))
    pending = {"format": 1, "name": "t", "moves": {"0-x.parquet": name}}
    pending |= {"removals": [], "inputs": []}
    file.rename(staging / "0-x.parquet")
    (dataset / "_ledger" / "pending.json").write_text(json.dumps(pending))
    assert figures(dataset) == before
    ingest(written(tmp_path / "other", envelope(ONE | {"sid": "b" * 32})), dataset)
    assert file.exists()
    assert figures(dataset)["total_sessions"] == 2
    assert not os.path.lexists(staging)
