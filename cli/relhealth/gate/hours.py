"""Sessions by hour, read once, so that a replay can look back at any hour without reading again."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import accumulate
from typing import NamedTuple

from relhealth.core.scope import ProjectRelease, Scope
from relhealth.core.windows import HOUR, Window, epoch, floor_to, from_epoch_us
from relhealth.engines import components
from relhealth.engines.interface import Ask
from relhealth.gate.arrived import ArrivedRows, AskingThen
from relhealth.machine.database import Row
from relhealth.questions import merge
from relhealth.questions.asking import Asking
from relhealth.questions.known import Environments, Known, Seen, SeenReleases
from relhealth.questions.overview import ReleaseOverview

_Pair = tuple[int, str | None]
_COUNTS = ("sessions", "crashed", "abnormal", "unhandled", "errored_preaggr")


@dataclass(slots=True)
class _Release:
    """The sums of a release up to each hour that has sessions; the first is before them all."""

    hours: list[int] = field(default_factory=list)  # epoch seconds
    sums: dict[str, list[int]] = field(default_factory=lambda: {name: [0] for name in _COUNTS})

    def between(self, start: int, end: int) -> dict[str, int]:
        first, last = bisect_left(self.hours, start), bisect_left(self.hours, end)
        return {name: sums[last] - sums[first] for name, sums in self.sums.items()}

    def add(self, rows: Sequence[Row]) -> None:
        """Add rows of any hours; only sums from the first of these hours on change."""
        first = bisect_left(self.hours, min(row["bucket"] for row in rows))
        counts = {
            hour: {name: sums[at + 1] - sums[at] for name, sums in self.sums.items()}
            for at, hour in enumerate(self.hours[first:], first)
        }
        for row in rows:
            of_hour = counts.setdefault(row["bucket"], dict.fromkeys(_COUNTS, 0))
            for name in _COUNTS:
                of_hour[name] += row[name]
        self.hours[first:] = sorted(counts)
        for name, sums in self.sums.items():
            sums[first:] = accumulate(
                (counts[hour][name] for hour in self.hours[first:]), initial=sums[first]
            )


@dataclass(frozen=True, slots=True)
class Hours:
    """The sessions of each release by the hour, of some environments."""

    environments: Environments
    seen: SeenReleases  # over all of the hours
    releases: Mapping[_Pair, _Release]

    @classmethod
    def read(cls, asking: Asking, scope: Scope, window: Window) -> "Hours":
        """Read the hours of a window."""
        by_hour, seen = asking.answer(_asks(scope.over(window)))
        rows: dict[_Pair, list[Row]] = defaultdict(list)
        for row in by_hour:
            rows[_pair(row)].append(row)
        return cls(
            scope.environments,
            {_pair(row): _seen(row) for row in seen},
            {pair: _summed(some) for pair, some in rows.items()},
        )

    def sums(self, pair: ProjectRelease, window: Window) -> dict[str, int] | None:
        """Return the session counters of a release in a window; ``None`` if it has none."""
        found = self.releases.get(pair)
        if found is None:
            return None
        start, end = epoch(window.start), epoch(window.end)
        if bisect_left(found.hours, start) == bisect_left(found.hours, end):
            return None
        return found.between(start, end)

    def each(self, pair: ProjectRelease, window: Window) -> list[tuple[int, int]]:
        """Return the hours of a release in a window, as (start in epoch seconds, sessions)."""
        found = self.releases.get(pair)
        if found is None:
            return []
        first, last = (bisect_left(found.hours, epoch(end)) for end in (window.start, window.end))
        sums = found.sums["sessions"]
        return [(found.hours[at], sums[at + 1] - sums[at]) for at in range(first, last)]

    def since(self, window: Window, pairs: Iterable[ProjectRelease] | None = None) -> SeenReleases:
        """Return when each release was seen first and last within a window of full hours.

        Both are exact where they are those of all hours, else they are the start of an hour.
        """
        start, end = epoch(window.start), epoch(window.end)
        found = {}
        for pair in self.releases.keys() if pairs is None else self.releases.keys() & set(pairs):
            release = self.releases[pair]
            first, last = bisect_left(release.hours, start), bisect_left(release.hours, end)
            if first == last:
                continue
            seen = self.seen[pair]
            hour = from_epoch_us(release.hours[last - 1] * 1_000_000)
            found[pair] = Seen(
                max(seen.first, from_epoch_us(release.hours[first] * 1_000_000)),
                seen.last if floor_to(seen.last, HOUR) == hour else hour,
            )
        return found


class ArrivingHours:
    """The sessions of each release by the hour, as they arrived from look to look."""

    def __init__(
        self, environments: Environments, by_hour: Sequence[Row], seen: Sequence[Row]
    ) -> None:
        """Start before the first look; each row has the ``look`` by which it arrived."""
        self._environments = environments
        self._by_hour: dict[int, dict[_Pair, list[Row]]] = defaultdict(lambda: defaultdict(list))
        self._seen: dict[int, dict[_Pair, Seen]] = defaultdict(dict)
        for row in by_hour:
            self._by_hour[row["look"]][_pair(row)].append(row)
        for row in seen:
            self._seen[row["look"]][_pair(row)] = _seen(row)
        self._next = 0  # look
        self._releases: dict[_Pair, _Release] = {}
        self._ever: dict[_Pair, Seen] = {}

    @classmethod
    def read(cls, rows: ArrivedRows, scope: Scope, window: Window) -> "ArrivingHours":
        """Read the hours of a window."""
        by_hour, seen = (rows.by_arrival(ask) for ask in _asks(scope.over(window)))
        return cls(scope.environments, by_hour, seen)

    def by(self, look: int) -> Hours:
        """Return the hours as they had arrived by a look; they are valid until the next call."""
        if look + 1 < self._next:
            self._next, self._releases, self._ever = 0, {}, {}
        for number in range(self._next, look + 1):
            for pair, rows in self._by_hour.get(number, {}).items():
                self._releases.setdefault(pair, _Release()).add(rows)
            for pair, new in self._seen.get(number, {}).items():
                old = self._ever.get(pair, new)
                self._ever[pair] = Seen(min(old.first, new.first), max(old.last, new.last))
        self._next = max(self._next, look + 1)
        return Hours(self._environments, self._ever, self._releases)


class View(NamedTuple):
    """What a look sees: all sessions, or those that had arrived by the look of a number."""

    asking: Asking
    hours: Mapping[Environments, Hours]
    arrived: int | None = None


def views(
    asking: Asking,
    arrived: ArrivedRows | None,
    scope: Scope,
    selections: Collection[Environments],
    window: Window,
) -> Callable[[int], View]:
    """Read the hours of a window; return what gives the view of each look, by its number."""
    scopes = [replace(scope, environments=environments) for environments in selections]
    if arrived is None:
        always = View(asking, {s.environments: Hours.read(asking, s, window) for s in scopes})
        return lambda _: always
    arriving = {s.environments: ArrivingHours.read(arrived, s, window) for s in scopes}

    def by(look: int) -> View:
        hours = {environments: one.by(look) for environments, one in arriving.items()}
        return View(AskingThen(asking, arrived, look), hours, look)

    return by


class HourlyKnown(Known):
    """What is known of releases at a look, by the hours that a replay has read."""

    def __init__(
        self, asking: Asking, until: datetime, period: str, hours: Mapping[Environments, Hours]
    ) -> None:
        """Start without reading; ``hours`` are those of each selection of environments."""
        super().__init__(asking, until, period, None)
        self._hours = hours

    def _since(self, scope: Scope) -> SeenReleases:
        return self._hours[scope.environments].since(scope.health, scope.pairs)

    def _by_hour(self, scopes: Sequence[Scope]) -> list[dict[int, int]]:
        return [self._of_hours(scope) for scope in scopes]

    def _of_hours(self, scope: Scope) -> dict[int, int]:
        hours = self._hours[scope.environments]
        start, end = epoch(scope.summary.start), epoch(scope.summary.end)
        found: dict[int, int] = defaultdict(int)
        for (project, release), one in hours.releases.items():
            if scope.projects is not None and project not in scope.projects:
                continue
            if scope.releases is not None and release not in scope.releases:
                continue
            sums = one.sums["sessions"]
            for at in range(bisect_left(one.hours, start), bisect_left(one.hours, end)):
                found[one.hours[at]] += sums[at + 1] - sums[at]
        return found

    def _sessions(
        self, environments: Environments, project: int, window: Window
    ) -> Mapping[str, int]:
        hours = self._hours[environments]
        found = {}
        for its, release in hours.releases:
            if its == project and release is not None:
                sums = hours.sums((its, release), window)
                if sums is not None:
                    found[release] = sums["sessions"]
        return found


def _asks(scope: Scope) -> list[Ask]:
    by = frozenset({"project", "release"})
    return [Ask(components.SESSIONS_BY_GROUP, scope, by, HOUR), Ask(components.SEEN, scope)]


def _pair(row: Row) -> _Pair:
    return row["project_id"], row["release"] or None


def _seen(row: Row) -> Seen:
    return Seen(from_epoch_us(row["first_seen"]), from_epoch_us(row["last_seen"]))


def _summed(rows: list[Row]) -> _Release:
    rows.sort(key=lambda row: int(row["bucket"]))
    return _Release(
        [row["bucket"] for row in rows],
        {name: [0, *accumulate(row[name] for row in rows)] for name in _COUNTS},
    )


def row_of_sessions(
    pair: ProjectRelease, sums: Mapping[str, int] | None, scope: Scope
) -> ReleaseOverview:
    """Return the figures of session counters; those of anything else are null or 0."""
    counters = [] if sums is None else [{"project_id": pair[0], "release": pair[1], **sums}]
    left_out = set(components.OVERVIEW) - {components.SESSIONS_BY_STATUS}
    found = {components.SESSIONS_BY_STATUS: counters, components.HEALTH_DATA: []}
    (row,) = merge.merge(found, scope.narrowed_to((pair,)), left_out=left_out)
    return row
