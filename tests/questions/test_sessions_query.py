"""The sessions query: against the plain-Python reference, by laws, and what is refused."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import reference
import rows
from reference import DURATIONS, ERRORS, FIELDS, KEYS, SESSIONS, STATUS, STATUSES, USERS
from relhealth import QuestionError, ReleaseHealth
from rows import NOON, duration, error, session, user
from sessions import metric_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from reference import Row
    from relhealth.questions.sessions_query import SessionsGroup

pytestmark = pytest.mark.usefixtures("over")

Ask: TypeAlias = Callable[..., Any]

NOW = datetime(2026, 3, 10, 12, 30, 15, tzinfo=UTC)
NOWS = [
    NOW,
    NOW.replace(minute=0, second=0),
    NOW.replace(minute=0, second=0, microsecond=1),
    NOW.replace(minute=59, second=59, microsecond=999_999),
    NOW - timedelta(hours=5),
    NOW - timedelta(days=2),
    NOW + timedelta(days=40),
    NOW - timedelta(days=400),  # before any session
]
PROJECTS = [1, 2, 2**40]
RELEASES = ["app@1.0.0", "app@1.0.0+2", "APP@1.0.0", "'; DROP TABLE rows; --", "健康@二", ""]
ENVIRONMENTS = ["production", "Production", "none", "prod'uction", ""]
FILTERS: dict[str, list[Any]] = {
    "projects": PROJECTS,
    "releases": RELEASES,
    "environments": ENVIRONMENTS,
}
# Periods by interval, for which a question has few intervals.
PERIODS = {
    "10s": ["30s", "10m"],
    "5m": ["90m", "7m"],
    "15m": ["1h", "6h"],
    "1h": ["24h", "48h", "1h"],
    "6h": ["7d", "1d"],
    "1d": ["1d", "14d", "4w", "90d"],
}
RATES = [field for field in FIELDS if "rate" in field]
TIMES = [field for field in FIELDS if "duration" in field]
SUBJECTS = ("session", "user")
OTHERS = sorted(set(STATUSES) - {"healthy"})
# Durations in seconds whose means are exact in doubles, so that ranks by them agree.
SECONDS = [0.0, -0.0, 0.25, 0.5, 30.0, 60.0, 60.0, 3600.25, 1e6]

derandomized = settings(derandomize=True, phases=[Phase.generate])
# Questions are drawn from these; Hypothesis' own choices would favour the plainest ones.
randoms = st.randoms(use_true_random=True)


def random_rows(random: Random, count: int) -> list[Row]:
    """Rows of any kind, some invalid, at and near the windows' edges."""
    spans = [600, 6 * 3600, 48 * 3600, 9 * 86_400, 91 * 86_400]
    edges = [now.replace(minute=0, second=0, microsecond=0) for now in NOWS[:7]] + NOWS[:7]
    offsets = [0, -1, 1, -10_000_000, 3_600_000_000, 3_599_999_999, -86_400_000_000]

    def at() -> datetime:
        if random.randint(0, 3) == 0:
            return random.choice(edges) + timedelta(microseconds=random.choice(offsets))
        back = int(random.random() * random.choice(spans)) // 10 * 10
        return NOW.replace(second=10) - timedelta(seconds=back)

    def row() -> Row:
        metric = random.choice([SESSIONS] * 4 + [USERS] * 4 + [ERRORS, DURATIONS] * 2 + ["other"])
        status = random.choice(["init"] * 3 + ["errored_preaggr", "exited", None, *STATUSES])
        values = [0.0, 1.0, 1.0, 2.0, 17.0] if metric == SESSIONS else SECONDS
        flawed = random.randint(0, 12) == 0
        return {
            "org_id": 1,
            "project_id": random.choice(PROJECTS),
            "timestamp": at(),
            "metric": metric,
            "release": random.choice([None, *RELEASES]),
            "environment": random.choice([None, *ENVIRONMENTS]),
            "session_status": "exited" if metric == DURATIONS and random.random() < 0.7 else status,
            "abnormal_mechanism": random.choice(
                [None, "anr_foreground", "anr_background", "ANR_foreground"]
            ),
            "value": random.choice([None, math.nan, -1.0, 2.0**32 + 1] if flawed else values),
            "member": None if flawed else random.choice([0, 1, 2, 3, 2**53, 2**53 + 1, 2**64 - 1]),
        }

    return [row() for _ in range(count)]


def sound_rows(random: Random, count: int) -> list[Row]:
    """What a relay emits for so many sessions, each in one update."""
    updates = []
    for number in range(count):
        status = random.choice(["ok", "ok", "exited", "exited", "crashed", "abnormal", "unhandled"])
        started = NOW - timedelta(seconds=random.random() ** 2 * 3 * 86_400)
        updates.append(
            {
                "org_id": 1,
                "project_id": random.choice(PROJECTS),
                "session_id": f"session {number}",
                "seq": 0,
                "started": started.isoformat(),
                "status": status,
                "errors": random.choice([0, 0, 0, 1]),
                "distinct_id": random.choice([None, *"abcdefghijklm"]),
                "release": random.choice(RELEASES),
                "environment": random.choice(ENVIRONMENTS),
                "abnormal_mechanism": random.choice(["anr_foreground", "anr_background", None]),
                "duration": random.choice([None, *SECONDS]),
            }
        )
    emitted = metric_rows(updates)
    counts = {"init": 9.0, "errored_preaggr": 4.0, "crashed": 1.0, "abnormal": 2.0}
    at = {"timestamp": NOW - timedelta(hours=1), "project_id": 2, "release": RELEASES[0]}
    return emitted + [session(status, value=n, **at) for status, n in counts.items()]


class Data(NamedTuple):
    """Rows, and the product opened over a file of them."""

    rows: list[Row]
    health: ReleaseHealth

    def __repr__(self) -> str:
        """Short, for the message of a failing example."""
        return f"<{len(self.rows)} rows>"


def opened(tmp_path_factory: pytest.TempPathFactory, given_rows: list[Row]) -> Data:
    path = tmp_path_factory.mktemp("query") / "rows.parquet"
    rows.write(path, given_rows, row_group_size=100)
    return Data(given_rows, ReleaseHealth(path, threads=1))


@pytest.fixture(scope="module")
def data(
    over: None,  # noqa: ARG001 - anew over each
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[list[Data]]:
    """Data sets: of any rows, of what a relay emits, of both, and of hardly any."""
    random = Random(20260310)
    sets = [
        random_rows(random, 700),
        sound_rows(random, 250),
        random_rows(random, 150) + sound_rows(random, 60),
        random_rows(random, 12),
    ]
    found = [opened(tmp_path_factory, one) for one in sets]
    yield found
    for one in found:
        one.health.close()


def some(random: Random, values: list[Any]) -> list[Any] | None:
    """No filter, or a few of the values."""
    return None if random.random() < 0.75 else random.sample(values, random.randint(1, 3))


def random_span(random: Random) -> Row:
    """An interval and a window: a period up to now, or a start and an end."""
    interval = random.choice(list(PERIODS))
    period = random.choice(PERIODS[interval])
    now = random.choice([*NOWS[:6], *NOWS])
    if random.random() < 0.5:
        return {"interval": interval, "period": period, "now": now}
    off = random.choice([0, 1, -1, 10_000_000, 1_234_567_890])
    start = now + timedelta(microseconds=off - reference.length(period))
    return {"interval": interval, "start": start, "end": max(start, now), "now": NOW}


def random_question(random: Random) -> Row:
    """Any question that is not refused."""
    group_by = random.sample(KEYS, random.choice([0, 1, 1, 2, 2, 3, 4]))
    statuses = some(random, [*STATUSES, "exited"])
    kept = None if statuses is None else set(statuses) & set(STATUSES)
    askable = list(FIELDS)
    if STATUS in group_by or statuses is not None:
        askable = [field for field in FIELDS if field not in RATES]
    if kept and len(kept) > 1 and STATUS not in group_by:
        askable.remove("count_unique(user)")
    fields = random.sample(askable, random.randint(1, 4))
    orders = [field for field in fields if is_orderable(field, group_by, kept)]
    ordered = orders and random.random() < 0.5
    return {
        "fields": fields,
        "group_by": group_by,
        "projects": some(random, [*PROJECTS, 999]),
        "releases": some(random, [*RELEASES, "unheard-of"]),
        "environments": some(random, [*ENVIRONMENTS, "unheard-of"]),
        "statuses": statuses,
        "order_by": random.choice(["", "-"]) + random.choice(orders) if ordered else None,
        "limit": random.choice([None, None, 1, 3, 7]),
        "offset": random.choice([0, 0, 1, 4]),
        **random_span(random),
    }


def is_orderable(field: str, group_by: list[str], kept: set[str] | None) -> bool:
    if STATUS in group_by:
        return False
    if not kept:
        return True
    return "healthy" in kept if field in TIMES else len(kept) == 1 and kept <= set(STATUSES[2:])


@pytest.mark.parametrize("cases", [25, pytest.param(150, marks=pytest.mark.slow)])
def test_reference_and_product_agree(data: list[Data], cases: int) -> None:
    compared = 0

    @settings(derandomized, max_examples=cases)
    @given(randoms)
    def check(random: Random) -> None:
        nonlocal compared
        compared += check_question(random.choice(data), random_question(random))

    check()
    assert compared > 40 * cases


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_in_every_group(data: list[Data], field: str) -> None:
    """Each field by each key and by none; by status and with each filter, if requested."""
    asked: list[Row] = [{}, *({"group_by": [key]} for key in KEYS[:3])]
    if field not in RATES:
        asked += [{"group_by": [STATUS]}, {"group_by": [STATUS, "release"]}]
        asked += [
            {"statuses": [status]} for status in (STATUSES[:1] if field in TIMES else STATUSES)
        ]
    spans = [{"period": "24h", "interval": "1h"}, {"period": "90d", "interval": "1d"}]
    for number, keywords in enumerate(asked):
        question = {"fields": [field], "now": NOW, **spans[number % 2], **keywords}
        assert check_question(data[number % 3], question)


def check_question(one: Data, question: Row) -> int:
    """Compare the answer with the reference's; return how many figures were compared."""
    answer = one.health.query(**question)
    whole = reference.query(one.rows, **question | {"limit": None, "offset": 0})
    expected = whole | {"groups": page(whole["groups"], **question)}
    assert (answer.start, answer.end) == (expected["start"], expected["end"])
    assert list(answer.intervals) == expected["intervals"]
    assert [group.by for group in answer.groups] == [group["by"] for group in expected["groups"]]
    assert answer.left_out == len(whole["groups"]) - len(expected["groups"])
    figures = 0
    for found, wanted in zip(answer.groups, expected["groups"], strict=True):
        assert list(found.by) == list(wanted["by"])
        assert list(found.totals) == list(found.series) == list(question["fields"])
        for field in question["fields"]:
            values = [found.totals[field], *found.series[field]]
            others = [wanted["totals"][field], *wanted["series"][field]]
            assert len(values) == len(others)
            for value, other in zip(values, others, strict=True):
                assert agrees(value, other), (found.by, field, value, other)
            figures += len(values)
    return figures


def page(groups: list[Row], *, limit: int | None = None, offset: int = 0, **_: Any) -> list[Row]:
    """Return the groups that are asked for."""
    return groups[offset : None if limit is None else offset + limit]


def agrees(value: float | None, other: float | None) -> bool:
    if not isinstance(other, float):
        return type(value) is type(other) and value == other
    # A share near 0 is what is left of 1 and keeps the rounding of that.
    return type(value) is float and math.isclose(value, other, rel_tol=1e-12, abs_tol=1e-15)


def test_awkward_durations(tmp_path: Path) -> None:
    """Each release has durations that doubles add up badly, of very different sizes."""
    random = Random(1)
    seconds = [0.1, 1 / 3, 1e-300, 2.0**-50, 1e9 + 0.1, 2.0**40, 2.0**41 + 1, 1e300, 12.7]
    given_rows = [
        duration(random.choice(pool), release=f"app@{number}")
        for number in range(60)
        for pool in [random.sample(seconds, random.randint(1, 6))]
        for _ in range(random.randint(1, 40))
    ]
    with ReleaseHealth(rows.write(tmp_path / "rows.parquet", given_rows)) as health:
        asked: Row = {"fields": TIMES, "group_by": ["release"], "now": NOON + timedelta(hours=1)}
        groups: Any = health.query(**asked).groups
        answer = {group.by["release"]: group.totals for group in groups}
    for group in reference.query(given_rows, **asked)["groups"]:
        found = answer.pop(group["by"]["release"])
        for field, value in group["totals"].items():
            # The mean is in units of 2^-50 s.
            assert math.isclose(found[field], value, rel_tol=1e-9, abs_tol=2**-50), (group, found)
    assert not answer


# Laws for any data.


def asking(one: Data, fields: list[str], question: Row) -> Ask:
    """The query for these fields, which takes the other arguments."""
    return partial(one.health.query, fields, **question)


def points(group: Any, field: str) -> list[Any]:
    """The total of a field, and then its series."""
    return [group.totals[field], *group.series[field]]


@settings(derandomized, max_examples=20)
@given(randoms)
def test_statuses_add_up(data: list[Data], random: Random) -> None:
    """To all of them where errors include all that ended badly, and to no less elsewhere."""
    one = random.choice(data)
    keys = random.sample(KEYS[:3], random.randint(0, 2))
    ask = asking(one, ["sum(session)", "count_unique(user)"], random_span(random))
    whole = {tuple(group.by.values()): group for group in ask(group_by=keys).groups}
    answer = ask(group_by=[*keys, STATUS])
    parts: dict[tuple[Any, ...], dict[Any, SessionsGroup]] = {}
    for group in answer.groups:
        *key, status = group.by.values()
        parts.setdefault(tuple(key), {})[status] = group
    assert whole.keys() <= parts.keys()
    for key, by_status in parts.items():
        assert set(by_status) == set(STATUSES)
        for field in ("sum(session)", "count_unique(user)"):
            # Groups with only errors appear only by status.
            nothing = [0] * (len(answer.intervals) + 1)
            totals = points(whole[key], field) if key in whole else nothing
            columns = [points(by_status[status], field) for status in STATUSES]
            for total, (healthy, errored, *others) in zip(
                totals, zip(*columns, strict=True), strict=True
            ):
                assert healthy + errored + sum(others) >= total
                if (healthy and errored) or (one is data[1] and field == "sum(session)"):
                    assert healthy + errored + sum(others) == total


@settings(derandomized, max_examples=20)
@given(randoms)
def test_sessions_of_groups_add_up(data: list[Data], random: Random) -> None:
    """By any keys, in the totals and in every interval; and intervals add up to the totals."""
    one = random.choice(data)
    keys = random.sample(KEYS[:3], random.randint(1, 3))
    ask = asking(one, ["sum(session)"], random_span(random))
    (whole,) = ask().groups
    groups = ask(group_by=keys).groups
    assert sum(group.totals["sum(session)"] for group in groups) == whole.totals["sum(session)"]
    columns = zip(*(group.series["sum(session)"] for group in groups), strict=True)
    assert [sum(column) for column in columns] == (
        list(whole.series["sum(session)"]) if groups else []
    )
    assert sum(whole.series["sum(session)"]) == whole.totals["sum(session)"]


@settings(derandomized, max_examples=20)
@given(randoms)
def test_users_are_distinct_in_each_total(data: list[Data], random: Random) -> None:
    """The users of all are at most those of the parts together, and at least those of any part."""
    one = random.choice(data)
    key = random.choice(KEYS[:3])
    ask = asking(one, ["count_unique(user)"], random_span(random))
    (whole,) = ask().groups
    total = whole.totals["count_unique(user)"]
    for parts in (
        [group.totals["count_unique(user)"] for group in ask(group_by=[key]).groups],
        whole.series["count_unique(user)"],
    ):
        assert max(parts, default=0) <= total <= sum(parts)


@settings(derandomized, max_examples=15)
@given(randoms)
def test_a_filter_leaves_its_group(data: list[Data], random: Random) -> None:
    """A filter by a key's value gives the figures of its group; absent groups have no sessions."""
    one = random.choice(data)
    names = random.choice(list(FILTERS))
    value = random.choice(FILTERS[names])
    fields = random.sample(FIELDS, random.randint(1, 5))
    ask = asking(one, fields, random_span(random))
    (alone,) = ask(**{names: [value]}).groups
    of_key = [g for g in ask(group_by=[names[:-1]]).groups if g.by == {names[:-1]: value}]
    if of_key:
        assert (of_key[0].totals, of_key[0].series) == (alone.totals, alone.series)
    else:
        assert not any(alone.totals.values())


@settings(derandomized, max_examples=15)
@given(randoms)
def test_pages_make_all_groups(data: list[Data], random: Random) -> None:
    """Pages of any size follow one another."""
    question = random_question(random) | {"limit": None, "offset": 0}
    page = random.choice([3, 7, 20])
    ask = asking(random.choice(data), question.pop("fields"), question)
    whole = ask().groups
    found: list[SessionsGroup] = []
    for offset in range(0, len(whole), page):
        answer = ask(limit=page, offset=offset)
        assert answer.left_out == len(whole) - len(answer.groups)
        found += answer.groups
    same = tuple(found) == whole  # separate, because pytest is slow to compare long ones
    assert same
    assert ask(limit=page, offset=len(whole)).groups == ()


@settings(derandomized, max_examples=15)
@given(randoms)
def test_an_interval_is_a_window_of_its_own(data: list[Data], random: Random) -> None:
    """Each field in an interval is what it is in total over just that interval."""
    one = random.choice(data)
    fields = random.sample(FIELDS, random.randint(1, 5))
    span = random_span(random)
    answer = one.health.query(fields, **span)
    number = random.choice([0, len(answer.intervals) // 2, -1])
    start = answer.intervals[number]
    width = timedelta(microseconds=reference.length(span["interval"]))
    (alone,) = one.health.query(
        fields, start=start, end=start + width, interval=span["interval"]
    ).groups
    assert alone.totals == {f: answer.groups[0].series[f][number] for f in fields}
    assert alone.series == {field: (value,) for field, value in alone.totals.items()}


@settings(derandomized, max_examples=12)
@given(randoms)
def test_overview_query_and_release_stats_agree(data: list[Data], random: Random) -> None:
    """They have the same figures for the same question and window."""
    one = random.choice(data)
    now = random.choice(NOWS)
    period, interval = random.choice([("24h", "1h"), ("48h", "1h"), ("1h", "1h")])
    filters: Row = {"environments": some(random, ENVIRONMENTS)}
    overview = one.health.overview(summary_stats_period=period, now=now, **filters)
    asked: Row = {"period": period, "interval": interval, "now": now, **filters}
    fields = [
        "sum(session)",
        "count_unique(user)",
        "p50(session.duration)",
        "p90(session.duration)",
        *(f"{rate}({what})" for rate in ("crash_free_rate", "unhandled_rate") for what in SUBJECTS),
    ]
    answer = one.health.query(fields, group_by=["project", "release"], **asked)
    groups = {tuple(group.by.values()): group for group in answer.groups}
    by_status: dict[tuple[Any, ...], dict[Any, Row]] = {}
    counts = ["sum(session)", "count_unique(user)"]
    for group in one.health.query(counts, group_by=["project", "release", STATUS], **asked).groups:
        *pair, status = group.by.values()
        by_status.setdefault(tuple(pair), {})[status] = dict(group.totals)
    for row in random.sample(list(overview.values()), min(3, len(overview))):
        totals = groups[row.project_id, row.release].totals
        assert totals["sum(session)"] == (row.total_sessions or 0)
        assert totals["count_unique(user)"] == (row.total_users or 0)
        assert totals["p50(session.duration)"] == row.duration_p50
        assert totals["p90(session.duration)"] == row.duration_p90
        for field, percent in {
            "crash_free_rate(session)": row.crash_free_sessions,
            "crash_free_rate(user)": row.crash_free_users,
            "unhandled_rate(session)": row.unhandled_session_rate,
            "unhandled_rate(user)": row.unhandled_user_rate,
        }.items():
            assert agrees(totals[field], None if percent is None else percent / 100)
        statuses = by_status[row.project_id, row.release]
        for stat, field in zip(("sessions", "users"), counts, strict=True):
            # The series of a release begins with the bucket after its start's.
            _, figures = one.health.release_stats(
                row.project_id,
                row.release,
                stat=stat,
                start=answer.start - timedelta(hours=1),
                end=answer.end,
                **filters,
            )
            assert figures == {
                stat: totals[field],
                **{f"{stat}_{status}": statuses[status][field] for status in STATUSES},
            }
        assert {status: one_of["sum(session)"] for status, one_of in statuses.items()} == {
            "healthy": row.sessions_healthy,
            "errored": row.sessions_errored,
            "unhandled": row.sessions_unhandled,
            "crashed": row.sessions_crashed,
            "abnormal": row.sessions_abnormal,
        }
        assert statuses["crashed"]["count_unique(user)"] == row.users_crashed
        assert statuses["unhandled"]["count_unique(user)"] == row.users_unhandled


# Examples of a few rows.

HALF_PAST = NOON + timedelta(minutes=30)


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """A function that asks a query about rows, half an hour after noon."""

    def asked(given_rows: Iterable[Mapping[str, Any]], fields: list[str], **question: Any) -> Any:
        file = rows.write(tmp_path / "rows.parquet", given_rows)
        with ReleaseHealth(file) as health:
            return health.query(fields, **{"now": HALF_PAST, "period": "2h", **question})

    return asked


def test_an_answer_is_a_mapping(ask: Ask) -> None:
    answer = ask([session(value=3.0), user(1)], ["sum(session)", "count_unique(user)"])
    assert list(answer) == ["start", "end", "intervals", "groups"]
    assert len(answer) == 4
    assert dict(answer) == answer.to_dict()
    assert answer.to_dict() == {
        "start": "2026-03-02T10:00:00Z",
        "end": "2026-03-02T13:00:00Z",
        "intervals": ["2026-03-02T10:00:00Z", "2026-03-02T11:00:00Z", "2026-03-02T12:00:00Z"],
        "groups": [
            {
                "by": {},
                "totals": {"sum(session)": 3, "count_unique(user)": 1},
                "series": {"sum(session)": [0, 0, 3], "count_unique(user)": [0, 0, 1]},
            }
        ],
    }
    assert json.loads(json.dumps(answer.to_dict())) == answer.to_dict()


def test_totals_are_no_sums_of_intervals(ask: Ask) -> None:
    """User 1 of two hours is one user; of 2 s, and of 4 s and 8 s, p50 is 4 s and not 2 + 6."""
    hour = timedelta(hours=1)
    given_rows = [
        user(1, timestamp=NOON - hour),
        user(1),
        duration(2.0, timestamp=NOON - hour),
        duration(4.0),
        duration(8.0),
    ]
    (group,) = ask(given_rows, ["count_unique(user)", "p50(session.duration)"]).groups
    assert group.totals == {"count_unique(user)": 1, "p50(session.duration)": 4.0}
    assert group.series["count_unique(user)"] == (0, 1, 1)
    assert group.series["p50(session.duration)"] == (None, 2.0, 6.0)


def test_statuses_of_sessions_and_users(ask: Ask) -> None:
    """Ten sessions, five with errors, of which 1 crashed, 1 was abnormal, 1 unhandled.

    Likewise of ten users; durations are those of the healthy.
    """
    given_rows = [session(value=10.0)]
    given_rows += [session(status) for status in ("crashed", "abnormal", "unhandled")]
    given_rows += [error(number) for number in range(4)]
    given_rows += [session("errored_preaggr"), duration(7.0), duration(20.0, session_status="x")]
    given_rows += [user(number) for number in range(10)]
    given_rows += [user(number, "errored") for number in range(5)]
    given_rows += [user(0, "crashed"), user(1, "abnormal"), user(2, "unhandled")]
    fields = ["sum(session)", "count_unique(user)", "max(session.duration)"]
    answer = ask(given_rows, fields, group_by=[STATUS])
    assert {group.by[STATUS]: list(group.totals.values()) for group in answer.groups} == {
        "healthy": [5, 5, 7.0],
        "errored": [2, 2, None],
        "unhandled": [1, 1, None],
        "crashed": [1, 1, None],
        "abnormal": [1, 1, None],
    }
    # Equal ones come by their status' name.
    assert [group.by[STATUS] for group in answer.groups] == [
        *("healthy", "errored", "abnormal", "crashed", "unhandled"),
    ]
    (group,) = ask(given_rows, fields[:1], statuses=["crashed", "errored"]).groups
    assert group.totals == {"sum(session)": 3}
    (group,) = ask(given_rows, RATES).groups
    assert group.totals == {
        **{f"crash_rate({what})": 0.1 for what in SUBJECTS},
        **{f"crash_free_rate({what})": 0.9 for what in SUBJECTS},
        **{f"unhandled_rate({what})": 0.2 for what in SUBJECTS},
        **{f"errored_rate({what})": 0.2 for what in SUBJECTS},
        **{f"abnormal_rate({what})": 0.1 for what in SUBJECTS},
        "anr_rate()": 0.0,
        "foreground_anr_rate()": 0.0,
    }


def test_users_whose_app_did_not_respond(ask: Ask) -> None:
    """Of four users two in all, and one in the foreground."""
    given_rows = [user(number) for number in range(4)]
    given_rows += [user(1, "abnormal", abnormal_mechanism="anr_background") for _ in range(3)]
    given_rows += [user(2, "abnormal", abnormal_mechanism="anr_foreground")]
    given_rows += [user(3, "abnormal", abnormal_mechanism="other")]
    (group,) = ask(given_rows, ["anr_rate()", "foreground_anr_rate()"]).groups
    assert group.totals == {"anr_rate()": 0.5, "foreground_anr_rate()": 0.25}


def test_rates_stay_within_their_bounds(ask: Ask) -> None:
    """Sessions can start before the window and crash in it, so crashes can exceed starts."""
    given_rows = [session(), *(session("crashed") for _ in range(3))]
    fields = ["crash_rate(session)", "crash_free_rate(session)", "unhandled_rate(session)"]
    (group,) = ask(given_rows, fields).groups
    assert list(group.totals.values()) == [1.0, 0.0, 1.0]


def test_nothing_is_counts_of_zero_and_no_rates(ask: Ask) -> None:
    nothing = [session(timestamp=NOON - timedelta(days=3))]
    (group,) = ask(nothing, list(FIELDS)).groups
    assert group.by == {}
    assert group.totals == {f: 0 if f in FIELDS[:2] else None for f in FIELDS}
    assert group.series == {f: (value,) * 3 for f, value in group.totals.items()}
    answer = ask(nothing, [*FIELDS[:2], *TIMES], group_by=[STATUS])
    assert sorted(group.by[STATUS] for group in answer.groups) == sorted(STATUSES)
    assert not any(any(group.totals.values()) for group in answer.groups)
    answer = ask(nothing, ["sum(session)"], group_by=[STATUS], statuses=["abnormal", "crashed"])
    assert [group.by[STATUS] for group in answer.groups] == ["abnormal", "crashed"]
    assert ask(nothing, ["sum(session)"], group_by=["release"]).groups == ()
    assert ask(nothing, ["sum(session)"], group_by=["project", STATUS]).groups == ()


def test_none_is_a_group(ask: Ask) -> None:
    """Rows without a release or environment, whether '' or null, are the group ''."""
    given_rows = [
        session(value=2.0, release=None),
        session(value=3.0, release=""),
        session(value=4.0, environment=""),
        session(value=5.0, environment="beta"),
    ]
    answer = ask(given_rows, ["sum(session)"], group_by=["release"])
    assert [(g.by["release"], g.totals["sum(session)"]) for g in answer.groups] == [
        ("shop@1.0.0", 9),
        ("", 5),
    ]
    answer = ask(given_rows, ["sum(session)"], group_by=["environment"])
    assert [(g.by["environment"], g.totals["sum(session)"]) for g in answer.groups] == [
        ("", 9),
        ("beta", 5),
    ]
    (group,) = ask(given_rows, ["sum(session)"], releases=[""]).groups
    assert group.totals == {"sum(session)": 5}


def test_a_group_is_of_what_the_fields_read(ask: Ask) -> None:
    """A release with only users is in an answer about users."""
    given_rows = [session(), user(1, release="app@2"), duration(5.0, release="app@3")]
    given_rows += [error(1, release="app@4"), duration(5.0, release="app@5", session_status="x")]

    def releases(fields: list[str], **question: Any) -> set[Any]:
        answer = ask(given_rows, fields, group_by=["release", *question.pop("and_by", ())])
        return {group.by["release"] for group in answer.groups}

    assert releases(["sum(session)"]) == {"shop@1.0.0"}
    assert releases(["crash_rate(user)"]) == {"app@2"}
    assert releases(["p50(session.duration)"]) == {"app@3"}
    assert releases(["sum(session)", "anr_rate()"]) == {"shop@1.0.0", "app@2"}
    assert releases(["errored_rate(session)"]) == {"shop@1.0.0", "app@4"}
    assert releases(["sum(session)"], and_by=[STATUS]) == {"shop@1.0.0", "app@4"}


def test_a_status_that_no_session_has(ask: Ask) -> None:
    given_rows = [session(), user(1), duration(3.0)]
    for group_by in ([], ["release"], [STATUS]):
        answer = ask(given_rows, ["sum(session)", *TIMES], statuses=["exited"], group_by=group_by)
        assert answer.groups == ()
        assert len(answer.intervals) == 3
    (group,) = ask(given_rows, ["sum(session)"], statuses=["exited", "healthy"]).groups
    assert group.totals == {"sum(session)": 1}


def test_durations_are_of_the_healthy(ask: Ask) -> None:
    given_rows = [session(), session("crashed"), duration(3.0)]
    assert ask(given_rows, TIMES, statuses=["crashed"]).groups == ()
    assert ask(given_rows, TIMES, statuses=["crashed"], group_by=[STATUS]).groups == ()
    (group,) = ask(given_rows, ["sum(session)", *TIMES], statuses=["crashed"]).groups
    assert group.totals == {"sum(session)": 1, **dict.fromkeys(TIMES)}
    (group,) = ask(given_rows, TIMES, statuses=["crashed", "healthy"]).groups
    assert group.totals == dict.fromkeys(TIMES, 3.0)


def test_order_of_groups(ask: Ask) -> None:
    """By sessions or else the first field, most first; the absent last; then by key."""
    given_rows = [
        session(release="b", value=2.0),
        session(release="a", value=2.0),
        session(release="c", value=5.0),
        session(release="d", value=0.0),
        user(1, release="a"),
        *(user(number, release="b") for number in range(3)),
        duration(9.0, release="a"),
        duration(1.0, release="c"),
    ]

    def order(*fields: str, order_by: str | None = None) -> str:
        answer = ask(given_rows, list(fields), group_by=["release"], order_by=order_by)
        return "".join(str(group.by["release"]) for group in answer.groups)

    assert order("sum(session)") == "cabd"
    assert order("count_unique(user)", "sum(session)") == "cabd"
    assert order("count_unique(user)", "crash_rate(session)") == "bacd"
    assert order("max(session.duration)", "crash_rate(session)") == "acbd"
    assert order("sum(session)", order_by="sum(session)") == "dabc"
    assert order("sum(session)", order_by="-sum(session)") == "cabd"
    assert order("sum(session)", "max(session.duration)", order_by="max(session.duration)") == (
        "cabd"
    )
    assert order("sum(session)", "max(session.duration)", order_by="-max(session.duration)") == (
        "acbd"
    )


def test_an_order_may_be_a_list_of_one(ask: Ask) -> None:
    given_rows = [session(), session(release="app@2", value=2.0)]
    asked: Row = {"group_by": ["release"]}
    least, most = (
        ask(given_rows, ["sum(session)"], order_by=order, **asked).groups
        for order in (["sum(session)"], ["-sum(session)"])
    )
    assert [group.totals["sum(session)"] for group in least] == [1, 2]
    assert ask(given_rows, ["sum(session)"], order_by=[], **asked).groups == most == least[::-1]


def test_ties_come_by_project_release_environment_status(ask: Ask) -> None:
    """For any order of the keys; projects by number."""
    keys = [(2, "b", "x"), (10, "a", "x"), (2, "a", "y"), (2, "a", ""), (10, "", "z")]
    names = ("project_id", "release", "environment")
    given_rows = [session() | dict(zip(names, key, strict=True)) for key in keys]
    answer = ask(given_rows, ["sum(session)"], group_by=["environment", "release", "project"])
    assert [tuple(group.by.values()) for group in answer.groups] == sorted(keys)
    assert {tuple(group.by) for group in answer.groups} == {("project", "release", "environment")}
    answer = ask(
        given_rows, ["count_unique(user)"], group_by=[STATUS, "project"], statuses=STATUSES
    )
    assert answer.groups == ()  # no user, no group
    answer = ask(given_rows, ["sum(session)"], group_by=[STATUS, "project"], limit=3)
    assert [tuple(group.by.values()) for group in answer.groups] == [
        *((2, "healthy"), (10, "healthy"), (2, "abnormal")),
    ]


def test_a_limit_cuts_after_statuses_are_told_apart(ask: Ask) -> None:
    given_rows = [session(value=4.0), session("crashed", value=2.0), session("abnormal")]
    answer = ask(given_rows, ["sum(session)"], group_by=[STATUS], limit=1, offset=1)
    assert [group.to_dict()["by"] for group in answer.groups] == [{STATUS: "crashed"}]
    assert answer.left_out == 4


def test_windows_are_full_intervals(ask: Ask) -> None:
    """The start is floored and the end ceiled, on the epoch's grid."""

    def window(**question: Any) -> tuple[str, str, int]:
        answer = ask([session()], ["sum(session)"], **{"period": None, **question})
        return answer["start"][11:19], answer["end"][11:19], len(answer.intervals)

    assert window(period="2h") == ("10:00:00", "13:00:00", 3)
    assert window(period="2h", now=NOON) == ("10:00:00", "12:00:00", 2)
    assert window(period="90m", interval="15m") == ("11:00:00", "12:30:00", 6)
    assert window(period="1d", interval="1d") == ("00:00:00", "00:00:00", 2)
    assert window(interval="6h") == ("12:00:00", "18:00:00", 5)  # of 24 hours
    first, last = NOON + timedelta(seconds=9.5), NOON + timedelta(seconds=20.000001)
    assert window(start=first, end=last, interval="10s") == ("12:00:00", "12:00:30", 3)
    assert window(start="2026-03-02T11:59:59", end="2026-03-02T13:00:01+01:00") == (
        *("11:00:00", "13:00:00"),
        2,
    )


def test_each_field_and_key_once(ask: Ask) -> None:
    answer = ask([session()], ["sum(session)"] * 2, group_by=["release"] * 2)
    assert [group.to_dict() for group in answer.groups] == [
        {
            "by": {"release": "shop@1.0.0"},
            "totals": {"sum(session)": 1},
            "series": {"sum(session)": [0, 0, 1]},
        }
    ]


def test_now_may_be_the_latest(ask: Ask) -> None:
    answer = ask([session(), user(1, timestamp=NOON + timedelta(hours=3))], FIELDS, now="latest")
    assert answer["end"] == "2026-03-02T16:00:00Z"


def test_to_arrow(ask: Ask) -> None:
    """One row a group and interval: keys, the interval's start, the fields."""
    given_rows = [session(value=2.0), user(1), session("crashed"), duration(4.0, project_id=3)]
    fields = ["p50(session.duration)", "sum(session)", "crash_rate(session)", "anr_rate()"]
    answer = ask(given_rows, fields, group_by=["environment", "project", "release"], interval="30m")
    table = answer.to_arrow()
    assert table.schema == pa.schema(
        [
            ("project", pa.int64()),
            ("release", pa.string()),
            ("environment", pa.string()),
            ("bucket", pa.timestamp("us", "UTC")),
            ("p50(session.duration)", pa.float64()),
            ("sum(session)", pa.int64()),
            ("crash_rate(session)", pa.float64()),
            ("anr_rate()", pa.float64()),
        ]
    )
    starts = [NOON + timedelta(minutes=minutes) for minutes in range(-90, 30, 30)]
    keys = [(project, "shop@1.0.0", "") for project in (1, 3)]
    figures = [[None, 0, None, None]] * 3 + [[None, 2, 0.5, 0.0]]
    figures += [[None, 0, None, None]] * 3 + [[4.0, 0, None, None]]
    assert [tuple(row.values()) for row in table.to_pylist()] == [
        (*key, start, *figures.pop(0)) for key in keys for start in starts
    ]
    assert table.to_pylist() == answer.rows()


def test_to_arrow_of_statuses_and_of_nothing(ask: Ask) -> None:
    table = ask([session()], ["sum(session)"], group_by=[STATUS], period="1h").to_arrow()
    assert table.schema.names == [STATUS, "bucket", "sum(session)"]
    assert table.schema.field(STATUS).type == pa.string()
    assert table[STATUS].to_pylist() == [s for s in ["healthy", *OTHERS] for _ in range(2)]
    assert table["sum(session)"].to_pylist() == [0, 1, *[0] * 8]
    nothing = ask([session()], ["sum(session)"], group_by=["project"], releases=["ghost"])
    assert nothing.to_arrow().num_rows == 0
    assert nothing.to_arrow().schema.field("project").type == pa.int64()


# Refused for any data: here there is none.

NOWHERE = "/nowhere/*.parquet"
SUM, UNIQUE, P50 = "sum(session)", "count_unique(user)", "p50(session.duration)"
REFUSED: list[tuple[str, Row]] = [
    ("no field: expected some of sum(session), count_unique(user), ", {"fields": []}),
    ("unknown field 'sum(user)': expected one of sum(session), ", {"fields": [SUM, "sum(user)"]}),
    ("unknown field 'SUM(session)'", {"fields": ["SUM(session)"]}),
    ("unknown field 'p50(session)'", {"fields": ["p50(session)"]}),
    ("unknown field 'anr_rate'", {"fields": ["anr_rate"]}),
    ("unknown field ''", {"fields": [""]}),
    ("unknown field 5", {"fields": [5]}),
    ("fields: expected several names, not one text", {"fields": SUM}),
    ("--group-by value: a column of the data contract", {"group_by": ["value"]}),
    ("cannot group by 'status'", {"group_by": ["project", "status"]}),
    ("group_by: expected several names, not one text", {"group_by": "release"}),
    ("statuses: expected several names, not one text", {"statuses": "crashed"}),
    ("releases: expected several names, not one text", {"releases": "shop@1.0.0"}),
    ("environments: expected several names, not one text", {"environments": "beta"}),
    ("releases: none named; leave the filter out", {"releases": []}),
    ("environments: none named; leave the filter out", {"environments": []}),
    ("projects: none named; leave the filter out", {"projects": []}),
    ("release 'a\\n': expected a name without newline", {"releases": ["a\n"]}),
    ("release 5: expected text", {"releases": [5]}),
    ("environment None: expected text", {"environments": [None]}),
    ("project '1': expected a whole number of 64 bits", {"projects": ["1"]}),
    (f"project {2**63}: expected a whole number of 64 bits", {"projects": [2**63]}),
    ("projects 1: expected several ids", {"projects": 1}),
    ("cannot order by 'count_unique(user)': expected one of sum(session)", {"order_by": UNIQUE}),
    ("cannot order by 'release': expected one of", {"order_by": "-release"}),
    ("cannot order by '-sum(session)'", {"order_by": "--sum(session)"}),
    (
        "cannot order by more than one field: sum(session), -count_unique(user)",
        {"fields": [SUM, UNIQUE], "order_by": [SUM, f"-{UNIQUE}"]},
    ),
    (
        "cannot order by sum(session) if groups are by session.status",
        {"group_by": ["release", STATUS], "order_by": SUM},
    ),
    (
        "cannot order by p50(session.duration) if groups are by session.status",
        {"fields": [P50], "group_by": [STATUS], "order_by": P50},
    ),
    ("cannot order by sum(session) of status healthy", {"statuses": ["healthy"], "order_by": SUM}),
    ("cannot order by sum(session) of status errored", {"statuses": ["errored"], "order_by": SUM}),
    (
        "cannot order by count_unique(user) of status errored",
        {"fields": [UNIQUE], "statuses": ["errored"], "order_by": f"-{UNIQUE}"},
    ),
    (
        "cannot order by sum(session) of status crashed, abnormal",
        {"statuses": ["crashed", "abnormal"], "order_by": f"-{SUM}"},
    ),
    (
        "cannot order by p50(session.duration): only healthy sessions have durations",
        {"fields": [P50], "statuses": ["crashed"], "order_by": P50},
    ),
    *(
        (f"{rate}: a rate cannot be grouped by session.status", {"fields": [SUM, rate], **by})
        for rate in RATES
        for by in ({"group_by": ["project", STATUS]},)
    ),
    *(
        (f"{rate}: a rate cannot be filtered by session.status", {"fields": [rate], **kept})
        for rate in RATES
        for kept in ({"statuses": ["healthy"]}, {"statuses": list(STATUSES)})
    ),
    (
        "count_unique(user): users of several statuses cannot be added up; group by session.status",
        {"fields": [SUM, UNIQUE], "statuses": ["healthy", "errored"]},
    ),
    *(
        (f"interval '{interval}': expected one that divides a day, from 10s to 1d", one)
        for interval in ("7h", "5h", "11s", "25h", "2d", "1w", "9s", "1s", "7s", "86401s")
        for one in ({"interval": interval},)
    ),
    *(
        (f"{length!r} is not a length of time: expected one such as 90m, 3h or 2d", {name: length})
        for name in ("interval", "period")
        for length in ("", "h", "0h", "1", "1.5h", "-1h", "1y", "1 h", "1H", "\uff11h", 3600)
    ),
    (
        "10,001 intervals of 10 s: at most 10,000 a group",
        {"period": "100010s", "interval": "10s"},
    ),
    (
        "12,096 intervals of 50 s: at most 10,000 a group",
        {"period": "1w", "interval": "50s"},
    ),
    (
        "1,001 intervals of 3600 s: at most 1,000 of an hour or more",
        {"period": "1001h", "interval": "1h"},
    ),
    (
        "1,001 intervals of 86400 s: at most 1,000 of an hour or more",
        {"start": "2023-01-01", "end": "2025-09-28", "interval": "1d"},
    ),
    (
        # With the one that the start is in, and the one that the end is in.
        "1,001 intervals of 3600 s: at most 1,000 of an hour or more",
        {"start": "2026-01-01T00:30", "end": "2026-02-11T16:30", "interval": "1h"},
    ),
    (
        "expected either a period, or a start and an end",
        {"period": "24h", "start": "2026-01-01", "end": "2026-01-02"},
    ),
    ("expected either a period, or a start and an end", {"period": "24h", "end": "2026-01-02"}),
    ("expected either a period, or a start and an end", {"start": "2026-01-01"}),
    ("expected either a period, or a start and an end", {"end": "2026-01-01"}),
    ("before it starts", {"start": "2026-01-02", "end": "2026-01-01"}),
    ("'soon' is not an instant", {"start": "soon", "end": "2026-01-01"}),
    ("5 is not an instant", {"start": "2026-01-01", "end": 5}),
    ("out of range: expected a year from", {"start": "1066-10-14", "end": "2026-01-01"}),
    ("'soon' is not an instant", {"now": "soon"}),
    ("limit 0: expected 1 or more", {"limit": 0}),
    ("limit -1: expected 1 or more", {"limit": -1}),
    ("limit '1': expected a whole number", {"limit": "1"}),
    ("limit 1.5: expected a whole number", {"limit": 1.5}),
    ("offset -1: expected 0 or more", {"offset": -1, "limit": 5}),
    ("offset '1': expected a whole number", {"offset": "1"}),
    ("offset None: expected a whole number", {"offset": None}),
    ("fields 5: expected several names", {"fields": 5}),
    ("unknown field ['x']: expected one of", {"fields": [["x"]]}),
    ("unknown field 5: expected one of", {"fields": [5]}),
    ("group_by 5: expected several names", {"group_by": 5}),
    ("group_by None: expected several names", {"group_by": None}),
    ("cannot group by ['project']: expected one of", {"group_by": [["project"]]}),
    ("statuses 5: expected several names", {"statuses": 5}),
    ("status ['crashed']: expected text", {"statuses": [["crashed"]]}),
    ("order_by 5: expected several fields", {"order_by": 5}),
    ("order_by 5: expected text", {"order_by": [5]}),
    ("cannot order by more than one field: 5, 6", {"order_by": [5, 6]}),
    ("5 is not a length of time", {"period": 5}),
    ("None is not a length of time", {"interval": None}),
    ("'latest' is not an instant: expected ISO 8601", {"start": NOW, "end": "latest"}),
]


@pytest.mark.parametrize(
    ("told", "question"), REFUSED, ids=[f"{n}-{told[:30]}" for n, (told, _) in enumerate(REFUSED)]
)
def test_what_cannot_be_asked_is_refused_before_any_file_is_sought(
    told: str, question: Row
) -> None:
    with ReleaseHealth(NOWHERE) as health, pytest.raises(QuestionError, match=re.escape(told)):
        health.query(**{"fields": [SUM], "now": NOW, **question})


ALLOWED: list[Row] = [
    {"statuses": ["crashed"], "order_by": SUM},
    {"fields": [P50], "statuses": ["healthy", "crashed"], "order_by": P50},
    {"fields": [SUM, UNIQUE], "statuses": ["healthy", "errored"], "group_by": [STATUS]},
    {"fields": [UNIQUE], "statuses": ["crashed", "exited"]},
    {"fields": ["crash_rate(user)"], "order_by": "-crash_rate(user)", "group_by": ["project"]},
    {"interval": "10s", "start": NOW, "end": NOW + timedelta(seconds=99_990)},
    {"interval": "1h", "start": NOON, "end": NOON + timedelta(hours=1000)},
    {"interval": "1d", "period": "999d"},
    {"interval": "24h", "period": "24h"},
    {"start": NOW, "end": NOW, "interval": "15m"},
    {"limit": 1, "offset": 0},
    {"order_by": ""},
]


@pytest.mark.parametrize("question", ALLOWED, ids=str)
def test_what_is_near_to_that_is_answered(question: Row, data: list[Data]) -> None:
    assert check_question(data[3], {"fields": [SUM], "now": NOW, **question}) >= 0
