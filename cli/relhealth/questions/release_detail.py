"""One release in detail: when it was seen, how it did at each age, its figures over time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from relhealth.core.scope import ProjectRelease, Scope, Stat
from relhealth.core.units import Unit
from relhealth.core.windows import Series, iso
from relhealth.questions.service import (
    Service,
    in_total,
    over_time,
    points_of_ages,
    series_of,
    totals_of,
)

STATUS_FIGURES = ("", "_healthy", "_errored", "_crashed", "_abnormal", "_unhandled")


@dataclass(frozen=True)
class ReleaseDetail:
    """One release of one project.

    ``bounds`` are the first and last hour with sessions in 90 days; ``breakdown`` holds crash-free
    figures by age, from the first hour on; ``totals`` and the points of ``series`` (epoch seconds,
    figures) hold ``sessions``, ``sessions_healthy`` … (or ``users`` …), the points durations too.
    """

    project_id: int
    release: str
    bounds: Mapping[str, datetime | None]
    breakdown: tuple[Mapping[str, Any], ...]
    totals: Mapping[str, int]
    series: tuple[tuple[int, Mapping[str, Any]], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the detail as plain values, instants as text."""
        return {
            "project_id": self.project_id,
            "release": self.release,
            **{name: bound and iso(bound) for name, bound in self.bounds.items()},
            "breakdown": [{**point, "date": iso(point["date"])} for point in self.breakdown],
            "totals": dict(self.totals),
            "series": [[start, dict(figures)] for start, figures in self.series],
        }


def series_units(stat: Stat) -> dict[str, Unit]:
    """Return the figures of a point, with their units."""
    counts = {f"{stat}{suffix}": Unit.COUNT for suffix in STATUS_FIGURES}
    return {**counts, "duration_p50": Unit.SECONDS, "duration_p90": Unit.SECONDS}


@dataclass(frozen=True)
class ReleaseDetails(Mapping[ProjectRelease, ReleaseDetail]):
    """A release in each project that has it: a mapping from pair to detail."""

    details: tuple[ReleaseDetail, ...]
    scope: Scope
    series: Series
    period: str
    stat: Stat
    files: int
    invalid_rows: Mapping[str, int]

    def __getitem__(self, pair: ProjectRelease) -> ReleaseDetail:
        """Return the detail of a pair."""
        return {(one.project_id, one.release): one for one in self.details}[pair]

    def __iter__(self) -> Iterator[ProjectRelease]:
        """Iterate over the pairs."""
        return iter((one.project_id, one.release) for one in self.details)

    def __len__(self) -> int:
        """Return the number of projects that have the release."""
        return len(self.details)


def details(
    service: Service, scope: Scope, *, series: Series, stat: Stat
) -> tuple[tuple[ReleaseDetail, ...], dict[str, int]]:
    """Tell of each pair of a scope, over its totals window and a series.

    With them come the rows of 90 days that cannot count, by reason.
    """
    pairs, environments = scope.pairs or (), scope.environments
    bounds = service.all_bounds(pairs, environments)
    ages, countings = {}, []
    for pair in pairs:
        first = bounds[pair]["sessions_lower_bound"]
        ages[pair] = service.ages(pair, first, environments) if first else {}
        one = scope.narrowed_to((pair,))
        countings += [
            *ages[pair].values(),
            in_total(one, stat),
            over_time(one.over(series.window), stat, series.interval),
        ]
    found, invalid = service.count(countings, scope.over(scope.health))
    counts = iter(found)
    return tuple(
        ReleaseDetail(
            project_id=pair[0],
            release=pair[1],
            bounds=bounds[pair],
            breakdown=tuple(points_of_ages(ages[pair], [next(counts) for _ in ages[pair]])),
            totals=totals_of(next(counts), stat),
            series=tuple(series_of(next(counts), stat, series.window, series.interval)),
        )
        for pair in pairs
    ), invalid
