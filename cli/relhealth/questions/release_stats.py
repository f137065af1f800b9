"""The sessions or users of a release by status: over time, and in total."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from relhealth.core.errors import QuestionError
from relhealth.core.scope import ProjectRelease, Scope, Stat
from relhealth.core.windows import DAY, Window, ceil_to, epoch, floor_to
from relhealth.questions.asking import Asking
from relhealth.questions.counts import Counting, Counts, Group, counted
from relhealth.questions.selection import Selection

_COUNTED: dict[Stat, set[str]] = {"sessions": {"sessions", "errored"}, "users": {"users"}}
_MOST_BUCKETS = 10_000


def release_stats(
    asking: Asking,
    now: datetime,
    pair: ProjectRelease,
    environments: tuple[str, ...] | None,
    stat: Stat,
    window: Window,
    interval: int,
) -> tuple[list[tuple[int, dict[str, Any]]], dict[str, Any]]:
    """Return a series with every bucket of the window, and the totals of the window."""
    selected = Selection(environments=environments)
    scope = asking.scope(now, selected, window).narrowed_to((pair,))
    buckets, totals = counted(asking, over_time(scope, stat, interval), in_total(scope, stat))
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


def check_interval(interval: int) -> int:
    """Return a bucket width in seconds; ``QuestionError`` for one that does not divide a day."""
    if type(interval) is not int or interval < 1 or DAY % interval:
        raise QuestionError(f"interval {interval!r}: expected whole seconds that divide a day")
    return interval


def series_window(span: Window, interval: int) -> Window:
    """Return the full buckets of a series; the first is the one after the start of the span."""
    first = floor_to(span.start, interval) + timedelta(seconds=interval)
    window = Window(first, max(first, ceil_to(span.end, interval)))
    buckets = (window.end - window.start) // timedelta(seconds=interval)
    if buckets > _MOST_BUCKETS:
        raise QuestionError(
            f"{buckets:,} buckets of {interval} s: at most {_MOST_BUCKETS:,};"
            " ask for longer ones or a shorter window"
        )
    return window
