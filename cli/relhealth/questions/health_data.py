"""Which projects and releases have health data, and since when."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from relhealth.core.errors import QuestionError
from relhealth.core.scope import ProjectRelease, Scope, check_pair, check_projects
from relhealth.core.windows import HOUR, Window, floor_to, from_epoch_us, whole_window
from relhealth.engines import components
from relhealth.questions.asking import Asking, distinct
from relhealth.questions.selection import Selection

_CHANGED = timedelta(hours=72)


def have_health_data(
    asking: Asking, now: datetime, asked: Sequence[int | ProjectRelease]
) -> set[int] | set[ProjectRelease]:
    """Return which of the projects, or pairs, had a session counter in the last 90 days."""
    scope = Scope.resolve(now)
    projects = [one for one in asked if isinstance(one, int)]
    if len(projects) == len(asked):
        if not projects:
            return set()
        found = asking.with_sessions(replace(scope, projects=check_projects(projects)))
        return {project for project, _ in found}
    pairs = distinct(check_pair(pair) for pair in asked)
    return asking.with_sessions(scope.narrowed_to(pairs)).intersection(pairs)


def check_projects_or_pairs(
    asked: Collection[int] | Collection[ProjectRelease],
) -> Sequence[int | ProjectRelease]:
    """Return a list of what was asked about; ``have_health_data`` checks its items."""
    try:
        return [*asked]
    except TypeError:
        raise QuestionError("expected several project ids, or several pairs") from None


def releases_with_health_data(
    asking: Asking,
    now: datetime,
    span: Window,
    releases: tuple[str, ...],
    projects: tuple[int, ...],
) -> set[str]:
    """Return the releases with session counters in a span, in full hours."""
    if not releases or not projects:
        return set()
    window = whole_window(span.start, span.end, HOUR)
    scope = asking.scope(now, Selection(projects), window, releases=releases)
    return {row["release"] for row in asking.get(components.SEEN, scope)}


def changed(asking: Asking, now: datetime, projects: tuple[int, ...]) -> set[ProjectRelease]:
    """Return the pairs with session counters in the last 72 hours."""
    if not projects:
        return set()
    scope = asking.scope(now, Selection(projects), whole_window(now - _CHANGED, now, HOUR))
    rows = asking.get(components.SEEN, scope)
    return {(row["project_id"], row["release"]) for row in rows if row["release"] is not None}


def oldest(
    asking: Asking, now: datetime, pairs: tuple[ProjectRelease, ...]
) -> dict[ProjectRelease, datetime]:
    """Return the first hour with session counters in 90 days, of the pairs that have any."""
    if not pairs:
        return {}
    rows = asking.get(components.SEEN, asking.scope(now).narrowed_to(pairs))
    found = {(row["project_id"], row["release"]): row["first_seen"] for row in rows}
    return {pair: floor_to(from_epoch_us(found[pair]), HOUR) for pair in pairs if pair in found}
