"""One ingest: inputs in, a transaction on the data set out, and what became of every item."""

import io
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from relhealth import queries, sealed
from relhealth.contract import COLUMNS
from relhealth.database import Database, Observer, Progress, Row
from relhealth.errors import DataError
from relhealth.ingest import buckets, envelopes, inputs, tables
from relhealth.ingest.dataset import Dataset, Transaction
from relhealth.ingest.inputs import STDIN, Hashing, InputError
from relhealth.ingest.kinds import Kind
from relhealth.ingest.staging import METRICS, SESSIONS, Span, Stage, Tally
from relhealth.ledger import REJECTED
from relhealth.memory import MEGABYTE
from relhealth.printable import printable
from relhealth.sql import parquet_files

if TYPE_CHECKING:
    import pyarrow as pa

# Of what is sorted at once; more is sorted on disk, so that memory does not grow with the input.
SORT_MEMORY = 96 * MEGABYTE
_MOST_DATABASES = 4
# Columns with few different values; members have many, and timestamps come in order.
_WITH_DICTIONARY = [column.name for column in COLUMNS if column.name not in {"timestamp", "member"}]
_SQL_TYPES = {"int64": "BIGINT", "string": "VARCHAR", "bool": "BOOLEAN", "double": "DOUBLE"}


@dataclass(frozen=True, slots=True)
class Plan:
    """How inputs are read: as what, and what they leave unsaid."""

    span: Span
    kind: Kind | None = None  # None: recognised by content
    project: int | None = None
    org: int | None = None
    columns: Mapping[str, str] = field(default_factory=dict)  # field → column of a table
    statuses: Mapping[str, str] = field(default_factory=dict)  # a table's word → status


@dataclass(frozen=True, slots=True)
class Ingested:
    """What became of an ingest; every item is accepted, passed over or rejected.

    ``known`` names the inputs that were ingested before and add nothing. ``accepted`` counts items
    by kind, ``passed_over`` by what they were, ``rejected`` by reason, ``rows`` by metric.
    """

    inputs: int
    known: tuple[str, ...]
    items: int
    accepted: Mapping[str, int]
    passed_over: Mapping[str, int]
    rejected: Mapping[str, int]
    sessions: int
    rows: Mapping[str, int]
    files: tuple[str, ...]


class _KnownError(Exception):
    """Standard input was ingested before."""


def ingest(  # noqa: PLR0913 - the options of an ingest
    named: Sequence[str],
    root: Path,
    plan: Plan,
    *,
    strict: bool = False,
    memory_limit: str | None = None,
    threads: int | None = None,
    observer: Observer | None = None,
    waiting: Callable[[], None] = lambda: None,
) -> Ingested:
    """Add the sessions and metrics of inputs to a data set, all or nothing.

    ``named`` are files and directories, or ``-`` alone for standard input. ``waiting`` is called
    once when another change of the data set is waited for. Raises ``DataError`` for inputs that
    are not there, for tables without their columns, and for rejected items when ``strict``.
    """
    tables.check_mapping(plan.columns, plan.statuses)
    paths = inputs.find(named)
    with Dataset.changing(root, waiting=waiting) as dataset:
        try:
            with dataset.transaction() as transaction:
                one = _Ingest(dataset, transaction, plan, observer)
                one.read(paths)
                if strict and one.tally.rejected:
                    raise DataError(
                        [f"{n} rejected: {why}" for why, n in sorted(one.tally.rejected.items())]
                    )
                with ExitStack() as stack:
                    databases = _databases(memory_limit, threads, observer)
                    for database in databases:
                        stack.callback(database.close)
                    one.write(databases)
                one.keep_rejects()
                return one.summary()
        except _KnownError:
            return Ingested(1, ("standard input",), 0, {}, {}, {}, 0, {}, ())


class _Ingest:
    def __init__(
        self, dataset: Dataset, transaction: Transaction, plan: Plan, observer: Observer | None
    ) -> None:
        self._transaction = transaction
        self._plan = plan
        self._observer = observer
        known = list(dataset.inputs())
        self._digests = {entry["digest"] for entry in known}
        self._sizes = {entry["size"] for entry in known}
        self._stage = Stage(transaction.folder, plan.span)
        self._inputs = 0
        self._read_bytes = 0  # of the inputs that are done with
        self._reading = "reading", 0, 1
        self._known: list[str] = []
        self._sessions = 0
        self._rows: Counter[str] = Counter()

    @property
    def tally(self) -> Tally:
        return self._stage.tally

    def read(self, paths: Sequence[str]) -> None:
        """Stage every input that was not ingested before."""
        whole = sum(os.path.getsize(path) for path in paths if os.path.isfile(path))
        with self._stage:
            for path in paths:
                self._inputs += 1
                self._reading = f"reading {printable(path)}", self._read_bytes, max(1, whole)
                if path == STDIN:
                    self._read_stdin()
                else:
                    self._read_file(path)

    def _read_stdin(self) -> None:
        name = "standard input"
        hashing = Hashing(sys.stdin.buffer, self._watch)
        fruitful = self._read_stream(hashing, name)
        while hashing.read(1 << 16):  # what a reader left, so that the digest is of all
            pass
        if self._is_known(name, hashing.hexdigest()):
            raise _KnownError
        if fruitful:
            self._remember(name, hashing.hexdigest(), hashing.size)

    def _read_file(self, path: str) -> None:
        try:
            size = os.path.getsize(path)
            with ThreadPoolExecutor(1) as worker, _set_at_end() as stopped:
                digest = worker.submit(inputs.digest_of, path, stopped)
                # Where no input had this size it is new, and is read while its digest is taken.
                if size in self._sizes and self._is_known(path, digest.result()):
                    return
                with Path(path).open("rb", buffering=0) as stream:
                    fruitful = self._read_stream(inputs.Watched(stream, self._watch), path)
                if fruitful:
                    self._remember(path, digest.result(), size)
            self._read_bytes += size
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise DataError(f"{printable(path)}: {reason}") from error

    def _is_known(self, name: str, digest: str) -> bool:
        if digest in self._digests:
            self._known.append(name)
        return digest in self._digests

    def _remember(self, name: str, digest: str, size: int) -> None:
        self._digests.add(digest)
        self._sizes.add(size)
        self._transaction.inputs.append({"digest": digest, "size": size, "name": name})

    def _watch(self, read: int) -> None:
        """Tell of progress, in bytes of all inputs."""
        if self._observer is not None:
            label, before, whole = self._reading
            self._observer(Progress(label, min(1.0, (before + read) / whole)))

    def _read_stream(self, raw: io.RawIOBase, name: str) -> bool:
        """Stage an input; return whether to remember it.

        Not one of which nothing was accepted and something rejected: it may come again by a better
        command, such as one that names the project.
        """
        accepted, rejected = self.tally.accepted.total(), self.tally.rejected.total()
        self._stage_stream(raw, name)
        tally = self.tally
        return tally.accepted.total() > accepted or tally.rejected.total() == rejected

    def _stage_stream(self, raw: io.RawIOBase, name: str) -> None:
        plan = self._plan
        whole = inputs.buffered(raw)
        try:
            stream = inputs.plain(whole)
            kind = plan.kind or inputs.recognise(stream)
            match kind:
                case Kind.ENVELOPES:
                    envelopes.read(stream, name, self._stage, project=plan.project, org=plan.org)
                case Kind.BUCKETS:
                    buckets.read(stream, name, self._stage, project=plan.project, org=plan.org)
                case None:
                    beginning = stream.read(200)
                    if beginning.strip():
                        reason = "neither envelopes, metric buckets nor a table of sessions"
                        self._stage.reject(name, reason, beginning)
                case _:
                    table = tables.Table(kind, plan.columns, plan.statuses, plan.project, plan.org)
                    table.read(stream, name, self._stage)
        except InputError as error:
            self._stage.reject(name, str(error), b"")
        finally:
            whole.detach()  # whoever opened it closes it

    def write(self, databases: Sequence[Database]) -> None:
        """Write each day's rows, sorted.

        A day is one database's work; as many days are written at once as there are databases.
        """
        days = self._stage.days()
        finals = {day: f"date={day}/{self._transaction.name}.parquet" for day in days}
        targets = {day: self._transaction.place(final) for day, final in finals.items()}
        idle = SimpleQueue[Database]()
        for database in databases:
            idle.put(database)

        def write_day(day: str) -> list[Row]:
            database = idle.get()
            try:
                return _write_day(database, days[day], targets[day])
            finally:
                idle.put(database)

        with ThreadPoolExecutor(len(databases)) as pool:
            writing = {day: pool.submit(write_day, day) for day in days}
            try:
                for done, _ in enumerate(as_completed(writing.values())):
                    if self._observer is not None:
                        self._observer(Progress("writing", done / len(writing)))
                counted = {day: future.result() for day, future in writing.items()}
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for database in databases:
                    database.interrupt()
                raise
        for day, rows in counted.items():
            if not rows:
                self._transaction.withdraw(finals[day])
            for row in rows:
                self._rows[row["metric"]] += row["metric_rows"]
                self._sessions += row["sessions"]

    def keep_rejects(self) -> None:
        """Have the rejected items published, where there are any."""
        if self._stage.rejects.exists():
            final = f"{REJECTED}/{self._transaction.name}.jsonl"
            self._stage.rejects.rename(self._transaction.place(final))

    def summary(self) -> Ingested:
        """Return what became of it all."""
        tally = self.tally
        return Ingested(
            inputs=self._inputs,
            known=tuple(self._known),
            items=tally.seen,
            accepted=dict(tally.accepted),
            passed_over=dict(tally.passed_over),
            rejected=dict(tally.rejected),
            sessions=self._sessions,
            rows=dict(sorted(self._rows.items())),
            files=tuple(self._transaction.moves.values()),
        )


_COUNTS = """
SELECT
    metric,
    count(*) AS metric_rows,
    coalesce(sum(value) FILTER (
        WHERE metric = 'c:sessions/session@none' AND session_status = 'init'
    ), 0)::BIGINT AS sessions
FROM read_parquet({})
GROUP BY metric
"""


@contextmanager
def _set_at_end() -> Iterator[threading.Event]:
    """Yield an event that is set once the block ends, well or not."""
    event = threading.Event()
    try:
        yield event
    finally:
        event.set()


def _databases(
    memory_limit: str | None, threads: int | None, observer: Observer | None
) -> list[Database]:
    """Return a database a core; just one where its memory is limited."""
    if memory_limit is not None:
        return [Database(memory_limit=memory_limit, threads=threads, observer=observer)]
    count = min(threads or os.cpu_count() or 1, _MOST_DATABASES)
    return [Database(own_memory=SORT_MEMORY, threads=1) for _ in range(count)]


def _write_day(database: Database, staged: Mapping[str, Sequence[Path]], target: Path) -> list[Row]:
    """Write the rows of a day; return how many there are of each metric, and of sessions."""
    for relation, kind, schema in (
        ("session_updates", "sessions", SESSIONS),
        ("metric_data", "metrics", METRICS),
    ):
        database.execute(_view(relation, schema, [str(file) for file in staged.get(kind, [])]))
    write_rows(database, queries.load("ingest_metric_rows").sql, target)
    return database.run("counting", _COUNTS.format(parquet_files([str(target)])), {})


def write_rows(database: Database, sql: str, target: Path) -> None:
    """Write the rows of a statement to a sealed Parquet file, in its order."""

    def write(rows: "pa.RecordBatchReader") -> int:
        return sealed.write(
            target,
            rows.schema,
            rows,
            dictionary=_WITH_DICTIONARY,
            encodings={"timestamp": "DELTA_BINARY_PACKED"},
        )

    database.execute("SET preserve_insertion_order = true")
    database.stream("writing", sql, write)


def _view(name: str, schema: "object", files: list[str]) -> str:
    if files:
        body = f"SELECT * FROM read_parquet({parquet_files(files)}, hive_partitioning = false)"
    else:
        columns = ", ".join(f"NULL::{_sql(each.type)} AS {each.name}" for each in schema)  # type: ignore[attr-defined]
        body = f"SELECT {columns} WHERE false"
    return f"CREATE OR REPLACE TEMP VIEW {name} AS {body}"


def _sql(kind: object) -> str:
    return _SQL_TYPES.get(str(kind), "UBIGINT")
