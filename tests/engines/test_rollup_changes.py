"""A rollup keeps up with its data set, survives kills, and is never used when out of date."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from command import run
from engines import rollup_over
from files import damage, various
from process import PATIENCE, command, environment, unprivileged
from relhealth.core.errors import ChangedError, DataError
from relhealth.core.scope import Scope
from relhealth.datasets.sources import open_sources
from relhealth.engines.components import (
    DURATIONS,
    DURATIONS_BY_GROUP,
    ERRORED_SESSIONS,
    HEALTH_DATA,
    SESSIONS_BY_STATUS,
    USERS_BY_GROUP,
    USERS_BY_STATUS,
)
from relhealth.engines.interface import Ask
from relhealth.engines.rollup.reader import Rollup
from relhealth.rollup import manifest, numbers
from relhealth.rollup.build import Made, make
from rows import duration, error, session, user, write

KILLS = int(os.environ.get("RELHEALTH_KILLS", "6").split(":")[0])
MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)
SCOPE = Scope.resolve(MIDNIGHT + timedelta(days=5), period="30d")


def write_day(folder: Path, day: int, *, name: str = "a", count: int = 3, first: int = 0) -> Path:
    """Write a file of one day with some sessions, each with a different user."""
    at = MIDNIGHT + timedelta(days=day, hours=5)
    given = [
        row
        for number in range(first, first + count)
        for row in (
            session(timestamp=at),
            user(number, timestamp=at),
            error(number, timestamp=at),
            duration(number + 0.25, timestamp=at),
        )
    ]
    target = folder / f"date={at:%Y-%m-%d}"
    target.mkdir(parents=True, exist_ok=True)
    write(target / f"{name}.parquet", given)
    return target / f"{name}.parquet"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data set of three days, with its rollup."""
    folder = tmp_path / "data"
    for day in range(3):
        write_day(folder, day)
    make(folder)
    return folder


def paths(data: Path) -> list[str]:
    """Return the raw files."""
    return [str(path) for path in sorted(data.rglob("*.parquet")) if "_rollup" not in path.parts]


def contents(data: Path) -> dict[str, bytes]:
    """Return the files of each day and of the names, by name."""
    folder = data / "_rollup"
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.parquet")}


def opened(data: Path) -> Rollup:
    """Open a rollup that is there and fresh."""
    opening = Rollup.open(data)
    assert opening.rollup is not None, opening.reason
    assert opening.rollup.stale(paths(data)) is None
    return opening.rollup


def figures(data: Path) -> tuple[int, int, int, int]:
    """Return sessions, users, sessions with errors and durations of the one release."""
    asks = [
        Ask(component, SCOPE)
        for component in (SESSIONS_BY_STATUS, USERS_BY_STATUS, ERRORED_SESSIONS, DURATIONS)
    ]
    columns = ("sessions", "users", "errored", "exited")
    found = rollup_over(opened(data)).answer(asks)
    one, two, three, four = (rows[0][column] for rows, column in zip(found, columns, strict=True))
    return one, two, three, four


def counts(made: Made) -> tuple[int, int, int]:
    """Return the days that were made, kept and removed."""
    return made.days_made, made.days_kept, made.days_removed


def test_nothing_to_do(data: Path) -> None:
    before, stamp = contents(data), (data / "_rollup" / "manifest.json").stat().st_mtime_ns
    assert counts(make(data)) == (0, 3, 0)
    assert contents(data) == before
    assert (data / "_rollup" / "manifest.json").stat().st_mtime_ns == stamp
    assert figures(data) == (9, 3, 9 - 6, 9)


def test_a_new_day(data: Path) -> None:
    before = contents(data)
    write_day(data, 3, count=4)
    rollup = Rollup.open(data).rollup
    assert rollup is not None
    assert rollup.stale(paths(data)) == "date=2026-03-05/a.parquet is new"
    assert counts(make(data)) == (1, 3, 0)
    assert contents(data).items() >= before.items()
    assert figures(data) == (13, 4, 4, 13)


def test_a_changed_file(data: Path) -> None:
    old = opened(data)
    write_day(data, 1, count=5)
    assert old.stale(paths(data)) == "date=2026-03-03/a.parquet has changed"
    before = contents(data)
    assert counts(make(data)) == (1, 2, 0)
    after = contents(data)
    kept = {name for name in before if name in after}
    assert {name[:10] for name in before.keys() - kept} == {"2026-03-03"}
    assert all(before[name] == after[name] for name in kept)
    assert figures(data) == (11, 5, 5, 11)


def test_a_changed_file_of_the_same_size_and_time(data: Path) -> None:
    path = data / "more.parquet"
    write(path, [session(timestamp=MIDNIGHT)], compression="none")
    make(data)
    status = path.stat()
    write(path, [session(timestamp=MIDNIGHT, value=2.0)], compression="none")
    assert path.stat().st_size == status.st_size
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    rollup = Rollup.open(data).rollup
    assert rollup is not None
    assert rollup.stale(paths(data)) == "more.parquet has changed"
    assert counts(make(data)) == (1, 2, 0)
    assert figures(data)[0] == 11


def test_a_removed_file(data: Path) -> None:
    Path(paths(data)[0]).unlink()
    rollup = Rollup.open(data).rollup
    assert rollup is not None
    assert rollup.stale(paths(data)) == "date=2026-03-02/a.parquet is gone"
    assert counts(make(data)) == (0, 2, 1)
    assert figures(data) == (6, 3, 3, 6)


def test_a_late_file_that_feeds_old_days(data: Path) -> None:
    late = MIDNIGHT + timedelta(hours=23, minutes=59)
    given = [user(50, timestamp=late), user(50, timestamp=late + timedelta(minutes=1)), session(
        timestamp=late
    )]  # fmt: skip
    write(data / "late.parquet", given)
    assert counts(make(data)) == (2, 1, 0)
    assert figures(data) == (10, 4, 3, 9)
    (data / "late.parquet").unlink()
    assert counts(make(data)) == (2, 1, 0)
    assert figures(data) == (9, 3, 3, 9)


def test_a_file_of_many_days_in_one_row_group(tmp_path: Path) -> None:
    given = [session(timestamp=MIDNIGHT + timedelta(days=day), value=2.0) for day in range(20)]
    write(tmp_path / "a.parquet", [*given, session(timestamp=None)])
    assert counts(make(tmp_path)) == (21, 0, 0)
    write(tmp_path / "b.parquet", [session(timestamp=MIDNIGHT)])
    assert counts(make(tmp_path)) == (1, 20, 0)
    scope = Scope.resolve(MIDNIGHT + timedelta(days=21), period="30d")
    ((row,),) = rollup_over(opened(tmp_path)).answer([Ask(SESSIONS_BY_STATUS, scope)])
    assert row["sessions"] == 41
    write(tmp_path / "b.parquet", [session(timestamp=None)])
    assert counts(make(tmp_path)) == (2, 19, 0)
    assert opened(tmp_path).manifest.days[None].rest == 2


def test_members_keep_their_codes(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbers, "_MOST_CODE_FILES", 2)
    for number in range(4):
        write_day(data, 3, name=f"{number}", first=2 * number, count=4)
        make(data)
        assert figures(data)[1] == 4 + 2 * number
    rollup = opened(data)
    assert len(rollup.manifest.codes) <= 2
    assert rollup.manifest.members == 10


def test_forced(data: Path) -> None:
    before = contents(data)
    made = make(data, force=True)
    assert (counts(made), made.why) == ((3, 0, 0), "asked for")
    after = contents(data)
    assert not before.keys() & after.keys()
    assert sorted(before.values()) == sorted(after.values())


def test_no_rollup(tmp_path: Path) -> None:
    assert Rollup.open(tmp_path) == Rollup.open(tmp_path / "none")
    assert Rollup.open(tmp_path).rollup is None
    assert Rollup.open(tmp_path).reason is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "damaged"),
        (b"\xff", "damaged"),
        (b"[]", "damaged"),
        (b"{}", "damaged"),
        (b'{"format": 1}', "damaged"),
        (b'{"format": 0}', "format 0, but this relhealth knows format 1"),
        (b'{"format": 1, "files": {}, "days": {"x": {}}}', "damaged"),
    ],
)
def test_a_damaged_manifest(data: Path, content: bytes, reason: str) -> None:
    path = data / "_rollup" / "manifest.json"
    path.write_bytes(content)
    opening = Rollup.open(data)
    assert opening.rollup is None
    assert opening.reason is not None
    assert reason in opening.reason
    assert "manifest.json" in opening.reason
    made = make(data)
    assert counts(made) == (3, 0, 0)
    assert made.why == opening.reason
    assert figures(data) == (9, 3, 3, 9)
    assert len(list((data / "_rollup").iterdir())) == 3 + 3  # days; names, manifest, lock


def test_a_manifest_of_a_later_relhealth(data: Path) -> None:
    path = data / "_rollup" / "manifest.json"
    document = json.loads(path.read_bytes())
    path.write_text(json.dumps({**document, "format": 2, "what": "else"}))
    before = contents(data)
    assert "format 2, but this relhealth knows format 1" in str(Rollup.open(data).reason)
    with pytest.raises(DataError, match="--force replaces it"):
        make(data)
    assert contents(data) == before
    make(data, force=True)
    assert figures(data) == (9, 3, 3, 9)


def test_a_file_of_the_rollup_that_is_gone_or_cut(data: Path) -> None:
    for spoil in (Path.unlink, lambda path: path.write_bytes(b"PAR1")):
        path = next((data / "_rollup").glob("2026-03-02*/users.parquet"))
        spoil(path)
        assert "users.parquet has changed since it was written" in str(Rollup.open(data).reason)
        assert "users.parquet" in str(make(data).why)
        assert figures(data) == (9, 3, 3, 9)


def test_a_reader_of_the_rollup_before(data: Path) -> None:
    old = rollup_over(opened(data))
    make(data, force=True)
    for component in (USERS_BY_STATUS, USERS_BY_GROUP, HEALTH_DATA, DURATIONS_BY_GROUP):
        with pytest.raises(ChangedError, match="gone since it was found"):
            old.answer([Ask(component, SCOPE)])


def test_a_data_set_that_moved_below_another_partition(data: Path, tmp_path: Path) -> None:
    moved = tmp_path / "org_id=5" / "data"
    moved.parent.mkdir()
    data.rename(moved)
    rollup = Rollup.open(moved).rollup
    assert rollup is not None
    assert rollup.stale(paths(moved)) == "the data set has moved"
    assert make(moved).why == "the data set has moved"
    assert opened(moved).newest_us(5) is None  # the files' own column goes first


def test_a_file_without_rows(data: Path) -> None:
    write(data / "empty.parquet", [])
    assert counts(make(data)) == (0, 3, 0)
    assert figures(data) == (9, 3, 3, 9)


def test_invalid_rows(data: Path) -> None:
    write(data / "bad.parquet", [session(timestamp=MIDNIGHT, value=-1.0)])
    before = contents(data)
    with pytest.raises(DataError, match=r": 1 invalid row$"):
        make(data, strict=True)
    assert contents(data) == before
    assert make(data).invalid_rows == 1
    result = run("rollup", str(data), "--force")
    assert "relhealth: warning: 1 invalid row; kept as they are" in result.err


def test_a_damaged_raw_file(data: Path) -> None:
    before = contents(data)
    path = data / "bad.parquet"
    write(path, various(), compression="none")
    damage(path, "release")
    result = run("rollup", str(data))
    assert result.code == 4
    assert result.err.count("\n") == 1
    assert "bad.parquet: damaged or changed while it was read; write it again" in result.err
    assert contents(data) == before
    path.unlink()
    assert figures(data) == (9, 3, 3, 9)


def test_the_command(data: Path, tmp_path: Path) -> None:
    write_day(data, 3)
    result = run("rollup", str(data), "-f", "json")
    assert result.code == 0
    document = json.loads(result.out)
    assert document["meta"]["command"] == "rollup"
    found = document["data"]
    assert (found["days_made"], found["days_kept"], found["files"]) == (1, 3, 4)
    assert found["raw_bytes"] == sum(Path(path).stat().st_size for path in paths(data))
    assert found["rollup_bytes"] == sum(map(len, contents(data).values()))
    assert result.err.startswith("relhealth: 1 day made, 3 kept, ")
    quiet = run("rollup", str(data), "-q", "-o", str(tmp_path / "made.json"))
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")
    assert json.loads((tmp_path / "made.json").read_bytes())["data"]["days_made"] == 0
    table = run("rollup", str(data), "--threads", "1", "--memory-limit", "100MB")
    assert "Days made" in table.out


@pytest.mark.parametrize(
    ("args", "code", "line"),
    [
        (["none"], 4, "none: no such directory"),
        (["file.parquet"], 4, "file.parquet: not a directory"),
        (["empty"], 4, "empty: no Parquet file in this directory"),
        (["data", "--memory-limit", "much"], 2, "memory limit 'much'"),
        (["data", "--threads", "0"], 2, "threads 0"),
    ],
)
def test_refusals(
    data: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], code: int, line: str
) -> None:
    monkeypatch.chdir(data.parent)
    Path("empty").mkdir()
    write("file.parquet", [session()])
    result = run("rollup", *args)
    assert result.code == code
    assert result.out == ""
    assert result.err.startswith("relhealth: error: ")
    assert line in result.err
    assert result.err.count("\n") == 1
    assert not Path("empty", "_rollup").exists()


def test_a_folder_that_may_not_be_written(open_folder: Path) -> None:
    write(open_folder / "a.parquet", [session()])
    other = open_folder / "other"
    other.mkdir()
    write(other / "a.parquet", [session()])
    other.chmod(0o777)
    open_folder.chmod(0o555)
    (result,) = unprivileged(["rollup", str(open_folder)], warm_up=[["rollup", str(other)]])
    assert result.code == 4
    assert result.err == (
        f"relhealth: error: {open_folder}/_rollup: cannot write the rollup: permission denied\n"
    )


def test_raw_files_alone_are_read(data: Path) -> None:
    """The rollup is no data of the data set."""
    result = run("inspect", str(data), "-f", "json", "--now", "2026-03-06T00:00:00Z")
    assert json.loads(result.out)["data"]["files"] == 3


def test_killed_at_any_moment(tmp_path: Path) -> None:
    data = tmp_path / "data"
    changing = range(-14, -4)
    for day in range(-18, 0):
        write_day(data, day, count=300)
    make(data)
    wanted = {True: figures(data)}
    for day in changing:
        write_day(data, day, count=301)
    began = time.monotonic()
    line = command("rollup", str(data), "-q")
    subprocess.run(line, env=environment(), check=True)
    took = time.monotonic() - began
    wanted[False] = figures(data)
    assert wanted[True] != wanted[False]
    chance, old = random.Random(3), True
    for number in range(KILLS):
        for day in changing:
            write_day(data, day, count=300 if old else 301)
        with subprocess.Popen(line, env=environment(), stderr=subprocess.DEVNULL) as process:
            time.sleep(took * chance.uniform(0.3, 1.1))
            process.send_signal(signal.SIGKILL if number % 3 else signal.SIGINT)
            process.wait(PATIENCE)
        opening = Rollup.open(data)
        assert opening.rollup is not None, opening.reason  # complete, from before or from now
        asks = [Ask(USERS_BY_STATUS, SCOPE), Ask(SESSIONS_BY_STATUS, SCOPE)]
        _, (row,) = rollup_over(opening.rollup).answer(asks)
        assert row["sessions"] in {each[0] for each in wanted.values()}
        if opening.rollup.stale(paths(data)) is None:
            assert row["sessions"] == wanted[old][0]
        make(data)
        assert figures(data) == wanted[old]
        named = opened(data).manifest.folders()
        assert {path.name for path in (data / "_rollup").iterdir()} == named | {
            "lock",
            "manifest.json",
        }
        old = not old


def test_interrupted_within_a_second(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for day in range(9):  # so many that it is not done before the signal
        write_day(data, day, count=40_000)
    with subprocess.Popen(
        command("rollup", str(data)), env=environment(), stderr=subprocess.PIPE
    ) as process:
        while not list(data.glob("_rollup/2026*")) and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        process.wait(PATIENCE)
        took = time.monotonic() - began
        assert process.stderr is not None
        said = process.stderr.read()
    assert process.returncode == 130, said
    assert took < 3  # on a busy machine; about 0.3
    assert {path.name for path in (data / "_rollup").iterdir()} == {"lock"}


def test_two_at_once_take_turns(data: Path) -> None:
    shutil.rmtree(data / "_rollup")
    line = command("rollup", str(data), "-f", "json")
    running = [
        subprocess.Popen(line, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    outs = [process.communicate(timeout=PATIENCE) for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], outs
    made = sorted(json.loads(out)["data"]["days_made"] for out, _ in outs)
    assert made == [0, 0, 3]
    assert figures(data) == (9, 3, 3, 9)


def test_files_that_change_while_they_are_read(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read again; refused if that has no end."""
    identify, asked = manifest.identify, 0

    def changing(path: str) -> Any:
        nonlocal asked
        asked += 1
        size, at, footer = identify(path)
        return size, at + (asked if asked < 8 else 0), footer

    monkeypatch.setattr(manifest, "identify", changing)
    assert make(data, force=True).days_made == 3
    asked = -1000
    with pytest.raises(ChangedError, match="changed while it was read"):
        make(data, force=True)
    monkeypatch.undo()
    assert figures(data) == (9, 3, 3, 9)


def test_globs_pass_over_what_is_hidden(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    write(data / "a.parquet", [session()])
    make(data)
    for sources in ([data / "*"], [data / "**" / "*.parquet"], sorted(data.iterdir())):
        assert [file.absolute for file in open_sources(sources).files] == [str(data / "a.parquet")]
    with pytest.raises(DataError, match="this is a rollup; name the data set that it is in"):
        open_sources([data / "_rollup"])


def test_what_is_not_a_rollup_s_stays(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [session()])
    notes = tmp_path / "_rollup" / "2026-03-02-mine" / "notes.txt"
    notes.parent.mkdir(parents=True)
    notes.write_text("keep")
    (tmp_path / "_rollup" / "staging-260302120000abcdef").mkdir()  # of a killed run
    make(tmp_path)
    assert notes.read_text() == "keep"
    assert not (tmp_path / "_rollup" / "staging-260302120000abcdef").exists()


@pytest.mark.parametrize("name", ["groups", "durations", "users", "errors"])
def test_a_damaged_page_is_told(name: str, tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [session(), duration(1.0), user(1), error(1)])
    make(tmp_path)
    (path,) = (tmp_path / "_rollup").rglob(f"{name}.parquet")
    for column in range(pq.read_metadata(path).num_columns):
        content = path.read_bytes()
        chunk = pq.read_metadata(path).row_group(0).column(column)
        start = chunk.dictionary_page_offset or chunk.data_page_offset
        end = start + chunk.total_compressed_size
        path.write_bytes(content[: end - 1] + bytes([content[end - 1] ^ 1]) + content[end:])
        result = run("overview", str(tmp_path), "--now", "2026-03-02T12:30:00Z", "-f", "json", "-q")
        path.write_bytes(content)
        whole = run("overview", str(tmp_path), "--now", "2026-03-02T12:30:00Z", "-f", "json", "-q")
        assert result.code == 4 or result.out == whole.out  # a column that it does not need
        assert result.code == 0 or "relhealth rollup --force" in result.err


@pytest.mark.parametrize(
    ("name", "value"), [("names", None), ("partitions", None), ("format", "1")]
)
def test_a_manifest_of_wrong_types_is_damaged(name: str, value: object, tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [session()])
    make(tmp_path)
    path = tmp_path / "_rollup" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))
    assert "damaged" in str(Rollup.open(tmp_path).reason)
    assert make(tmp_path).days_made == 1
    assert Rollup.open(tmp_path).rollup is not None


def test_the_remedy_is_one_that_can_be_typed(tmp_path: Path) -> None:
    data = tmp_path / "my data"
    data.mkdir()
    write(data / "a.parquet", [session()])
    make(data)
    write(data / "b.parquet", [session()])
    result = run("overview", str(data), "--now", "2026-03-02T12:30:00Z")
    assert f"relhealth rollup '{data}' brings it up to date" in result.err
    path = data / "_rollup" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 2}))
    result = run("overview", str(data), "--now", "2026-03-02T12:30:00Z")
    assert f"or relhealth rollup '{data}' --force" in result.err
