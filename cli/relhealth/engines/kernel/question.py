"""What the kernel is asked: windows cut into cells, filters, and which figures are needed."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from relhealth.core.scope import Scope, Stat
from relhealth.core.windows import Window, epoch

Span = tuple[int, int]  # epoch seconds, the end excluded


@dataclass(frozen=True)
class Question:
    """Windows of whole hours, in epoch seconds; filters are None for all.

    ``adoption``, ``series`` (with its rollup) are None where they are not asked for; the flags say
    which sets of the summary window are.
    """

    summary: Span
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
        cls, scope: Scope, *, needed: Collection[str] | None, stat: Stat, org: int | None
    ) -> "Question":
        """Ask about a scope; ``needed`` names components as ``merge.Components``, None: all."""

        def asked(name: str) -> bool:
            return needed is None or name in needed

        series = scope.series
        return cls(
            summary=_span(scope.summary),
            adoption=_span(scope.adoption) if asked("adoption") else None,
            series=None if series is None else (_span(series.window), series.rollup),
            stat=stat,
            org=org,
            projects=None if scope.projects is None else frozenset(scope.projects),
            releases=None if scope.releases is None else frozenset(scope.releases),
            environments=None if scope.environments is None else frozenset(scope.environments),
            users=asked("users_by_status"),
            errors=asked("errored_sessions"),
            durations=asked("durations"),
        )

    @cached_property
    def edges(self) -> list[int]:
        """The instants between which every row is in the same windows and bucket."""
        found = {*self.summary, *(self.adoption or ())}
        if self.series is not None:
            (start, end), rollup = self.series
            found.update(range(start, end + 1, rollup))
        return sorted(found)

    @cached_property
    def cells(self) -> list["Cell"]:
        """What the spans between two edges belong to."""
        return [self._cell(start) for start in self.edges[:-1]]

    def _cell(self, start: int) -> "Cell":
        bucket = None
        if self.series is not None:
            (first, end), rollup = self.series
            bucket = start // rollup * rollup if first <= start < end else None
        return Cell(
            summary=_within(self.summary, start),
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
