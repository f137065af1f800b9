"""The list of projects: sessions, users, and how crash-free they are and were before."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from relhealth.core.units import Unit
from relhealth.core.windows import Window
from relhealth.questions.asking import Asking
from relhealth.questions.counts import Counting, Counts, Group, counted_and_checked
from relhealth.questions.listing import ListedRow, Listing
from relhealth.questions.selection import Selection


@dataclass(frozen=True, slots=True)
class ListedProject(ListedRow):
    """One project over all its releases, in a window and in the window of that length before it.

    Crash-free rates are percent, null without any sessions or users. Changes are percentage points.
    """

    UNITS: ClassVar[Mapping[str, Unit]] = {
        "project_id": Unit.PROJECT,
        "total_sessions": Unit.COUNT,
        "total_users": Unit.COUNT,
        "crash_free_sessions": Unit.CRASH_FREE,
        "previous_crash_free_sessions": Unit.CRASH_FREE,
        "crash_free_sessions_change": Unit.CHANGE,
        "crash_free_users": Unit.CRASH_FREE,
        "previous_crash_free_users": Unit.CRASH_FREE,
        "crash_free_users_change": Unit.CHANGE,
    }

    project_id: int
    total_sessions: int | None
    total_users: int | None
    crash_free_sessions: float | None
    previous_crash_free_sessions: float | None
    crash_free_sessions_change: float | None
    crash_free_users: float | None
    previous_crash_free_users: float | None
    crash_free_users_change: float | None


def before(window: Window) -> Window:
    """Return the window of the same length that ends where this one starts."""
    return Window(window.start - (window.end - window.start), window.start)


def project_list(asking: Asking, now: datetime, selected: Selection) -> Listing[ListedProject]:
    """List the projects with sessions or users in a period, or in the period before it."""
    scope = selected.scope(now, where=asking.where)
    scope = scope.over(scope.summary)
    earlier = before(scope.summary)
    found, invalid = counted_and_checked(
        asking,
        scope.over(scope.summary.hull(earlier)),
        *(
            Counting(some, {"sessions", "users"}, {"project"})
            for some in (scope, scope.over(earlier))
        ),
    )
    current, previous = map(_by_project, found)
    nothing = Counts()
    return Listing(
        kind=ListedProject,
        rows=tuple(
            _listed(project, current.get(project, nothing), previous.get(project, nothing))
            for project in sorted(current.keys() | previous.keys())
        ),
        scope=scope,
        period=selected.period,
        window=scope.summary,
        files=asking.sources.total,
        invalid_rows=invalid,
    )


def _by_project(found: Mapping[Group, Counts]) -> dict[int, Counts]:
    return {group.project_id: one for group, one in found.items() if group.project_id is not None}


def _listed(project: int, now: Counts, previous: Counts) -> ListedProject:
    return ListedProject(
        project_id=project,
        total_sessions=now.sessions or None,
        total_users=now.users or None,
        crash_free_sessions=now.crash_free_sessions,
        previous_crash_free_sessions=previous.crash_free_sessions,
        crash_free_sessions_change=_change(now.crash_free_sessions, previous.crash_free_sessions),
        crash_free_users=now.crash_free_users,
        previous_crash_free_users=previous.crash_free_users,
        crash_free_users_change=_change(now.crash_free_users, previous.crash_free_users),
    )


def _change(now: float | None, previous: float | None) -> float | None:
    return None if now is None or previous is None else now - previous
