"""The inspection laid out for rendering."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from relhealth.core.units import Unit
from relhealth.core.version import __version__
from relhealth.core.windows import iso
from relhealth.core.words import counted
from relhealth.output.report import JSON_FORMAT, Column, Report, Table, empty_warnings
from relhealth.questions.inspection import Inspection

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
_INVALID = (Column("reason", Unit.TEXT, "Invalid rows"), Column("rows", Unit.COUNT, "Rows"))


def inspection_report(found: Inspection) -> Report:
    """Lay out the answer."""
    organisations = ", ".join(map(str, found.organisations)) or None
    values = {**asdict(found), "organisations": organisations}
    invalid = [{"reason": why, "rows": rows} for why, rows in found.invalid_rows.items()]
    environments = [
        {**asdict(one), "environment": one.environment or "(none)"} for one in found.environments
    ]
    return Report(
        meta={
            "format": JSON_FORMAT,
            "command": "inspect",
            "relhealth": __version__,
            "now": iso(found.now),
            "sources": {"files": found.files, "empty_files": len(found.empty_files)},
            "invalid_rows": sum(found.invalid_rows.values()),
        },
        data=found.to_dict(),
        tables=(
            _table("Files", _FILES, [values]),
            _table("Metrics", _METRICS, map(asdict, found.metrics)),
            _table("Projects", _PROJECTS, map(asdict, found.projects)),
            _table("Environments", _ENVIRONMENTS, environments),
            _table("Releases", _RELEASES, map(asdict, found.releases)),
            *([_table("Invalid rows", _INVALID, invalid)] if invalid else []),
        ),
        summary=", ".join(
            [
                counted(found.files, "file"),
                counted(len(found.projects), "project"),
                counted(sum(project.releases for project in found.projects), "release"),
                counted(sum(found.invalid_rows.values()), "invalid row"),
            ]
        ),
        warnings=tuple(empty_warnings(found.empty_files)),
    )


def _table(title: str, columns: tuple[Column, ...], rows: Iterable[Mapping[str, Any]]) -> Table:
    return Table(title, columns, list(rows), tuple(column.name for column in columns))
