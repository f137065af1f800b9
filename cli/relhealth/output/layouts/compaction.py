"""A compaction laid out for rendering."""

from dataclasses import asdict

from relhealth.core.words import counted
from relhealth.ingest.compact import Compacted
from relhealth.output.report import Report, counts_table, meta_of


def compaction_report(found: Compacted) -> Report:
    """Lay out what a compaction did."""
    data = asdict(found)
    return Report(
        meta=meta_of("compact"),
        data=data,
        tables=(counts_table("Compacted", data),),
        summary=f"{counted(found.days, 'day')} rewritten,"
        f" {counted(found.files_before, 'file')} before, {found.files_after:,} after",
    )
