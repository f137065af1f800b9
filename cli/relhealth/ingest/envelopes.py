"""Sentry envelopes: the items of sessions in them, one envelope or a stream of many."""

import re
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import msgspec

from relhealth.ingest.lines import MOST_BYTES, Lines, TooLongError
from relhealth.ingest.protocol import (
    STATUSES,
    Aggregate,
    Aggregates,
    Attributes,
    Update,
    epoch_us,
    session_id,
    user_id,
)
from relhealth.ingest.staging import Stage
from relhealth.ingest.updates import Decoded, decode

_update = msgspec.json.Decoder(Update).decode
_aggregates = msgspec.json.Decoder(Aggregates).decode
_any = msgspec.json.Decoder(dict[str, Any]).decode
_PROJECT = re.compile(r"[0-9]{1,18}")
_FATES = ("crashed", "abnormal", "unhandled")
_BATCH_BYTES = 1 << 22
_AT_ONCE = 2  # batches that are decoded at once
_FEW = 64  # updates that are taken sooner one by one than as columns
_MOST_KNOWN = 4096  # lines of item headers, which are few: a type, and a length
_NO_PROJECT = "no project: the envelope has no DSN; name one with --project"


def read(
    stream: BinaryIO, source: str, stage: Stage, *, project: int | None, org: int | None
) -> None:
    """Take every session item of a stream of envelopes.

    An envelope is a line of headers and items; an item is a line of headers, with its ``type``,
    and its payload: ``length`` bytes, or the next line. A line of headers without a ``type``
    begins the next envelope.
    """
    _Reader(Lines(stream), source, stage, project, org).run()


class _Batch:
    """Payloads of session updates that wait to be decoded together, and their projects."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self.projects: list[int] = []
        self.bytes = 0


class _Reader:
    def __init__(
        self, lines: Lines, source: str, stage: Stage, project: int | None, org: int | None
    ) -> None:
        self._lines = lines
        self._source = source
        self._stage = stage
        self._fallback = project
        self._project = project
        self._org = org
        self._known_items: dict[bytes, tuple[str, int | None]] = {}  # by their line of headers
        self._batch = _Batch()
        self._decoding: deque[tuple[_Batch, Future[Decoded]]] = deque()

    def run(self) -> None:
        known = self._known_items
        with ThreadPoolExecutor(_AT_ONCE) as workers:  # decode while more is read
            for line in self._lines:
                item = known.get(line)
                if item is None:
                    self._headers(line)
                else:
                    self._item(*item, line)
                if self._batch.bytes >= _BATCH_BYTES:
                    self._decode(workers)
            self._decode(workers)
            while self._decoding:
                self._take_decoded()

    def _headers(self, line: bytes) -> None:
        """Heed a line of headers: an item's, with its payload, or an envelope's."""
        if len(line) > MOST_BYTES:
            self._too_long(TooLongError("line", line))
            return
        if not line.strip():
            return
        try:
            headers = _any(line)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            self._reject(f"no envelope: expected a line of headers ({error})", line)
            return
        if "type" not in headers:
            dsn = headers.get("dsn")
            self._project = _project_of(dsn) if isinstance(dsn, str) else None
            if self._project is None:
                self._project = self._fallback
            return
        kind, length = str(headers["type"]), headers.get("length")
        if length is not None and (type(length) is not int or length < 0):
            self._reject("item length: expected a whole number of 0 or more", line)
            return
        if len(self._known_items) < _MOST_KNOWN:
            self._known_items[line] = kind, length
        self._item(kind, length, line)

    def _item(self, kind: str, length: int | None, line: bytes) -> None:
        if kind not in {"session", "sessions"}:
            self._lines.skip(length)
            self._stage.tally.passed_over[kind] += 1
            return
        try:
            payload = self._lines.read() if length is None else self._lines.exactly(length)
        except TooLongError as error:
            self._too_long(error)
            return
        if payload is None:
            self._reject("item without its payload: the input ends before it", line)
        elif kind == "session" and self._project is not None:
            batch = self._batch
            batch.payloads.append(payload)
            batch.projects.append(self._project)
            batch.bytes += len(payload)
        else:
            self._take(kind, payload, self._project)

    def _too_long(self, error: TooLongError) -> None:
        self._reject(str(error), error.beginning)

    def _take(self, kind: str, payload: bytes, project: int | None) -> None:
        """Take one item."""
        reason = self._session(payload, project) if kind == "session" else self._sessions(payload)
        if reason is None:
            self._stage.tally.accepted[kind] += 1
        else:
            self._reject(reason, payload)

    def _decode(self, workers: ThreadPoolExecutor) -> None:
        """Have the batch decoded; wait where enough of them are at work."""
        batch, self._batch = self._batch, _Batch()
        if len(batch.payloads) < _FEW:
            self._take_each(batch, range(len(batch.payloads)))
            return
        if len(self._decoding) == _AT_ONCE:
            self._take_decoded()
        given = batch.payloads, batch.projects, self._org, self._stage.bounds_us
        self._decoding.append((batch, workers.submit(decode, *given)))

    def _take_decoded(self) -> None:
        """Take the batch that was first to be decoded."""
        batch, decoding = self._decoding.popleft()
        decoded = decoding.result()
        if decoded.rows is not None:
            self._stage.tally.accepted["session"] += decoded.rows.num_rows
            self._stage.sessions(decoded.rows)
        self._take_each(batch, decoded.left)

    def _take_each(self, batch: _Batch, indices: Iterable[int]) -> None:
        for index in indices:
            self._take("session", batch.payloads[index], batch.projects[index])

    def _session(self, payload: bytes, project: int | None) -> str | None:
        """Take an update of a session; return why not, where it cannot be."""
        try:
            update = _update(payload)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            return f"session: {error}"
        return take_update(self._stage, update, project, self._org)

    def _sessions(self, payload: bytes) -> str | None:
        """Take pre-aggregated sessions, all or none; return why not."""
        try:
            found = _aggregates(payload)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            return f"sessions: {error}"
        if self._project is None:
            return _NO_PROJECT
        rows: list[tuple[Any, ...]] = []
        for aggregate in found.aggregates:
            started_us = epoch_us(aggregate.started)
            if started_us is None:
                return f"started: {aggregate.started!r} is no instant"
            reason = self._stage.time_fault(started_us)
            if reason is not None:
                return reason
            rows.extend(_counters(aggregate, found.attrs, started_us, self._project, self._org))
        for row in rows:
            self._stage.metric(row)
        return None

    def _reject(self, reason: str, item: bytes) -> None:
        self._stage.reject(self._source, reason, item[:MOST_BYTES])


def take_update(stage: Stage, update: Update, project: int | None, org: int | None) -> str | None:
    """Stage one update of a session; return why not, where it cannot be."""
    status = "ok" if update.status is None else update.status
    if project is None:
        return _NO_PROJECT
    if status not in STATUSES:
        return f"status: unknown '{status}'; expected one of {', '.join(sorted(STATUSES))}"
    sid = session_id(update.sid)
    if not sid:
        return "sid: empty"
    started_us = epoch_us(update.started)
    if started_us is None:
        return f"started: {update.started!r} is no instant"
    reason = stage.time_fault(started_us)
    if reason is not None:
        return reason
    duration = update.duration
    if duration is not None and not duration >= 0:
        return f"duration: {duration} is not a number of 0 or more"
    if status != "exited":
        duration = None
    elif duration is None and update.timestamp is not None:
        ended_us = epoch_us(update.timestamp)
        if ended_us is None:
            return f"timestamp: {update.timestamp!r} is no instant"
        # A clock that was set back tells no duration.
        duration = (ended_us - started_us) / 1e6 if ended_us >= started_us else None
    attrs = update.attrs or Attributes()
    stage.session(
        (
            org,
            project,
            sid,
            bool(update.init),
            started_us,
            status,
            bool(update.errors),
            user_id(update.did),
            duration,
            attrs.release,
            attrs.environment,
            update.abnormal_mechanism,
        )
    )
    return None


def _counters(
    aggregate: Aggregate, attrs: Attributes, started_us: int, project: int, org: int | None
) -> list[tuple[Any, ...]]:
    """Return the counters of pre-aggregated sessions; their errored ones hold the worse ones."""
    fates = {fate: getattr(aggregate, fate) for fate in _FATES}
    errored = aggregate.errored + sum(fates.values())
    counts = {"init": aggregate.exited + errored, "errored_preaggr": errored, **fates}
    return [
        (
            org,
            project,
            started_us,
            "c:sessions/session@none",
            attrs.release,
            attrs.environment,
            status,
            None,
            float(count),
            None,
        )
        for status, count in counts.items()
        if count
    ]


@lru_cache(maxsize=1024)
def _project_of(dsn: str) -> int | None:
    """Return the project of a DSN: the last part of its path."""
    try:
        last = urlsplit(dsn).path.rpartition("/")[2]
    except ValueError:
        return None
    return int(last) if _PROJECT.fullmatch(last) else None
