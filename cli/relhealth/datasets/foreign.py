"""Recognises a file that is not Parquet by its first bytes, and says what to do with it."""

import json
import os
import re
import stat
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress

from relhealth.core.printable import printable

INGEST = "make a data set of it with relhealth ingest INPUT --to DATASET, and ask that"
_MAGIC_BYTES = 4
_HEAD = 4096  # bytes that show what a file is
_PARQUET = (b"PAR1", b"PARE")
_CSV, _JSON_LINES, _ENVELOPE = "CSV", "JSON lines", "an envelope of a Sentry SDK"
_SEPARATORS = ",;\t|"
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")
# First bytes, what they are of, and what to do.
_EXPORT = "export its sessions as CSV or Parquet for relhealth ingest"
_UTF_8 = f"write it in UTF-8, then {INGEST}"
_MAGIC = (
    (b"SQLite format 3\0", "a SQLite database", _EXPORT),
    (b"Obj\x01", "an Avro file", _EXPORT),
    (b"ORC", "an ORC file", _EXPORT),
    (b"ARROW1", "an Arrow file", "write it as Parquet"),
    (b"FEA1", "a Feather file", "write it as Parquet"),
)
_DUCKDB_AT, _DUCKDB = 8, b"DUCK"


def begins_as_parquet(path: str) -> bool:
    """Return whether a regular file begins like Parquet, plain or encrypted.

    Raises ``OSError`` for a file that cannot be read.
    """
    return _head(path, _MAGIC_BYTES) in _PARQUET


def is_duckdb(path: str) -> bool:
    """Return whether a path is that of a DuckDB database file."""
    try:
        head = _head(path, _DUCKDB_AT + len(_DUCKDB))
    except (OSError, ValueError):
        return False
    return head[_DUCKDB_AT:] == _DUCKDB


def fault(path: str) -> str:
    """Return what is wrong with a file that does not begin as Parquet, and the remedy.

    Raises ``OSError`` for a file that cannot be read.
    """
    what, remedy = _told(path)
    told = f"not a Parquet file but {what}" if what else "not a Parquet file"
    return f"{told}; {remedy}" if remedy else told


def found(paths: Iterable[str]) -> str:
    """Return what files are that are no Parquet, and what to do with them; '' of no files."""
    by_remedy: dict[str, set[str]] = defaultdict(set)
    other = ""
    for path in paths:
        what, remedy = "", ""
        with suppress(OSError):
            what, remedy = _told(path)
        if remedy:
            by_remedy[remedy].add(what)
        else:
            other = other or f"files of other kinds, such as {printable(os.path.basename(path))}"
    told = [f"{' and '.join(sorted(whats))}: {remedy}" for remedy, whats in by_remedy.items()]
    return "; ".join(told) or other


def _told(path: str) -> tuple[str, str]:
    """Return what a file is, and what to do with it; '' for what is not known, or is nothing."""
    from relhealth.datasets import compression

    head = _head(path, _HEAD)
    if not head:
        return "", ""
    codec = compression.compression_of(head)
    with open(path, "rb", buffering=0) as file:
        buffered = compression.buffered(file)
        try:
            head = compression.plain(buffered).peek(_HEAD)[:_HEAD]
        except compression.InputError:
            head = head if codec is None else b""
        buffered.detach()  # this closes it
    if codec is None:
        return _kind_of(head)
    if head.startswith(_PARQUET):
        return f"Parquet compressed by {codec}", "unpack it"
    what, remedy = _kind_of(head)
    return f"{what or 'a file'} compressed by {codec}", remedy or "unpack it"


def _kind_of(head: bytes) -> tuple[str, str]:
    from relhealth.datasets import signatures

    for magic, what, remedy in _MAGIC:
        if head.startswith(magic):
            return what, remedy
    if head[_DUCKDB_AT:].startswith(_DUCKDB):
        return "a DuckDB database", f"name it alone, or {_EXPORT}"
    known = signatures.signature(head)
    if known is not None:
        what, remedy = known
        return what, f"{remedy} for relhealth ingest" if "CSV" in remedy else remedy
    if _CONTROLS.search(head):
        return "", ""
    text = head.decode(errors="replace")
    if "\ufffd" not in text[:-1]:
        kind = _kind(text)
        if kind is None:
            return "text" if any(map(str.isspace, text)) else "", ""
        return kind, INGEST
    kind = _kind(head.decode("latin-1"))
    return (f"{kind} that is not in UTF-8", _UTF_8) if kind else ("", "")


def _head(path: str, most: int) -> bytes:
    """Return the first bytes of a regular file; none of others, which could block."""
    opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return os.pread(opened, most, 0) if stat.S_ISREG(os.fstat(opened).st_mode) else b""
    finally:
        os.close(opened)


def _kind(text: str) -> str | None:
    """Return the kind of text that begins so, of those that ingest reads; None: of none."""
    lines = text.splitlines()
    if not lines:
        return None
    first = lines[0].strip()
    if first.startswith("{"):
        try:
            found = json.loads(first)
        except ValueError:
            return _JSON_LINES if len(lines) == 1 or first == "{" else None
        return _ENVELOPE if _is_envelope(found, lines[1:]) else _JSON_LINES
    if first.startswith("["):
        return _JSON_LINES if first == "[" or first.startswith(("[{", "[ {")) else None
    return _CSV if any(separator in first for separator in _SEPARATORS) else None


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
