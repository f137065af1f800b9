"""What benchmarks/overview.py measured, as tables: costs, ratios, and which goals were reached."""

from __future__ import annotations

import itertools
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from peers import PERIODS, STATS

# Options of the generator.
LAYOUTS = {"daily": (), "sorted": ("--sorted",), "habitual": ("--make", "habitual")}
WHOLE_DAY = "date=2026-11-19"  # the last one is not: its data end at 16:30
MEGABYTE = 1_000_000
FORMULATIONS = {  # of an exact answer, and whose they are
    **dict.fromkeys(("naive", "duckdb_distinct", "duckdb_grouped"), "DuckDB"),
    **dict.fromkeys(("chdb", "chdb_distinct", "chdb_grouped"), "chdb"),
    **dict.fromkeys(("polars", "polars_unique", "polars_memory"), "Polars"),
}
NEARLY = 1.15  # times the fastest one's time, measured once, which a formulation may take
EXACT_PEERS = (*FORMULATIONS, "polars_all")
WHO = {
    "relhealth": "relhealth",
    "rollup": "relhealth, with a rollup",
    "limit_1GB": "relhealth, `--memory-limit 1GB`",
    "limit_512MB": "relhealth, `--memory-limit 512MB`",
    "naive": "DuckDB, a statement a component",
    "duckdb_distinct": "DuckDB, a statement a metric",
    "duckdb_grouped": "DuckDB, a statement a metric, in two phases",
    "chdb": "chdb, exact",
    "chdb_distinct": "chdb, a statement a metric",
    "chdb_grouped": "chdb, a statement a metric, in two phases",
    "chdb_approx": "chdb, approximate",
    "polars": "Polars, streaming, in two phases",
    "polars_unique": "Polars, streaming",
    "polars_memory": "Polars, in memory",
    "polars_all": "Polars, all footers",
    "floor": "floor",
    "floor_all": "floor, all footers",
    "floor_arrow": "floor by Arrow, all footers",
}
OPEN, CLOSE = "<!-- benchmark -->", "<!-- /benchmark -->"
STARTED = {
    "pass": "`python -c pass`",
    "version": "`relhealth --version`",
    "typer": "bare Typer's help",
    "help": "`relhealth --help`",
    "aggregate": "DuckDB and pyarrow, one aggregate of sample_data",
    "sample": "`relhealth overview sample_data`",
    "imports": "Typer, NumPy and pyarrow imported, nothing read",
}

Record = dict[str, Any]


class Cost(NamedTuple):
    """What a process took: seconds, seconds of processors, MB at its peak."""

    wall: float
    cpu: float
    mb: float


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


def still_in(walls: Mapping[str, float], groups: Mapping[str, str]) -> set[str]:
    """Return whom to measure again: of each group, the fastest and those that nearly are."""
    best: dict[str, float] = {}
    for who, wall in walls.items():
        group = groups.get(who, who)
        best[group] = min(wall, best.get(group, wall))
    return {who for who, wall in walls.items() if wall <= NEARLY * best[groups.get(who, who)]}


def ratio(one: float | None, other: float | None) -> float | None:
    """Return a quotient, where there are both."""
    return one / other if one is not None and other else None


class Goal(NamedTuple):
    """A measure, the most that it may be, and what it is, by column."""

    measure: str
    most: float
    found: Mapping[str, float | None]
    unit: str = ""

    def cell(self, column: str) -> str:
        """Return what was measured and whether it reaches the goal."""
        value = self.found.get(column)
        if value is None:
            return ""
        told = f"{number(value)}{self.unit}"
        if value <= self.most:
            return f"{told}, reached"
        return f"{told}, **not reached**"

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
    """Return the goals of data sets, a column a layout."""
    rows, layouts = sizes[-1], results.asked(1)
    found: dict[str, dict[str, float | None]] = defaultdict(dict)
    for layout in layouts:
        raw = results.fact("raw", "data", rows, layout)
        made = results.fact("size", "rollup", rows, layout)
        found["size"][layout] = ratio(made.get("bytes"), raw.get("bytes"))
        steps = {
            who: cost
            for who in ("build", "nothing", "day")
            if (cost := results.cost(who, "rollup", rows, layout))
        }
        answer = results.wall("relhealth", rows, layout, "90d", "sessions")
        found["build"][layout] = ratio(steps["build"].wall if "build" in steps else None, answer)
        if "day" in steps and raw:
            part = raw["day_rows"].get(WHOLE_DAY, 0) / raw["true_rows"]
            day, nothing, build = (steps[who] for who in ("day", "nothing", "build"))
            found["day"][layout] = ratio(day.wall - nothing.wall, part * build.wall)
            found["day's cpu"][layout] = ratio(day.cpu - nothing.cpu, part * build.cpu)
        if len(sizes) > 1:
            for period in ("90d", "24h"):
                found[period][layout] = growth(results, sizes[-2], rows, layout, period)
    smaller = f"from {sizes[-2]:,} rows, " if len(sizes) > 1 else ""
    return layouts, [
        Goal("rollup's bytes, of the raw ones", 0.5, found["size"]),
        Goal("making the rollup, of a raw 90d answer", 3, found["build"]),
        Goal("a new day[^day]", 2, found["day"]),
        Goal("a new day, of processor time", 2, found["day's cpu"]),
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
                "[^day]: (time to add the day - time of a run with nothing to do) /"
                " (time to make all days * the day's share of the rows)."
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
        each = ", ".join(sorted(ways))
        told.append(
            "relhealth's answers, but for the engine's name, had the same bytes in each of these"
            f" cases: {each}."
        )
    return " ".join(told)


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
