"""Counting what one owner has into rows of the components, in slices where it has much."""

import operator
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from relhealth.core.measures import Members, checked_sum, distinct, percentiles, unique
from relhealth.engines.kernel.question import Question
from relhealth.engines.kernel.rows import STATUSES
from relhealth.engines.kernel.store import Store
from relhealth.machine.database import Row

_SUMS = {
    "sessions": "init",
    "crashed": "crashed",
    "abnormal": "abnormal",
    "unhandled": "unhandled",
    "errored_preaggr": "errored_preaggr",
}
_INIT = STATUSES.index("init")
_USER_STATUSES = ("crashed", "unhandled", "errored", "abnormal")
_FRACTIONS = (0.5, 0.9)
_BYTES = 8  # of a value


class Day(NamedTuple):
    """What an owner adds to its project's last 24 hours; its users are in the store.

    ``seen`` says that it has a counter or a user there.
    """

    sessions: int
    users: int
    seen: bool


class Counted(NamedTuple):
    """The rows of an owner, each with the component that it is of."""

    rows: Sequence[tuple[str, Row]]
    day: Day


@dataclass(slots=True)
class _Users:
    """Distinct users of an owner."""

    total: int = 0
    by_status: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_USER_STATUSES, 0))
    by_bucket: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    day: int = 0


class Counting:
    """Counts owners one at a time; ``share`` is how many bytes of one are held at once."""

    def __init__(self, question: Question, store: Store, share: int) -> None:
        """Count what the store has."""
        self._question = question
        self._cells = question.cells
        self._store = store
        self._share = share

    def count(
        self,
        owner: tuple[int, str | None],
        keys: Collection[Any],
        sums: Mapping[tuple[int, int], int],
    ) -> Counted:
        """Return an owner's rows; ``sums`` are of its counters, by cell and status.

        Without a release it has none, and counts in its project's last 24 hours alone.
        """
        users = self._users(owner[0], [key for key in keys if key[0] == "users"])
        sessions = checked_sum(
            total
            for (cell, status), total in sums.items()
            if status == _INIT and self._cells[cell].adoption
        )
        seen = users.day > 0 or any(self._cells[cell].adoption for cell, _ in sums)
        day = Day(sessions, users.day, seen)
        rows = list(self._rows(keys, sums, users, day)) if owner[1] is not None else []
        self._store.drop(keys)
        names = {"project_id": owner[0], "release": owner[1]}
        return Counted([(name, {**names, **row}) for name, row in rows], day)

    def _rows(
        self,
        keys: Collection[Any],
        sums: Mapping[tuple[int, int], int],
        users: _Users,
        day: Day,
    ) -> Iterator[tuple[str, Row]]:
        if any(self._cells[cell].summary for cell, _ in sums):
            yield "sessions_by_status", self._by_status(sums)
        if users.total:
            yield "users_by_status", {"users": users.total, **users.by_status}
        if self._question.adoption is not None and day.seen:
            counts = {"sessions": day.sessions, "users": day.users}
            yield "adoption", {"whole_project": False, **counts}
        for key in keys:
            if not self._store.count(key):
                continue  # of its rows, none can count
            if key[0] == "errors":
                yield "errored_sessions", {"errored": self._distinct(key)}
            elif key[0] == "durations":
                yield "durations", self._percentiles(key)
        yield from (
            ("health_stats", {"bucket": bucket, "count": count})
            for bucket, count in self._series(sums, users).items()
            if count
        )

    def _by_status(self, sums: Mapping[tuple[int, int], int]) -> Row:
        return {
            name: checked_sum(
                total
                for (cell, found), total in sums.items()
                if STATUSES[found] == status and self._cells[cell].summary
            )
            for name, status in _SUMS.items()
        }

    def _series(self, sums: Mapping[tuple[int, int], int], users: _Users) -> Mapping[int, int]:
        if self._question.stat == "users":
            return users.by_bucket
        series: dict[int, int] = defaultdict(int)
        for (cell, status), total in sums.items():
            bucket = self._cells[cell].bucket
            if bucket is not None and status == _INIT:
                series[bucket] += total
        return {bucket: checked_sum([total]) for bucket, total in series.items()}

    def _users(self, project: int, keys: Collection[Any]) -> _Users:
        """Count distinct users, in slices of what their members begin with."""
        users = _Users()
        for parts in self._slices(keys):
            day = self._add_users(users, parts)
            if len(day):
                users.day += len(day)
                self._store.add([(("day", project), day)])
        return users

    def _add_users(self, users: _Users, parts: Mapping[Any, list[Members]]) -> Members:
        """Add what one slice has; return its different members of the last 24 hours."""
        total: list[Members] = []
        day: list[Members] = []
        by_status: dict[str, list[Members]] = defaultdict(list)
        by_bucket: dict[int, list[Members]] = defaultdict(list)
        for (_, _, status, (summary, adoption, bucket)), found in parts.items():
            if summary:
                total += found
                by_status[status] += found
            if adoption:
                day += found
            if bucket is not None:
                by_bucket[bucket] += found
        for status in _USER_STATUSES:
            users.by_status[status] += distinct(by_status[status])
        for bucket, found in by_bucket.items():
            users.by_bucket[bucket] += distinct(found)
        of_day = unique(day)
        same = len(total) == len(day) and all(map(operator.is_, total, day))
        users.total += len(of_day) if same else distinct(total)
        return of_day

    def of_project(self, project: int, days: Sequence[Day]) -> Row:
        """Return a project's row of the component ``adoption``, once its owners are counted."""
        return {
            "project_id": project,
            "release": None,
            "whole_project": True,
            "sessions": checked_sum(day.sessions for day in days),
            "users": self._distinct(("day", project)),
        }

    def _distinct(self, key: Any) -> int:
        return sum(distinct(parts[key]) for parts in self._slices([key]))

    def _slices(self, keys: Collection[Any]) -> Iterator[dict[Any, list[Members]]]:
        """Yield the members of some keys, all at once or by their first bits."""
        whole = sum(map(self._store.count, keys)) * _BYTES
        bits = 0
        while whole >> bits > self._share:
            bits += 1
        if not bits:
            yield {key: list(self._store.parts(key, np.uint64)) for key in keys}
            return
        shift = np.uint64(64 - bits)
        for first in range(1 << bits):
            yield {
                key: [part[part >> shift == first] for part in self._store.parts(key, np.uint64)]
                for key in keys
            }

    def _percentiles(self, key: Any) -> Row:
        exited = self._store.count(key)
        p50, p90 = percentiles(
            exited,
            lambda: self._store.parts(key, np.float64),
            _FRACTIONS,
            most=self._share // _BYTES,
        )
        return {"exited": exited, "p50": p50, "p90": p90}
