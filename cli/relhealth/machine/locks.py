"""Locks that allow one change at a time; a lock ends with its process, even after a kill."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from relhealth.core.errors import OutputError

_FILE = "lock"


@contextmanager
def locked(folder: Path, *, cannot: str, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of a folder, and create it if needed; call ``waiting`` once if it is taken.

    Raises ``OutputError``, whose message begins with ``cannot``, if the folder is not writable.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / _FILE, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise OutputError(f"{cannot}: {(error.strerror or str(error)).lower()}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
