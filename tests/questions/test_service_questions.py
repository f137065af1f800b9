"""The service's other questions: against the plain-Python reference, by laws, and refused."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from hypothesis import given, settings

import reference
import rows
from relhealth import DataError, QuestionError, ReleaseHealth
from rows import NOON, RELEASE, duration, error, session, user
from test_sessions_query import (
    ENVIRONMENTS,
    NOW,
    NOWHERE,
    NOWS,
    PROJECTS,
    RELEASES,
    Data,
    derandomized,
    opened,
    random_rows,
    randoms,
    some,
    sound_rows,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from reference import Row

pytestmark = pytest.mark.usefixtures("over")

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NAMES = [*filter(None, RELEASES), "unheard-of"]
SCOPES = [
    f"{scope}{suffix}"
    for scope in ("sessions", "users", "crash_free_sessions", "crash_free_users")
    for suffix in ("", "_24h")
]
# How long before now a release started, at and around the ages of a breakdown.
AGES = [timedelta(days=days) for days in (0, 1, 2, 3, 6, 7, 8, 13, 14, 15, 29, 30, 31, 60)]
# Lengths of windows by interval, for few buckets.
LENGTHS = {10: 180, 900: 4 * 3600, 3600: 40 * 3600, 21_600: 8 * 86_400, 86_400: 40 * 86_400}


@pytest.fixture(scope="module")
def data(
    over: None,  # noqa: ARG001 - anew over each
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[list[Data]]:
    """Data sets: of any rows, of what a relay emits, and of hardly any."""
    random = Random(20260311)
    sets = [random_rows(random, 700), sound_rows(random, 250), random_rows(random, 30)]
    found = [opened(tmp_path_factory, one) for one in sets]
    yield found
    for one in found:
        one.health.close()


Question: TypeAlias = "tuple[tuple[Any, ...], Row]"


def a_pair(random: Random) -> tuple[int, str]:
    return random.choice(PROJECTS), random.choice(NAMES)


def a_now(random: Random) -> datetime:
    return random.choice([*NOWS[:6], *NOWS])


def some_projects(random: Random) -> list[int]:
    return random.sample([*PROJECTS, 999], random.randint(1, 4))


def some_environments(random: Random) -> Row:
    return {"environments": some(random, [*ENVIRONMENTS, "unheard-of"])}


def a_window(random: Random, interval: int = 3600) -> tuple[datetime, datetime]:
    """A start and an end, on the grid or off it, perhaps the same."""
    off = [timedelta(microseconds=n) for n in (0, 1, -1, 10_000_000, 1_234_567_890)]
    end = a_now(random) + random.choice(off)
    back = random.choice([*[LENGTHS[interval]] * 3, LENGTHS[interval] // 3, interval, 0])
    return min(end, end - timedelta(seconds=back) + random.choice(off)), end


def a_span(random: Random) -> Row:
    """An interval, and a start and an end that suit it."""
    interval = random.choice(list(LENGTHS))
    start, end = a_window(random, interval)
    return {"start": start, "end": end, "interval": interval}


def releases_with_health_data(random: Random) -> Question:
    start, end = a_window(random)
    names = random.sample(NAMES, random.randint(1, len(NAMES)))
    return (some_projects(random), names), {"start": start, "end": end}


def oldest(random: Random) -> Question:
    return ([a_pair(random) for _ in range(random.randint(0, 12))],), {"now": a_now(random)}


def breakdown(random: Random) -> Question:
    now = a_now(random)
    off = timedelta(microseconds=random.choice([0, 1, -1, 3_600_000_000]))
    times: Row = {"now": now, "start": now - random.choice(AGES) + off}
    return a_pair(random), some_environments(random) | times


def rates(random: Random) -> Question:
    interval = random.choice([900, 3600, 86_400])
    windows = {name: a_window(random, interval) for name in ("current", "previous")}
    return (some_projects(random),), {**windows, "interval": interval}


def count(random: Random) -> Question:
    return (random.choice([*PROJECTS, 999]),), a_span(random) | some_environments(random)


def per_project(random: Random) -> Question:
    return (some_projects(random),), a_span(random) | some_environments(random)


def stability(random: Random) -> Question:
    keywords: Row = {
        "scope": random.choice(SCOPES),
        "period": random.choice(list(reference.PERIODS)),
        "now": a_now(random),
    }
    projects = random.choice([None, some_projects(random)])
    return (projects,), keywords | some_environments(random)


def page_of_stability(random: Random) -> Question:
    args, keywords = stability(random)
    page = {"offset": random.choice([0, 0, 1, 3]), "limit": random.choice([None, None, 1, 2, 5])}
    return args, keywords | page


def stats(random: Random) -> Question:
    stat = {"stat": random.choice(["sessions", "users"])}
    return a_pair(random), a_span(random) | some_environments(random) | stat


QUESTIONS: dict[str, Callable[[Random], Question]] = {
    "check_releases_have_health_data": releases_with_health_data,
    "changed_project_releases": lambda random: (
        (some_projects(random),),
        {"now": a_now(random)},
    ),
    "oldest_health_data": oldest,
    "session_time_bounds": lambda random: (
        a_pair(random),
        some_environments(random) | {"now": a_now(random)},
    ),
    "crash_free_breakdown": breakdown,
    "crash_free_rates": rates,
    "sessions_count": count,
    "sessions_per_project": per_project,
    "releases_by_stability": page_of_stability,
    "releases_count": stability,
    "release_stats": stats,
}


@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.parametrize("cases", [10, pytest.param(35, marks=pytest.mark.slow)])
def test_reference_and_product_agree(data: list[Data], cases: int, name: str) -> None:
    told = 0

    @settings(derandomized, max_examples=cases)
    @given(randoms)
    def check(random: Random) -> None:
        nonlocal told
        one = random.choice(data)
        args, keywords = QUESTIONS[name](random)
        found = getattr(one.health, name)(*args, **keywords)
        wanted = getattr(reference, name)(one.rows, *args, **keywords)
        assert same(found, wanted), (found, wanted)
        told += bool(wanted)

    check()
    assert told >= cases * 2 // 7


def same(found: Any, wanted: Any) -> bool:
    """Whether both are of the same types and values, percents within rounding."""
    match wanted:
        case dict():
            keys = isinstance(found, dict) and found.keys() == wanted.keys()
            return keys and all(same(found[key], value) for key, value in wanted.items())
        case list() | tuple():
            alike = type(found) is type(wanted) and len(found) == len(wanted)
            return alike and all(same(*both) for both in zip(found, wanted, strict=True))
        case float():
            return type(found) is float and math.isclose(
                found, wanted, rel_tol=1e-12, abs_tol=1e-12
            )
        case _:
            return type(found) is type(wanted) and bool(found == wanted)


# Laws for any data.

LAWS = settings(derandomized, max_examples=10)


@LAWS
@given(randoms)
def test_pages_of_stability_make_all_releases(data: list[Data], random: Random) -> None:
    one = random.choice(data)
    args, keywords = stability(random)
    whole = one.health.releases_by_stability(*args, **keywords)
    size = random.randint(1, 5)
    pages = [
        one.health.releases_by_stability(*args, **keywords, offset=offset, limit=size)
        for offset in range(0, len(whole) + size, size)
    ]
    assert [pair for page in pages for pair in page] == whole
    assert one.health.releases_count(*args, **keywords) == len(whole) == len(set(whole))


@LAWS
@given(randoms)
def test_counts_agree_with_the_query(data: list[Data], random: Random) -> None:
    """Sessions of a project, crash-free rates and stability have the query's figures."""
    one = random.choice(data)
    now, where = a_now(random), some(random, ENVIRONMENTS)
    fields = ["sum(session)", "crash_free_rate(session)", "crash_free_rate(user)"]
    fields.append("count_unique(user)")
    asked_of: Row = {"period": "24h", "now": now}
    answer: Any = one.health.query(fields, group_by=["project"], environments=where, **asked_of)
    sessions = {group.by["project"]: group.totals["sum(session)"] for group in answer.groups}
    window = {"start": answer.start, "end": answer.end}
    found = one.health.sessions_per_project([*PROJECTS, 999], environments=where, **window)
    assert found == {project: count for project, count in sessions.items() if count}
    for project in PROJECTS:
        count = one.health.sessions_count(project, environments=where, **window)
        assert count == sessions.get(project, 0)

    answer = one.health.query(fields, group_by=["project"], **asked_of)
    rates = {group.by["project"]: group.totals[fields[1]] for group in answer.groups}
    both = (answer.start, answer.end)
    for project, rate in one.health.crash_free_rates(PROJECTS, current=both, previous=both).items():
        share = rates.get(project)
        assert same(rate["current"], None if share is None else share * 100)
        assert rate["current"] == rate["previous"]

    by_release: Any = one.health.query(fields, group_by=["project", "release"], **asked_of)
    for scope, field, needs in (
        ("sessions", fields[0], fields[0]),
        ("crash_free_sessions", fields[1], fields[0]),
        ("users", fields[3], fields[3]),
        ("crash_free_users", fields[2], fields[3]),
    ):
        figures = {
            tuple(group.by.values()): group.totals[field]
            for group in by_release.groups
            if group.totals[needs] and group.by["release"]
        }
        listed = one.health.releases_by_stability(scope=scope, now=now)
        assert set(listed) == set(figures)
        ranked = [figures[pair] for pair in listed]
        assert ranked == sorted(ranked, reverse=not scope.startswith("crash_free"))


@LAWS
@given(randoms)
def test_stats_over_time_agree_with_the_totals(data: list[Data], random: Random) -> None:
    one = random.choice(data)
    args, keywords = stats(random)
    stat, interval = keywords["stat"], keywords["interval"]
    series, totals = one.health.release_stats(*args, **keywords)
    starts = [start for start, _ in series]
    assert starts == list(range(starts[0], starts[-1] + interval, interval)) if starts else True
    for name, total in totals.items():
        parts = [figures[name] for _, figures in series]
        if name in {"sessions_healthy", "sessions_errored", "users_healthy", "users_errored"}:
            continue  # they are no sums where max(0, …) bites
        if stat == "sessions":
            assert sum(parts) == total
        assert max(parts, default=0) <= total <= sum(parts)


@LAWS
@given(randoms)
def test_when_a_release_was_seen(data: list[Data], random: Random) -> None:
    """All questions about when a release was seen, and whether, agree."""
    one = random.choice(data)
    now = a_now(random)
    pairs = [(project, release) for project in PROJECTS for release in NAMES]
    oldest = one.health.oldest_health_data(pairs, now=now)
    assert set(oldest) == one.health.check_has_health_data(pairs, now=now)
    assert one.health.changed_project_releases(PROJECTS, now=now) <= set(oldest)
    for project, release in random.sample(pairs, 4):
        bounds = one.health.session_time_bounds(project, release, now=now)
        lower, upper = bounds["sessions_lower_bound"], bounds["sessions_upper_bound"]
        first = oldest.get((project, release))
        assert (lower is None) == (upper is None)
        if first is not None:
            assert lower is not None
            assert upper is not None
            assert lower <= first <= upper
            found = one.health.check_releases_have_health_data(
                [project], [release, "unheard-of"], start=first, end=first + HOUR
            )
            assert found == {release}


# Examples of a few rows.

HALF_PAST = NOON + HOUR / 2


@pytest.fixture
def health(tmp_path: Path) -> Callable[..., ReleaseHealth]:
    """A function that opens the product over rows."""

    def over(given_rows: Iterable[Row], **options: Any) -> ReleaseHealth:
        return ReleaseHealth(rows.write(tmp_path / "rows.parquet", given_rows), **options)

    return over


def test_releases_with_health_data(health: Callable[..., ReleaseHealth]) -> None:
    """Releases with counters between the hours of start and end, in any of the projects."""
    opened = health(
        [
            session("crashed", value=0.0, release="a", timestamp=NOON),
            session(release="b", project_id=2, timestamp=NOON + 2 * HOUR),
            session(release="c", timestamp=NOON - timedelta(microseconds=1)),
            session(release="d", timestamp=NOON + 3 * HOUR),
            user(1, release="e"),
            session(release="f", project_id=3),
            session(release=None),
        ]
    )
    names = [*"abcdef", "a", "unheard-of"]
    window = {"start": NOON + HOUR / 2, "end": NOON + HOUR * 2.5}
    ask = opened.check_releases_have_health_data
    assert ask([1, 2], names, **window) == {"a", "b"}
    assert ask([1, 2], iter("ab"), **window) == {"a", "b"}
    assert ask([2], names, **window) == {"b"}
    assert ask([], names, **window) == ask([1], [], **window) == set()
    assert ask([1], names, start=NOON + HOUR, end=NOON + HOUR) == set()


def test_pairs_changed_in_three_days(health: Callable[..., ReleaseHealth]) -> None:
    """From the hour that was 72 hours ago."""
    start = NOON - timedelta(hours=72)
    opened = health(
        [
            session(release="a", timestamp=start),
            session(release="b", timestamp=start - timedelta(microseconds=1)),
            session(release="c", project_id=2, timestamp=NOON + HOUR - timedelta(microseconds=1)),
            session(release="d", timestamp=NOON + HOUR),
            session(release=None),
            user(1, release="e"),
        ]
    )
    assert opened.changed_project_releases([1, 2], now=HALF_PAST) == {(1, "a"), (2, "c")}
    assert opened.changed_project_releases([2], now=HALF_PAST) == {(2, "c")}
    assert opened.changed_project_releases([], now=HALF_PAST) == set()


def test_oldest_data_and_bounds_are_hours(health: Callable[..., ReleaseHealth]) -> None:
    """The first is only of counters; both look 90 full days back."""
    midnight = NOON.replace(hour=0)
    first = midnight - timedelta(days=90)
    opened = health(
        [
            session(timestamp=first - timedelta(microseconds=1)),
            duration(5.0, timestamp=first),
            session(timestamp=NOON - timedelta(minutes=5), environment="beta"),
            session(timestamp=HALF_PAST),
            duration(5.0, timestamp=midnight + timedelta(hours=23.5)),
            user(1, release="b"),
        ]
    )
    pair = (1, RELEASE)
    unheard_of = (1, "unheard-of")
    found = opened.oldest_health_data([pair, (1, "b"), (2, RELEASE)], now=HALF_PAST)
    assert found == {pair: NOON - HOUR}
    assert opened.oldest_health_data([], now=HALF_PAST) == {}
    bounds = opened.session_time_bounds(*pair, now=HALF_PAST)
    assert bounds == {
        "sessions_lower_bound": first,
        "sessions_upper_bound": midnight + timedelta(hours=23),
    }
    bounds = opened.session_time_bounds(*pair, environments=["beta"], now=HALF_PAST)
    assert set(bounds.values()) == {NOON - HOUR}
    for nothing in (unheard_of, (1, "b")):
        assert opened.session_time_bounds(*nothing, now=HALF_PAST) == {
            "sessions_lower_bound": None,
            "sessions_upper_bound": None,
        }


@pytest.mark.parametrize(
    ("age", "days"),
    [
        (timedelta(), [0]),
        (DAY / 2, [0.5]),
        (DAY, [1]),
        (DAY * 1.5, [1]),  # now would be but half a day later, and two days no more than one
        (DAY * 2, [1, 2]),  # it is now already
        (DAY * 2.5, [1, 2, 2.5]),  # the last is now, in the place of seven days
        (DAY * 7, [1, 2, 7]),
        (DAY * 13, [1, 2, 7, 13]),
        (DAY * 14, [1, 2, 7, 14]),
        (DAY * 29, [1, 2, 7, 14, 29]),
        (DAY * 30, [1, 2, 7, 14, 30]),
        (DAY * 99, [1, 2, 7, 14, 30]),
        (-DAY, []),  # it begins only after now
    ],
    ids=str,
)
def test_ages_of_a_breakdown(data: list[Data], age: timedelta, days: list[float]) -> None:
    start = NOW - age
    points = data[0].health.crash_free_breakdown(1, RELEASES[0], start=start, now=NOW)
    assert [point["date"] for point in points] == [start + DAY * number for number in days]


def test_a_breakdown_adds_up(health: Callable[..., ReleaseHealth]) -> None:
    """User 1 of both days is one; on the first day 1 of 2 sessions crashed, of both 1 of 5."""
    opened = health(
        [
            *(session(), session(), session("crashed"), user(1), user(1, "crashed")),
            session(value=3.0, timestamp=NOON + DAY * 1.5),
            *(user(number, timestamp=NOON + DAY * 1.5) for number in (1, 2)),
            session(value=8.0, timestamp=NOON + DAY * 3),
            session(value=8.0, timestamp=NOON - HOUR),
            session(value=8.0, environment="beta"),
        ]
    )
    asked_of: Row = {"start": HALF_PAST, "now": NOON + DAY * 2.5, "environments": [""]}
    points = opened.crash_free_breakdown(1, RELEASE, **asked_of)
    assert [list(point.values()) for point in points] == [
        [HALF_PAST + DAY, 1, 0.0, 2, 50.0],
        [HALF_PAST + DAY * 2, 2, 50.0, 5, 80.0],
        [NOON + DAY * 2.5, 2, 50.0, 5, 80.0],
    ]
    assert list(points[0]) == [
        *("date", "total_users", "crash_free_users", "total_sessions", "crash_free_sessions"),
    ]
    points = opened.crash_free_breakdown(1, "unheard-of", start=NOON, now=NOON + DAY)
    assert [list(point.values())[1:] for point in points] == [[0, None, 0, None]]


def test_crash_free_rates_of_projects(health: Callable[..., ReleaseHealth]) -> None:
    """Windows are widened to the interval; the answer has every requested project."""
    opened = health(
        [
            session(value=4.0),
            session("crashed"),
            session(value=2.0, timestamp=NOON - DAY),
            session(value=1.0, project_id=2),
            session("crashed", value=3.0, project_id=2),
            session("crashed", project_id=3),
        ]
    )
    windows: Row = {"current": (HALF_PAST, NOON + HOUR), "previous": (NOON - DAY, HALF_PAST - DAY)}
    rates = opened.crash_free_rates([1, 2, 3, 4], **windows)
    assert rates == {
        1: {"current": 75.0, "previous": 100.0},
        2: {"current": 0.0, "previous": None},
        3: {"current": None, "previous": None},
        4: {"current": None, "previous": None},
    }
    assert opened.crash_free_rates([1], **windows, interval=60)[1]["current"] is None
    assert opened.crash_free_rates([], **windows) == {}


def test_sessions_of_projects(health: Callable[..., ReleaseHealth]) -> None:
    opened = health(
        [
            session(value=4.0),
            session(value=2.0, release=None, environment="beta"),
            session(value=8.0, timestamp=NOON + HOUR),
            session(value=3.0, project_id=2),
            session("crashed", project_id=3),
            session(value=0.0, project_id=4),
        ]
    )
    hour: Row = {"start": NOON, "end": HALF_PAST}
    assert opened.sessions_count(1, **hour) == 6
    assert opened.sessions_count(1, **hour, environments=["beta"]) == 2
    assert opened.sessions_count(1, **hour, interval=86_400) == 14
    assert opened.sessions_count(5, **hour) == 0
    assert opened.sessions_per_project([2, 1, 3, 4, 5], **hour) == {1: 6, 2: 3}
    assert opened.sessions_per_project([], **hour) == {}


def test_stability(health: Callable[..., ReleaseHealth]) -> None:
    """Most or worst first; ties by project and release; releases without such data are absent."""
    opened = health(
        [
            *(session(value=5.0, release="b"), session("crashed", release="b")),
            *(session(value=5.0, release="a"), session(value=9.0, release="c")),
            session(value=5.0, release="z", project_id=0),
            session(value=10.0, release="old", timestamp=NOON - 2 * DAY),
            session(value=99.0, release=None),
            session("crashed", release="d"),
            *(user(number, release="a") for number in range(3)),
            *(user(number, release="b") for number in range(3)),
            *(user(0, "crashed", release="a"), user(7, release="u")),
        ]
    )
    ask = opened.releases_by_stability
    assert ask(now=HALF_PAST) == [(1, "c"), (0, "z"), (1, "a"), (1, "b")]
    assert ask(scope="users", now=HALF_PAST) == [(1, "a"), (1, "b"), (1, "u")]
    assert ask(scope="crash_free_sessions", now=HALF_PAST) == [
        *((1, "b"), (0, "z"), (1, "a"), (1, "c")),
    ]
    assert ask(scope="crash_free_users", now=HALF_PAST) == [(1, "a"), (1, "b"), (1, "u")]
    assert ask(period="7d", now=HALF_PAST)[:2] == [(1, "old"), (1, "c")]
    assert ask(scope="sessions_24h", period="7d", now=HALF_PAST)[0] == (1, "c")
    assert ask([0], now=HALF_PAST) == [(0, "z")]
    assert ask([0, 1], now=HALF_PAST, offset=1, limit=2) == [(0, "z"), (1, "a")]
    assert ask(now=HALF_PAST, offset=4) == []
    assert opened.releases_count(now=HALF_PAST) == 4
    assert opened.releases_count([1], scope="crash_free_users", now=HALF_PAST) == 3


def test_stats_of_a_release(health: Callable[..., ReleaseHealth]) -> None:
    """The first bucket is the one after the start; totals begin there too."""
    opened = health(
        [
            session(value=99.0),
            session(value=5.0, timestamp=NOON + HOUR),
            session(value=2.0, timestamp=NOON + 2 * HOUR),
            session("crashed", timestamp=NOON + 2 * HOUR),
            *(error(number, timestamp=NOON + 2 * HOUR) for number in (1, 2)),
            *(user(1, timestamp=NOON + HOUR * number) for number in range(3)),
            user(1, "errored", timestamp=NOON + 2 * HOUR),
            *(duration(seconds, timestamp=NOON + HOUR) for seconds in (0.0, 100.0)),
            session(value=99.0, timestamp=NOON + 3 * HOUR),
        ]
    )
    asked_of: Row = {"start": HALF_PAST, "end": NOON + HOUR * 2.5}
    series, totals = opened.release_stats(1, RELEASE, **asked_of)
    names = ["", "_healthy", "_errored", "_crashed", "_abnormal", "_unhandled"]
    sessions = [f"sessions{name}" for name in names]
    at = [1_772_456_400, 1_772_460_000]  # 13:00 and 14:00
    assert series == [
        (
            at[0],
            dict(zip(sessions, (5, 5, 0, 0, 0, 0), strict=True))
            | {"duration_p50": 50.0, "duration_p90": 90.0},
        ),
        (
            at[1],
            dict(zip(sessions, (2, 0, 1, 1, 0, 0), strict=True))
            | {"duration_p50": None, "duration_p90": None},
        ),
    ]
    assert totals == dict(zip(sessions, (7, 5, 1, 1, 0, 0), strict=True))
    series, totals = opened.release_stats(1, RELEASE, stat="users", **asked_of)
    users = [f"users{name}" for name in names]
    assert totals == dict(zip(users, (1, 0, 1, 0, 0, 0), strict=True))
    assert [figures["users_healthy"] for _, figures in series] == [1, 0]
    assert [figures["duration_p50"] for _, figures in series] == [50.0, None]
    assert opened.release_stats(1, RELEASE, start=HALF_PAST, end=NOON + HOUR) == (
        [],
        dict.fromkeys(sessions, 0),
    )
    series, totals = opened.release_stats(1, "unheard-of", interval=86_400, **asked_of)
    assert series == []
    series, _ = opened.release_stats(1, RELEASE, interval=1800, **asked_of)
    assert [start for start, _ in series] == [at[0] + 1800 * number for number in range(3)]
    most: Row = {"start": NOON, "end": NOON + timedelta(seconds=10_001)}
    assert len(opened.release_stats(1, RELEASE, interval=1, **most)[0]) == 10_000


def test_the_old_name_of_the_interval(health: Callable[..., ReleaseHealth]) -> None:
    opened: Any = health([session(value=4.0), session(value=8.0, timestamp=NOON + HOUR)])
    span: Row = {"start": NOON, "end": HALF_PAST}
    with pytest.warns(DeprecationWarning, match="rollup is called interval now"):
        assert opened.sessions_count(1, **span, rollup=86_400) == 12


# Refusals, which need no data.

SPAN: Row = {"start": NOON, "end": NOON + HOUR}
RATES: Row = {"current": (NOON, NOON + HOUR), "previous": (NOON, NOON + HOUR)}
GOOD: dict[str, tuple[tuple[Any, ...], Row]] = {
    "check_releases_have_health_data": (([1], [RELEASE]), SPAN),
    "changed_project_releases": (([1],), {"now": HALF_PAST}),
    "oldest_health_data": (([(1, RELEASE)],), {"now": HALF_PAST}),
    "session_time_bounds": ((1, RELEASE), {"now": HALF_PAST}),
    "crash_free_breakdown": ((1, RELEASE), {"start": NOON, "now": HALF_PAST}),
    "crash_free_rates": (([1],), RATES),
    "sessions_count": ((1,), SPAN),
    "sessions_per_project": (([1],), SPAN),
    "releases_by_stability": (([1],), {"now": HALF_PAST}),
    "releases_count": (([1],), {"now": HALF_PAST}),
    "release_stats": ((1, RELEASE), {"start": NOON - HOUR, "end": NOON + HOUR}),
    "query": ((["sum(session)"],), {"now": HALF_PAST}),
}
OF_PROJECTS = [name for name, (args, _) in GOOD.items() if args[0] == [1]]
OF_A_PAIR = [name for name, (args, _) in GOOD.items() if args == (1, RELEASE)]
OF_A_SPAN = [name for name, (_, keywords) in GOOD.items() if "end" in keywords]
OF_ENVIRONMENTS = [
    *OF_A_PAIR,
    *("sessions_count", "sessions_per_project", "releases_by_stability", "releases_count", "query"),
]
ROLLED_UP = ["crash_free_rates", "sessions_count", "sessions_per_project", "release_stats"]


WHOLE = "expected a whole number of 64 bits"
Refusal: TypeAlias = "tuple[str, str, tuple[Any, ...], Row]"


def of_projects() -> Iterator[Refusal]:
    """A question's name, the message, and the arguments that differ from the good ones."""
    for name in OF_PROJECTS:
        others = GOOD[name][0][1:]
        yield name, f"project '1': {WHOLE}", (["1"], *others), {}
        yield name, f"project True: {WHOLE}", ([True], *others), {}
        yield name, f"project {2**63}: {WHOLE}", ([1, 2**63], *others), {}
        yield name, f"project None: {WHOLE}", ([None], *others), {}
        yield name, f"project '1': {WHOLE}", ("12", *others), {}
        yield name, "expected several ids", (1, *others), {}
    yield "sessions_count", f"project '1': {WHOLE}", ("1",), {}


PAGES: list[tuple[str, Row]] = [
    ("limit 0: expected 1 or more", {"limit": 0}),
    ("limit -1: expected 1 or more", {"limit": -1}),
    *((f"limit {one!r}: expected a whole number", {"limit": one}) for one in ("1", 1.5, True, [1])),
    ("offset -1: expected 0 or more", {"offset": -1, "limit": 3}),
    *((f"offset {one!r}: expected a whole number", {"offset": one}) for one in ("1", 1.5, None)),
]


def of_stability() -> Iterator[Refusal]:
    for name in ("releases_by_stability", "releases_count"):
        yield name, "projects: none named; leave the filter out to ask for all", ([],), {}
        for scope in ("", "crashes", "session", "sessions_48h", "sessions_24h_24h", "_24h"):
            yield name, f"unknown scope {scope!r}: expected one of sessions, ", (), {"scope": scope}
        for period in ("", "2x", "24", "1w"):
            yield name, f"unknown period {period!r}: expected hours", (), {"period": period}
    yield from (("releases_by_stability", told, (), page) for told, page in PAGES)


def of_releases() -> Iterator[Refusal]:
    for name in OF_A_PAIR:
        yield name, f"project '1': {WHOLE}", ("1", RELEASE), {}
        for release in ("", "a\n", "a\tb"):
            told = f"release {release!r}: expected a name without newline or tab, and not"
            yield name, told, (1, release), {}
        yield name, "release None: expected text", (1, None), {}
        yield name, "not UTF-8", (1, "\ud800"), {}
    releases = "check_releases_have_health_data"
    yield releases, "release '': expected a name", ([1], [""]), {}
    yield releases, "release 5: expected text", ([1], [5]), {}
    yield releases, "releases: expected several names, not one text", ([1], RELEASE), {}
    yield releases, "releases 5: expected several names", ([1], 5), {}
    for pairs in ([RELEASE], (1, RELEASE), [(1, RELEASE, "beta")]):
        yield "oldest_health_data", "expected a pair (project, release)", (pairs,), {}
    yield "oldest_health_data", "pairs: expected several pairs, not one text", (RELEASE,), {}
    yield "oldest_health_data", "pairs 5: expected several pairs", (5,), {}
    yield "oldest_health_data", "pairs None: expected several pairs", (None,), {}
    yield "query", "releases 5: expected several names", (), {"releases": 5}
    yield "oldest_health_data", "not empty", ([(1, "")],), {}


def of_environments() -> Iterator[Refusal]:
    for name in OF_ENVIRONMENTS:
        told = "environments: expected several names, not one text"
        yield name, told, (), {"environments": "beta"}
        yield name, "environments: none named; leave the filter out", (), {"environments": []}
        yield name, "environments 5: expected several names", (), {"environments": 5}
        yield name, "environment None: expected text", (), {"environments": ["beta", None]}
        yield name, "environment ['beta']: expected text", (), {"environments": [["beta"]]}


def of_time() -> Iterator[Refusal]:
    for name in OF_A_SPAN:
        yield name, "before it starts", (), {"start": NOON + HOUR, "end": NOON}
        yield name, "'soon' is not an instant", (), {"start": "soon"}
        yield name, "None is not an instant", (), {"end": None}
        for part in ("start", "end"):
            told = "'latest' is not an instant: expected ISO 8601 such as 2026-11-18T10:32:15Z"
            yield name, f"{told}$", (), {part: "latest"}
        yield name, "out of range: expected a year from 1971", (), {"start": "1066-10-14"}
    for part in ("current", "previous"):
        yield "crash_free_rates", "before it starts", (), {part: (NOON + HOUR, NOON)}
        yield "crash_free_rates", "'soon' is not an instant", (), {part: (NOON, "soon")}
        for window in ((NOON,), (NOON, NOON, NOON), 5, None, "24h"):
            told = f"{part} {window!r}: expected a window (start, end)"
            yield "crash_free_rates", told, (), {part: window}
    yield "crash_free_breakdown", "'soon' is not an instant", (), {"start": "soon"}
    for name in (name for name, (_, keywords) in GOOD.items() if "now" in keywords):
        yield name, "'soon' is not an instant", (), {"now": "soon"}


def of_intervals_and_stats() -> Iterator[Refusal]:
    for name in ROLLED_UP:
        for interval in (0, -3600, 7, 86_401, 2 * 86_400, True, 3600.0, "1h", None):
            told = f"interval {interval!r}: expected whole seconds that divide a day"
            yield name, told, (), {"interval": interval}
    for seconds, interval, buckets in ((10_001, 1, "10,001"), (90 * 86_400, 10, "777,600")):
        told = (
            f"{buckets} buckets of {interval} s: at most 10,000; ask for longer ones or a shorter"
        )
        span = {"start": NOON, "end": NOON + timedelta(seconds=seconds + interval)}
        yield "release_stats", told, (), {**span, "interval": interval}
    for stat in ("", "crashes", "session", None):
        told = f"unknown stat {stat!r}: expected one of sessions, users"
        yield "release_stats", told, (), {"stat": stat}


REFUSED = [
    *of_projects(),
    *of_stability(),
    *of_releases(),
    *of_environments(),
    *of_time(),
    *of_intervals_and_stats(),
]


@pytest.mark.parametrize(
    ("name", "told", "args", "keywords"),
    REFUSED,
    ids=[f"{name}-{number}" for number, (name, *_) in enumerate(REFUSED)],
)
def test_what_cannot_be_asked_is_refused_before_any_file_is_sought(
    name: str, told: str, args: tuple[Any, ...], keywords: Row
) -> None:
    good, others = GOOD[name]
    to_the_end = told.endswith("$")
    match = re.escape(told.removesuffix("$")) + to_the_end * "$"
    with ReleaseHealth(NOWHERE) as health, pytest.raises(QuestionError, match=match):
        getattr(health, name)(*(args or good), **{**others, **keywords})


def test_every_question_has_refusals() -> None:
    assert {name for name, *_ in REFUSED} == set(GOOD) == {*QUESTIONS, "query"}


@pytest.mark.parametrize("name", GOOD)
def test_rows_that_cannot_count_are_refused_when_strict(
    name: str, health: Callable[..., ReleaseHealth]
) -> None:
    args, keywords = GOOD[name]
    given_rows = [session(), session(value=0.5)]
    getattr(health(given_rows), name)(*args, **keywords)
    with pytest.raises(DataError, match="1 invalid row: session counter not a whole number"):
        getattr(health(given_rows, strict=True), name)(*args, **keywords)
    # An invalid row that the question does not look at has no effect.
    elsewhere = [session(), session(value=0.5, timestamp=NOON - timedelta(days=300))]
    getattr(health(elsewhere, strict=True), name)(*args, **keywords)


@pytest.mark.parametrize("name", GOOD)
def test_projects_of_several_organisations_are_refused(
    name: str, health: Callable[..., ReleaseHealth]
) -> None:
    """With a named organisation, the answer is as if there were no other."""
    args, keywords = GOOD[name]
    own = [session(org_id=1), user(1, org_id=1)]
    given_rows = [*own, session("crashed", org_id=2, value=7.0), user(2, "crashed", org_id=2)]
    with pytest.raises(QuestionError, match="span organisations 1, 2: name one with --org"):
        getattr(health(given_rows), name)(*args, **keywords)
    found = getattr(health(given_rows, org=1), name)(*args, **keywords)
    wanted = getattr(health(own), name)(*args, **keywords)
    assert getattr(found, "groups", found) == getattr(wanted, "groups", wanted)
