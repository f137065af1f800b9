"""How an ingest read its inputs, laid out for rendering: columns, statuses, times, lost fields."""

from collections.abc import Mapping
from typing import Any

from relhealth.core.units import Unit
from relhealth.core.words import counted
from relhealth.ingest.staging import KEPT_REJECTS
from relhealth.ingest.tally import Tally
from relhealth.output.report import Column, Table

_COLUMNS = (
    Column("field", Unit.TEXT, "Field"),
    Column("columns", Unit.TEXT, "Read from"),
)


def reading_data(tally: Tally) -> dict[str, Any]:
    """Return how inputs were read, for JSON."""
    return {
        "columns": {name: list(columns) for name, columns in tally.columns.items()},
        "ignored_columns": ignored_columns(tally),
        "statuses": _positive(tally.statuses),
        "times": {name: dict(times) for name, times in tally.times.items()},
        "lost": dict(tally.lost),
        "without_release": tally.without_release,
        "unknown_statuses": dict(tally.unknown_statuses),
        "examples": {reason: list(values) for reason, values in tally.examples.items()},
    }


def ignored_columns(tally: Tally) -> list[str]:
    """Return the columns of tables that no field used."""
    used = {each for columns in tally.columns.values() for each in columns}
    return [name for name in tally.ignored if name not in used]


def reading_tables(tally: Tally) -> tuple[Table, ...]:
    """Return tables of the columns that were used, and of those that were not."""
    rows: list[Mapping[str, Any]] = [
        {"field": name, "columns": ", ".join(columns) + _written(tally, name)}
        for name, columns in tally.columns.items()
    ]
    ignored = ignored_columns(tally)
    if ignored:
        rows.append({"field": "(ignored)", "columns": ", ".join(ignored)})
    return (Table("Columns", _COLUMNS, rows),) if rows else ()


def reading_warnings(tally: Tally) -> list[str]:
    """Return messages on how inputs were read: lost fields, units of times, words."""
    said = [
        f"{name}: lost in {counted(count, 'session')}, which {_kept(name, count)}"
        f"{_such_as(tally, name)}"
        for name, count in tally.lost.items()
    ]
    said += [f"{each}: units of time are mixed in this column" for each in tally.mixed_times]
    said += [
        f"{counted(count, 'row')} rejected: unknown word {word!r} for a status"
        for word, count in tally.unknown_statuses.items()
    ]
    if tally.without_release:
        said.append(
            f"{counted(tally.without_release, 'session')} without a release, which"
            f" {'counts' if tally.without_release == 1 else 'count'} in no release's figures;"
            " --map release=COLUMN names another column of a table"
        )
    return said


def rejected_warnings(tally: Tally) -> list[str]:
    """Return messages on rejected items."""
    said = [
        f"{counted(count, 'item')} rejected: {reason}{_such_as(tally, reason)}"
        for reason, count in sorted(tally.rejected.items())
    ]
    if said:
        kept = "rejected items are kept, with the reason, in the data set's _rejected/"
        if max(tally.rejected.values()) > KEPT_REJECTS:
            kept += f", at most {KEPT_REJECTS:,} of each reason"
        said.append(kept)
    return said


def _written(tally: Tally, name: str) -> str:
    """Return the formats of the instants of a field."""
    times = tally.times.get(name)
    return f" ({', '.join(f'{how}: {n:,}' for how, n in times.items())})" if times else ""


def _kept(name: str, count: int) -> str:
    if name == "init":
        return "counts as started" if count == 1 else "count as started"
    return "is kept" if count == 1 else "are kept"


def _such_as(tally: Tally, reason: str) -> str:
    examples = tally.examples.get(reason)
    return f", such as {' and '.join(map(repr, examples))}" if examples else ""


def _positive(counts: Mapping[str, int]) -> dict[str, int]:
    return {word: count for word, count in counts.items() if count}
