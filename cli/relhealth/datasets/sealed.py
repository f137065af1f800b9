"""Parquet files that relhealth writes: every page has a checksum, the footer has a seal.

The format has checksums for pages and none for the footer. The seal is the CRC-32 of the footer, in
its key-value metadata under ``relhealth.seal``: eight hexadecimal digits that count as zeros
in the checksum. Other readers ignore it.
"""

import os
import zlib
from collections.abc import Collection, Iterable, Mapping
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP = 122_880  # rows; as DuckDB's
_KEY = b"relhealth.seal"
_NO_DIGITS = b"00000000"
# The key and the start of its value in the footer: strings with their lengths.
_BEFORE_DIGITS = b"\x18" + bytes([len(_KEY)]) + _KEY + b"\x18" + bytes([len(_NO_DIGITS)])
_TAIL_BYTES = 8  # the length of the footer, and the magic bytes


class SealedWriter:
    """Writes one file, one row group at a time; the caller syncs it to disk."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        schema: pa.Schema,
        *,
        dictionary: Collection[str] | None = None,
        encodings: Mapping[str, str] | None = None,
        level: int = 3,
        row_group: int = ROW_GROUP,
        for_others: bool = True,
    ) -> None:
        """Create the file, or overwrite it.

        ``dictionary`` names the columns with a dictionary (default: those of text), ``encodings``
        maps others to a Parquet encoding, such as ``DELTA_BINARY_PACKED``. ``level`` is
        of zstd, ``row_group`` in rows. ``for_others`` adds statistics, by which readers skip
        row groups, and the Arrow schema. Raises ``OSError``.
        """
        if dictionary is None:
            dictionary = [field.name for field in schema if _is_text(field.type)]
        self._path = os.fspath(path)
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = 0
        self.rows = 0
        self._schema = schema
        self._row_group = row_group
        self._stream = pa.OSFile(self._path, "wb")
        try:
            self._writer = pq.ParquetWriter(
                self._stream,
                schema,
                compression="zstd",
                compression_level=level,
                use_dictionary=sorted(dictionary) if dictionary else False,
                column_encoding=dict(encodings) if encodings else None,
                write_statistics=for_others,
                write_page_checksum=True,
                store_schema=for_others,
            )
        except BaseException:
            self._stream.close()
            raise

    def write(self, rows: pa.RecordBatch | pa.Table) -> None:
        """Add rows; write full row groups, and keep at most one in memory."""
        for batch in rows.to_batches() if isinstance(rows, pa.Table) else [rows]:
            at = 0
            while at < batch.num_rows:
                part = batch.slice(at, self._row_group - self._waiting_rows)
                self._waiting.append(part)
                self._waiting_rows += part.num_rows
                at += part.num_rows
                if self._waiting_rows == self._row_group:
                    self._write_group()

    def _write_group(self) -> None:
        table = pa.Table.from_batches(self._waiting, self._schema)
        self._writer.write_table(table, row_group_size=self._row_group)
        self.rows += self._waiting_rows
        self._waiting, self._waiting_rows = [], 0

    def close(self) -> None:
        """Write the remaining rows, the footer and its seal."""
        if self._waiting:
            self._write_group()
        self._writer.add_key_value_metadata({_KEY: _NO_DIGITS})
        self._writer.close()
        self._stream.close()
        _seal(self._path)

    def abandon(self) -> None:
        """Close the file unfinished; it is then not a Parquet file."""
        self._stream.close()
        self._writer.is_open = False  # else it would write the footer when it is collected

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file, or abandon it after an error."""
        if kind is None:
            self.close()
        else:
            self.abandon()


def write(
    path: str | os.PathLike[str],
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    *,
    dictionary: Collection[str] | None = None,
    encodings: Mapping[str, str] | None = None,
    level: int = 3,
) -> int:
    """Write all rows to a sealed file, in their order; return their number.

    Options are those of ``SealedWriter``. If ``batches`` raises, the file is not a Parquet
    file.
    """
    with SealedWriter(
        path, schema, dictionary=dictionary, encodings=encodings, level=level
    ) as writer:
        for batch in batches:
            writer.write(batch)
    return writer.rows


def is_sealed(footer: bytes) -> bool:
    """Return whether a footer has a seal; ``footer`` is its bytes without length and magic."""
    return _BEFORE_DIGITS in footer


def is_unbroken(footer: bytes) -> bool:
    """Return whether the footer of a sealed file is unchanged."""
    at = footer.rindex(_BEFORE_DIGITS) + len(_BEFORE_DIGITS)
    return footer[at : at + len(_NO_DIGITS)] == _digits(footer, at)


def _digits(footer: bytes, at: int) -> bytes:
    """Return the digits of the seal for a place in a footer."""
    crc = zlib.crc32(footer[:at])
    crc = zlib.crc32(_NO_DIGITS, crc)
    return b"%08x" % zlib.crc32(memoryview(footer)[at + len(_NO_DIGITS) :], crc)


def _seal(path: str) -> None:
    with open(path, "r+b") as stream:
        stream.seek(-_TAIL_BYTES, os.SEEK_END)
        end = stream.tell()
        start = end - int.from_bytes(stream.read(4), "little")
        stream.seek(start)
        footer = stream.read(end - start)
        at = footer.rindex(_BEFORE_DIGITS) + len(_BEFORE_DIGITS)
        stream.seek(start + at)
        stream.write(_digits(footer, at))


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
