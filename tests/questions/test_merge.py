"""The merge: the null rules, clamps and formulas of the design's section 4, on rows by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from relhealth.core.scope import Scope
from relhealth.engines.components import (
    ADOPTION,
    DURATIONS,
    ERRORED_SESSIONS,
    HEALTH_DATA,
    HEALTH_STATS,
    SESSIONS_BY_STATUS,
    USERS_BY_STATUS,
)
from relhealth.questions.merge import Adoption, by_pair, merge
from relhealth.questions.overview import ReleaseOverview

NOW = datetime(2026, 3, 2, 12, 30, tzinfo=UTC)
SCOPE = Scope.resolve(NOW)
PAIR = (1, "shop@1.0.0")
COMPONENTS = {
    "sessions_by_status": SESSIONS_BY_STATUS,
    "errored_sessions": ERRORED_SESSIONS,
    "users_by_status": USERS_BY_STATUS,
    "durations": DURATIONS,
    "adoption": ADOPTION,
    "health_data": HEALTH_DATA,
    "health_stats": HEALTH_STATS["sessions"],
}


def found(**rows: Any) -> dict[Any, Any]:
    """Return the rows of every component, by its name; no rows for those without a name here."""
    return {component: rows.get(name, []) for name, component in COMPONENTS.items()}


NOTHING = found()
Row = dict[str, Any]


def keyed(pair: tuple[int, str], **figures: Any) -> Row:
    return {"project_id": pair[0], "release": pair[1]} | figures


def sessions(pair: tuple[int, str] = PAIR, **figures: int) -> Row:
    zero = {"sessions": 0, "crashed": 0, "abnormal": 0, "unhandled": 0, "errored_preaggr": 0}
    return keyed(pair, **zero | figures)


def users(pair: tuple[int, str] = PAIR, **figures: int) -> Row:
    zero = {"users": 0, "crashed": 0, "unhandled": 0, "errored": 0, "abnormal": 0}
    return keyed(pair, **zero | figures)


def adopted(release: str | None, sessions: int, users: int, project: int = 1) -> Row:
    """A row of the adoption component; without a release it is the project's."""
    whole = {"whole_project": release is None}
    return {"project_id": project, "release": release, "sessions": sessions, "users": users} | whole


def merged(components: dict[Any, Any], scope: Scope = SCOPE) -> ReleaseOverview:
    """The one row of an answer."""
    (row,) = merge(components, scope)
    return row


def asked(*pairs: tuple[int, str], scope: Scope = SCOPE) -> Scope:
    return scope.narrowed_to(pairs)


def test_every_figure() -> None:
    """Each figure from its component; numbers chosen so that no two are alike."""
    components = found(
        sessions_by_status=[
            sessions(sessions=200, crashed=10, abnormal=4, unhandled=6, errored_preaggr=30)
        ],
        errored_sessions=[keyed(PAIR, errored=50)],
        users_by_status=[users(users=80, crashed=8, unhandled=2, errored=20, abnormal=3)],
        durations=[keyed(PAIR, p50=12.5, p90=90.25)],
        adoption=[adopted("shop@1.0.0", 150, 60), adopted(None, 600, 120)],
        health_data=[],
        health_stats=[],
    )
    assert merged(components) == ReleaseOverview(
        project_id=1,
        release="shop@1.0.0",
        adoption=50.0,  # 60 of 120
        sessions_adoption=25.0,  # 150 of 600
        total_users_24h=60,
        total_project_users_24h=120,
        total_sessions_24h=150,
        total_project_sessions_24h=600,
        total_sessions=200,
        total_users=80,
        has_health_data=True,
        sessions_crashed=10,
        sessions_abnormal=4,
        sessions_unhandled=6,
        sessions_errored=60,  # 50 + 30 - 10 - 6 - 4
        sessions_healthy=120,  # 200 - 50 - 30
        users_crashed=8,
        users_unhandled=2,
        crash_free_sessions=95.0,  # 100 - 10 / 200
        crash_free_users=90.0,  # 100 - 8 / 80
        unhandled_session_rate=8.0,  # (6 + 10) / 200
        unhandled_user_rate=12.5,  # (2 + 8) / 80
        duration_p50=12.5,
        duration_p90=90.25,
        stats=None,
    )


def test_an_unknown_release_has_its_row() -> None:
    """Nothing known: counts are 0, totals, rates and durations null, the 24 h totals null too."""
    assert merged(NOTHING, asked((7, "gone@1"))) == ReleaseOverview(
        project_id=7,
        release="gone@1",
        adoption=None,
        sessions_adoption=None,
        total_users_24h=None,
        total_project_users_24h=None,
        total_sessions_24h=None,
        total_project_sessions_24h=None,
        total_sessions=None,
        total_users=None,
        has_health_data=False,
        sessions_crashed=0,
        sessions_abnormal=0,
        sessions_unhandled=0,
        sessions_errored=0,
        sessions_healthy=0,
        users_crashed=0,
        users_unhandled=0,
        crash_free_sessions=None,
        crash_free_users=None,
        unhandled_session_rate=None,
        unhandled_user_rate=None,
        duration_p50=None,
        duration_p90=None,
        stats=None,
    )


def totals_24h(row: ReleaseOverview) -> tuple[int | None, ...]:
    return (
        row.total_users_24h,
        row.total_project_users_24h,
        row.total_sessions_24h,
        row.total_project_sessions_24h,
    )


def test_totals_of_24h_are_null_together_where_never_seen() -> None:
    """The project's totals are known, but show nothing about a release never seen in 90 days."""
    components = found(adoption=[adopted(None, 600, 120)])
    assert totals_24h(merged(components, asked(PAIR))) == (None, None, None, None)


@pytest.mark.parametrize("has_sessions", [False, True])
def test_totals_of_24h_are_integers_together_where_seen_in_90_days(*, has_sessions: bool) -> None:
    """Not in the window and not in the last day: 0 of the project's totals, and no share."""
    components = found(
        adoption=[adopted(None, 600, 120)],
        health_data=[keyed(PAIR, has_sessions=has_sessions)],
    )
    row = merged(components, asked(PAIR))
    assert totals_24h(row) == (0, 120, 0, 600)
    assert (row.adoption, row.sessions_adoption) == (None, None)
    assert row.has_health_data is has_sessions


def test_totals_of_24h_where_the_project_has_none_either() -> None:
    """Seen in 90 days, of a project silent for a day: zeros, not nulls."""
    components = found(health_data=[keyed(PAIR, has_sessions=True)])
    row = merged(components, asked(PAIR))
    assert totals_24h(row) == (0, 0, 0, 0)
    assert (row.adoption, row.sessions_adoption) == (None, None)


def test_a_session_in_the_window_is_seen_and_health_data() -> None:
    """The component of 90 days can omit it; even a counter of 0 is a counter."""
    row = merged(found(sessions_by_status=[sessions(crashed=1)]), asked(PAIR))
    assert row.has_health_data is True
    assert totals_24h(row) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("release", "project", "shares"),
    [
        ((0, 0), (600, 120), (None, None)),
        ((150, 0), (600, 120), (None, 25.0)),
        ((0, 60), (600, 120), (50.0, None)),
        ((150, 60), (600, 120), (50.0, 25.0)),
        ((150, 60), (150, 60), (100.0, 100.0)),
    ],
)
def test_adoption_is_null_where_a_count_is_0(
    release: tuple[int, int],
    project: tuple[int, int],
    shares: tuple[float | None, float | None],
) -> None:
    components = found(
        sessions_by_status=[sessions(sessions=1)],
        adoption=[adopted("shop@1.0.0", *release), adopted(None, *project)],
    )
    row = merged(components)
    assert (row.adoption, row.sessions_adoption) == shares


def test_adoption_is_of_the_release_s_own_project() -> None:
    """The same release name in project 2, and sessions without a release, change nothing."""
    component = [
        adopted("shop@1.0.0", 1, 2),
        adopted("shop@1.0.0", 50, 60, project=2),
        adopted("", 7, 7) | {"whole_project": False},
        adopted(None, 7, 7) | {"whole_project": False},
        adopted(None, 4, 8),
        adopted(None, 100, 120, project=2),
    ]
    assert Adoption.of(component).figures(PAIR) == {
        "adoption": 25.0,  # 2 of 8
        "sessions_adoption": 25.0,  # 1 of 4
        "users_24h": 2,
        "sessions_24h": 1,
        "project_users_24h": 8,
        "project_sessions_24h": 4,
    }


def test_totals_are_null_and_not_0() -> None:
    """If only crashes of a release are in the window, it has no total and no rate, but crashes."""
    row = merged(found(sessions_by_status=[sessions(crashed=2, unhandled=1)]))
    assert (row.total_sessions, row.total_users) == (None, None)
    assert (row.crash_free_sessions, row.unhandled_session_rate) == (None, None)
    assert (row.sessions_crashed, row.sessions_unhandled) == (2, 1)


def test_rates_are_clamped() -> None:
    """Sessions that started before the window crash in it: 5 of 4 sessions, 3 of 2 users."""
    components = found(
        sessions_by_status=[sessions(sessions=4, crashed=5, unhandled=1)],
        users_by_status=[users(users=2, crashed=3, unhandled=1)],
    )
    row = merged(components)
    assert (row.crash_free_sessions, row.crash_free_users) == (0.0, 0.0)
    assert (row.unhandled_session_rate, row.unhandled_user_rate) == (100.0, 100.0)


@pytest.mark.parametrize(
    ("counted", "errored", "handled", "healthy"),
    [
        ({"sessions": 10}, 4, 4, 6),
        ({"sessions": 10, "errored_preaggr": 3}, 4, 7, 3),
        ({"sessions": 10, "crashed": 1, "unhandled": 1, "abnormal": 1}, 4, 1, 6),
        ({"sessions": 10, "crashed": 5}, 4, 0, 6),  # clamped: -1 errored
        ({"sessions": 3}, 4, 4, 0),  # clamped: -1 healthy
        ({}, 4, 4, 0),  # errors of sessions begun before the window
    ],
)
def test_errored_and_healthy_sessions(
    counted: dict[str, int], errored: int, handled: int, healthy: int
) -> None:
    components = found(
        sessions_by_status=[sessions(PAIR, **counted)],
        errored_sessions=[keyed(PAIR, errored=errored)],
    )
    row = merged(components)
    assert (row.sessions_errored, row.sessions_healthy) == (handled, healthy)


def test_without_a_question_of_pairs_the_rows_are_those_with_sessions() -> None:
    """A pair that only other components have has no row."""
    components = found(
        sessions_by_status=[sessions((1, "a@1"), sessions=1), sessions((2, "a@1"), sessions=0)],
        errored_sessions=[keyed((1, "b@1"), errored=1)],
        users_by_status=[users((1, "c@1"), users=1)],
        durations=[keyed((1, "d@1"), p50=1.0, p90=1.0)],
        adoption=[adopted("e@1", 1, 1)],
        health_data=[keyed((1, "f@1"), has_sessions=True)],
        health_stats=[],
    )
    rows = merge(components, SCOPE)
    assert [(row.project_id, row.release) for row in rows] == [(1, "a@1"), (2, "a@1")]


def test_asked_pairs_come_in_their_order_and_alone() -> None:
    """Each has a row; a pair that nobody asked for (b@1 of project 1) has none."""
    pairs = ((2, "b@1"), (1, "gone@1"), (1, "a@1"))
    components = found(
        sessions_by_status=[
            sessions((1, "a@1"), sessions=1),
            sessions((1, "b@1"), sessions=2),
            sessions((2, "b@1"), sessions=3),
        ],
    )
    rows = merge(components, asked(*pairs))
    assert [(row.project_id, row.release) for row in rows] == list(pairs)
    assert [row.total_sessions for row in rows] == [3, None, 1]


def test_nothing_asked_for_is_nothing() -> None:
    components = found(sessions_by_status=[sessions(sessions=1)])
    assert merge(components, asked()) == ()


def test_components_are_matched_by_pair() -> None:
    """One release in two projects: the figures do not mix."""
    other = (2, "shop@1.0.0")
    components = found(
        sessions_by_status=[sessions(PAIR, sessions=4), sessions(other, sessions=8, crashed=2)],
        errored_sessions=[keyed(other, errored=3)],
        users_by_status=[users(PAIR, users=5), users(other, users=6, crashed=3)],
        durations=[keyed(other, p50=1.0, p90=2.0)],
        adoption=[],
        health_data=[],
        health_stats=[],
    )
    one, two = merge(components, SCOPE)
    assert (one.total_sessions, one.sessions_crashed, one.sessions_healthy) == (4, 0, 4)
    assert (two.total_sessions, two.sessions_crashed, two.sessions_healthy) == (8, 2, 5)
    assert (one.crash_free_users, two.crash_free_users) == (100.0, 50.0)
    assert (one.duration_p50, two.duration_p50) == (None, 1.0)


def test_series_has_every_bucket() -> None:
    """24 h around 12:30 are 25 hours from 12:00 of the day before, 1772366400, zero but for two."""
    scope = Scope.resolve(NOW, stats_period="24h")
    components = found(
        sessions_by_status=[sessions(sessions=9), sessions((1, "idle@1"))],
        health_stats=[
            keyed(PAIR, bucket=1_772_452_800, count=7),  # 12:00, the last
            keyed(PAIR, bucket=1_772_366_400, count=2),  # the first
        ],
    )
    busy, idle = merge(components, scope)
    assert busy.stats is not None
    assert idle.stats is not None
    assert busy.stats.keys() == idle.stats.keys() == {"24h"}
    points = busy.stats["24h"]
    assert len(points) == 25
    assert points[0] == (1_772_366_400, 2)
    assert points[-1] == (1_772_452_800, 7)
    assert [count for _, count in points[1:-1]] == [0] * 23
    assert idle.stats["24h"] == tuple((start, 0) for start, _ in points)


def test_series_of_an_unknown_release() -> None:
    """As long as any other, and all zeros."""
    row = merged(NOTHING, asked(PAIR, scope=Scope.resolve(NOW, stats_period="7d")))
    # Seven days before noon of 03-02 begin on 02-23; to the end of 03-02 these are 8 days.
    monday = 1_771_804_800
    assert row.stats == {"7d": tuple((monday + day * 86_400, 0) for day in range(8))}


def test_no_series_without_a_question() -> None:
    components = found(
        sessions_by_status=[sessions(sessions=1)],
        health_stats=[keyed(PAIR, bucket=1_772_452_800, count=7)],
    )
    assert merged(components).stats is None


def test_merging_keeps_no_trace() -> None:
    """Counts of absent rows are 0, in this answer and in the next."""
    pairs = asked(PAIR, (2, "x@1"))
    first = merge(found(sessions_by_status=[sessions(sessions=1)]), pairs)
    assert first[0].total_sessions == 1
    assert merge(NOTHING, pairs) == merge(NOTHING, pairs)
    assert merge(NOTHING, pairs)[0].total_sessions is None


def test_by_pair() -> None:
    row = keyed(PAIR, errored=1)
    assert by_pair([row]) == {PAIR: row}
