"""The session protocol: what SDKs send of sessions, decoded and checked.

Fields and statuses are those of Sentry's public specification of sessions; unknown fields are
passed over, since SDKs send more than counts.
"""

import math
import string
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec

STATUSES = frozenset({"ok", "exited", "errored", "crashed", "abnormal", "unhandled"})

MOST_ERRORS = 2**53
# How SDKs write that there is no user: nothing, or the nil UUID.
NO_USERS = frozenset({"", "0" * 32, "00000000-0000-0000-0000-000000000000"})

Instant = str | int | float  # ISO 8601 text, or seconds since the epoch
Count = Annotated[int, msgspec.Meta(ge=0, le=MOST_ERRORS)]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase, "-")


class Attributes(msgspec.Struct, gc=False):
    """What a session shares with others."""

    release: str | None = None
    environment: str | None = None


class Update(msgspec.Struct, gc=False):
    """One update of one session; null is as good as absent."""

    sid: str
    started: Instant
    attrs: Attributes | None = None
    init: bool | None = None
    timestamp: Instant | None = None
    status: str | None = None  # ok
    errors: Count | None = None
    did: str | int | None = None
    duration: float | None = None
    abnormal_mechanism: str | None = None


class Aggregate(msgspec.Struct, gc=False):
    """Sessions that started in one minute, counted by how they ended."""

    started: Instant
    exited: Count = 0
    errored: Count = 0
    abnormal: Count = 0
    unhandled: Count = 0
    crashed: Count = 0


class Aggregates(msgspec.Struct, gc=False):
    """Pre-aggregated sessions of one release and environment."""

    aggregates: list[Aggregate]
    attrs: Attributes = msgspec.field(default_factory=Attributes)


def epoch_us(instant: Instant) -> int | None:
    """Return microseconds since the epoch; ``None`` for what is no instant."""
    try:
        if isinstance(instant, str):
            at = datetime.fromisoformat(instant)
            return (
                (at if at.tzinfo is not None else at.replace(tzinfo=UTC)) - _EPOCH
            ) // _MICROSECOND
        return round(instant * 1_000_000) if math.isfinite(instant) else None
    except (ValueError, OverflowError):
        return None


def session_id(sid: str) -> str:
    """Return one spelling of a session's id, so that dashes and case make no difference."""
    return sid.translate(_LOWER)


def user_id(did: str | int | None) -> str | None:
    """Return a user's id; ``None`` for no user."""
    return None if did is None or did in NO_USERS else str(did)
