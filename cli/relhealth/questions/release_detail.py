"""One release in detail: when it was seen, its figures at each age and over time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from relhealth.core.scope import Asked, ProjectRelease, Scope, Stat
from relhealth.core.units import Unit
from relhealth.core.windows import Series, iso
from relhealth.questions.asking import Asking
from relhealth.questions.breakdown import countings_of_ages, points_of_ages
from relhealth.questions.counts import counted_and_checked
from relhealth.questions.overview import ReleaseOverview
from relhealth.questions.release_stats import in_total, over_time, series_of, totals_of
from relhealth.questions.selection import Selection
from relhealth.questions.time_bounds import all_time_bounds

STATUS_FIGURES = ("", "_healthy", "_errored", "_crashed", "_abnormal", "_unhandled")


@dataclass(frozen=True)
class ReleaseDetail:
    """One release of one project.

    ``bounds`` are the first and the last hour with sessions in 90 days. ``breakdown`` has
    crash-free figures from the first hour to each age. ``totals`` has ``sessions``,
    ``sessions_healthy`` … (or ``users`` …); ``series`` has points (epoch seconds, figures) with
    the same figures and durations. ``overview`` has the release's row of the overview.
    """

    project_id: int
    release: str
    bounds: Mapping[str, datetime | None]
    breakdown: tuple[Mapping[str, Any], ...]
    totals: Mapping[str, int]
    series: tuple[tuple[int, Mapping[str, Any]], ...]
    overview: ReleaseOverview

    def to_dict(self) -> dict[str, Any]:
        """Return the detail as plain values, instants as text."""
        return {
            "project_id": self.project_id,
            "release": self.release,
            "crash_free_sessions": self.overview.crash_free_sessions,
            "crash_free_users": self.overview.crash_free_users,
            "adoption": self.overview.adoption,
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


def release_details(
    asking: Asking, now: datetime, release: Asked, selected: Selection, stat: Stat
) -> ReleaseDetails:
    """Return the details of a release in each project that has it."""
    scope = selected.scope(now, where=asking.where)
    scope = scope.narrowed_to(asking.pairs([release], scope))
    series = Series.back_from(now, selected.period)
    found, invalid = _details(asking, scope, series, stat)
    return ReleaseDetails(
        details=found,
        scope=scope,
        series=series,
        period=selected.period,
        stat=stat,
        files=asking.sources.total,
        invalid_rows=invalid,
    )


def _details(
    asking: Asking, scope: Scope, series: Series, stat: Stat
) -> tuple[tuple[ReleaseDetail, ...], dict[str, int]]:
    """Return the detail of each pair of a scope, and the invalid rows of 90 days by reason."""
    now, pairs, environments = scope.now, scope.pairs or (), scope.environments
    bounds = all_time_bounds(asking, now, pairs, environments)
    ages, countings = {}, []
    for pair in pairs:
        first = bounds[pair]["sessions_lower_bound"]
        ages[pair] = countings_of_ages(asking, now, pair, first, environments) if first else {}
        one = scope.narrowed_to((pair,))
        countings += [
            *ages[pair].values(),
            in_total(one, stat),
            over_time(one.over(series.window), stat, series.interval),
        ]
    found, invalid = counted_and_checked(asking, scope.over(scope.health), *countings)
    counts = iter(found)
    figures = {(row.project_id, row.release): row for row in asking.figures(scope)}
    return tuple(
        ReleaseDetail(
            project_id=pair[0],
            release=pair[1],
            bounds=bounds[pair],
            breakdown=tuple(points_of_ages(ages[pair], [next(counts) for _ in ages[pair]])),
            totals=totals_of(next(counts), stat),
            series=tuple(series_of(next(counts), stat, series.window, series.interval)),
            overview=figures[pair],
        )
        for pair in pairs
    ), invalid
