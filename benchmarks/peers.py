"""What relhealth is measured against: each answers the same question, in a process of its own.

    python benchmarks/peers.py NAME DATA PERIOD STAT [OUTPUT.json]

All but the floors write the rows that `relhealth overview -f json` has in its `data`. Nothing of
relhealth is imported, so that the answers are a check; `naive` asks the statements of queries/.
DuckDB, chdb and Polars each have several formulations, since which is the fastest depends on the
data. They differ mostly in how they count distinct users: at once, or in two phases, which first
group by user.

Windows and formulas are those of docs/figures.md. The files that a window needs are told by their
Hive date, for nothing: only relhealth, `polars_all` and the other floors look at footers.
"""

from __future__ import annotations

import glob
import json
import os
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import duckdb

HOUR, DAY = 3_600, 86_400
NOW = 1_795_192_200  # 2026-11-20T16:30:00Z, where the generated data end
PERIODS = {  # seconds, and the width of a series' bucket
    "24h": (DAY, HOUR),
    "7d": (7 * DAY, DAY),
    "30d": (30 * DAY, DAY),
    "90d": (90 * DAY, 3 * DAY),
}
STATS = ("sessions", "users")
THREADS = 2
QUERIES = Path(__file__).parents[1] / "queries"

COUNTER = "c:sessions/session@none"
DURATION = "d:sessions/duration@second"
ERROR = "s:sessions/error@none"
USER = "s:sessions/user@none"
COUNTERS = {  # status: figure
    "init": "sessions",
    "crashed": "crashed",
    "abnormal": "abnormal",
    "unhandled": "unhandled",
    "errored_preaggr": "errored_preaggr",
}
TEXTS = ["metric", "release", "session_status"]
READ = [*TEXTS, "project_id", "timestamp", "value", "member"]  # by the floors
USERS = ("crashed", "unhandled", "errored", "abnormal")


# --- the question ---------------------------------------------------------------------------------


class Window(NamedTuple):
    """Seconds since the epoch, the end excluded."""

    start: int
    end: int

    @classmethod
    def back(cls, seconds: int, width: int) -> Window:
        """Return the window that ends now, widened to whole buckets."""
        return cls((NOW - seconds) // width * width, -(-NOW // width) * width)


@dataclass(frozen=True)
class Question:
    """An overview of all releases, with a series."""

    data: str
    period: str
    stat: str

    @property
    def summary(self) -> Window:
        """The window of the totals."""
        return Window.back(PERIODS[self.period][0], HOUR)

    @property
    def adoption(self) -> Window:
        """The window of adoption."""
        return Window.back(DAY, HOUR)

    @property
    def width(self) -> int:
        """Seconds of a bucket of the series."""
        return PERIODS[self.period][1]

    @property
    def series(self) -> Window:
        """The window of the series."""
        return Window.back(PERIODS[self.period][0], self.width)

    @property
    def read(self) -> Window:
        """What all of these need."""
        windows = (self.summary, self.adoption, self.series)
        return Window(min(w.start for w in windows), max(w.end for w in windows))


def files(data: str, start: int = 0) -> list[str]:
    """Return the files of a data set that have rows from `start` on, by the date in their path."""
    first = time.strftime("date=%Y-%m-%d", time.gmtime(start))
    return [path for path in sorted(glob.glob(f"{data}/date=*/*")) if day_of(path) >= first]


def day_of(path: str) -> str:
    """Return the folder of a file's day."""
    return path.split("/")[-2]


def iso(second: int) -> str:
    """Return an instant as all three engines read it."""
    return time.strftime("%Y-%m-%d %H:%M:%S+00", time.gmtime(second))


# --- the answer -----------------------------------------------------------------------------------


@dataclass
class Counts:
    """What is counted of one release of one project."""

    has_sessions: bool = False
    sessions: int = 0
    crashed: int = 0
    abnormal: int = 0
    unhandled: int = 0
    errored_preaggr: int = 0
    errored: int = 0
    users: int = 0
    users_crashed: int = 0
    users_unhandled: int = 0
    users_errored: int = 0
    users_abnormal: int = 0
    sessions_24h: int = 0
    users_24h: int = 0
    p50: float | None = None
    p90: float | None = None
    series: dict[int, int] = field(default_factory=dict)

    def take(self, figures: Mapping[str, Any]) -> None:
        """Set some of the figures."""
        for name, value in figures.items():
            setattr(self, name, value)


@dataclass
class Whole:
    """What is counted of a whole project in 24 hours."""

    sessions: int = 0
    users: int = 0


@dataclass
class Answer:
    """Counts by project and release, and by project."""

    question: Question
    pairs: dict[tuple[int, str], Counts] = field(default_factory=dict)
    projects: dict[int, Whole] = field(default_factory=dict)

    def of(self, project: int, release: str) -> Counts:
        """Return the counts of a release."""
        return self.pairs.setdefault((project, release), Counts())

    def whole(self, project: int) -> Whole:
        """Return the counts of a project."""
        return self.projects.setdefault(project, Whole())

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield a row for each release with sessions, as relhealth has it."""
        for (project, release), one in sorted(self.pairs.items()):
            if one.has_sessions:
                yield {"project_id": project, "release": release} | self._figures(project, one)

    def _figures(self, project: int, one: Counts) -> dict[str, Any]:
        whole = self.whole(project)
        fates = one.crashed + one.unhandled + one.abnormal
        troubled = one.errored + one.errored_preaggr
        span = range(*self.question.series, self.question.width)
        return {
            "adoption": share(one.users_24h, whole.users) if one.users_24h else None,
            "sessions_adoption": share(one.sessions_24h, whole.sessions)
            if one.sessions_24h
            else None,
            "total_users_24h": one.users_24h,
            "total_project_users_24h": whole.users,
            "total_sessions_24h": one.sessions_24h,
            "total_project_sessions_24h": whole.sessions,
            "total_sessions": one.sessions or None,
            "total_users": one.users or None,
            "has_health_data": True,
            "sessions_crashed": one.crashed,
            "sessions_abnormal": one.abnormal,
            "sessions_unhandled": one.unhandled,
            "sessions_errored": max(0, troubled - fates),
            "sessions_healthy": max(0, one.sessions - troubled),
            "users_crashed": one.users_crashed,
            "users_unhandled": one.users_unhandled,
            "crash_free_sessions": rest(share(one.crashed, one.sessions)),
            "crash_free_users": rest(share(one.users_crashed, one.users)),
            "unhandled_session_rate": share(one.unhandled + one.crashed, one.sessions),
            "unhandled_user_rate": share(one.users_unhandled + one.users_crashed, one.users),
            "duration_p50": one.p50,
            "duration_p90": one.p90,
            "stats": {self.question.period: [[at, one.series.get(at, 0)] for at in span]},
        }


def share(part: int, whole: int) -> float | None:
    """Return percent, 100 at most; of nothing there is none."""
    return min(100.0, part / whole * 100) if whole else None


def rest(percent: float | None) -> float | None:
    """Return what is left of a hundred."""
    return None if percent is None else 100 - percent


# --- DuckDB ---------------------------------------------------------------------------------------


def database() -> duckdb.DuckDBPyConnection:
    """Open DuckDB as fast as it goes."""
    import duckdb

    found = duckdb.connect(config={"threads": THREADS, "preserve_insertion_order": False})
    found.execute("SET TimeZone = 'UTC'")
    return found


def floor(question: Question, *, all_footers: bool = False) -> None:
    """Only decode the columns and row groups that any answer must read.

    With `all_footers` the files that matter are found by all their footers, as they must be by
    whoever is not told.
    """
    start, end = question.read
    database().execute(
        f"""
        SELECT bit_xor(project_id), bit_xor(epoch_us(timestamp)), sum(strlen(metric)),
            sum(strlen(release)), sum(strlen(session_status)), sum(value), bit_xor(member)
        FROM read_parquet($files, hive_partitioning = false)
        WHERE timestamp >= '{iso(start)}' AND timestamp < '{iso(end)}'
        """,
        {"files": files(question.data, 0 if all_footers else start)},
    ).fetchall()


def floor_all(question: Question) -> None:
    """Decode as `floor`, but look at all footers first."""
    floor(question, all_footers=True)


def floor_arrow(question: Question) -> None:
    """Decode as `floor_all`, with Arrow, and in a process that has imported what relhealth needs.

    It is what any answer in Python, NumPy and Arrow takes before a row is counted.
    """
    from concurrent.futures import ThreadPoolExecutor

    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    import pyarrow.parquet as pq  # and NumPy with it
    import typer  # noqa: F401 - only to have it

    start, end = (instant * 1_000_000 for instant in question.read)
    wanted = []
    for path in files(question.data, 0):
        metadata = pq.read_metadata(path)
        at = metadata.schema.names.index("timestamp")
        for group in range(metadata.num_row_groups):
            told = metadata.row_group(group).column(at).statistics
            if told.min_raw < end and told.max_raw >= start:
                wanted.append((path, metadata, group))

    def decode(one: tuple[str, Any, int]) -> int:
        path, metadata, group = one
        file = pq.ParquetFile(path, metadata=metadata, read_dictionary=TEXTS)
        return int(file.read_row_group(group, columns=READ, use_threads=False).num_rows)

    with ThreadPoolExecutor(THREADS) as pool:
        sum(pool.map(decode, wanted))


def naive(question: Question) -> Answer:
    """Ask each component's statement of queries/ straight over the files of its window."""
    con = database()
    answer = Answer(question)

    def ask(template: str, window: Window, **more: Any) -> list[dict[str, Any]]:
        listed = ", ".join(f"'{path}'" for path in files(question.data, window.start))
        con.execute(f"""
            CREATE OR REPLACE TEMP VIEW metric_rows AS
            SELECT * REPLACE (
                nullif(release, '') AS release,
                coalesce(environment, '') AS environment,
                nullif(value, 'nan'::DOUBLE) AS value
            )
            FROM read_parquet([{listed}], hive_partitioning = false)
        """)
        sql = (QUERIES / f"{template}.sql").read_text(encoding="utf-8")
        bound = {"start": iso(window.start), "end": iso(window.end)} | more
        bound |= dict.fromkeys(("projects", "releases", "environments"))
        found = con.execute(sql, {name: v for name, v in bound.items() if f"${name}" in sql})
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def own(row: dict[str, Any]) -> Counts:
        return answer.of(row.pop("project_id"), row.pop("release"))

    for row in ask("sessions_by_status", question.summary):
        own(row).take(row | {"has_sessions": True})
    for row in ask("errored_sessions", question.summary):
        own(row).take(row)
    for row in ask("users_by_status", question.summary):
        own(row).take({"users": row["users"]} | {f"users_{s}": row[s] for s in USERS})
    for row in ask("durations", question.summary):
        own(row).take({"p50": row["p50"], "p90": row["p90"]})
    for row in ask("adoption", question.adoption):
        if row.pop("whole_project"):
            answer.projects[row["project_id"]] = Whole(row["sessions"], row["users"])
        else:
            own(row).take({"sessions_24h": row["sessions"], "users_24h": row["users"]})
    for row in ask(f"health_stats_{question.stat}", question.series, interval=question.width):
        own(row).series[row["bucket"]] = row["count"]
    return answer


def duckdb_distinct(question: Question) -> Answer:
    """Ask a statement a metric, and count users by `count(DISTINCT …)`."""
    return _duckdb(question, two_phases=False)


def duckdb_grouped(question: Question) -> Answer:
    """Ask a statement a metric, and count users in two phases."""
    return _duckdb(question, two_phases=True)


def _duckdb(question: Question, *, two_phases: bool) -> Answer:
    start, end = question.read
    listed = ", ".join(f"'{path}'" for path in files(question.data, start))
    source = f"""(
        SELECT *, epoch_us(timestamp) // 1000000 AS t
        FROM read_parquet([{listed}], hive_partitioning = false)
        WHERE timestamp >= '{iso(start)}' AND timestamp < '{iso(end)}'
    )"""
    dialect = Dialect(source, "quantile_cont(abs(value), [0.5, 0.9])", "bool_or")
    con = database()

    def ask(sql: str) -> list[dict[str, Any]]:
        con.execute(sql)
        names = [column[0] for column in con.description or ()]
        return [dict(zip(names, row, strict=True)) for row in con.fetchall()]

    statements = dialect.statements(question, two_phases=two_phases)
    return _put_together(question, {name: ask(sql) for name, sql in statements.items()})


# --- embedded ClickHouse --------------------------------------------------------------------------


def chdb_exact(question: Question) -> Answer:
    """One scan with exact -If combinators; what no sum gives is asked for itself.

    That is: the users of whole projects, and those of each bucket of a series.
    """
    return _chdb(question, "uniqExact", "quantilesExactInclusive")


def chdb_approximate(question: Question) -> Answer:
    """Answer as `chdb_exact`, by the approximate functions that Sentry uses."""
    return _chdb(question, "uniq", "quantiles")


def chdb_distinct(question: Question) -> Answer:
    """Ask a statement a metric, and count users by `count(DISTINCT …)`, which is `uniqExact`."""
    return _chdb_by_metric(question, two_phases=False)


def chdb_grouped(question: Question) -> Answer:
    """Ask a statement a metric, and count users in two phases."""
    return _chdb_by_metric(question, two_phases=True)


def _chdb_by_metric(question: Question, *, two_phases: bool) -> Answer:
    percentiles = "quantilesExactInclusive(0.5, 0.9)(abs(assumeNotNull(value)))"
    dialect = Dialect(_source(question, question.read), percentiles, "max")
    statements = dialect.statements(question, two_phases=two_phases)
    return _put_together(question, {name: list(_ask_chdb(sql)) for name, sql in statements.items()})


def _chdb(question: Question, uniq: str, quantiles: str) -> Answer:
    answer = Answer(question)
    figures = _figures(question, uniq, quantiles)
    columns = ", ".join(f"{what} AS {name}" for name, what in figures.items())
    pairs = "WHERE release IS NOT NULL GROUP BY project_id, release"
    source = _source(question, question.read)
    for row in _ask_chdb(f"SELECT project_id, release, {columns} FROM {source} {pairs}"):
        one = answer.of(row.pop("project_id"), row.pop("release"))
        percentiles = row.pop("percentiles")
        if row.pop("exited"):
            one.p50, one.p90 = percentiles
        one.series = dict(zip(*row.pop("buckets", [[], []]), strict=True))
        one.take(row)
    wholes = f"{uniq}If(member, {_USER}) AS users, sumIf({_NUMBER}, {_BEGUN}) AS sessions"
    source = _source(question, question.adoption)
    for row in _ask_chdb(f"SELECT project_id, {wholes} FROM {source} GROUP BY project_id"):
        answer.projects[row["project_id"]] = Whole(row["sessions"], row["users"])
    if question.stat == "users":
        for row in _ask_chdb(f"""
            SELECT project_id, release, {_bucket(question)} AS bucket, {uniq}(member) AS n
            FROM {_source(question, question.series)}
            WHERE {_USER} AND release IS NOT NULL GROUP BY ALL
        """):
            answer.of(row["project_id"], row["release"]).series[row["bucket"]] = row["n"]
    return answer


_NUMBER = "toInt64(assumeNotNull(value))"
_COUNTER = f"metric = '{COUNTER}'"
_USER = f"metric = '{USER}'"
_BEGUN = f"{_COUNTER} AND session_status = 'init'"


def _ask_chdb(sql: str) -> Iterator[dict[str, Any]]:
    import chdb

    settings = f"SETTINGS max_threads = {THREADS}, output_format_json_quote_64bit_integers = 0"
    for line in str(chdb.query(f"{sql} {settings}", "JSONEachRow")).splitlines():
        yield json.loads(line)


def _source(question: Question, window: Window) -> str:
    days = sorted({day_of(path) for path in files(question.data, window.start)})
    path = f"{question.data}/{{{','.join(days)}}}/*.parquet"
    return f"""(
        SELECT *, toUnixTimestamp(timestamp) AS t FROM file('{path}', Parquet)
        WHERE timestamp >= fromUnixTimestamp64Micro({window.start}000000)
            AND timestamp < fromUnixTimestamp64Micro({window.end}000000)
    )"""


def _bucket(question: Question) -> str:
    return f"intDiv(t, {question.width}) * {question.width}"


def _figures(question: Question, uniq: str, quantiles: str) -> dict[str, str]:
    """Return the expression of each figure of a release, in one scan of all windows."""
    summary, adoption, series = (
        f"t >= {window.start} AND t < {window.end}"
        for window in (question.summary, question.adoption, question.series)
    )
    exited = f"metric = '{DURATION}' AND session_status = 'exited' AND {summary}"
    figures = {
        "has_sessions": f"countIf({_COUNTER} AND {summary}) > 0",
        "errored": f"{uniq}If(member, metric = '{ERROR}' AND {summary})",
        "users": f"{uniq}If(member, {_USER} AND {summary})",
        "sessions_24h": f"sumIf({_NUMBER}, {_BEGUN} AND {adoption})",
        "users_24h": f"{uniq}If(member, {_USER} AND {adoption})",
        "percentiles": f"{quantiles}If(0.5, 0.9)(abs(assumeNotNull(value)), {exited})",
        "exited": f"countIf({exited})",
    }
    for status, name in COUNTERS.items():
        its = f"{_COUNTER} AND session_status = '{status}' AND {summary}"
        figures[name] = f"sumIf({_NUMBER}, {its})"
    for status in USERS:
        its = f"{_USER} AND session_status = '{status}' AND {summary}"
        figures[f"users_{status}"] = f"{uniq}If(member, {its})"
    if question.stat == "sessions":
        begun = f"{_BEGUN} AND {series}"
        figures["buckets"] = f"sumMapIf([{_bucket(question)}], [{_NUMBER}], {begun})"
    return figures


# --- Polars ---------------------------------------------------------------------------------------


def polars_all(question: Question) -> Answer:
    """Ask as `polars_unique`, but find the files by all footers, as relhealth has to."""
    return _polars(question, all_footers=True)


def polars_unique(question: Question) -> Answer:
    """Collect a lazy plan for each metric together, on the streaming engine."""
    return _polars(question)


def polars_memory(question: Question) -> Answer:
    """Collect the same plans on the in-memory engine."""
    return _polars(question, engine="in-memory")


def polars(question: Question) -> Answer:
    """Ask as `polars_unique`, but count users in two phases."""
    return _polars(question, two_phases=True)


def _polars(
    question: Question,
    *,
    two_phases: bool = False,
    all_footers: bool = False,
    engine: Literal["streaming", "in-memory"] = "streaming",
) -> Answer:
    import polars as pl

    at = pl.col("timestamp")
    metric, status, value, member = map(pl.col, ("metric", "session_status", "value", "member"))
    pair = ["project_id", "release"]

    def within(window: Window) -> Any:
        start, end = (datetime.fromtimestamp(second, UTC) for second in window)
        return (at >= start) & (at < end)

    first = 0 if all_footers else question.read.start
    scan = pl.scan_parquet(files(question.data, first), hive_partitioning=False)
    rows = scan.filter(within(question.read))
    summary, adoption = within(question.summary), within(question.adoption)
    users = rows.filter((metric == USER) & member.is_not_null())
    fates = {f"users_{name}": status == name for name in USERS}
    if two_phases:
        who = {"users": summary, "users_24h": adoption}
        who |= {name: summary & which for name, which in fates.items()}
        each = {name: which.fill_null(value=False).any() for name, which in who.items()}
        counted = [users.group_by(*pair, member).agg(**each).group_by(pair).agg(pl.col(*who).sum())]
    else:
        each = {name: member.filter(which).n_unique() for name, which in fates.items()}
        counted = [
            users.filter(summary).group_by(pair).agg(member.n_unique().alias("users"), **each),
            users.filter(adoption).group_by(pair).agg(member.n_unique().alias("users_24h")),
        ]
    magnitude = value.abs()
    plans = {
        "counters": rows.filter(metric == COUNTER)
        .group_by(*pair, status, (at.dt.epoch("s") // HOUR * HOUR).alias("hour"))
        .agg(value.cast(pl.Int64).sum().alias("n")),
        **{f"users {place}": plan for place, plan in enumerate(counted)},
        "wholes": users.filter(adoption)
        .group_by("project_id")
        .agg(member.n_unique().alias("users")),
        "errors": rows.filter((metric == ERROR) & summary)
        .group_by(pair)
        .agg(member.n_unique().alias("errored")),
        "durations": rows.filter((metric == DURATION) & summary & (status == "exited"))
        .group_by(pair)
        .agg(
            magnitude.quantile(0.5, "linear").alias("p50"),
            magnitude.quantile(0.9, "linear").alias("p90"),
        ),
    }
    if question.stat == "users":
        bucket = at.dt.epoch("s") // question.width * question.width
        plans["series"] = (
            users.filter(within(question.series))
            .group_by(*pair, bucket.alias("bucket"))
            .agg(member.n_unique().alias("n"))
        )
    collected = pl.collect_all(list(plans.values()), engine=engine)
    found = {name: frame.to_dicts() for name, frame in zip(plans, collected, strict=True)}
    return _put_together(question, found)


# --- a statement a metric -------------------------------------------------------------------------


class Dialect(NamedTuple):
    """What differs between DuckDB and ClickHouse in the statements for each metric."""

    source: str  # rows of the windows, with `t`, the second since the epoch
    percentiles: str
    truth: str  # the aggregate that is true where one of the rows is

    def statements(self, question: Question, *, two_phases: bool) -> dict[str, str]:
        """Return a statement for each part of the answer."""
        summary, adoption, series = (
            f"t >= {window.start} AND t < {window.end}"
            for window in (question.summary, question.adoption, question.series)
        )
        who = {"users": summary, "users_24h": adoption}
        who |= {f"users_{one}": f"{summary} AND session_status = '{one}'" for one in USERS}
        pair = f"FROM {self.source} WHERE release IS NOT NULL AND"
        if two_phases:
            each = ", ".join(f"{self.truth}({which}) AS any_{name}" for name, which in who.items())
            counts = ", ".join(f"count(*) FILTER (WHERE any_{name}) AS {name}" for name in who)
            inner = f"""
                SELECT project_id, release, member, {each} {pair} metric = '{USER}' GROUP BY ALL"""
            users = {
                "users": f"""
                SELECT project_id, release, {counts} FROM ({inner}) AS u GROUP BY ALL"""
            }
        else:
            counts = ", ".join(
                f"count(DISTINCT member) FILTER (WHERE session_status = '{one}') AS users_{one}"
                for one in USERS
            )
            users = {
                "users": f"""
                    SELECT project_id, release, count(DISTINCT member) AS users, {counts}
                    {pair} metric = '{USER}' AND {summary} GROUP BY ALL""",
                "users_24h": f"""
                    SELECT project_id, release, count(DISTINCT member) AS users_24h
                    {pair} metric = '{USER}' AND {adoption} GROUP BY ALL""",
            }
        found = users | {
            "counters": f"""
                SELECT project_id, release, session_status, {_whole("t", HOUR)} AS hour,
                    CAST(sum(value) AS BIGINT) AS n
                FROM {self.source} WHERE metric = '{COUNTER}' GROUP BY ALL""",
            "wholes": f"""
                SELECT project_id, count(DISTINCT member) AS users
                FROM {self.source} WHERE metric = '{USER}' AND {adoption} GROUP BY ALL""",
            "errors": f"""
                SELECT project_id, release, count(DISTINCT member) AS errored
                {pair} metric = '{ERROR}' AND {summary} GROUP BY ALL""",
            "durations": f"""
                SELECT project_id, release, {self.percentiles} AS percentiles {pair}
                metric = '{DURATION}' AND session_status = 'exited' AND {summary} GROUP BY ALL""",
        }
        if question.stat == "users":
            found["series"] = f"""
                SELECT project_id, release, {_whole("t", question.width)} AS bucket,
                    count(DISTINCT member) AS n
                {pair} metric = '{USER}' AND {series} GROUP BY ALL"""
        return found


def _whole(second: str, width: int) -> str:
    return f"({second} - {second} % {width})"


def _put_together(question: Question, found: dict[str, list[dict[str, Any]]]) -> Answer:
    """Return the answer from its parts."""
    answer = Answer(question)
    for row in found.pop("counters"):
        _count_hour(answer, row)
    for row in found.pop("wholes"):
        answer.whole(row["project_id"]).users = row["users"]
    for row in found.pop("series", ()):
        if row["release"] is not None:
            answer.of(row["project_id"], row["release"]).series[row["bucket"]] = row["n"]
    for row in (row for part in found.values() for row in part):
        project, release = row.pop("project_id"), row.pop("release")
        if "percentiles" in row:
            row["p50"], row["p90"] = row.pop("percentiles")
        if release is not None:
            answer.of(project, release).take(row)
    return answer


def _count_hour(answer: Answer, row: dict[str, Any]) -> None:
    """Put the counters of a release, a status and an hour where they belong."""
    question, second = answer.question, row["hour"]
    begun = row["n"] if row["session_status"] == "init" else 0
    today = begun if question.adoption.start <= second < question.adoption.end else 0
    answer.whole(row["project_id"]).sessions += today
    if row["release"] is None:
        return
    one = answer.of(row["project_id"], row["release"])
    one.sessions_24h += today
    if question.summary.start <= second < question.summary.end:
        one.has_sessions = True
        name = COUNTERS.get(row["session_status"])
        if name:
            one.take({name: getattr(one, name) + row["n"]})
    if question.stat == "sessions" and begun:
        bucket = second // question.width * question.width
        one.series[bucket] = one.series.get(bucket, 0) + begun


# --- the data set itself --------------------------------------------------------------------------


def describe(data: str) -> dict[str, Any]:
    """Return rows, files and bytes of a data set, and the rows of each period's files."""
    import pyarrow.parquet as pq

    rows = {path: pq.read_metadata(path).num_rows for path in files(data)}
    return {
        "true_rows": sum(rows.values()),
        "files": len(rows),
        "bytes": sum(os.stat(path).st_size for path in rows),
        "window_rows": {
            period: sum(rows[path] for path in files(data, Question(data, period, "").read.start))
            for period in PERIODS
        },
        "day_rows": {day_of(path): count for path, count in rows.items()},
    }


def halve(data: str, target: str) -> None:
    """Write each file of a data set as two, so that there is something to compact."""
    import pyarrow.parquet as pq

    for path in files(data):
        table = pq.read_table(path, partitioning=None)
        folder = Path(target, day_of(path))
        folder.mkdir(parents=True)
        middle = table.num_rows // 2
        for name, half in (("a", table.slice(0, middle)), ("b", table.slice(middle))):
            pq.write_table(half, folder / f"{Path(path).stem}{name}.parquet", compression="zstd")


PEERS: dict[str, Callable[[Question], Answer | None]] = {
    "naive": naive,
    "duckdb_distinct": duckdb_distinct,
    "duckdb_grouped": duckdb_grouped,
    "chdb": chdb_exact,
    "chdb_distinct": chdb_distinct,
    "chdb_grouped": chdb_grouped,
    "chdb_approx": chdb_approximate,
    "polars": polars,
    "polars_unique": polars_unique,
    "polars_memory": polars_memory,
    "polars_all": polars_all,
    "floor": floor,
    "floor_all": floor_all,
    "floor_arrow": floor_arrow,
}


def end_first() -> None:
    """Let Linux end this process before any other where memory runs out."""
    badness = Path("/proc/self/oom_score_adj")
    if badness.exists():
        badness.write_text("1000", encoding="ascii")


def main(name: str, data: str, *rest: str) -> None:
    """Run one peer, or say or do what the benchmark needs with a data set."""
    if name == "describe":
        print(json.dumps(describe(data)))
    elif name == "halve":
        halve(data, *rest)
    else:
        end_first()
        period, stat, *output = rest
        answer = PEERS[name](Question(data, period, stat))
        if answer and output:
            text = json.dumps({"data": list(answer.rows())})
            Path(output[0]).write_text(text, encoding="utf-8")
        os._exit(0)  # their orderly ends take a while, which no user need wait for


if __name__ == "__main__":
    main(*sys.argv[1:])
