"""The registry of components.

A component is a template of ``queries/``, with its window, its keys and its figures. Every engine
that runs templates can answer each registered component.
"""

from enum import Enum
from typing import NamedTuple


class Over(Enum):
    """The window of a scope that a component covers."""

    SUMMARY = "summary"
    ADOPTION = "adoption"
    HEALTH = "health"
    SERIES = "series"
    READ = "read"
    ALL = "all"
    EVER = "ever"


class Component(NamedTuple):
    """One template, by its name.

    ``keys`` are the columns that identify a row, ``figures`` are the others. With ``overview``,
    it is part of every overview. With ``parted``, the row of a key depends on no other keys, so
    an engine can compute some keys at a time. ``portable`` is the template that databases other
    than DuckDB run in its place; ``engines/portable.py`` makes its rows of that template's.
    """

    name: str
    over: Over
    keys: tuple[str, ...]
    figures: tuple[str, ...]
    overview: bool = False
    parted: bool = False
    portable: str | None = None


_PAIR = ("project_id", "release")
_GROUP = ("project_id", "release", "environment", "bucket")
_SESSIONS = ("sessions", "crashed", "abnormal", "unhandled", "errored_preaggr")
_USERS = ("users", "crashed", "unhandled", "errored", "abnormal")
_SEEN = ("first_seen", "last_seen")

SESSIONS_BY_STATUS = Component("sessions_by_status", Over.SUMMARY, _PAIR, _SESSIONS, overview=True)
ERRORED_SESSIONS = Component(
    "errored_sessions", Over.SUMMARY, _PAIR, ("errored",), overview=True, parted=True
)
USERS_BY_STATUS = Component(
    "users_by_status", Over.SUMMARY, _PAIR, _USERS, overview=True, parted=True
)
DURATIONS = Component(
    "durations",
    Over.SUMMARY,
    _PAIR,
    ("exited", "p50", "p90"),
    overview=True,
    parted=True,
    portable="duration_neighbours",
)
ADOPTION = Component(
    "adoption", Over.ADOPTION, (*_PAIR, "whole_project"), ("sessions", "users"), overview=True
)
HEALTH_STATS = {
    "sessions": Component("health_stats_sessions", Over.SERIES, (*_PAIR, "bucket"), ("count",)),
    "users": Component("health_stats_users", Over.SERIES, (*_PAIR, "bucket"), ("count",)),
}
HEALTH_DATA = Component("health_data", Over.HEALTH, _PAIR, ("has_sessions",))
DURATION_RANKS = Component(
    "duration_ranks",
    Over.SUMMARY,
    _PAIR,
    ("durations",),
    parted=True,
    portable="duration_at_ranks",
)
SEEN = Component("seen", Over.HEALTH, _PAIR, _SEEN)
SESSION_BOUNDS = Component("session_bounds", Over.HEALTH, _PAIR, _SEEN)
SESSIONS_BY_GROUP = Component("sessions_by_group", Over.SUMMARY, _GROUP, _SESSIONS)
ERRORED_BY_GROUP = Component("errored_by_group", Over.SUMMARY, _GROUP, ("errored",), parted=True)
USERS_BY_GROUP = Component(
    "users_by_group", Over.SUMMARY, _GROUP, (*_USERS, "anr", "foreground_anr"), parted=True
)
DURATIONS_BY_GROUP = Component(
    "durations_by_group",
    Over.SUMMARY,
    _GROUP,
    ("mean", "percentiles", "longest"),
    parted=True,
    portable="duration_neighbours_by_group",
)
USER_SESSIONS = Component(
    "user_sessions",
    Over.SUMMARY,
    _PAIR,
    (
        "users",
        "sessions",
        "events",
        "affected",
        "sessions_squared",
        "events_squared",
        "products",
    ),
    parted=True,
)
FOLLOWED_USERS = Component(
    "followed_users", Over.SUMMARY, _PAIR, ("users", "affected"), parted=True
)
ADOPTION_STAGES = Component(
    "adoption_stages",
    Over.SUMMARY,
    (*_PAIR, "environment"),
    ("sessions", "environment_sessions", "first_adopted", "last_adopted"),
)
ORGANISATIONS = Component("organisations", Over.ALL, ("org_id",), ())
PROJECTS = Component("projects", Over.EVER, ("project_id",), ())
INVALID_ROWS = Component("invalid_rows", Over.READ, ("reason",), ("invalid",))

COMPONENTS = {
    one.name: one
    for one in (
        SESSIONS_BY_STATUS,
        ERRORED_SESSIONS,
        USERS_BY_STATUS,
        DURATIONS,
        ADOPTION,
        *HEALTH_STATS.values(),
        HEALTH_DATA,
        DURATION_RANKS,
        SEEN,
        SESSION_BOUNDS,
        SESSIONS_BY_GROUP,
        ERRORED_BY_GROUP,
        USERS_BY_GROUP,
        DURATIONS_BY_GROUP,
        USER_SESSIONS,
        FOLLOWED_USERS,
        ADOPTION_STAGES,
        ORGANISATIONS,
        PROJECTS,
        INVALID_ROWS,
    )
}
OVERVIEW = tuple(one for one in COMPONENTS.values() if one.overview)
