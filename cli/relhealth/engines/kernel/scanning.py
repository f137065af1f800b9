"""Answers a question in two steps: scan the rows and keep what counts, then count it."""

import threading
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from relhealth.datasets import labels
from relhealth.datasets.arrays import Array, Flags
from relhealth.datasets.checking import UNREADABLE, unreadable
from relhealth.datasets.dictionaries import UnsupportedError, is_unsupported
from relhealth.datasets.labels import (
    COUNTERS,
    DURATIONS,
    ERRORS,
    METRICS,
    STATUSES,
    USERS,
    Place,
)
from relhealth.datasets.sources import SourceFile
from relhealth.engines.interface import CannotAnswerError
from relhealth.engines.kernel.counting import Counting
from relhealth.engines.kernel.distinct import Kept
from relhealth.engines.kernel.question import TIMED_USERS, Keys, Question, Uses
from relhealth.engines.kernel.rows import Rows, read
from relhealth.engines.kernel.runs import Part, Runs, flags_of_runs
from relhealth.engines.kernel.store import Store
from relhealth.engines.kernel.tally import Tallied, Tally
from relhealth.engines.kernel.tasks import Task, tasks
from relhealth.engines.kernel.user_sessions import paired
from relhealth.machine.allocator import lean
from relhealth.machine.database import Observer, Progress, Row
from relhealth.machine.workers import Workers

# By dimensions, of whose groups there can be many. With more, DuckDB is as fast or faster.
MOST_GROUPS = 5_000
_EXITED = STATUSES.index("exited")

# The reasons of invalid_rows.sql.
_NO_TIMESTAMP = "no timestamp"
_NO_PROJECT = "no project"
_BAD_COUNT = "session counter null, NaN, infinite, negative or above 2^32"
_FRACTION = "session counter not a whole number"
_BAD_DURATION = "duration null, NaN, infinite or negative"
_NO_MEMBER = {USERS: "user without a member", ERRORS: "error without a member"}


def answer(
    files: Sequence[SourceFile],
    question: Question,
    *,
    limit: int,
    threads: int,
    observer: Observer | None = None,
) -> list[list[Row]]:
    """Return the rows of each ask of a question about plain files.

    ``limit`` bounds the bytes of kept values in memory. Raises ``DataError`` for unreadable files,
    ``ChangedError`` for files that are gone, and ``UnsupportedError`` for what Arrow cannot read.
    """
    pa.set_cpu_count(threads)
    kernel = _Kernel(question, limit, threads)
    try:
        with lean():
            kernel.scan(files, observer)
            return kernel.count(limit // (2 * threads))
    finally:
        kernel.store.close()


class _Kernel:
    def __init__(self, question: Question, limit: int, threads: int) -> None:
        self._question = question
        self._workers = Workers(threads)
        self._owners: dict[tuple[bool, Keys], int] = {}  # by whether it lacks a project, and groups
        self._keys: list[Keys] = []  # by owner
        self._owner_of: dict[Place, int] = {}  # -1: its rows count nowhere
        self._tallies = [Tally() for _ in METRICS]
        self._met = Tally()
        self._invalid: dict[tuple[int, str], int] = defaultdict(int)
        self._homeless = False  # whether any owner lacks a project
        self._lock = threading.Lock()
        self.store = Store(limit)

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
        """Sort rows by metric, owner and cell, and keep what counts of each."""
        runs = Runs(rows, np.array([self._owner(place) for place in rows.places], np.int64))
        kept: list[tuple[Hashable, Array]] = []
        for metric in METRICS:
            part = runs.part(metric)
            if part is None:
                continue
            if self._question.met.within(part.cell):
                self._tally(self._met, self._question.met, part)
            self._note_homeless(part)
            if metric == COUNTERS:
                self._take_counters(rows, part)
            elif metric == DURATIONS:
                kept += self._durations(rows, part)
            else:
                kept += self._members(rows, part, metric)
        self.store.add(kept)

    def _owner(self, place: Place) -> int:
        """Return the owner of a place's rows; -1 if they count nowhere."""
        known = self._owner_of.get(place)
        if known is not None:
            return known
        keys = self._question.keys(place)
        with self._lock:
            number = -1
            if any(key is not None for key in keys):
                self._homeless |= place.project is None
                number = self._owners.setdefault((place.project is None, keys), len(self._keys))
                if number == len(self._keys):
                    self._keys.append(keys)
                if self._question.by_dimension and number > MOST_GROUPS:
                    raise CannotAnswerError(f"it counts at most {MOST_GROUPS:,} groups by columns")
            self._owner_of[place] = number
        return number

    def _note_homeless(self, part: Part) -> None:
        """Count the rows that lack a timestamp or a project."""
        if not self._question.checked.within(part.cell):
            return
        untimed = part.cell == self._question.untimed
        if untimed.any():
            self._note(_NO_TIMESTAMP, part, part.lengths * untimed)
        if self._homeless:
            self._note(_NO_PROJECT, part, part.lengths * ~untimed * self._without_project(part))

    def _without_project(self, part: Part) -> Flags:
        """Return which runs have no project."""
        return self._of_owners(part, lambda owner: owner[0])

    def _of_owners(self, part: Part, has: Any) -> Flags:
        with self._lock:
            owners = list(self._owners)
        return np.array(list(map(has, owners)), np.bool_)[part.owner]

    def _note_bad(self, reason: str, part: Part, bad: Flags) -> None:
        """Count rows with an invalid value or member."""
        if bad.any():
            at_home = (part.cell != self._question.untimed) & ~self._without_project(part)
            self._note(reason, part, flags_of_runs(bad, part.starts) * at_home)

    def _note(self, reason: str, part: Part, counts: Array) -> None:
        """Count invalid rows, given their number in each run, if the question asks for them."""
        checked = self._question.checked
        if not counts.any() or len(checked.uses) == 1:
            return
        for number, use in enumerate(checked.uses):
            for target, _ in use:
                ours = self._of_owners(part, lambda owner, at=target: owner[1][at] is not None)
                found = int(counts[ours & (checked.ids[part.cell] == number)].sum())
                with self._lock:
                    self._invalid[target, reason] += found

    def _tally(
        self,
        tally: Tally,
        uses: Uses,
        part: Part,
        *,
        valid: Array | None = None,
        sums: Array | None = None,
        extremes: tuple[Array, Array] | None = None,
    ) -> None:
        """Add the runs that have a use and ``valid`` rows (None: all are valid)."""
        use = uses.ids[part.cell]
        kept = use > 0
        if valid is not None:
            kept &= valid > 0
        code = (part.owner * len(uses.uses) + use) * len(STATUSES) + part.detail % len(STATUSES)
        none = np.zeros(len(code), np.int64)
        columns = (code, none if sums is None else sums, *(extremes or (none, none)))
        tally.add(Tallied(*(column[kept] for column in columns)))

    def _extremes(self, rows: Rows, part: Part, valid: Flags | None) -> tuple[Array, Array] | None:
        """Return the first and last instant of each run, in microseconds since the epoch."""
        if not self._question.stamped:
            return None
        stamps = rows.stamps(part.rows)
        if valid is None:
            first = last = stamps
        else:
            least, most = np.iinfo(np.int64).min, np.iinfo(np.int64).max
            first, last = np.where(valid, stamps, most), np.where(valid, stamps, least)
        ends = (
            np.minimum.reduceat(first, part.starts),
            np.maximum.reduceat(last, part.starts),
        )
        return rows.microseconds(ends[0]), rows.microseconds(ends[1])

    def _take_counters(self, rows: Rows, part: Part) -> None:
        uses = self._question.tallied[COUNTERS]
        if "value" not in rows.columns:
            return
        counts, in_range, valid = labels.counters(rows.values(part.rows))
        if in_range is not None and valid is not None:
            self._note_bad(_BAD_COUNT, part, ~in_range)
            self._note_bad(_FRACTION, part, in_range & ~valid)
        if not uses.within(part.cell):
            return
        self._tally(
            self._tallies[COUNTERS],
            uses,
            part,
            valid=None if valid is None else flags_of_runs(valid, part.starts),
            sums=np.add.reduceat(counts, part.starts),
            extremes=self._extremes(rows, part, valid),
        )

    def _durations(self, rows: Rows, part: Part) -> Iterator[tuple[Hashable, Array]]:
        tallied, kept = self._question.tallied[DURATIONS], self._question.kept[DURATIONS]
        if "value" not in rows.columns:
            return
        value = rows.values(part.rows)
        valid = labels.durations(value)
        self._note_bad(_BAD_DURATION, part, ~valid)
        if tallied.within(part.cell):
            self._tally(
                self._tallies[DURATIONS],
                tallied,
                part,
                valid=flags_of_runs(valid, part.starts),
                extremes=self._extremes(rows, part, valid),
            )
        bad = not valid.all()
        value = np.abs(value)
        for detail, owner, use, start, end in part.joined(kept.ids[part.cell]):
            if detail % len(STATUSES) == _EXITED and self._wants(kept, owner, use):
                some = value[start:end]
                yield Kept(DURATIONS, owner, use), some[valid[start:end]] if bad else some

    def _members(self, rows: Rows, part: Part, metric: int) -> Iterator[tuple[Hashable, Array]]:
        tallied, kept = self._question.tallied[metric], self._question.kept[metric]
        if "member" not in rows.columns:
            return
        member, null = rows.members(part.rows)
        if null is not None:
            self._note_bad(_NO_MEMBER[metric], part, null)
        if tallied.within(part.cell):
            valid = None if null is None else flags_of_runs(~null, part.starts)
            self._tally(self._tallies[metric], tallied, part, valid=valid)
        for detail, owner, use, start, end in part.joined(kept.ids[part.cell]):
            if self._wants(kept, owner, use):
                some = member[start:end]
                key = Kept(metric, owner, use, detail if metric == USERS else 0)
                yield key, some if null is None else some[~null[start:end]]
        timed = self._question.kept[TIMED_USERS]
        if metric != USERS or not timed.within(part.cell):
            return
        for detail, owner, use, start, end in part.joined(timed.ids[part.cell]):
            if self._wants(timed, owner, use):
                began = rows.microseconds(rows.stamps(part.rows[start:end]))
                some = paired(member[start:end], began)
                key = Kept(TIMED_USERS, owner, use, detail % len(STATUSES))
                yield key, (some if null is None else some[~null[start:end]]).ravel()

    def _wants(self, uses: Uses, owner: int, use: int) -> bool:
        """Return whether the values of an owner count in any group."""
        keys = self._keys[owner]
        return any(keys[target] is not None for target, _ in uses.uses[use])

    # Counting.

    def count(self, share: int) -> list[list[Row]]:
        """Return the rows of each ask; ``share`` bounds the bytes that a thread counts at once."""
        counting = Counting(self._question, self._keys, self.store, self._workers, share)
        return counting.answers(
            [tally.merged() for tally in self._tallies], self._met.merged(), self._invalid
        )
