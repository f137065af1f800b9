"""The crash-free breakdown: how crash-free a release was from its start to several ages."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from relhealth.core.scope import ProjectRelease
from relhealth.core.windows import HOUR, whole_window
from relhealth.questions.asking import Asking
from relhealth.questions.counts import Counting, Counts, Group, counted
from relhealth.questions.selection import Selection

_AGES = tuple(timedelta(days=days) for days in (1, 2, 7, 14, 30))


def breakdown(
    asking: Asking,
    now: datetime,
    pair: ProjectRelease,
    start: datetime,
    environments: tuple[str, ...] | None,
) -> list[dict[str, Any]]:
    """Return crash-free figures from the start to each age of the release."""
    ages = countings_of_ages(asking, now, pair, start, environments)
    return points_of_ages(ages, counted(asking, *ages.values()))


def countings_of_ages(
    asking: Asking,
    now: datetime,
    pair: ProjectRelease,
    start: datetime,
    environments: tuple[str, ...] | None,
) -> dict[datetime, Counting]:
    """Return what to count from the start to each age of a release."""
    selected = Selection(environments=environments)
    countings = {}
    for date in _dates(start, now):
        scope = asking.scope(now, selected, whole_window(start, date, HOUR)).narrowed_to((pair,))
        countings[date] = Counting(scope, {"sessions", "users"})
    return countings


def points_of_ages(
    dates: Iterable[datetime], found: Iterable[Mapping[Group, Counts]]
) -> list[dict[str, Any]]:
    """Return the crash-free figures of each date."""
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


def _dates(start: datetime, now: datetime) -> list[datetime]:
    """Return the dates of the ages up to now.

    Now replaces the first later date, unless that is only a day after the date before.
    """
    dates: list[datetime] = []
    for age in _AGES:
        date = start + age
        if date > now:
            if not dates or (date - dates[-1] > timedelta(days=1) and now > dates[-1]):
                dates.append(now)
            break
        dates.append(date)
    return [date for date in dates if date >= start]
