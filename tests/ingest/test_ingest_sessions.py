"""A session counts once, however its updates are cut into inputs; inputs can be taken out."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import tempfile
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from command import run
from envelopes import NOON, NOW, SESSIONS, envelope, expected, ingest, iso, rows_of, update
from relhealth.ingest.entries import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

COMPRESSIONS: list[Callable[[bytes], bytes]] = [
    bytes,
    gzip.compress,
    bz2.compress,
    lzma.compress,
    lambda content: pa.compress(content, "zstd", asbytes=True),
]


@st.composite
def sessions(draw: st.DrawFn) -> list[tuple[int, dict[str, Any]]]:
    """Return all updates of some sessions, each of one release, environment and user, in order."""
    updates = []
    for number in range(draw(st.integers(1, 8))):
        project = draw(st.sampled_from([1, 2]))
        started = NOON - timedelta(seconds=draw(st.sampled_from([0, 5, 43_195, 43_205, 200_000])))
        late = draw(st.booleans())  # the user is known after the first update
        did = draw(st.sampled_from([None, "user-1", "user-2", "user-3"]))
        status = draw(st.sampled_from(["ok", "exited", "crashed", "abnormal", "unhandled"]))
        same = {
            "started": iso(started),
            "attrs": {
                "release": draw(st.sampled_from(["shop@1.0.0", "shop@1.1.0"])),
                "environment": draw(st.sampled_from(["production", "staging"])),
            },
        }
        sid = f"{number:032x}"
        updates.append((project, update(sid, did=None if late else did, **same)))
        for _ in range(draw(st.integers(0, 2))):
            errors = draw(st.integers(0, 1))
            updates.append((project, update(sid, init=False, did=did, errors=errors, **same)))
        if status != "ok":
            end: dict[str, Any] = {"errors": int(status != "exited")}
            if status == "abnormal":
                end["abnormal_mechanism"] = draw(st.sampled_from(["anr_foreground", None]))
            last = update(sid, init=False, did=did, status=status, duration=2.5, **end, **same)
            updates.append((project, last))
    return updates


class Run(NamedTuple):
    """One run: the updates of each of its inputs, how each is compressed, and what a log gets."""

    inputs: list[list[int]]
    compressions: list[int]
    at_once: bool  # all inputs in one call
    appended: list[int]  # updates that are appended to a log, which is then ingested again


def content(updates: Sequence[tuple[int, Any]], chosen: Sequence[int], name: str = "log") -> bytes:
    """Return an envelope stream of some updates; those of other names begin in another way."""
    head = json.dumps({"sent_at": NOW, "sdk": {"name": name}}).encode() + b"\n"
    return head + b"".join(envelope(updates[i][1], project=updates[i][0]) for i in chosen)


def sorted_updates(updates: Sequence[tuple[int, Any]]) -> list[tuple[int, Any]]:
    """Order updates as ties are broken, so that the reference takes the same rows."""
    return sorted(updates, key=lambda one: (one[1]["started"], one[1].get("status") or "ok"))


def wanted(updates: Sequence[tuple[int, Any]], given_to: set[int]) -> Counter[tuple[Any, ...]]:
    """Return the rows that some of the updates emit, by the plain rules."""
    return expected(sorted_updates([updates[i] for i in sorted(given_to)]))


def figures(dataset: Path) -> Any:
    """Return the overview of a data set over a week, with the series."""
    line = ("overview", str(dataset), "--now", NOW, "--period", "7d", "--stats-period", "7d")
    result = run(*line, "-f", "json")
    assert result.code == 0, result.err
    return json.loads(result.out)["data"]


@settings(max_examples=3)
@given(sessions(), st.data())
def test_any_cut_of_a_history_is_one_data_set(
    updates: list[tuple[int, Any]], data: st.DataObject
) -> None:
    check_a_cut(updates, data)


@pytest.mark.slow
@settings(max_examples=6)
@given(sessions(), st.data())
def test_many_cuts_of_histories_are_one_data_set(
    updates: list[tuple[int, Any]], data: st.DataObject
) -> None:
    check_a_cut(updates, data)


def check_a_cut(updates: list[tuple[int, Any]], data: st.DataObject) -> None:
    """Ingest a history in inputs as they are drawn; take one out, and in again."""
    indices = st.lists(st.integers(0, len(updates) - 1), min_size=1, max_size=12)
    runs = data.draw(
        st.lists(
            st.builds(
                Run,
                st.lists(indices, min_size=1, max_size=3),
                st.lists(st.integers(0, len(COMPRESSIONS) - 1), min_size=3, max_size=3),
                st.booleans(),
                st.lists(st.integers(0, len(updates) - 1), max_size=4),
            ),
            min_size=1,
            max_size=4,
        )
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dataset, given_to = folder / "data", set()
        inputs: dict[str, tuple[Path, set[int]]] = {}  # by the digest of their content
        log: list[int] = []
        for number, one in enumerate(runs):
            paths = []
            for each, (chosen, how) in enumerate(zip(one.inputs, one.compressions, strict=False)):
                path = folder / f"{number}-{each}"
                plain = content(updates, chosen, str(chosen))
                path.write_bytes(COMPRESSIONS[how](plain))
                given_to |= set(chosen)
                inputs[digest_of(plain)] = path, set(chosen)
                paths.append(path)
            if one.appended:
                inputs.pop(digest_of(content(updates, log)), None)
                log += one.appended
                path = folder / f"log.{number}"
                path.write_bytes(COMPRESSIONS[one.compressions[0]](content(updates, log)))
                given_to |= set(log)
                inputs[digest_of(content(updates, log))] = path, set(log)
                paths.append(path)
            for call in [paths] if one.at_once else [[path] for path in paths]:
                line = ("ingest", *map(str, call), "--to", str(dataset), "--now", NOW, "-q")
                assert run(*line).code == 0
        assert rows_of(dataset) == wanted(updates, given_to)
        # All in one file, in another order, gives the same answers.
        single = folder / "one"
        single.write_bytes(content(updates, sorted(given_to, reverse=True), "all"))
        ingest(single, folder / "other")
        assert rows_of(folder / "other") == rows_of(dataset)
        assert figures(folder / "other") == figures(dataset)
        if data.draw(st.booleans()):
            assert run("compact", str(dataset), "-q").code == 0
            assert rows_of(dataset) == wanted(updates, given_to)
        # An input is taken out as if it had never come, and comes back.
        gone = data.draw(st.sampled_from(sorted(inputs)))
        path, _ = inputs.pop(gone)
        assert run("ingest", "--forget", gone, "--to", str(dataset), "-q").code == 0
        left = {one for _, chosen in inputs.values() for one in chosen}
        assert rows_of(dataset) == wanted(updates, left)
        ingest(path, dataset)
        assert rows_of(dataset) == wanted(updates, given_to)


CRASHED = update("b" * 32, status="crashed", did="user-1", errors=1)


def test_a_late_end_of_a_session_of_an_earlier_day(tmp_path: Path) -> None:
    yesterday = iso(NOON - timedelta(days=1))
    first = update(started=yesterday, did="user-1")
    last = update(started=yesterday, did="user-1", init=False, status="crashed", errors=1)
    for number, one in enumerate([first, update("c" * 32), last, last]):
        source = tmp_path / str(number)
        source.write_bytes(envelope(one) + b"\n" * number)
        ingest(source, tmp_path / "data")
    assert rows_of(tmp_path / "data") == expected([(1, first), (1, last), (1, update("c" * 32))])


def test_a_replaced_input_counts_by_its_new_options(tmp_path: Path) -> None:
    source, other, dataset = tmp_path / "a.csv", tmp_path / "b.csv", tmp_path / "data"
    head = "session_id,started,project_id,status,version,wrong\n"
    source.write_text(head + f"s1,{NOW},1,crashed,right@1,wrong@1\ns2,{NOW},1,exited,right@1,x\n")
    other.write_text(head + f"s1,{NOW},1,crashed,right@1,wrong@1\ns3,{NOW},1,exited,right@1,x\n")
    wrong = ("--map", "release=wrong")
    ingest(source, dataset, *wrong)
    ingest(other, dataset, *wrong)
    result = run("ingest", str(source), "--to", str(dataset), "--now", NOW)
    assert result.code == 4
    assert "ingested on" in result.err
    assert "--map release=wrong" in result.err
    assert "--replace" in result.err
    told = ingest(source, dataset, "--replace")
    assert told["replaced"] == [str(source)]
    ingest(other, dataset, "--replace")
    releases = Counter(
        {(row[4], row[6]): n for row, n in rows_of(dataset).items() if row[3] == SESSIONS}
    )
    assert releases == {("right@1", "init"): 3, ("right@1", "crashed"): 1}
    # A corrected file replaces its earlier content.
    source.write_text(head + f"s4,{NOW},1,exited,right@2,x\n")
    ingest(source, dataset, "--replace")
    assert {row[4]: row for row in rows_of(dataset)}.keys() == {"right@1", "right@2"}
    assert sum(n for row, n in rows_of(dataset).items() if row[6] == "init") == 3


def test_a_replacement_that_gives_nothing_takes_nothing_out(tmp_path: Path) -> None:
    source, dataset = tmp_path / "a.csv", tmp_path / "data"
    source.write_text(f"session_id,started,project_id,status,release,end\na,{NOW},1,ok,a@1,x\n")
    ingest(source, dataset)
    before = rows_of(dataset)
    line = ("ingest", str(source), "--to", str(dataset), "--now", NOW, "--replace")
    result = run(*line, "--map", "started=end")
    assert (result.code, result.out) == (4, "")
    assert "nothing in it could be ingested; what it gave before is kept" in result.err
    assert rows_of(dataset) == before


@pytest.mark.parametrize("compact", [False, True])
def test_forgetting_all_leaves_nothing(compact: bool, tmp_path: Path) -> None:  # noqa: FBT001 - a parameter
    dataset = tmp_path / "data"
    for number in range(3):
        source = tmp_path / f"in{number}"
        source.write_bytes(envelope(CRASHED, update(f"{number:032x}")) + b"\n" * number)
        ingest(source, dataset)
    if compact:
        assert run("compact", str(dataset)).code == 0
    for number in range(3):
        name = str(tmp_path / f"in{number}")
        assert run("ingest", "--forget", name, "--to", str(dataset)).code == 0
        rows = rows_of(dataset)
        crashed = [n for row, n in rows.items() if row[3] == SESSIONS and row[6] == "crashed"]
        assert crashed == ([1] if number < 2 else [])
    assert not rows_of(dataset)
    assert not list(dataset.glob("date=*"))
    assert not list(dataset.glob("_ledger/date=*"))
    result = run("ingest", "--list", "--to", str(dataset), "-f", "json")
    assert json.loads(result.out)["data"] == []
    ingest(tmp_path / "in0", dataset)
    assert rows_of(dataset) == expected([(1, CRASHED), (1, update(f"{0:032x}"))])


def test_remembered_sessions_are_small(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.write_bytes(
        envelope(*[update(f"{n * 7919:032x}", did=f"user-{n}", status="exited", duration=1.0)
                   for n in range(20_000)])
    )  # fmt: skip
    ingest(source, tmp_path / "data")
    (file,) = (tmp_path / "data" / "_ledger").glob("date=*/*.sessions.parquet")
    assert pq.read_metadata(file).num_rows == 20_000
    assert file.stat().st_size <= 16 * 20_000


@pytest.mark.parametrize("side", ["sessions", "origins", "repeats"])
def test_a_damaged_ledger_is_named(side: str, tmp_path: Path) -> None:
    dataset = tmp_path / "data"
    for number in range(3):
        source = tmp_path / f"in{number}"
        source.write_bytes(envelope(CRASHED, update(f"{number:032x}")) + b"\n" * number)
        if number < 2:
            ingest(source, dataset)
    (file, *_) = dataset.glob(f"_ledger/date=*/*.{side}.parquet")
    chunk = pq.read_metadata(file).row_group(0).column(0)
    damaged = bytearray(file.read_bytes())
    damaged[4 + chunk.total_compressed_size - 1] ^= 0xFF  # the last byte of its pages
    file.write_bytes(damaged)
    line: tuple[str, ...] = ("ingest", str(tmp_path / "in2"), "--now", NOW)
    if side != "sessions":
        line = ("ingest", "--forget", str(tmp_path / "in0"))
    before = rows_of(dataset)
    for each in (line, ("compact",)):
        to = ("--to", str(dataset)) if each[0] == "ingest" else (str(dataset),)
        result = run(*each, *to)
        assert (result.code, result.out) == (4, "")
        assert f"{file}: damaged" in result.err
    assert rows_of(dataset) == before
    result = run("inspect", str(dataset), "--verify")
    assert result.code == 4
    assert str(file) in result.err + result.out
