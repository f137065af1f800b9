"""Files for what does not fit into memory, in the folder that TMPDIR names or the system's.

A file without a name disappears with its process. DuckDB's files have names. They are in a folder
of the process, which holds a lock on it until its end, even after a kill. A folder without a lock
belongs to no process, and the next process that creates such a folder removes it. relhealth removes
only files that DuckDB spilled, and only from folders that relhealth created.
"""

import fcntl
import os
import re
import tempfile
from contextlib import suppress
from typing import Any

from relhealth.core.errors import OutputError
from relhealth.core.printable import printable

_PREFIX = "relhealth-spill-"
_NAME = re.compile(rf"{_PREFIX}[a-z0-9_]{{8}}")  # as mkdtemp creates them
_SPILLED = "duckdb_temp_"
_TRIES = 100  # how often another process can remove a folder before it is locked


_in_use: set[str] = set()  # folders of this process


def is_used() -> bool:
    """Tell whether this process has a folder that it must remove when it ends."""
    return bool(_in_use)


class SpillFolder:
    """A folder of this process for the files of one DuckDB connection."""

    def __init__(self) -> None:
        """Create it, and remove folders of killed processes; raises ``OutputError``."""
        _sweep_all(folder())
        try:
            self.path, descriptor = _make()
        except OSError as error:
            raise _no_place(error) from error
        self._descriptor: int | None = descriptor
        _in_use.add(self.path)

    def remove(self) -> None:
        """Remove the folder and its spill files; a second call does nothing."""
        if self._descriptor is not None:
            _clear(self.path, self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None
            _in_use.discard(self.path)


def folder() -> str:
    """Return the folder for temporary files: the one that TMPDIR names, unchanged, or a default.

    Raises ``OutputError`` if there is none.
    """
    try:
        return os.environ.get("TMPDIR") or tempfile.gettempdir()
    except OSError as error:
        raise OutputError(
            "no folder for temporary files; set TMPDIR to one that can be written to"
        ) from error


def nameless_file() -> Any:
    """Return a file without a name; raises ``OutputError``."""
    try:
        return tempfile.TemporaryFile(dir=folder(), buffering=0)
    except OSError as error:
        raise _no_place(error) from error


def no_room(reason: str) -> OutputError:
    """Return the message for temporary files that find no room, with the reason."""
    return OutputError(f"{_cannot(reason)} to a folder with room, or raise --memory-limit")


def _no_place(error: OSError) -> OutputError:
    return OutputError(f"{_cannot(reason_of(error))} to a folder that can be written to")


def reason_of(error: OSError) -> str:
    """Return the system's message as the end of a sentence."""
    return (error.strerror or str(error)).lower()


def _cannot(reason: str) -> str:
    return f"{printable(folder())}: cannot write temporary files: {reason}; set TMPDIR"


def _make() -> tuple[str, int]:
    for _ in range(_TRIES):
        path = tempfile.mkdtemp(prefix=_PREFIX, dir=folder())
        with suppress(FileNotFoundError):
            descriptor = _opened(path)
            with suppress(OSError):  # where folders cannot be locked, none is ever removed
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _leads_to(path, descriptor):
                return path, descriptor
            os.close(descriptor)
    raise OSError(f"{path} is removed again and again")


def _sweep_all(place: str) -> None:
    with suppress(OSError):
        for name in os.listdir(place):
            if _NAME.fullmatch(name):
                _sweep(os.path.join(place, name))


def _sweep(path: str) -> None:
    """Remove a folder of relhealth whose process has ended."""
    with suppress(OSError):
        descriptor = _opened(path)
        try:
            if os.fstat(descriptor).st_uid == os.geteuid():
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _clear(path, descriptor)
        finally:
            os.close(descriptor)


def _clear(path: str, descriptor: int) -> None:
    """Empty a folder by its descriptor, not its name, and then remove it."""
    with suppress(OSError):
        for name in os.listdir(descriptor):
            if name.startswith(_SPILLED):
                os.unlink(name, dir_fd=descriptor)
        if _leads_to(path, descriptor):
            os.rmdir(path)


def _opened(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)


def _leads_to(path: str, descriptor: int) -> bool:
    with suppress(FileNotFoundError):
        found = os.stat(path, follow_symlinks=False)
        return os.path.samestat(found, os.fstat(descriptor))
    return False
