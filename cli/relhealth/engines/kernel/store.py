"""Arrays by key in bounded memory; above a limit they go to a file.

The file has no name, so it disappears with the process, however that ends.
"""

import os
import threading
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from relhealth.machine.spilling import nameless_file, no_room, reason_of

Array = npt.NDArray[Any]
_BYTES = 8  # of a value, whatever its type
_OF_ARRAY = 128  # bytes of an array apart from its values
_AT_ONCE = 1 << 17  # values to read back as one array


class Store:
    """Arrays of 8-byte values; ``limit`` is how many bytes of them stay in memory."""

    def __init__(self, limit: int) -> None:
        """Start empty, without a file."""
        self._held: dict[Hashable, list[Array]] = defaultdict(list)
        self._spilled: dict[Hashable, list[tuple[int, int]]] = defaultdict(list)
        self._bytes = 0
        self._limit = limit
        self._file: Any = None
        self._lock = threading.Lock()

    def add(self, parts: Iterable[tuple[Hashable, Array]]) -> None:
        """Keep arrays under their keys; raises ``OutputError`` if the disk has no room."""
        with self._lock:
            for key, part in parts:
                self._held[key].append(part)
                self._bytes += _size(part)
            if self._bytes > self._limit:
                self._spill()

    def _spill(self) -> None:
        if self._file is None:
            self._file = nameless_file()
        for key, parts in self._held.items():
            at = self._file.tell()
            try:
                for part in parts:
                    _write(self._file, np.ascontiguousarray(part).data.cast("B"))
            except OSError as error:
                raise no_room(reason_of(error)) from error
            self._spilled[key].append((at, sum(map(len, parts))))
        self._held.clear()
        self._bytes = 0

    def close(self) -> None:
        """Drop everything."""
        self._held.clear()
        self._spilled.clear()
        if self._file is not None:
            self._file.close()

    def keys(self) -> set[Any]:
        """Return the keys that have arrays."""
        return self._held.keys() | self._spilled.keys()

    def count(self, key: Hashable) -> int:
        """Return how many values a key has."""
        held, spilled = self._of(key)
        return sum(map(len, held)) + sum(count for _, count in spilled)

    def parts(self, key: Hashable, dtype: npt.DTypeLike) -> Iterator[Array]:
        """Yield the values of a key, as arrays that are small compared to the limit."""
        held, spilled = self._of(key)
        yield from _gathered(held)
        for first, count in spilled:
            for start in range(0, count, _AT_ONCE):
                size = min(_AT_ONCE, count - start) * _BYTES
                yield np.frombuffer(
                    os.pread(self._file.fileno(), size, first + start * _BYTES), dtype
                )

    def _of(self, key: Hashable) -> tuple[list[Array], list[tuple[int, int]]]:
        """Return the arrays of a key in memory and in the file, both as of one instant."""
        with self._lock:
            return list(self._held.get(key, ())), list(self._spilled.get(key, ()))

    def drop(self, keys: Iterable[Hashable]) -> None:
        """Drop the arrays of some keys."""
        with self._lock:
            for key in keys:
                self._bytes -= sum(map(_size, self._held.pop(key, ())))
                self._spilled.pop(key, None)


def _gathered(parts: Iterable[Array]) -> Iterator[Array]:
    """Join many small arrays to a few larger ones."""
    some: list[Array] = []
    size = 0
    for part in parts:
        some.append(part)
        size += len(part)
        if size >= _AT_ONCE:
            yield np.concatenate(some)
            some, size = [], 0
    if some:
        yield np.concatenate(some)


def _size(part: Array) -> int:
    return part.nbytes + _OF_ARRAY


def _write(file: Any, data: memoryview) -> None:
    while data:
        data = data[file.write(data) :]
