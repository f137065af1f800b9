"""What the kernel is asked: windows cut into cells, filters, and which figures are needed."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from relhealth.core.scope import Scope, Stat
from relhealth.core.windows import Window, epoch, hull
from relhealth.engines.components import (
    ADOPTION,
    DURATIONS,
    ERRORED_SESSIONS,
    HEALTH_STATS,
    INVALID_ROWS,
    SESSIONS_BY_STATUS,
    USERS_BY_STATUS,
    Component,
)

_OF_SUMMARY = {SESSIONS_BY_STATUS, ERRORED_SESSIONS, USERS_BY_STATUS, DURATIONS}

Span = tuple[int, int]  # epoch seconds, the end excluded


@dataclass(frozen=True)
class Question:
    """Windows of whole hours, in epoch seconds; filters are None for all.

    ``read`` holds all windows. ``summary``, ``adoption`` and ``series`` (with its interval) are
    None where they are not asked for; the flags say which sets of the summary window are.
    """

    read: Span
    summary: Span | None
    adoption: Span | None
    series: tuple[Span, int] | None
    stat: Stat
    org: int | None
    projects: frozenset[int] | None
    releases: frozenset[str] | None
    environments: frozenset[str] | None
    users: bool
    errors: bool
    durations: bool

    @classmethod
    def of(
        cls, scope: Scope, components: Collection[Component], *, stat: Stat, org: int | None
    ) -> "Question":
        """Ask for components over a scope; ``stat`` is what a series counts."""
        asked = set(components)
        read = [
            *([scope.summary] if asked & _OF_SUMMARY else []),
            *([scope.adoption] if ADOPTION in asked else []),
            *([scope.read_window] if INVALID_ROWS in asked else []),
        ]
        series = scope.series if HEALTH_STATS[stat] in asked else None
        if series is not None:
            read.append(series.window)
        return cls(
            read=_span(hull(read)),
            summary=_span(scope.summary) if asked & _OF_SUMMARY else None,
            adoption=_span(scope.adoption) if ADOPTION in asked else None,
            series=None if series is None else (_span(series.window), series.interval),
            stat=stat,
            org=org,
            projects=None if scope.projects is None else frozenset(scope.projects),
            releases=None if scope.releases is None else frozenset(scope.releases),
            environments=None if scope.environments is None else frozenset(scope.environments),
            users=USERS_BY_STATUS in asked,
            errors=ERRORED_SESSIONS in asked,
            durations=DURATIONS in asked,
        )

    @cached_property
    def edges(self) -> list[int]:
        """The instants between which every row is in the same windows and bucket."""
        found = {*self.read, *(self.summary or ()), *(self.adoption or ())}
        if self.series is not None:
            (start, end), interval = self.series
            found.update([start, *range(-(-start // interval) * interval, end, interval), end])
        return sorted(found)

    @cached_property
    def cells(self) -> list["Cell"]:
        """What the spans between two edges belong to."""
        return [self._cell(start) for start in self.edges[:-1]]

    def _cell(self, start: int) -> "Cell":
        bucket = None
        if self.series is not None:
            (first, end), interval = self.series
            bucket = start // interval * interval if first <= start < end else None
        return Cell(
            summary=self.summary is not None and _within(self.summary, start),
            adoption=self.adoption is not None and _within(self.adoption, start),
            bucket=bucket,
        )


class Cell(NamedTuple):
    """A span of time: the windows that it is in, and the bucket of the series."""

    summary: bool
    adoption: bool
    bucket: int | None


def _span(window: Window) -> Span:
    return epoch(window.start), epoch(window.end)


def _within(span: Span, instant: int) -> bool:
    return span[0] <= instant < span[1]
