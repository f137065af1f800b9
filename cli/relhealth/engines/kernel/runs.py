"""A batch of rows, sorted by kind, owner and cell, as runs of rows with the same three."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from relhealth.datasets.arrays import Array, Flags
from relhealth.datasets.labels import KINDS, WIDTH
from relhealth.engines.kernel.rows import Rows

_SHORT = 1 << 16  # keys below it are sorted by radix


class Part(NamedTuple):
    """The runs of one metric: ``starts`` in ``rows``, and what the rows of each run share.

    ``rows`` are indices in the batch. ``detail`` is a kind without its metric.
    """

    rows: Array
    starts: Array
    detail: Array
    owner: Array
    cell: Array

    @property
    def lengths(self) -> Array:
        """How many rows each run has."""
        return np.diff(self.starts, append=len(self.rows))

    def joined(self, what: Array) -> Iterator[tuple[int, int, int, int, int]]:
        """Yield detail, owner, ``what`` and both ends of runs.

        Adjacent runs that share these are joined. Runs where ``what`` is 0 are skipped.
        """
        new = np.ones(len(what), np.bool_)
        new[1:] = (
            (what[1:] != what[:-1])
            | (self.owner[1:] != self.owner[:-1])
            | (self.detail[1:] != self.detail[:-1])
        )
        at = np.flatnonzero(new)
        ends = np.append(self.starts[at[1:]], len(self.rows))
        kept = np.flatnonzero(what[at])
        at, ends = at[kept], ends[kept]
        yield from zip(
            self.detail[at].tolist(),
            self.owner[at].tolist(),
            what[at].tolist(),
            self.starts[at].tolist(),
            ends.tolist(),
            strict=True,
        )


class Runs:
    """The runs of a batch."""

    def __init__(self, rows: Rows, owners: Array) -> None:
        """Sort the rows; ``owners`` has the owner of each place of the batch, -1 for none."""
        lost = (owners < 0).take(rows.owner) if owners.min() < 0 else None
        if rows.lost is not None:
            lost = rows.lost if lost is None else lost | rows.lost
        kept = None if lost is None else np.flatnonzero(~lost)
        kind, owner, cell = rows.kind, rows.owner, rows.cell
        places: Array = np.arange(len(owners))
        if kept is not None:
            kind, owner = kind[kept], owner[kept]
            cell = cell if isinstance(cell, int) else cell[kept]
            places, place_of = _there(owner, len(owners))
            owner = place_of.take(owner)
        kinds, kind_of = _there(kind, KINDS)
        if isinstance(cell, int):
            first, cells = cell, 1
        else:
            first = int(cell.min()) if len(cell) else 0
            cells = int(cell.max()) - first + 1 if len(cell) else 1
        size = len(kinds) * len(places) * cells
        dtype: Any = np.uint16 if size < _SHORT else np.int64
        key = (kind_of * (len(places) * cells)).astype(dtype).take(kind)
        key += (owner * cells).astype(dtype) if cells > 1 else owner.astype(dtype)
        if not isinstance(cell, int):
            key += (cell - first).astype(dtype)
        order = _order(key, size)
        key = key[order]
        new = np.ones(len(key), np.bool_)
        np.not_equal(key[1:], key[:-1], out=new[1:])
        self._starts = np.flatnonzero(new)
        rest, cell = np.divmod(key[self._starts].astype(np.int64), cells)
        kind, owner = np.divmod(rest, len(places))
        self._order = order if kept is None else kept[order]
        self._kind = kinds[kind]
        self._owner = owners[places[owner]]
        self._cell = cell + first

    def part(self, metric: int) -> Part | None:
        """Return the runs of a metric; None if it has no rows."""
        first, end = np.searchsorted(self._kind, (metric * WIDTH, (metric + 1) * WIDTH)).tolist()
        if first == end:
            return None
        start = self._starts[first]
        stop = self._starts[end] if end < len(self._starts) else len(self._order)
        return Part(
            self._order[start:stop],
            self._starts[first:end] - start,
            self._kind[first:end] - metric * WIDTH,
            self._owner[first:end],
            self._cell[first:end],
        )


def _there(values: Array, end: int) -> tuple[Array, Array]:
    """Return the distinct values, and the index of each value among them."""
    found: Array = np.flatnonzero(np.bincount(values, minlength=end))
    place = np.zeros(end, np.int64)
    place[found] = np.arange(len(found))
    return found, place


def _order(key: Array, size: int) -> Array:
    """Return the order of keys below ``size``, by radix sort of 16 bits at a time."""
    order: Array = np.argsort(key.astype(np.uint16, copy=False), kind="stable")
    bits = 16
    while size > 1 << bits:
        digits = (key[order] >> bits).astype(np.uint16)
        order = order[np.argsort(digits, kind="stable")]
        bits += 16
    return order


def flags_of_runs(flags: Flags, starts: Array) -> Array:
    """Return how many rows of each run have a flag."""
    return np.add.reduceat(flags.astype(np.int64), starts)
