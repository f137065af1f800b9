"""An ingest laid out for rendering."""

from collections.abc import Mapping, Sequence
from typing import Any

from relhealth.core.printable import printable
from relhealth.core.units import Unit
from relhealth.core.words import counted
from relhealth.ingest.run import Ingested
from relhealth.output.layouts.inputs import incomplete_warnings
from relhealth.output.layouts.reading import (
    reading_data,
    reading_tables,
    reading_warnings,
    rejected_warnings,
)
from relhealth.output.report import Column, Report, Table, counts_table, meta_of

_COUNTED = (Column("what", Unit.TEXT, "What"), Column("count", Unit.COUNT, "Count"))


def ingestion_report(found: Ingested, *, dry_run: bool = False) -> Report:
    """Lay out the result of an ingest, or the expected result in a dry run."""
    rejected = sum(found.rejected.values())
    data = {
        "inputs": found.inputs,
        "known_inputs": len(found.known),
        "grown": list(found.grown),
        "replaced": list(found.replaced),
        "incomplete": list(found.incomplete),
        "items": found.items,
        "accepted": dict(found.accepted),
        "passed_over": dict(found.passed_over),
        "rejected": dict(found.rejected),
        "sessions": found.sessions,
        "rows": dict(found.rows),
        "files": list(found.files),
        **reading_data(found.tally),
        "faults": list(found.faults),
    }
    if dry_run:
        data |= {"dry_run": True, "sample": [dict(row) for row in found.sample]}
    warnings = [f"{printable(name)}: ingested before, adds nothing" for name in found.known]
    warnings += [
        f"{printable(name)}: has grown; only the new part was read" for name in found.grown
    ]
    warnings += incomplete_warnings(found.incomplete)
    warnings += reading_warnings(found.tally) + rejected_warnings(found.tally)
    totals = {
        "inputs": found.inputs,
        "known_inputs": len(found.known),
        "items": found.items,
        "accepted": sum(found.accepted.values()),
        "passed_over": sum(found.passed_over.values()),
        "rejected": rejected,
        "sessions": found.sessions,
        "files": len(found.files),
    }
    return Report(
        meta=meta_of("ingest"),
        data=data,
        tables=(
            counts_table("Would be ingested" if dry_run else "Ingested", totals),
            *_sample(found.sample),
            *counts("Rows by metric", found.rows),
            *counts("By status", found.tally.statuses),
            *reading_tables(found.tally),
            *counts("Passed over", found.passed_over),
            *counts("Rejected", found.rejected),
        ),
        summary=_summary(found, rejected, dry_run=dry_run),
        warnings=tuple(warnings),
    )


def _summary(found: Ingested, rejected: int, *, dry_run: bool) -> str:
    sessions = "nothing written" if dry_run else counted(found.sessions, "session")
    summary = f"{counted(found.items, 'item')}, {sessions}, {counted(rejected, 'rejected item')}"
    if found.replaced:
        summary += f", {counted(len(found.replaced), 'input')} replaced"
    return summary


def _sample(rows: Sequence[Mapping[str, Any]]) -> tuple[Table, ...]:
    if not rows:
        return ()
    columns = tuple(Column(name, Unit.TEXT, name.capitalize()) for name in rows[0])
    shown = [
        {name: None if value is None else str(value) for name, value in row.items()} for row in rows
    ]
    return (Table("First sessions", columns, shown),)


def counts(title: str, found: Mapping[str, int]) -> tuple[Table, ...]:
    """Return a table of counts by name, without zeros; none if nothing was counted."""
    if not found:
        return ()
    rows: list[Mapping[str, Any]] = [{"what": what, "count": n} for what, n in found.items() if n]
    return (Table(title, _COUNTED, rows),)
