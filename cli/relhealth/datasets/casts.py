"""Casts of columns to the contract's types without loss, and values that have no cast.

A type can hold values that the contract's type cannot: a decimal beyond 64 bits, binary that is not
UTF-8, text that is not an instant. relhealth checks a file's columns of such types before the
first answer from it, so that a cast never fails during an answer, and never returns a null.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import pyarrow as pa

from relhealth.core.errors import DataError
from relhealth.core.printable import printable
from relhealth.datasets.sql import parquet_files

_MOST_DIGITS = 38  # of a decimal that DuckDB reads exactly
_ALWAYS_FIT = 18  # digits of a decimal that is within 64 bits
_LONGEST = 60  # characters of an example to show
_LEAST, _MOST = -(2**63), 2**64 - 1

# Text that is an instant, in the form that DuckDB reads. DuckDB accepts more, such as
# 'infinity' and names of zones.
_DATE, _TIME = r"\d{4}-\d\d-\d\d", r"\d\d:\d\d(:\d\d(\.\d+)?)?"
_ZONE = r"(Z|[+-](0\d|1[0-5])(:?\d\d)?)"
INSTANT = rf"{_DATE}([T ]{_TIME}{_ZONE}?)?"
REWRITTEN = (
    (r"^(\d{4})(\d\d)(\d\d)", r"\1-\2-\3"),
    (r"[T ](\d\d)(\d\d)(\d\d)", r"T\1:\2:\3"),
    (r"(:\d\d),(\d)", r"\1.\2"),
    (r" ?(UTC|GMT)$", "Z"),
    (r"(:\d\d(\.\d+)?) (Z|[+-]\d\d:?\d\d)$", r"\1\3"),
)


class Cast(NamedTuple):
    """How to read a column: SQL of the contract's type, and a condition for invalid values."""

    sql: str
    refused: str | None = None  # an SQL condition; None: every value has a cast
    why: str = ""  # what an invalid value is


class Doubt(NamedTuple):
    """A column whose values relhealth must check before it reads them."""

    column: str  # the contract's name
    own: str  # its name in the file, quoted for SQL
    found: str  # its type in the file
    expected: str
    cast: Cast
    remedy: str


def plain(found: pa.DataType) -> pa.DataType:
    """Return the type of a dictionary's values; of other types, the type itself."""
    return found.value_type if pa.types.is_dictionary(found) else found


def is_text(found: pa.DataType) -> bool:
    """Return whether values are strings."""
    return bool(
        pa.types.is_string(found)
        or pa.types.is_large_string(found)
        or pa.types.is_string_view(found)
    )


def is_binary(found: pa.DataType) -> bool:
    """Return whether values are bytes."""
    return bool(
        pa.types.is_binary(found)
        or pa.types.is_large_binary(found)
        or pa.types.is_binary_view(found)
        or pa.types.is_fixed_size_binary(found)
    )


def is_integer_decimal(found: pa.DataType) -> bool:
    """Return whether values are decimals of scale 0 that DuckDB reads exactly."""
    return bool(pa.types.is_decimal(found) and found.scale == 0 and found.precision <= _MOST_DIGITS)


def quoted(name: str) -> str:
    """Return a column's name as SQL."""
    return '"' + name.replace('"', '""') + '"'


def integer(name: str, found: pa.DataType) -> Cast:
    """Return the cast of an id of 64 bits."""
    own, kind = quoted(name), plain(found)
    doubtful = pa.types.is_uint64(kind) or (
        pa.types.is_decimal(kind) and kind.precision > _ALWAYS_FIT
    )
    refused = f"{own} IS NOT NULL AND try_cast({own} AS BIGINT) IS NULL" if doubtful else None
    return Cast(f"{own}::BIGINT", refused, "beyond a signed integer of 64 bits")


def member(name: str, found: pa.DataType) -> Cast:
    """Return the cast of a member: a signed number means the unsigned one with the same bits."""
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
    """Return the cast of a number."""
    return Cast(f"{quoted(name)}::DOUBLE")


def text(name: str, found: pa.DataType) -> Cast:
    """Return the cast of text; bytes are text if they are UTF-8."""
    own = quoted(name)
    if is_binary(plain(found)):
        return Cast(
            f"decode({own})", f"{own} IS NOT NULL AND try(decode({own})) IS NULL", "not UTF-8"
        )
    return Cast(f"{own}::VARCHAR")


def timestamp(name: str, found: pa.DataType) -> Cast:
    """Return the cast of an instant; ISO 8601 text is one, in UTC if it has no zone."""
    kind = plain(found)
    if not (is_text(kind) or is_binary(kind)):
        return Cast(f"{quoted(name)}::TIMESTAMPTZ")
    written = text(name, found).sql
    if is_binary(kind):
        written = f"try({written})"
    iso = f"upper(trim({written}))"
    for pattern, by in REWRITTEN:
        iso = f"regexp_replace({iso}, '{pattern}', '{by}')"
    instant = (
        f"CASE WHEN regexp_full_match({iso}, '{INSTANT}') THEN try_cast({iso} AS TIMESTAMPTZ) END"
    )
    refused = f"{quoted(name)} IS NOT NULL AND ({instant}) IS NULL"
    return Cast(f"({instant})", refused, "no instant of ISO 8601")


def refuse(
    path: str, absolute: str, doubts: Iterable[Doubt], ask: Callable[[str], list[dict[str, Any]]]
) -> None:
    """Check a file's doubtful columns; raise ``DataError`` for values without a cast.

    ``ask`` runs SQL and can raise ``duckdb.Error``.
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
