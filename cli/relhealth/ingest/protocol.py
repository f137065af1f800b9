"""The session protocol: decodes and checks what SDKs send about sessions.

Fields, defaults and statuses are those of Sentry's public specification of sessions and of Relay;
unknown fields are ignored, because SDKs send more than counts. ``seq`` is one of these: a first
update is one with ``init``.
"""

import json
import re
import string
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import msgspec

from relhealth.datasets.contract import MOST_COUNT
from relhealth.ingest.values import (
    BROKEN,
    BadValueError,
    count_of,
    duration_of,
    id_of,
    is_broken,
    is_missing,
    is_unicode,
)

STATUSES = frozenset({"ok", "exited", "errored", "crashed", "abnormal", "unhandled"})
FATES = ("crashed", "abnormal", "unhandled")
ENDS = ("exited", "errored", *FATES)  # by which aggregates count sessions

MOST_ERRORS = 2**53
# How SDKs write no user: empty text, or the nil UUID.
NO_USERS = frozenset({"", "0" * 32, "00000000-0000-0000-0000-000000000000"})

Instant = str | int | float  # ISO 8601 text, or a number since 1970
Count = Annotated[int, msgspec.Meta(ge=0, le=MOST_ERRORS)]

UUID = re.compile("[0-9a-f]{32}")  # without its dashes
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase, "-")
_WORDS = dict.fromkeys(["true", "yes", "y", "t", "on", "1"], True) | dict.fromkeys(
    ["false", "no", "n", "f", "off", "0"], False
)
_Found = TypeVar("_Found")


class FaultError(Exception):
    """An item is unusable; the message is the reason, and ``example`` the bad value."""

    def __init__(self, reason: str, example: object = None) -> None:
        """Store the value; the reason does not contain it."""
        super().__init__(reason)
        self.example = example


class Attributes(msgspec.Struct, gc=False):
    """The attributes that several sessions share."""

    release: str | None = None
    environment: str | None = None


class Update(msgspec.Struct, gc=False):
    """One update of one session; null means absent."""

    started: Instant
    sid: str | None = None
    attrs: Attributes | None = None
    init: bool | None = None
    timestamp: Instant | None = None
    status: str | None = None  # ok
    errors: Count | None = None
    did: str | int | None = None
    duration: float | None = None
    abnormal_mechanism: str | None = None


class Aggregate(msgspec.Struct, gc=False):
    """Sessions that started in one minute, counted by how they ended; of one user, with ``did``."""

    started: Instant
    exited: Count = 0
    errored: Count = 0
    abnormal: Count = 0
    unhandled: Count = 0
    crashed: Count = 0
    did: str | int | None = None


class Aggregates(msgspec.Struct, gc=False):
    """Pre-aggregated sessions of one release and environment."""

    aggregates: list[Aggregate] = []
    attrs: Attributes = msgspec.field(default_factory=Attributes)


class _Attributed(msgspec.Struct, gc=False):
    """All attributes of an update or of aggregates."""

    attrs: dict[str, Any] | None = None


_update = msgspec.json.Decoder(Update).decode
_aggregates = msgspec.json.Decoder(Aggregates).decode
_anything = msgspec.json.Decoder().decode
_attributed = msgspec.json.Decoder(_Attributed).decode

# Called for each dropped optional field, with its name and the bad value.
Lose = Callable[[str, object], None]


def parse_object(text: bytes, what: str) -> dict[str, Any]:
    """Return a JSON object, which can contain NaN and infinity in Python's notation.

    Raises ``FaultError`` for anything else.
    """
    try:
        found = _anything(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            raise FaultError(f"{what}: not JSON", _beginning(text)) from None
    if not isinstance(found, dict):
        raise FaultError(f"{what}: expected a JSON object", _beginning(text))
    return found


def _beginning(text: bytes) -> str:
    return text[:200].decode(errors="backslashreplace")


def decode_update(payload: bytes, lose: Lose) -> Update:
    """Return an update; drop an optional field that is not readable.

    Raises ``FaultError`` if a required field is bad.
    """
    try:
        return _update(payload)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        given = parse_object(payload, "session")
    status = given.get("status")
    if status is not None and not isinstance(status, str):
        raise FaultError("status: expected text", status)
    return Update(
        started=_started(given),
        sid=_required(given, "sid", _literal),
        attrs=_attributes(given.get("attrs"), lose),
        init=_begins(given, lose),
        timestamp=_timestamp(given, lose),
        status=status,
        errors=_optional(given, "errors", count_of, lose),
        did=_optional(given, "did", _literal, lose),
        duration=_optional(given, "duration", duration_of, lose),
        abnormal_mechanism=_optional(given, "abnormal_mechanism", _text, lose),
    )


def attributes_of(payload: bytes) -> dict[str, Any]:
    """Return all attributes of an update or of aggregates, whatever their values.

    Raises ``FaultError`` for what is no JSON object.
    """
    try:
        return _attributed(payload).attrs or {}
    except (msgspec.MsgspecError, ValueError, RecursionError):
        given = parse_object(payload, "session").get("attrs")
        return given if isinstance(given, dict) else {}


def decode_aggregates(payload: bytes, lose: Lose) -> Aggregates:
    """Return pre-aggregated sessions; drop a user that is not readable.

    Raises ``FaultError`` if anything else is not readable.
    """
    found = _decoded_aggregates(payload, lose)
    for one in found.aggregates:
        sessions = sum(getattr(one, name) for name in ENDS)
        if sessions > MOST_COUNT:
            raise FaultError("aggregates: expected at most 2^32 sessions in each", sessions)
    return found


def _decoded_aggregates(payload: bytes, lose: Lose) -> Aggregates:
    try:
        return _aggregates(payload)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        given = parse_object(payload, "sessions")
    items = given.get("aggregates")
    if items is None:
        items = []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise FaultError("aggregates: expected a list of objects", items)
    attributes = _attributes(given.get("attrs"), lose)
    return Aggregates([_aggregate(item, lose) for item in items], attributes)


def _aggregate(item: dict[str, Any], lose: Lose) -> Aggregate:
    counts = {name: _required(item, name, count_of) or 0 for name in ENDS}
    did = _optional(item, "did", _literal, lose)
    return Aggregate(started=_started(item), did=did, **counts)


def _started(given: dict[str, Any]) -> Instant:
    started = given.get("started")
    if not isinstance(started, str | int | float) or isinstance(started, bool):
        raise FaultError("started: no readable time", started)
    return started


def _required(
    given: dict[str, Any], name: str, read: Callable[[object], _Found | None]
) -> _Found | None:
    try:
        return read(given.get(name))
    except BadValueError as error:
        raise FaultError(f"{name}: {error}", given.get(name)) from None


def _optional(
    given: dict[str, Any], name: str, read: Callable[[object], _Found | None], lose: Lose
) -> _Found | None:
    try:
        return read(given.get(name))
    except BadValueError:
        lose(name, given.get(name))
        return None


def _attributes(given: object, lose: Lose) -> Attributes:
    if given is None:
        return Attributes()
    if not isinstance(given, dict):  # PHP writes an object of nothing as an empty list
        lose("attrs", given)
        return Attributes()
    environment = _optional(given, "environment", _literal, lose)
    return Attributes(_required(given, "release", _literal), environment)


def _literal(value: object) -> str | None:
    """Return text unchanged, and the digits of a number."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list | dict | bool):
        raise BadValueError("expected text")
    return id_of(value)


def _text(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise BadValueError("expected text")
    if value is not None and not is_unicode(value):
        raise BadValueError("not UTF-8")
    return value


def _timestamp(given: dict[str, Any], lose: Lose) -> Instant | None:
    value = given.get("timestamp")
    if value is not None and (not isinstance(value, str | int | float) or isinstance(value, bool)):
        lose("timestamp", value)
        return None
    return value


def _begins(given: dict[str, Any], lose: Lose) -> bool | None:
    """Return whether an update begins its session.

    SDKs write it to say yes, so that a word that cannot be read counts as that: a session counts
    once however often it begins, but a crash without a beginning would count against nothing.
    """
    try:
        return _flag(given.get("init"))
    except BadValueError:
        lose("init", given["init"])
        return True


def _flag(value: object) -> bool | None:
    if is_missing(value):
        return None
    if isinstance(value, str):
        value = _WORDS.get(value.strip().casefold(), value)
    match value:
        case True | False:
            return value
        case 0 | 1:
            return bool(value)
        case _:
            raise BadValueError("expected true or false")


def check_release(release: str | None) -> None:
    """Raise ``FaultError`` for a text that is no release."""
    if release is not None and is_broken(release):
        raise FaultError(f"release: {BROKEN}", release)


def session_id(sid: str) -> str:
    """Return a standard spelling of a session's id; for UUIDs, ignore dashes and case."""
    plain = sid.translate(_LOWER)
    return plain if not plain or UUID.fullmatch(plain) else sid


def user_id(did: str | int | None) -> str | None:
    """Return a user's id; ``None`` if there is no user."""
    return None if did is None or did in NO_USERS else str(did)
