"""Inspection: what is in the sources."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from relhealth.core import clock
from relhealth.core.dimensions import Cut
from relhealth.core.versions import release_key
from relhealth.core.windows import EVER, from_epoch_us, iso, to_epoch_us
from relhealth.datasets.contract import SESSION_METRICS
from relhealth.questions.asking import Asking

_DAYS = "date"  # the folder of a day, in a data set of relhealth ingest


@dataclass(frozen=True, slots=True)
class MetricSummary:
    """The rows of one metric; ``session_metric`` is true if relhealth reads it."""

    metric: str | None
    session_metric: bool
    rows: int


@dataclass(frozen=True, slots=True)
class ReleaseSummary:
    """One release of one project; ``release`` is ``None`` for sessions without one."""

    project_id: int
    release: str | None
    sessions: int
    rows: int
    first: datetime | None
    last: datetime | None


@dataclass(frozen=True, slots=True)
class ProjectSummary:
    """One project over all its releases."""

    project_id: int
    releases: int
    sessions: int
    rows: int
    first: datetime | None
    last: datetime | None


@dataclass(frozen=True, slots=True)
class EnvironmentSummary:
    """One environment; ``''`` means sessions without one."""

    environment: str
    sessions: int
    rows: int


@dataclass(frozen=True, slots=True)
class ValueSummary:
    """One value of a dimension; ``''`` means rows without one."""

    value: str
    sessions: int
    rows: int


@dataclass(frozen=True, slots=True)
class DimensionSummary:
    """A column beside the contract's: how many values it has, and its most frequent ones."""

    dimension: str
    values: int
    most_frequent: tuple[ValueSummary, ...]


@dataclass(frozen=True, slots=True)
class Inspection:
    """What is in the sources, for all time; ``first`` and ``last`` are of session metrics.

    ``freshness`` is the time from the newest session metric to ``now`` in seconds, ``None``
    without any. ``invalid_rows`` counts invalid rows by reason.
    """

    now: datetime
    files: int
    empty_files: tuple[str, ...]
    bytes: int
    rows: int
    first: datetime | None
    last: datetime | None
    freshness: float | None
    organisations: tuple[int, ...]
    metrics: tuple[MetricSummary, ...]
    projects: tuple[ProjectSummary, ...]
    releases: tuple[ReleaseSummary, ...]
    environments: tuple[EnvironmentSummary, ...]
    invalid_rows: dict[str, int]
    dimensions: tuple[DimensionSummary, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, instants as ISO 8601."""
        return {name: _plain(value) for name, value in asdict(self).items()}


def _plain(value: object) -> object:
    match value:
        case datetime():
            return iso(value)
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return value


def inspection(asking: Asking, now: datetime) -> Inspection:
    """Read everything once; warn of sessions that are later than the clock."""
    found = _found(asking, now)
    present = clock.now()
    later = [
        (row.project_id, row.release, to_epoch_us(row.last))
        for row in sorted(found.releases, key=lambda row: row.last or present, reverse=True)
        if row.last is not None and row.last > present
    ]
    if later:
        asking.warn(clock.warning(later, present))
    asking.refuse_if_strict(found.invalid_rows)
    return found


def _found(asking: Asking, now: datetime) -> Inspection:
    sources = asking.sources
    ever = {"start": EVER.start, "end": EVER.end, "projects": None, "environments": None}
    metrics, of_releases, of_environments, organisations, invalid = asking.rows_of_all(
        ("inspect_metrics", {}),
        ("inspect_releases", {}),
        ("inspect_environments", {}),
        ("organisations", ever),
        ("invalid_rows", ever),
    )
    session_metrics = [row for row in metrics if row["metric"] in SESSION_METRICS]
    firsts = [row["first_us"] for row in session_metrics if row["first_us"] is not None]
    lasts = [row["last_us"] for row in session_metrics if row["last_us"] is not None]
    last = from_epoch_us(max(lasts)) if lasts else None
    releases = [
        ReleaseSummary(
            project_id=row["project_id"],
            release=row["release_name"],
            sessions=row["sessions"],
            rows=row["metric_rows"],
            first=_instant(row["first_us"]),
            last=_instant(row["last_us"]),
        )
        for row in of_releases
    ]
    releases.sort(key=lambda row: (row.project_id, release_key(row.release or "")))
    return Inspection(
        now=now,
        files=sources.total,
        empty_files=sources.empty,
        bytes=sources.size,
        # Footers count the rows of all organisations.
        rows=sources.rows
        if asking.org is None and sources.rows is not None
        else sum(row["metric_rows"] for row in metrics),
        first=from_epoch_us(min(firsts)) if firsts else None,
        last=last,
        freshness=(now - last).total_seconds() if last is not None else None,
        organisations=tuple(row["org_id"] for row in organisations),
        metrics=tuple(
            MetricSummary(row["metric"], row["metric"] in SESSION_METRICS, row["metric_rows"])
            for row in metrics
        ),
        projects=_projects(releases),
        releases=tuple(releases),
        environments=tuple(
            EnvironmentSummary(row["environment"], row["sessions"], row["metric_rows"])
            for row in of_environments
        ),
        invalid_rows={row["reason"]: row["invalid"] for row in invalid},
        dimensions=tuple(_dimensions(asking)),
    )


def _dimensions(asking: Asking) -> Iterator[DimensionSummary]:
    """Yield the columns that can be dimensions, but not the folders of days."""
    for key, name in sorted(asking.sources.dimensions.items()):
        if key == _DAYS or not asking.is_dimension(key):
            continue
        (rows,) = asking.rows_of_all(("inspect_values", {}), cut=Cut(by=(key,)))
        if rows:
            yield DimensionSummary(
                name,
                rows[0]["total_values"],
                tuple(
                    ValueSummary(row["dimension_value"], row["sessions"], row["metric_rows"])
                    for row in rows
                ),
            )


def _instant(epoch_us: int | None) -> datetime | None:
    return None if epoch_us is None else from_epoch_us(epoch_us)


def _projects(releases: list[ReleaseSummary]) -> tuple[ProjectSummary, ...]:
    """Add up the releases of each project; no session or row belongs to two releases."""
    by_project: dict[int, list[ReleaseSummary]] = {}
    for release in releases:
        by_project.setdefault(release.project_id, []).append(release)
    return tuple(
        ProjectSummary(
            project_id=project,
            releases=sum(release.release is not None for release in of_project),
            sessions=sum(release.sessions for release in of_project),
            rows=sum(release.rows for release in of_project),
            first=min((r.first for r in of_project if r.first is not None), default=None),
            last=max((r.last for r in of_project if r.last is not None), default=None),
        )
        for project, of_project in by_project.items()
    )
