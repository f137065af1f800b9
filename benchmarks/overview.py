"""Measure `relhealth overview` beside its peers and the floor; the table of docs/performance.md.

    pip install -e '.[bench]'
    python benchmarks/overview.py --sizes 2_000_000 --runs 3
    python benchmarks/overview.py --json here.jsonl --docs docs/performance.md

Every run is a process of its own; contestants take turns (A B C, A B C, ...) on the same files,
after one turn that warms the page cache and whose answers are compared: the exit code is 1 where
exact ones differ, or one fails. A peer's formulations that are clearly slower than its fastest in
that turn, or whose answer differs, are not measured again. Times are medians, memory is the worst
run. Results are kept as JSON lines, so that parts measured apart make one table: --merge.

This process stays small and imports no engine: the peak that Linux tells of a child is never below
what its parent held when it was started.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import math
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from peers import NOW, PEERS, PERIODS, STATS, THREADS, day_of, files
from report import (
    EXACT_PEERS,
    FORMULATIONS,
    LAYOUTS,
    MEGABYTE,
    WHO,
    WHOLE_DAY,
    Cost,
    Record,
    Results,
    between_markers,
    printed,
    report,
    still_in,
)

HERE = Path(__file__).parent
SAMPLE = HERE.parent / "sample_data"
SHAPE = ("--days", "90", "--projects", "3", "--releases", "135")
IDENTITY_ROWS = 20_000_000  # up to which all the ways to one answer are compared
BUILDS = 3
STARTS = 11
QUICK = 2.0  # seconds: what takes less in the first turn runs twice, and the sooner run counts

LIMITS = {"limit_1GB": "1GB", "limit_512MB": "512MB"}
RELHEALTHS = ("relhealth", "rollup", *LIMITS)
NEEDS = {one: package for one in WHO for package in ("chdb", "polars") if one.startswith(package)}

Row = Mapping[str, Any]


def say(text: str) -> None:
    """Tell how it goes."""
    print(text, file=sys.stderr, flush=True)


# --- processes ------------------------------------------------------------------------------------


class FailedError(Exception):
    """A process ended badly; the text is the end of what it said."""


STEERING = {"COLUMNS", "GITHUB_ACTIONS", "PYTHONDONTWRITEBYTECODE", "RELHEALTH_NOW"}
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in STEERING}
ENVIRONMENT |= {"POLARS_MAX_THREADS": str(THREADS), "NO_COLOR": "1"}


def measure(line: Sequence[str]) -> Cost:
    """Run a process to its end; raise `FailedError` for one that fails."""
    with tempfile.TemporaryFile() as talk:
        begun = time.perf_counter()
        process = subprocess.Popen(  # noqa: S603 - our own lines
            line,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=talk,
            env=ENVIRONMENT,
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            talk.seek(0)
            said = talk.read()[-500:].decode(errors="replace").strip()
            raise FailedError(f"exit code {process.returncode}: {said}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / MEGABYTE)


def relhealth(*line: str) -> list[str]:
    """Return the command line, as it is installed beside this Python."""
    installed = Path(sys.executable).with_name("relhealth")
    start = [str(installed)] if installed.exists() else [sys.executable, "-m", "relhealth"]
    return [*start, *line]


def _limited(data: str, limit: str, period: str, stat: str, output: Path) -> list[str]:
    return overview(data, period, stat, output, "--memory-limit", limit)


def peer(*line: str) -> list[str]:
    """Return the command line of one of the peers."""
    return [sys.executable, str(HERE / "peers.py"), *line]


def overview(
    data: str, period: str, stat: str, output: Path, *more: str, threads: int = THREADS
) -> list[str]:
    """Return the command line of the question."""
    return relhealth(
        *("overview", data, "--quiet", "--now", datetime.fromtimestamp(NOW, UTC).isoformat()),
        *("--period", period, "--stats-period", period, "--stat", stat, "--output", str(output)),
        *("--threads", str(threads), *more),
    )


# --- data -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Dataset:
    """Generated rows in one layout; kept, and made if they are not there."""

    folder: Path
    rows: int
    layout: str

    def path(self, kind: str = "") -> str:
        """Return the folder of the data, or of another make of them."""
        return str(self.folder / f"{self.rows}-{self.layout}{kind and f'-{kind}'}")

    @property
    def title(self) -> str:
        """What it is, for people."""
        return f"{self.rows:,} rows, {self.layout}"

    def make(self) -> None:
        """Generate the data; a folder appears whole or not at all."""
        if os.path.isdir(self.path()):
            return
        say(f"{self.title}: generating")
        part = self.path("part")
        shutil.rmtree(part, ignore_errors=True)
        script = [sys.executable, str(HERE / "generate.py"), str(self.rows), part]
        measure([*script, *SHAPE, *LAYOUTS[self.layout]])
        os.rename(part, self.path())

    def linked(self, kind: str) -> str:
        """Return a fresh copy of the data, of hard links."""
        copy = self.path(kind)
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.path(), copy, copy_function=os.link)
        return copy

    def facts(self) -> Record:
        """Return rows, files and bytes, read by another process."""
        line = peer("describe", self.path())
        told = subprocess.run(line, check=True, capture_output=True)  # noqa: S603 - as above
        found: Record = json.loads(told.stdout)
        return found


# --- equality -------------------------------------------------------------------------------------


def same(one: Any, other: Any) -> bool:
    """Tell whether two figures agree: whole numbers exactly, others within 1e-9."""
    if isinstance(one, float) or isinstance(other, float):
        return None not in {one, other} and math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(one == other)


def by_pair(rows: Iterable[Row]) -> dict[tuple[int, str], Row]:
    """Return rows by project and release."""
    return {(row["project_id"], row["release"]): row for row in rows}


def differences(ours: Iterable[Row], theirs: Iterable[Row]) -> list[str]:
    """Return in which figures of another's answer ours differs; it need not have all of ours."""
    mine, other = by_pair(ours), by_pair(theirs)
    found = [f"{pair}: one has it alone" for pair in sorted(mine.keys() ^ other.keys())]
    for pair in sorted(mine.keys() & other.keys()):
        one, two = mine[pair], other[pair]
        found += [
            f"{pair}: {name} is {one.get(name)}, not {two.get(name)}"
            for name in sorted(two)
            if not same(one.get(name), two.get(name))
        ]
    return found


def off(exact: Iterable[Row], approximate: Iterable[Row], name: str = "total_users") -> float:
    """Return the worst error of a count, in percent."""
    true, told = by_pair(exact), by_pair(approximate)
    errors = [abs(told[pair][name] / row[name] - 1) for pair, row in true.items() if row[name]]
    return 100 * max(errors, default=0.0)


def rows_of(path: Path) -> list[Row]:
    """Return the rows of an answer."""
    found: list[Row] = json.loads(path.read_bytes())["data"]
    return found


def text_of(path: Path) -> str:
    """Return an answer of relhealth, without which engine it is by."""
    answer = json.loads(path.read_bytes())
    answer["meta"].pop("engine")
    return json.dumps(answer)


# --- measuring ------------------------------------------------------------------------------------


@dataclass
class Benchmark:
    """What is measured, into records; what was wrong, into complaints."""

    folder: Path
    runs: int
    who: Sequence[str]
    keep: Callable[[Record], None]
    identity: bool = True
    builds: int = BUILDS
    groups: Mapping[str, str] = field(default_factory=lambda: FORMULATIONS)
    complaints: list[str] = field(default_factory=list)

    def complain(self, where: str, faults: Iterable[str]) -> None:
        """Note what must not be; tell the first few."""
        listed = list(faults)
        self.complaints += [f"{where}: {fault}" for fault in listed]
        for fault in listed[:5]:
            say(f"WRONG {where}: {fault}")

    def verdict(self) -> int:
        """Return the exit code: 1 if something was wrong, which is told."""
        if self.complaints:
            say(f"{len(self.complaints)} faults, the first: {self.complaints[0]}")
        return 1 if self.complaints else 0

    def output(self, name: str) -> Path:
        """Return where an answer goes."""
        return self.folder / "answers" / f"{name}.json"

    def line(self, who: str, dataset: Dataset, period: str, stat: str) -> list[str]:
        """Return the command line of a contestant."""
        output = self.output(who)
        if who in PEERS:
            return peer(who, dataset.path(), period, stat, str(output))
        more = ("--memory-limit", LIMITS[who]) if who in LIMITS else ()
        return overview(
            dataset.path("rollup" if who == "rollup" else ""), period, stat, output, *more
        )

    def ask(self, dataset: Dataset, period: str, stat: str, who: Sequence[str]) -> None:
        """Let contestants answer a question by turns, once their answers are found equal.

        Of the formulations of a group, only the fastest in the first turn go on.
        """
        where = f"{dataset.title}, {period}, {stat}"
        lines = {one: self.line(one, dataset, period, stat) for one in who}
        key = {"rows": dataset.rows, "layout": dataset.layout, "period": period, "stat": stat}
        walls = {}
        for one in who:
            self.output(one).unlink(missing_ok=True)
            try:
                cost = measure(lines[one])
                if cost.wall < QUICK:
                    cost = min(cost, measure(lines[one]))
            except FailedError as error:
                self.complain(where, [f"{WHO[one]} failed and is left out: {error}"])
                del lines[one]
                continue
            walls[one] = cost.wall
            self.keep({"kind": "first", **key, "who": one, **cost._asdict()})
        for one in self.compare(where, key, lines):
            del walls[one]
        left = still_in(walls, self.groups)
        self.take_turns(
            where, {"kind": "run", **key}, {one: lines[one] for one in lines if one in left}
        )

    def take_turns(self, where: str, key: Record, lines: Mapping[str, Sequence[str]]) -> None:
        """Measure processes by turns."""
        for turn in range(self.runs):
            say(f"{where}: run {turn + 1} of {self.runs}")
            for who, line in lines.items():
                self.keep({**key, "who": who, **measure(line)._asdict()})

    def compare(self, where: str, key: Record, who: Collection[str]) -> list[str]:
        """Compare the answers to a question with the first, which is relhealth's if it answers.

        Return the peers that answered otherwise.
        """
        wrong: list[str] = []
        exact = [one for one in who if one in (*RELHEALTHS, *EXACT_PEERS)]
        if not exact:
            return wrong
        output = self.output(exact[0])
        ours = rows_of(output)
        for one in who:
            its = self.output(one)
            if one in EXACT_PEERS:
                if found := differences(ours, rows_of(its)):
                    wrong.append(one)
                    self.complain(f"{where}: {WHO[one]}", found)
            elif one in RELHEALTHS and its != output and text_of(its) != text_of(output):
                self.complain(f"{where}: {WHO[one]}", ["other bytes"])
            elif one == "chdb_approx":
                percent = off(ours, rows_of(its))
                self.keep({"kind": "approx", **key, "who": one, "percent": percent})
        return wrong

    def roll_up(self, dataset: Dataset) -> bool:
        """Measure the making of a rollup; tell whether there is one, and it is used."""
        try:
            measure(relhealth("rollup", "--help"))
        except FailedError:
            say("skipped: the rollup; this relhealth has no such command")
            return False
        data = dataset.linked("rollup")
        key = {"kind": "rollup", "rows": dataset.rows, "layout": dataset.layout}
        roll = relhealth("rollup", data, "--quiet", "--threads", str(THREADS))
        days = [path for path in files(data) if day_of(path) == WHOLE_DAY]
        builds = min(self.runs, self.builds)
        for turn in range(builds):
            say(f"{dataset.title}: making the rollup, {turn + 1} of {builds}")
            self.keep({**key, "who": "build", **measure([*roll, "--force"])._asdict()})
            self.keep({**key, "who": "nothing", **measure(roll)._asdict()})
            for path in days:
                os.unlink(path)
            measure(roll)
            for path in days:
                os.link(path.replace(data, dataset.path()), path)
            self.keep({**key, "who": "day", **measure(roll)._asdict()})
        made = [path for path in Path(data, "_rollup").rglob("*") if path.is_file()]
        self.keep({**key, "who": "size", "bytes": sum(path.stat().st_size for path in made)})
        used = self.imports(overview(data, "24h", "sessions", self.output("rollup")))
        if "relhealth.engines.rollup.arrays" not in used:
            say("skipped: answers by the rollup; this relhealth does not use one")
            return False
        return True

    @staticmethod
    def imports(line: Sequence[str]) -> str:
        """Return the modules that a command line imports."""
        told = subprocess.run(  # noqa: S603 - our own lines
            line,
            check=True,
            capture_output=True,
            env=ENVIRONMENT | {"PYTHONPROFILEIMPORTTIME": "1"},
        )
        return told.stderr.decode()

    def measure_dataset(
        self, dataset: Dataset, periods: Sequence[str], stats: Sequence[str]
    ) -> None:
        """Ask all questions of a data set."""
        dataset.make()
        key = {"rows": dataset.rows, "layout": dataset.layout}
        self.keep({"kind": "data", **key, "who": "raw", **dataset.facts()})
        who = list(self.who)
        if "rollup" in who and not self.roll_up(dataset):
            who.remove("rollup")
        for stat in stats:
            for period in periods:
                asked = [one for one in who if one not in LIMITS or period == "90d"]
                self.ask(dataset, period, stat, asked)
        if self.identity and dataset.rows <= IDENTITY_ROWS:
            self.check_identity(dataset, periods, stats, rolled="rollup" in who)

    def check_identity(
        self, dataset: Dataset, periods: Sequence[str], stats: Sequence[str], *, rolled: bool
    ) -> None:
        """Compare the bytes of all ways to an answer: layouts, a rollup, threads, limits."""
        say(f"{dataset.title}: comparing bytes")
        ways: dict[str, Callable[[str, str, Path], list[str]]] = {
            "1 thread": partial(overview, dataset.path(), threads=1),
            "compacted": partial(overview, self.compacted(dataset)),
        }
        for limit in LIMITS.values():
            ways[f"at most {limit}"] = partial(_limited, dataset.path(), limit)
        other = Dataset(dataset.folder, dataset.rows, "daily")
        if dataset.layout == "sorted" and os.path.isdir(other.path()):
            ways["by time"] = partial(overview, other.path())
        if rolled:
            ways["with a rollup"] = partial(overview, dataset.path("rollup"))
        plain, output = self.output("relhealth"), self.output("other")
        for stat in stats:
            for period in periods:
                measure(overview(dataset.path(), period, stat, plain))
                for way, line in ways.items():
                    measure(line(period, stat, output))
                    if text_of(output) != text_of(plain):
                        where = f"{dataset.title}, {period}, {stat}: {way}"
                        self.complain(where, ["other bytes"])
        key = {"rows": dataset.rows, "layout": dataset.layout}
        self.keep({"kind": "identity", **key, "who": "bytes", "ways": list(ways)})

    @staticmethod
    def compacted(dataset: Dataset) -> str:
        """Return the data as `relhealth compact` leaves them, of two files a day."""
        from relhealth.datasets.ledger import LEDGER

        data = dataset.path("compacted")
        shutil.rmtree(data, ignore_errors=True)
        measure(peer("halve", dataset.path(), data))
        Path(data, LEDGER).mkdir()
        measure(relhealth("compact", data, "--quiet"))
        return data

    def start_up(self) -> None:
        """Measure the starts of small processes, by turns."""
        data = str(SAMPLE)
        lines = {
            "pass": [sys.executable, "-c", "pass"],
            "version": relhealth("--version"),
            "typer": [sys.executable, "-c", BARE_TYPER, "--help"],
            "help": relhealth("--help"),
            "aggregate": [sys.executable, "-c", AGGREGATE, f"{data}/date=*/*.parquet"],
            "sample": relhealth("overview", data, "--now", "latest"),
            "imports": [sys.executable, "-c", "import typer, numpy, pyarrow.parquet"],
        }
        say("start-up")
        for turn in range(-1, max(self.runs, STARTS)):
            for who, line in lines.items():
                cost = measure(line)
                if turn >= 0:
                    self.keep({"kind": "start", "who": who, **cost._asdict()})


BARE_TYPER = """
import typer

app = typer.Typer()


@app.command()
def hello(name: str) -> None:
    "Say hello."


app()
"""
AGGREGATE = """
import sys
import duckdb, pyarrow

duckdb.execute(
    "SELECT project_id, release, count(DISTINCT member) FROM read_parquet($1) GROUP BY ALL",
    [sys.argv[1]],
).fetchall()
"""


def machine() -> Record:
    """Return what it is measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ("duckdb", "chdb", "polars", "pyarrow", "numpy")
    known = [f"{one} {version(one)}" for one in packages if importlib.util.find_spec(one)]
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    cores = len(os.sched_getaffinity(0))
    told = f"{cores} cores, {memory:.0f} GiB, {system}; {', '.join(known)}"
    return {"kind": "machine", "who": "machine", "text": told}


# --- command line ---------------------------------------------------------------------------------


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    sizes = [2_000_000, 20_000_000, 104_000_000]
    add("--sizes", type=int, nargs="*", default=sizes, metavar="ROWS", help="none: only start-up")
    add("--layouts", nargs="+", choices=LAYOUTS, default=["daily", "sorted"])
    add("--periods", nargs="+", choices=PERIODS, default=list(PERIODS))
    add("--stats", nargs="+", choices=STATS, default=list(STATS))
    add("--who", nargs="+", choices=WHO, default=list(WHO), help="contestants; default: all")
    add_common(parser)
    add("--no-identity", action="store_true", help="leave out the comparison of bytes")
    add("--no-start", action="store_true", help="leave start-up out")
    add("--docs", type=Path, metavar="FILE", help="page whose table is made anew")
    return parser.parse_args(argv)


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add the options of all scripts that measure."""
    add = parser.add_argument
    add("--runs", type=int, default=5, metavar="N", help="turns (default: %(default)s)")
    add(
        "--folder",
        type=Path,
        default=Path(tempfile.gettempdir(), "relhealth-benchmark"),
        help="where data are made and kept as ROWS-LAYOUT/ (default: %(default)s)",
    )
    add("--json", type=Path, metavar="FILE", help="append results to it, as JSON lines")
    add("--merge", type=Path, nargs="+", default=[], metavar="FILE", help="results to add")
    add("--only-report", action="store_true", help="measure nothing: report what is merged")


def able(who: Iterable[str]) -> list[str]:
    """Return the contestants that are installed; tell of the others."""
    found = []
    for one in who:
        if one in NEEDS and not importlib.util.find_spec(NEEDS[one]):
            say(f"skipped: {WHO[one]}; pip install -e '.[bench]'")
        else:
            found.append(one)
    return found


def recorded(arguments: argparse.Namespace) -> tuple[list[Record], Callable[[Record], None]]:
    """Return the records to merge, and what keeps another one."""
    records: list[Record] = [
        json.loads(line)
        for path in arguments.merge
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    begun = datetime.now(UTC).isoformat()

    def keep(record: Record) -> None:
        records.append({"begun": begun, **record})
        if arguments.json:
            with arguments.json.open("a", encoding="utf-8") as file:
                file.write(json.dumps(records[-1]) + "\n")

    (arguments.folder / "answers").mkdir(parents=True, exist_ok=True)
    return records, keep


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, compare and report."""
    arguments = parse_arguments(argv)
    records, keep = recorded(arguments)
    folder: Path = arguments.folder
    benchmark = Benchmark(
        folder, arguments.runs, able(arguments.who), keep, identity=not arguments.no_identity
    )
    if not arguments.only_report:
        keep(machine())
        if not arguments.no_start:
            benchmark.start_up()
        for rows, layout in itertools.product(arguments.sizes, arguments.layouts):
            dataset = Dataset(folder, rows, layout)
            try:
                benchmark.measure_dataset(dataset, arguments.periods, arguments.stats)
            except FailedError as error:
                benchmark.complain(dataset.title, [str(error)])
    results = Results(records)
    print("\n\n".join(filter(None, printed(results))))
    if arguments.docs:
        page = arguments.docs.read_text(encoding="utf-8")
        arguments.docs.write_text(between_markers(page, report(results)), encoding="utf-8")
    return benchmark.verdict()


if __name__ == "__main__":
    sys.exit(main())
