"""Time an ingest of JSON session updates against only parsing the same JSON, and its memory.

    python benchmarks/ingest.py                    1,000,000 updates, 5 runs; for memory, 16,000,000
    python benchmarks/ingest.py 200_000 --runs 3

Every run is a process of its own. The floor reads the same file line by line and parses each line
with msgspec, the parser that the ingest uses. Then: bytes of each remembered session; memory where
a data set remembers the sessions of 1 day and of 20; and 300,000 rows that are all rejected.
Needs relhealth in the environment.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAYS = 7
PARSE = """
import sys
import msgspec

decode = msgspec.json.decode
for line in open(sys.argv[1], "rb"):
    decode(line)
"""
# Its last line is its peak of resident memory, in KiB.
MEASURED = """
import os, resource, sys
from relhealth.__main__ import run

os._exit = sys.exit
try:
    run()
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def write_updates(path: Path, count: int, days: int = DAYS, seed: int = 1) -> None:
    """Write one envelope with as many updates: two a session, of ten releases, over some days."""
    chance = random.Random(seed)  # noqa: S311 - made-up sessions
    with path.open("w", encoding="utf-8") as file:
        file.write('{"dsn":"https://key@o1.ingest.example/42"}\n')
        for number in range(count):
            if number % 2 == 0:
                started = NOON - timedelta(seconds=chance.randrange(days * 86_400))
                update = {
                    "sid": f"{chance.getrandbits(128):032x}",
                    "did": f"user-{chance.randrange(count // 3 + 1)}",
                    "init": True,
                    "started": _iso(started),
                    "timestamp": _iso(started),
                    "status": "ok",
                    "errors": 0,
                    "attrs": {
                        "release": f"shop@{chance.randrange(10)}.0.0",
                        "environment": "production",
                    },
                }
            else:
                ended = started + timedelta(seconds=chance.random() * 600)
                status = chance.choices(["exited", "crashed", "abnormal"], [96, 3, 1])[0]
                update |= {"init": False, "status": status, "timestamp": _iso(ended)}
            file.write(f'{{"type":"session"}}\n{json.dumps(update)}\n')


def _iso(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")


def timed(argv: list[str]) -> tuple[float, str]:
    """Run a command; return its seconds and what it printed."""
    began = time.perf_counter()
    done = subprocess.run(argv, check=True, capture_output=True, text=True)  # noqa: S603 - our own
    return time.perf_counter() - began, done.stdout


def ingest(source: Path, dataset: Path, *, anew: bool = True) -> tuple[float, int]:
    """Ingest, by default anew; return its seconds and its peak of memory in bytes."""
    if anew:
        shutil.rmtree(dataset, ignore_errors=True)
    line = ["ingest", str(source), "--to", str(dataset), "--now", _iso(NOON), "-q"]
    seconds, printed = timed([sys.executable, "-c", MEASURED, *line])
    return seconds, int(printed.splitlines()[-1]) * 1024


def sessions_bytes(dataset: Path) -> float:
    """Return the bytes that a data set keeps for each session that it remembers."""
    files = list(dataset.glob("_ledger/date=*/*.sessions.parquet"))
    sessions = sum(pq.read_metadata(file).num_rows for file in files)
    return float(sum(file.stat().st_size for file in files) / sessions)


def remembering(folder: Path, count: int, days: int) -> int:
    """Return the peak of memory of an ingest beside the remembered sessions of some days.

    A day remembers ``count`` sessions; the ingest adds a tenth of that to one day.
    """
    dataset = folder / f"of {days} days"
    source = folder / "many"
    write_updates(source, 2 * count * days, days)
    ingest(source, dataset)
    write_updates(source, count // 5, 1, seed=2)
    return ingest(source, dataset, anew=False)[1]


def rejecting(folder: Path, count: int) -> None:
    """Print what an ingest of rows that are all rejected takes, and leaves."""
    source, dataset = folder / "bad.csv", folder / "of bad rows"
    with source.open("w", encoding="utf-8") as file:
        file.write("session_id,started,project_id,status,release\n")
        file.writelines(f"s{n},never-{n},1,exited,shop@1.0.0\n" for n in range(count))
    line = ["ingest", str(source), "--to", str(dataset), "--now", _iso(NOON)]
    began = time.perf_counter()
    done = subprocess.run(  # noqa: S603 - our own
        [sys.executable, "-c", MEASURED, *line], check=False, capture_output=True, text=True
    )
    peak = int(done.stdout.splitlines()[-1]) / 1024
    kept = sum(file.stat().st_size for file in dataset.glob("_rejected/*"))
    print(
        f"{count:,} rejected rows: {time.perf_counter() - began:.1f} s, peak {peak:.0f} MiB,"
        f" code {done.returncode}, {len(done.stdout) + len(done.stderr):,} characters,"
        f" {kept:,} bytes kept"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Time an ingest against only parsing.")
    parser.add_argument("count", type=int, nargs="?", default=1_000_000, help="session updates")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        source, dataset = Path(name) / "updates.envelope", Path(name) / "data"
        write_updates(source, arguments.count)
        ratios, peaks = [], []
        for _ in range(arguments.runs):
            floor, _ = timed([sys.executable, "-c", PARSE, str(source)])
            seconds, peak = ingest(source, dataset)
            ratios.append(seconds / floor)
            peaks.append(peak)
            print(f"parse {floor:.2f} s   ingest {seconds:.2f} s   ratio {ratios[-1]:.2f}")
        print(f"{arguments.count:,} updates: median ratio {statistics.median(ratios):.2f}")
        small = statistics.median(peaks)
        print(f"peak memory: {small / 2**20:.0f} MiB")
        for times in (4, 16):
            write_updates(source, times * arguments.count)
            large = statistics.median(ingest(source, dataset)[1] for _ in range(3))
            print(f"of {times} times as many: {large / 2**20:.0f} MiB, {large / small - 1:+.0%}")
        print(f"remembered: {sessions_bytes(dataset):.1f} bytes a session")
        a_day = arguments.count // 10
        few, many = (remembering(Path(name), a_day, days) for days in (1, 20))
        print(
            f"remembering {a_day:,} sessions a day: peak {few / 2**20:.0f} MiB beside 1 day,"
            f" {many / 2**20:.0f} MiB beside 20, growth {many / few - 1:+.0%}"
        )
        rejecting(Path(name), 300_000)


if __name__ == "__main__":
    main()
