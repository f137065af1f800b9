"""The allocators of Arrow and NumPy while relhealth reads one row group after another."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache

import pyarrow as pa

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h


@contextmanager
def lean() -> Iterator[None]:
    """Use the system's allocator, which returns memory; Arrow's keeps 50 MB per thread."""
    _keep_some()
    pool = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(pool)


@cache
def _keep_some() -> None:
    """Make glibc keep memory for the next row group: new pages are slow to get."""
    with suppress(AttributeError, OSError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 4 << 20)
        mallopt(_M_TRIM_THRESHOLD, 32 << 20)
