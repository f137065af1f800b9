"""A change of a data set's days: it adds staged rows and removes inputs taken out."""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

import msgspec

from relhealth.core.errors import NeedsMemoryError
from relhealth.datasets.ledger import REJECTED
from relhealth.ingest import kafka
from relhealth.ingest.dataset import Dataset, Transaction
from relhealth.ingest.days import Day, DayFiles, Turn, Written, write_day
from relhealth.ingest.entries import Entry, Known
from relhealth.ingest.forgetting import Left, take_out
from relhealth.machine import memory
from relhealth.machine.database import Database, Observer, Progress
from relhealth.machine.memory import MEGABYTE

_T = TypeVar("_T")

# For sorting in memory; larger sorts use the disk, so that memory does not grow with the input. A
# day of a million updates or more needs more: then it gets twice as much, repeatedly.
SORT_MEMORY = 48 * MEGABYTE
_MOST_DATABASES = 4


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of the work, and the observer of its progress."""

    memory_limit: str | None = None
    threads: int | None = None
    observer: Observer | None = None


class Change:
    """The work of a transaction on the days of a data set."""

    def __init__(
        self, dataset: Dataset, transaction: Transaction, known: Known, limits: Limits
    ) -> None:
        """Change a data set; ``known`` are its inputs."""
        self._root = dataset.root
        self._transaction = transaction
        self._known = known
        self._limits = limits
        self._turn = Turn()
        self.incomplete: list[str] = []

    def write(
        self, staged: Mapping[str, Mapping[str, Sequence[Path]]], gone: Mapping[int, Entry]
    ) -> dict[str, Written]:
        """Write the staged rows, and remove inputs taken out; return the written rows, by day.

        Each database sorts one day at a time, all in parallel; they write in turn, which needs
        less memory.
        """
        touched = {day for entry in gone.values() for day in entry.days}
        days = sorted({*staged, *touched})

        def work(database: Database, day: str) -> Written:
            left = Left(Day(self._root, day).of("sessions"), None)
            if day in touched:
                left = take_out(self._transaction, self._root, day, gone.keys())
            if day not in staged and left.repeats is None:
                return Written()
            files = DayFiles(self._transaction, day)
            return with_memory(
                database,
                self._limits.memory_limit,
                lambda: write_day(
                    database, staged.get(day, {}), left.sessions, files, self._turn, left.repeats
                ),
            )

        with ExitStack() as stack:
            databases = _databases(self._limits, len(days))
            for database in databases:
                stack.callback(database.close)
            written = _each(days, databases, work, self._limits.observer, self._turn)
        self._note(gone, written)
        return written

    def _note(self, gone: Mapping[int, Entry], written: Mapping[str, Written]) -> None:
        """Record in the ledger the removed inputs, and what now counts for others."""
        lines = self._transaction.inputs
        kept_rejects = {entry.rejects for entry in self._known.entries.values()}
        for number, entry in gone.items():
            lines.append({"number": number, "forgotten": True, "at": now()})
            if entry.rejects and entry.rejects not in kept_rejects:
                self._transaction.remove(f"{REJECTED}/{entry.rejects}")
                kept_rejects.add(entry.rejects)
        self._let_messages_come_again(gone)
        more: Counter[int] = Counter()
        for each in written.values():
            more.update(each.sessions)
        for number, sessions in more.items():
            other = self._known.entries.get(number)
            if other is not None and other.at:  # no input of this run, which is recorded at the end
                grown = msgspec.structs.replace(other, sessions=other.sessions + sessions)
                lines.append(msgspec.to_builtins(grown))

    def _let_messages_come_again(self, gone: Mapping[int, Entry]) -> None:
        """Mark inputs that skipped messages of a removed input, to be read when they come again."""
        offsets = kafka.Offsets(entry.offsets for entry in gone.values())
        for entry in list(self._known.entries.values()):
            if entry.at and offsets.meets(entry.skipped):
                again = msgspec.structs.replace(entry, incomplete=True, skipped={})
                self._known.remember(again)
                self._transaction.inputs.append(msgspec.to_builtins(again))
                self.incomplete.append(entry.name)


def now() -> str:
    """Return the time, in the form of the ledger."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _databases(limits: Limits, days: int) -> list[Database]:
    """Return one database per core, at most one per day; only one under a memory limit."""
    if limits.memory_limit is not None:
        return [
            Database(
                memory_limit=limits.memory_limit, threads=limits.threads, observer=limits.observer
            )
        ]
    count = min(limits.threads or os.cpu_count() or 1, _MOST_DATABASES, max(1, days))
    return [Database(own_memory=SORT_MEMORY, threads=1) for _ in range(count)]


def with_memory(database: Database, memory_limit: str | None, work: Callable[[], _T]) -> _T:
    """Do work with a database of ``SORT_MEMORY``; if it needs more, again with twice that.

    A database with the memory limit of the process gets no more.
    """
    own_memory = SORT_MEMORY
    most = 0 if memory_limit else memory.of_database(None, 1)[0] // _MOST_DATABASES
    while own_memory * 2 <= most:
        try:
            return work()
        except NeedsMemoryError:
            own_memory *= 2
            database.allow(own_memory)
    return work()


def _each(
    days: Sequence[str],
    databases: Sequence[Database],
    work: Callable[[Database, str], Written],
    observer: Observer | None,
    turn: Turn,
) -> dict[str, Written]:
    """Do the work of each day with a database that is idle."""
    idle = SimpleQueue[Database]()
    for database in databases:
        idle.put(database)

    def with_one(day: str) -> Written:
        database = idle.get()
        try:
            return work(database, day)
        finally:
            idle.put(database)

    with ThreadPoolExecutor(len(databases)) as pool:
        writing = {day: pool.submit(with_one, day) for day in days}
        try:
            for done, _ in enumerate(as_completed(writing.values())):
                if observer is not None:
                    observer(Progress("writing", done / len(writing)))
            return {day: future.result() for day, future in writing.items()}
        except BaseException:
            turn.end()
            pool.shutdown(wait=False, cancel_futures=True)
            for database in databases:
                database.interrupt()
            raise
