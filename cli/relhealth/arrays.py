"""Arrow arrays as NumPy sees them: without copies, and without pandas."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Array = npt.NDArray[Any]
Flags = npt.NDArray[np.bool_]


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


@contextmanager
def lean() -> Iterator[None]:
    """Read with the system's allocator, which gives back: Arrow's own keeps some 50 MB a thread."""
    pool = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(pool)
