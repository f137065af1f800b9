"""The sessions of projects in windows: how many, and how many percent without a crash."""

from collections.abc import Iterable
from datetime import datetime

from relhealth.core.windows import Window
from relhealth.questions.asking import Asking
from relhealth.questions.counts import Counting, Counts, counted
from relhealth.questions.selection import Selection


def crash_free_rates(
    asking: Asking, now: datetime, current: Window, previous: Window, projects: tuple[int, ...]
) -> dict[int, dict[str, float | None]]:
    """Return the percent of crash-free sessions of each project in two windows."""
    if not projects:
        return {}
    both = _counts(asking, now, Selection(projects), (current, previous))
    return {
        project: {
            name: found[project].crash_free_sessions if project in found else None
            for name, found in zip(("current", "previous"), both, strict=True)
        }
        for project in projects
    }


def sessions_per_project(
    asking: Asking,
    now: datetime,
    window: Window,
    environments: tuple[str, ...] | None,
    projects: tuple[int, ...],
) -> dict[int, int]:
    """Return the sessions of each project that has any."""
    if not projects:
        return {}
    (found,) = _counts(asking, now, Selection(projects, environments), (window,))
    return {project: one.sessions for project, one in found.items()}


def _counts(
    asking: Asking, now: datetime, selected: Selection, windows: Iterable[Window]
) -> list[dict[int, Counts]]:
    """Count the sessions of each project in each window."""
    scopes = [asking.scope(now, selected, window) for window in windows]
    counts = counted(asking, *(Counting(scope, {"sessions"}, {"project"}) for scope in scopes))
    return [
        {
            group.project_id: one
            for group, one in sorted(found.items(), key=lambda item: item[0].project_id or 0)
            if group.project_id is not None and one.sessions
        }
        for found in counts
    ]
