"""The data contract: the columns that a source file must have, and how to read each.

A file's footer gives one SQL expression per column, so that the engine sees the contract's columns
and types for any types in the file.
"""

from collections import Counter
from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

import pyarrow as pa

from relhealth.core.printable import printable
from relhealth.datasets import casts, foreign
from relhealth.datasets.casts import Cast, Doubt
from relhealth.datasets.sql import literal

SESSION_METRICS = (
    "c:sessions/session@none",
    "s:sessions/user@none",
    "s:sessions/error@none",
    "d:sessions/duration@second",
)

# The largest valid value of a session counter. It keeps every sum of fewer than 2^31 rows within
# 64 bits, so no engine checks its sums. The templates of ``queries/`` have the same number.
MOST_COUNT = 2**32

# How Hive writes a null into a folder name.
HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
_RANGES = {"BIGINT": range(-(2**63), 2**63), "UBIGINT": range(2**64)}
_MOST_DIGITS = 20
# Columns of tables with one row per session, which metrics do not have.
_IDS_OF_SESSIONS = {"sid", "sessionid", "sessionuuid"}  # without case and punctuation
_OF_SESSIONS = _IDS_OF_SESSIONS | {
    "did", "distinctid", "id", "sessionstart", "start", "started", "startedat", "starttime",
    "status", "user", "userid",
}  # fmt: skip
_FEW = 2  # fewer of these can be chance


class ColumnType(Enum):
    """A kind of column type; the value is its name in error messages."""

    INTEGER = "an integer"
    NUMBER = "a number"
    TEXT = "a string"
    TIMESTAMP = "a timestamp"

    @property
    def remedy(self) -> str:
        """The remedy for a column of another type."""
        match self:
            case ColumnType.INTEGER:
                return "write it as an integer or as a decimal of scale 0, of up to 38 digits"
            case ColumnType.NUMBER:
                return "write it as a double"
            case ColumnType.TEXT:
                return "write it as a string"
            case ColumnType.TIMESTAMP:
                return "write it as a timestamp or as ISO 8601 text"

    def accepts(self, found: pa.DataType) -> bool:
        """Return whether a file's type can be read as this kind, after a check of its values.

        A dictionary has the type of its values. The null type (a column without a single
        value) is of any kind.
        """
        found = casts.plain(found)
        if pa.types.is_null(found):
            return True
        integer = pa.types.is_integer(found)
        text = casts.is_text(found) or casts.is_binary(found)
        match self:
            case ColumnType.INTEGER:
                return bool(integer or casts.is_integer_decimal(found))
            case ColumnType.NUMBER:
                return bool(integer or pa.types.is_floating(found) or pa.types.is_decimal(found))
            case ColumnType.TEXT:
                return text
            case ColumnType.TIMESTAMP:
                return bool(pa.types.is_timestamp(found) or pa.types.is_date(found) or text)


class Column(NamedTuple):
    """One column of the contract."""

    name: str
    kind: ColumnType
    sql_type: str
    required: bool = True


class Stored(NamedTuple):
    """A column of a file: its name, in any case, and its type."""

    name: str
    type: pa.DataType


COLUMNS = (
    Column("org_id", ColumnType.INTEGER, "BIGINT", required=False),
    Column("project_id", ColumnType.INTEGER, "BIGINT"),
    Column("timestamp", ColumnType.TIMESTAMP, "TIMESTAMPTZ"),
    Column("metric", ColumnType.TEXT, "VARCHAR"),
    Column("release", ColumnType.TEXT, "VARCHAR"),
    Column("environment", ColumnType.TEXT, "VARCHAR"),
    Column("session_status", ColumnType.TEXT, "VARCHAR"),
    Column("abnormal_mechanism", ColumnType.TEXT, "VARCHAR", required=False),
    Column("value", ColumnType.NUMBER, "DOUBLE"),
    Column("member", ColumnType.INTEGER, "UBIGINT"),
)
NAMES = frozenset(column.name for column in COLUMNS)


def faults(file: pa.Schema, partitions: Mapping[str, str]) -> list[str]:
    """Return where a file differs from the contract, one line per fault.

    ``file`` is the schema in its footer, ``partitions`` maps the ``key=value`` folders of its path
    to their text; a column can come from either.
    """
    own = {name.casefold() for name in file.names}
    if "metric" not in own and "metric" not in partitions and _is_of_sessions(file.names):
        found = ", ".join(name for name in file.names if _key(name) in _OF_SESSIONS)
        return [f"a table of sessions (columns {found}), not of session metrics; {foreign.INGEST}"]
    schema = stored(file)
    found_faults = [
        fault for column in COLUMNS if (fault := _fault_of(column, schema, partitions)) is not None
    ]
    # DuckDB ignores the case of column names, so names that differ only in case are ambiguous.
    spellings = {
        name: [other for other in dict.fromkeys(file.names) if other.casefold() == name]
        for name in NAMES
    }
    found_faults.extend(
        f"column {name}: found also as '{printable(other)}', expected one spelling;"
        " rename or leave out one of them"
        for name, spelled in sorted(spellings.items())
        for other in spelled
        if len(spelled) > 1 and other != schema[name].name
    )
    found_faults.extend(
        f"column {name}: found {count} times, expected once; leave out all but one"
        for name, count in Counter(file.names).items()
        if name.casefold() in NAMES and count > 1
    )
    return found_faults


def _is_of_sessions(names: list[str]) -> bool:
    keys = {_key(name) for name in names}
    return bool(keys & _IDS_OF_SESSIONS) or len(keys & _OF_SESSIONS) >= _FEW


def _key(name: str) -> str:
    return "".join(char for char in name.casefold() if char.isalnum())


def stored(file: pa.Schema) -> dict[str, Stored]:
    """Return the contract's columns in the file (not its path), by the contract's names."""
    found: dict[str, Stored] = {}
    for field in file:
        name = field.name.casefold()
        if name in NAMES and (name not in found or field.name == name):
            found[name] = Stored(field.name, field.type)
    return found


def others(schema: pa.Schema) -> dict[str, tuple[Stored, ...]]:
    """Return a file's columns beside the contract's, by their names without case."""
    found: dict[str, tuple[Stored, ...]] = {}
    for field in schema:
        key = field.name.casefold()
        if key not in NAMES:
            found[key] = (*found.get(key, ()), Stored(field.name, field.type))
    return found


def _fault_of(
    column: Column, schema: Mapping[str, Stored], partitions: Mapping[str, str]
) -> str | None:
    name, expected = column.name, column.kind.value
    if name in schema:
        found = schema[name].type
        if column.kind.accepts(found):
            return None
        return f"column {name}: found {found}, expected {expected}; {column.kind.remedy}"
    if name in partitions:
        text = partitions[name]
        fits = column.kind is ColumnType.TEXT or (
            column.kind is ColumnType.INTEGER and _is_integer(text, column.sql_type)
        )
        return None if fits else f"column {name}: found folder {name}={text}, expected {expected}"
    return f"column {name}: missing, expected {expected}" if column.required else None


def _is_integer(text: str, sql_type: str) -> bool:
    if text == HIVE_NULL:
        return True
    digits = text.removeprefix("-")
    plain = digits.isascii() and digits.isdecimal() and len(digits) <= _MOST_DIGITS
    return plain and int(text) in _RANGES[sql_type]


def cast(column: Column, own: Stored) -> Cast:
    """Return the cast of a column of a file, which has no fault."""
    match column.kind:
        case ColumnType.INTEGER if column.name == "member":
            return casts.member(own.name, own.type)
        case ColumnType.INTEGER:
            return casts.integer(own.name, own.type)
        case ColumnType.TEXT:
            return casts.text(own.name, own.type)
        case ColumnType.TIMESTAMP:
            return casts.timestamp(own.name, own.type)
        case ColumnType.NUMBER:
            return casts.number(own.name)


def doubts(schema: Mapping[str, Stored]) -> tuple[Doubt, ...]:
    """Return the columns that can have values without a cast; ``schema`` is from ``stored``."""
    casted = [
        (column, schema[column.name], cast(column, schema[column.name]))
        for column in COLUMNS
        if column.name in schema
    ]
    return tuple(
        Doubt(
            column=column.name,
            own=casts.quoted(own.name),
            found=str(own.type),
            expected=column.kind.value,
            cast=how,
            remedy=column.kind.remedy,
        )
        for column, own, how in casted
        if how.refused is not None
    )


def projection(
    schema: Mapping[str, Stored],
    partitions: Mapping[str, str],
    *,
    hive: bool,
    nanoseconds: bool,
) -> tuple[str, ...]:
    """Return one SQL expression per contract column, for a file without faults.

    ``schema`` is from ``stored``, ``partitions`` as for ``faults``. ``hive`` means that DuckDB
    reads columns from the path, ``nanoseconds`` that timestamps are finer than DuckDB's
    microseconds.
    """
    return tuple(
        _expression(column, schema.get(column.name), nanoseconds=nanoseconds)
        if column.name in schema or (hive and column.name in partitions)
        else f"{_constant(partitions.get(column.name))}::{column.sql_type} AS {column.name}"
        for column in COLUMNS
    )


def _constant(text: str | None) -> str:
    return "NULL" if text in {None, HIVE_NULL} else literal(str(text))


def from_path(schema: Mapping[str, Stored], partitions: Mapping[str, str]) -> dict[str, str]:
    """Return the columns from a file's path; a column in the file takes precedence."""
    return {
        column.name: partitions[column.name]
        for column in COLUMNS
        if column.name in partitions and column.name not in schema
    }


def _expression(column: Column, own: Stored | None, *, nanoseconds: bool) -> str:
    name = column.name
    if name == "timestamp" and own is not None and nanoseconds:
        # A plain cast would round, even into the next hour; this cuts.
        return (
            f'make_timestamp(epoch_ns({casts.quoted(own.name)}) // 1000)::TIMESTAMPTZ AS "{name}"'
        )
    # DuckDB gives the columns of folders as text.
    read = cast(column, own).sql if own else f'"{name}"::{column.sql_type}'
    if name == "environment":  # null and '' both mean none
        return f"coalesce({read}, '') AS environment"
    if name == "release":  # the same, but here none is null, because nobody selects it by name
        return f"nullif({read}, '') AS release"
    if name == "value":
        # Writers leave NaN out of a file's statistics. DuckDB would decide conditions by these
        # without reading values. This expression prevents it (decision 3).
        return f"nullif({read}, 'nan'::DOUBLE) AS value"
    return f'{read} AS "{name}"'
