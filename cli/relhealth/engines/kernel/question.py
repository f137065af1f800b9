"""The question to the kernel: its targets, and the cells into which their windows divide time.

A target is one grouping of the rows of one ask. Rows that count in the same groups of all targets
have the same owner; the kernel does not distinguish them.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from relhealth.core.dimensions import ENVIRONMENT, Condition
from relhealth.core.windows import Window, epoch
from relhealth.datasets.arrays import Array
from relhealth.datasets.labels import COUNTERS, DURATIONS, ERRORS, METRICS, USERS, Place
from relhealth.engines import components
from relhealth.engines.components import Component
from relhealth.engines.interface import Ask

Span = tuple[int, int]  # epoch seconds, the end excluded
Key = tuple[Any, ...]  # identifies a row of an answer, apart from its bucket
Keys = tuple[Key | None, ...]  # the group of a row in each target; None: no group
# A part of a row's place beside names: whether it meets a condition, or its values of dimensions.
Part = Condition | tuple[str, ...]

TIMED_USERS = len(METRICS)  # rows of users with their timestamps, kept beside the metrics' values

_SERIES = components.HEALTH_STATS
# What components need of rows: sums and first and last timestamps per group, or all values.
_TALLIED: dict[int, set[Component]] = {
    COUNTERS: {
        components.SESSIONS_BY_STATUS,
        components.ADOPTION,
        _SERIES["sessions"],
        components.HEALTH_DATA,
        components.SEEN,
        components.SESSION_BOUNDS,
        components.SESSIONS_BY_GROUP,
        components.ADOPTION_STAGES,
    },
    DURATIONS: {components.HEALTH_DATA, components.SESSION_BOUNDS},
    ERRORS: {components.HEALTH_DATA},
    USERS: {components.HEALTH_DATA},
}
_KEPT: dict[int, set[Component]] = {
    COUNTERS: set(),
    DURATIONS: {components.DURATIONS, components.DURATION_RANKS, components.DURATIONS_BY_GROUP},
    ERRORS: {components.ERRORED_SESSIONS, components.ERRORED_BY_GROUP},
    USERS: {
        components.USERS_BY_STATUS,
        components.ADOPTION,
        _SERIES["users"],
        components.USERS_BY_GROUP,
    },
    TIMED_USERS: {components.USER_SESSIONS, components.FOLLOWED_USERS},
}
OF_DURATIONS = frozenset(_KEPT[DURATIONS])
OF_TIMED_USERS = frozenset(_KEPT[TIMED_USERS])
_CHECKED = {components.INVALID_ROWS}
_MET = {components.ORGANISATIONS, components.PROJECTS}  # invalid rows count too
KNOWN = set().union(*_TALLIED.values(), *_KEPT.values(), _CHECKED, _MET)
_STAMPED = {components.SEEN, components.SESSION_BOUNDS}
_BY_GROUP = {component for component in KNOWN if "bucket" in component.keys} - {*_SERIES.values()}
_WITH_NONE = {components.HEALTH_DATA, components.SEEN, components.SESSION_BOUNDS}  # no release
# Answers that need the rows of all releases, even if the question names some.
_OF_ALL_RELEASES = {
    components.ADOPTION,
    components.ADOPTION_STAGES,
    components.INVALID_ROWS,
    components.ORGANISATIONS,
    components.PROJECTS,
}


class Target(NamedTuple):
    """A grouping of the rows of an ask; ``whole`` is adoption's grouping by project."""

    ask: Ask
    span: Span
    interval: int | None
    projects: frozenset[int] | None
    releases: frozenset[str] | None
    environments: frozenset[str] | None
    whole: bool = False
    conditions: tuple[int, ...] = ()  # indices in a place's further parts, which must be true
    by: int | None = None  # the index of what takes the place of its environment

    @classmethod
    def of(cls, ask: Ask, further: Sequence[Part]) -> list["Target"]:
        """Return the groupings of an ask; ``further`` are the parts of a place beside names."""
        scope = ask.scope
        one = cls(
            ask=ask,
            span=(epoch(ask.window.start), epoch(ask.window.end)),
            interval=3_600 if ask.component == components.ADOPTION_STAGES else ask.buckets,
            projects=None if scope.projects is None else frozenset(scope.projects),
            releases=None if scope.releases is None else frozenset(scope.releases),
            environments=None if scope.environments is None else frozenset(scope.environments),
            conditions=tuple(further.index(one) for one in scope.where),
            by=further.index(scope.by) if scope.by else None,
        )
        return [one, one._replace(whole=True)] if ask.component == components.ADOPTION else [one]

    @property
    def component(self) -> Component:
        """The component of the ask."""
        return self.ask.component

    @property
    def by_environment(self) -> bool:
        """Whether the target groups by environment or selects environments."""
        scope = self.ask.scope
        if scope.by:
            return self.environments is not None or ENVIRONMENT in scope.by
        return self.environments is not None or "environment" in self.ask.group_by

    @property
    def names(self) -> frozenset[str] | None:
        """The only releases whose rows can count; None: all can."""
        return None if self.component in _OF_ALL_RELEASES else self.releases

    def key(self, place: Place) -> Key | None:
        """Return the group of a row; None if it counts in none."""
        org, project, release, environment, further = place
        if not all(further[one] for one in self.conditions):
            return None
        ours = self.projects is None or project in self.projects
        here = self.environments is None or environment in self.environments
        match self.component:
            case components.PROJECTS:
                return None if project is None else (project,)
            case components.ORGANISATIONS:
                return (org,) if ours and org is not None else None
            case components.INVALID_ROWS:
                return () if here and (ours or project is None) else None
        if project is None or not ours or not here:
            return None
        if self.by is not None:
            environment = str(further[self.by])
        return self._key_of_release(project, release, environment)

    def _key_of_release(self, project: int, release: str, environment: str) -> Key | None:
        component, by = self.component, self.ask.group_by
        if self.whole:
            return (project,)
        if component == components.ADOPTION_STAGES:
            return project, release, environment if "environment" in by else ""
        if self.releases is not None and release not in self.releases:
            return None
        if component not in _BY_GROUP:
            counts = release != "" or component in _WITH_NONE
            return (project, release or None) if counts else None
        return (
            project if "project" in by else None,
            release if "release" in by else None,
            environment if "environment" in by else None,
        )


Use = tuple[tuple[int, int | None], ...]  # targets, each with its bucket


class Uses(NamedTuple):
    """The uses of rows by their cell: ``ids`` are indices of ``uses``; the first means no use."""

    ids: Array
    uses: Sequence[Use]

    def within(self, cells: Array | slice) -> bool:
        """Return whether rows of any of the cells have a use."""
        return bool(self.ids[cells].any())


@dataclass(frozen=True)
class Question:
    """A batch of asks, of one organisation (``org``) or all."""

    targets: tuple[Target, ...]
    org: int | None
    further: tuple[Part, ...] = ()

    @classmethod
    def of(cls, asks: Collection[Ask], *, org: int | None) -> "Question":
        """Return the question of a batch of asks."""
        cuts = [ask.scope for ask in asks]
        parts: list[Part] = [one for scope in cuts for one in scope.where]
        parts += [scope.by for scope in cuts if scope.by]
        further = tuple(dict.fromkeys(parts))
        return cls(tuple(one for ask in asks for one in Target.of(ask, further)), org, further)

    @property
    def by_dimension(self) -> bool:
        """Whether an answer is by values of dimensions, of which there can be many."""
        return any(one.by is not None for one in self.targets)

    @cached_property
    def dimensions(self) -> tuple[str, ...]:
        """The columns of dimensions to read."""
        return tuple(sorted({name for one in self.targets for name in one.ask.scope.cut.columns}))

    @cached_property
    def edges(self) -> list[int]:
        """The edges of cells: between two of them, all rows are in the same windows and buckets."""
        found: set[int] = set()
        for (start, end), interval in {(one.span, one.interval) for one in self.targets}:
            found |= {start, end}
            if interval is not None:
                found.update(range(-(-start // interval) * interval, end, interval))
        return sorted(found)

    @property
    def untimed(self) -> int:
        """The cell of rows without a timestamp."""
        return len(self.edges) - 1

    def _uses(self, some: Collection[Component]) -> Uses:
        """Return the uses of rows in the answers of some components."""
        targets = [(at, one) for at, one in enumerate(self.targets) if one.component in some]
        known: dict[Use, int] = {(): 0}
        ids = np.zeros(self.untimed + 1, np.int64)
        if targets:
            for cell, start in enumerate(self.edges[:-1]):
                use = tuple(
                    (at, None if one.interval is None else start // one.interval * one.interval)
                    for at, one in targets
                    if one.span[0] <= start < one.span[1]
                )
                ids[cell] = known.setdefault(use, len(known))
            always = (components.INVALID_ROWS, components.PROJECTS)
            untimed = tuple((at, None) for at, one in targets if one.component in always)
            ids[self.untimed] = known.setdefault(untimed, len(known))
        return Uses(ids, list(known))

    @cached_property
    def tallied(self) -> list[Uses]:
        """The uses of each metric's rows in tallies."""
        return [self._uses(_TALLIED[metric]) for metric in METRICS]

    @cached_property
    def kept(self) -> list[Uses]:
        """The uses of each metric's values, and of timed users, which the scan keeps."""
        return [self._uses(_KEPT[metric]) for metric in (*METRICS, TIMED_USERS)]

    @cached_property
    def met(self) -> Uses:
        """The uses that include invalid rows."""
        return self._uses(_MET)

    @cached_property
    def checked(self) -> Uses:
        """The uses that count invalid rows."""
        return self._uses(_CHECKED)

    @cached_property
    def stamped(self) -> bool:
        """Whether an answer has the first and last timestamps of groups."""
        return any(one.component in _STAMPED for one in self.targets)

    @cached_property
    def mechanisms(self) -> bool:
        """Whether an answer has mechanisms of abnormal ends."""
        return any(one.component == components.USERS_BY_GROUP for one in self.targets)

    @cached_property
    def environments(self) -> bool:
        """Whether the environment of a row matters."""
        return any(one.by_environment for one in self.targets)

    @cached_property
    def organisations(self) -> bool:
        """Whether an answer has organisations."""
        return any(one.component == components.ORGANISATIONS for one in self.targets)

    @cached_property
    def names(self) -> frozenset[str] | None:
        """The only releases whose rows can count; None: all can."""
        found = [one.names for one in self.targets]
        return frozenset().union(*(one or () for one in found)) if None not in found else None

    def keys(self, place: Place) -> Keys:
        """Return the group of a row in each target."""
        return tuple(target.key(place) for target in self.targets)


def in_whole_seconds(window: Window) -> bool:
    """Return whether a window starts and ends at a full second."""
    return not window.start.microsecond and not window.end.microsecond
