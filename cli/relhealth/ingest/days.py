"""A day of a data set: its rows, the input of each row, and the remembered sessions.

Beside ``date=D/NAME.parquet``, whose rows are the data contract's, a data set keeps in its ledger

    _ledger/date=D/NAME.origins.parquet    the number of the input of each of these rows
    _ledger/date=D/NAME.sessions.parquet   what each session has counted, and by which input
    _ledger/date=D/NAME.repeats.parquet    updates that another input had already counted, if any

so that a session counts once over all inputs, and an input can be taken out again.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from relhealth.core.errors import DataError
from relhealth.core.printable import printable
from relhealth.datasets import contract, footers, parquet_pages, sealed
from relhealth.datasets.checking import UNREADABLE
from relhealth.datasets.ledger import LEDGER
from relhealth.datasets.sql import parquet_files
from relhealth.ingest import dimensions
from relhealth.ingest.dataset import Transaction
from relhealth.ingest.staging import STAGED_METRICS, STAGED_SESSIONS
from relhealth.machine import queries
from relhealth.machine.database import Database

INPUT = pa.field("input", pa.int32())
_ORIGINS = pa.schema([INPUT])
_ROW_ENCODINGS = {"timestamp": "DELTA_BINARY_PACKED"}
_ROW_DICTIONARY = (
    "org_id",
    "project_id",
    "metric",
    "release",
    "environment",
    "session_status",
    "abnormal_mechanism",
    "value",
)
KNOWN_SESSIONS = pa.schema(
    [
        ("session", pa.uint64()),
        ("user_key", pa.uint32()),
        ("marks", pa.uint16()),
        INPUT,
    ]
)
# Updates with their ids as numbers, the form in which they are stored.
UPDATES = pa.schema(
    [
        ("org_id", pa.int64()),
        ("project_id", pa.int64()),
        ("sid_member", pa.uint64()),
        ("did_member", pa.uint64()),
        ("init", pa.bool_()),
        ("started_us", pa.int64()),
        ("status", pa.string()),
        ("errored", pa.bool_()),
        ("duration", pa.float64()),
        ("release", pa.string()),
        ("environment", pa.string()),
        ("abnormal_mechanism", pa.string()),
        ("dimensions", pa.string()),
        INPUT,
    ]
)
_SQL_TYPES = {
    "int64": "BIGINT",
    "int32": "INTEGER",
    "uint64": "UBIGINT",
    "uint32": "UINTEGER",
    "uint16": "USMALLINT",
    "string": "VARCHAR",
    "bool": "BOOLEAN",
    "double": "DOUBLE",
}
# The members are those of md5_number_lower, in a quarter of its time.
_STAGED_UPDATES = """
SELECT
    org_id,
    project_id,
    (md5_number(sid) >> 64)::UBIGINT AS sid_member,
    (md5_number(did) >> 64)::UBIGINT AS did_member,
    init, started_us, status, errored, duration, release, environment, abnormal_mechanism,
    dimensions, input
FROM {}
"""
# Texts that many updates share. As enumerations, they sort and use memory like numbers.
_SHARED = ("status", "release", "environment", "abnormal_mechanism", "dimensions")
# Only with several inputs can one repeat what another counted.
_INPUTS = """
SELECT min(input) < max(input) AS several
FROM (SELECT input FROM marked_updates UNION ALL SELECT input FROM known_sessions)
"""
# The remembered sessions that the new updates need.
_KNOWN = """
SELECT * FROM arriving
WHERE session IN (
    SELECT xor(sid_member, (md5_number(project_id::VARCHAR) >> 64)::UBIGINT) FROM session_updates
)
"""


@dataclass(slots=True)
class Written:
    """What was written for a day."""

    rows: Counter[str] = field(default_factory=Counter)  # by metric
    sessions: Counter[int] = field(default_factory=Counter)  # by input
    inputs: set[int] = field(default_factory=set)  # that added something


class Turn:
    """Lets one of several threads write at a time, until the work ends."""

    def __init__(self) -> None:
        """Let the first thread that asks write."""
        self._lock = threading.Lock()
        self._ended = False

    def end(self) -> None:
        """Let no further thread write."""
        self._ended = True

    def __enter__(self) -> None:
        """Wait for the other threads; raises ``KeyboardInterrupt`` after the end."""
        self._lock.acquire()
        if self._ended:
            self._lock.release()
            raise KeyboardInterrupt

    def __exit__(self, *_: object) -> None:
        """Let the next thread write."""
        self._lock.release()


class DayFiles:
    """The files of a day that one change writes; files without rows are left out."""

    def __init__(self, transaction: Transaction, day: str, suffix: str = "") -> None:
        """Set their paths; ``day`` is ``YYYY-MM-DD``, ``suffix`` distinguishes two of a day."""
        self._transaction = transaction
        name = f"{transaction.name}{suffix}"
        self._finals = {"rows": f"date={day}/{name}.parquet"} | {
            side: f"{LEDGER}/date={day}/{name}.{side}.parquet"
            for side in ("origins", "sessions", "repeats")
        }
        self._places = {side: transaction.place(final) for side, final in self._finals.items()}

    def place_of(self, side: str) -> Path:
        """Return the path of a file before publication."""
        return self._places[side]

    def withdraw(self, side: str) -> None:
        """Leave a file out."""
        self._transaction.withdraw(self._finals[side])
        self._places[side].unlink(missing_ok=True)

    def write_rows(self, batches: pa.RecordBatchReader) -> Written:
        """Write rows of the contract with their ``input``."""
        written = Written()
        schema = batches.schema.remove(batches.schema.get_field_index("input"))
        further = [name for name in schema.names if name not in contract.NAMES]
        with (
            sealed.SealedWriter(
                self._places["rows"],
                schema,
                dictionary=(*_ROW_DICTIONARY, *further),
                encodings=_ROW_ENCODINGS,
            ) as rows,
            sealed.SealedWriter(self._places["origins"], _ORIGINS, dictionary=["input"]) as origins,
        ):
            for batch in batches:
                origin = batch.column("input").cast(pa.int32())
                rows.write(batch.select(schema.names))
                origins.write(pa.RecordBatch.from_arrays([origin], schema=_ORIGINS))
                _count(batch, origin, written)
        if not rows.rows:
            self.withdraw("rows")
            self.withdraw("origins")
        return written

    def write_sessions(self, batches: Iterable[pa.RecordBatch]) -> set[int]:
        """Write the counts of sessions; return the inputs."""
        return self._write(
            "sessions",
            KNOWN_SESSIONS,
            batches,
            dictionary=["marks", "input"],
            encodings={"session": "DELTA_BINARY_PACKED"},
        )

    def write_repeats(self, batches: Iterable[pa.RecordBatch]) -> set[int]:
        """Write updates that another input had counted; return the inputs."""
        return self._write("repeats", UPDATES, batches)

    def _write(
        self,
        side: str,
        schema: pa.Schema,
        batches: Iterable[pa.RecordBatch],
        *,
        dictionary: Sequence[str] | None = None,
        encodings: Mapping[str, str] | None = None,
    ) -> set[int]:
        inputs: set[int] = set()
        place = self._places[side]
        with sealed.SealedWriter(
            place, schema, dictionary=dictionary, encodings=encodings
        ) as writer:
            for batch in batches:
                batch = batch.cast(schema)  # noqa: PLW2901 - the same rows
                inputs.update(pc.unique(batch.column("input")).to_pylist())
                writer.write(batch)
        if not writer.rows:
            self.withdraw(side)
        return inputs


def _count(batch: pa.RecordBatch, origin: pa.Array, written: Written) -> None:
    for one in pc.value_counts(batch.column("metric")).to_pylist():
        written.rows[one["values"]] += one["counts"]
    written.inputs.update(pc.unique(origin).to_pylist())
    begun = pc.and_(
        pc.equal(batch.column("metric"), "c:sessions/session@none"),
        pc.equal(batch.column("session_status"), "init"),
    )
    counted = pa.table({"input": origin, "value": batch.column("value")}).filter(begun)
    for one in counted.group_by("input").aggregate([("value", "sum")]).to_pylist():
        written.sessions[one["input"]] += int(one["value_sum"])


class Day:
    """The current files of one day of a data set."""

    def __init__(self, root: Path, day: str) -> None:
        """Find the files of a day, ``YYYY-MM-DD``."""
        self.rows = sorted((root / f"date={day}").glob("*.parquet"))
        self._ledger = root / LEDGER / f"date={day}"

    def of(self, side: str) -> list[Path]:
        """Return the ledger files of a kind: ``origins``, ``sessions`` or ``repeats``."""
        return sorted(self._ledger.glob(f"*.{side}.parquet"))

    def origins_of(self, rows: Path) -> Path | None:
        """Return the origins of a data file; None if ingest did not write the file."""
        found = self._ledger / f"{rows.stem}.origins.parquet"
        return found if found.exists() else None


def batches_of(paths: Iterable[Path]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of files, and verify the checksum of every page."""
    for path in paths:
        with _readable(path) as file:
            yield from file.iter_batches()


def repeats_of(paths: Iterable[Path]) -> Iterator[pa.RecordBatch]:
    """Yield updates; earlier versions wrote them without dimensions."""
    for batch in batches_of(paths):
        yield conformed(batch, UPDATES)


def conformed(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return rows with the columns of a schema, in any case, null where they have none."""
    own = {name.casefold(): batch.column(name) for name in batch.schema.names}
    columns = [
        own[field.name.casefold()].cast(field.type)
        if field.name.casefold() in own
        else pa.nulls(batch.num_rows, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def rows_with_origins(rows: Path, origins: Path) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file with the ``input`` of each."""
    with _readable(rows) as file, _readable(origins) as beside:
        if file.metadata.num_rows != beside.metadata.num_rows:
            raise DataError(
                f"{printable(str(rows))}: changed by another program; ingest its inputs again into"
                " another data set"
            )
        left = beside.iter_batches()
        inputs = pa.array([], pa.int32())
        for batch in file.iter_batches():
            while len(inputs) < batch.num_rows:
                more = next(left).column(0)
                inputs = pa.concat_arrays([inputs, more])
            yield batch.append_column(INPUT, inputs.slice(0, batch.num_rows))
            inputs = inputs.slice(batch.num_rows)


def schema_of(path: Path) -> pa.Schema:
    """Return the schema of a file."""
    with _readable(path) as file:
        return file.schema_arrow


@contextmanager
def _readable(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        footer = footers.read(str(path))
        groups = range(len(footer.groups))
        names = footer.schema.names
        with parquet_pages.checked(str(path), footer, groups, names) as file:
            yield file
    except UNREADABLE as error:
        raise DataError(
            f"{printable(str(path))}: damaged; ingest its inputs again into another data set"
        ) from error


def write_day(
    database: Database,
    staged: Mapping[str, Sequence[Path]],
    known: Sequence[Path],
    files: DayFiles,
    turn: Turn,
    repeats: Path | None = None,
) -> Written:
    """Write what a day's staged updates and metrics add to its sessions, when it is its turn.

    ``known`` are files of sessions; ``repeats`` is a file of updates that can count now.
    """
    updates = _STAGED_UPDATES.format(
        _read([str(file) for file in staged.get("sessions", ())], STAGED_SESSIONS)
    )
    if repeats is not None:
        updates += f" UNION ALL SELECT * FROM {_read([str(repeats)], UPDATES)}"
    metrics = _read([str(file) for file in staged.get("metrics", ())], STAGED_METRICS)
    database.execute("SET preserve_insertion_order = true")  # statements sort on their way
    database.execute(f"CREATE OR REPLACE TEMP VIEW staged_updates AS {updates}")
    database.execute("DROP TABLE IF EXISTS marked_updates")  # from an attempt with less memory
    for name in _SHARED:
        database.execute(f"DROP TYPE IF EXISTS {name}_text")
        texts = f"SELECT DISTINCT {name} FROM staged_updates WHERE {name} IS NOT NULL ORDER BY 1"
        database.execute(f"CREATE TYPE {name}_text AS ENUM ({texts})")
    shared = ", ".join(f"{name}::{name}_text AS {name}" for name in _SHARED)
    database.execute(
        "CREATE OR REPLACE TEMP VIEW session_updates AS"
        f" SELECT * REPLACE ({shared}) FROM staged_updates"
    )
    database.execute(f"CREATE OR REPLACE TEMP VIEW metric_data AS SELECT * FROM {metrics}")
    arriving = pa.RecordBatchReader.from_batches(KNOWN_SESSIONS, batches_of(known))
    database.load("known_sessions", _KNOWN if known else "SELECT * FROM arriving", arriving)
    marked = queries.load("ingest_marked_updates").sql
    database.run("sorting", f"CREATE OR REPLACE TEMP TABLE marked_updates AS {marked}", {})
    names = [row["name"] for row in database.run("counting", dimensions.NAMES, {})]
    further = "".join(f"{column}, " for column in dimensions.columns(names))
    rows = queries.load("ingest_metric_rows").sql
    rows = f"SELECT * EXCLUDE (dimensions, input), {further}input FROM ({rows})"
    with turn:
        written = database.stream("writing", rows, files.write_rows)
        sessions = queries.load("ingest_marks").sql
        written.inputs |= database.stream("writing", sessions, files.write_sessions)
        if database.run("counting", _INPUTS, {})[0]["several"]:
            sql = queries.load("ingest_repeats").sql
            written.inputs |= database.stream("writing", sql, files.write_repeats)
        else:
            files.withdraw("repeats")
    database.execute("DROP TABLE marked_updates")
    pa.default_memory_pool().release_unused()
    return written


def _read(files: list[str], schema: pa.Schema) -> str:
    """Return a relation of staged files, or one without rows."""
    if files:
        return f"read_parquet({parquet_files(files)}, hive_partitioning = false)"
    columns = ", ".join(f"NULL::{_SQL_TYPES[str(each.type)]} AS {each.name}" for each in schema)
    return f"(SELECT {columns} WHERE false)"
