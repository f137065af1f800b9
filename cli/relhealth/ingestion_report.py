"""An ingest laid out for rendering."""

from collections.abc import Mapping
from typing import Any

from relhealth import __version__
from relhealth.ingest.run import Ingested
from relhealth.printable import printable
from relhealth.report import JSON_FORMAT, Column, Report, Table, Unit, counted

_COUNTED = (Column("what", Unit.TEXT, "What"), Column("count", Unit.COUNT, "Count"))


def ingestion_report(found: Ingested) -> Report:
    """Lay out what became of an ingest."""
    rejected = sum(found.rejected.values())
    data = {
        "inputs": found.inputs,
        "known_inputs": len(found.known),
        "items": found.items,
        "accepted": dict(found.accepted),
        "passed_over": dict(found.passed_over),
        "rejected": dict(found.rejected),
        "sessions": found.sessions,
        "rows": dict(found.rows),
        "files": list(found.files),
    }
    warnings = [f"{printable(name)}: ingested before, adds nothing" for name in found.known]
    warnings += [
        f"{counted(count, 'item')} rejected: {printable(reason)}"
        for reason, count in sorted(found.rejected.items())
    ]
    if rejected:
        warnings.append("rejected items are kept, with the reason, in the data set's _rejected/")
    whole = {
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
        meta={"format": JSON_FORMAT, "command": "ingest", "relhealth": __version__},
        data=data,
        tables=(
            Table(
                "Ingested",
                tuple(
                    Column(name, Unit.COUNT, name.replace("_", " ").capitalize()) for name in whole
                ),
                [whole],
                tuple(whole),
            ),
            *_counts("Rows by metric", found.rows),
            *_counts("Passed over", found.passed_over),
            *_counts("Rejected", found.rejected),
        ),
        summary=f"{counted(found.items, 'item')}, {counted(found.sessions, 'session')},"
        f" {counted(rejected, 'rejected item')}",
        warnings=tuple(warnings),
    )


def _counts(title: str, counts: Mapping[str, int]) -> tuple[Table, ...]:
    if not counts:
        return ()
    rows: list[Mapping[str, Any]] = [{"what": what, "count": n} for what, n in counts.items()]
    return (Table(title, _COUNTED, rows, ("what", "count")),)
