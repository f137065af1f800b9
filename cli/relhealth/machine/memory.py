"""How much memory the process can use, and how its parts share it.

The limit is of the resident memory of the entire process, including the pages of its libraries.
"""

import os
import re
from pathlib import Path

from relhealth.core.errors import QuestionError
from relhealth.core.given import of_variable

MEGABYTE = 10**6
_SIZE = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*([KMGT])(i?)B", re.IGNORECASE | re.ASCII)
_SHARE = 2  # the default is the available memory divided by this
_ARENA_MAX = -8  # of mallopt
_CGROUPS = ("/proc/self/cgroup", "/sys/fs/cgroup")

# Measured in a process, rounded up.
_PROGRAM = 160 * MEGABYTE  # Python and its libraries
_AROUND_DATABASE = 40 * MEGABYTE  # that DuckDB uses but does not count
_DATABASE_THREAD = 64 * MEGABYTE
_KERNEL_THREAD = 24 * MEGABYTE
_MOST_HELD = 192 * MEGABYTE  # more does not make the kernel faster
_LEAST_HELD = 16 * MEGABYTE


def memory_bytes(limit: str) -> int:
    """Return a memory limit in bytes; raises ``QuestionError``."""
    size = size_in_bytes("memory limit", limit)
    if not size:
        raise QuestionError(f"memory limit {limit!r}: expected more than nothing")
    return size


def size_in_bytes(what: str, text: str) -> int:
    """Return a size in bytes: kB, MB … are powers of 1000, KiB, MiB … of 1024.

    Raises ``QuestionError``, which says of what, for other text.
    """
    found = _SIZE.fullmatch(text.strip()) if isinstance(text, str) else None
    if found is None:
        raise QuestionError(
            f"{of_variable(text)}{what} {text!r}: expected a size such as 512MB or 2GB"
        )
    number, unit, binary = found.groups()
    return int(float(number) * (1024 if binary else 1000) ** ("KMGT".index(unit.upper()) + 1))


def allowed(limit: str | None) -> int:
    """Return the bytes that the process can use: the limit, else half of the available."""
    return available() // _SHARE if limit is None else memory_bytes(limit)


def of_database(limit: str | None, threads: int) -> tuple[int, int]:
    """Return the bytes that DuckDB can use, and the threads that fit into them."""
    total = allowed(limit)
    share = max(total - _PROGRAM - _AROUND_DATABASE, total // 4)
    return share, max(1, min(threads, share // _DATABASE_THREAD))


def of_kernel(limit: str | None, threads: int) -> tuple[int, int]:
    """Return the bytes of values that the kernel can hold, and the threads that fit.

    Counting them takes up to one and a half times as much in addition.
    """
    spare = max(0, allowed(limit) - _PROGRAM)
    threads = max(1, min(threads, spare // 2 // _KERNEL_THREAD))
    held = (spare - threads * _KERNEL_THREAD) * 2 // 5
    return min(_MOST_HELD, max(_LEAST_HELD, held)), threads


def of_rollup(limit: str | None, threads: int) -> tuple[int, int]:
    """Return the bytes of rows that a thread can sort at once, and the threads that fit."""
    spare = max(0, allowed(limit) - _PROGRAM)
    threads = max(1, min(threads, spare // 2 // _KERNEL_THREAD))
    return spare // threads - _KERNEL_THREAD, threads


def use_one_heap() -> None:
    """Have Arrow and all threads share the heap of the C library, with one arena in glibc.

    Arrow's allocator, and each thread's arena, keep what was freed: an ingest of 4 million updates
    takes 400 to 440 MB with them, and 370 MB without, in the same time.
    """
    import ctypes

    import pyarrow as pa

    pa.set_memory_pool(pa.system_memory_pool())
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_ARENA_MAX, 1)


def available(of_process: str = _CGROUPS[0], root: str = _CGROUPS[1]) -> int:
    """Return the memory of the machine, or of its control group if that allows less."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *_of_groups(_read(of_process), Path(root))])


def _of_groups(of_process: str, root: Path) -> list[int]:
    """Return the limits of the process's control groups and of their parents."""
    limits = []
    for line in of_process.splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers == "":  # version 2
            base, name = root, "memory.max"
        elif controllers == "memory":
            base, name = root / "memory", "memory.limit_in_bytes"
        else:
            continue
        # In a container the name can be the host's; the container's group is then the root.
        inner = base / group.lstrip("/")
        found = [_read(one / name).strip() for one in (inner, *inner.parents)]
        limits += [int(limit) for limit in found if limit.isdecimal()]
    return limits


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""
