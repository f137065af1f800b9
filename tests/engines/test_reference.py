"""The product against the plain-Python reference, on random rows that crowd the windows' edges."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import reference
from command import run
from paths import PATHS, by
from reference import DAY, DURATIONS, ERRORS, HOUR, INTERVALS, PERIODS, SESSIONS, USERS, Window
from relhealth import ReleaseHealth
from sessions import metric_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from reference import Pair, Row

T = TypeVar("T")

FIELDS = [
    "project_id",
    "release",
    "adoption",
    "sessions_adoption",
    "total_users_24h",
    "total_project_users_24h",
    "total_sessions_24h",
    "total_project_sessions_24h",
    "total_sessions",
    "total_users",
    "has_health_data",
    "sessions_crashed",
    "sessions_abnormal",
    "sessions_unhandled",
    "sessions_errored",
    "sessions_healthy",
    "users_crashed",
    "users_unhandled",
    "crash_free_sessions",
    "crash_free_users",
    "unhandled_session_rate",
    "unhandled_user_rate",
    "duration_p50",
    "duration_p90",
    "stats",
]
SHARES = [
    "adoption",
    "sessions_adoption",
    "crash_free_sessions",
    "crash_free_users",
    "unhandled_session_rate",
    "unhandled_user_rate",
]

PROJECTS = [1, 2, 12, 2**40]
RELEASES = [
    "app@1.0.0",
    "app@1.0.0+2",
    "APP@1.0.0",
    "app@1.0.0 ",
    'it\'s "quoted" `thrice`',
    "100%s %(now)s {start} $end ?",
    "[a-z]*_[!x]\\",
    "caf\u00e9@1",
    "cafe\u0301@1",
    "健康@二",
    "🚀👩‍🔬@3",
    "'; DROP TABLE rows; --",
    "null",
    "-r",
]
ENVIRONMENTS = ["production", "Production", "prod'uction", "none", "NULL", "%", "développement 🚀"]
STATUSES = [
    *["init"] * 8,
    *["crashed", "abnormal", "unhandled"] * 2,
    *["errored_preaggr", "errored", "exited", "healthy", "CRASHED", ""],
    *[None] * 4,
]
OTHER_METRICS = [
    "c:sessions/session@second",
    "C:SESSIONS/SESSION@NONE",
    "s:sessions/user@none ",
    "d:transactions/duration@millisecond",
    "",
]
METRICS = [*[SESSIONS] * 20, *[USERS] * 20, *[ERRORS] * 8, *[DURATIONS] * 15, *OTHER_METRICS]
# Neighbours that are equal as floats or as signed integers.
MEMBERS = [0, 1, 2, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1]
COUNTS = [0.0, -0.0, *[1.0] * 6, 2.0, 3.0, 17.0, 1e6, 2.0**32]
SECONDS = [0.0, -0.0, 1e-300, 0.001, 0.1, 1 / 3, 30.0, 60.0, 60.0, 3600.25, 1e6, 1e300]
FLAWS = [None, math.nan, math.inf, -math.inf, -1.0, -1e-300, 0.5, 1.000001, 2.0**32 + 1]
MICROSECONDS_OFF = [0, 0, -1, 1, -400_000, 499_999, 500_000, 600_000, -1_000_000, 10_000_000]
TIMESTAMPS = [
    pa.timestamp("us", tz="UTC"),
    pa.timestamp("us"),
    pa.timestamp("ns"),
    pa.timestamp("us", tz="America/St_Johns"),
]


@dataclass(frozen=True)
class Question:
    """The arguments of an overview; no pairs, projects or environments means all of them."""

    now: datetime
    period: str
    stats_period: str | None
    stat: str
    pairs: tuple[Pair, ...] | None
    projects: tuple[int, ...] | None
    environments: tuple[str, ...] | None

    def argv(self) -> list[str]:
        """The question as options of the command line."""
        args = ["--now", self.now.isoformat(), "--period", self.period, "--stat", self.stat]
        args += ["--stats-period", self.stats_period] if self.stats_period else []
        for project, release in self.pairs or ():
            args += ["--release", f"{project}/{release}"]
        for project in self.projects or ():
            args += ["--project", str(project)]
        for environment in self.environments or ():
            args += ["--environment", environment]
        return args

    def answer(self, rows: Iterable[Row]) -> list[Row]:
        """What the reference says."""
        return reference.overview(
            rows,
            now=self.now,
            period=self.period,
            stats_period=self.stats_period,
            stat=self.stat,
            pairs=self.pairs,
            projects=self.projects,
            environments=self.environments,
        )

    def covers(self, row: Row) -> bool:
        """Whether the row is inside the window of a pair of the answer."""
        pair = row["project_id"], row["release"]
        at = reference.microseconds(row["timestamp"])
        start, end = Window.before(self.now, PERIODS[self.period], HOUR)
        return (
            start <= at < end
            and bool(row["release"])
            and (self.pairs is None or pair in self.pairs)
            and (self.projects is None or row["project_id"] in self.projects)
            and (self.environments is None or (row["environment"] or "") in self.environments)
        )


@dataclass(frozen=True)
class Case:
    """A question, its rows, and how the rows are stored."""

    question: Question
    rows: list[Row]
    files: int
    row_group: int
    timestamp: pa.DataType


@dataclass(frozen=True)
class Pool:
    """What the rows of one case are drawn from: little, so that they meet, and at the edges.

    `flaws` are values that make a row invalid, or none; `junk` fills the columns that a metric
    does not use. Some cases have few kinds of values: a footer's least and greatest value leave
    NaN out, and a reader that trusts them fails where all others are in range, or are equal.
    """

    edges: list[int]
    offsets: list[int]
    pairs: list[tuple[int, str | None]]
    environments: list[str | None]
    members: list[int]
    counts: list[float]
    seconds: list[float]
    flaws: list[float | None]
    junk: list[float | None]

    def row(self, random: Random) -> Row:
        """One metric row."""
        metric = random.choice(METRICS)
        flawed = bool(self.flaws) and random.randint(0, 9) == 0
        status, value, member = random.choice(STATUSES), random.choice(self.junk), None
        if metric in {USERS, ERRORS}:
            member = None if flawed else random.choice(self.members)
        elif metric == SESSIONS:
            member = random.choice([None, *self.members])
            value = random.choice(self.flaws if flawed else self.counts)
        elif metric == DURATIONS:
            status = random.choice(["exited", "exited", "exited", status])
            value = random.choice(self.flaws if flawed else self.seconds)
        at = random.choice(self.edges) + random.choice(self.offsets)
        project, release = random.choice(self.pairs)
        return {
            "org_id": 1,
            "project_id": project,
            "timestamp": reference.EPOCH + timedelta(microseconds=at),
            "metric": metric,
            "release": release,
            "environment": random.choice(self.environments),
            "session_status": status,
            "abnormal_mechanism": None,
            "value": value,
            "member": member,
        }


@pytest.fixture(params=PATHS, autouse=True)
def path(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every case is answered by each of the paths."""
    with by(request.param):
        yield request.param


@st.composite
def small_cases(draw: st.DrawFn) -> Case:
    random = draw(st.randoms(use_true_random=False))
    question = random_question(random)
    pool = random_pool(random, question)
    row = st.builds(pool.row, st.randoms(use_true_random=False))
    rows = draw(st.lists(row, min_size=random.choice([1, 15]), max_size=60))
    return stored(random, question, rows)


def examples(most: int) -> settings:
    """Settings for so many drawn cases."""
    return settings(
        max_examples=most,
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
            HealthCheck.function_scoped_fixture,  # it is the same for every case
        ],
    )


@examples(12)
@given(small_cases())
def test_overview_of_small_cases(case: Case) -> None:
    check_overview(case)


@pytest.mark.slow
@examples(40)
@given(small_cases())
def test_overview_of_many_small_cases(case: Case) -> None:
    check_overview(case)


# Rollups must be written, and are for fewer cases.
CASES = pytest.mark.parametrize("cases", [16, pytest.param(50, marks=pytest.mark.slow)])


@CASES
def test_overview_of_many_cases(cases: int, path: str) -> None:
    random = Random(20261118)
    cases //= 4 if path == "rollup" else 1
    figures = sum(check_overview(random_case(random, most_rows=300)) for _ in range(cases))
    assert figures > 50 * cases


@pytest.mark.parametrize("period", PERIODS)
@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_overview_of_every_period(period: str, every: bool) -> None:  # noqa: FBT001 - a parameter
    """With the series of two periods, by turns, or of every third."""
    random = Random(period)
    periods = [None, *PERIODS]
    at = list(PERIODS).index(period)
    for stat in ("sessions", "users"):
        for stats_period in periods[at % 3 :: 3] if every else periods[at : at + 2]:
            check_overview(
                random_case(random, 80, period=period, stats_period=stats_period, stat=stat)
            )


@pytest.mark.parametrize("period", ["24h", pytest.param("90d", marks=pytest.mark.slow)])
def test_lone_rows_at_every_edge(period: str) -> None:
    random = Random(period)
    for stat in ("sessions", "users"):
        question = replace(random_question(random), period=period, stats_period=period, stat=stat)
        question = replace(question, environments=None)
        pool = replace(random_pool(random, question), environments=[None], flaws=FLAWS)
        instants = {edge + off for edge in pool.edges for off in MICROSECONDS_OFF}
        pairs = [(1, f"app@{number}") for number, _ in enumerate(instants)]
        rows = [
            replace(pool, edges=[instant], pairs=[pair], offsets=[0]).row(random)
            for instant, pair in zip(instants, pairs, strict=True)
        ]
        question = replace(question, pairs=tuple(pairs), projects=None)
        check_overview(stored(random, question, rows))


@pytest.mark.parametrize("metric", [SESSIONS, DURATIONS])
@pytest.mark.parametrize("others", [[], [1.0], [1.0, 1.0], [1.0, 2.0], [0.0]])
def test_nan_hidden_from_the_footer(metric: str, others: list[float]) -> None:
    random = Random(metric)
    question = replace(random_question(random), pairs=None, projects=None, environments=None)
    status = "init" if metric == SESSIONS else "exited"
    at = question.now.replace(minute=0, second=0, microsecond=0)
    row = random_pool(random, question).row(random)
    row |= {"metric": metric, "session_status": status, "release": "app@1", "timestamp": at}
    rows = [row | {"value": value} for value in [*others, math.nan]]
    question = replace(question, now=at + timedelta(microseconds=1))
    check_overview(Case(question, rows, files=1, row_group=500, timestamp=TIMESTAMPS[0]))


@CASES
def test_adoption_and_health_data_of_many_cases(cases: int, path: str) -> None:
    random = Random(20261119)
    for _ in range(cases // (10 if path == "rollup" else 3)):
        check_adoption_and_health_data(random_case(random, most_rows=120))


@pytest.mark.parametrize("stat", ["sessions", "users"])
@pytest.mark.parametrize("pools", [8, pytest.param(30, marks=pytest.mark.slow)])
def test_files_and_threads_leave_no_trace(pools: int, stat: str, tmp_path: Path) -> None:
    random = Random(stat)
    question = replace(
        random_question(random),
        period="90d",
        stats_period="7d",
        stat=stat,
        pairs=None,
        projects=None,
        environments=None,
    )
    drawn = [random_pool(random, question) for _ in range(pools)]
    rows = [pool.row(random) for pool in drawn for _ in range(300)]
    case = Case(question, rows, files=1, row_group=500, timestamp=TIMESTAMPS[0])
    write(case, tmp_path / "one")
    random.shuffle(rows)
    write(replace(case, files=50), tmp_path / "many")

    answers = {
        data_text(str(tmp_path / source), *question.argv(), "--threads", threads)
        for source in ("one", "many")
        for threads in ("1", "2")
    }
    assert len(answers) == 1
    assert len(json.loads(answers.pop())) > 1


def check_overview(case: Case) -> int:
    """Compare the product's answer with the reference's; return how many figures were compared."""
    with TemporaryDirectory() as folder:
        write(case, Path(folder))
        result = run("overview", folder, "-f", "json", *case.question.argv())
    assert result.code == 0, result.err
    document = json.loads(result.out, parse_constant=refuse)

    answer = {(row["project_id"], row["release"]): row for row in document["data"]}
    expected = {(row["project_id"], row["release"]): row for row in case.question.answer(case.rows)}
    assert len(answer) == len(document["data"])
    assert answer.keys() == expected.keys()
    for pair, row in expected.items():
        assert list(answer[pair]) == FIELDS
        assert differences(answer[pair], row) == {}, pair

    invalid = [row for row in case.rows if reference.is_invalid(row)]
    told_of = sum(map(case.question.covers, invalid))
    assert told_of <= document["meta"]["invalid_rows"] <= len(invalid)
    return len(expected) * len(FIELDS)


def check_adoption_and_health_data(case: Case) -> None:
    now, rows = case.question.now, case.rows
    pairs = case.question.pairs or tuple({(r["project_id"], r["release"] or "x") for r in rows})
    projects = [*PROJECTS, 999]
    with TemporaryDirectory() as folder:
        write(case, Path(folder))
        health = ReleaseHealth([folder])
        environments = case.question.environments
        shares = health.adoption(pairs, environments=environments, now=now)
        known_pairs = health.check_has_health_data(pairs, now=now)
        known_projects = health.check_has_health_data(projects, now=now)

    expected = reference.adoption(rows, pairs, now=now, environments=environments)
    assert set(shares) == set(expected)
    for pair, share in expected.items():
        assert differences(shares[pair], share) == {}, pair
    assert set(known_pairs) == reference.has_health_data(rows, pairs, now=now)
    assert set(known_projects) == reference.has_health_data(rows, projects, now=now)


def differences(got: Any, expected: Row) -> dict[str, Any]:
    """The figures that differ, as got and as expected."""
    return {
        field: (got[field], figure)
        for field, figure in expected.items()
        if not agrees(got[field], figure, field)
    }


def agrees(got: Any, expected: Any, field: str) -> bool:
    if not isinstance(expected, float):
        return type(got) is type(expected) and bool(got == expected)
    # A share near 0 is what is left of 100 and keeps that hundred's rounding.
    spare = 1e-12 if field in SHARES else 0.0
    return type(got) in {float, int} and math.isclose(got, expected, rel_tol=1e-9, abs_tol=spare)


def data_text(*args: str) -> str:
    """The document's `data`, literally from the output."""
    result = run("overview", *args, "-f", "json")
    assert result.code == 0, result.err
    _, key, after = result.out.partition('"data":')
    _, end = json.JSONDecoder().raw_decode(after.lstrip())
    assert key
    return after.lstrip()[:end]


def refuse(constant: str) -> None:
    raise AssertionError(constant)


def write(case: Case, folder: Path) -> None:
    """Deal the rows out to the files."""
    folder.mkdir(exist_ok=True)
    for number in range(case.files):
        table = metric_table(case.rows[number :: case.files], case.timestamp)
        pq.write_table(table, folder / f"{number}.parquet", row_group_size=case.row_group)


def random_case(random: Random, most_rows: int, **fixed: Any) -> Case:
    question = replace(random_question(random), **fixed)
    pool = random_pool(random, question)
    rows = [pool.row(random) for _ in range(random.randint(1, most_rows))]
    return stored(random, question, rows)


def stored(random: Random, question: Question, rows: list[Row]) -> Case:
    files = min(len(rows), random.choice([1, 1, 2, 5]))
    return Case(question, rows, files, random.choice([500, 20]), random.choice(TIMESTAMPS))


def random_question(random: Random) -> Question:
    now = datetime(2026, random.randint(1, 12), random.randint(1, 28), tzinfo=UTC)
    now += timedelta(hours=random.choice([0, 0, 1, 12, 23]))
    now += random.choice(
        [
            timedelta(),
            timedelta(microseconds=1),
            timedelta(minutes=59, seconds=59, microseconds=999_999),
            timedelta(minutes=random.randint(0, 59), seconds=random.randint(0, 59)),
        ]
    )
    pairs = [(project, release) for project in PROJECTS for release in RELEASES]
    asked, projects = random.choice(
        [
            (None, None),
            (None, tuple(some(random, PROJECTS))),
            (tuple(random.sample(pairs, random.randint(1, 6))), None),
        ]
    )
    return Question(
        now=now,
        period=random.choice(list(PERIODS)),
        stats_period=random.choice([None, *PERIODS]),
        stat=random.choice(["sessions", "users"]),
        pairs=asked,
        projects=projects,
        environments=random.choice([None, None, ("",), tuple(some(random, ENVIRONMENTS))]),
    )


def random_pool(random: Random, question: Question) -> Pool:
    projects = question.projects or some(random, PROJECTS)
    releases = [*some(random, RELEASES) * 2, None, ""]
    asked = question.pairs or ()
    strays = [(project, release) for project in projects for release in releases]
    # Most rows are of the asked pairs, some of their projects' other releases.
    strays += [(project, release) for project, _ in asked for release in releases]
    counts, seconds = random.choice(
        [(COUNTS, SECONDS), (COUNTS, some(random, SECONDS)), ([1.0], [1.0])]
    )
    return Pool(
        edges=window_edges(question),
        offsets=MICROSECONDS_OFF,
        pairs=[*strays, *asked * len(strays)],
        environments=[*(question.environments or ()) * 3, None, "", *some(random, ENVIRONMENTS)],
        members=some(random, MEMBERS),
        counts=counts,
        seconds=seconds,
        flaws=random.choice([[], [math.nan], some(random, FLAWS), FLAWS]),
        junk=random.choice([[None], [math.nan], FLAWS]),
    )


def window_edges(question: Question) -> list[int]:
    """The instants at which any window, or bucket of the series, begins or ends; and now."""
    now = question.now
    windows = [
        Window.before(now, PERIODS[question.period], HOUR),
        Window.before(now, DAY, HOUR),
        Window.before(now, 90 * DAY, DAY),
    ]
    edges = [reference.microseconds(now), *(edge for window in windows for edge in window)] * 3
    edges += [window.end - HOUR for window in windows] * 3
    if question.stats_period:
        interval = INTERVALS[question.stats_period]
        start, end = Window.before(now, PERIODS[question.stats_period], interval)
        edges += [start, end, end - interval] * 2
        edges += range(start, end, interval)
    return edges


def some(random: Random, choices: Sequence[T]) -> list[T]:
    """A few of the choices, few enough that rows meet."""
    return random.sample(choices, random.randint(1, 3))
