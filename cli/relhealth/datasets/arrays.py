"""Arrow arrays as NumPy sees them: without copies, and without pandas."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from relhealth.core.measures import unique

_NEAR = 256  # project ids that lie no further apart are looked up by their distance

Array = npt.NDArray[Any]
Flags = npt.NDArray[np.bool_]


def import_early() -> None:
    """Have Arrow import pandas, if that is installed, in this thread.

    Arrow does so when it makes its first array. In another thread, an interrupt of the program in
    that long import can leave the lock of all imports taken for ever.
    """
    pa.array([], pa.null())


def values(array: pa.Array, dtype: npt.DTypeLike) -> Array:
    """Return the values of an array without copying them; any where null."""
    kind = np.dtype(dtype)
    return np.frombuffer(array.buffers()[1], kind, len(array), array.offset * kind.itemsize)


def nulls(array: pa.Array) -> Flags | None:
    """Return which values are null; None: no value is."""
    if not array.null_count:
        return None
    bits = np.frombuffer(array.buffers()[0], np.uint8)
    end = array.offset + len(array)
    valid: Flags = np.unpackbits(bits, bitorder="little", count=end).astype(np.bool_)
    return ~valid[array.offset :]


def numbered(ids: Array) -> tuple[Sequence[int], Array]:
    """Return different ids, or a range that holds them, and the place of each one among these."""
    low, high = int(ids.min()), int(ids.max())
    if high - low < _NEAR:
        return range(low, high + 1), ids - low
    known = unique([ids])
    return known.tolist(), np.searchsorted(known, ids)
