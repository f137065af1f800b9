"""Metric rows and the files that hold them, with defaults for what a test does not care about."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from reference import DURATIONS, ERRORS, SESSIONS, USERS
from sessions import CONTRACT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from os import PathLike

Row: TypeAlias = dict[str, Any]

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
RELEASE = "shop@1.0.0"
DEFAULTS: Row = dict.fromkeys(CONTRACT) | {
    "project_id": 1,
    "timestamp": NOON,
    "release": RELEASE,
}


def session(status: str = "init", **columns: Any) -> Row:
    """A session counter of 1, at noon."""
    return DEFAULTS | {"metric": SESSIONS, "session_status": status, "value": 1.0} | columns


def user(member: int, status: str | None = None, **columns: Any) -> Row:
    """A user, at noon."""
    return DEFAULTS | {"metric": USERS, "session_status": status, "member": member} | columns


def error(member: int, **columns: Any) -> Row:
    """A session with an error, at noon."""
    return DEFAULTS | {"metric": ERRORS, "session_status": "errored", "member": member} | columns


def duration(seconds: float, **columns: Any) -> Row:
    """A session that exited after so many seconds, at noon."""
    return DEFAULTS | {"metric": DURATIONS, "session_status": "exited", "value": seconds} | columns


def table(
    rows: Iterable[Mapping[str, Any]],
    *,
    types: Mapping[str, pa.DataType] | None = None,
    without: Collection[str] = (),
) -> pa.Table:
    """The rows as the contract has them, but for columns of other types and columns left out."""
    rows = list(rows)
    kinds = {name: kind for name, kind in CONTRACT.items() if name not in without}
    kinds |= types or {}
    return pa.table(
        {name: pa.array([row.get(name) for row in rows], kind) for name, kind in kinds.items()}
    )


def write(
    path: str | PathLike[str],
    rows: Iterable[Mapping[str, Any]],
    *,
    types: Mapping[str, pa.DataType] | None = None,
    without: Collection[str] = (),
    **options: Any,
) -> str:
    """Write the rows to a Parquet file, `options` being pyarrow's; return its path."""
    pq.write_table(table(rows, types=types, without=without), path, **options)
    return str(path)
