"""Staging: accepted sessions and metrics as columns, one folder per day, in bounded memory."""

import base64
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from relhealth.core.errors import QuestionError
from relhealth.core.windows import DAY, parse_instant, to_epoch_us
from relhealth.ingest.dimensions import FIELD
from relhealth.ingest.lines import Lines, TooLongError
from relhealth.ingest.tally import Tally

_BATCH = 16_384  # rows that are converted to columns together
_HELD = 393_216  # rows kept as columns before writing
_REPETITIVE = ["status", "release", "environment", "metric", "session_status", "dimensions"]
_DAY_US = DAY * 1_000_000
_AHEAD = timedelta(days=5)
# The limits for kept rejected items: number per reason, bytes of each, bytes of all.
KEPT_REJECTS = 1_000
_KEPT_BYTES, _KEPT_BYTES_IN_ALL = 1 << 16, 1 << 22
_SAMPLED = 3  # accepted sessions to show

# One row per update of a session; several updates of one session share its id and start. Its
# dimensions are one text.
SESSIONS = pa.schema(
    [
        ("org_id", pa.int64()),
        ("project_id", pa.int64()),
        ("sid", pa.string()),
        ("init", pa.bool_()),
        ("started_us", pa.int64()),
        ("status", pa.string()),
        ("errored", pa.bool_()),
        ("did", pa.string()),
        ("duration", pa.float64()),
        ("release", pa.string()),
        ("environment", pa.string()),
        ("abnormal_mechanism", pa.string()),
        ("dimensions", pa.string()),
    ]
)
_STATUS, _RELEASE = map(SESSIONS.names.index, ("status", "release"))
# One row per metric datum, as in the data contract except the name and type of its instant.
METRICS = pa.schema(
    [
        ("org_id", pa.int64()),
        ("project_id", pa.int64()),
        ("started_us", pa.int64()),
        ("metric", pa.string()),
        ("release", pa.string()),
        ("environment", pa.string()),
        ("session_status", pa.string()),
        ("abnormal_mechanism", pa.string()),
        ("value", pa.float64()),
        ("member", pa.uint64()),
        ("dimensions", pa.string()),
    ]
)


# The staged columns, with the number of the input.
_INPUT = pa.field("input", pa.int32())
STAGED_SESSIONS, STAGED_METRICS = SESSIONS.append(_INPUT), METRICS.append(_INPUT)


@dataclass(frozen=True, slots=True)
class AcceptedSpan:
    """The span of time in which sessions are accepted."""

    now: datetime
    retention: timedelta

    @classmethod
    def until(cls, now: str | None, retention: str) -> "AcceptedSpan":
        """Read ``--now`` and ``--retention`` (days, such as ``90d``)."""
        match = re.fullmatch(r"([1-9][0-9]{0,4})d", retention)
        if match is None:
            raise QuestionError(f"retention '{retention}': expected days, such as 90d")
        at = datetime.now(UTC) if now is None else parse_instant(now, or_latest=False)
        return cls(at, timedelta(days=int(match[1])))

    def bounds_us(self) -> tuple[int, int]:
        """Return its first microsecond and the one after its last."""
        return to_epoch_us(self.now - self.retention), to_epoch_us(self.now + _AHEAD) + 1

    def fault(self, started_us: int) -> str | None:
        """Return why a start is rejected, or None."""
        first, after = self.bounds_us()
        if started_us >= after:
            return "started more than 5 days in the future"
        if started_us < first:
            return f"started more than {self.retention.days} days ago, which is the retention"
        return None


class Stage:
    """Writes accepted rows to ``folder/KIND/YYYY-MM-DD/`` and rejected items to a file of lines."""

    def __init__(
        self, folder: Path, span: AcceptedSpan, dimensions: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """Stage into an existing folder; ``dimensions`` map names to attributes of sessions."""
        self.dimensions = dimensions
        self.tally = Tally()
        self.folder = folder
        self.rejects = folder / "rejected.jsonl"
        self.bounds_us = span.bounds_us()  # of the start of sessions
        self._span = span
        self._worker = ThreadPoolExecutor(1)  # writes while reading goes on
        self._sessions = _Held(folder / "sessions", STAGED_SESSIONS, self._worker)
        self._metrics = _Held(folder / "metrics", STAGED_METRICS, self._worker)
        self.sample: list[dict[str, Any]] = []  # the first accepted sessions, to show
        self._rejects: BinaryIO | None = None
        self._kept_bytes: Counter[str] = Counter()  # of rejected items, by reason

    def begin(self, number: int) -> None:
        """Set the number of the input of everything staged from now on."""
        self._sessions.input = self._metrics.input = number

    def time_fault(self, started_us: int) -> str | None:
        """Return why a start is rejected, or None."""
        first_us, after_us = self.bounds_us
        return None if first_us <= started_us < after_us else self._span.fault(started_us)

    def session(self, row: tuple[Any, ...]) -> None:
        """Stage one update of a session: the columns of ``SESSIONS``."""
        self.tally.statuses[row[_STATUS]] += 1
        self.tally.without_release += row[_RELEASE] is None
        if len(self.sample) < _SAMPLED:
            self.sample.append(self._shown(dict(zip(SESSIONS.names, row, strict=True))))
        self._sessions.add(row)

    def sessions(self, rows: pa.Table) -> None:
        """Stage updates of sessions, with the columns of ``SESSIONS``."""
        self.tally.without_release += rows["release"].null_count
        for one in pc.value_counts(rows["status"]).to_pylist():
            self.tally.statuses[one["values"]] += one["counts"]
        if len(self.sample) < _SAMPLED:
            first = rows.slice(0, _SAMPLED - len(self.sample))
            self.sample += [self._shown(row) for row in first.to_pylist()]
        self._sessions.add_table(rows)

    def _shown(self, row: dict[str, Any]) -> dict[str, Any]:
        given = json.loads(row["dimensions"] or "{}")
        return _shown(row) | {f"{FIELD}{name}": given.get(name) for name in self.dimensions}

    def metric(self, row: tuple[Any, ...]) -> None:
        """Stage one metric datum: the columns of ``METRICS``."""
        self._metrics.add(row)

    def lines(self, stream: BinaryIO, source: str) -> Iterator[bytes]:
        """Yield the non-blank lines of an input; reject those that are too long."""
        lines = Lines(stream)
        while True:
            try:
                line = lines.read()
            except TooLongError as error:
                self.reject(source, str(error), error.beginning)
                continue
            if line is None:
                return
            if line.strip():
                yield line

    def reject(self, source: str, reason: str, item: bytes, example: object = None) -> None:
        """Count an unusable item; keep it with the reason, up to a limit.

        ``reason`` is one of a bounded set, without any part of the item; ``example`` is the bad
        value.
        """
        self.tally.rejected[reason] += 1
        if example is not None:
            self.tally.keep_example(reason, example)
        if (
            self.tally.rejected[reason] > KEPT_REJECTS
            or self._kept_bytes[reason] > _KEPT_BYTES_IN_ALL
        ):
            return
        item = item[:_KEPT_BYTES]
        self._kept_bytes[reason] += len(item)
        if self._rejects is None:
            self._rejects = self.rejects.open("wb")
        kept: dict[str, str] = {"input": source, "reason": reason}
        try:
            kept["item"] = item.decode()
        except UnicodeDecodeError:
            kept["item_base64"] = base64.b64encode(item).decode()
        self._rejects.write(json.dumps(kept).encode() + b"\n")

    def __enter__(self) -> Self:
        """Return the stage."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Write the remaining rows, unless there was an error."""
        try:
            with self._worker:
                if kind is None:
                    self._sessions.close()
                    self._metrics.close()
        finally:
            if self._rejects is not None:
                self._rejects.close()
        pa.default_memory_pool().release_unused()

    def days(self) -> dict[str, dict[str, list[Path]]]:
        """Return the staged files: day → kind (``sessions``, ``metrics``) → files."""
        found: dict[str, dict[str, list[Path]]] = {}
        for file in sorted(self.folder.glob("*/*/*.parquet")):
            kind, day = file.parts[-3], file.parts[-2]
            found.setdefault(day, {}).setdefault(kind, []).append(file)
        return dict(sorted(found.items()))


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """Return a session as plain values to show; its duration is in seconds."""
    started = datetime.fromtimestamp(row["started_us"] // 1_000_000, UTC)
    return {
        "project": row["project_id"],
        "session": row["sid"],
        "user": row["did"],
        "release": row["release"],
        "environment": row["environment"],
        "status": row["status"],
        "started": started.isoformat().replace("+00:00", "Z"),
        "duration": row["duration"],
        "errors": row["errored"],
    }


class _Held:
    """Rows of one kind, kept until there are enough to write a file per day."""

    def __init__(self, folder: Path, schema: pa.Schema, worker: Executor) -> None:
        self._folder = folder
        self._schema = schema
        self._worker = worker
        self._rows: list[tuple[Any, ...]] = []
        self._tables: list[pa.Table] = []
        self._held = 0
        self._files = 0
        self._writing: Future[None] | None = None
        self.input = 0

    def add(self, row: tuple[Any, ...]) -> None:
        self._rows.append((*row, self.input))
        if len(self._rows) >= _BATCH:
            self._to_columns()

    def add_table(self, table: pa.Table) -> None:
        number = pa.repeat(pa.scalar(self.input, pa.int32()), len(table))
        self._hold(table.append_column(_INPUT, number))

    def _hold(self, table: pa.Table) -> None:
        self._tables.append(table)
        self._held += table.num_rows
        if self._held >= _HELD:
            self._write()

    def close(self) -> None:
        """Write all rows, and finish."""
        self._to_columns()
        if self._tables:
            self._write()
        if self._writing is not None:
            self._writing.result()

    def _to_columns(self) -> None:
        if self._rows:
            columns = zip(*self._rows, strict=True)
            arrays = [pa.array(c, each.type) for c, each in zip(columns, self._schema, strict=True)]
            self._rows.clear()
            self._hold(pa.table(arrays, schema=self._schema))

    def _write(self) -> None:
        """Start writing all rows after waiting for earlier ones, which limits memory."""
        if self._writing is not None:
            self._writing.result()
        self._files += 1
        self._writing = self._worker.submit(
            _write_days, pa.concat_tables(self._tables), self._folder, f"{self._files}.parquet"
        )
        self._tables.clear()
        self._held = 0


def _write_days(table: pa.Table, folder: Path, name: str) -> None:
    """Write rows, with a separate file for each day."""
    days = pc.divide(table["started_us"], _DAY_US).combine_chunks()
    order = pc.array_sort_indices(days)
    table, counts = table.take(order), pc.value_counts(days.take(order))
    start = 0
    for one in counts.to_pylist():
        of_day = folder / f"{datetime.fromtimestamp(one['values'] * DAY, UTC):%Y-%m-%d}"
        of_day.mkdir(parents=True, exist_ok=True)
        pq.write_table(
            table.slice(start, one["counts"]),
            of_day / name,
            use_dictionary=_REPETITIVE,
            compression="lz4",
            write_statistics=False,
        )
        start += one["counts"]
