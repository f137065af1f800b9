"""A compaction laid out for rendering."""

from dataclasses import asdict

from relhealth.core.units import Unit
from relhealth.core.version import __version__
from relhealth.core.words import counted
from relhealth.ingest.compact import Compacted
from relhealth.output.report import JSON_FORMAT, Column, Report, Table


def compaction_report(found: Compacted) -> Report:
    """Lay out what a compaction did."""
    data = asdict(found)
    columns = tuple(Column(name, Unit.COUNT, name.replace("_", " ").capitalize()) for name in data)
    return Report(
        meta={"format": JSON_FORMAT, "command": "compact", "relhealth": __version__},
        data=data,
        tables=(Table("Compacted", columns, [data], tuple(data)),),
        summary=f"{counted(found.days, 'day')} rewritten,"
        f" {counted(found.files_before, 'file')} before, {found.files_after:,} after",
    )
