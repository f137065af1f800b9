"""Sums and extremes by code, as arrays; the number of codes bounds their memory."""

import threading
from typing import NamedTuple

import numpy as np

from relhealth.datasets.arrays import Array

_PENDING = 1 << 18  # rows to add before a merge


class Tallied(NamedTuple):
    """Columns, one row a code: a sum, and the first and last instant."""

    code: Array
    sum: Array
    first: Array
    last: Array

    def by(self, code: Array) -> "Tallied":
        """Return the same under other codes, each once, without codes below 0."""
        order = np.argsort(code, kind="stable")
        order = order[np.searchsorted(code[order], 0) :]
        if not len(order):
            return _EMPTY
        code = code[order]
        starts = np.flatnonzero(np.concatenate(([True], code[1:] != code[:-1])))
        return Tallied(
            code[starts],
            np.add.reduceat(self.sum[order], starts),
            np.minimum.reduceat(self.first[order], starts),
            np.maximum.reduceat(self.last[order], starts),
        )


_EMPTY = Tallied(*(np.zeros(0, np.int64) for _ in range(4)))


class Tally:
    """Rows by code, merged now and then; several threads can add rows."""

    def __init__(self) -> None:
        """Start empty."""
        self._parts: list[Tallied] = []
        self._pending = 0
        self._lock = threading.Lock()

    def add(self, part: Tallied) -> None:
        """Add rows; a code can occur more than once."""
        if not len(part.code):
            return
        with self._lock:
            self._parts.append(part)
            self._pending += len(part.code)
            if self._pending > _PENDING:
                self._merge()

    def _merge(self) -> None:
        columns = (np.concatenate(column) for column in zip(*self._parts, strict=True))
        merged = Tallied(*columns)
        self._parts = [merged.by(merged.code)]
        self._pending = 0

    def merged(self) -> Tallied:
        """Return all rows, each code once."""
        with self._lock:
            if not self._parts:
                return _EMPTY
            if self._pending:
                self._merge()
            return self._parts[0]
