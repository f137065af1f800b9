"""Measure `relhealth overview` beside its peers and the floor; the table of docs/performance.md.

    pip install -e '.[bench]'
    python benchmarks/overview.py --sizes 2_000_000 --runs 3
    python benchmarks/overview.py --json here.jsonl --docs docs/performance.md

Every run is a process of its own; contestants take turns (A B C, A B C, ...) on the same files,
after one turn that warms the page cache and whose answers are compared: the exit code is 1 where
exact ones differ. Times are medians, memory is the worst run. Results are kept as JSON lines, so
that parts measured apart make one table: --merge.

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
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from peers import NOW, PEERS, PERIODS, STATS, THREADS, day_of, files

HERE = Path(__file__).parent
SAMPLE = HERE.parent / "sample_data"
LAYOUTS = {"daily": (), "sorted": ("--sorted",)}  # what the generator is told
SHAPE = ("--days", "90", "--projects", "3", "--releases", "135")
WHOLE_DAY = "date=2026-11-19"  # the last one is not: its data end at 16:30
IDENTITY_ROWS = 20_000_000  # up to which all the ways to one answer are compared
BUILDS = 3
STARTS = 11
MEGABYTE = 1_000_000

LIMITS = {"limit_1GB": "1GB", "limit_512MB": "512MB"}
RELHEALTHS = ("relhealth", "rollup", *LIMITS)
EXACT_PEERS = ("naive", "chdb", "polars", "polars_all")
WHO = {
    "relhealth": "relhealth",
    "rollup": "relhealth, with a rollup",
    "limit_1GB": "relhealth, `--memory-limit 1GB`",
    "limit_512MB": "relhealth, `--memory-limit 512MB`",
    "naive": "DuckDB, a statement a component",
    "chdb": "chdb, exact",
    "chdb_approx": "chdb, approximate",
    "polars": "Polars, streaming",
    "polars_all": "Polars, all footers",
    "floor": "floor",
    "floor_all": "floor, all footers",
}
NEEDS = {"chdb": "chdb", "chdb_approx": "chdb", "polars": "polars", "polars_all": "polars"}
OPEN, CLOSE = "<!-- benchmark -->", "<!-- /benchmark -->"

Record = dict[str, Any]
Row = Mapping[str, Any]


def say(text: str) -> None:
    """Tell how it goes."""
    print(text, file=sys.stderr, flush=True)


# --- processes ------------------------------------------------------------------------------------


class Cost(NamedTuple):
    """What a process took: seconds, seconds of processors, MB at its peak."""

    wall: float
    cpu: float
    mb: float


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
    """Return what two answers differ in."""
    mine, other = by_pair(ours), by_pair(theirs)
    found = [f"{pair}: one has it alone" for pair in sorted(mine.keys() ^ other.keys())]
    for pair in sorted(mine.keys() & other.keys()):
        one, two = mine[pair], other[pair]
        found += [
            f"{pair}: {name} is {one.get(name)}, not {two.get(name)}"
            for name in sorted(one.keys() | two.keys())
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


# --- measuring ------------------------------------------------------------------------------------


@dataclass
class Benchmark:
    """What is measured, into records; what was wrong, into complaints."""

    folder: Path
    runs: int
    who: Sequence[str]
    keep: Callable[[Record], None]
    identity: bool = True
    complaints: list[str] = field(default_factory=list)

    def complain(self, where: str, faults: Iterable[str]) -> None:
        """Note what must not be; tell the first few."""
        listed = list(faults)
        self.complaints += [f"{where}: {fault}" for fault in listed]
        for fault in listed[:5]:
            say(f"DIFFERENT {where}: {fault}")

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
        """Let contestants answer a question by turns, once their answers are found equal."""
        where = f"{dataset.title}, {period}, {stat}"
        lines = {one: self.line(one, dataset, period, stat) for one in who}
        for one in who:
            self.output(one).unlink(missing_ok=True)
            try:
                measure(lines[one])
            except FailedError as error:
                say(f"{where}: {WHO[one]} failed and is left out: {error}")
                if one in RELHEALTHS:
                    self.complain(where, [f"{WHO[one]} failed"])
                del lines[one]
        key = {"rows": dataset.rows, "layout": dataset.layout, "period": period, "stat": stat}
        self.compare(where, key, lines)
        for turn in range(self.runs):
            say(f"{where}: run {turn + 1} of {self.runs}")
            for one, line in lines.items():
                self.keep({"kind": "run", **key, "who": one, **measure(line)._asdict()})

    def compare(self, where: str, key: Record, who: Collection[str]) -> None:
        """Compare the answers to a question with the first, which is relhealth's if it answers."""
        exact = [one for one in who if one in (*RELHEALTHS, *EXACT_PEERS)]
        if not exact:
            return
        output = self.output(exact[0])
        ours = rows_of(output)
        for one in who:
            its = self.output(one)
            if one in EXACT_PEERS:
                self.complain(f"{where}: {WHO[one]}", differences(ours, rows_of(its)))
            elif one in RELHEALTHS and its.read_bytes() != output.read_bytes():
                self.complain(f"{where}: {WHO[one]}", ["other bytes"])
            elif one == "chdb_approx":
                percent = off(ours, rows_of(its))
                self.keep({"kind": "approx", **key, "who": one, "percent": percent})

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
        for turn in range(min(self.runs, BUILDS)):
            say(f"{dataset.title}: making the rollup, {turn + 1} of {min(self.runs, BUILDS)}")
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
        if "relhealth.rollup.answer" not in used:
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
        if dataset.layout != other.layout and os.path.isdir(other.path()):
            ways["by time"] = partial(overview, other.path())
        if rolled:
            ways["with a rollup"] = partial(overview, dataset.path("rollup"))
        plain, output = self.output("relhealth"), self.output("other")
        for stat in stats:
            for period in periods:
                measure(overview(dataset.path(), period, stat, plain))
                for way, line in ways.items():
                    measure(line(period, stat, output))
                    if output.read_bytes() != plain.read_bytes():
                        where = f"{dataset.title}, {period}, {stat}: {way}"
                        self.complain(where, ["other bytes"])
        key = {"rows": dataset.rows, "layout": dataset.layout}
        self.keep({"kind": "identity", **key, "who": "bytes", "ways": list(ways)})

    @staticmethod
    def compacted(dataset: Dataset) -> str:
        """Return the data as `relhealth compact` leaves them, of two files a day."""
        from relhealth.ledger import LEDGER

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
STARTED = {
    "pass": "`python -c pass`",
    "version": "`relhealth --version`",
    "typer": "bare Typer's help",
    "help": "`relhealth --help`",
    "aggregate": "DuckDB and pyarrow, one aggregate of sample_data",
    "sample": "`relhealth overview sample_data`",
    "imports": "Typer, NumPy and pyarrow imported, nothing read",
}


# --- results --------------------------------------------------------------------------------------


class Results:
    """Records of one or more runs of this script; of a question asked twice, the later ones."""

    def __init__(self, records: Iterable[Record]) -> None:
        """Sort records by what they are about."""
        self._about: dict[tuple[Any, ...], dict[str, list[Record]]] = {}
        begun: dict[tuple[Any, ...], str] = {}
        for record in sorted(records, key=lambda one: str(one["begun"])):
            key = tuple(record.get(name) for name in ("kind", "rows", "layout", "period", "stat"))
            if begun.get(key) != record["begun"]:
                begun[key] = record["begun"]
                self._about[key] = defaultdict(list)
            self._about[key][record["who"]].append(record)

    def of(self, kind: str, *about: Any) -> Mapping[str, list[Record]]:
        """Return the records by contestant; `about` is rows, layout, period, stat."""
        return self._about.get((kind, *about, *[None] * (4 - len(about))), {})

    def cost(self, who: str, kind: str, *about: Any) -> Cost | None:
        """Return medians of time, and the worst of memory."""
        found = self.of(kind, *about).get(who)
        if not found:
            return None
        return Cost(
            statistics.median(one["wall"] for one in found),
            statistics.median(one["cpu"] for one in found),
            max(one["mb"] for one in found),
        )

    def fact(self, who: str, kind: str, *about: Any) -> Record:
        """Return the last record of its kind."""
        return (self.of(kind, *about).get(who) or [{}])[-1]

    def wall(self, who: str, *about: Any) -> float | None:
        """Return the median time of a contestant's answers."""
        cost = self.cost(who, "run", *about)
        return cost.wall if cost else None

    def best_peer(self, *about: Any) -> float | None:
        """Return the median time of the fastest exact peer."""
        walls = [self.wall(who, *about) for who in EXACT_PEERS]
        return min((wall for wall in walls if wall is not None), default=None)

    def asked(self, place: int) -> list[Any]:
        """Return the sizes (0), layouts (1), periods (2) or stats (3) that were asked about."""
        found = {key[place + 1] for key in self._about if key[0] == "run"}
        order: Sequence[Any] = (sorted(found), tuple(LAYOUTS), tuple(PERIODS), STATS)[place]
        return [one for one in order if one in found]


def ratio(one: float | None, other: float | None) -> float | None:
    """Return a quotient, where there are both."""
    return one / other if one is not None and other else None


class Goal(NamedTuple):
    """What is measured, at most what it is to be, and what it is, by column."""

    measure: str
    most: float
    found: Mapping[str, float | None]
    unit: str = ""

    def cell(self, column: str) -> str:
        """Return what is found and whether the goal is met."""
        value = self.found.get(column)
        if value is None:
            return ""
        told = f"{number(value)}{self.unit}"
        if value <= self.most:
            return f"{told}, met"
        return f"{told}, **missed by {value / self.most - 1:.0%}**"

    def row(self, columns: Iterable[str]) -> list[str]:
        """Return the row of a table."""
        goal = f"at most {number(self.most)}{self.unit}"
        return [self.measure, goal, *map(self.cell, columns)]


def number(value: float) -> str:
    """Return a figure with as many digits as tell something."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004 - a matter of taste


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1) -> str:
    """Return a Markdown table; all but the first so many columns are figures."""
    rules = ["---" if place < words else "---:" for place in range(len(headings))]
    return "\n".join(f"| {' | '.join(line)} |" for line in (headings, rules, *rows))


def question_goals(results: Results, rows: int) -> tuple[list[str], list[Goal]]:
    """Return the goals of answers, a column a layout and stat."""
    columns = {
        f"{layout}, {stat}": (layout, stat)
        for layout in results.asked(1)
        for stat in results.asked(3)
        if any(results.of("run", rows, layout, period, stat) for period in PERIODS)
    }

    def against(who: str, period: str, other: str) -> dict[str, float | None]:
        found: dict[str, float | None] = {}
        for column, (layout, stat) in columns.items():
            about = (rows, layout, period, stat)
            base = results.wall(other, *about) if other else results.best_peer(*about)
            found[column] = ratio(results.wall(who, *about), base)
        return found

    def peak(who: str) -> dict[str, float | None]:
        costs = {
            column: results.cost(who, "run", rows, layout, "90d", stat)
            for column, (layout, stat) in columns.items()
        }
        return {column: cost.mb if cost else None for column, cost in costs.items()}

    goals = [
        Goal("raw 90d, of the best peer", 0.5, against("relhealth", "90d", "")),
        Goal("raw 90d, of the floor", 3, against("relhealth", "90d", "floor")),
        Goal("raw 90d, peak", 1000, peak("relhealth"), " MB"),
        Goal("raw 90d, `--memory-limit 1GB`, peak", 1000, peak("limit_1GB"), " MB"),
        Goal("raw 90d, `--memory-limit 512MB`, peak", 512, peak("limit_512MB"), " MB"),
    ]
    for period in ("24h", "7d"):
        goals += [
            Goal(f"raw {period}, of the best peer", 0.9, against("relhealth", period, "")),
            Goal(
                f"raw {period}, of Polars with all footers",
                0.9,
                against("relhealth", period, "polars_all"),
            ),
            Goal(f"raw {period}, of the floor", 1.6, against("relhealth", period, "floor")),
        ]
    goals += [
        Goal("rollup 90d, of the best peer", 0.15, against("rollup", "90d", "")),
        Goal("rollup 90d, peak", 500, peak("rollup"), " MB"),
        Goal("rollup 24h, of the best peer", 0.3, against("rollup", "24h", "")),
        Goal("rollup 7d, of the best peer", 0.3, against("rollup", "7d", "")),
    ]
    return list(columns), goals


def dataset_goals(results: Results, sizes: Sequence[int]) -> tuple[list[str], list[Goal]]:
    """Return the goals of whole data sets, a column a layout."""
    rows, layouts = sizes[-1], results.asked(1)
    found: dict[str, dict[str, float | None]] = defaultdict(dict)
    for layout in layouts:
        raw = results.fact("raw", "data", rows, layout)
        made = results.fact("size", "rollup", rows, layout)
        found["size"][layout] = ratio(made.get("bytes"), raw.get("bytes"))
        steps = {
            who: cost.wall
            for who in ("build", "nothing", "day")
            if (cost := results.cost(who, "rollup", rows, layout))
        }
        answer = results.wall("relhealth", rows, layout, "90d", "sessions")
        found["build"][layout] = ratio(steps.get("build"), answer)
        if "day" in steps and raw:
            part = raw["day_rows"].get(WHOLE_DAY, 0) / raw["true_rows"]
            found["day"][layout] = ratio(steps["day"] - steps["nothing"], part * steps["build"])
        if len(sizes) > 1:
            for period in ("90d", "24h"):
                found[period][layout] = growth(results, sizes[-2], rows, layout, period)
    smaller = f"from {sizes[-2]:,} rows, " if len(sizes) > 1 else ""
    return layouts, [
        Goal("rollup's bytes, of the raw ones", 0.5, found["size"]),
        Goal("making the rollup, of a raw 90d answer", 3, found["build"]),
        Goal("a new day[^day]", 2, found["day"]),
        Goal(f"growth {smaller}90d, of the rows'", 1, found["90d"]),
        Goal(f"growth {smaller}24h, of the window's rows'", 1.3, found["24h"]),
    ]


def growth(results: Results, less: int, more: int, layout: str, period: str) -> float | None:
    """Return by how much more the time of an answer grows than the rows of its window."""
    grown = []
    for rows in (more, less):
        wall = results.wall("relhealth", rows, layout, period, "sessions")
        read = results.fact("raw", "data", rows, layout).get("window_rows", {}).get(period)
        grown.append(ratio(wall, read))
    return ratio(*grown)


def start_goals(results: Results) -> list[Goal]:
    """Return the goals of small processes."""

    def against(who: str, other: str) -> dict[str, float | None]:
        ours, theirs = results.cost(who, "start"), results.cost(other, "start")
        return {"found": ratio(ours and ours.wall, theirs and theirs.wall)}

    pairs = (("version", "pass"), ("help", "typer"), ("sample", "aggregate"))
    return [Goal(f"{STARTED[a]}, of {STARTED[b]}", 1.5, against(a, b)) for a, b in pairs]


def goals_text(results: Results) -> str:
    """Return all goals, as tables."""
    parts = []
    sizes = results.asked(0)
    if sizes:
        of_questions, of_datasets = (
            question_goals(results, sizes[-1]),
            dataset_goals(results, sizes),
        )
        for columns, goals in (of_questions, of_datasets):
            rows = [goal.row(columns) for goal in goals if any(goal.row(columns)[2:])]
            if rows:
                parts.append(table([f"at {sizes[-1]:,} rows", "goal", *columns], rows, 2))
        if any(goal.measure.endswith("[^day]") and goal.found for goal in of_datasets[1]):
            parts.append(
                "[^day]: its time beyond that of a run with nothing to do, of its share, by rows,"
                " of the time of making all. The issue asks for proportion; 2 is our reading."
            )
    starts = [goal.row(["found"]) for goal in start_goals(results)]
    if any(row[2] for row in starts):
        parts.append(table(["start-up", "goal", "found"], starts, 2))
    return "\n\n".join(parts)


def question_text(results: Results, *about: Any) -> str:
    """Return a question's table: every contestant's cost, and ratios."""
    floor, best = results.wall("floor", *about), results.best_peer(*about)
    rows = []
    for who, name in WHO.items():
        cost = results.cost(who, "run", *about)
        if cost:
            parts = (f"{cost.wall:.2f}", f"{cost.cpu:.2f}", f"{cost.mb:,.0f}")
            ratios = (ratio(cost.wall, floor), ratio(cost.wall, best))
            rows.append([name, *parts, *("" if one is None else f"{one:.2f}" for one in ratios)])
    return table(["", "wall, s", "CPU, s", "peak, MB", "of the floor", "of the best peer"], rows)


def dataset_text(results: Results, rows: int, layout: str, stat: str) -> str:
    """Return a data set's table: the time of every contestant by period, and the last in full."""
    periods = [one for one in results.asked(2) if results.of("run", rows, layout, one, stat)]
    if not periods:
        return ""
    last = periods[-1]
    floor = results.wall("floor", rows, layout, last, stat)
    lines = []
    for who, name in WHO.items():
        cells = []
        for period in periods:
            about = (rows, layout, period, stat)
            wall, best = results.wall(who, *about), results.best_peer(*about)
            part = ratio(wall, best)
            beside = "" if part is None else f" ({part:.2f})"
            cells.append("" if wall is None else f"{wall:.2f}{beside}")
        cost = results.cost(who, "run", rows, layout, last, stat)
        if cost:
            of_floor = ratio(cost.wall, floor)
            cells += [f"{cost.cpu:.2f}", f"{cost.mb:,.0f}"]
            cells.append("" if of_floor is None else f"{of_floor:.2f}")
        if any(cells):
            lines.append([name, *cells, *[""] * (len(periods) + 3 - len(cells))])
    full = [f"{last}: CPU, s", f"{last}: peak, MB", f"{last}: of the floor"]
    return f"**{rows:,} rows, {layout}, series of {stat}**\n\n" + table(
        ["", *periods, *full], lines
    )


def rollup_text(results: Results) -> str:
    """Return what rollups cost."""
    rows = []
    for size in results.asked(0):
        for layout in results.asked(1):
            costs = [results.cost(w, "rollup", size, layout) for w in ("build", "nothing", "day")]
            made = results.fact("size", "rollup", size, layout)
            raw = results.fact("raw", "data", size, layout)
            if made and raw and costs[0]:
                told = [f"{raw['bytes'] / MEGABYTE:,.1f}", f"{made['bytes'] / MEGABYTE:,.1f}"]
                told += [f"{cost.wall:.2f}" if cost else "" for cost in costs]
                rows.append([f"{size:,} rows, {layout}", *told, f"{costs[0].mb:,.0f}"])
    headings = ["", "raw, MB", "rollup, MB", "all days, s", "nothing to do, s", "a day, s"]
    return table([*headings, "peak, MB"], rows) if rows else ""


def start_text(results: Results) -> str:
    """Return what small processes cost."""
    rows = []
    for who, name in STARTED.items():
        cost = results.cost(who, "start")
        if cost:
            rows.append([name, f"{cost.wall * 1000:,.0f}", f"{cost.cpu * 1000:,.0f}"])
    return table(["start-up", "wall, ms", "CPU, ms"], rows) if rows else ""


def notes_text(results: Results) -> str:
    """Return what was found equal, and how far off the approximate answers were."""
    sizes, layouts, periods, stats = map(results.asked, range(4))
    errors, ways = [0.0], set[str]()
    for rows in sizes:
        for layout in layouts:
            ways |= set(results.fact("bytes", "identity", rows, layout).get("ways", ()))
            errors += [
                results.fact("chdb_approx", "approx", rows, layout, period, stat).get("percent", 0)
                for period in periods
                for stat in stats
            ]
    told = []
    if max(errors):
        told.append(
            f"The approximate counts of a release's users were off by up to {max(errors):.1f} %."
        )
    if ways:
        told.append(f"relhealth's answers had the same bytes: {', '.join(sorted(ways))}.")
    return " ".join(told)


def machine() -> Record:
    """Return what it is measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ("duckdb", "chdb", "polars", "pyarrow", "numpy")
    known = [f"{one} {version(one)}" for one in packages if importlib.util.find_spec(one)]
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    cores = len(os.sched_getaffinity(0))
    told = f"{cores} cores, {memory:.0f} GiB, {system}; {', '.join(known)}"
    return {"kind": "machine", "who": "machine", "text": told}


def report(results: Results) -> str:
    """Return the section of the docs."""
    here = results.fact("machine", "machine")
    parts = [f"{here['begun'][:10]}; {here['text']}.", goals_text(results)]
    parts.append("Seconds, and in parentheses the ratio to the best exact peer:")
    for rows in reversed(results.asked(0)):
        for layout in results.asked(1):
            parts += [dataset_text(results, rows, layout, stat) for stat in results.asked(3)]
    parts += [rollup_text(results), start_text(results), notes_text(results)]
    return "\n\n".join(part for part in parts if part)


def printed(results: Results) -> Iterator[str]:
    """Yield what the terminal shows: each question in full, then the rest."""
    for rows, *words in itertools.product(*map(results.asked, range(4))):
        if results.of("run", rows, *words):
            yield f"{rows:,} rows, {', '.join(words)}"
            yield question_text(results, rows, *words)
    yield from (rollup_text(results), start_text(results), notes_text(results), goals_text(results))


def between_markers(page: str, section: str) -> str:
    """Return a page with another section between the markers."""
    before, opened, tail = page.partition(OPEN)
    _, closed, after = tail.partition(CLOSE)
    if not opened or not closed:
        raise SystemExit(f"no {OPEN} and {CLOSE} in that page")
    return f"{before}{OPEN}\n\n{section}\n\n{CLOSE}{after}"


# --- command line ---------------------------------------------------------------------------------


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    sizes = [2_000_000, 20_000_000, 104_000_000]
    add("--sizes", type=int, nargs="*", default=sizes, metavar="ROWS", help="none: only start-up")
    add("--layouts", nargs="+", choices=LAYOUTS, default=list(LAYOUTS))
    add("--periods", nargs="+", choices=PERIODS, default=list(PERIODS))
    add("--stats", nargs="+", choices=STATS, default=list(STATS))
    add("--who", nargs="+", choices=WHO, default=list(WHO), help="contestants; default: all")
    add("--runs", type=int, default=5, metavar="N", help="turns (default: %(default)s)")
    add("--no-identity", action="store_true", help="leave out the comparison of bytes")
    add("--no-start", action="store_true", help="leave start-up out")
    add(
        "--folder",
        type=Path,
        default=Path(tempfile.gettempdir(), "relhealth-benchmark"),
        help="where data are made and kept as ROWS-LAYOUT/ (default: %(default)s)",
    )
    add("--json", type=Path, metavar="FILE", help="append results to it, as JSON lines")
    add("--merge", type=Path, nargs="+", default=[], metavar="FILE", help="results to add")
    add("--docs", type=Path, metavar="FILE", help="page whose table is made anew")
    add("--only-report", action="store_true", help="measure nothing: report what is merged")
    return parser.parse_args(argv)


def able(who: Iterable[str]) -> list[str]:
    """Return the contestants that are installed; tell of the others."""
    found = []
    for one in who:
        if one in NEEDS and not importlib.util.find_spec(NEEDS[one]):
            say(f"skipped: {WHO[one]}; pip install -e '.[bench]'")
        else:
            found.append(one)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, compare and report."""
    arguments = parse_arguments(argv)
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

    folder: Path = arguments.folder
    (folder / "answers").mkdir(parents=True, exist_ok=True)
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
    if benchmark.complaints:
        say(f"{len(benchmark.complaints)} differences, the first: {benchmark.complaints[0]}")
    return 1 if benchmark.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
