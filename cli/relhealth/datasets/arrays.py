"""Arrow arrays as NumPy arrays: without copies, and without pandas."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from relhealth.core.measures import unique

_NEAR = 256  # within this range, project ids are looked up by their offset

Array = npt.NDArray[Any]
Flags = npt.NDArray[np.bool_]


def import_early() -> None:
    """Make Arrow import pandas, if it is installed, in this thread.

    Arrow imports it with its first array. In another thread, an interrupt during
    that long import can leave the lock of all imports taken forever.
    """
    pa.array([], pa.null())


def values(array: pa.Array, dtype: npt.DTypeLike) -> Array:
    """Return the values of an array without a copy; nulls have any value."""
    kind = np.dtype(dtype)
    return np.frombuffer(array.buffers()[1], kind, len(array), array.offset * kind.itemsize)


def nulls(array: pa.Array) -> Flags | None:
    """Return which values are null; None if no value is."""
    if not array.null_count:
        return None
    bits = np.frombuffer(array.buffers()[0], np.uint8)
    end = array.offset + len(array)
    valid: Flags = np.unpackbits(bits, bitorder="little", count=end).astype(np.bool_)
    return ~valid[array.offset :]


def numbered(ids: Array) -> tuple[Sequence[int], Array]:
    """Return the distinct ids, or a range that holds them, and the index of each id in it."""
    low, high = int(ids.min()), int(ids.max())
    if high - low < _NEAR:
        return range(low, high + 1), ids - low
    known = unique([ids])
    return known.tolist(), np.searchsorted(known, ids)


def taken(array: pa.Array, rows: Array, dtype: npt.DTypeLike) -> tuple[Array, Flags | None]:
    """Return the values of some rows, and which are null (None: none); nulls have any value."""
    found, null = values(array, dtype).take(rows), nulls(array)
    if null is not None:
        null = null.take(rows)
    return found, null if null is not None and null.any() else None
