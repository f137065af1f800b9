"""The release-health figures in plain Python, worked out from the design and not from the product.

Metric rows are mappings with the columns of the data contract and aware timestamps. Times are
counted in integer microseconds since the epoch, shares in exact fractions until the last step.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
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
INTERVALS = {
    period: HOUR if length <= 2 * DAY else DAY if length <= 30 * DAY else 3 * DAY
    for period, length in PERIODS.items()
}
LENGTHS = {"s": SECOND, "m": 60 * SECOND, "h": HOUR, "d": DAY, "w": 7 * DAY}

STATUS = "session.status"
KEYS = ("project", "release", "environment", STATUS)
STATUSES = ("healthy", "errored", "unhandled", "crashed", "abnormal")
PERCENTILES = ("p50", "p75", "p90", "p95", "p99")
RATES = {
    "crash_rate": ("crashed",),
    "unhandled_rate": ("unhandled", "crashed"),
    "errored_rate": ("errored",),
    "abnormal_rate": ("abnormal",),
}
ANRS = {
    "anr_rate": ("anr_foreground", "anr_background"),
    "foreground_anr_rate": ("anr_foreground",),
}
FIELDS = (
    "sum(session)",
    "count_unique(user)",
    *(f"{name}(session.duration)" for name in ("avg", *PERCENTILES, "max")),
    *(f"{name}({what})" for name in (*RATES, "crash_free_rate") for what in ("session", "user")),
    *(f"{name}()" for name in ANRS),
)


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

    @classmethod
    def around(cls, start: datetime, end: datetime, granularity: int) -> Window:
        """The window from start to end, widened to the grid on both sides."""
        return cls.before(end, microseconds(end) - microseconds(start), granularity)

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
    mechanism: str | None

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


def check_releases_have_health_data(
    rows: Iterable[Mapping[str, Any]],
    project_ids: Iterable[int],
    releases: Iterable[str],
    *,
    start: datetime,
    end: datetime,
) -> set[str]:
    """The releases with session counters in the window's full hours."""
    data = Window.around(start, end, HOUR).of(_select(rows, project_ids, None, releases))
    return {datum.release for datum in data if datum.metric == SESSIONS}


def changed_project_releases(
    rows: Iterable[Mapping[str, Any]], project_ids: Iterable[int], *, now: datetime
) -> set[Pair]:
    """The pairs with session counters in the last 72 hours."""
    data = Window.before(now, 72 * HOUR, HOUR).of(_select(rows, project_ids, None))
    return {datum.pair for datum in data if datum.metric == SESSIONS and datum.release}


def oldest_health_data(
    rows: Iterable[Mapping[str, Any]], pairs: Iterable[Pair], *, now: datetime
) -> dict[Pair, datetime]:
    """The first hour with session counters in 90 days, of the pairs that have any."""
    lately = _ninety_days(now).of(_select(rows, None, None))
    seen = {p: [d.at for d in lately if d.metric == SESSIONS and d.pair == p] for p in pairs}
    return {pair: _hour(min(times)) for pair, times in seen.items() if times}


def session_time_bounds(
    rows: Iterable[Mapping[str, Any]],
    project_id: int,
    release: str,
    *,
    now: datetime,
    environments: Iterable[str] | None = None,
) -> dict[str, datetime | None]:
    """The first and last hour with session counters or durations in 90 days."""
    lately = _ninety_days(now).of(_select(rows, [project_id], environments, [release]))
    times = [datum.at for datum in lately if datum.metric in {SESSIONS, DURATIONS}]
    return {
        "sessions_lower_bound": _hour(min(times)) if times else None,
        "sessions_upper_bound": _hour(max(times)) if times else None,
    }


def crash_free_breakdown(
    rows: Iterable[Mapping[str, Any]],
    project_id: int,
    release: str,
    *,
    start: datetime,
    now: datetime,
    environments: Iterable[str] | None = None,
) -> list[Row]:
    """Crash-free figures from the start to each age of the release, and to now."""
    data = _select(rows, [project_id], environments, [release])
    points = []
    for date in _ages(start, now):
        part = Window.around(start, date, HOUR).of(data)
        sessions, users = _counts(part, "session"), _counts(part, "user")
        points.append(
            {
                "date": date,
                "total_users": users["all"],
                "crash_free_users": _percent_left(users["crashed"], users["all"]),
                "total_sessions": sessions["all"],
                "crash_free_sessions": _percent_left(sessions["crashed"], sessions["all"]),
            }
        )
    return points


def crash_free_rates(
    rows: Iterable[Mapping[str, Any]],
    project_ids: Iterable[int],
    *,
    current: tuple[datetime, datetime],
    previous: tuple[datetime, datetime],
    interval: int = 3600,
) -> dict[int, dict[str, float | None]]:
    """Each project's percent of sessions without a crash, in two windows."""
    rates: dict[int, dict[str, float | None]] = {}
    for project in project_ids:
        data = _select(rows, [project], None)
        rates[project] = {}
        for name, span in (("current", current), ("previous", previous)):
            sessions = _counts(Window.around(*span, interval * SECOND).of(data), "session")
            rates[project][name] = _percent_left(sessions["crashed"], sessions["all"])
    return rates


def sessions_count(
    rows: Iterable[Mapping[str, Any]],
    project_id: int,
    *,
    start: datetime,
    end: datetime,
    interval: int = 3600,
    environments: Iterable[str] | None = None,
) -> int:
    """The sessions that started in the window's full intervals."""
    data = _select(rows, [project_id], environments)
    return _sessions(Window.around(start, end, interval * SECOND).of(data), "init")


def sessions_per_project(
    rows: Iterable[Mapping[str, Any]], project_ids: Iterable[int], **asked: Any
) -> dict[int, int]:
    """The sessions of each project with any; other arguments as in ``sessions_count``."""
    rows = list(rows)
    counts = {project: sessions_count(rows, project, **asked) for project in project_ids}
    return {project: count for project, count in counts.items() if count}


def releases_by_stability(  # noqa: PLR0913 - the question has that many parts
    rows: Iterable[Mapping[str, Any]],
    project_ids: Iterable[int] | None = None,
    *,
    now: datetime,
    scope: str = "sessions",
    period: str = "24h",
    environments: Iterable[str] | None = None,
    offset: int = 0,
    limit: int | None = None,
) -> list[Pair]:
    """The pairs with data of the scope's kind, most first, or worst first."""
    span = DAY if scope.endswith("_24h") else PERIODS[period]
    scope = scope.removesuffix("_24h")
    subject = "session" if scope.endswith("sessions") else "user"
    groups: dict[Pair, list[Datum]] = defaultdict(list)
    for datum in Window.before(now, span, HOUR).of(_select(rows, project_ids, environments)):
        if datum.release:
            groups[datum.pair].append(datum)
    ranks = []
    for pair, data in groups.items():
        counts = _counts(data, subject)
        if counts["all"] and scope.startswith("crash_free"):
            ranks.append((1 - min(Fraction(1), Fraction(counts["crashed"], counts["all"])), pair))
        elif counts["all"]:
            ranks.append((Fraction(-counts["all"]), pair))
    pairs = [pair for _, pair in sorted(ranks)]
    return pairs[offset:] if limit is None else pairs[offset : offset + limit]


def releases_count(rows: Iterable[Mapping[str, Any]], *args: Any, **asked: Any) -> int:
    """How many pairs ``releases_by_stability`` has, asked alike."""
    return len(releases_by_stability(rows, *args, **asked))


def release_stats(  # noqa: PLR0913 - the question has that many parts
    rows: Iterable[Mapping[str, Any]],
    project_id: int,
    release: str,
    *,
    start: datetime,
    end: datetime,
    stat: str = "sessions",
    interval: int = 3600,
    environments: Iterable[str] | None = None,
) -> tuple[list[tuple[int, Row]], Row]:
    """Every bucket after the start's own, and the totals of all these together."""
    step = interval * SECOND
    begin, stop = Window.around(start, end, step)
    data = _select(rows, [project_id], environments, [release])

    def figures(part: list[Datum]) -> Row:
        counts = _counts(part, stat.removesuffix("s"))
        return {stat: counts["all"]} | {f"{stat}_{name}": counts[name] for name in STATUSES}

    series = []
    for at in range(begin + step, stop, step):
        bucket = Window(at, at + step).of(data)
        durations = {
            "duration_p50": _quantile(bucket, Fraction(1, 2)),
            "duration_p90": _quantile(bucket, Fraction(9, 10)),
        }
        series.append((at // SECOND, figures(bucket) | durations))
    return series, figures(Window(begin + step, stop).of(data))


def query(  # noqa: PLR0913 - the question has that many parts
    rows: Iterable[Mapping[str, Any]],
    fields: Sequence[str],
    *,
    now: datetime,
    group_by: Iterable[str] = (),
    period: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    interval: str = "1h",
    projects: Iterable[int] | None = None,
    releases: Iterable[str] | None = None,
    environments: Iterable[str] | None = None,
    statuses: Iterable[str] | None = None,
    order_by: str | None = None,
    limit: int | None = None,
    offset: int = 0,
) -> Row:
    """The sessions query's answer, its instants as such."""
    step = length(interval)
    if start is None or end is None:
        window = Window.before(now, length(period or "24h"), step)
    else:
        window = Window.around(start, end, step)
    starts = range(window.start, window.end, step)
    asked = _Asked(tuple(group_by), None if statuses is None else set(statuses))
    told = [field for field in fields if asked.tells(field)]
    keys = [key for key in KEYS if key in asked.group_by and key != STATUS]

    buckets: dict[tuple[Any, ...], dict[int, list[Datum]]] = {}
    if told and not keys:
        buckets[()] = defaultdict(list)
    for datum in window.of(_select(rows, projects, environments, releases)):
        if any(asked.reads(field, datum) for field in told):
            named = tuple(getattr(datum, key) for key in keys)
            of_group = buckets.setdefault(named, defaultdict(list))
            of_group[datum.at // step * step].append(datum)

    groups = []
    for names, parts in buckets.items():
        everything = [datum for part in parts.values() for datum in part]
        for status in asked.shown():
            by = dict(zip(keys, names, strict=True)) | ({STATUS: status} if status else {})
            totals = {field: asked.value(field, everything, status) for field in fields}
            series = {
                field: [asked.value(field, parts.get(at, []), status) for at in starts]
                for field in fields
            }
            groups.append({"by": by, "totals": totals, "series": series})

    order = order_by or ("-sum(session)" if "sum(session)" in fields else f"-{fields[0]}")
    sign = -1 if order.startswith("-") else 1

    def rank(group: Row) -> tuple[Any, ...]:
        figure = group["totals"][order.removeprefix("-")]
        return figure is None, sign * (figure or 0), tuple(group["by"].values())

    groups.sort(key=rank)
    return {
        "start": _instant(window.start),
        "end": _instant(window.end),
        "intervals": [_instant(at) for at in starts],
        "groups": groups[offset:] if limit is None else groups[offset : offset + limit],
    }


def is_invalid(row: Mapping[str, Any]) -> bool:
    """Whether the row is of a session metric but invalid."""
    if row["metric"] in {USERS, ERRORS}:
        return row["member"] is None
    if row["metric"] in {SESSIONS, DURATIONS}:
        value: float | None = row["value"]
        if value is None or not math.isfinite(value) or value < 0:
            return True
        return row["metric"] == SESSIONS and (value != int(value) or value > 2**32)
    return False


def microseconds(instant: datetime) -> int:
    """Whole microseconds since the epoch."""
    return (instant - EPOCH) // MICROSECOND


def length(text: str) -> int:
    """The microseconds of a length of time such as 90m or 1d."""
    match = re.fullmatch(r"(\d+)([smhdw])", text)
    assert match, text
    return int(match[1]) * LENGTHS[match[2]]


def _select(
    rows: Iterable[Mapping[str, Any]],
    projects: Iterable[int] | None,
    environments: Iterable[str] | None,
    releases: Iterable[str] | None = None,
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
            mechanism=row["abnormal_mechanism"],
        )
        for row in rows
        if row["metric"] in {SESSIONS, USERS, ERRORS, DURATIONS} and not is_invalid(row)
    ]
    wanted_projects = None if projects is None else set(projects)
    wanted_environments = None if environments is None else set(environments)
    wanted_releases = None if releases is None else set(releases)
    return [
        datum
        for datum in data
        if (wanted_projects is None or datum.project in wanted_projects)
        and (wanted_environments is None or datum.environment in wanted_environments)
        and (wanted_releases is None or datum.release in wanted_releases)
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
    interval = INTERVALS[period]
    window = Window.before(now, PERIODS[period], interval)
    points = []
    for start in range(window.start, window.end, interval):
        bucket = Window(start, start + interval).of(own)
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


def _percent(part: int, total: int) -> float | None:
    return float(min(Fraction(100), Fraction(100 * part, total))) if total else None


def _percent_left(part: int, total: int) -> float | None:
    return float(max(Fraction(0), 100 - Fraction(100 * part, total))) if total else None


class _Asked(NamedTuple):
    """How a sessions query separates statuses, and which it keeps (None: all)."""

    group_by: tuple[str, ...]
    statuses: set[str] | None

    def shown(self) -> list[str | None]:
        """The statuses that have groups of their own, or None for one of all."""
        if STATUS not in self.group_by:
            return [None]
        return [one for one in STATUSES if self.statuses is None or one in self.statuses]

    def tells(self, field: str) -> bool:
        """Whether the field has a value under the filter: durations are of healthy sessions."""
        if self.statuses is None:
            return True
        name, _ = _parts(field)
        kept = self.statuses & set(STATUSES)
        return bool(kept) if name in {"sum", "count_unique"} else "healthy" in kept

    def reads(self, field: str, datum: Datum) -> bool:
        """Whether the field reads it; also sessions' errors if statuses are separate."""
        name, what = _parts(field)
        if what == "session.duration":
            return datum.metric == DURATIONS and datum.status == "exited"
        if what != "session":
            return datum.metric == USERS
        by_status = STATUS in self.group_by or self.statuses is not None
        errors = name == "errored_rate" or (name == "sum" and by_status)
        return datum.metric == SESSIONS or (errors and datum.metric == ERRORS)

    def value(self, field: str, data: list[Datum], status: str | None) -> float | None:
        """The field of these data: of one status, or of all that are kept."""
        name, what = _parts(field)
        if what == "session.duration":
            told = self.tells(field) and status in {None, "healthy"}
            return _duration(name, data) if told else None
        if name in ANRS:
            users = [datum for datum in data if datum.metric == USERS]
            stuck = [datum for datum in users if datum.mechanism in ANRS[name]]
            return _share(_distinct(stuck, USERS), _distinct(users, USERS))
        counts = _counts(data, what)
        if name == "crash_free_rate":
            return _share(counts["crashed"], counts["all"], left=True)
        if name in RATES:
            return _share(sum(counts[part] for part in RATES[name]), counts["all"])
        if status is not None:
            return counts[status]
        if self.statuses is None:
            return counts["all"]
        return sum(counts[one] for one in STATUSES if one in self.statuses)


def _parts(field: str) -> tuple[str, str]:
    name, what = field.removesuffix(")").split("(")
    return name, what


def _counts(data: Iterable[Datum], subject: str) -> dict[str, int]:
    """Sessions or users by status, and all of them."""
    data = list(data)
    if subject == "session":
        total = _sessions(data, "init")
        with_errors = _distinct(data, ERRORS) + _sessions(data, "errored_preaggr")
        ended = {name: _sessions(data, name) for name in ("unhandled", "crashed", "abnormal")}
    else:
        total, with_errors = _users(data), _users(data, "errored")
        ended = {name: _users(data, name) for name in ("unhandled", "crashed", "abnormal")}
    return {
        "all": total,
        "healthy": max(0, total - with_errors),
        "errored": max(0, with_errors - sum(ended.values())),
        **ended,
    }


def _duration(name: str, data: Iterable[Datum]) -> float | None:
    """A figure of the durations of exited sessions."""
    if name in PERCENTILES:
        return _quantile(data, Fraction(int(name.removeprefix("p")), 100))
    values = [d.value for d in data if d.metric == DURATIONS and d.status == "exited"]
    if not values:
        return None
    return float(sum(map(Fraction, values)) / len(values)) if name == "avg" else max(values)


def _share(part: int, total: int, *, left: bool = False) -> float | None:
    """The share of the total, or the rest of it, 0 to 1."""
    if not total:
        return None
    share = min(Fraction(1), Fraction(part, total))
    return float(1 - share if left else share)


def _ages(start: datetime, now: datetime) -> list[datetime]:
    """The ages of a release up to now, which takes the place of the first beyond it."""
    dates: list[datetime] = []
    for days in (1, 2, 7, 14, 30):
        date = start + timedelta(days=days)
        if date > now:
            if not dates or (date - dates[-1] > timedelta(days=1) and now > dates[-1]):
                dates.append(now)
            break
        dates.append(date)
    return [date for date in dates if date >= start]


def _instant(at: int) -> datetime:
    return EPOCH + timedelta(microseconds=at)


def _hour(at: int) -> datetime:
    return _instant(at // HOUR * HOUR)
