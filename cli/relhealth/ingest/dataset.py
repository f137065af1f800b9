"""A data set on disk: one transaction at a time changes it, completely or not at all.

    DATASET/date=YYYY-MM-DD/*.parquet   the data; readers need nothing else
    DATASET/_rejected/*.jsonl           items that could not be used, each with its reason
    DATASET/_ledger/inputs.jsonl        the inputs, one per line; later lines replace earlier ones
    DATASET/_ledger/date=YYYY-MM-DD/    the input of each row, and what each session has counted
    DATASET/_ledger/pending.json        the transaction in publication, if any
    DATASET/_ledger/lock                held during a change
    DATASET/_staging/                   files of a transaction before it is published

A transaction writes and syncs its files in ``_staging``, then writes ``pending.json``: from that
moment it has happened. Publishing moves the files to their names. A process that is killed before
leaves only files in ``_staging``, which the next one removes. One that is killed after it leaves
``pending.json``, which readers apply and the next process completes.
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

_MOST_LINES = 10_000  # of the ledger, before those that later ones replace are left out


@dataclass(slots=True)
class Transaction:
    """Files to add and remove, and lines for the ledger; it has no effect before its commit.

    ``folder`` has its new files; ``moves`` maps each, by its path below the folder,
    to its path below the data set. Threads can share it.
    """

    name: str
    folder: Path
    moves: dict[str, str] = field(default_factory=dict)
    removals: list[str] = field(default_factory=list)
    inputs: list[Mapping[str, Any]] = field(default_factory=list)
    _placed: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def place(self, final: str) -> Path:
        """Return where to write the file that will become ``final``."""
        with self._lock:
            staged = f"{self._placed}-{Path(final).name}"
            self._placed += 1
            self.moves[staged] = final
        return self.folder / staged

    def withdraw(self, final: str) -> None:
        """Leave out a file that is not needed."""
        with self._lock:
            self.moves = {staged: name for staged, name in self.moves.items() if name != final}

    def remove(self, final: str) -> None:
        """Remove a file of the data set."""
        with self._lock:
            self.removals.append(final)


class Dataset:
    """A data set that is open for a change, with its lock held."""

    def __init__(self, root: Path) -> None:
        """Store the folder; use ``changing`` to get a data set with its lock."""
        self.root = root
        self._pending = Path(ledger.pending_path(str(root)))

    @classmethod
    @contextmanager
    def changing(cls, root: Path, *, waiting: Callable[[], None]) -> "Iterator[Dataset]":
        """Open a data set for a change, and create it if needed; wait for other changes.

        Calls ``waiting`` once if another change runs. Completes or removes the rest of a killed
        change first. Raises ``OutputError`` for a folder that is not
        writable.
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
        """Yield a transaction; commit it if the block succeeds, else remove its files."""
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
        folder = self.root / STAGING / name
        folder.mkdir(parents=True)
        transaction = Transaction(name, folder)
        try:
            yield transaction
            if transaction.moves or transaction.removals or transaction.inputs:
                self._commit(transaction)
        finally:
            if not self._pending.exists():  # otherwise it has happened and needs its files
                shutil.rmtree(self.root / STAGING, ignore_errors=True)

    def days(self) -> list[str]:
        """Return the days, ``YYYY-MM-DD``, with data or remembered sessions."""
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
        """Complete a committed transaction, remove another."""
        pending = ledger.pending(str(self.root))
        if pending is not None:
            self._publish(pending)
        shutil.rmtree(self.root / STAGING, ignore_errors=True)

    def _publish(self, pending: Mapping[str, Any]) -> None:
        """Move the files to their names; can restart from any point."""
        folder = self.root / STAGING / pending["name"]
        touched = {self.root / LEDGER}
        for staged, final in pending["moves"].items():
            target = self.root / final
            target.parent.mkdir(parents=True, exist_ok=True)
            touched |= {target.parent, target.parent.parent, self.root}
            with suppress(FileNotFoundError):  # already moved before the kill
                os.replace(folder / staged, target)
        for removal in pending["removals"]:
            (self.root / removal).unlink(missing_ok=True)
            touched.add((self.root / removal).parent)
        self._remember(pending)
        for folder in sorted({(self.root / each).parent for each in pending["removals"]}):
            with suppress(OSError):  # not empty, or already removed
                folder.rmdir()
        for one in touched:
            if one.is_dir():
                durable.sync(one)
        (self._pending).unlink()
        durable.sync(self.root / LEDGER)

    def _remember(self, pending: Mapping[str, Any]) -> None:
        """Append the lines of a transaction, unless a killed process has done so."""
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
        if before.count(b"\n") > _MOST_LINES:
            latest = entries.latest_lines(before)
            if 2 * len(latest) < len(known):
                durable.write(path, b"\n".join([*latest, *new]) + b"\n")
                return
        with path.open("ab") as stream:
            if before and not before.endswith(b"\n"):
                stream.write(b"\n")  # after an incomplete line of a killed process
            stream.write(b"\n".join(new) + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
