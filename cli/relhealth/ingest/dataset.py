"""A data set on disk: changed by one transaction at a time, which happens whole or not at all.

    DATASET/date=YYYY-MM-DD/*.parquet   the data; readers look at nothing else
    DATASET/_rejected/*.jsonl           items that could not be used, each with its reason
    DATASET/_ledger/inputs.jsonl        what was ingested: a line an input, as it was or has become
    DATASET/_ledger/date=YYYY-MM-DD/    which input each row is of, and what each session counted
    DATASET/_ledger/pending.json        the transaction that is being published, if any
    DATASET/_ledger/lock                held while the data set is changed
    DATASET/_staging/                   files of a transaction before it is published

A transaction writes and syncs its files in ``_staging``, then writes ``pending.json``: from that
moment it has happened. Publishing moves the files to their names. Whoever is killed before leaves
nothing but files in ``_staging``, which the next one removes; whoever is killed after leaves
``pending.json``, which the next one finishes and readers heed.
"""

import json
import os
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from relhealth.core.printable import printable
from relhealth.datasets import ledger
from relhealth.datasets.ledger import LEDGER, STAGING
from relhealth.ingest import entries
from relhealth.machine import durable
from relhealth.machine.locks import locked


@dataclass(slots=True)
class Transaction:
    """Files to add and to remove, and lines for the ledger; nothing happens until it is committed.

    ``folder`` is where its files are written; ``moves`` maps each, by its path below the folder,
    to its path below the data set. Threads may share it.
    """

    name: str
    folder: Path
    moves: dict[str, str] = field(default_factory=dict)
    removals: list[str] = field(default_factory=list)
    inputs: list[Mapping[str, Any]] = field(default_factory=list)
    _placed: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def place(self, final: str) -> Path:
        """Return where to write the file that is to appear as ``final``."""
        with self._lock:
            staged = f"{self._placed}-{Path(final).name}"
            self._placed += 1
            self.moves[staged] = final
        return self.folder / staged

    def withdraw(self, final: str) -> None:
        """Leave out a file that turned out not to be wanted."""
        with self._lock:
            self.moves = {staged: name for staged, name in self.moves.items() if name != final}

    def remove(self, final: str) -> None:
        """Have a file of the data set removed."""
        with self._lock:
            self.removals.append(final)


class Dataset:
    """A data set opened for change, with its lock held."""

    def __init__(self, root: Path) -> None:
        """Take a folder; ``changing`` is how to get one whose lock is held."""
        self.root = root
        self._pending = Path(ledger.pending_path(str(root)))

    @classmethod
    @contextmanager
    def changing(cls, root: Path, *, waiting: Callable[[], None]) -> "Iterator[Dataset]":
        """Open a data set for change, made if need be; wait for whoever changes it now.

        ``waiting`` is called once when there is something to wait for. What a killed change left
        behind is finished or removed first. Raises ``OutputError`` for a folder that cannot be
        written.
        """
        cannot = f"{printable(str(root))}: cannot write the data set"
        with locked(root / LEDGER, cannot=cannot, waiting=waiting):
            dataset = cls(root)
            dataset._recover()
            yield dataset

    def known(self) -> entries.Known:
        """Return the inputs that were ingested."""
        return entries.read(self.root / LEDGER / "inputs.jsonl")

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Yield a transaction; commit it when the block ends well, else leave no trace."""
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
        folder = self.root / STAGING / name
        folder.mkdir(parents=True)
        transaction = Transaction(name, folder)
        try:
            yield transaction
            if transaction.moves or transaction.removals or transaction.inputs:
                self._commit(transaction)
        finally:
            if not self._pending.exists():  # else it has happened, and its files are still needed
                shutil.rmtree(self.root / STAGING, ignore_errors=True)

    def days(self) -> list[str]:
        """Return the days, ``YYYY-MM-DD``, that have data or remember sessions."""
        folders = [*self.root.glob("date=*"), *(self.root / LEDGER).glob("date=*")]
        return sorted({folder.name.removeprefix("date=") for folder in folders})

    def _commit(self, transaction: Transaction) -> None:
        for staged in transaction.moves:
            durable.sync(transaction.folder / staged)
        durable.sync(transaction.folder)
        pending = {
            "format": ledger.FORMAT,
            "name": transaction.name,
            "moves": transaction.moves,
            "removals": transaction.removals,
            "inputs": transaction.inputs,
        }
        durable.write(self._pending, json.dumps(pending).encode())
        self._publish(pending)

    def _recover(self) -> None:
        """Finish what was committed, remove what was not."""
        pending = ledger.pending(str(self.root))
        if pending is not None:
            self._publish(pending)
        shutil.rmtree(self.root / STAGING, ignore_errors=True)

    def _publish(self, pending: Mapping[str, Any]) -> None:
        """Move the files to their names; may be repeated from any point."""
        folder = self.root / STAGING / pending["name"]
        touched = {self.root / LEDGER}
        for staged, final in pending["moves"].items():
            target = self.root / final
            target.parent.mkdir(parents=True, exist_ok=True)
            touched |= {target.parent, target.parent.parent, self.root}
            with suppress(FileNotFoundError):  # moved by whoever was killed
                os.replace(folder / staged, target)
        for removal in pending["removals"]:
            (self.root / removal).unlink(missing_ok=True)
            touched.add((self.root / removal).parent)
        self._remember(pending)
        for folder in sorted({(self.root / each).parent for each in pending["removals"]}):
            with suppress(OSError):  # not empty, or gone
                folder.rmdir()
        for one in touched:
            if one.is_dir():
                durable.sync(one)
        (self._pending).unlink()
        durable.sync(self.root / LEDGER)

    def _remember(self, pending: Mapping[str, Any]) -> None:
        """Append the lines of a transaction, those that a killed process did not."""
        path = self.root / LEDGER / "inputs.jsonl"
        before = path.read_bytes() if path.exists() else b""
        known = set(before.split(b"\n"))
        lines = [
            json.dumps({**line, "transaction": pending["name"]}).encode()
            for line in pending["inputs"]
        ]
        new = [line for line in lines if line not in known]
        if not new:
            return
        with path.open("ab") as stream:
            if before and not before.endswith(b"\n"):
                stream.write(b"\n")  # after a line that a killed process left half
            stream.write(b"\n".join(new) + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
