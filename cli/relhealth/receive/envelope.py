"""Reads one envelope as an SDK sends it: its headers, and the items about sessions."""

from typing import Any, NamedTuple

import msgspec

from relhealth.ingest.lines import MOST_BYTES
from relhealth.ingest.protocol import (
    Aggregates,
    FaultError,
    Update,
    decode_aggregates,
    decode_update,
)
from relhealth.receive.keys import Dsn, read_dsn

MOST_LINE = 1 << 16  # bytes of a line of headers
_MOST_KNOWN = 4096  # cached lines of headers; there are few different ones
_EVENT_ID = frozenset("0123456789abcdef")
_EVENT_ID_DIGITS = 32
_LONGEST_KNOWN = 256
KINDS = ("session", "sessions")

_headers = msgspec.json.Decoder(dict[str, Any]).decode


class EnvelopeError(Exception):
    """The body is no envelope; the message says why."""


class TooManyItemsError(EnvelopeError):
    """The envelope has more items than allowed."""


class Headers(NamedTuple):
    """What the first line of an envelope says."""

    event_id: str | None
    dsn: Dsn | None


class Session(NamedTuple):
    """An item about sessions: as it was sent, and as it was read."""

    kind: str
    payload: bytes
    content: Update | Aggregates


class Envelope(NamedTuple):
    """The sessions of an envelope, the number of other items, and why items were left out."""

    sessions: list[Session]
    others: int
    rejected: list[str]


def read_headers(body: bytes) -> Headers:
    """Return the headers of an envelope; raises ``EnvelopeError``."""
    line, _ = _line(body, 0)
    found = _object(line, "envelope header")
    event_id, dsn = found.get("event_id"), found.get("dsn")
    if event_id is not None:
        plain = event_id.replace("-", "").lower() if isinstance(event_id, str) else ""
        if len(plain) != _EVENT_ID_DIGITS or not set(plain) <= _EVENT_ID:
            raise EnvelopeError("invalid event id")
        event_id = plain
    read = None
    if dsn is not None:
        read = read_dsn(dsn) if isinstance(dsn, str) else None
        if read is None:
            raise EnvelopeError("invalid dsn in the envelope header")
    return Headers(event_id, read)


def read_items(body: bytes, most_items: int) -> Envelope:
    """Return the items behind the headers of an envelope; raises ``EnvelopeError``.

    Items about sessions that cannot be read are left out; ``rejected`` says why.
    """
    _, at = _line(body, 0)
    sessions: list[Session] = []
    rejected: list[str] = []
    others = items = 0
    while at < len(body):
        line, at = _line(body, at)
        items += 1  # empty lines, too: there can be millions
        if items > most_items:
            raise TooManyItemsError(f"more than {most_items} items")
        if not line.strip():
            continue
        kind, length = _known.get(line) or _item_headers(line)
        payload_at = at
        if length is None:
            end = body.find(b"\n", at)
            end = len(body) if end < 0 else end
        else:
            end = at + length
            if end > len(body):
                raise EnvelopeError("unexpected end of the envelope in an item")
            if body[end : end + 1] not in {b"", b"\n"} and body[end : end + 2] != b"\r\n":
                raise EnvelopeError("missing newline after an item")
        at = body.find(b"\n", end) + 1 or len(body)
        if kind not in KINDS:
            others += 1
        elif end - payload_at > MOST_BYTES:
            rejected.append(f"item longer than {MOST_BYTES:,} bytes")
        else:
            _take(kind, body[payload_at:end], sessions, rejected)
    return Envelope(sessions, others, rejected)


def _take(kind: str, payload: bytes, sessions: list[Session], rejected: list[str]) -> None:
    decode = decode_update if kind == "session" else decode_aggregates
    try:
        sessions.append(Session(kind, payload, decode(payload, _lose)))
    except FaultError as error:
        rejected.append(str(error))


def _lose(_name: str, _value: object) -> None:
    """Ignore a lost field; the ingest counts it."""


_known: dict[bytes, tuple[str, int | None]] = {}


def _item_headers(line: bytes) -> tuple[str, int | None]:
    found = _object(line, "item header")
    kind, length = found.get("type"), found.get("length")
    if not isinstance(kind, str):
        raise EnvelopeError("item header without a type")
    if length is not None and (type(length) is not int or length < 0):
        raise EnvelopeError("invalid length of an item")
    if len(_known) < _MOST_KNOWN and len(line) <= _LONGEST_KNOWN:
        _known[line] = kind, length
    return kind, length


def _object(line: bytes, what: str) -> dict[str, Any]:
    try:
        return _headers(line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise EnvelopeError(f"invalid {what}") from None


def _line(body: bytes, at: int) -> tuple[bytes, int]:
    """Return the line at a place, and where the next one begins."""
    end = body.find(b"\n", at, at + MOST_LINE + 1)
    if end >= 0:
        return body[at:end], end + 1
    if len(body) - at > MOST_LINE:
        raise EnvelopeError(f"line of headers longer than {MOST_LINE:,} bytes")
    return body[at:], len(body)
