"""One change at a time: a lock that ends with the process that holds it, however that ends."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from relhealth.core.errors import OutputError

_FILE = "lock"


@contextmanager
def locked(folder: Path, *, cannot: str, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of a folder, made if need be; ``waiting`` is called once if another has it.

    Raises ``OutputError`` where the folder cannot be written, which begins with ``cannot``.
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
