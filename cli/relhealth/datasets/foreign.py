"""Recognises a file that is not Parquet by its first bytes, and says what to do with it."""

import json
import os
import stat

from relhealth.core.printable import printable

INGEST = "make a data set of it with relhealth ingest INPUT --to DATASET, and ask that"
_MAGIC_BYTES = 4
_HEAD = 4096  # bytes that decide whether a file is text
_PARQUET = (b"PAR1", b"PARE")
CSV, JSON_LINES, ENVELOPE = "CSV", "JSON lines", "an envelope of a Sentry SDK"
INPUTS = {CSV, JSON_LINES, ENVELOPE}
_SEPARATORS = ",;\t|"
# First bytes, the format that they mean, and what to do.
_EXPORT = "export its sessions as CSV or Parquet for relhealth ingest"
_UNPACK = "unpack it; relhealth ingest reads compressed CSV and JSON lines"
_MAGIC = (
    (b"SQLite format 3\0", "a SQLite database", _EXPORT),
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook", _EXPORT),
    (b"Obj\x01", "an Avro file", _EXPORT),
    (b"ORC", "an ORC file", _EXPORT),
    (b"ARROW1", "an Arrow file", "write it as Parquet"),
    (b"FEA1", "a Feather file", "write it as Parquet"),
    (b"\x1f\x8b", "compressed by gzip", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", _UNPACK),
    (b"\xfd7zXZ\0", "compressed by xz", _UNPACK),
    (b"BZh", "compressed by bzip2", _UNPACK),
)
_DUCKDB_AT = 8


def begins_as_parquet(path: str) -> bool:
    """Return whether a regular file begins like Parquet, plain or encrypted.

    Raises ``OSError`` for a file that cannot be read.
    """
    return _head(path, _MAGIC_BYTES) in _PARQUET


def fault(path: str) -> str:
    """Return why a file is not Parquet, and the remedy."""
    head = _head(path, _HEAD)
    for magic, what, remedy in _MAGIC:
        if head.startswith(magic):
            return f"not a Parquet file but {what}; {remedy}"
    if head[_DUCKDB_AT:].startswith(b"DUCK"):
        return f"not a Parquet file but a DuckDB database; {_EXPORT}"
    kind = _kind(head)
    return f"not a Parquet file but {kind}; {INGEST}" if kind else "not a Parquet file"


def kind_of(path: str) -> str | None:
    """Return the kind of text in a file, if ingest can read it; else None."""
    try:
        return _kind(_head(path, _HEAD))
    except OSError:
        return None


def _head(path: str, most: int) -> bytes:
    """Return the first bytes of a regular file; none of others, which could block."""
    opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return os.pread(opened, most, 0) if stat.S_ISREG(os.fstat(opened).st_mode) else b""
    finally:
        os.close(opened)


def _kind(head: bytes) -> str | None:
    text = head.decode("utf-8-sig", errors="replace")
    lines = text.splitlines()
    if not lines:
        return None
    first = lines[0].strip()
    if first.startswith("{"):
        try:
            found = json.loads(first)
        except ValueError:
            return JSON_LINES if len(lines) == 1 or first == "{" else None
        return ENVELOPE if _is_envelope(found, lines[1:]) else JSON_LINES
    if first.startswith("["):
        return JSON_LINES if first == "[" or first.startswith(("[{", "[ {")) else None
    if "\ufffd" in text[:-1] or printable(first.replace("\t", " ")) != first.replace("\t", " "):
        return None
    return CSV if any(separator in first for separator in _SEPARATORS) else None


def _is_envelope(header: dict[str, object], rest: list[str]) -> bool:
    """Recognise an envelope by its header, or by that of its first item."""
    for item in rest[:1]:
        try:
            found = json.loads(item)
        except ValueError:
            break
        if isinstance(found, dict) and found.get("type") in {"session", "sessions"}:
            return True
    return not rest and {"dsn", "sent_at"} <= header.keys()
