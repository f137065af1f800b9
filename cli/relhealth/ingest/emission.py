"""The metrics of sessions without an id: pre-aggregated ones, and complete single ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import md5
from typing import Any

from relhealth.ingest.protocol import FATES, Attributes

_SESSIONS = "c:sessions/session@none"
_USERS = "s:sessions/user@none"
_DURATIONS = "d:sessions/duration@second"


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of sessions, and their start in microseconds since 1970."""

    org: int | None
    project: int
    started_us: int
    attributes: Attributes
    dimensions: str | None = None  # as in ``ingest.dimensions``


def member_of(text: str) -> int:
    """Return the 64-bit member of an id, the number that DuckDB's ``md5_number_lower`` gives."""
    digest = md5(text.encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[8:], "little")


def emit(
    origin: Origin,
    counts: Mapping[str, int],
    user: str | None,
    *,
    duration: float | None = None,
    mechanism: str | None = None,
) -> list[tuple[Any, ...]]:
    """Return the metric rows, with the columns of ``METRICS``, of sessions counted by their end.

    Errored sessions are counted together with worse ones, because without ids nothing separates
    them. ``user`` is the user of all of them, ``duration`` in seconds is that of a single session,
    ``mechanism`` is that of the abnormal ones.
    """
    fates = {fate: counts.get(fate, 0) for fate in FATES}
    errored = counts.get("errored", 0) + sum(fates.values())
    told = {"init": counts.get("exited", 0) + errored, "errored_preaggr": errored, **fates}
    rows = [_row(origin, _SESSIONS, status, None, float(n)) for status, n in told.items() if n]
    if user is not None:
        member = member_of(user)
        rows.append(_row(origin, _USERS, "errored" if errored else None, None, None, member))
        rows += [
            _row(origin, _USERS, fate, mechanism if fate == "abnormal" else None, None, member)
            for fate, count in fates.items()
            if count
        ]
    if duration is not None:
        rows.append(_row(origin, _DURATIONS, "exited", None, duration))
    return rows


def _row(
    origin: Origin,
    metric: str,
    status: str | None,
    mechanism: str | None,
    value: float | None,
    member: int | None = None,
) -> tuple[Any, ...]:
    return (
        origin.org,
        origin.project,
        origin.started_us,
        metric,
        origin.attributes.release,
        origin.attributes.environment,
        status,
        mechanism,
        value,
        member,
        origin.dimensions,
    )
