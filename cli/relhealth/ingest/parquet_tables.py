"""Session tables of Parquet: casts each column once, by its type, to plain values."""

import re
import uuid
from collections.abc import Sequence
from functools import partial
from io import BufferedReader
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from relhealth.core.errors import DataError
from relhealth.core.printable import excerpt, printable
from relhealth.ingest.dimensions import FIELD
from relhealth.ingest.staging import Stage
from relhealth.ingest.tables import TableRows, TableSettings, as_json

_IDS = ("session_id", "user_id")
_TEXTS = (*_IDS, "release", "environment", "status", "abnormal_mechanism")
_TRUTHS = ("errors", "status")  # fields that can be true or false
_ROWS = 8192
# Bits of the integers that a float represents exactly.
_EXACT = {16: 11, 32: 24, 64: 53}
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_UUID_BYTES = 16
_PRINTABLE = re.compile(rb"[ -~]+")


class _CastError(Exception):
    """A column cannot be cast; the message says why, with an example."""


def read(stream: BufferedReader, source: str, stage: Stage, table: TableSettings) -> None:
    """Stage every row of a Parquet file as one session.

    Raises ``DataError`` for a table without its columns, for a column whose type or values do not
    fit its field, and for a file that is damaged or not on a disk.
    """
    named = printable(source)
    if not stream.seekable():
        raise DataError(
            f"{named}: Parquet must be a plain file, neither piped nor compressed as one; name it"
        )
    try:
        source_file = pa.PythonFile(stream, mode="r")
        with pq.ParquetFile(source_file, page_checksum_verification=True) as file:
            rows = TableRows(table, source, stage)
            present = file.schema_arrow.names
            columns = rows.columns(present)
            rows.check()
            _take_batches(file, rows, columns)
            rows.close()
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        if "encrypted" in str(error).lower() or "decryption" in str(error).lower():
            raise DataError(
                f"{named}: an encrypted Parquet file; write it without encryption"
            ) from None
        reason = excerpt(str(error), 200)
        raise DataError(f"{named}: not readable as Parquet ({reason})") from error


def _take_batches(file: pq.ParquetFile, rows: TableRows, columns: dict[str, str]) -> None:
    schema = file.schema_arrow
    held = {name: column for name, column in columns.items() if column in schema.names}
    fixed = {
        name: rows.table.partitions[column]
        for name, column in columns.items()
        if column not in held.values()
    }
    if "started" in held and pa.types.is_temporal(_plain_type(schema.field(held["started"]).type)):
        rows.instant = _instant
    wanted = list(dict.fromkeys(held.values()))
    for batch in file.iter_batches(batch_size=_ROWS, columns=wanted):
        values = []
        for name, column in held.items():
            array = batch.column(batch.schema.names.index(column))
            try:
                values.append(_cast(array, name))
            except (_CastError, pa.ArrowException, ValueError, OverflowError) as error:
                reason = excerpt(str(error), 200)
                if isinstance(error, UnicodeDecodeError):
                    reason = excerpt(f"{error.object[:20]!r} is not UTF-8")
                raise DataError(
                    f"{printable(rows.source)}: column {excerpt(column)} of type {array.type}"
                    f" cannot be {name}: {reason}"
                ) from None
        names = list(held)
        for row in zip(*values, strict=True):
            fields = dict(zip(names, row, strict=True))
            fields.update(fixed)
            rows.take(fields, partial(as_json, fields))


def _instant(value: object) -> tuple[int, str] | None:
    """Return an instant of a column of instants."""
    return (value, "timestamp") if isinstance(value, int) else None


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return kind.storage_type
    return kind


def _cast(array: pa.Array, name: str) -> Sequence[Any]:
    """Return the values of a column in the form of a field: text, numbers, microseconds."""
    if pa.types.is_dictionary(array.type):
        return _cast(array.dictionary_decode(), name)
    if isinstance(array.type, pa.BaseExtensionType):
        return _cast(array.storage, name)
    if pa.types.is_nested(array.type):
        raise _CastError("expected a plain value")
    if array.null_count == len(array):
        return [None] * len(array)
    return _cast_plain(array, name)


def _cast_plain(array: pa.Array, name: str) -> list[Any]:
    kind = array.type
    if _is_text(kind) or pa.types.is_integer(kind):
        return _listed(array)
    if _is_binary(kind):
        return _decoded(array, name)
    if pa.types.is_boolean(kind):
        if name not in _TRUTHS and not name.startswith(FIELD):
            raise _CastError("expected no truth value")
        return _listed(array)
    if pa.types.is_temporal(kind):
        return _temporal(array, name)
    if pa.types.is_floating(kind):
        return _floats(array, name)
    if pa.types.is_decimal(kind):
        return _decimals(array, name)
    raise _CastError("expected a plain value")


def _listed(array: pa.Array) -> list[Any]:
    return list(array.to_pylist())


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or _is_view(kind, "string")


def _is_binary(kind: pa.DataType) -> bool:
    return (
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or _is_view(kind, "binary")
    )


def _is_view(kind: pa.DataType, of: str) -> bool:
    return str(kind) == f"{of}_view"


def _decoded(array: pa.Array, name: str) -> list[str | None]:
    """Return bytes as text, or as UUIDs for ids of 16 bytes."""
    fixed = pa.types.is_fixed_size_binary(array.type)
    if fixed and array.type.byte_width == _UUID_BYTES and name in _IDS:
        found = array.to_pylist()
        # Sixteen printable bytes are a text, and almost never a UUID.
        if not all(each is None or _PRINTABLE.fullmatch(each) for each in found):
            return [None if each is None else str(uuid.UUID(bytes=each)) for each in found]
    decoded: list[str | None] = []
    for each in array.to_pylist():
        try:
            decoded.append(None if each is None else each.decode())
        except UnicodeDecodeError:
            raise _CastError(f"{each[:20]!r} is not UTF-8") from None
    return decoded


def _floats(array: pa.Array, name: str) -> list[Any]:
    bits = array.type.bit_width
    array = array.cast(pa.float64())
    array = pc.if_else(pc.is_nan(array), None, array)
    if name in ("duration", "errors"):
        return _listed(array)
    if name == "started":
        if bits < 64:  # noqa: PLR2004 - what holds seconds since 1970
            raise _CastError("a float of so few bits holds no instant; write a timestamp")
        return _listed(array)
    exact = pc.and_(pc.equal(pc.floor(array), array), pc.less(pc.abs(array), 2.0 ** _EXACT[bits]))
    bad = array.filter(pc.invert(exact.fill_null(True)))
    if len(bad):
        raise _CastError(
            f"{bad[0].as_py()!r} is not a whole number, or has lost digits as a float;"
            " write integers or text"
        )
    return _listed(array.cast(pa.int64()))


def _decimals(array: pa.Array, name: str) -> list[Any]:
    values = array.to_pylist()
    if name in _TEXTS or name == "project_id":
        for each in values:
            if each is not None and each != int(each):
                raise _CastError(f"{each} is not a whole number; write integers or text")
        return [None if each is None else int(each) for each in values]
    return list(values)


def _temporal(array: pa.Array, name: str) -> list[Any]:
    kind = array.type
    if name == "duration" and pa.types.is_duration(kind):
        seconds = pc.divide(array.cast(pa.int64()).cast(pa.float64()), _PER_SECOND[kind.unit])
        return _listed(seconds)
    if name != "started":
        raise _CastError("expected no time")
    if pa.types.is_date(kind):
        array = array.cast(pa.timestamp("ms"))
    elif not pa.types.is_timestamp(kind):
        raise _CastError("expected instants, with their day")
    per_second = _PER_SECOND[array.type.unit]
    ticks = array.cast(pa.int64())
    if per_second > _PER_SECOND["us"]:
        return _listed(pc.divide(ticks, per_second // 1_000_000))
    return _listed(pc.multiply_checked(ticks, 1_000_000 // per_second))
