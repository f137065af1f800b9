"""After a kill, an ingest has happened completely or not at all; and two take turns."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from command import run
from envelopes import NOON, NOW, envelope, iso, rows_of, update
from process import PATIENCE, command, environment

# How often an ingest is killed, and of how many sessions; 50:200000 takes some minutes.
KILLS = os.environ.get("RELHEALTH_KILLS", "6:20000")


def stream_of(count: int, seed: int, every: int = 1) -> bytes:
    """Return an envelope of sessions of three days: of as many, one in ``every``."""
    chance = random.Random(seed)
    items = []
    for _ in range(count):
        started = NOON - timedelta(seconds=chance.randrange(3 * 86_400))
        fields = {"status": chance.choice(["exited", "crashed", "ok"]), "duration": 1.5}
        sid, did = f"{chance.getrandbits(128):032x}", f"user-{chance.randrange(count)}"
        items.append(update(sid, started=iso(started), did=did, **fields))
    return envelope(*items[::every])


def line(source: Path, dataset: Path) -> list[str]:
    """Return the command that ingests."""
    return command("ingest", str(source), "--to", str(dataset), "--now", NOW, "-q")


def finished(argv: list[str]) -> float:
    """Run a command; return how long it took."""
    began = time.monotonic()
    done = subprocess.run(argv, capture_output=True, env=environment(), timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return time.monotonic() - began


class Change(NamedTuple):
    """A change of a data set: the line, what it begins with, and what it makes of it."""

    line: Callable[[Path], list[str]]
    begins: Path | None
    makes: Path


def changes(tmp_path: Path, count: int) -> dict[str, Change]:
    """Return an ingest, one in place of another, and one that takes an input out."""
    source, other = tmp_path / "in.envelope", tmp_path / "other.envelope"
    source.write_bytes(stream_of(count, seed=1))
    # Another input has every second session too, and some more sessions.
    other.write_bytes(stream_of(count, seed=1, every=2) + stream_of(count // 10, seed=2))
    made = {name: tmp_path / name for name in ("ingested", "both", "replaced", "forgotten")}
    finished(line(source, made["ingested"]))
    finished([*line(source, made["both"]), "--org", "7"])
    finished(line(other, made["both"]))
    for name in ("replaced", "forgotten"):
        shutil.copytree(made["both"], made[name])

    def ingesting(dataset: Path) -> list[str]:
        return line(source, dataset)

    def replacing(dataset: Path) -> list[str]:
        return [*line(source, dataset), "--org", "8", "--replace"]

    def forgetting(dataset: Path) -> list[str]:
        return command("ingest", "--forget", str(source), "--to", str(dataset), "-q")

    finished(replacing(made["replaced"]))
    finished(forgetting(made["forgotten"]))
    return {
        "ingest": Change(ingesting, None, made["ingested"]),
        "replace": Change(replacing, made["both"], made["replaced"]),
        "forget": Change(forgetting, made["both"], made["forgotten"]),
    }


@pytest.mark.parametrize("kills", ["6:2000", pytest.param(KILLS, marks=pytest.mark.slow)])
def test_killed_at_any_moment_and_repeated(kills: str, tmp_path: Path) -> None:
    times, count = map(int, kills.split(":"))
    every = changes(tmp_path, count)
    wanted = {name: rows_in(change.makes) for name, change in every.items()}
    before = {name: rows_in(change.begins) for name, change in every.items()}
    assert wanted["ingest"]
    assert wanted["replace"] != before["replace"] == before["forget"] != wanted["forget"]
    took: dict[str, float] = {}
    chance = random.Random(2)
    outcomes = set()
    for turn in range(times):
        name = list(every)[turn % len(every)]
        change = every[name]
        dataset = tmp_path / "data"
        if name not in took:
            begin(change, dataset)
            took[name] = finished(change.line(dataset))
        begin(change, dataset)
        with subprocess.Popen(
            change.line(dataset),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment(),
        ) as process:
            # Early at first and ever later, so that a few kills are spread over the run too.
            time.sleep(took[name] * chance.uniform(turn, turn + 1) / times * 1.1)
            process.kill()
            process.wait(PATIENCE)
        result = run("overview", str(dataset), "--now", NOW, "--period", "7d", "-f", "json")
        happened = result.code == 0
        if not happened:
            assert result.code == 4
            assert name == "ingest"
            assert "no such file or directory" in result.err or "no Parquet file" in result.err
        code = run(*change.line(dataset)[3:]).code
        assert code == 0 or (name == "forget" and code == 4)  # it was taken out already
        assert rows_in(dataset) == wanted[name]
        kept = {path.name for path in dataset.iterdir() if "=" not in path.name}
        assert kept == {"_ledger"}
        outcomes.add(result.code)
    assert 4 in outcomes  # some were killed before they were done


def begin(change: Change, dataset: Path) -> None:
    """Set a data set to what a change begins with."""
    shutil.rmtree(dataset, ignore_errors=True)
    if change.begins is not None:
        shutil.copytree(change.begins, dataset)


def rows_in(dataset: Path | None) -> dict[str, pa.Table]:
    """Return the rows of each day of a data set, in an order of their own."""
    days: dict[str, list[pa.Table]] = {}
    for file in sorted(dataset.glob("date=*/*.parquet")) if dataset else ():
        days.setdefault(file.parent.name, []).append(pq.read_table(file, partitioning=None))
    return {
        day: pa.concat_tables(tables).sort_by(
            [(name, "ascending") for name in tables[0].schema.names]
        )
        for day, tables in days.items()
    }


def test_two_at_once_take_turns(tmp_path: Path) -> None:
    sources = [tmp_path / name for name in ("a", "b")]
    for seed, source in enumerate(sources):
        source.write_bytes(stream_of(2_000, seed))
    argv = [line(source, tmp_path / "data") for source in [*sources, *sources]]
    running = [subprocess.Popen(one, stdout=subprocess.DEVNULL, env=environment()) for one in argv]
    assert [process.wait(PATIENCE) for process in running] == [0, 0, 0, 0]
    for source in sources:
        finished(line(source, tmp_path / f"{source.name} alone"))
    apart = rows_of(tmp_path / "a alone") + rows_of(tmp_path / "b alone")
    assert rows_of(tmp_path / "data") == apart


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A data set of several files a day."""
    for seed in range(6):
        source = tmp_path / f"{seed}"
        source.write_bytes(stream_of(300, seed))
        assert run(*line(source, tmp_path / "data")[3:]).code == 0
    return tmp_path / "data"


def test_readers_see_a_data_set_as_it_was_or_as_it_is(dataset: Path, tmp_path: Path) -> None:
    asked = ("overview", str(dataset), "--now", NOW, "--period", "7d", "-f", "csv", "-q")
    before = run(*asked)
    assert before.code == 0
    answers, done = [], threading.Event()

    def read() -> None:
        while not done.is_set():
            finished = subprocess.run(
                command(*asked), capture_output=True, env=environment(), check=False
            )
            answers.append((finished.returncode, finished.stdout.decode()))

    readers = [threading.Thread(target=read, daemon=True) for _ in range(2)]
    for reader in readers:
        reader.start()
    files = sum(1 for _ in dataset.glob("date=*/*.parquet"))
    assert run("compact", str(dataset), "-q").code == 0
    assert 4 == sum(1 for _ in dataset.glob("date=*/*.parquet")) < files
    compacted = run(*asked)
    new = tmp_path / "new"
    new.write_bytes(stream_of(300, 99))
    assert run(*line(new, dataset)[3:]).code == 0
    time.sleep(1)
    done.set()
    for reader in readers:
        reader.join(PATIENCE)
    after = run(*asked)
    assert compacted == before != after
    assert {before.out, after.out} >= {out for _, out in answers}
    assert {code for code, _ in answers} == {0}


def test_compacting_twice_changes_nothing(dataset: Path) -> None:
    rows = rows_of(dataset)
    assert run("compact", str(dataset)).code == 0
    files = sorted(dataset.glob("date=*/*.parquet"))
    result = run("compact", str(dataset), "-f", "json")
    assert json.loads(result.out)["data"]["days"] == 0
    assert sorted(dataset.glob("date=*/*.parquet")) == files
    assert rows_of(dataset) == rows
