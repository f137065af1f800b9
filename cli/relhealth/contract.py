"""The data contract: which columns a source file must have, and how each is read.

A file's footer becomes one SQL expression a column, so that the engine sees the contract's columns
and types whatever the file's own are.
"""

from collections import Counter
from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

import pyarrow as pa

from relhealth.sql import literal

SESSION_METRICS = (
    "c:sessions/session@none",
    "s:sessions/user@none",
    "s:sessions/error@none",
    "d:sessions/duration@second",
)

# How Hive writes a null into a folder name.
_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
_RANGES = {"BIGINT": range(-(2**63), 2**63), "UBIGINT": range(2**64)}
_MOST_DIGITS = 20


class Kind(Enum):
    """A kind of column type; the value is how an error message names it."""

    INTEGER = "an integer"
    NUMBER = "a number"
    TEXT = "a string"
    TIMESTAMP = "a timestamp"

    def accepts(self, found: pa.DataType) -> bool:
        """Tell whether a file's type can be read as this kind without loss.

        A dictionary counts as its values, and the null type (a column written without a single
        value) as any.
        """
        if pa.types.is_dictionary(found):
            return self.accepts(found.value_type)
        if pa.types.is_null(found):
            return True
        integer = pa.types.is_integer(found)
        match self:
            case Kind.INTEGER:
                return bool(integer)
            case Kind.NUMBER:
                return bool(integer or pa.types.is_floating(found) or pa.types.is_decimal(found))
            case Kind.TEXT:
                return bool(
                    pa.types.is_string(found)
                    or pa.types.is_large_string(found)
                    or pa.types.is_string_view(found)
                )
            case Kind.TIMESTAMP:
                return bool(pa.types.is_timestamp(found))


class Column(NamedTuple):
    """One column of the contract."""

    name: str
    kind: Kind
    sql_type: str
    required: bool = True


COLUMNS = (
    Column("org_id", Kind.INTEGER, "BIGINT", required=False),
    Column("project_id", Kind.INTEGER, "BIGINT"),
    Column("timestamp", Kind.TIMESTAMP, "TIMESTAMPTZ"),
    Column("metric", Kind.TEXT, "VARCHAR"),
    Column("release", Kind.TEXT, "VARCHAR"),
    Column("environment", Kind.TEXT, "VARCHAR"),
    Column("session_status", Kind.TEXT, "VARCHAR"),
    Column("abnormal_mechanism", Kind.TEXT, "VARCHAR", required=False),
    Column("value", Kind.NUMBER, "DOUBLE"),
    Column("member", Kind.INTEGER, "UBIGINT"),
)


def faults(file: pa.Schema, partitions: Mapping[str, str]) -> list[str]:
    """Return what keeps a file from the contract, one line a fault; none when it fits.

    ``file`` is the schema in its footer, ``partitions`` maps the ``key=value`` folders of its path
    to their text: a column may come from either.
    """
    schema = types(file)
    found = [
        fault for column in COLUMNS if (fault := _fault_of(column, schema, partitions)) is not None
    ]
    # DuckDB tells column names apart without regard to case, so such twins are ambiguous.
    names = {column.name for column in COLUMNS}
    found.extend(
        f"column {name.casefold()}: found also as '{name}', expected one spelling"
        for name in schema
        if name not in names and name.casefold() in names and name.casefold() in schema
    )
    found.extend(
        f"column {name}: found {count} times, expected once"
        for name, count in Counter(file.names).items()
        if name in names and count > 1
    )
    return found


def types(file: pa.Schema) -> dict[str, pa.DataType]:
    """Return the type of each column of a file."""
    return {field.name: field.type for field in file}


def _fault_of(
    column: Column, schema: Mapping[str, pa.DataType], partitions: Mapping[str, str]
) -> str | None:
    name, expected = column.name, column.kind.value
    if name in schema:
        fits = column.kind.accepts(schema[name])
        return None if fits else f"column {name}: found {schema[name]}, expected {expected}"
    if name in partitions:
        text = partitions[name]
        fits = column.kind is Kind.TEXT or (
            column.kind is Kind.INTEGER and _is_integer(text, column.sql_type)
        )
        return None if fits else f"column {name}: found folder {name}={text}, expected {expected}"
    for other in schema:
        if other.casefold() == name:
            return f"column {name}: found '{other}', expected the name in lower case"
    return f"column {name}: missing, expected {expected}" if column.required else None


def _is_integer(text: str, sql_type: str) -> bool:
    if text == _HIVE_NULL:
        return True
    digits = text.removeprefix("-")
    plain = digits.isascii() and digits.isdecimal() and len(digits) <= _MOST_DIGITS
    return plain and int(text) in _RANGES[sql_type]


def projection(
    schema: Mapping[str, pa.DataType],
    partitions: Mapping[str, str],
    *,
    hive: bool,
    nanoseconds: bool,
) -> tuple[str, ...]:
    """Return one SQL expression a contract column, for a file without faults.

    ``schema`` and ``partitions`` are as for ``faults``. ``hive`` tells that DuckDB reads columns
    from the path by itself, ``nanoseconds`` that timestamps are finer than its microseconds.
    """
    return tuple(
        _expression(column, schema.get(column.name), nanoseconds=nanoseconds)
        if column.name in schema or (hive and column.name in partitions)
        else f"{_constant(partitions.get(column.name))}::{column.sql_type} AS {column.name}"
        for column in COLUMNS
    )


def _constant(text: str | None) -> str:
    return "NULL" if text in {None, _HIVE_NULL} else literal(str(text))


def from_path(schema: Mapping[str, pa.DataType], partitions: Mapping[str, str]) -> dict[str, str]:
    """Return the columns that a file's path gives it; a column of the file's own goes first."""
    return {
        column.name: partitions[column.name]
        for column in COLUMNS
        if column.name in partitions and column.name not in schema
    }


def _expression(column: Column, found: pa.DataType | None, *, nanoseconds: bool) -> str:
    name = column.name
    if name == "environment":  # null and '' both mean: none
        return "coalesce(environment::VARCHAR, '') AS environment"
    if name == "release":  # likewise, but none is null here: it is never asked for by name
        return "nullif(release::VARCHAR, '') AS release"
    if name == "member" and found is not None and pa.types.is_signed_integer(found):
        # The same 64 bits written as a signed number are the same member.
        return "(member::HUGEINT & 18446744073709551615::HUGEINT)::UBIGINT AS member"
    if name == "value":
        # Writers leave NaN out of a file's statistics, by which DuckDB would prove a condition and
        # not look. It does not see through this (decision 3).
        return "nullif(value::DOUBLE, 'nan'::DOUBLE) AS value"
    if name == "timestamp" and nanoseconds:
        # A plain cast would round, perhaps into the next hour; this cuts.
        return 'make_timestamp(epoch_ns("timestamp") // 1000)::TIMESTAMPTZ AS "timestamp"'
    return f'"{name}"::{column.sql_type} AS "{name}"'
