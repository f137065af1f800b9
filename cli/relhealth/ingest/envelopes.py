"""Sentry envelopes: the session items of one envelope or a stream of many."""

import math
import re
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import msgspec

from relhealth.ingest import dimensions
from relhealth.ingest.emission import Origin, emit
from relhealth.ingest.instants import TEXT, read_instant
from relhealth.ingest.lines import MOST_BYTES, Lines, TooLongError
from relhealth.ingest.protocol import (
    ENDS,
    STATUSES,
    Attributes,
    FaultError,
    Instant,
    Lose,
    Update,
    attributes_of,
    check_release,
    decode_aggregates,
    decode_update,
    session_id,
    user_id,
)
from relhealth.ingest.staging import Stage
from relhealth.ingest.updates import Decoded, decode
from relhealth.ingest.values import is_missing

_any = msgspec.json.Decoder(dict[str, Any]).decode
_PROJECT = re.compile(r"[0-9]{1,18}")
_BATCH_BYTES = 1 << 22
_AT_ONCE = 2  # batches decoded in parallel
_FEW = 64  # up to this many updates, one by one is faster than columns
_MOST_KNOWN = 4096  # cached item headers; there are few different ones, of a type and a length
_NO_PROJECT = "no project: the envelope has no DSN; name one with --project"


def read(
    stream: BinaryIO,
    source: str,
    stage: Stage,
    *,
    project: int | None,
    org: int | None,
    current: int | None = None,
) -> tuple[int | None, int]:
    """Stage every session item of a stream of envelopes.

    An envelope is a line of headers and items; an item is a line of headers, with its ``type``,
    and its payload: ``length`` bytes, or the next line. A line of headers without a ``type``
    begins the next envelope. ``project`` is that of envelopes without a DSN, ``current`` that of
    one in which the stream begins. Returns the project of the last envelope, and how many
    bytes at the end of the stream belong to an item that can be incomplete.
    """
    reader = _Reader(Lines(stream), source, stage, project, org)
    if current is not None:
        reader.project = current
    reader.run()
    return reader.project, reader.cut_bytes


class _Batch:
    """Payloads of session updates that wait to be decoded together, and their projects."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self.projects: list[int] = []
        self.bytes = 0

    def add(self, payloads: Sequence[bytes], project: int) -> None:
        self.payloads += payloads
        self.projects += [project] * len(payloads)
        self.bytes += sum(map(len, payloads))


class _Reader:
    def __init__(
        self, lines: Lines, source: str, stage: Stage, project: int | None, org: int | None
    ) -> None:
        self._lines = lines
        self._source = source
        self._stage = stage
        self._fallback = project
        self.project = project
        self.cut_bytes = 0
        self._unended = 0  # bytes of the last item, if only a line end shows that it is complete
        self._org = org
        self._known_items: dict[bytes, tuple[str, int | None]] = {}  # by their line of headers
        self._batch = _Batch()
        self._decoding: deque[tuple[_Batch, Future[Decoded]]] = deque()

    def run(self) -> None:
        known = self._known_items
        with ThreadPoolExecutor(_AT_ONCE) as workers:  # decode while reading goes on
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
        if not self.cut_bytes and not self._lines.ends_a_line:
            self.cut_bytes = self._unended

    def _headers(self, line: bytes) -> None:
        """Process a line of headers: an item's, with its payload, or an envelope's."""
        if len(line) > MOST_BYTES:
            self._too_long(TooLongError("line", line))
            return
        if not line.strip():
            return
        try:
            headers = _any(line)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            self._unended = len(line)
            self._reject("no envelope: expected a line of headers", line)
            return
        if "type" not in headers:
            dsn = headers.get("dsn")
            self.project = _project_of(dsn) if isinstance(dsn, str) else None
            if self.project is None:
                self.project = self._fallback
            return
        kind, length = str(headers["type"]), headers.get("length")
        if length is not None and (type(length) is not int or length < 0):
            self._reject("item length: expected a whole number of 0 or more", line)
            return
        if len(self._known_items) < _MOST_KNOWN:
            self._known_items[line] = kind, length
        self._item(kind, length, line)

    def _item(self, kind: str, length: int | None, line: bytes) -> None:
        self._unended = 0
        if kind not in {"session", "sessions"}:
            if not self._lines.skip(length):
                self.cut_bytes = self._lines.cut_bytes(line)
            self._stage.tally.pass_over(kind)
            return
        try:
            payload = self._lines.read() if length is None else self._lines.exactly(length)
        except TooLongError as error:
            self._too_long(error)
            return
        if length is None and payload is not None:
            self._unended = len(line) + 1 + len(payload)
        if payload is None:
            self.cut_bytes = self._lines.cut_bytes(line)
            self._reject("item without its payload: the input ends before it", line)
        elif kind == "session" and self.project is not None:
            payloads = [payload]
            if length is None:
                payloads += self._lines.after_each(line)
            self._batch.add(payloads, self.project)
        else:
            self._take(kind, payload, self.project)

    def _too_long(self, error: TooLongError) -> None:
        self._reject(str(error), error.beginning)

    def _take(self, kind: str, payload: bytes, project: int | None) -> None:
        """Stage one item, or reject it."""
        losses: list[tuple[str, object]] = []

        def lose(name: str, value: object) -> None:
            losses.append((name, value))

        try:
            packed = None
            if self._stage.dimensions:
                packed = dimensions.read(self._stage.dimensions, attributes_of(payload), lose)
            if kind == "session":
                update = decode_update(payload, lose)
                take_update(self._stage, update, project, self._org, lose, packed)
            else:
                self._take_aggregates(payload, project, lose, packed)
        except FaultError as error:
            self._stage.reject(self._source, str(error), payload, error.example)
            return
        self._stage.tally.accepted[kind] += 1
        for name, value in losses:
            self._stage.tally.lose(name, value)

    def _decode(self, workers: ThreadPoolExecutor) -> None:
        """Start decoding the batch; wait if enough batches are being decoded."""
        batch, self._batch = self._batch, _Batch()
        if len(batch.payloads) < _FEW:
            self._take_each(batch, range(len(batch.payloads)))
            return
        if len(self._decoding) == _AT_ONCE:
            self._take_decoded()
        stage = self._stage
        given = batch.payloads, batch.projects, self._org, stage.bounds_us, stage.dimensions
        self._decoding.append((batch, workers.submit(decode, *given)))

    def _take_decoded(self) -> None:
        """Stage the batch that was started first."""
        batch, decoding = self._decoding.popleft()
        decoded = decoding.result()
        if decoded.rows is not None and decoded.rows.num_rows:
            self._stage.tally.accepted["session"] += decoded.rows.num_rows
            self._stage.tally.written("started", TEXT, decoded.rows.num_rows)
            self._stage.sessions(decoded.rows)
        self._take_each(batch, decoded.left)

    def _take_each(self, batch: _Batch, indices: Iterable[int]) -> None:
        for index in indices:
            self._take("session", batch.payloads[index], batch.projects[index])

    def _take_aggregates(
        self, payload: bytes, project: int | None, lose: Lose, packed: str | None
    ) -> None:
        """Stage pre-aggregated sessions, all or none."""
        found = decode_aggregates(payload, lose)
        rows: list[tuple[Any, ...]] = []
        ends: Counter[str] = Counter()
        for one in found.aggregates:
            origin = _origin(self._stage, one.started, found.attrs, project, self._org, packed)
            counts = {end: getattr(one, end) for end in ENDS}
            rows += emit(origin, counts, user_id(one.did))
            ends.update(counts)
        for row in rows:
            self._stage.metric(row)
        self._stage.tally.statuses += ends

    def _reject(self, reason: str, item: bytes) -> None:
        self._stage.reject(self._source, reason, item)


def take_update(
    stage: Stage,
    update: Update,
    project: int | None,
    org: int | None,
    lose: Lose,
    packed: str | None = None,
) -> None:
    """Stage one update of a session, with its dimensions; drop a field that is not readable.

    An update without an id is a session if the session starts and ends in it. Raises
    ``FaultError`` for an unusable update.
    """
    status = "ok" if update.status is None else update.status
    if status not in STATUSES:
        status = status.strip().lower()
        if status not in STATUSES:
            known = ", ".join(sorted(STATUSES))
            raise FaultError(f"status: unknown word; expected one of {known}", update.status)
    attributes = update.attrs or Attributes()
    origin = _origin(stage, update.started, attributes, project, org, packed)
    duration = _duration(update, origin.started_us, lose)
    sid = session_id(update.sid or "")
    user = user_id(update.did)
    if not sid:
        if not update.init or status == "ok":
            raise FaultError("sid: empty, of an update that does not begin and end its session")
        end = "errored" if status == "exited" and update.errors else status
        lasted = duration if status == "exited" else None
        rows = emit(origin, {end: 1}, user, duration=lasted, mechanism=update.abnormal_mechanism)
        for row in rows:
            stage.metric(row)
        stage.tally.statuses[status] += 1
        return
    stage.session(
        (
            org,
            origin.project,
            sid,
            bool(update.init),
            origin.started_us,
            status,
            bool(update.errors),
            user,
            duration if status == "exited" else None,
            attributes.release,
            attributes.environment,
            update.abnormal_mechanism,
            packed,
        )
    )


def _origin(
    stage: Stage,
    started: Instant,
    attributes: Attributes,
    project: int | None,
    org: int | None,
    packed: str | None,
) -> Origin:
    if project is None:
        raise FaultError(_NO_PROJECT)
    check_release(attributes.release)
    found = read_instant(started)
    if found is None:
        raise FaultError("started: no readable time", started)
    started_us, how = found
    fault = stage.time_fault(started_us)
    if fault is not None:
        raise FaultError(fault, started)
    stage.tally.written("started", how)
    return Origin(org, project, started_us, attributes, packed)


def _duration(update: Update, started_us: int, lose: Lose) -> float | None:
    """Return the seconds that a session lasted: as given, else until the update."""
    ended = None if update.timestamp is None else read_instant(update.timestamp)
    if update.timestamp is not None and ended is None and not is_missing(update.timestamp):
        lose("timestamp", update.timestamp)
    if update.duration is not None:
        if 0 <= update.duration < math.inf:
            return update.duration
        lose("duration", update.duration)
        return None
    # A clock that was set back tells no duration.
    return (ended[0] - started_us) / 1e6 if ended and ended[0] >= started_us else None


@lru_cache(maxsize=1024)
def _project_of(dsn: str) -> int | None:
    """Return the project of a DSN: the last part of its path."""
    try:
        last = urlsplit(dsn).path.rpartition("/")[2]
    except ValueError:
        return None
    return int(last) if _PROJECT.fullmatch(last) else None
