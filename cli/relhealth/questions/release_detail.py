"""One release in detail: when it was seen, how it did at each age, its figures over time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from relhealth.core.scope import ProjectRelease, Scope, Stat
from relhealth.core.units import Unit
from relhealth.core.windows import Series, iso
from relhealth.questions.service import Service

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


def detail(
    service: Service,
    pair: ProjectRelease,
    scope: Scope,
    *,
    series: Series,
    stat: Stat,
) -> ReleaseDetail:
    """Tell of one release over the scope's totals window and a series."""
    environments = scope.environments
    bounds = service.bounds(pair, environments)
    first = bounds["sessions_lower_bound"]
    points, _ = service.release_stats(pair, stat, series.window, series.interval, environments)
    return ReleaseDetail(
        project_id=pair[0],
        release=pair[1],
        bounds=bounds,
        breakdown=tuple(service.breakdown(pair, first, environments)) if first else (),
        totals=service.totals(pair, stat, scope.summary, environments),
        series=tuple(points),
    )
