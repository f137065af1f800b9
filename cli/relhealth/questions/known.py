"""What the data know of releases: when each was seen, when it was launched, which one prevailed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import Protocol

from relhealth.core.scope import ProjectRelease, Scope
from relhealth.core.versions import release_key
from relhealth.core.windows import HOUR, Window, floor_to, from_epoch_us
from relhealth.engines import components
from relhealth.engines.components import Component
from relhealth.engines.interface import Ask
from relhealth.machine.database import Row
from relhealth.questions.naming import newest_versions, package_of

Environments = tuple[str, ...] | None
# A release is launched in the first hour with this many sessions, or this share of its project's.
LAUNCH_SESSIONS = 100
LAUNCH_SHARE = 0.01
EVER = datetime(1971, 1, 1, tzinfo=UTC)  # earlier than any possible window


@dataclass(frozen=True, slots=True)
class Seen:
    """The first and last session counter of a release, within the window of the search."""

    first: datetime
    last: datetime


SeenReleases = Mapping[tuple[int, str | None], Seen]


class Asks(Protocol):
    """What answers components."""

    def get(self, component: Component, scope: Scope) -> list[Row]:
        """Return the rows of a component."""

    def answer(self, asks: Sequence[Ask]) -> list[list[Row]]:
        """Return the rows of each ask, in one pass over the data where that can be."""


class Known:
    """Looks up releases in the data up to an instant, each thing once."""

    def __init__(
        self, asking: Asks, until: datetime, period: str, projects: tuple[int, ...] | None
    ) -> None:
        """Start without reading; ``until`` is the end of what has settled."""
        self._asking = asking
        self._until = until
        self._period = period
        self._projects = projects
        self.seen = cache(self._seen)
        self.ever = cache(self._ever)
        self.seen_of = cache(self._seen_of)
        self.launched = cache(self._launched)
        self.sessions = cache(self._sessions)

    def scope(self, environments: Environments = None) -> Scope:
        """Return the scope of the policy's period."""
        return Scope.resolve(
            self._until,
            period=self._period,
            projects=self._projects,
            environments=environments,
        )

    def began(self, environments: Environments, pair: ProjectRelease) -> datetime | None:
        """Return the hour of a release's first session in 90 days; ``None`` if it has none."""
        first = self.seen_of(environments, pair)
        return None if first is None else floor_to(first.first, HOUR)

    def is_old(self, environments: Environments, pair: ProjectRelease) -> bool:
        """Tell whether a release has sessions from before the search of 90 days."""
        ever = self.seen_of(environments, pair, ever=True)
        return ever is not None and ever.first < self.scope().health.start

    def history_began(self, environments: Environments, project: int) -> datetime | None:
        """Return the hour of a project's first session."""
        firsts = [one.first for (its, _), one in self.ever(environments).items() if its == project]
        return floor_to(min(firsts), HOUR) if firsts else None

    def prevailing(self, environments: Environments, pair: ProjectRelease) -> str | None:
        """Return the other release of its package with the most sessions before its launch.

        The window is the policy's period, up to the hour in which the release was launched (if it
        was not, in which it was first seen).
        """
        project, release = pair
        start = self.launched(environments, pair) or self.began(environments, pair)
        if start is None:
            return None
        length = self.scope().summary
        before = Window(start - (length.end - length.start), start)
        sessions = {
            other: count
            for other, count in self.sessions(environments, project, before).items()
            if other != release and count and package_of(other) == package_of(release)
        }
        return max(sessions, key=lambda other: (sessions[other], other), default=None)

    def previous(
        self, environments: Environments, pair: ProjectRelease, *, by: str | None = "version"
    ) -> list[str]:
        """Return earlier releases, nearest first, by version of the same package or by time.

        By version, only a pre-release has pre-releases before it.
        """
        project, release = pair
        seen = [
            other for its, other in self.seen(environments) if its == project and other is not None
        ]
        if by == "time":
            ever = self.ever(environments)
            first = {other: ever[project, other].first for other in seen}
            before = [r for r in seen if release in first and first[r] < first[release]]
            return sorted(before, key=lambda r: (first[r], r), reverse=True)
        key = release_key(release)
        before = [
            other
            for other in seen
            if (its := release_key(other))[:2] == key[:2] and its[3] >= key[3] and its < key
        ]
        return sorted(before, key=release_key, reverse=True) if key[0] == 0 else []

    def by_word(self, environments: Environments, word: str) -> list[ProjectRelease]:
        """Return the releases that a word means, by the newest version of each package."""
        found = []
        seen = self.seen(environments)
        newest = newest_versions((project, name) for project, name in seen if name is not None)
        for pair in newest:
            match word:
                case "latest":
                    name: str | None = pair[1]
                case "previous":
                    name = next(iter(self.previous(environments, pair)), None)
                case _:
                    name = self.prevailing(environments, pair)
            if name is not None:
                found.append((pair[0], name))
        return found

    def newest(self, environments: Environments, projects: set[int]) -> dict[int, datetime]:
        """Return the last session of each project, those of any age where 90 days have none."""
        newest = _newest(self.seen(environments))
        return newest if projects <= newest.keys() else _newest(self.ever(environments))

    def _seen(self, environments: Environments) -> SeenReleases:
        """Look 90 days back."""
        return self._since(self._back_to(None, environments))

    def _ever(self, environments: Environments) -> SeenReleases:
        """Look all the way back."""
        return self._since(self._back_to(EVER, environments))

    def _seen_of(
        self, environments: Environments, pair: ProjectRelease, *, ever: bool = False
    ) -> Seen | None:
        """Return what ``seen`` or ``ever`` has of one release, without reading the others."""
        scope = self._back_to(EVER if ever else None, environments)
        return self._since(scope.narrowed_to((pair,))).get(pair)

    def _back_to(self, start: datetime | None, environments: Environments) -> Scope:
        """Return a scope whose health data begin at an instant, by default 90 days ago."""
        scope = self.scope(environments)
        # Up to the end of the judged window: a look at the past sees nothing after it.
        window = Window(start or scope.health.start, scope.summary.end)
        return replace(scope, health=window)

    def _since(self, scope: Scope) -> SeenReleases:
        return {
            (row["project_id"], row["release"]): Seen(
                from_epoch_us(row["first_seen"]), from_epoch_us(row["last_seen"])
            )
            for row in self._asking.get(components.SEEN, scope)
        }

    def _launched(
        self, environments: Environments, pair: ProjectRelease, *, ever: bool = False
    ) -> datetime | None:
        """Return the first hour in which a release had 100 sessions or 1 % of its project's.

        ``None`` if there is none since its first session in 90 days or, with ``ever``, at all.
        """
        first = self.seen_of(environments, pair, ever=ever)
        if first is None:
            return None
        scope = self.scope(environments)
        window = Window(floor_to(first.first, HOUR), scope.summary.end)
        project, release = pair
        scope = replace(scope.over(window), projects=(project,))
        scopes = [replace(scope, releases=releases) for releases in ((release,), None)]
        by_hour, of_project = self._by_hour(scopes)
        for hour in sorted(by_hour):
            count = by_hour[hour]
            if count and (count >= LAUNCH_SESSIONS or count >= LAUNCH_SHARE * of_project[hour]):
                return from_epoch_us(hour * 1_000_000)
        return None

    def _by_hour(self, scopes: Sequence[Scope]) -> list[dict[int, int]]:
        """Return the sessions of each hour of each scope, by its start in epoch seconds."""
        by = frozenset({"project"})
        asks = [Ask(components.SESSIONS_BY_GROUP, scope, by, HOUR) for scope in scopes]
        return [
            {row["bucket"]: row["sessions"] for row in rows} for rows in self._asking.answer(asks)
        ]

    def _sessions(
        self, environments: Environments, project: int, window: Window
    ) -> Mapping[str, int]:
        """Return the sessions of each release of a project in a window."""
        scope = replace(self.scope(environments).over(window), projects=(project,))
        rows = self._asking.get(components.SESSIONS_BY_STATUS, scope)
        return {row["release"]: row["sessions"] for row in rows}


def _newest(known: SeenReleases) -> dict[int, datetime]:
    newest: dict[int, datetime] = {}
    for (project, _), one in known.items():
        newest[project] = max(one.last, newest.get(project, one.last))
    return newest
