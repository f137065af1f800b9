"""Where data goes: standard output, or a file that appears whole or not at all."""

import errno
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from relhealth.errors import OutputError
from relhealth.printable import printable


def check_output(path: Path | None) -> None:
    """Raise ``OutputError`` for an output that cannot be written, before any work is done."""
    if path is None:
        return
    folder = _target(path).parent
    if path.is_dir():
        raise _refused(path, "is a directory; name a file in it")
    if not folder.is_dir():
        raise _refused(path, f"no directory {printable(str(folder))}; make it first")
    if not os.access(folder, os.W_OK) and not _is_special(path):
        raise _refused(path, f"directory {printable(str(folder))} is not writable")


@contextmanager
def opened(path: Path | None) -> Iterator[BinaryIO]:
    """Open standard output, or a file that takes its name only when all is written and synced.

    What had the name before stays as it was until then, and for good when anything fails.
    """
    if path is None:
        try:
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _refused(Path("stdout"), (error.strerror or str(error)).lower()) from error
        return
    try:
        if _is_special(path):  # a device or a pipe has no name to take
            with path.open("wb") as stream:
                yield stream
        else:
            with _replacing(_target(path)) as stream:
                yield stream
    except OSError as error:
        raise _refused(path, (error.strerror or str(error)).lower()) from error


@contextmanager
def _replacing(target: Path) -> Iterator[BinaryIO]:
    mode = _mode_for(target)
    descriptor, name = tempfile.mkstemp(prefix=".relhealth-", suffix=".tmp", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        os.replace(name, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
    _sync_folder(target.parent)


def _target(path: Path) -> Path:
    """Follow links, so that a link to the file stays one."""
    return path.resolve() if path.is_symlink() else path


def _is_special(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _mode_for(target: Path) -> int:
    """Return the mode of the file there is, else what the umask gives a new one."""
    try:
        return stat.S_IMODE(target.stat().st_mode)
    except FileNotFoundError:
        umask = os.umask(0)
        os.umask(umask)
        return 0o666 & ~umask


def _sync_folder(folder: Path) -> None:
    """Make the new name last too; some file systems cannot sync a directory, and need not."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise
    finally:
        os.close(descriptor)


def _refused(path: Path, reason: str) -> OutputError:
    return OutputError(f"{printable(str(path))}: cannot write: {reason}")
