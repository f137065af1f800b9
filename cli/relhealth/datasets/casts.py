"""How columns of other types than the contract's are read without loss, and what has no cast.

A type may hold values that the contract's cannot: a decimal beyond 64 bits, binary that is not
UTF-8, text that is no instant. Each file's columns of such types are looked through before the
first answer from it, so that a cast never fails in the middle of one, and never gives a null.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import pyarrow as pa

from relhealth.core.errors import DataError
from relhealth.core.printable import printable
from relhealth.datasets.sql import parquet_files

_MOST_DIGITS = 38  # of a decimal that DuckDB reads exactly
_ALWAYS_FIT = 18  # digits of a decimal that is within 64 bits
_LONGEST = 60  # characters of an example that are shown
_LEAST, _MOST = -(2**63), 2**64 - 1

# Text that is an instant, once it is written as DuckDB reads it. DuckDB itself takes more, such as
# 'infinity' and names of zones.
_DATE, _TIME = r"\d{4}-\d\d-\d\d", r"\d\d:\d\d(:\d\d(\.\d+)?)?"
_ZONE = r"(Z|[+-](0\d|1[0-5])(:?\d\d)?)"
_INSTANT = rf"{_DATE}([T ]{_TIME}{_ZONE}?)?"
_REWRITTEN = (
    (r"^(\d{4})(\d\d)(\d\d)", r"\1-\2-\3"),
    (r"[T ](\d\d)(\d\d)(\d\d)", r"T\1:\2:\3"),
    (r"(:\d\d),(\d)", r"\1.\2"),
    (r" ?(UTC|GMT)$", "Z"),
    (r"(:\d\d(\.\d+)?) (Z|[+-]\d\d:?\d\d)$", r"\1\3"),
)


class Cast(NamedTuple):
    """How a column is read: SQL of the contract's type, and what holds of values it cannot be."""

    sql: str
    refused: str | None = None  # an SQL condition; None: every value can be cast
    why: str = ""  # what such a value is


class Doubt(NamedTuple):
    """A column whose values are to be looked through before it is read."""

    column: str  # the contract's name
    own: str  # the file's name for it, quoted for SQL
    found: str  # its type in the file
    expected: str
    cast: Cast
    remedy: str


def plain(found: pa.DataType) -> pa.DataType:
    """Return the type of a dictionary's values; of other types, the type itself."""
    return found.value_type if pa.types.is_dictionary(found) else found


def is_text(found: pa.DataType) -> bool:
    """Tell whether values are strings."""
    return bool(
        pa.types.is_string(found)
        or pa.types.is_large_string(found)
        or pa.types.is_string_view(found)
    )


def is_binary(found: pa.DataType) -> bool:
    """Tell whether values are bytes."""
    return bool(
        pa.types.is_binary(found)
        or pa.types.is_large_binary(found)
        or pa.types.is_binary_view(found)
        or pa.types.is_fixed_size_binary(found)
    )


def is_whole_decimal(found: pa.DataType) -> bool:
    """Tell whether values are whole decimals that DuckDB reads exactly."""
    return bool(pa.types.is_decimal(found) and found.scale == 0 and found.precision <= _MOST_DIGITS)


def quoted(name: str) -> str:
    """Return a column's name as SQL."""
    return '"' + name.replace('"', '""') + '"'


def integer(name: str, found: pa.DataType) -> Cast:
    """Return how an id of 64 bits is read."""
    own, kind = quoted(name), plain(found)
    doubtful = pa.types.is_uint64(kind) or (
        pa.types.is_decimal(kind) and kind.precision > _ALWAYS_FIT
    )
    refused = f"{own} IS NOT NULL AND try_cast({own} AS BIGINT) IS NULL" if doubtful else None
    return Cast(f"{own}::BIGINT", refused, "beyond a signed integer of 64 bits")


def member(name: str, found: pa.DataType) -> Cast:
    """Return how a member is read: the same 64 bits written as a signed number are the same one."""
    own, kind = quoted(name), plain(found)
    if pa.types.is_decimal(kind):
        refused = None
        if kind.precision > _ALWAYS_FIT:
            refused = f"{own}::HUGEINT NOT BETWEEN {_LEAST}::HUGEINT AND {_MOST}::HUGEINT"
        return Cast(f"({own}::HUGEINT & {_MOST}::HUGEINT)::UBIGINT", refused, "beyond 64 bits")
    if pa.types.is_signed_integer(kind):
        return Cast(f"({own}::HUGEINT & {_MOST}::HUGEINT)::UBIGINT")
    return Cast(f"{own}::UBIGINT")


def number(name: str) -> Cast:
    """Return how a number is read."""
    return Cast(f"{quoted(name)}::DOUBLE")


def text(name: str, found: pa.DataType) -> Cast:
    """Return how text is read; bytes are text where they are UTF-8."""
    own = quoted(name)
    if is_binary(plain(found)):
        return Cast(
            f"decode({own})", f"{own} IS NOT NULL AND try(decode({own})) IS NULL", "not UTF-8"
        )
    return Cast(f"{own}::VARCHAR")


def timestamp(name: str, found: pa.DataType) -> Cast:
    """Return how an instant is read; text is one where it is ISO 8601, in UTC without a zone."""
    kind = plain(found)
    if not (is_text(kind) or is_binary(kind)):
        return Cast(f"{quoted(name)}::TIMESTAMPTZ")
    written = text(name, found).sql
    if is_binary(kind):
        written = f"try({written})"
    iso = f"upper(trim({written}))"
    for pattern, by in _REWRITTEN:
        iso = f"regexp_replace({iso}, '{pattern}', '{by}')"
    instant = (
        f"CASE WHEN regexp_full_match({iso}, '{_INSTANT}') THEN try_cast({iso} AS TIMESTAMPTZ) END"
    )
    refused = f"{quoted(name)} IS NOT NULL AND ({instant}) IS NULL"
    return Cast(f"({instant})", refused, "no instant of ISO 8601")


def refuse(
    path: str, absolute: str, doubts: Iterable[Doubt], ask: Callable[[str], list[dict[str, Any]]]
) -> None:
    """Look through a file's doubtful columns; raise ``DataError`` for values that have no cast.

    ``ask`` runs SQL and may raise ``duckdb.Error``.
    """
    doubts = list(doubts)
    asked = ", ".join(
        f"count(*) FILTER (WHERE {one.cast.refused}) AS count_{at},"
        f" min({one.own}::VARCHAR) FILTER (WHERE {one.cast.refused}) AS example_{at}"
        for at, one in enumerate(doubts)
    )
    (row,) = ask(
        f"SELECT {asked} FROM read_parquet({parquet_files([absolute])}, hive_partitioning = false)"
    )
    faults = [
        told(
            path,
            one.column,
            one.found,
            row[f"count_{at}"],
            one.cast.why,
            row[f"example_{at}"],
            one.expected,
            one.remedy,
        )
        for at, one in enumerate(doubts)
        if row[f"count_{at}"]
    ]
    if faults:
        raise DataError(faults)


def told(  # noqa: PLR0913, PLR0917 - a fault has as many parts
    path: str,
    column: str,
    found: str,
    count: int,
    why: str,
    example: str,
    expected: str,
    remedy: str,
) -> str:
    """Return what to say of a column with values that have no cast."""
    values = f"{count:,} values that are" if count > 1 else "1 value that is"
    return (
        f"{printable(path)}: column {column}: found {found} with {values} {why}, such as"
        f" {_shown(example)}; expected {expected}; {remedy}"
    )


def _shown(example: str) -> str:
    cut = example if len(example) <= _LONGEST else f"{example[:_LONGEST]}…"
    return f"'{printable(cut)}'"
