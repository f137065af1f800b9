"""Takes inputs out of a day: their counts go, or count for other inputs that repeated them."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from relhealth.datasets import sealed
from relhealth.datasets.ledger import LEDGER
from relhealth.ingest.dataset import Transaction
from relhealth.ingest.days import (
    INPUT,
    UPDATES,
    Day,
    DayFiles,
    batches_of,
    repeats_of,
    rows_with_origins,
    schema_of,
)


class Left(NamedTuple):
    """A day without some inputs: files of sessions, and updates to count again."""

    sessions: list[Path]
    repeats: Path | None


def take_out(transaction: Transaction, root: Path, day: str, inputs: Collection[int]) -> Left:
    """Take inputs out of a day, and rewrite the files with their data.

    Keep updates of other inputs that repeated theirs, to count them.
    """
    found = Day(root, day)
    gone = pa.array(sorted(inputs), pa.int32())
    for number, rows in enumerate(found.rows):
        origins = found.origins_of(rows)
        if origins is None or not _holds([origins], gone):
            continue
        files = DayFiles(transaction, day, f"-{number}")
        schema = schema_of(rows).append(INPUT)
        kept = _without(rows_with_origins(rows, origins), gone)
        files.write_rows(pa.RecordBatchReader.from_batches(schema, kept))
        files.withdraw("sessions")
        files.withdraw("repeats")
        transaction.remove(f"date={day}/{rows.name}")
        transaction.remove(f"{LEDGER}/date={day}/{origins.name}")
    sessions = found.of("sessions")
    if _holds(sessions, gone):
        files = DayFiles(transaction, day, "-kept")
        kept_inputs = files.write_sessions(_without(batches_of(sessions), gone))
        for side in ("rows", "origins", "repeats"):
            files.withdraw(side)
        for path in sessions:
            transaction.remove(f"{LEDGER}/date={day}/{path.name}")
        sessions = [files.place_of("sessions")] if kept_inputs else []
    repeats = None
    if found.of("repeats"):
        path = transaction.folder / f"repeats-{day}.parquet"
        kept_rows = sealed.write(path, UPDATES, _without(repeats_of(found.of("repeats")), gone))
        for each in found.of("repeats"):
            transaction.remove(f"{LEDGER}/date={day}/{each.name}")
        repeats = path if kept_rows else None
    return Left(sessions, repeats)


def _holds(files: list[Path], gone: pa.Array) -> bool:
    return any(pc.any(pc.is_in(batch.column("input"), gone)).as_py() for batch in batches_of(files))


def _without(batches: Iterator[pa.RecordBatch], gone: pa.Array) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield batch.filter(pc.invert(pc.is_in(batch.column("input"), gone)))
