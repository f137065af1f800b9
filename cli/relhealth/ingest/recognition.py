"""Recognition: finds the kind of an input by its first lines."""

import io
import re
from collections.abc import Mapping

import msgspec

from relhealth.core.errors import DataError
from relhealth.core.printable import excerpt, printable
from relhealth.datasets.compression import HEAD
from relhealth.datasets.signatures import signature, unsupported
from relhealth.ingest.dialect import dialect_of
from relhealth.ingest.kinds import InputKind
from relhealth.ingest.mapping import Words

_OF_ENVELOPES = frozenset({"dsn", "sent_at", "event_id", "sdk", "trace"})
_OF_BUCKETS = frozenset({"name", "type", "value"})
_OF_MESSAGES = frozenset({"topic", "partition", "offset", "payload"})
_METRIC_NAME = re.compile(r"[a-z]:[a-z_]+/.+")
_SESSION_ITEMS = ("session", "sessions")
_JSON = (b"{", b"[")
_EXPECTED = "neither envelopes, metric buckets nor a table of sessions (CSV, JSON or Parquet)"

_Object = Mapping[str, object]


def recognise(stream: io.BufferedReader, source: str, words: Words) -> InputKind | None:
    """Return the kind of a stream; ``None`` if it is empty or blank.

    Leaves the stream where its content begins. Raises ``DataError``, which names the source and
    the remedy, for input that ingest does not support, and if two kinds are possible.
    """
    head = _head(stream)
    if not head:
        return None
    if head.startswith(b"PAR1"):
        return InputKind.PARQUET
    told = unsupported(head)
    if told is not None:
        raise DataError(f"{printable(source)}: {told}")
    if not head.startswith(_JSON):
        if dialect_of(head, words) is not None:
            return InputKind.CSV
        raise _unknown(source, head)
    kinds = _kinds(head, words)
    if len(kinds) > 1:
        names = " or ".join(f"--from {kind}" for kind in kinds)
        raise DataError(f"{printable(source)}: may be read in more ways than one; say {names}")
    return kinds[0]


def refuse_binary(stream: io.BufferedReader, source: str) -> None:
    """Raise ``DataError`` if content cannot be the text that ``--from`` names."""
    told = unsupported(_head(stream))
    if told is not None:
        raise DataError(f"{printable(source)}: {told}")


def _head(stream: io.BufferedReader) -> bytes:
    """Return the beginning of a stream, after skipping the blanks before text."""
    head = stream.peek(HEAD)
    if signature(head) is not None:
        # The checksum that begins a DuckDB database may begin with a blank.
        return head
    while head.isspace():
        stream.read(len(head))
        head = stream.peek(HEAD)
    blanks = len(head) - len(head.lstrip())
    # A tab can be the first, empty cell of a header line.
    blanks -= len(head[:blanks]) - len(head[:blanks].rstrip(b"\t"))
    if blanks:
        stream.read(blanks)
        head = stream.peek(HEAD)
    return head


def _kinds(head: bytes, words: Words) -> list[InputKind]:
    """Return the possible kinds of JSON; other lines of objects are a table."""
    lines = [line for line in head.split(b"\n")[:50] if line.strip()]
    first = _object(lines[0])
    if first is None:
        return [InputKind.JSONL]  # an array, or objects of several lines
    if first.keys() >= _OF_MESSAGES:
        return [InputKind.KAFKA, *([InputKind.JSONL] if _is_table(first, words) else [])]
    second = (_object(lines[1]) if len(lines) > 1 else None) or {}
    kinds = []
    if _is_envelope(first, second):
        kinds.append(InputKind.ENVELOPES)
    if _is_bucket(first):
        kinds.append(InputKind.BUCKETS)
    if _is_table(first, words):
        if not _is_bucket(first):
            return [InputKind.JSONL]
        kinds.append(InputKind.JSONL)
    return kinds or [InputKind.JSONL]


def _is_envelope(first: _Object, second: _Object) -> bool:
    """Return whether two lines begin an envelope: its headers and an item's, or only an item."""
    if first.get("type") in _SESSION_ITEMS:
        return bool({"started", "aggregates"} & second.keys())
    if first and not _OF_ENVELOPES & first.keys():
        return False
    if "type" in first:
        return False
    if not second:
        return True
    if isinstance(second.get("type"), str):
        return not _OF_ENVELOPES & second.keys()
    return first.keys() <= _OF_ENVELOPES and second.keys() <= _OF_ENVELOPES


def _is_table(first: _Object, words: Words) -> bool:
    try:
        return {"session_id", "started"} <= words.find(list(first)).keys()
    except DataError:  # two columns with one name; reading the table reports it
        return True


def _is_bucket(first: _Object) -> bool:
    name, kind = first.get("name"), first.get("type")
    return (
        first.keys() >= _OF_BUCKETS
        and isinstance(name, str)
        and isinstance(kind, str)
        and _METRIC_NAME.match(name) is not None
    )


def _object(line: bytes) -> dict[str, object] | None:
    try:
        found = msgspec.json.decode(line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _unknown(source: str, head: bytes) -> DataError:
    beginning = excerpt(head[:200].decode(errors="replace").split("\n")[0])
    return DataError(
        f"{printable(source)}: {_EXPECTED}; it begins with '{beginning}'; leave it out, or say what"
        " it is with --from"
    )
