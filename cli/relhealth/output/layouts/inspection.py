"""The inspection laid out for rendering."""

from dataclasses import asdict

from relhealth.core.printable import printable
from relhealth.core.units import Unit
from relhealth.core.windows import iso
from relhealth.core.words import counted
from relhealth.output.report import Column, Report, Table, empty_warnings, meta_of
from relhealth.questions.inspection import Inspection

_FEW = 5  # values that a table shows
_SPAN = (Column("first", Unit.INSTANT, "First"), Column("last", Unit.INSTANT, "Last"))
_COUNTS = (Column("sessions", Unit.COUNT, "Sessions"), Column("rows", Unit.COUNT, "Rows"))
_PROJECT = Column("project_id", Unit.PROJECT, "Proj.")
_FILES = (
    Column("files", Unit.COUNT, "Files"),
    Column("rows", Unit.COUNT, "Rows"),
    Column("bytes", Unit.COUNT, "Bytes"),
    *_SPAN,
    Column("freshness", Unit.SECONDS, "Newest is\nthis old"),
    Column("organisations", Unit.TEXT, "Organisations"),
)
_METRICS = (
    Column("metric", Unit.TEXT, "Metric"),
    Column("rows", Unit.COUNT, "Rows"),
    Column("session_metric", Unit.FLAG, "Session metric"),
)
_PROJECTS = (_PROJECT, Column("releases", Unit.COUNT, "Releases"), *_COUNTS, *_SPAN)
_ENVIRONMENTS = (Column("environment", Unit.TEXT, "Environment"), *_COUNTS)
_RELEASES = (_PROJECT, Column("release", Unit.RELEASE, "Release"), *_COUNTS, *_SPAN)
_DIMENSIONS = (
    Column("dimension", Unit.TEXT, "Dimension"),
    Column("values", Unit.COUNT, "Values"),
    Column("most_frequent", Unit.TEXT, "Most sessions"),
)
_INVALID = (Column("reason", Unit.TEXT, "Invalid rows"), Column("rows", Unit.COUNT, "Rows"))


def _no_users(found: Inspection) -> list[str]:
    metrics = {one.metric for one in found.metrics}
    if "c:sessions/session@none" in metrics and "s:sessions/user@none" not in metrics:
        return ["the data have no users: figures of users are missing in every answer, not 0"]
    return []


def inspection_report(found: Inspection) -> Report:
    """Lay out the answer."""
    organisations = ", ".join(map(str, found.organisations)) or None
    values = {**asdict(found), "organisations": organisations}
    invalid = [{"reason": why, "rows": rows} for why, rows in found.invalid_rows.items()]
    environments = [
        {**asdict(one), "environment": one.environment or "(none)"} for one in found.environments
    ]
    dimensions = [
        {
            "dimension": one.dimension,
            "values": one.values,
            "most_frequent": ", ".join(
                f"{printable(some.value) or '(none)'} {some.sessions:,}"
                for some in one.most_frequent[:_FEW]
            ),
        }
        for one in found.dimensions
    ]
    return Report(
        meta=meta_of(
            "inspect",
            now=iso(found.now),
            sources={"files": found.files, "empty_files": len(found.empty_files)},
            invalid_rows=sum(found.invalid_rows.values()),
        ),
        data=found.to_dict(),
        tables=(
            Table("Files", _FILES, [values]),
            Table("Metrics", _METRICS, list(map(asdict, found.metrics))),
            Table("Projects", _PROJECTS, list(map(asdict, found.projects))),
            Table("Environments", _ENVIRONMENTS, environments),
            Table("Releases", _RELEASES, list(map(asdict, found.releases))),
            *([Table("Dimensions", _DIMENSIONS, dimensions)] if dimensions else []),
            *([Table("Invalid rows", _INVALID, invalid)] if invalid else []),
        ),
        summary=", ".join(
            [
                counted(found.files, "file"),
                counted(len(found.projects), "project"),
                counted(sum(project.releases for project in found.projects), "release"),
                counted(sum(found.invalid_rows.values()), "invalid row"),
            ]
        ),
        warnings=(*empty_warnings(found.empty_files), *_no_users(found)),
    )
