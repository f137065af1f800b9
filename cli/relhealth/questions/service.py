"""Release health's other questions: counts, bounds, stability, breakdowns, a release over time."""

from collections.abc import Callable, Collection
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
from relhealth.questions.counts import Counts, Group, counted

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
        self._asking.check_rows(scope)
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
        scope = self._scope(environments=environments).narrowed_to((pair,))
        rows = self._asking.get(components.SESSION_BOUNDS, scope)
        lower, upper = (
            floor_to(from_epoch_us(rows[0][name]), HOUR) if rows else None
            for name in ("first_seen", "last_seen")
        )
        return {"sessions_lower_bound": lower, "sessions_upper_bound": upper}

    def breakdown(
        self, pair: ProjectRelease, start: datetime, environments: tuple[str, ...] | None
    ) -> list[dict[str, Any]]:
        """Return crash-free figures from the start to some ages of the release."""
        points = []
        for date in _dates(start, self._now):
            scope = self._scope(
                whole_window(start, date, HOUR), environments=environments
            ).narrowed_to((pair,))
            one = self._total(scope, {"sessions", "users"})
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

    def _total(self, scope: Scope, needed: Collection[str]) -> Counts:
        return counted(self._asking, scope, needed=needed).get(Group(), Counts())

    def crash_free_rates(
        self, projects: tuple[int, ...], current: Window, previous: Window
    ) -> dict[int, dict[str, float | None]]:
        """Return the percent of crash-free sessions of each project in two windows."""
        both = [self.per_project(projects, window, None) for window in (current, previous)]
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
        scope = self._scope(window, projects=projects, environments=environments)
        found = counted(self._asking, scope, needed={"sessions"}, group_by={"project"})
        return {
            group.project_id: one
            for group, one in sorted(found.items(), key=lambda item: item[0].project_id or 0)
            if group.project_id is not None and one.sessions
        }

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
        found = counted(self._asking, scope, needed={order.needed}, group_by={"project", "release"})
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
        needed = _COUNTED[stat]
        found = {
            group.bucket: one
            for group, one in counted(
                self._asking, scope, needed={*needed, "durations"}, interval=interval
            ).items()
        }
        series = []
        for start in range(epoch(window.start), epoch(window.end), interval):
            one = found.get(start, Counts())
            durations = {f"duration_{name}": one.duration(name) for name in ("p50", "p90")}
            series.append((start, _by_status(one, stat) | durations))
        return series, _by_status(self._total(scope, needed), stat)

    def totals(
        self,
        pair: ProjectRelease,
        stat: Stat,
        window: Window,
        environments: tuple[str, ...] | None,
    ) -> dict[str, int]:
        """Return a release's sessions or users by status."""
        scope = self._scope(window, environments=environments).narrowed_to((pair,))
        return _by_status(self._total(scope, _COUNTED[stat]), stat)


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
