"""Sentry envelopes, and what an ingest of their sessions must make of them by the plain rules."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from hashlib import md5
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from command import run
from sessions import CONTRACT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

NOW = "2026-03-02T12:30:00Z"
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
NIL = "00000000-0000-0000-0000-000000000000"
SESSIONS, ERRORS = "c:sessions/session@none", "s:sessions/error@none"
USERS, DURATIONS = "s:sessions/user@none", "d:sessions/duration@second"
FATES = ("crashed", "abnormal", "unhandled")

Payload = dict[str, Any]


def update(sid: str = "a" * 32, **fields: Any) -> Payload:
    """Return an update of a session that began at noon; fields of None are left out."""
    usual = {
        "sid": sid,
        "init": True,
        "started": iso(NOON),
        "status": "ok",
        "errors": 0,
        "attrs": {"release": "shop@1.0.0", "environment": "production"},
    }
    return {name: value for name, value in (usual | fields).items() if value is not None}


def iso(instant: datetime) -> str:
    """Return ISO 8601 with a Z, as SDKs write it."""
    return instant.isoformat().replace("+00:00", "Z")


def envelope(*items: Payload | bytes, project: int | None = 1, length: bool = True) -> bytes:
    """Return an envelope of sessions (`sid`), aggregates, and other items as they are."""
    headers = {} if project is None else {"dsn": f"https://key@o1.ingest.example/{project}"}
    lines = [json.dumps(headers).encode()]
    for item in items:
        if isinstance(item, bytes):
            lines.append(item)
            continue
        payload = json.dumps(item).encode()
        kind: Payload = {"type": "session" if "sid" in item else "sessions"}
        lines.append(json.dumps(kind | ({"length": len(payload)} if length else {})).encode())
        lines.append(payload)
    return b"\n".join(lines) + b"\n"


def ingest(source: Path | str, dataset: Path, *options: str, code: int = 0) -> Payload:
    """Ingest at the usual now; return the report."""
    result = run("ingest", str(source), "--to", str(dataset), "--now", NOW, "-f", "json", *options)
    assert result.code == code, result.err
    document: Payload = json.loads(result.out)
    assert document["meta"]["format"] == 1
    data: Payload = document["data"]
    assert seen(data) == data["items"]
    return data


def seen(data: Mapping[str, Any]) -> int:
    """Return how many items were accepted, skipped or rejected."""
    kinds = ("accepted", "passed_over", "rejected")
    return sum(sum(data[kind].values()) for kind in kinds)


def rows_of(dataset: Path) -> Counter[tuple[Any, ...]]:
    """Return how often each row is in a data set, and check that it is in its day."""
    rows: Counter[tuple[Any, ...]] = Counter()
    for file in dataset.glob("date=*/*.parquet"):
        table = pq.read_table(pa.BufferReader(file.read_bytes()))
        assert table.schema.names == list(CONTRACT)
        for row in table.to_pylist():
            assert f"date={row['timestamp']:%Y-%m-%d}" == file.parent.name
            rows[tuple(row.values())] += 1
    return rows


def rejects_of(dataset: Path) -> list[Payload]:
    """Return the items that a data set keeps as rejected."""
    files = sorted((dataset / "_rejected").glob("*.jsonl")) if dataset.exists() else []
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def member_of(text: str) -> int:
    """Return the 64-bit member of an id: the lower half of its MD5 as a little-endian number."""
    return int.from_bytes(md5(text.encode(), usedforsecurity=False).digest()[8:], "little")


def expected(delivered: Iterable[tuple[int, Payload]]) -> Counter[tuple[Any, ...]]:
    """Return the rows of (project, payload) items by the rules, one at a time and in no hurry.

    Each session of a day sets each of its marks once: by the update that is first of these.
    """
    rows: Counter[tuple[Any, ...]] = Counter()
    marks: set[tuple[Any, ...]] = set()
    for project, payload in delivered:
        if "sid" not in payload:
            for aggregate in payload["aggregates"]:
                rows += aggregate_rows(project, payload.get("attrs") or {}, aggregate)
            continue
        sid = payload["sid"].replace("-", "").lower()
        status = payload.get("status") or "ok"
        for mark, row in update_rows(project, sid, status, payload):
            if (project, sid, payload["started"][:10], *mark) not in marks:
                marks.add((project, sid, payload["started"][:10], *mark))
                rows[row] += 1
    return rows


def _row(  # noqa: PLR0913 - a row has as many columns
    project: int,
    attrs: Mapping[str, Any],
    started: str,
    metric: str,
    status: str | None,
    *,
    mechanism: str | None = None,
    value: float | None = None,
    member: int | None = None,
) -> tuple[Any, ...]:
    instant = datetime.fromisoformat(started)
    floored = instant - timedelta(seconds=instant.second % 10, microseconds=instant.microsecond)
    release, environment = attrs.get("release"), attrs.get("environment")
    return (None, project, floored, metric, release, environment, status, mechanism, value, member)


def update_rows(
    project: int, sid: str, status: str, payload: Payload
) -> Iterator[tuple[tuple[Any, ...], tuple[Any, ...]]]:
    """Yield what one update sets, and its row."""
    base = project, payload.get("attrs") or {}, payload["started"]
    has_errors = (payload.get("errors") or 0) > 0 or status not in {"ok", "exited"}
    did = payload.get("did")
    user = member_of(did) if did and did.replace("-", "") != "0" * 32 else None
    if payload.get("init"):
        yield ("init",), _row(*base, SESSIONS, "init", value=1.0)
    if has_errors:
        yield ("error",), _row(*base, ERRORS, None, member=member_of(sid))
    if user is not None:
        told = "errored" if has_errors else None
        yield ("user", user, told), _row(*base, USERS, told, member=user)
    if status in FATES:
        yield (status,), _row(*base, SESSIONS, status, value=1.0)
        if user is not None:
            mechanism = payload.get("abnormal_mechanism") if status == "abnormal" else None
            row = _row(*base, USERS, status, mechanism=mechanism, member=user)
            yield ("user", user, status, mechanism), row
    if status == "exited":
        duration = payload.get("duration")
        if duration is None and payload.get("timestamp"):
            lasted = datetime.fromisoformat(payload["timestamp"]) - datetime.fromisoformat(
                payload["started"]
            )
            duration = lasted.total_seconds() if lasted >= timedelta(0) else None
        if duration is not None:
            yield ("duration",), _row(*base, DURATIONS, "exited", value=float(duration))


def aggregate_rows(
    project: int, attrs: Mapping[str, Any], aggregate: Payload
) -> Counter[tuple[Any, ...]]:
    """Return the counters of sessions that came aggregated; the errored hold the worse ones."""
    counts = {status: aggregate.get(status, 0) for status in (*FATES, "errored", "exited")}
    errored = sum(counts.values()) - counts["exited"]
    told = {fate: counts[fate] for fate in FATES}
    told |= {"init": errored + counts["exited"], "errored_preaggr": errored}
    rows: Counter[tuple[Any, ...]] = Counter()
    for status, count in told.items():
        if count:
            row = _row(project, attrs, aggregate["started"], SESSIONS, status, value=float(count))
            rows[row] += 1
    return rows
