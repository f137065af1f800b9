"""Sums and extremes by code, kept as arrays: memory is bounded by how many codes there are."""

import threading
from typing import NamedTuple

import numpy as np

from relhealth.datasets.arrays import Array

_PENDING = 1 << 18  # rows that are added before they are merged
_BITS = 32  # of the low part of a sum: so split, parts of many rows can be added
_LOW = (1 << _BITS) - 1


class Tallied(NamedTuple):
    """Columns, a row a code: a sum as two parts, and the first and last of its instants."""

    code: Array
    low: Array
    high: Array
    first: Array
    last: Array

    @property
    def sums(self) -> list[int]:
        """The sums, which may be beyond 64 bits."""
        parts = zip(self.low.tolist(), self.high.tolist(), strict=True)
        return [low + (high << _BITS) for low, high in parts]

    def by(self, code: Array) -> "Tallied":
        """Return the same with other codes, each once; rows of a code below 0 are left out."""
        order = np.argsort(code, kind="stable")
        order = order[np.searchsorted(code[order], 0) :]
        if not len(order):
            return _EMPTY
        code = code[order]
        starts = np.flatnonzero(np.concatenate(([True], code[1:] != code[:-1])))
        return Tallied(
            code[starts],
            np.add.reduceat(self.low[order], starts),
            np.add.reduceat(self.high[order], starts),
            np.minimum.reduceat(self.first[order], starts),
            np.maximum.reduceat(self.last[order], starts),
        )


_EMPTY = Tallied(*(np.zeros(0, np.int64) for _ in range(5)))


class Tally:
    """Rows of codes, merged now and then; threads may add to it."""

    def __init__(self) -> None:
        """Begin empty."""
        self._parts: list[Tallied] = []
        self._pending = 0
        self._lock = threading.Lock()

    def add(self, part: Tallied) -> None:
        """Add rows; a code may come more than once."""
        if not len(part.code):
            return
        with self._lock:
            self._parts.append(part)
            self._pending += len(part.code)
            if self._pending > _PENDING:
                self._merge()

    def _merge(self) -> None:
        columns = (np.concatenate(column) for column in zip(*self._parts, strict=True))
        whole = Tallied(*columns)
        whole = whole.by(whole.code)
        high = whole.high + (whole.low >> _BITS)
        self._parts = [whole._replace(low=whole.low & _LOW, high=high)]
        self._pending = 0

    def merged(self) -> Tallied:
        """Return each code once."""
        with self._lock:
            if not self._parts:
                return _EMPTY
            if self._pending:
                self._merge()
            return self._parts[0]


def sums_of_runs(counts: Array, starts: Array) -> tuple[Array, Array]:
    """Return the sums of runs of whole numbers of up to 2^53, as their low and high parts."""
    return (
        np.add.reduceat(counts & _LOW, starts),
        np.add.reduceat(counts >> _BITS, starts),
    )
