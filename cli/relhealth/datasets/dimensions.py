"""Dimensions in files: the columns beside the contract's, or folders, and how to read each.

A dimension is text, an integer, or true or false; it is read as text, and a null as ``''``.
"""

from collections.abc import Mapping, Sequence

import pyarrow as pa

from relhealth.core import dimensions
from relhealth.core.dimensions import ENVIRONMENT, ESCAPES, Condition, Cut
from relhealth.core.errors import DataError
from relhealth.core.printable import printable
from relhealth.datasets import casts
from relhealth.datasets.contract import HIVE_NULL, Stored
from relhealth.datasets.sources import SourceFile
from relhealth.datasets.sql import literal

EXPECTED = "text, an integer, or true and false"


def is_dimension(found: pa.DataType) -> bool:
    """Return whether a column of this type can be a dimension."""
    found = casts.plain(found)
    return bool(
        casts.is_text(found)
        or pa.types.is_integer(found)
        or pa.types.is_boolean(found)
        or pa.types.is_null(found)
    )


def refuse(files: Sequence[SourceFile], columns: Sequence[str]) -> None:
    """Raise ``DataError`` with a line for each file where a column cannot be a dimension."""
    found = faults(files, columns)
    if found:
        raise DataError(found)


def faults(files: Sequence[SourceFile], columns: Sequence[str]) -> list[str]:
    """Return a line for each file where a column cannot be a dimension."""
    return [
        f"{printable(file.path)}: {told}"
        for file in files
        for column in columns
        if (told := fault(file.others.get(column, ()))) is not None
    ]


def fault(spelled: Sequence[Stored]) -> str | None:
    """Return why a column cannot be a dimension, by all its spellings in a file."""
    if len(spelled) > 1:
        return (
            f"column {printable(spelled[0].name)}: found also as '{printable(spelled[1].name)}',"
            " expected one spelling; rename or leave out one of them"
        )
    for own in spelled:
        if not is_dimension(own.type):
            return (
                f"column {printable(own.name)}: found {own.type}, expected {EXPECTED}; write it as"
                " a string"
            )
    return None


def stored(file: SourceFile, column: str) -> Stored | None:
    """Return a dimension's column in a file; None if it is not there."""
    spelled = file.others.get(column, ())
    return spelled[0] if spelled and not pa.types.is_null(spelled[0].type) else None


def constant(file: SourceFile, column: str) -> str:
    """Return a dimension's value in a file that does not store it: that of a folder, or ``''``."""
    return of_folder(file.folders, column)


def of_folder(folders: Mapping[str, str], column: str) -> str:
    """Return the value of a folder ``column=value``, ``''`` without one."""
    text = next((text for name, text in folders.items() if dimensions.key(name) == column), "")
    return "" if text == HIVE_NULL else text


def expressions(file: SourceFile, columns: Sequence[str]) -> tuple[str, ...]:
    """Return SQL for dimensions, over the file's own columns."""
    return tuple(f"{_expression(file, one)} AS {casts.quoted(one)}" for one in columns)


def _expression(file: SourceFile, column: str) -> str:
    own = stored(file, column)
    if own is None:
        return literal(constant(file, column))
    return f"coalesce({casts.quoted(own.name)}::VARCHAR, '')"


def cut_of(relation: str, cut: Cut, columns: Sequence[str]) -> str:
    """Return a statement for the rows and keys of a cut, of a relation with some dimensions.

    These are left out, because templates have names of their own.
    """
    without = f" EXCLUDE ({', '.join(map(casts.quoted, columns))})" if columns else ""
    by = [casts.quoted(dimensions.key(one)) for one in cut.by]
    keyed = f" REPLACE ({_joined(by)} AS {ENVIRONMENT})" if by else ""
    where = " AND ".join(map(_condition, cut.where))
    rows = f"(SELECT * FROM {relation} WHERE {where})" if where else relation
    return f"SELECT *{without}{keyed} FROM {rows}"


def _condition(one: Condition) -> str:
    values = ", ".join(map(literal, one.values))
    sign = "NOT IN" if one.negated else "IN"
    return f"{casts.quoted(dimensions.key(one.column))} {sign} ({values})"


def _joined(columns: Sequence[str]) -> str:
    """Return SQL for ``core.dimensions.joined``."""
    return columns[0] if len(columns) == 1 else " || '/' || ".join(map(_escaped, columns))


def _escaped(column: str) -> str:
    for plain, escape in ESCAPES:
        column = f"replace({column}, '{plain}', '{escape}')"
    return column
