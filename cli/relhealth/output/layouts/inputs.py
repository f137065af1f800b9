"""The inputs of a data set, or a forgotten input, laid out for rendering."""

from collections.abc import Sequence
from typing import Any

from relhealth.core.printable import printable
from relhealth.core.units import Unit
from relhealth.core.words import counted
from relhealth.ingest.entries import Entry
from relhealth.ingest.reading import shown_options
from relhealth.ingest.run import Forgotten
from relhealth.output.report import Column, Report, Table, meta_of

_DIGITS = 12  # of a digest, enough to name an input
_COLUMNS = (
    Column("input", Unit.TEXT, "Input"),
    Column("digest", Unit.TEXT, "Digest"),
    Column("ingested_at", Unit.TEXT, "Ingested"),
    Column("options", Unit.TEXT, "Options"),
    Column("sessions", Unit.COUNT, "Sessions"),
    Column("rejected", Unit.COUNT, "Rejected"),
)


def inputs_report(found: Sequence[Entry]) -> Report:
    """Lay out the inputs of a data set."""
    rows = [_row(entry) for entry in found]
    return Report(
        meta=meta_of("ingest"),
        data=[_data(entry) for entry in found],
        tables=(Table("Inputs", _COLUMNS, rows),),
        summary=counted(len(found), "input"),
        warnings=() if found else ("nothing was ingested into this data set",),
    )


def forgotten_report(found: Forgotten) -> Report:
    """Lay out a forgotten input."""
    entry = found.entry
    return Report(
        meta=meta_of("ingest"),
        data={"forgotten": _data(entry), "incomplete": list(found.incomplete)},
        tables=(Table("Forgotten", _COLUMNS, [_row(entry)]),),
        summary=f"{printable(entry.name)} taken out",
        warnings=incomplete_warnings(found.incomplete),
    )


def incomplete_warnings(names: Sequence[str]) -> tuple[str, ...]:
    """Return a warning for each input with messages that had counted for a forgotten input."""
    return tuple(
        f"{printable(name)}: had messages that counted for what was taken out; ingest it again"
        for name in names
    )


def _row(entry: Entry) -> dict[str, Any]:
    return {
        "input": printable(entry.name),
        "digest": entry.content.digest[:_DIGITS],
        "ingested_at": entry.at,
        "options": shown_options(entry.options),
        "sessions": entry.sessions,
        "rejected": entry.rejected,
    }


def _data(entry: Entry) -> dict[str, Any]:
    return {
        "input": entry.name,
        "path": entry.content.path or None,
        "digest": entry.content.digest,
        "kind": entry.kind,
        "bytes": entry.content.size,
        "first_ingested_at": entry.first_at or entry.at,
        "ingested_at": entry.at,
        "options": entry.options,
        "items": entry.items,
        "rejected": entry.rejected,
        "sessions": entry.sessions,
        "days": entry.days,
    }
