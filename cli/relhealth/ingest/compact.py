"""Compaction: merges a day's many small files into one sorted file, with the same answers."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import pyarrow as pa

from relhealth.core.errors import DataError
from relhealth.core.printable import printable
from relhealth.datasets import dimensions
from relhealth.datasets.ledger import LEDGER
from relhealth.datasets.metric_rows import metric_rows
from relhealth.datasets.sources import open_sources
from relhealth.ingest.change import SORT_MEMORY, with_memory
from relhealth.ingest.dataset import Dataset, Transaction
from relhealth.ingest.days import (
    INPUT,
    KNOWN_SESSIONS,
    Day,
    DayFiles,
    batches_of,
    conformed,
    repeats_of,
    rows_with_origins,
    schema_of,
)
from relhealth.machine import queries
from relhealth.machine.database import Database, Observer
from relhealth.stores.addresses import refuse_to_write

_SIDES = ("origins", "sessions", "repeats")


@dataclass(frozen=True, slots=True)
class Compacted:
    """The result of a compaction: rewritten days, data files and their bytes before and after."""

    days: int
    files_before: int
    files_after: int
    bytes_before: int
    bytes_after: int


def compact(
    root: Path,
    *,
    memory_limit: str | None = None,
    threads: int | None = None,
    observer: Observer | None = None,
    waiting: Callable[[], None] = lambda: None,
) -> Compacted:
    """Merge the files of every day that has several, with one transaction per day.

    A killed compaction leaves each day unchanged or compacted. Raises ``DataError`` for a folder
    that is not a data set, and for files that do not fit the data contract.
    """
    refuse_to_write(root, "compact a local copy of the data set, and copy it back")
    if not (root / LEDGER).is_dir():
        raise DataError(f"{printable(str(root))}: no data set of relhealth ingest")
    days = files_before = files_after = bytes_before = bytes_after = 0
    with Dataset.changing(root, waiting=waiting) as dataset:
        for day in dataset.days():
            found = Day(root, day)
            size = sum(file.stat().st_size for file in found.rows)
            files_before += len(found.rows)
            bytes_before += size
            if len(found.rows) > 1 or len(found.of("sessions")) > 1:
                database = Database(
                    memory_limit=memory_limit,
                    own_memory=None if memory_limit else SORT_MEMORY,
                    threads=threads,
                    observer=observer,
                )
                try:
                    size = with_memory(
                        database, memory_limit, partial(_compact_day, database, dataset, day, found)
                    )
                finally:
                    database.close()
                days += 1
            files_after += min(1, len(found.rows))
            bytes_after += size
    return Compacted(days, files_before, files_after, bytes_before, bytes_after)


def _compact_day(database: Database, dataset: Dataset, day: str, found: Day) -> int:
    """Merge the files of a day in one transaction; return the bytes of its rows."""
    with dataset.transaction() as transaction:
        return _merge_files(database, transaction, day, found)


def _merge_files(database: Database, transaction: Transaction, day: str, found: Day) -> int:
    files = DayFiles(transaction, day)
    database.execute("SET preserve_insertion_order = true")  # statements sort on their way
    own = [(rows, origins) for rows in found.rows if (origins := found.origins_of(rows))]
    others = [rows for rows in found.rows if not found.origins_of(rows)]
    relations = []
    arriving = None
    if own:
        relations.append("SELECT * FROM arriving")
        schema = _schema([schema_of(rows) for rows, _ in own])
        arriving = pa.RecordBatchReader.from_batches(schema, _rows(own, schema))
    if others:
        sources = open_sources(others)
        known = dict.fromkeys(key for file in sources.files for key in file.others)
        kept = [key for key in known if not dimensions.faults(sources.files, [key])]
        database.execute(metric_rows(sources.files, columns=kept))
        relations.append("SELECT *, NULL::INTEGER AS input FROM metric_rows")
    if relations:
        day_rows = " UNION ALL BY NAME ".join(relations)
        sql = queries.load("compact_metric_rows").sql
        statement = f"WITH day_rows AS ({day_rows}) {sql}"
        database.stream("writing", statement, files.write_rows, arriving)
    else:
        files.withdraw("rows")
        files.withdraw("origins")
    sessions = pa.RecordBatchReader.from_batches(KNOWN_SESSIONS, batches_of(found.of("sessions")))
    database.load("known_sessions", "SELECT * FROM arriving", sessions)
    database.stream("writing", queries.load("compact_marks").sql, files.write_sessions)
    files.write_repeats(repeats_of(found.of("repeats")))
    for rows in found.rows:
        transaction.remove(f"date={day}/{rows.name}")
    for side in _SIDES:
        for path in found.of(side):
            transaction.remove(f"{LEDGER}/date={day}/{path.name}")
    with suppress(FileNotFoundError):  # a day without rows
        return files.place_of("rows").stat().st_size
    return 0


def _rows(own: list[tuple[Path, Path]], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for rows, origins in own:
        for batch in rows_with_origins(rows, origins):
            yield conformed(batch, schema)


def _schema(schemas: Sequence[pa.Schema]) -> pa.Schema:
    """Return the columns of all files, those of dimensions at the end, and the input."""
    fields: dict[str, pa.Field] = {}
    for field in chain.from_iterable(schemas):
        fields.setdefault(field.name.casefold(), field)
    return pa.schema([*fields.values(), INPUT])
