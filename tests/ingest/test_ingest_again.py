"""Inputs that come again: compressed, grown, overlapping, by other options; and failures."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from command import run
from envelopes import NOW, SESSIONS, envelope, ingest, rows_of, update
from relhealth.ingest import dataset

if TYPE_CHECKING:
    from collections.abc import Sequence

HEAD = "session_id,started,project_id,status,release\n"
COUNTER = {
    "org_id": 1,
    "project_id": 1,
    "name": SESSIONS,
    "type": "c",
    "timestamp": 1_772_452_800,
    "tags": {"session.status": "init", "release": "shop@1.0.0"},
}


def row(number: int, status: str = "exited") -> str:
    """Return a row of a CSV table."""
    return f"s{number},{NOW},1,{status},shop@1.0.0\n"


def bucket(value: int) -> str:
    """Return a bucket of sessions."""
    return json.dumps(COUNTER | {"value": value})


def message(offset: int, value: int, partition: int = 0) -> str:
    """Return a message as `kcat -J` writes it."""
    position = {"topic": "ingest-metrics", "partition": partition, "offset": offset}
    return json.dumps(
        position | {"tstype": "create", "ts": 1, "key": None, "payload": bucket(value)}
    )


def aggregate(exited: int) -> dict[str, Any]:
    """Return sessions that came aggregated."""
    started = "2026-03-02T12:00:00Z"
    return {"aggregates": [{"started": started, "exited": exited}], "attrs": {"release": "a@1"}}


def sessions(dataset: Path) -> int:
    """Return how many sessions a data set counts."""
    found = (n * r[8] for r, n in rows_of(dataset).items() if (r[3], r[6]) == (SESSIONS, "init"))
    return int(sum(found))


def refused(*line: str, code: int = 4) -> str:
    """Return what stderr says of a refused ingest."""
    result = run("ingest", *line)
    assert (result.code, result.out) == (code, ""), result
    return result.err


def dataset_listing(dataset: Path) -> list[dict[str, Any]]:
    """Return the inputs of a data set."""
    result = run("ingest", "--list", "--to", str(dataset), "-f", "json")
    assert result.code == 0, result.err
    found: list[dict[str, Any]] = json.loads(result.out)["data"]
    return found


# Compressed and grown.


def test_an_input_is_known_when_it_was_compressed_since(tmp_path: Path) -> None:
    plain, packed = tmp_path / "log", tmp_path / "log.1.gz"
    plain.write_bytes(envelope(aggregate(5)))
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    for number, source in enumerate([plain, packed, plain]):
        told = ingest(source, tmp_path / "data")
        assert told["known_inputs"] == min(1, number)
    assert sessions(tmp_path / "data") == 5
    ingest(packed, tmp_path / "other")
    assert ingest(plain, tmp_path / "other")["known_inputs"] == 1


@pytest.mark.parametrize("ends", [b"", b"\n", b"\r\n"])
@pytest.mark.parametrize("again", [b"", b"\n", b"\r\n"])
def test_a_last_line_end_makes_no_other_input(ends: bytes, again: bytes, tmp_path: Path) -> None:
    content = envelope(aggregate(5)).removesuffix(b"\n")
    for name, end in (("a", ends), ("b", again)):
        (tmp_path / name).write_bytes(content + end)
        ingest(tmp_path / name, tmp_path / "data")
    assert sessions(tmp_path / "data") == 5


PARTS: dict[str, list[bytes]] = {
    "envelopes": [envelope(aggregate(n), update(f"{n:032x}")) for n in (1, 2, 4)],
    "buckets": [f"{bucket(n)}\n".encode() for n in (2, 3, 5)],
    "kafka": [f"{message(n, n + 1)}\n".encode() for n in (1, 2, 4)],
    "csv": [(HEAD + row(1) + row(2)).encode(), (row(3) + row(4) + row(5)).encode(),
            "".join(map(row, range(6, 11))).encode()],
}  # fmt: skip


@pytest.mark.parametrize("kind", PARTS)
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("renamed", [False, True])
def test_a_grown_input_goes_on_where_it_was_read_to(
    *, kind: str, packed: bool, renamed: bool, tmp_path: Path
) -> None:
    parts = PARTS[kind]
    wanted = [2, 5, 10]
    for number in range(3):
        source = tmp_path / (f"log.{number}" if renamed else "log")
        content = b"".join(parts[: number + 1])
        source.write_bytes(gzip.compress(content) if packed else content)
        told = ingest(source, tmp_path / "data")
        assert told["grown"] == ([str(source)] if number else [])
        assert sessions(tmp_path / "data") == wanted[number]
    (entry,) = dataset_listing(tmp_path / "data")
    assert entry["sessions"] == wanted[-1]
    assert run("ingest", "--forget", str(source), "--to", str(tmp_path / "data")).code == 0
    assert not rows_of(tmp_path / "data")


@pytest.mark.parametrize("kind", PARTS)
def test_an_input_may_grow_in_the_middle_of_a_line(kind: str, tmp_path: Path) -> None:
    content = b"".join(PARTS[kind])
    source = tmp_path / "log"
    for end in range(len(PARTS[kind][0]), len(content), 97):
        source.write_bytes(content[:end])
        result = run("ingest", str(source), "--to", str(tmp_path / "data"), "--now", NOW, "-q")
        assert result.code in {0, 4}
        assert "internal" not in result.err
    source.write_bytes(content)
    assert run("ingest", str(source), "--to", str(tmp_path / "data"), "--now", NOW).code == 0
    assert sessions(tmp_path / "data") == 10


@pytest.mark.parametrize("kind", PARTS)
def test_what_has_no_last_line_end_may_grow_too(kind: str, tmp_path: Path) -> None:
    first, *rest = PARTS[kind]
    source = tmp_path / "log"
    source.write_bytes(first.removesuffix(b"\n"))
    ingest(source, tmp_path / "data")
    source.write_bytes(first + b"".join(rest))
    ingest(source, tmp_path / "data")
    assert sessions(tmp_path / "data") == 10


def test_what_was_added_may_lack_a_column_that_a_field_is_mapped_to(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    one = {"session_id": "a", "started": NOW, "project_id": 1, "status": "ok", "release": "a@1"}
    source.write_text(json.dumps(one | {"who": "u"}) + "\n")
    ingest(source, tmp_path / "data", "--map", "user_id=who")
    with source.open("a") as file:
        file.write(json.dumps(one | {"session_id": "b"}) + "\n")
    ingest(source, tmp_path / "data", "--map", "user_id=who")
    assert sessions(tmp_path / "data") == 2


@pytest.mark.parametrize("named_at_once", [True, False])
def test_the_same_rows_in_folders_of_two_projects(named_at_once: bool, tmp_path: Path) -> None:  # noqa: FBT001 - a parameter
    """The folder tells of what project they are, so that they are not known."""
    content = f"session_id,started,status,release\ns0,{NOW},ok,a@1\n"
    dataset = tmp_path / "data"
    files = [tmp_path / "in" / f"project={number}" / "a.csv" for number in (1, 2)]
    for file in files:
        file.parent.mkdir(parents=True)
        file.write_text(content)
    for source in [tmp_path / "in"] if named_at_once else files:
        ingest(source, dataset)
    for _ in range(2):
        assert sessions(dataset) == 2
        assert {row[1] for row in rows_of(dataset)} == {1, 2}
        assert ingest(tmp_path / "in", dataset)["known_inputs"] == 2
    moved = files[0].rename(files[0].with_name("b.csv"))
    assert ingest(moved, dataset)["known_inputs"] == 1


def test_a_grown_input_may_not_be_read_by_other_options(tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text(HEAD + row(1))
    ingest(source, tmp_path / "data")
    source.write_text(HEAD + row(1) + row(2))
    line = (str(source), "--to", str(tmp_path / "data"), "--now", NOW)
    found = refused(*line, "--org", "3")
    assert "with other options (no options; now --org 3); --replace" in found
    ingest(source, tmp_path / "data", "--org", "3", "--replace")
    assert {each[0] for each in rows_of(tmp_path / "data")} == {3}
    assert sessions(tmp_path / "data") == 2


# Messages of Kafka.


def test_each_message_counts_once_however_taps_overlap(tmp_path: Path) -> None:
    def tap(offsets: Sequence[int], partition: int = 0) -> Path:
        source = tmp_path / f"{partition}-{min(offsets)}-{max(offsets)}-{len(offsets)}"
        lines = (message(n, 1, partition) for n in offsets)
        source.write_text("".join(f"{line}\n" for line in lines))
        return source

    dataset = tmp_path / "data"
    ingest(tap(range(10, 20)), dataset)
    ingest(tap(range(5, 15)), dataset)
    ingest(tap(range(5, 15), partition=1), dataset)
    told = ingest(tap([30, 18, 31, 31, 5]), dataset)
    assert told["passed_over"] == {"message read before": 3}
    assert sessions(dataset) == 15 + 10 + 2
    again = ingest(tap(range(6, 20)), dataset)
    assert (again["known_inputs"], again["accepted"]) == (1, {})
    # What is taken out may come again, by another tap.
    gone = str(tmp_path / "0-10-19-10")
    result = run("ingest", "--forget", gone, "--to", str(dataset))
    assert result.code == 0
    assert (
        "0-5-14-10: had messages that counted for what was taken out; ingest it again" in result.err
    )
    assert sessions(dataset) == 5 + 10 + 2
    ingest(tap(range(5, 15)), dataset)
    assert sessions(dataset) == 10 + 10 + 2
    ingest(tap(range(5, 19)), dataset)
    assert sessions(dataset) == 14 + 10 + 2


def test_a_tap_that_adds_messages_of_other_metrics_alone(tmp_path: Path) -> None:
    """No fault: nothing of it could count, and no session is lost."""
    dataset, source = tmp_path / "data", tmp_path / "tap"
    source.write_text(message(0, 1) + "\n")
    ingest(source, dataset)
    other = json.loads(message(1, 1))
    other["payload"] = json.dumps(
        COUNTER | {"name": "d:transactions/duration@millisecond", "value": 1}
    )
    empty = json.loads(message(2, 1)) | {"payload": None}
    lines = [message(0, 1), json.dumps(other), json.dumps(empty)]
    (tmp_path / "next").write_text("".join(f"{line}\n" for line in lines))
    told = ingest(tmp_path / "next", dataset)
    assert (told["known_inputs"], told["rejected"]) == (1, {})
    assert told["passed_over"] == {
        "message read before": 1,
        "message without a payload": 1,
        "d:transactions/duration@millisecond": 1,
    }
    (tmp_path / "bad").write_text(message(0, 1) + "\n{}\n")
    told = ingest(tmp_path / "bad", dataset, code=4)
    assert sum(told["rejected"].values()) == 1
    assert sessions(dataset) == 1


def test_a_payload_may_be_an_object(tmp_path: Path) -> None:
    """As tools that unpack it write it."""
    given = json.loads(message(0, 3))
    source = tmp_path / "tap"
    source.write_text(json.dumps(given | {"payload": json.loads(given["payload"])}) + "\n")
    ingest(source, tmp_path / "data")
    assert sessions(tmp_path / "data") == 3


def test_messages_that_are_read_again_in_place_of_themselves(tmp_path: Path) -> None:
    source = tmp_path / "tap"
    source.write_text("".join(f"{message(n, 1)}\n" for n in range(5)))
    every: list[tuple[str, ...]] = [(), ("--replace",), ("--replace", "--org", "3")]
    for options in every:
        ingest(source, tmp_path / "data", *options)
        assert sessions(tmp_path / "data") == 5


def test_an_input_may_come_again_after_what_it_shared_messages_with_is_gone(tmp_path: Path) -> None:
    dataset = tmp_path / "data"
    for name, offsets in {"a": range(5), "b": range(3, 8)}.items():
        (tmp_path / name).write_text("".join(f"{message(n, 1)}\n" for n in offsets))
        ingest(tmp_path / name, dataset)
    assert run("ingest", "--forget", str(tmp_path / "a"), "--to", str(dataset)).code == 0
    assert sessions(dataset) == 3
    ingest(tmp_path / "b", dataset)
    assert sessions(dataset) == 5
    (entry,) = dataset_listing(dataset)
    assert (entry["sessions"], entry["items"]) == (5, 5)
    assert run("ingest", "--forget", str(tmp_path / "b"), "--to", str(dataset)).code == 0
    assert sessions(dataset) == 0


# Snapshots: files that hold what others held, and more.


@pytest.mark.parametrize("kind", PARTS)
def test_snapshots_count_once_however_often_and_in_which_run(kind: str, tmp_path: Path) -> None:
    folder, dataset = tmp_path / "snapshots", tmp_path / "data"
    folder.mkdir()
    for number, wanted in enumerate([2, 5, 10]):
        snapshot = folder / f"{number}"
        snapshot.write_bytes(b"".join(PARTS[kind][: number + 1]))
        for _ in range(2):
            ingest(folder, dataset)
            assert sessions(dataset) == wanted
    ingest(folder, tmp_path / "at once")
    assert sessions(tmp_path / "at once") == 10
    ingest(folder, dataset, "--replace", "--org", "7")
    assert sessions(dataset) == 10
    assert {each[0] for each in rows_of(dataset)} <= {7, 1}  # a bucket names its organisation
    assert run("ingest", "--forget", str(folder / "0"), "--to", str(dataset)).code == 0
    assert sessions(dataset) == 0


def test_inputs_that_begin_alike_and_part_later(tmp_path: Path) -> None:
    first, *others = PARTS["envelopes"]
    for name, content in (("a", first), ("b", first + others[0]), ("c", first + others[1])):
        (tmp_path / name).write_bytes(content)
        ingest(tmp_path / name, tmp_path / "data")
    assert sessions(tmp_path / "data") == 2 + 3 + 5


# Lists and names.


def test_the_list_tells_what_was_ingested_with_which_options(tmp_path: Path) -> None:
    source, dataset = tmp_path / "in.csv", tmp_path / "data"
    source.write_text(HEAD.replace("status", "word") + row(1, "bad") + row(2, "odd"))
    options = ("--map", "status=word", "--status", "bad=crashed", "--unknown-status", "reject")
    ingest(source, dataset, *options, "--max-rejected", "60")
    (entry,) = dataset_listing(dataset)
    assert entry["input"] == str(source)
    assert entry["options"] == {
        "map": {"status": "word"}, "status": {"bad": "crashed"}, "unknown_status": "reject",
    }  # fmt: skip
    assert (entry["items"], entry["rejected"], entry["sessions"]) == (2, 1, 1)
    assert entry["days"] == ["2026-03-02"]
    shown = run("ingest", "--list", "--to", str(dataset))
    assert shown.code == 0
    assert "status=word" in " ".join(shown.out.split())
    assert entry["digest"][:12] in shown.out
    # By its digest, it is taken out; its rejected items go with it.
    assert list((dataset / "_rejected").iterdir())
    assert run("ingest", "--forget", entry["digest"][:12], "--to", str(dataset)).code == 0
    assert dataset_listing(dataset) == []
    assert not list(dataset.glob("_rejected/*"))


def test_names_that_mean_no_input_or_several(tmp_path: Path) -> None:
    source, dataset = tmp_path / "app.log", tmp_path / "data"
    for number in (1, 2):
        source.write_text(HEAD + row(number))
        ingest(source, dataset)
    to = ("--to", str(dataset))
    assert "several inputs have this name" in refused("--forget", str(source), *to)
    assert "no input of this data set; relhealth ingest --list" in refused("--forget", "x", *to)
    assert "no data set" in refused("--forget", "x", "--to", str(tmp_path / "none"))
    assert "no data set" in refused("--list", "--to", str(tmp_path / "none"))
    source.write_text(HEAD + row(3))
    assert "several inputs had this name" in refused(str(source), *to, "--now", NOW, "--replace")
    assert sessions(dataset) == 2
    assert "exclude each other" in refused("--list", "x", *to, code=2)
    assert "exclude each other" in refused("--list", "--forget", "x", *to, code=2)
    assert "exclude each other" in refused("--forget", "x", "--replace", *to, code=2)
    assert "no input" in refused(*to, code=2)


def test_a_dry_run_shows_how_it_would_read_and_writes_nothing(tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text(
        HEAD.replace("\n", ",weather\n") + "".join(f"{row(n)[:-1]},rain\n" for n in range(5))
    )
    line = ("ingest", str(source), "--to", str(tmp_path / "data"), "--now", NOW, "--dry-run")
    result = run(*line, "-f", "json")
    assert result.code == 0, result.err
    told = json.loads(result.out)["data"]
    assert told["dry_run"] is True
    assert [each["session"] for each in told["sample"]] == ["s0", "s1", "s2"]
    assert told["columns"]["session_id"] == ["session_id"]
    assert told["ignored_columns"] == ["weather"]
    assert not (tmp_path / "data").exists()
    shown = run(*line)
    assert shown.code == 0
    assert "First sessions" in shown.out
    assert "nothing written" in shown.err


# What is no success.


def test_more_rejected_than_may_be_is_a_failure_that_adds_what_is_good(tmp_path: Path) -> None:
    source, dataset = tmp_path / "in.csv", tmp_path / "data"
    source.write_text(HEAD + "".join(map(row, range(9))) + "s,never,1,exited,shop@1.0.0\n")
    line = ("ingest", str(source), "--to", str(dataset), "--now", NOW)
    result = run(*line, "-f", "json")
    assert result.code == 4
    assert "1 of 10 items rejected (10.0 %), more than --max-rejected 5%" in result.err
    assert json.loads(result.out)["data"]["sessions"] == sessions(dataset) == 9
    assert run(*line).code == 0  # known
    assert run(*line, "--replace", "--max-rejected", "10%").code == 0
    assert run(*line, "--replace", "--max-rejected", "9.9").code == 4
    for bad in ("x", "-1", "101%", "nan"):
        assert "--max-rejected" in refused(*line[1:], "--max-rejected", bad, code=2)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\n",
        envelope(),
        envelope(b'{"type":"mobile"}\n{}'),
        envelope(b'{"type":"event"}\n{}'),
    ],
)
def test_an_input_that_gives_nothing_is_a_failure_and_not_remembered(
    content: bytes, tmp_path: Path
) -> None:
    source = tmp_path / "in"
    source.write_bytes(content)
    for _ in range(2):
        result = run("ingest", str(source), "--to", str(tmp_path / "data"), "--now", NOW)
        assert result.code == 4
        assert "could be ingested" in result.err or "nothing was ingested" in result.err
    assert dataset_listing(tmp_path / "data") == []


def test_envelopes_of_other_items_beside_sessions_are_no_failure(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_bytes(envelope(b'{"type":"event"}\n{}'))
    (tmp_path / "in" / "b").write_bytes(envelope(update()))
    told = ingest(tmp_path / "in", tmp_path / "data")
    assert told["passed_over"] == {"event": 1}


@pytest.mark.parametrize("count", [20_000, pytest.param(300_000, marks=pytest.mark.slow)])
def test_thousands_of_bad_rows_are_told_in_few_words(count: int, tmp_path: Path) -> None:
    source, dataset = tmp_path / "in.csv", tmp_path / "data"
    with source.open("w") as file:
        file.write(HEAD + row(1))
        file.writelines(f"s{n},never-{n},1,exited,shop@1.0.0\n" for n in range(count))
    result = run("ingest", str(source), "--to", str(dataset), "--now", NOW, "-f", "json")
    assert result.code == 4
    assert len(result.err.splitlines()) < 10
    assert len(result.out) < 10_000
    assert sum(file.stat().st_size for file in dataset.glob("_rejected/*")) < 1 << 20
    assert sessions(dataset) == 1


def test_a_row_that_was_cut_in_its_last_cell_is_read_again(tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    complete = HEAD + row(1) + row(2).replace("shop@1.0.0", "shop@1.0.1")
    source.write_text(complete[:-3])
    ingest(source, tmp_path / "data")
    source.write_text(complete + row(3))
    ingest(source, tmp_path / "data")
    assert {each[4] for each in rows_of(tmp_path / "data")} == {"shop@1.0.0", "shop@1.0.1"}
    assert sessions(tmp_path / "data") == 3


def test_a_last_line_that_goes_on_otherwise_is_no_growth_of_it(tmp_path: Path) -> None:
    """The first ends in 1.0.0 and a line end, the second in 1.0.05."""
    for name, end in (("a", ""), ("b", "5")):
        (tmp_path / name).write_text(HEAD + row(1) + row(2).rstrip("\n") + end + "\n" + row(3))
    first = (tmp_path / "a").read_text().removesuffix(row(3))
    (tmp_path / "a").write_text(first)
    ingest(tmp_path / "a", tmp_path / "data")
    ingest(tmp_path / "b", tmp_path / "data")
    assert sessions(tmp_path / "data") == 3


def test_the_ledger_leaves_out_lines_that_later_ones_replace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "_MOST_LINES", 4)
    to = str(tmp_path / "data")
    files = []
    for number in range(3):
        source = tmp_path / f"{number}.envelope"
        source.write_bytes(envelope(update(sid=f"{number:032x}")))
        files.append(str(source))
        assert run("ingest", str(source), "--to", to, "--now", NOW).code == 0
    for _ in range(4):
        for file in files[:2]:
            again = ("ingest", file, "--to", to, "--now", NOW, "--replace")
            assert run(*again).code == 0
    ledger = tmp_path / "data" / "_ledger" / "inputs.jsonl"
    assert len(ledger.read_text().splitlines()) < 3 + 4 * 2 * 2
    assert run("ingest", "--forget", files[0], "--to", to).code == 0
    listed = json.loads(run("ingest", "--list", "--to", to, "-f", "json").out)["data"]
    assert sorted(one["input"] for one in listed) == sorted(files[1:])
    assert sessions(tmp_path / "data") == 2
