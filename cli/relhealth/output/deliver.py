"""Delivery of data: to standard output, or to a file that is written completely or not at all."""

import errno
import glob
import os
import stat
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from relhealth.core.errors import OutputError
from relhealth.core.printable import printable
from relhealth.datasets.ledger import SUFFIXES
from relhealth.machine.durable import sync
from relhealth.stores.addresses import refuse_to_write


def check_output(path: Path | None, sources: Sequence[str] = ()) -> None:
    """Raise ``OutputError`` for an output that is not writable, before any work.

    It must not be one of the ``sources``, nor a file that a later answer would read as one.
    """
    if path is None:
        return
    refuse_to_write(path, "name a file on this machine, and copy it")
    try:
        folder = _target(path).parent
        os.stat(folder)
        is_directory = stat.S_ISDIR(_mode(path) or 0)
    except (FileNotFoundError, NotADirectoryError):
        raise _refused(path, f"no directory {printable(str(folder))}; make it first") from None
    except OSError as error:
        raise _refused(path, _reason(error)) from None
    if is_directory:
        raise _refused(path, "is a directory; name a file in it")
    if not os.access(folder, os.W_OK) and not _is_special(path):
        raise _refused(path, f"directory {printable(str(folder))} is not writable")
    if any(_is_among(path, source) for source in sources):
        raise _refused(path, "it is among the sources of the answer; name a file elsewhere")


def _is_among(path: Path, source: str) -> bool:
    found = [source] if os.path.exists(source) else glob.iglob(source, recursive=True)
    target = path.resolve()
    for one in map(Path, found):
        if one.is_dir():
            if target.suffix.lower() in SUFFIXES and target.is_relative_to(one.resolve()):
                return True
        elif target == one.resolve():
            return True
    return False


@contextmanager
def opened(path: Path | None) -> Iterator[BinaryIO]:
    """Open standard output, or a file that gets its name only when it is written and synced.

    Until then, and if anything fails, an older file of that name stays unchanged.
    """
    if path is None:
        try:
            with _stdout() as stream:
                yield stream
                stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _refused(Path("stdout"), _reason(error)) from error
        return
    try:
        if _is_special(path):  # a device or a pipe has no name to take
            with path.open("wb") as stream:
                yield stream
        else:
            with _replacing(_target(path)) as stream:
                yield stream
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _refused(path, _reason(error)) from error


@contextmanager
def _stdout() -> Iterator[BinaryIO]:
    """Give stdout a new buffer, because an unbuffered one can write a part without an error."""
    sys.stdout.flush()
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):  # a substitute without a descriptor
        yield sys.stdout.buffer
        return
    stream = open(descriptor, "wb", closefd=False)  # noqa: SIM115 - closed where it does not fail
    yield stream
    stream.close()


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
    if not os.path.islink(path):
        return path
    try:
        return path.resolve()
    except RuntimeError:  # Python 3.11 raises this for circular links
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None


def _mode(path: Path) -> int | None:
    """Return the kind and permissions of a path; None if nothing is there."""
    try:
        return os.stat(path).st_mode
    except FileNotFoundError:
        return None


def _is_special(path: Path) -> bool:
    mode = _mode(path)
    return mode is not None and not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _mode_for(target: Path) -> int:
    """Return the permissions of the existing file, else those that the umask sets."""
    mode = _mode(target)
    if mode is not None:
        return stat.S_IMODE(mode)
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


def _sync_folder(folder: Path) -> None:
    """Sync the new name, too.

    The file is already in place, so errors here do not matter: some file systems cannot
    sync a directory, and some directories are writable but cannot be opened.
    """
    with suppress(OSError):
        sync(folder)


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _refused(path: Path, reason: str) -> OutputError:
    return OutputError(f"{printable(str(path))}: cannot write: {reason}")
