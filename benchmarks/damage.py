"""Damage Parquet files and envelopes in thousands of ways, and see what relhealth makes of them.

    python benchmarks/damage.py                       10,000 Parquet files, by several writers
    python benchmarks/damage.py --count 300 --first 5
    python benchmarks/damage.py --envelopes           10,000 envelopes through ingest
    python benchmarks/damage.py --show 1234           one case again, with its messages

Bits are flipped, bytes overwritten, inserted, cut and swapped; half of it within the footer. Each
case is asked an overview, a template, the newest instant and an inspection. A fault is: a process
that a signal ends, an exit code other than 0 and 4, a traceback, memory without bound, and, where
a writer gave pages checksums, another answer than that of the whole file. Ends with 1 if there is
one. Files without checksums may answer differently; how many do is told.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from relhealth.commands.boundary import run_guarded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.connection import Connection

COUNT = 10_000
NOW = "2026-03-04T12:30:00Z"
NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
ROW_GROUP = 250  # rows, so that a small file has several
MOST_MEMORY = 600 << 20  # bytes that a case may add to what its process takes
QUESTIONS = (
    ("overview", "--now", NOW, "--period", "48h"),
    ("releases", "--now", NOW),
    ("overview", "--now", "latest", "--stats-period", "24h"),
    ("inspect", "--now", NOW),
)
# With checksums; of the others, an answer may differ.
CHECKED = ("arrow checked", "arrow checked v2", "ingested", "rollup")


class Outcome(NamedTuple):
    """What became of one question about one damaged file."""

    code: int
    answer: Any
    said: str


class Finding(NamedTuple):
    """A fault: which case, of which writer, and what happened."""

    case: int
    writer: str
    what: str


# Sources.


def sessions(count: int) -> list[dict[str, Any]]:
    """Return made-up session updates over three days, of three releases."""
    chance = random.Random(1)  # noqa: S311 - made-up sessions
    found = []
    for number in range(count):
        started = NOON - timedelta(seconds=chance.randrange(72 * 3_600))
        status = chance.choice(["exited"] * 5 + ["crashed", "abnormal", "ok"])
        found.append(
            {
                "sid": f"{chance.getrandbits(128):032x}",
                "did": f"user-{chance.randrange(count // 3)}",
                "init": True,
                "started": started.isoformat(),
                "timestamp": started.isoformat(),
                "status": status,
                "errors": number % 3 if status == "ok" else 0,
                "duration": chance.randrange(1, 9_000) / 7,
                "attrs": {
                    "release": f"shop@1.{number % 3}",
                    "environment": ("production", "staging", "")[number % 5 % 3],
                },
            }
        )
    return found


def envelope(updates: Sequence[dict[str, Any]]) -> bytes:
    """Return an envelope of session updates."""
    lines = ['{"dsn":"https://key@o1.ingest.example/42"}']
    for update in updates:
        lines += ['{"type":"session"}', json.dumps(update)]
    return "\n".join(lines).encode() + b"\n"


def quietly(*arguments: str) -> tuple[int, str]:
    """Run a command line; return its exit code and what it said."""
    said = io.StringIO()
    with redirect_stderr(said), redirect_stdout(io.TextIOWrapper(io.BytesIO())):
        code = run_guarded(list(arguments))
    return code, said.getvalue()


def sources(root: Path) -> dict[str, Path]:
    """Write the same data by each writer; return a folder each."""
    import duckdb

    raw = root / "raw.envelope"
    raw.write_bytes(envelope(sessions(600)))
    folders = {name: root / name.replace(" ", "-") for name in ("ingested", "rollup")}
    for folder in folders.values():
        code, said = quietly("ingest", str(raw), "--to", str(folder), "--now", NOW)
        assert code == 0, said
    code, said = quietly("rollup", str(folders["rollup"]))
    assert code == 0, said
    files = sorted(folders["ingested"].glob("date=*/*.parquet"))
    table = pa.concat_tables(pq.read_table(file, partitioning=None) for file in files)
    table = table.sort_by("timestamp")
    writers: dict[str, dict[str, Any]] = {
        "arrow": {},
        "arrow checked": {"write_page_checksum": True},
        "arrow checked v2": {
            "write_page_checksum": True,
            "data_page_version": "2.0",
            "compression": "zstd",
        },
    }
    for name, options in writers.items():
        folders[name] = root / name.replace(" ", "-")
        folders[name].mkdir()
        path = folders[name] / "a.parquet"
        pq.write_table(table, path, row_group_size=ROW_GROUP, **options)
    folders["duckdb"] = root / "duckdb"
    folders["duckdb"].mkdir()
    with duckdb.connect() as database:
        database.register("data", table)
        database.execute(f"COPY data TO '{folders['duckdb']}/a.parquet' (ROW_GROUP_SIZE 2048)")
    return folders


# Damage.


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Return data with some damage, half of it in the footer of Parquet."""
    length = int.from_bytes(data[-8:-4], "little") + 8
    footer = max(0, len(data) - length) if data[-4:] == b"PAR1" else 0
    low, high = (footer, len(data)) if chance.random() < 0.5 else (0, footer or len(data))  # noqa: PLR2004
    at = chance.randrange(low, high)
    changed = bytearray(data)
    match chance.randrange(10):
        case 0:
            run = chance.randrange(1, 17)
            changed[at : at + run] = chance.randbytes(len(changed[at : at + run]))
        case 1:
            run = chance.randrange(1, 17)
            changed[at : at + run] = bytes(len(changed[at : at + run]))
        case 2:
            del changed[at:]
        case 3:
            changed[at:at] = chance.randbytes(chance.randrange(1, 9))
        case 4:
            del changed[at : at + chance.randrange(1, 9)]
        case 5:
            size, other = chance.randrange(1, 65), chance.randrange(low, high)
            one, two = changed[at : at + size], changed[other : other + size]
            if len(one) == len(two) and abs(at - other) >= size:
                changed[at : at + size], changed[other : other + size] = two, one
        case _:
            for _ in range(chance.choice((1, 1, 1, 2, 3))):
                changed[chance.randrange(low, high) if _ else at] ^= 1 << chance.randrange(8)
    return bytes(changed)


class Cases:
    """Cases by their number: each damages one file of one source."""

    def __init__(self, folders: dict[str, Path]) -> None:
        """Take the whole sources."""
        self.writers = sorted(folders)
        self._folders = folders
        self._whole = {name: [ask(question, folders[name]) for question in QUESTIONS]
                       for name in folders}  # fmt: skip

    def writer(self, case: int) -> str:
        """Return whose file a case damages."""
        return self.writers[case % len(self.writers)]

    def run(self, case: int, folder: Path) -> tuple[list[Outcome], list[str]]:
        """Return what became of the questions of a case, and what is wrong with it."""
        chance = random.Random(case)  # noqa: S311 - damage
        writer = self.writer(case)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self._folders[writer], folder)
        files = sorted(folder.rglob("*.parquet"))
        file = chance.choice(files)
        times = file.stat()
        file.write_bytes(damaged(file.read_bytes(), chance))
        # As by a disk, which tells nobody.
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
        outcomes = [ask(question, folder) for question in QUESTIONS]
        return outcomes, [
            f"{' '.join(question)}: {what}"
            for question, found, whole in zip(QUESTIONS, outcomes, self._whole[writer], strict=True)
            if (what := fault(found)) or (what := different(found, whole))
        ]


def ask(question: Sequence[str], folder: Path) -> Outcome:
    """Ask a question of a folder."""
    command, *options = question
    answer = folder.parent / f"{folder.name}.json"
    answer.unlink(missing_ok=True)
    code, said = quietly(command, str(folder), *options, "-q", "-o", str(answer))
    found = json.loads(answer.read_text()) if code == 0 else None
    if found is not None:
        found = {"data": found["data"], "invalid": found["meta"].get("invalid_rows")}
        if command == "inspect":
            found["data"].pop("bytes")
    return Outcome(code, found, said)


def fault(found: Outcome) -> str | None:
    """Return what is wrong with an outcome by itself."""
    if "Traceback" in found.said:
        return "traceback"
    if found.code not in {0, 4}:
        return f"exit code {found.code}: {found.said.strip()}"
    if found.code == 4 and not found.said.strip():  # noqa: PLR2004 - the code of bad data
        return "no message"
    return None


def different(found: Outcome, whole: Outcome) -> str | None:
    """Tell whether an answer is another one than that of the whole file."""
    return "another answer" if found.code == 0 and found.answer != whole.answer else None


class Envelopes:
    """Damaged envelopes, each through an ingest of its own."""

    writers = ("envelope",)

    def __init__(self) -> None:
        """Make the whole envelope."""
        self._whole = envelope(sessions(40))

    def writer(self, case: int) -> str:  # noqa: ARG002 - there is one
        """Return what a case damages."""
        return "envelope"

    def run(self, case: int, folder: Path) -> tuple[list[Outcome], list[str]]:
        """Return what became of a case, and what is wrong with it."""
        chance = random.Random(case)  # noqa: S311 - damage
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        data = self._whole
        for _ in range(chance.choice((1, 1, 2, 5))):
            data = damaged(data, chance) or b"\n"
        file = folder / "a.envelope"
        file.write_bytes(data)
        code, said = quietly("ingest", str(file), "--to", str(folder / "data"), "--now", NOW)
        found = Outcome(code, None, said)
        return [found], [what for what in [fault(found)] if what]


# Workers that may die.


def work(
    cases: Cases | Envelopes, numbers: Sequence[int], ends: tuple[Connection, Connection],
    folder: Path,
) -> None:  # fmt: skip
    """Run cases; tell of each before it begins and when it is done."""
    watching, end = ends
    watching.close()  # or a worker whose watcher is gone would go on
    # What C++ prints at its end would fill the screen.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    for number in numbers:
        end.send(("begin", number))
        outcomes, wrong = cases.run(number, folder)
        now = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
        if now - peak > MOST_MEMORY:
            wrong.append(f"memory: {(now - peak) >> 20} MiB more")
        peak = max(peak, now) if now - peak > MOST_MEMORY else peak
        end.send(("done", [one.code for one in outcomes], wrong))
    end.send(("end",))


class Watched:
    """A worker and the cases that are left to it; one that dies is followed by another."""

    def __init__(self, cases: Cases | Envelopes, numbers: Sequence[int], folder: Path) -> None:
        """Start it."""
        self._cases, self._left, self._folder = cases, list(numbers), folder
        self._start()

    def _start(self) -> None:
        self.end, other = multiprocessing.Pipe()
        self._process = multiprocessing.get_context("fork").Process(
            target=work, args=(self._cases, self._left, (self.end, other), self._folder)
        )
        self._process.start()
        other.close()

    def hear(self) -> Iterator[tuple[int, list[int], list[str]]]:
        """Yield what it says now; nothing more comes after an end."""
        try:
            match self.end.recv():
                case ("begin", number):
                    assert self._left[0] == number
                case ("done", codes, wrong):
                    yield self._left.pop(0), codes, wrong
                case _:
                    self._process.join()
                    self.end.close()
        except EOFError:
            self._process.join()
            code = self._process.exitcode or 0
            name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            yield self._left.pop(0), [code], [f"the process ended: {name}"]
            self.end.close()
            if self._left:
                self._start()


def run(
    cases: Cases | Envelopes, numbers: Sequence[int], root: Path, processes: int,
    tell: Callable[[str], object] = print,
) -> tuple[Counter[tuple[str, str]], list[Finding]]:  # fmt: skip
    """Run cases in watched workers; return counts by writer and outcome, and the faults."""
    from multiprocessing.connection import wait

    workers = [
        Watched(cases, numbers[at::processes], root / f"case-{at}") for at in range(processes)
    ]
    counts: Counter[tuple[str, str]] = Counter()
    findings = []
    while open_ends := [one.end for one in workers if not one.end.closed]:
        ready = wait(open_ends)
        for worker in workers:
            if worker.end not in ready:
                continue
            for case, codes, wrong in worker.hear():
                writer = cases.writer(case)
                counts[writer, "cases"] += 1
                for code in codes:
                    counts[writer, f"exit code {code}"] += 1
                for what in wrong:
                    kind = what.rpartition(": ")[2] if "answer" in what else "fault"
                    counts[writer, kind] += 1
                    if kind == "fault" or writer in CHECKED:
                        findings.append(Finding(case, writer, what))
                        tell(f"case {case}, {writer}: {what}")
    return counts, findings


def main() -> int:
    """Run what was asked for; return 1 where there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=COUNT, help="how many cases")
    parser.add_argument("--first", type=int, default=0, help="the number of the first")
    parser.add_argument("--envelopes", action="store_true", help="damage envelopes")
    parser.add_argument("--show", type=int, help="run this case alone, with its messages")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="relhealth-damage-") as folder:
        root = Path(folder)
        cases = Envelopes() if given.envelopes else Cases(sources(root))
        if given.show is not None:
            outcomes, wrong = cases.run(given.show, root / "case")
            print(cases.writer(given.show), *(f"{one.code} {one.said}" for one in outcomes))
            print(*wrong, sep="\n")
            return bool(wrong)
        numbers = range(given.first, given.first + given.count)
        counts, findings = run(cases, numbers, root, given.processes)
    for (writer, what), count in sorted(counts.items()):
        print(f"{writer:20} {what:20} {count:,}")
    print(f"{len(findings)} faults in {given.count:,} cases")
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main())
