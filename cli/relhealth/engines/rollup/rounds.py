"""Reading a rollup's values of some names and counting them, in rounds that fit into memory."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from relhealth.datasets.arrays import Array
from relhealth.engines.rollup.groups import Groups, Span
from relhealth.machine.workers import Workers

Key = tuple[int, ...]  # a name, and what is counted of it


class Rounds:
    """Rounds of as many names as have their values in ``memory`` (bytes) together."""

    def __init__(self, workers: Workers, memory: int) -> None:
        """Begin with nothing held."""
        self._workers = workers
        self._memory = memory

    def counted(
        self,
        groups: Sequence[Groups],
        weights: Array,
        load: Callable[[Groups, Array], Iterator[tuple[Key, Array]]],
        count: Callable[[Key, Sequence[Array]], Any],
        derive: Callable[[dict[Key, list[Array]]], None] | None = None,
    ) -> Iterator[tuple[Key, Any]]:
        """Yield what is counted of each key; ``weights`` are the bytes of each name's values.

        ``load`` yields the values that some groups have of some names, ``count`` is what becomes
        of all values of a key, before which ``derive`` may add keys of its own.
        """
        for names in self._parted(weights):
            held = self._held(groups, names, load)
            if derive is not None:
                derive(held)
            keys = sorted(held)

            def counted(key: Key, held: dict[Key, list[Array]] = held) -> Any:
                return count(key, held.pop(key))

            yield from zip(keys, self._workers.each(counted, keys), strict=True)

    def _held(
        self,
        groups: Sequence[Groups],
        names: Array,
        load: Callable[[Groups, Array], Iterator[tuple[Key, Array]]],
    ) -> dict[Key, list[Array]]:
        """Return the values of some names by key."""
        held: dict[Key, list[Array]] = defaultdict(list)
        lock = threading.Lock()

        def read(one: Groups) -> None:
            found = list(load(one, names))
            with lock:
                for key, values in found:
                    if len(values):
                        held[key].append(values)

        for _ in self._workers.each(read, groups):
            pass
        return held

    def _parted(self, weights: Array) -> Iterator[Array]:
        """Part the names into sets whose values fit into memory together, as flags of names."""
        room = 0
        flags: Array | None = None
        for name in np.flatnonzero(weights).tolist():
            if flags is None or weights[name] > room:
                if flags is not None:
                    yield flags
                flags = np.zeros(len(weights), bool)
                room = self._memory
            flags[name] = True
            room -= int(weights[name])
        if flags is not None:
            yield flags


def weights_of(
    groups: Sequence[Groups],
    names: int,
    low: int,
    high: int,
    span: Span,
    *,
    all_releases: bool = False,
) -> Array:
    """Return how many rows of some kinds each name has in the days of a span."""
    weights = np.zeros(names, np.int64)
    for one in groups:
        if span.hours(one.day):
            wanted = (one.kind >= low) & (one.kind < high)
            wanted &= (one.name >= 0) if all_releases else one.asked
            np.add.at(weights, one.name[wanted], one.n[wanted])
    return weights
