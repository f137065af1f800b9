"""The merge of components into one row per release, by the formulas of ``figures``."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from relhealth.core.scope import ProjectRelease, Scope
from relhealth.core.windows import Series
from relhealth.engines.components import (
    ADOPTION,
    DURATIONS,
    ERRORED_SESSIONS,
    HEALTH_DATA,
    HEALTH_STATS,
    SESSIONS_BY_STATUS,
    USERS_BY_STATUS,
    Component,
)
from relhealth.questions import figures
from relhealth.questions.overview import Points, ReleaseOverview

ComponentRows = Sequence[Mapping[str, Any]]

# The counts of an absent row: a Counter returns 0 for any key and, unlike a defaultdict, adds none.
_NONE: Mapping[str, Any] = Counter()


class Adoption(NamedTuple):
    """Sessions and users of the last 24 hours, per release and per project."""

    releases: Mapping[ProjectRelease, Mapping[str, Any]]
    projects: Mapping[int, Mapping[str, Any]]

    @classmethod
    def of(cls, component: ComponentRows) -> "Adoption":
        """Read the adoption component."""
        return cls(
            by_pair([row for row in component if not row["whole_project"]]),
            {row["project_id"]: row for row in component if row["whole_project"]},
        )

    def figures(self, pair: ProjectRelease) -> dict[str, Any]:
        """Return a release's adoption: shares in percent, counts of the last 24 hours."""
        release = self.releases.get(pair, _NONE)
        project = self.projects.get(pair[0], _NONE)
        return {
            "adoption": figures.share(release["users"], project["users"]),
            "sessions_adoption": figures.share(release["sessions"], project["sessions"]),
            "users_24h": release["users"],
            "sessions_24h": release["sessions"],
            "project_users_24h": project["users"],
            "project_sessions_24h": project["sessions"],
        }


def by_pair(component: ComponentRows) -> dict[ProjectRelease, Mapping[str, Any]]:
    """Key a component's rows by ``(project_id, release)``."""
    return {(row["project_id"], row["release"]): row for row in component}


def merge(
    found: Mapping[Component, ComponentRows],
    scope: Scope,
    *,
    left_out: Collection[Component] = (),
) -> tuple[ReleaseOverview, ...]:
    """Merge components into one row per pair: the pairs of the scope, else all with sessions.

    ``found`` has the rows of each component of an overview. Only those ``left_out`` may be absent;
    their figures are null or 0. ``HEALTH_DATA`` needs rows only for releases without a session
    counter in the window, because the counter shows that the others have health data. Raises
    ``LookupError`` for a component that was neither found nor left out.
    """

    def rows(component: Component) -> ComponentRows:
        return () if component in left_out else found[component]

    sessions = by_pair(rows(SESSIONS_BY_STATUS))
    errored = by_pair(rows(ERRORED_SESSIONS))
    users = by_pair(rows(USERS_BY_STATUS))
    durations = by_pair(rows(DURATIONS))
    adoption = Adoption.of(rows(ADOPTION))
    health = by_pair(rows(HEALTH_DATA))
    series = (row for one in HEALTH_STATS.values() for row in found.get(one, ()))
    stats = _stats(series, scope.series)

    def row(pair: ProjectRelease) -> ReleaseOverview:
        counts = sessions.get(pair, _NONE)
        people = users.get(pair, _NONE)
        errors = errored.get(pair, _NONE)["errored"]
        lasted = durations.get(pair, {})
        in_window = pair in sessions
        seen = in_window or pair in health
        adopted = adoption.figures(pair) if seen else {}
        return ReleaseOverview(
            project_id=pair[0],
            release=pair[1],
            adoption=adopted.get("adoption"),
            sessions_adoption=adopted.get("sessions_adoption"),
            total_users_24h=adopted.get("users_24h"),
            total_project_users_24h=adopted.get("project_users_24h"),
            total_sessions_24h=adopted.get("sessions_24h"),
            total_project_sessions_24h=adopted.get("project_sessions_24h"),
            total_sessions=counts["sessions"] or None,
            total_users=people["users"] or None,
            has_health_data=in_window or (seen and health[pair]["has_sessions"]),
            sessions_crashed=counts["crashed"],
            sessions_abnormal=counts["abnormal"],
            sessions_unhandled=counts["unhandled"],
            sessions_errored=figures.errored_sessions(
                errors,
                counts["errored_preaggr"],
                counts["crashed"],
                counts["unhandled"],
                counts["abnormal"],
            ),
            sessions_healthy=figures.healthy_sessions(
                counts["sessions"], errors, counts["errored_preaggr"]
            ),
            users_crashed=people["crashed"],
            users_unhandled=people["unhandled"],
            crash_free_sessions=figures.crash_free(counts["crashed"], counts["sessions"]),
            crash_free_users=figures.crash_free(people["crashed"], people["users"]),
            unhandled_session_rate=figures.unhandled_rate(
                counts["unhandled"], counts["crashed"], counts["sessions"]
            ),
            unhandled_user_rate=figures.unhandled_rate(
                people["unhandled"], people["crashed"], people["users"]
            ),
            duration_p50=lasted.get("p50"),
            duration_p90=lasted.get("p90"),
            stats=stats(pair),
        )

    pairs = sessions if scope.pairs is None else scope.pairs
    return tuple(row(pair) for pair in pairs)


def _stats(
    component: Iterable[Mapping[str, Any]], series: Series | None
) -> Callable[[ProjectRelease], Mapping[str, Points] | None]:
    """Return a function from a pair to its series of all buckets, 0 for those without data."""
    counts: dict[ProjectRelease, dict[int, int]] = defaultdict(dict)
    for row in component:
        counts[row["project_id"], row["release"]][row["bucket"]] = row["count"]

    def stats(pair: ProjectRelease) -> Mapping[str, Points] | None:
        if series is None:
            return None
        counted = counts.get(pair, {})
        return {series.period: tuple((start, counted.get(start, 0)) for start in series.starts())}

    return stats
