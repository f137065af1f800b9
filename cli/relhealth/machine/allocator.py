"""Where Arrow and NumPy have their memory from while row groups are read, one after another."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache

import pyarrow as pa

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h


@contextmanager
def lean() -> Iterator[None]:
    """Read with the system's allocator, which gives back: Arrow's own keeps some 50 MB a thread."""
    _keep_some()
    pool = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(pool)


@cache
def _keep_some() -> None:
    """Have glibc keep what a row group needs for the next one: fresh pages take long to come."""
    with suppress(AttributeError, OSError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 4 << 20)
        mallopt(_M_TRIM_THRESHOLD, 32 << 20)
