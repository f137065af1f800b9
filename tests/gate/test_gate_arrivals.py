"""A replay of a data set that knows when each row arrived: each look is the gate's of that time."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from command import run
from relhealth.core.windows import iso
from relhealth.gate.arrivals import Arrivals
from relhealth.gate.arrived import ArrivedRows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

START = datetime(2026, 3, 1, tzinfo=UTC)
HOURS = 16  # of looks
LATE = 5  # hours after which a crash arrives
OLD, NEW, FIX = "shop@1.0.0", "shop@2.0.0", "shop@1.0.1"
HEAD = "session_id,user_id,started,project_id,status,release,duration\n"
SINCE = ["--since", iso(START), "--every", "1h"]


def at(hour: float) -> datetime:
    """Return the instant that many hours after the first look."""
    return START + timedelta(hours=hour)


def sessions(release: str, hour: int, count: int, every: int) -> tuple[list[str], list[str]]:
    """Return the sessions of an hour, and the crash of each so many, which arrives later."""
    begun, crashed = [], []
    for number in range(count):
        started = iso(at(hour) + timedelta(minutes=number % 45, seconds=number % 7))
        row = f"{release}-{hour}-{number},u{hour % 6 * count + number},{started},1"
        begun.append(f"{row},exited,{release},{number % 90 + hour}\n")
        if number % every == 0:
            crashed.append(f"{row},crashed,{release},\n")
    return begun, crashed


def arriving() -> dict[int, list[str]]:
    """Return the rows that arrive in each hour; the first ones are a history of two days."""
    rows: dict[int, list[str]] = {hour: [] for hour in range(HOURS)}
    plan = [
        *((OLD, hour, 30, 200) for hour in range(-48, 8)),
        *((NEW, hour, 160, 24) for hour in range(2, HOURS)),
        *((FIX, hour, 60, 61) for hour in range(6, HOURS)),
    ]
    for release, hour, count, every in plan:
        begun, crashed = sessions(release, hour, count, every)
        rows[max(0, hour)] += begun
        if max(0, hour + LATE) < HOURS:
            rows[max(0, hour + LATE)] += crashed
    return rows


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a data set, and a copy of it as it was at each look."""
    folder = tmp_path_factory.mktemp("arrivals")
    with pytest.MonkeyPatch.context() as patched:
        for hour, rows in arriving().items():
            patched.setattr("relhealth.ingest.run.now", lambda hour=hour: iso(at(hour + 0.9)))
            ingest(folder, f"{hour}.csv", rows)
            shutil.copytree(folder / "data", folder / f"then-{hour + 1}")
        yield folder


def ingest(folder: Path, name: str, rows: Sequence[str]) -> None:
    """Ingest a table."""
    (folder / name).write_text(HEAD + "".join(rows))
    to = ["--to", str(folder / "data"), "--now", iso(at(HOURS))]
    result = run("ingest", str(folder / name), *to, "-q")
    assert result.code == 0, result.err


def replayed(source: Path, *args: str, now: int = HOURS) -> tuple[dict[str, Any], str, bool]:
    """Replay; return the rows by release, what stderr says, and whether by arrival."""
    result = run("gate", "test", str(source), *SINCE, "--now", iso(at(now)), *args, "-f", "json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    return (
        {row["release"]: row for row in found["data"]},
        result.err,
        found["meta"]["as_arrived"],
    )


def verdict(source: Path, release: str, now: int, *args: str) -> str:
    """Return what the gate says."""
    result = run("gate", str(source), "-r", release, "--now", iso(at(now)), *args)
    return {0: "pass", 1: "fail", 3: "inconclusive"}[result.code]


POLICIES = {
    "sessions": ["--target", "99", "--critical", "98"],
    "sequential": ["--target", "99", "--critical", "98", "--sequential"],
    "prevailing": ["--baseline", "prevailing", "--margin", "1"],
    "stale": ["--target", "99", "--critical", "98", "--max-age", "40m"],
    "users": ["--metric", "crash_free_users", "--target", "97", "--follow-up", "1h"],
    "durations": ["--metric", "duration_p50", "--baseline", "prevailing", "--margin", "5"],
    "adoption": ["--metric", "adoption", "--target", "20", "--critical", "5"],
    "some users": ["--target", "99", "--critical", "98", "--min-users", "40"],
}


@pytest.mark.parametrize(
    "policy",
    [pytest.param(name, marks=[] if name == "sessions" else pytest.mark.slow) for name in POLICIES],
)
def test_each_look_is_the_gate_of_that_time(root: Path, policy: str) -> None:
    """On a copy of the data set as it was then."""
    args = POLICIES[policy]
    gates = {
        release: {hour: verdict(root / f"then-{hour}", release, hour, *args) for hour in looks}
        for release, looks in ((NEW, range(3, HOURS + 1)), (FIX, range(7, HOURS + 1)))
    }

    assert {word for said in gates.values() for word in said.values()} > {"inconclusive"}

    found, told, as_arrived = replayed(root / "data", *args)

    assert as_arrived
    assert "a look at the past sees" not in told
    for release, said in gates.items():
        for what in ("pass", "fail"):
            first = next((iso(at(hour)) for hour in said if said[hour] == what), None)
            assert found[release][f"first_{what}"] == first, (release, what, said)
        assert found[release]["last"] == said[HOURS]
        for hour in (5, 9, 12):
            if hour in said:
                last = replayed(root / "data", *args, now=hour)[0][release]["last"]
                assert last == said[hour], (release, hour)


def test_crashes_that_came_later_did_not_stop_a_release(root: Path) -> None:
    """It passed, as the gate said at that time, though it fails by what is known today."""
    args = POLICIES["sessions"]
    (found, *_), (today, told, as_arrived) = (
        replayed(source, *args) for source in (root / "data", plain(root))
    )

    assert verdict(root / "then-7", NEW, 7, *args) == "pass"
    assert found[NEW]["outcome"] == "pass"
    assert found[NEW]["first_fail"] is not None
    assert today[NEW]["outcome"] == "fail"
    assert not as_arrived
    assert "a look at the past sees what arrived until today" in told


def plain(root: Path) -> Path:
    """Return the data alone, without the ledger."""
    copy = root / "plain"
    if not copy.exists():
        shutil.copytree(root / "data", copy, ignore=shutil.ignore_patterns("_*"))
    return copy


def test_targets_are_tried_on_what_had_arrived(root: Path) -> None:
    """Each from the first look on."""
    args = ["--critical", "90", "-f", "json"]
    ask = ["gate", "test", str(root / "data"), *SINCE, "--now", iso(at(HOURS)), *args]

    tried = json.loads(run(*ask, "--target", "97:99:1").out)["data"]

    for one in tried:
        rows = replayed(root / "data", *args, "--target", str(one["target"]))[0].values()
        outcomes = [row["outcome"] for row in rows]
        assert [one["passed"], one["failed"], one["waited"]] == [
            outcomes.count(word) for word in ("pass", "fail", "waited")
        ]


def test_compaction_keeps_arrivals(root: Path, tmp_path: Path) -> None:
    """Rows of many inputs are then in one file."""
    shutil.copytree(root / "data", tmp_path / "data")
    args = POLICIES["sessions"]
    before = replayed(tmp_path / "data", *args)

    assert run("compact", str(tmp_path / "data")).code == 0

    assert len(list((tmp_path / "data").glob("date=2026-03-01/*.parquet"))) == 1
    assert replayed(tmp_path / "data", *args) == before


@pytest.mark.parametrize(
    ("owner", "step"), [(ArrivedRows, "load"), (Arrivals, "rows")], ids=["texts", "rows"]
)
def test_a_compaction_during_a_replay(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: type, step: str
) -> None:
    """The replay starts again, with the new files."""
    shutil.copytree(root / "data", tmp_path / "data")
    args = POLICIES["sessions"]
    before = replayed(tmp_path / "data", *args)
    work = getattr(owner, step)
    compactions: list[int] = []

    def compacted(*given: Any) -> Any:
        if not compactions:
            compactions.append(run("compact", str(tmp_path / "data")).code)
        return work(*given)

    monkeypatch.setattr(owner, step, compacted)

    assert replayed(tmp_path / "data", *args) == before
    assert compactions == [0]


def test_a_damaged_file_is_named(data: Path) -> None:
    """Also where only its texts are read."""
    (rows,) = data.glob("date=*/*.parquet")
    content = bytearray(rows.read_bytes())
    content[40:400] = bytes(360)
    rows.write_bytes(content)

    result = run("gate", "test", str(data), "--since", "2026-03-01T06:00:00Z", *TARGET)

    assert result.code == 4, result.err
    assert rows.name in result.err


def test_the_memory_limit_is_that_of_the_rows_too(root: Path) -> None:
    """With little, they spill to files."""
    args = POLICIES["sessions"]
    assert replayed(root / "data", *args, "--memory-limit", "200MB") == replayed(
        root / "data", *args
    )


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set of one ingest, in the fourth hour."""
    monkeypatch.setattr("relhealth.ingest.run.now", lambda: iso(at(3.5)))
    rows = [row for hour in range(12) for row in sessions(NEW, hour, 100, 50)[0]]
    ingest(tmp_path, "some.csv", rows[:600])
    return tmp_path / "data"


TARGET = ["--target", "99"]


def test_looks_before_the_first_ingest_see_nothing(data: Path) -> None:
    """A warning says so."""
    found, told, as_arrived = replayed(data, *TARGET, now=8)

    assert as_arrived
    assert found[NEW]["first_pass"] == iso(at(5))
    assert found[NEW]["looks"] == 5
    assert "the first ingest was at 2026-03-01T03:30:00Z: looks before it see no sessions" in told


def test_an_import_of_history_is_seen_as_it_is_today(data: Path) -> None:
    """Nothing had arrived by any look, and a warning says why arrivals do not count."""
    found, told, as_arrived = replayed(data, *TARGET, now=3)

    assert not as_arrived
    assert found[NEW]["looks"] == 3
    assert (
        "the first ingest was at 2026-03-01T03:30:00Z, and so a look at the past sees what arrived"
        " until today"
    ) in told


def test_an_input_that_grew_counts_from_its_last_ingest(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger cannot tell its rows apart; a warning says so."""
    monkeypatch.setattr("relhealth.ingest.run.now", lambda: iso(at(6.5)))
    some = data.parent / "some.csv"
    more = "".join(sessions(NEW, 6, 100, 50)[0])
    ingest(data.parent, "some.csv", [some.read_text().removeprefix(HEAD), more])

    found, told, _ = replayed(data, *TARGET, now=8)

    assert found[NEW]["first_pass"] == iso(at(7))
    assert "1 input grew after the first ingest" in told


def test_several_data_sets_know_each_their_own_inputs(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inputs of two data sets have the same numbers."""
    monkeypatch.setattr("relhealth.ingest.run.now", lambda: iso(at(6.5)))
    other = data.parent / "other"
    other.mkdir()
    ingest(other, "crashed.csv", sessions(NEW, 2, 100, 1)[1])

    sources = [str(data), str(other / "data")]
    args = [*SINCE, "--now", iso(at(8)), *TARGET, "--critical", "98", "-f", "json"]
    (row,) = json.loads(run("gate", "test", *sources, *args).out)["data"]

    assert (row["first_pass"], row["first_fail"]) == (iso(at(5)), iso(at(7)))


UNKNOWN = (
    "another source",
    "other rows",
    "no origins",
    "an input that is not in the ledger",
    "another file",
)


@pytest.mark.parametrize("case", UNKNOWN)
def test_arrivals_that_are_not_all_known_do_not_count(data: Path, case: str) -> None:
    """As today: with the warning of plain files."""
    sources = [str(data)]
    (rows,) = data.glob("date=*/*.parquet")
    match case:
        case "another source":
            sources.append(str(shutil.copy(rows, data.parent / "more.parquet")))
        case "other rows":
            table = pq.read_table(pa.BufferReader(rows.read_bytes()))
            pq.write_table(pa.concat_tables([table, table]), rows)
        case "no origins":
            next(data.glob("_ledger/date=*/*.origins.parquet")).unlink()
        case "an input that is not in the ledger":
            (data / "_ledger" / "inputs.jsonl").write_text("")
        case _:
            shutil.copy(rows, rows.with_name("more.parquet"))

    result = run("gate", "test", *sources, *SINCE, "--now", iso(at(8)), *TARGET, "-f", "json")

    assert result.code == 0, result.err
    assert not json.loads(result.out)["meta"]["as_arrived"]
    assert "relhealth: warning: a look at the past sees what arrived until today" in result.err


def test_a_release_whose_sessions_arrived_after_it_had_ended(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No look saw it in its period; the reason says so."""
    monkeypatch.setattr("relhealth.ingest.run.now", lambda: iso(at(7.5)))
    ingest(data.parent, "late.csv", sessions(FIX, 1, 100, 50)[0])

    told = run("gate", "test", str(data), *SINCE, "--now", iso(at(8)), *TARGET, "--period", "1h")

    reason = "no look saw it: its sessions had not arrived, or were older than the period"
    assert f"waited: 1/{FIX}: {reason}" in " ".join(told.out.split())
