"""Compaction: a day's many small files into one sorted file, with the same answers."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from relhealth import queries
from relhealth.database import Database, Observer
from relhealth.engine import metric_rows
from relhealth.errors import DataError
from relhealth.ingest.dataset import Dataset
from relhealth.ingest.run import SORT_MEMORY, write_rows
from relhealth.ledger import LEDGER
from relhealth.printable import printable
from relhealth.sources import open_sources


@dataclass(frozen=True, slots=True)
class Compacted:
    """What a compaction did: days rewritten, files and bytes before and after."""

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
    """Merge the files of every day that has several, a transaction a day.

    A killed compaction leaves each day as it was or compacted. Raises ``DataError`` for a folder
    that is no data set, and for files that do not fit the data contract.
    """
    if not (root / LEDGER).is_dir():
        raise DataError(f"{printable(str(root))}: no data set of relhealth ingest")
    days = files_before = files_after = bytes_before = bytes_after = 0
    with Dataset.changing(root, waiting=waiting) as dataset:
        for day, files in dataset.files_by_day().items():
            size = sum(file.stat().st_size for file in files)
            files_before += len(files)
            bytes_before += size
            if len(files) > 1:
                size = _compact_day(dataset, day, files, memory_limit, threads, observer)
                days += 1
            files_after += 1
            bytes_after += size
    return Compacted(days, files_before, files_after, bytes_before, bytes_after)


def _compact_day(
    dataset: Dataset,
    day: str,
    files: list[Path],
    memory_limit: str | None,
    threads: int | None,
    observer: Observer | None,
) -> int:
    sources = open_sources(files)
    database = Database(
        memory_limit=memory_limit,
        own_memory=None if memory_limit else SORT_MEMORY,
        threads=threads,
        observer=observer,
    )
    try:
        with dataset.transaction() as transaction:
            database.execute(metric_rows(sources.files))
            target = transaction.place(f"{day}/{transaction.name}.parquet")
            write_rows(database, queries.load("compact_metric_rows").sql, target)
            transaction.removals.extend(f"{day}/{file.name}" for file in files)
            return target.stat().st_size
    finally:
        database.close()
