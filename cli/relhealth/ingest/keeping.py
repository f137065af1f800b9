"""Keeps a data set of bounded age and size: removes old days, and old entries of the ledger."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from relhealth.datasets.ledger import LEDGER
from relhealth.ingest import entries
from relhealth.ingest.dataset import Dataset
from relhealth.machine import durable


def old_days(dataset: Dataset, keep_days: int) -> list[str]:
    """Return the days that ended more than ``keep_days`` ago."""
    first = f"{datetime.now(UTC) - timedelta(days=keep_days):%Y-%m-%d}"
    return [day for day in dataset.days() if day < first]


def remove_days(
    root: Path, keep_days: int, *, waiting: Callable[[], None] = lambda: None
) -> list[str]:
    """Remove the days that ended more than ``keep_days`` ago, in one transaction; return them.

    Readers see them all, or none, as with a compaction.
    """
    with Dataset.changing(root, waiting=waiting) as dataset:
        old = old_days(dataset, keep_days)
        with dataset.transaction() as transaction:
            for day in old:
                for folder in (f"date={day}", f"{LEDGER}/date={day}"):
                    for path in sorted((root / folder).glob("*.parquet")):
                        transaction.remove(f"{folder}/{path.name}")
    return old


def forget_inputs_below(
    root: Path, folder: Path, *, waiting: Callable[[], None] = lambda: None
) -> int:
    """Take the inputs of a folder whose files are gone out of the ledger; return how many.

    What they added stays. For files that can never come again, since the ledger is read for each
    change and would grow with every one.
    """
    place = root / LEDGER / "inputs.jsonl"
    below = f"{folder.absolute()}/"
    with Dataset.changing(root, waiting=waiting) as dataset:
        known = dataset.known().entries
        last = max(known, default=0)  # says which number is the next
        gone = {
            number
            for number, entry in known.items()
            if number != last
            and entry.content.path.startswith(below)
            and not Path(entry.content.path).exists()
        }
        if not gone:
            return 0
        kept = [line for line in entries.lines_of(place) if line.get("number") not in gone]
        durable.write(place, "".join(f"{json.dumps(line)}\n" for line in kept).encode())
    return len(gone)
