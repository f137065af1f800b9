"""Counting rows into the components of an overview: one pass to store, one to count."""

import threading
from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from relhealth.core.measures import MOST_COUNT, MOST_SUM
from relhealth.datasets.arrays import Array, Flags
from relhealth.datasets.checking import UNREADABLE, unreadable
from relhealth.datasets.dictionaries import UnsupportedError, is_unsupported
from relhealth.datasets.sources import SourceFile
from relhealth.engines.kernel.counting import Counting, Day
from relhealth.engines.kernel.question import Question
from relhealth.engines.kernel.rows import (
    COUNTERS,
    DURATIONS,
    ERRORS,
    NO_SESSIONS,
    STATUSES,
    USERS,
    WIDTH,
    Rows,
    Task,
    read,
    tasks,
)
from relhealth.engines.kernel.store import Store
from relhealth.machine.allocator import lean
from relhealth.machine.database import Observer, Progress, Row
from relhealth.machine.workers import Workers

_EXITED = STATUSES.index("exited")
_FOR_NOTHING = (False, False, None)  # of users

# The reasons of invalid_rows.sql.
_NO_TIMESTAMP = "no timestamp"
_NO_PROJECT = "no project"
_BAD_COUNT = "session counter null, NaN, infinite, negative or above 2^53"
_FRACTION = "session counter not a whole number"
_BAD_DURATION = "duration null, NaN, infinite or negative"
_NO_MEMBER = {USERS: "user without a member", ERRORS: "error without a member"}


class Found(NamedTuple):
    """The rows of each component by its name, as the templates give them.

    ``invalid_rows`` counts the rows that cannot count, by reason.
    """

    rows: Mapping[str, list[Row]]
    invalid_rows: dict[str, int]


def answer(
    files: Sequence[SourceFile],
    question: Question,
    *,
    limit: int,
    threads: int,
    observer: Observer | None = None,
) -> Found:
    """Answer a question about plain files; ``limit`` bounds the bytes that are held to count.

    Raises ``DataError`` for files that cannot be read to the end and sums beyond 64 bits,
    ``ChangedError`` for files that are gone, ``UnsupportedError`` for what Arrow cannot read.
    """
    pa.set_cpu_count(threads)
    kernel = _Kernel(question, limit, threads)
    try:
        with lean():
            kernel.scan(files, observer)
            return kernel.count()
    finally:
        kernel.store.close()


class _Kernel:
    def __init__(self, question: Question, limit: int, threads: int) -> None:
        self._question = question
        self._cells = question.cells
        self._share = limit // (2 * threads)  # bytes of what one thread counts at once
        self._workers = Workers(threads)
        self.store = Store(limit)
        self._owners: dict[tuple[int, str | None], int] = {}
        # By (owner, cell): sums by status, and whether there was any counter.
        self._sums: dict[tuple[int, int, int], int] = defaultdict(int)
        self._counted: set[tuple[int, int]] = set()
        self._invalid: dict[str, int] = defaultdict(int)
        self._lock = threading.Lock()
        by_bucket = question.stat == "users"
        # By cell, what the rows of a metric are for; cells of the same are not told apart.
        self._counters_for = range(len(self._cells))
        self._durations_for = [cell.summary and question.durations for cell in self._cells]
        self._errors_for = [cell.summary and question.errors for cell in self._cells]
        self._users_for = [
            (
                cell.summary and question.users,
                cell.adoption,
                cell.bucket if by_bucket else None,
            )
            for cell in self._cells
        ]

    # Scanning.

    def scan(self, files: Sequence[SourceFile], observer: Observer | None) -> None:
        """Read every row once."""
        todo = [task for file in files for task in self._tasks(file)]
        for done, _ in enumerate(self._workers.each(self._read, todo), 1):
            if observer is not None:
                observer(Progress("reading", done / len(todo)))

    def _tasks(self, file: SourceFile) -> list[Task]:
        try:
            return list(tasks(file, self._question))
        except UNREADABLE as error:
            raise unreadable(file, error) from error

    def _read(self, task: Task) -> None:
        try:
            for rows in read(task, self._question):
                self._take(rows)
                if self._workers.ended:
                    return
        except UNREADABLE as error:
            if is_unsupported(error):
                raise UnsupportedError(str(error)) from error
            raise unreadable(task.file, error) from error

    def _take(self, rows: Rows) -> None:
        """Sort rows by kind, owner and cell, and keep what each of these has."""
        self._note(_NO_TIMESTAMP, rows.without_time)
        self._note(_NO_PROJECT, rows.without_project)
        owners = [self._number(owner) for owner in rows.owners]
        if isinstance(rows.cell, int):
            first, cells = rows.cell, 1
        else:
            inside = np.clip(rows.cell, 0, len(self._cells) - 1)
            first = int(inside.min())
            cells = int(inside.max()) - first + 1
        size = cells * len(owners)
        end = NO_SESSIONS * WIDTH * size
        dtype: Any = np.uint16 if end < 1 << 16 else np.int64  # short keys are sorted by radix
        key = np.minimum(rows.kind, NO_SESSIONS * WIDTH).astype(dtype) * dtype(size)
        key += rows.owner.astype(dtype) * dtype(cells)
        if not isinstance(rows.cell, int):
            key += (inside - first).astype(dtype)
        if rows.lost is not None:
            key[rows.lost] = end
        np.minimum(key, end, out=key)
        batch = _Sorted(rows, key, owners, range(first, first + cells))
        self._take_counters(batch)
        self.store.add(
            [
                *self._durations(batch),
                *self._members(batch, ERRORS, self._errors_for),
                *self._members(batch, USERS, self._users_for),
            ]
        )

    def _number(self, owner: tuple[int, str | None]) -> int:
        with self._lock:
            return self._owners.setdefault(owner, len(self._owners))

    def _note(self, reason: str, count: int) -> None:
        if count:
            with self._lock:
                self._invalid[reason] += count

    def _take_counters(self, batch: "_Sorted") -> None:
        rows = batch.rows_of(COUNTERS)
        if not len(rows):
            return
        value, null = batch.rows.values(rows)
        counts, valid = self._counts(value, null)
        exact = float(counts.max()) * len(counts) <= MOST_SUM
        sums = np.concatenate(([0], np.cumsum(counts)))
        seen = None if valid is None else np.concatenate(([0], np.cumsum(valid)))
        found = [
            (
                (owner, cell, status),
                int(sums[end] - sums[start]) if exact else sum(counts[start:end].tolist()),
            )
            for status, owner, cell, start, end in batch.runs(COUNTERS, self._counters_for)
            if seen is None or seen[end] > seen[start]
        ]
        with self._lock:
            for (owner, cell, status), total in found:
                self._sums[owner, cell, status] += total
                self._counted.add((owner, cell))

    def _counts(self, value: Array, null: Flags | None) -> tuple[Array, Flags | None]:
        """Return counters as whole numbers, 0 where they cannot count; which can (None: all)."""
        if null is None and value.min() >= 0 and value.max() <= MOST_COUNT:  # NaN is neither
            counts = value.astype(np.int64)
            if np.array_equal(counts, value):
                return counts, None
        whole = (value >= 0) & (value <= MOST_COUNT)
        if null is not None:
            whole &= ~null
        valid = whole & (value == np.floor(value))
        self._note(_BAD_COUNT, len(whole) - int(np.count_nonzero(whole)))
        self._note(_FRACTION, int(np.count_nonzero(whole)) - int(np.count_nonzero(valid)))
        return np.where(valid, value, 0.0).astype(np.int64), valid

    def _durations(self, batch: "_Sorted") -> Iterator[tuple[Hashable, Array]]:
        rows = batch.rows_of(DURATIONS)
        if not len(rows):
            return
        value, null = batch.rows.values(rows)
        valid = (value >= 0) & (value < np.inf)
        if null is not None:
            valid &= ~null
        bad = len(valid) - int(np.count_nonzero(valid))
        self._note(_BAD_DURATION, bad)
        value = np.abs(value)
        for status, owner, cell, start, end in batch.runs(DURATIONS, self._durations_for):
            if status == _EXITED and self._durations_for[cell]:
                part = value[start:end]
                yield ("durations", owner), part[valid[start:end]] if bad else part

    def _members(
        self, batch: "_Sorted", metric: int, kept_for: Sequence[Any]
    ) -> Iterator[tuple[Hashable, Array]]:
        rows = batch.rows_of(metric)
        if not len(rows):
            return
        member, null = batch.rows.members(rows)
        if null is not None:
            self._note(_NO_MEMBER[metric], int(np.count_nonzero(null)))
        for status, owner, cell, start, end in batch.runs(metric, kept_for):
            what = kept_for[cell]
            key: Hashable = ("errors", owner)
            kept = what
            if metric == USERS:
                key = ("users", owner, STATUSES[status], what)
                kept = what != _FOR_NOTHING
            if kept:
                part = member[start:end]
                yield key, part if null is None else part[~null[start:end]]

    # Counting.

    def count(self) -> Found:
        """Return the rows of the components."""
        keys: dict[int, list[Any]] = defaultdict(list)
        for key in self.store.keys():  # noqa: SIM118 - a store is no mapping
            keys[key[1]].append(key)
        sums: dict[int, dict[tuple[int, int], int]] = defaultdict(dict)
        for (number, cell, status), total in self._sums.items():
            sums[number][cell, status] = total
        owners = sorted(self._owners.items(), key=lambda item: (item[0][0], item[0][1] or ""))
        counting = Counting(self._question, self.store, self._share)
        rows: dict[str, list[Row]] = defaultdict(list)
        projects: dict[int, list[Day]] = defaultdict(list)
        counted = self._workers.each(
            lambda item: counting.count(item[0], keys[item[1]], sums[item[1]]), owners
        )
        for ((project, _), _), one in zip(owners, counted, strict=True):
            projects[project].append(one.day)
            for component, row in one.rows:
                rows[component].append(row)
        if self._question.adoption is not None:
            seen = [item for item in projects.items() if any(day.seen for day in item[1])]
            rows["adoption"] += self._workers.each(lambda item: counting.of_project(*item), seen)
        return Found(rows, dict(sorted(self._invalid.items())))


class _Sorted:
    """A batch of rows in order of kind, owner and cell."""

    def __init__(self, rows: Rows, key: Array, owners: Sequence[int], cells: range) -> None:
        self.rows = rows
        self._owners = owners
        self._cells = cells
        self._width = WIDTH * len(owners) * len(cells)  # keys of a metric
        self._counts = np.bincount(key, minlength=NO_SESSIONS * self._width + 1)
        self._order = np.argsort(key, kind="stable")
        self._ends = np.concatenate(([0], np.cumsum(self._counts)))

    def rows_of(self, metric: int) -> Array:
        """Return the places of a metric's rows in the batch."""
        start, end = (at * self._width for at in (metric, metric + 1))
        return self._order[self._ends[start] : self._ends[end]]

    def runs(
        self, metric: int, kept_for: Sequence[Hashable]
    ) -> Iterator[tuple[int, int, int, int, int]]:
        """Yield status, owner and cell of a metric's rows, and their span among these.

        Cells that follow one another are one run, by the first, where all are for the same.
        """
        first = [
            at
            for at, cell in enumerate(self._cells)
            if not at or kept_for[cell] != kept_for[cell - 1]
        ]
        counts = self._counts[metric * self._width : (metric + 1) * self._width]
        counts = np.add.reduceat(counts.reshape(-1, len(self._cells)), first, axis=1).ravel()
        ends = np.cumsum(counts)
        for run in np.flatnonzero(counts).tolist():
            kind, at = divmod(run, len(first))
            status, owner = divmod(kind, len(self._owners))
            end = int(ends[run])
            yield status, self._owners[owner], self._cells[first[at]], end - int(counts[run]), end
