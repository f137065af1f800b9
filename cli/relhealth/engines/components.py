"""The components of an overview: which template answers each, and over which window.

``get_series`` is the one path from a question to a template; a new figure is a template and a line
in this registry.
"""

from collections.abc import Collection, Sequence
from enum import Enum
from typing import NamedTuple

from relhealth.core import windows
from relhealth.core.scope import Scope
from relhealth.core.windows import Window
from relhealth.engines.duckdb.engine import Engine
from relhealth.machine.database import Row


class Over(Enum):
    """The window of a scope that a component is asked over."""

    SUMMARY = "summary"
    ADOPTION = "adoption"
    HEALTH = "health"
    SERIES = "series"
    READ = "read"
    ALL = "all"


class Component(NamedTuple):
    """One template of ``queries/`` and the window that it is asked over."""

    template: str
    over: Over


SESSIONS_BY_STATUS = Component("sessions_by_status", Over.SUMMARY)
ERRORED_SESSIONS = Component("errored_sessions", Over.SUMMARY)
USERS_BY_STATUS = Component("users_by_status", Over.SUMMARY)
DURATIONS = Component("durations", Over.SUMMARY)
DURATION_RANKS = Component("duration_ranks", Over.SUMMARY)
ADOPTION = Component("adoption", Over.ADOPTION)
HEALTH_STATS = {
    "sessions": Component("health_stats_sessions", Over.SERIES),
    "users": Component("health_stats_users", Over.SERIES),
}
HEALTH_DATA = Component("health_data", Over.HEALTH)
SEEN = Component("seen", Over.HEALTH)
SESSION_BOUNDS = Component("session_bounds", Over.HEALTH)
SESSIONS_BY_GROUP = Component("sessions_by_group", Over.SUMMARY)
ERRORED_BY_GROUP = Component("errored_by_group", Over.SUMMARY)
USERS_BY_GROUP = Component("users_by_group", Over.SUMMARY)
DURATIONS_BY_GROUP = Component("durations_by_group", Over.SUMMARY)
ADOPTION_STAGES = Component("adoption_stages", Over.SUMMARY)
ORGANISATIONS = Component("organisations", Over.ALL)
INVALID_ROWS = Component("invalid_rows", Over.READ)


def get_series(
    engine: Engine,
    component: Component,
    scope: Scope,
    *,
    fractions: Sequence[float] = (),
    group_by: Collection[str] = (),
    rollup: int | None = None,
) -> list[Row]:
    """Answer one component for a scope: one mapping a row, of totals or of a series' buckets.

    ``fractions`` is for ``DURATION_RANKS`` alone; ``group_by`` (project, release, environment) and
    ``rollup`` (seconds; None: no buckets) for the components by group.
    Raises ``LookupError`` where the component is a series and the scope has none.
    """
    window = window_of(component, scope)
    values = {
        "start": window.start,
        "end": window.end,
        "rollup": scope.series.rollup if component.over is Over.SERIES and scope.series else rollup,
        **{f"by_{key}": key in group_by for key in ("project", "release", "environment")},
        "recent": windows.recent_window(scope.now).start,
        "now": scope.now,
        "fractions": list(fractions),
        "projects": _listed(scope.projects),
        "releases": _listed(scope.releases),
        "environments": _listed(scope.environments),
    }
    return engine.rows(component.template, values, window)


def window_of(component: Component, scope: Scope) -> Window:
    """Return the window of a scope that a component is asked over; raises as ``get_series``."""
    match component.over:
        case Over.SUMMARY:
            return scope.summary
        case Over.ADOPTION:
            return scope.adoption
        case Over.HEALTH:
            return scope.health
        case Over.READ:
            return scope.read_window
        case Over.ALL:
            return scope.read_window.hull(scope.health)
        case Over.SERIES:
            if scope.series is None:
                raise LookupError("a series was asked of a scope that has none")
            return scope.series.window


def _listed(values: tuple[object, ...] | None) -> list[object] | None:
    return None if values is None else list(values)
