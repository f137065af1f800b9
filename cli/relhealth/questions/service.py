"""Release health's other questions: counts, bounds, stability, breakdowns, a release over time."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from relhealth.core.errors import QuestionError
from relhealth.core.scope import ProjectRelease, Scope, Stat
from relhealth.core.windows import (
    DAY,
    HOUR,
    Window,
    ceil_to,
    epoch,
    floor_to,
    from_epoch_us,
    totals_window,
    whole_window,
)
from relhealth.engines import components
from relhealth.questions.asking import Asking
from relhealth.questions.counts import Counting, Counts, Group, counted, counted_and_checked
from relhealth.questions.merge import by_pair

_CHANGED = timedelta(hours=72)
_COUNTED: dict[Stat, set[str]] = {"sessions": {"sessions", "errored"}, "users": {"users"}}
_MOST_BUCKETS = 10_000
_AGES = tuple(timedelta(days=days) for days in (1, 2, 7, 14, 30))


@dataclass(frozen=True, slots=True)
class _Stability:
    """An order of releases: what it reads, which figure, and whether the greatest comes first."""

    needed: str
    figure: Callable[[Counts], float | None]
    most_first: bool


_STABILITIES = {
    "sessions": _Stability("sessions", lambda one: one.sessions, most_first=True),
    "users": _Stability("users", lambda one: one.users, most_first=True),
    "crash_free_sessions": _Stability(
        "sessions", lambda one: one.crash_free_sessions, most_first=False
    ),
    "crash_free_users": _Stability("users", lambda one: one.crash_free_users, most_first=False),
}
STABILITIES = (*_STABILITIES, *(f"{name}_24h" for name in _STABILITIES))


class Service:
    """The questions, asked of opened sources about one instant."""

    def __init__(self, asking: Asking, now: datetime) -> None:
        """Nothing is read yet."""
        self._asking = asking
        self._now = now

    def _scope(
        self,
        window: Window | None = None,
        *,
        projects: tuple[int, ...] | None = None,
        environments: tuple[str, ...] | None = None,
        releases: tuple[str, ...] | None = None,
    ) -> Scope:
        scope = Scope.resolve(self._now, projects=projects, environments=environments)
        scope = replace(scope, releases=releases).over(window or scope.health)
        self._asking.check(scope)
        return scope

    def with_health_data(
        self, projects: tuple[int, ...], releases: tuple[str, ...], start: datetime, end: datetime
    ) -> set[str]:
        """Return the releases with session counters in a window of whole hours."""
        window = whole_window(start, end, HOUR)
        rows = self._asking.get(
            components.SEEN, self._scope(window, projects=projects, releases=releases)
        )
        return {row["release"] for row in rows}

    def changed(self, projects: tuple[int, ...]) -> set[ProjectRelease]:
        """Return the pairs with session counters in the last 72 hours."""
        window = whole_window(self._now - _CHANGED, self._now, HOUR)
        rows = self._asking.get(components.SEEN, self._scope(window, projects=projects))
        return {(row["project_id"], row["release"]) for row in rows if row["release"] is not None}

    def oldest(self, pairs: tuple[ProjectRelease, ...]) -> dict[ProjectRelease, datetime]:
        """Return the first hour with session counters in 90 days, of the pairs that have any."""
        if not pairs:
            return {}
        rows = self._asking.get(components.SEEN, self._scope().narrowed_to(pairs))
        found = {(row["project_id"], row["release"]): row["first_seen"] for row in rows}
        return {pair: floor_to(from_epoch_us(found[pair]), HOUR) for pair in pairs if pair in found}

    def bounds(
        self, pair: ProjectRelease, environments: tuple[str, ...] | None
    ) -> dict[str, datetime | None]:
        """Return the first and the last hour with session counters or durations in 90 days."""
        return self.all_bounds((pair,), environments)[pair]

    def all_bounds(
        self, pairs: tuple[ProjectRelease, ...], environments: tuple[str, ...] | None
    ) -> dict[ProjectRelease, dict[str, datetime | None]]:
        """Return the bounds of several releases."""
        scope = self._scope(environments=environments).narrowed_to(pairs)
        found = by_pair(self._asking.get(components.SESSION_BOUNDS, scope) if pairs else ())
        names = {"sessions_lower_bound": "first_seen", "sessions_upper_bound": "last_seen"}
        return {
            pair: {
                name: floor_to(from_epoch_us(found[pair][seen]), HOUR) if pair in found else None
                for name, seen in names.items()
            }
            for pair in pairs
        }

    def count(
        self, countings: Iterable[Counting], scope: Scope
    ) -> tuple[list[dict[Group, Counts]], dict[str, int]]:
        """Count together, with the rows of a scope that cannot count, by reason."""
        return counted_and_checked(self._asking, scope, *countings)

    def breakdown(
        self, pair: ProjectRelease, start: datetime, environments: tuple[str, ...] | None
    ) -> list[dict[str, Any]]:
        """Return crash-free figures from the start to some ages of the release."""
        ages = self.ages(pair, start, environments)
        return points_of_ages(ages, counted(self._asking, *ages.values()))

    def ages(
        self, pair: ProjectRelease, start: datetime, environments: tuple[str, ...] | None
    ) -> dict[datetime, Counting]:
        """Return what to count from the start to each age of a release."""
        return {
            date: Counting(
                self._scope(whole_window(start, date, HOUR), environments=environments).narrowed_to(
                    (pair,)
                ),
                {"sessions", "users"},
            )
            for date in _dates(start, self._now)
        }

    def crash_free_rates(
        self, projects: tuple[int, ...], current: Window, previous: Window
    ) -> dict[int, dict[str, float | None]]:
        """Return the percent of crash-free sessions of each project in two windows."""
        both = self._per_project(projects, (current, previous), None)
        return {
            project: {
                name: found[project].crash_free_sessions if project in found else None
                for name, found in zip(("current", "previous"), both, strict=True)
            }
            for project in projects
        }

    def per_project(
        self,
        projects: tuple[int, ...],
        window: Window,
        environments: tuple[str, ...] | None,
    ) -> dict[int, Counts]:
        """Count the sessions of each project that has any."""
        (found,) = self._per_project(projects, (window,), environments)
        return found

    def _per_project(
        self,
        projects: tuple[int, ...],
        windows: Iterable[Window],
        environments: tuple[str, ...] | None,
    ) -> list[dict[int, Counts]]:
        scopes = [
            self._scope(window, projects=projects, environments=environments) for window in windows
        ]
        counts = counted(
            self._asking, *(Counting(scope, {"sessions"}, {"project"}) for scope in scopes)
        )
        return [
            {
                group.project_id: one
                for group, one in sorted(found.items(), key=lambda item: item[0].project_id or 0)
                if group.project_id is not None and one.sessions
            }
            for found in counts
        ]

    def by_stability(
        self,
        projects: tuple[int, ...] | None,
        stability: str,
        period: str,
        environments: tuple[str, ...] | None,
    ) -> list[ProjectRelease]:
        """Return the pairs with data of the order's kind: most first, of crash-free worst first."""
        order = _STABILITIES[stability.removesuffix("_24h")]
        window = totals_window(self._now, "24h" if stability.endswith("_24h") else period)
        scope = self._scope(window, projects=projects, environments=environments)
        (found,) = counted(self._asking, Counting(scope, {order.needed}, {"project", "release"}))
        ranked = []
        for group, one in found.items():
            figure = order.figure(one)
            some = one.users if order.needed == "users" else one.sessions
            if group.project_id is None or not group.release or not some or figure is None:
                continue
            rank = -figure if order.most_first else figure
            ranked.append((rank, group.project_id, group.release))
        return [(project, release) for _, project, release in sorted(ranked)]

    def release_stats(
        self,
        pair: ProjectRelease,
        stat: Stat,
        window: Window,
        interval: int,
        environments: tuple[str, ...] | None,
    ) -> tuple[list[tuple[int, dict[str, Any]]], dict[str, Any]]:
        """Return a series of every bucket of the window, and the totals over all of it."""
        scope = self._scope(window, environments=environments).narrowed_to((pair,))
        buckets, totals = counted(
            self._asking, over_time(scope, stat, interval), in_total(scope, stat)
        )
        return series_of(buckets, stat, window, interval), totals_of(totals, stat)


def over_time(scope: Scope, stat: Stat, interval: int) -> Counting:
    """Return what to count for the series of a release."""
    return Counting(scope, {*_COUNTED[stat], "durations"}, interval=interval)


def in_total(scope: Scope, stat: Stat) -> Counting:
    """Return what to count for the totals of a release."""
    return Counting(scope, _COUNTED[stat])


def series_of(
    buckets: Mapping[Group, Counts], stat: Stat, window: Window, interval: int
) -> list[tuple[int, dict[str, Any]]]:
    """Return the figures of every bucket of a window."""
    found = {group.bucket: one for group, one in buckets.items()}
    series = []
    for start in range(epoch(window.start), epoch(window.end), interval):
        one = found.get(start, Counts())
        durations = {f"duration_{name}": one.duration(name) for name in ("p50", "p90")}
        series.append((start, _by_status(one, stat) | durations))
    return series


def totals_of(found: Mapping[Group, Counts], stat: Stat) -> dict[str, int]:
    """Return a release's sessions or users by status."""
    return _by_status(found.get(Group(), Counts()), stat)


def points_of_ages(
    dates: Iterable[datetime], found: Iterable[Mapping[Group, Counts]]
) -> list[dict[str, Any]]:
    """Return crash-free figures from the start of a release to each of some dates."""
    points = []
    for date, counts in zip(dates, found, strict=True):
        one = counts.get(Group(), Counts())
        points.append(
            {
                "date": date,
                "total_users": one.users,
                "crash_free_users": one.crash_free_users,
                "total_sessions": one.sessions,
                "crash_free_sessions": one.crash_free_sessions,
            }
        )
    return points


def _by_status(one: Counts, stat: Stat) -> dict[str, int]:
    if stat == "users":
        return {
            "users": one.users,
            "users_healthy": one.users_healthy,
            "users_errored": one.users_errored,
            "users_crashed": one.users_crashed,
            "users_abnormal": one.users_abnormal,
            "users_unhandled": one.users_unhandled,
        }
    return {
        "sessions": one.sessions,
        "sessions_healthy": one.healthy,
        "sessions_errored": one.errored,
        "sessions_crashed": one.crashed,
        "sessions_abnormal": one.abnormal,
        "sessions_unhandled": one.unhandled,
    }


def _dates(start: datetime, now: datetime) -> list[datetime]:
    """Return the ages up to now, once; the first beyond it becomes now, if no mere day later."""
    dates: list[datetime] = []
    for age in _AGES:
        date = start + age
        if date > now:
            if not dates or (date - dates[-1] > timedelta(days=1) and now > dates[-1]):
                dates.append(now)
            break
        dates.append(date)
    return [date for date in dates if date >= start]


def check_stability(stability: str) -> str:
    """Return the name of an order of releases; ``QuestionError`` for an unknown one."""
    if stability not in STABILITIES:
        known = ", ".join(STABILITIES)
        raise QuestionError(f"unknown scope {stability!r}: expected one of {known}")
    return stability


def check_interval(interval: int) -> int:
    """Return the width of buckets in seconds, which divides a day."""
    if type(interval) is not int or interval < 1 or DAY % interval:
        raise QuestionError(f"interval {interval!r}: expected whole seconds that divide a day")
    return interval


def series_window(start: datetime, end: datetime, interval: int) -> Window:
    """Return the whole buckets of a release's series, which begin with the one after the start."""
    first = floor_to(start, interval) + timedelta(seconds=interval)
    window = Window(first, max(first, ceil_to(end, interval)))
    buckets = (window.end - window.start) // timedelta(seconds=interval)
    if buckets > _MOST_BUCKETS:
        raise QuestionError(
            f"{buckets:,} buckets of {interval} s: at most {_MOST_BUCKETS:,};"
            " ask for longer ones or a shorter window"
        )
    return window
