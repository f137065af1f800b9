"""Measure what relhealth promises about its speed, and print each figure beside its bar.

    pip install -e '.[bench]'
    python benchmarks/bars.py
    python benchmarks/bars.py --rows 2_000_000 --runs 3 --only questions start

Three parts: `overview`, raw and with a rollup, beside the fastest formulation of any peer, on data
of both makes; `questions`, the other commands beside the overview; and `start`. How each process is
measured is told in overview.py. A missed bar does not change the exit code; a wrong answer does.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from overview import (
    Benchmark,
    Dataset,
    FailedError,
    able,
    add_common,
    machine,
    measure,
    overview,
    recorded,
    relhealth,
    rows_of,
    text_of,
)
from peers import NOW, THREADS
from report import (
    FORMULATIONS,
    STARTED,
    WHO,
    Cost,
    Goal,
    Results,
    number,
    question_text,
    ratio,
    start_text,
    table,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

PARTS = {"overview": 104_000_000, "questions": 20_000_000, "start": 0}  # and the rows of each
MAKES = ("daily", "habitual")
OVERVIEW = {"90d": 0.6, "7d": 0.65, "24h": 0.85}  # of the best peer
STAT = "sessions"  # as the command's own default
ROLLED = ", rollup"
NAMED = "overview -r NAME"
QUERY = "query -F 'crash_free_rate(user)' -g release"


# --- questions ------------------------------------------------------------------------------------


class Question(NamedTuple):
    """A command line about data, without what all of them share; NAME stands for a release."""

    title: str
    period: str
    words: tuple[str, ...]

    @property
    def label(self) -> str:
        """What the tables call it."""
        return f"{self.title}, {self.period}"

    def line(self, data: str, name: str, output: Path) -> list[str]:
        """Return the command line."""
        command, *words = (name if word == "NAME" else word for word in self.words)
        if command == "overview":
            return overview(data, self.period, STAT, output, *words)
        now = datetime.fromtimestamp(NOW, UTC).isoformat()
        period = () if command == "adoption" else ("--period", self.period)
        return relhealth(
            *(command, data, *words, "--quiet", "--now", now, *period),
            *("--threads", str(THREADS), "--output", str(output)),
        )


def _query(period: str) -> Question:
    fields = ("-F", "crash_free_rate(user)", "-g", "release", "--interval", "1d")
    return Question(QUERY, period, ("query", *fields))


def _gate(period: str) -> Question:
    words = ("-r", "NAME", "--target", "2", "--inconclusive", "pass")  # so that it ends with 0
    return Question("gate -r NAME", period, ("gate", *words))


RAW_ONLY = (
    Question("overview", "24h", ("overview",)),
    Question(NAMED, "24h", ("overview", "-r", "NAME")),
    _gate("24h"),
    Question("overview", "14d", ("overview",)),
    _query("14d"),
    Question("overview", "90d", ("overview",)),
)
ALSO_ROLLED = (
    Question(NAMED, "90d", ("overview", "-r", "NAME")),
    Question("overview --stat users", "90d", ("overview", "--stat", "users")),
    Question("release NAME", "90d", ("release", "NAME")),
    Question("releases", "90d", ("releases",)),
    Question("projects", "90d", ("projects",)),
    Question("adoption", "90d", ("adoption",)),  # it always looks at 90 days
    _query("90d"),
    _gate("90d"),
)
QUESTION_BARS = (  # a question, what its time is compared with, and the most of it
    (f"{NAMED}, 24h", "overview, 24h", 1.2),
    (f"{NAMED}, 90d", "overview, 90d", 1.2),
    ("gate -r NAME, 24h", f"{NAMED}, 24h", 1.5),
    ("release NAME, 90d", "overview, 90d", 2),
    ("releases, 90d", "overview, 90d", 2),
    (f"{QUERY}, 14d", "overview, 14d", 1.2),
    *((f"{one.label}{ROLLED}", one.label, 0.5) for one in ALSO_ROLLED),
)


def measure_questions(benchmark: Benchmark, dataset: Dataset) -> None:
    """Ask all questions by turns, once rollup and raw files are found to answer them equally."""
    dataset.make()
    rolled = benchmark.roll_up(dataset)
    output = benchmark.output("raw")
    measure(overview(dataset.path(), "24h", STAT, output))
    name = str(max(rows_of(output), key=lambda row: row["total_users"] or 0)["release"])
    lines = {}
    for one in (*RAW_ONLY, *ALSO_ROLLED):
        lines[one.label] = one.line(dataset.path(), name, output)
        measure(lines[one.label])
        if rolled and one in ALSO_ROLLED:
            other = benchmark.output("rolled")
            lines[one.label + ROLLED] = one.line(dataset.path("rollup"), name, other)
            measure(lines[one.label + ROLLED])
            if text_of(other) != text_of(output):
                benchmark.complain(f"{dataset.title}, {one.label}{ROLLED}", ["another answer"])
    key = {"kind": "question", "rows": dataset.rows, "layout": dataset.layout}
    benchmark.take_turns(f"{dataset.title}, questions", key, lines)


# --- tables ---------------------------------------------------------------------------------------


class Bar(NamedTuple):
    """A goal of time or memory, and the same ratio of processor time, by column."""

    goal: Goal
    cpu: Mapping[str, float | None] = {}

    def row(self, columns: Sequence[str]) -> list[str]:
        """Return the row of a table."""
        cpu = (self.cpu.get(column) for column in columns)
        return [*self.goal.row(columns), *("" if one is None else number(one) for one in cpu)]


def against(measure: str, most: float, costs: Mapping[str, tuple[Cost | None, Cost | None]]) -> Bar:
    """Return the bar of one cost of another, by column."""
    walls, cpus = (
        {
            column: ratio(ours and ours[place], theirs and theirs[place])
            for column, (ours, theirs) in costs.items()
        }
        for place in (0, 1)
    )
    return Bar(Goal(measure, most, walls), cpus)


def overview_bars(results: Results, rows: int) -> Iterator[Bar]:
    """Yield the bars of the overview, a column a make."""

    def cost(who: str, make: str, period: str) -> Cost | None:
        return results.cost(who, "run", rows, make, period, STAT)

    def of_peer(who: str, period: str) -> dict[str, tuple[Cost | None, Cost | None]]:
        found = {}
        for make in MAKES:
            peers = (cost(peer, make, period) for peer in FORMULATIONS)
            found[make] = (cost(who, make, period), min(filter(None, peers), default=None))
        return found

    def peak(who: str, periods: Sequence[str]) -> dict[str, float | None]:
        found: dict[str, float | None] = {}
        for make in MAKES:
            costs = (cost(who, make, period) for period in periods)
            found[make] = max((one.mb for one in costs if one), default=None)
        return found

    for period, most in OVERVIEW.items():
        yield against(
            f"raw overview, {period}, of the best peer", most, of_peer("relhealth", period)
        )
    yield Bar(
        Goal("raw overview, peak of all windows", 1000, peak("relhealth", [*OVERVIEW]), " MB")
    )
    yield against("rollup, 90d, of the best peer on raw files", 0.2, of_peer("rollup", "90d"))
    yield Bar(Goal("rollup, 90d, peak", 500, peak("rollup", ["90d"]), " MB"))


def question_bars(results: Results, rows: int) -> Iterator[Bar]:
    """Yield the bars of the questions."""
    for who, other, most in QUESTION_BARS:
        ours, theirs = (results.cost(one, "question", rows, MAKES[0]) for one in (who, other))
        base = "raw" if who == other + ROLLED else other
        yield against(f"{who}, of {base}", most, {"found": (ours, theirs)})


def start_bar(results: Results) -> Bar:
    """Return the bar of the start."""
    costs = (results.cost("sample", "start"), results.cost("aggregate", "start"))
    return against(f"{STARTED['sample']}, of {STARTED['aggregate']}", 1.5, {"found": costs})


def bars(heading: str, columns: Sequence[str], found: Iterable[Bar]) -> str:
    """Return the table of what was measured of some bars."""
    rows = [bar.row(columns) for bar in found if any(bar.goal.row(columns)[2:])]
    cpu = [f"{column}: CPU" for column in columns]
    return table([heading, "bar", *columns, *cpu], rows, 2) if rows else ""


def first_text(results: Results, *about: object) -> str:
    """Return what each formulation of a peer took in the first turn."""
    costs = {who: results.cost(who, "first", *about) for who in FORMULATIONS}
    rows = [[WHO[who], f"{cost.wall:.2f}"] for who, cost in costs.items() if cost]
    return table(["first turn, once", "wall, s"], rows) if rows else ""


def questions_text(results: Results, rows: int) -> str:
    """Return what each question cost."""
    found = results.of("question", rows, MAKES[0])
    lines = []
    for who in found:
        cost = results.cost(who, "question", rows, MAKES[0])
        if cost:
            lines.append([who, f"{cost.wall:.2f}", f"{cost.cpu:.2f}", f"{cost.mb:,.0f}"])
    return table([f"{rows:,} rows", "wall, s", "CPU, s", "peak, MB"], lines) if lines else ""


def told(results: Results, sizes: Mapping[str, int]) -> Iterator[str]:
    """Yield the details, then the bars."""
    rows = sizes["overview"]
    for make in MAKES:
        for period in OVERVIEW:
            about = (rows, make, period, STAT)
            if results.of("run", *about):
                yield f"{rows:,} rows, {make}, {period}"
                yield first_text(results, *about)
                yield question_text(results, *about)
    yield questions_text(results, sizes["questions"])
    yield start_text(results)
    yield str(results.fact("machine", "machine").get("text", ""))
    yield bars(f"{rows:,} rows", MAKES, overview_bars(results, rows))
    few = sizes["questions"]
    yield bars(f"{few:,} rows, {MAKES[0]}", ["found"], question_bars(results, few))
    yield bars("start", ["found"], [start_bar(results)])


# --- command line ---------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parts = ", ".join(f"{rows:,} for {part}" for part, rows in PARTS.items() if rows)
    parser.add_argument("--rows", type=int, metavar="N", help=f"of each part (default: {parts})")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts")
    add_common(parser)
    arguments = parser.parse_args(argv)
    sizes = {part: arguments.rows or rows for part, rows in PARTS.items()}
    only = () if arguments.only_report else arguments.only
    records, keep = recorded(arguments)
    who = able(["relhealth", "rollup", *FORMULATIONS])
    groups = dict.fromkeys(FORMULATIONS, "the peers")  # only the fastest of all is of interest
    benchmark = Benchmark(
        arguments.folder, arguments.runs, who, keep, identity=False, builds=1, groups=groups
    )
    if only:
        keep(machine())
    if "start" in only:
        benchmark.start_up()
    if "questions" in only:
        attempt(benchmark, Dataset(arguments.folder, sizes["questions"], MAKES[0]))
    for make in MAKES if "overview" in only else ():
        dataset = Dataset(arguments.folder, sizes["overview"], make)
        attempt(benchmark, dataset, [*reversed(OVERVIEW)])  # the shortest first, as a warm-up
    print("\n\n".join(filter(None, told(Results(records), sizes))))
    return benchmark.verdict()


def attempt(benchmark: Benchmark, dataset: Dataset, periods: Sequence[str] = ()) -> None:
    """Measure a data set, with overviews of periods or with the questions; note a failure."""
    try:
        if periods:
            benchmark.measure_dataset(dataset, periods, [STAT])
        else:
            measure_questions(benchmark, dataset)
    except FailedError as error:
        benchmark.complain(dataset.title, [str(error)])


if __name__ == "__main__":
    sys.exit(main())
