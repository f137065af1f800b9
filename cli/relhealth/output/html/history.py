"""Figures over time for the charts of a page: each release of each project, in buckets."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from math import sqrt
from typing import TYPE_CHECKING, NamedTuple

from relhealth.core.versions import is_prerelease, is_version, release_key
from relhealth.core.windows import Window, parse_length

if TYPE_CHECKING:
    from relhealth.release_health import ReleaseHealth

_SESSIONS, _CRASH_FREE, _USERS = "sum(session)", "crash_free_rate(session)", "count_unique(user)"
_SHORTEST = "7d"  # a rollout takes days: a chart of fewer would not show it
_INTERVALS = ((24, "1h"), (48, "2h"), (24 * 7, "6h"), (24 * 14, "12h"))  # up to so many hours
_NOTABLE = 0.1  # the share of a project from which a release can be rolled back
_GONE = 0.75  # of its highest share: what a release has at most after a rollback
_GAIN = 0.05  # what an older release has won by then, at least
_SURE = 3  # standard errors of a share between noise and a change


class Line(NamedTuple):
    """One release: its sessions, crashed sessions and distinct users in each bucket."""

    sessions: tuple[int, ...]
    crashed: tuple[int, ...]
    users: tuple[int, ...]

    @property
    def total(self) -> int:
        """All its sessions."""
        return sum(self.sessions)


class Rollback(NamedTuple):
    """A release lost its share to an older one; shares are 0 to 1, buckets are indexes."""

    release: str
    older: str
    peak: int
    end: int
    shares: tuple[float, float]  # of the release
    older_shares: tuple[float, float]


class ProjectHistory(NamedTuple):
    """The releases of a project over time; sessions without a release count in its totals."""

    starts: tuple[datetime, ...]
    interval: timedelta
    lines: dict[str, Line]
    totals: tuple[int, ...]

    def most_used(self, first: Iterable[str], most: int) -> list[str]:
        """Return some releases: those named first, then those with the most sessions."""
        others = sorted(self.lines, key=lambda name: (-self.lines[name].total, name))
        named = dict.fromkeys(name for name in (*first, *others) if name in self.lines)
        return [name for name in named if name][:most]

    def share(self, release: str, bucket: int) -> float | None:
        """Return the share of the project's sessions, 0 to 1; None without any."""
        total = self.totals[bucket]
        return self.lines[release].sessions[bucket] / total if total else None

    def rollbacks(self, releases: Sequence[str]) -> list[Rollback]:
        """Return which of some releases lost their share to an older one of them."""
        found = [self._rollback(release, releases) for release in releases]
        return [one for one in found if one is not None]

    def _rollback(self, release: str, others: Sequence[str]) -> Rollback | None:
        """Find where an older release gained most, beyond the noise, while this one fell.

        The older one had lost a share before. A pre-release is not rolled back: it ends.
        """
        own = self._shares(release)
        best, gain = None, _GAIN
        if is_prerelease(release):
            return None
        for older in (one for one in others if self._is_older(one, release)):
            its = self._shares(older)
            for peak, high in enumerate(own):
                if high < _NOTABLE or max(its[: peak + 1]) - its[peak] < _GAIN:
                    continue
                for end in range(peak + 1, len(own)):
                    risen, fallen = its[end] - its[peak], high - own[end]
                    if (
                        risen > gain
                        and own[end] <= _GONE * high
                        and risen > _SURE * self._noise(its, peak, end)
                        and fallen > _SURE * self._noise(own, peak, end)
                    ):
                        shares = (high, own[end]), (its[peak], its[end])
                        best, gain = Rollback(release, older, peak, end, *shares), risen
        return best

    def _shares(self, release: str) -> list[float]:
        return [self.share(release, index) or 0.0 for index in range(len(self.totals))]

    def _noise(self, shares: Sequence[float], one: int, other: int) -> float:
        """Return the standard error of the difference of a share in two buckets."""
        return sqrt(
            sum(
                shares[index] * (1 - shares[index]) / max(self.totals[index], 1)
                for index in (one, other)
            )
        )

    def _is_older(self, one: str, other: str) -> bool:
        """Compare versions of a package, else when each had its first session."""
        keys = release_key(one), release_key(other)
        if is_version(one) and is_version(other) and keys[0][1] == keys[1][1]:
            return keys[0] < keys[1]
        return self._first(one) < self._first(other)

    def _first(self, release: str) -> int:
        counts = self.lines[release].sessions
        return next((index for index, count in enumerate(counts) if count), len(counts))


class History(NamedTuple):
    """The projects of an answer over time; without a window if none were asked for."""

    window: Window | None
    projects: dict[int, ProjectHistory]


def history(
    health: "ReleaseHealth",
    now: datetime,
    periods: Iterable[str | None],
    *,
    projects: Iterable[int],
    environments: Iterable[str] | None,
    where: Sequence[str] = (),
) -> History:
    """Ask for the longest of the periods, at least a week; without projects, for nothing."""
    asked = sorted(set(projects))
    if not asked:
        return History(None, {})
    period = max((one for one in (*periods, _SHORTEST) if one), key=parse_length)
    hours = parse_length(period) / timedelta(hours=1)
    interval = next((width for most, width in _INTERVALS if hours <= most), "1d")
    found = health.query(
        [_SESSIONS, _CRASH_FREE, _USERS],
        group_by=["project", "release"],
        period=period,
        interval=interval,
        projects=asked,
        environments=environments,
        where=list(where) or None,
        now=now,
    )
    lines: dict[int, dict[str, Line]] = {}
    for group in found.groups:
        sessions = tuple(int(count or 0) for count in group.series[_SESSIONS])
        rates = group.series[_CRASH_FREE]
        lines.setdefault(int(group.by["project"]), {})[str(group.by["release"])] = Line(
            sessions=sessions,
            crashed=tuple(
                0 if rate is None else round(count * (1 - rate))
                for count, rate in zip(sessions, rates, strict=True)
            ),
            users=tuple(int(count or 0) for count in group.series[_USERS]),
        )
    return History(
        Window(found.start, found.end),
        {
            project: ProjectHistory(
                starts=found.intervals,
                interval=parse_length(interval),
                lines=of_project,
                totals=tuple(
                    map(sum, zip(*(line.sessions for line in of_project.values()), strict=True))
                ),
            )
            for project, of_project in sorted(lines.items())
            if any(line.total for line in of_project.values())
        },
    )
