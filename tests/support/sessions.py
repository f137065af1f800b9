"""Session updates turned into the metric rows that a relay emits for them."""

from __future__ import annotations

from datetime import datetime, timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from reference import DURATIONS, EPOCH, ERRORS, SESSIONS, USERS, Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

TIMESTAMP_GRID = timedelta(seconds=10)
UTC_MICROSECONDS = pa.timestamp("us", tz="UTC")

CONTRACT = {
    "org_id": pa.int64(),
    "project_id": pa.int64(),
    "timestamp": UTC_MICROSECONDS,
    "metric": pa.string(),
    "release": pa.string(),
    "environment": pa.string(),
    "session_status": pa.string(),
    "abnormal_mechanism": pa.string(),
    "value": pa.float64(),
    "member": pa.uint64(),
}


def metric_rows(updates: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Every metric row that these session updates emit, in their order."""
    return [row for update in updates for row in _emitted(update)]


def metric_table(
    rows: Iterable[Mapping[str, Any]], timestamp: pa.DataType | None = None
) -> pa.Table:
    """The rows in the contract's column types; `timestamp` may name another unit or zone."""
    types = CONTRACT | {"timestamp": timestamp or UTC_MICROSECONDS}
    rows = list(rows)
    return pa.table(
        {name: pa.array([row[name] for row in rows], type=kind) for name, kind in types.items()}
    )


def member_of(text: str) -> int:
    """The 64-bit set member of a session or user id."""
    return int.from_bytes(blake2b(text.encode()).digest()[:8], "big")


def _emitted(update: Mapping[str, Any]) -> Iterator[Row]:
    status: str = update["status"]
    session = member_of(update["session_id"])
    user = _user_of(update)
    had_errors = update["errors"] > 0 or status not in {"ok", "exited"}

    if update["seq"] == 0:
        yield _row(update, SESSIONS, "init", value=1.0)
    if had_errors:
        yield _row(update, ERRORS, "errored", member=session)
    if user is not None:
        yield _row(update, USERS, "errored" if had_errors else None, member=user)
    if status in {"abnormal", "crashed", "unhandled"}:
        yield _row(update, SESSIONS, status, value=1.0)
        if user is not None:
            mechanism = update["abnormal_mechanism"] if status == "abnormal" else None
            yield _row(update, USERS, status, member=user) | {"abnormal_mechanism": mechanism}
    if status == "exited" and update["duration"] is not None:
        yield _row(update, DURATIONS, "exited", value=float(update["duration"]))


def _user_of(update: Mapping[str, Any]) -> int | None:
    distinct_id: str | None = update["distinct_id"]
    # SDKs without a user send the nil UUID, with or without dashes.
    if not distinct_id or distinct_id.replace("-", "") == "0" * 32:
        return None
    return member_of(distinct_id)


def _row(
    update: Mapping[str, Any],
    metric: str,
    status: str | None,
    *,
    value: float | None = None,
    member: int | None = None,
) -> Row:
    started = datetime.fromisoformat(update["started"])
    return {
        "org_id": update["org_id"],
        "project_id": update["project_id"],
        "timestamp": started - (started - EPOCH) % TIMESTAMP_GRID,
        "metric": metric,
        "release": update["release"] or None,
        "environment": update["environment"] or None,
        "session_status": status,
        "abnormal_mechanism": None,
        "value": value,
        "member": member,
    }
