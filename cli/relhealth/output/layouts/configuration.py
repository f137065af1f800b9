"""The settings laid out for rendering: each word, its value, and where that comes from."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from relhealth.core.printable import printable
from relhealth.core.units import Unit
from relhealth.core.words import counted
from relhealth.output.report import Column, Report, Table, meta_of, records_table


class Origin(StrEnum):
    """Where a setting comes from."""

    FILE = "file"
    VARIABLE = "environment"
    BUILT_IN = "built-in"


class Setting(NamedTuple):
    """One word with its value; ``where`` is the file, or the variable of the environment."""

    word: str
    value: object
    origin: Origin
    where: str | None = None


_COLUMNS = (
    Column("word", Unit.TEXT, "Setting"),
    Column("value", Unit.TEXT, "Value"),
    Column("from", Unit.TEXT, "From"),
)
_UNITS = {"word": Unit.TEXT, "value": Unit.TEXT, "origin": Unit.TEXT, "where": Unit.TEXT}


def configuration_report(
    settings: Sequence[Setting], file: str | None, searched: Sequence[str]
) -> Report:
    """Lay out the settings; ``searched`` has the files that were looked for, in order."""
    if file is None:
        title = f"no file of settings: looked for {printable(searched[0])}"
        title += f", {printable(searched[1])}, and for files of these names in the folders above"
    else:
        title = printable(file)
    rows = [
        {
            "word": one.word,
            "value": _text(one.value),
            "from": one.where if one.origin is Origin.VARIABLE else str(one.origin),
        }
        for one in settings
    ]
    records = [
        {
            "word": one.word,
            "value": _text(one.value),
            "origin": str(one.origin),
            "where": one.where,
        }
        for one in settings
    ]
    of_file = sum(one.origin is Origin.FILE for one in settings)
    return Report(
        meta=meta_of("config", file=file, searched=list(searched)),
        data=[
            {**record, "value": one.value} for record, one in zip(records, settings, strict=True)
        ],
        tables=(Table(title, _COLUMNS, rows),),
        summary=f"{counted(len(settings), 'setting')}, {of_file} from the file",
        records=records_table(_UNITS, records),
    )


def _text(value: object) -> str | None:
    """Return a value as text: lists with commas, tables as the file has them."""
    match value:
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case Mapping():
            return ", ".join(f"{word} = {_text(one)}" for word, one in value.items())
        case list() | tuple():
            return ", ".join(_text(one) or "''" for one in value)
        case _:
            return str(value)
