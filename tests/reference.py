"""The release-health figures in plain Python, worked out from the design and not from the product.

Metric rows are mappings with the columns of the data contract and aware timestamps. Times are
counted in whole microseconds since the epoch, shares in exact fractions until the last step.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Pair: TypeAlias = tuple[int, str]
Row: TypeAlias = dict[str, Any]
ProjectOrPair = TypeVar("ProjectOrPair", int, Pair)

SESSIONS = "c:sessions/session@none"
USERS = "s:sessions/user@none"
ERRORS = "s:sessions/error@none"
DURATIONS = "d:sessions/duration@second"

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR

PERIODS = {
    "1h": HOUR,
    "24h": DAY,
    "1d": DAY,
    "48h": 2 * DAY,
    "2d": 2 * DAY,
    "7d": 7 * DAY,
    "14d": 14 * DAY,
    "30d": 30 * DAY,
    "90d": 90 * DAY,
}
ROLLUPS = {
    period: HOUR if length <= 2 * DAY else DAY if length <= 30 * DAY else 3 * DAY
    for period, length in PERIODS.items()
}


class Window(NamedTuple):
    """Half-open, on the grid of its granularity."""

    start: int
    end: int

    @classmethod
    def before(cls, now: datetime, length: int, granularity: int) -> Window:
        """The window of that length up to now, widened to the grid on both sides."""
        instant = microseconds(now)
        return cls(
            (instant - length) // granularity * granularity,
            -(-instant // granularity) * granularity,
        )

    def of(self, data: Iterable[Datum]) -> list[Datum]:
        """The data that lie in the window."""
        return [datum for datum in data if self.start <= datum.at < self.end]


class Datum(NamedTuple):
    """A valid row of one of the four session metrics; '' is no release, no environment."""

    project: int
    at: int
    metric: str
    release: str
    environment: str
    status: str | None
    value: float
    member: int

    @property
    def pair(self) -> Pair:
        """The project and release it counts for."""
        return self.project, self.release


def overview(  # noqa: PLR0913 - the question has that many parts
    rows: Iterable[Mapping[str, Any]],
    *,
    now: datetime,
    period: str = "24h",
    stats_period: str | None = None,
    stat: str = "sessions",
    pairs: Sequence[Pair] | None = None,
    projects: Iterable[int] | None = None,
    environments: Iterable[str] | None = None,
) -> list[Row]:
    """The answer's rows: one per asked pair in their order, else one per pair with sessions."""
    data = _select(rows, projects, environments)
    summary = Window.before(now, PERIODS[period], HOUR).of(data)
    if pairs is None:
        pairs = sorted({d.pair for d in summary if d.metric == SESSIONS and d.release})
    return [
        _overview_row(data, summary, pair, now=now, stats_period=stats_period, stat=stat)
        for pair in dict.fromkeys(pairs)
    ]


def adoption(
    rows: Iterable[Mapping[str, Any]],
    pairs: Iterable[Pair],
    *,
    now: datetime,
    environments: Iterable[str] | None = None,
) -> dict[Pair, Row]:
    """The last 24 hours' shares and counts of each pair, without pairs never seen in 90 days."""
    data = _select(rows, None, environments)
    shares = {pair: _adoption_of(data, pair, now) for pair in pairs}
    return {pair: share for pair, share in shares.items() if share is not None}


def has_health_data(
    rows: Iterable[Mapping[str, Any]],
    asked: Iterable[ProjectOrPair],
    *,
    now: datetime,
    environments: Iterable[str] | None = None,
) -> set[ProjectOrPair]:
    """Those of the asked projects, or pairs, that have a session counter row in 90 days."""
    lately = _ninety_days(now).of(_select(rows, None, environments))
    counters = [datum for datum in lately if datum.metric == SESSIONS]
    known = {d.project for d in counters} | {d.pair for d in counters}
    return {one for one in asked if one in known}


def is_invalid(row: Mapping[str, Any]) -> bool:
    """Whether the row is of a session metric but cannot count."""
    if row["metric"] in {USERS, ERRORS}:
        return row["member"] is None
    if row["metric"] in {SESSIONS, DURATIONS}:
        value: float | None = row["value"]
        if value is None or not math.isfinite(value) or value < 0:
            return True
        return row["metric"] == SESSIONS and value != int(value)
    return False


def microseconds(instant: datetime) -> int:
    """Whole microseconds since the epoch."""
    return (instant - EPOCH) // MICROSECOND


def _select(
    rows: Iterable[Mapping[str, Any]],
    projects: Iterable[int] | None,
    environments: Iterable[str] | None,
) -> list[Datum]:
    data = [
        Datum(
            project=row["project_id"],
            at=microseconds(row["timestamp"]),
            metric=row["metric"],
            release=row["release"] or "",
            environment=row["environment"] or "",
            status=row["session_status"],
            value=row["value"],
            member=row["member"],
        )
        for row in rows
        if row["metric"] in {SESSIONS, USERS, ERRORS, DURATIONS} and not is_invalid(row)
    ]
    wanted_projects = None if projects is None else set(projects)
    wanted_environments = None if environments is None else set(environments)
    return [
        datum
        for datum in data
        if (wanted_projects is None or datum.project in wanted_projects)
        and (wanted_environments is None or datum.environment in wanted_environments)
    ]


def _overview_row(
    data: list[Datum],
    summary: list[Datum],
    pair: Pair,
    *,
    now: datetime,
    stats_period: str | None,
    stat: str,
) -> Row:
    project, release = pair
    own = [datum for datum in data if datum.pair == pair]
    summary = [datum for datum in summary if datum.pair == pair]

    sessions = _sessions(summary, "init")
    crashed = _sessions(summary, "crashed")
    abnormal = _sessions(summary, "abnormal")
    unhandled = _sessions(summary, "unhandled")
    with_errors = _distinct(summary, ERRORS) + _sessions(summary, "errored_preaggr")
    users = _users(summary)
    users_crashed = _users(summary, "crashed")
    users_unhandled = _users(summary, "unhandled")
    counted_lately = any(d.metric == SESSIONS for d in _ninety_days(now).of(own))
    share = _adoption_of(data, pair, now) or {}

    return {
        "project_id": project,
        "release": release,
        "adoption": share.get("adoption"),
        "sessions_adoption": share.get("sessions_adoption"),
        "total_users_24h": share.get("users_24h"),
        "total_project_users_24h": share.get("project_users_24h"),
        "total_sessions_24h": share.get("sessions_24h"),
        "total_project_sessions_24h": share.get("project_sessions_24h"),
        "total_sessions": sessions or None,
        "total_users": users or None,
        "has_health_data": sessions > 0 or counted_lately,
        "sessions_crashed": crashed,
        "sessions_abnormal": abnormal,
        "sessions_unhandled": unhandled,
        "sessions_errored": max(0, with_errors - crashed - unhandled - abnormal),
        "sessions_healthy": max(0, sessions - with_errors),
        "users_crashed": users_crashed,
        "users_unhandled": users_unhandled,
        "crash_free_sessions": _percent_left(crashed, sessions),
        "crash_free_users": _percent_left(users_crashed, users),
        "unhandled_session_rate": _percent(unhandled + crashed, sessions),
        "unhandled_user_rate": _percent(users_unhandled + users_crashed, users),
        "duration_p50": _quantile(summary, Fraction(1, 2)),
        "duration_p90": _quantile(summary, Fraction(9, 10)),
        "stats": stats_period and {stats_period: _series(own, now, stats_period, stat)},
    }


def _adoption_of(data: list[Datum], pair: Pair, now: datetime) -> Row | None:
    """The pair's part of its project's last 24 hours, or None where 90 days know nothing of it."""
    if not any(datum.pair == pair for datum in _ninety_days(now).of(data)):
        return None
    project, _ = pair
    last_day = [d for d in Window.before(now, DAY, HOUR).of(data) if d.project == project]
    of_pair = [datum for datum in last_day if datum.pair == pair]
    users, project_users = _users(of_pair), _users(last_day)
    sessions, project_sessions = _sessions(of_pair, "init"), _sessions(last_day, "init")
    return {
        "adoption": _percent(users, project_users) if users else None,
        "sessions_adoption": _percent(sessions, project_sessions) if sessions else None,
        "users_24h": users,
        "sessions_24h": sessions,
        "project_users_24h": project_users,
        "project_sessions_24h": project_sessions,
    }


def _series(own: list[Datum], now: datetime, period: str, stat: str) -> list[list[int]]:
    rollup = ROLLUPS[period]
    window = Window.before(now, PERIODS[period], rollup)
    points = []
    for start in range(window.start, window.end, rollup):
        bucket = Window(start, start + rollup).of(own)
        count = _sessions(bucket, "init") if stat == "sessions" else _users(bucket)
        points.append([start // SECOND, count])
    return points


def _ninety_days(now: datetime) -> Window:
    return Window.before(now, 90 * DAY, DAY)


def _sessions(data: Iterable[Datum], status: str) -> int:
    return sum(int(d.value) for d in data if d.metric == SESSIONS and d.status == status)


def _users(data: Iterable[Datum], status: str | None = None) -> int:
    """Distinct users of that status, or of any."""
    return _distinct((d for d in data if status is None or d.status == status), USERS)


def _distinct(data: Iterable[Datum], metric: str) -> int:
    return len({datum.member for datum in data if datum.metric == metric})


def _quantile(data: Iterable[Datum], share: Fraction) -> float | None:
    """The duration at that share of the sorted durations, linear between neighbours."""
    ordered = sorted(d.value for d in data if d.metric == DURATIONS and d.status == "exited")
    if not ordered:
        return None
    place = (len(ordered) - 1) * share
    below = math.floor(place)
    above = math.ceil(place)
    low, high = Fraction(ordered[below]), Fraction(ordered[above])
    return float(low + (high - low) * (place - below))


def _percent(part: int, whole: int) -> float | None:
    return float(min(Fraction(100), Fraction(100 * part, whole))) if whole else None


def _percent_left(part: int, whole: int) -> float | None:
    return float(max(Fraction(0), 100 - Fraction(100 * part, whole))) if whole else None
