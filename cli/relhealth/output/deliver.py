"""Where data goes: standard output, or a file that appears whole or not at all."""

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


def check_output(path: Path | None, sources: Sequence[str] = ()) -> None:
    """Raise ``OutputError`` for an output that cannot be written, before any work is done.

    Nor may it be one of the ``sources``, or a file that a later answer would take for one.
    """
    if path is None:
        return
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
    """Open standard output, or a file that takes its name only when all is written and synced.

    What had the name before stays as it was until then, and for good when anything fails.
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
    """Give stdout a buffer of its own: one that is unbuffered may write a part, and say nothing."""
    sys.stdout.flush()
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):  # a stand-in without a descriptor
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
    except RuntimeError:  # how Python 3.11 tells of links that go in circles
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None


def _mode(path: Path) -> int | None:
    """Return what a path is, and its permissions; None where there is nothing."""
    try:
        return os.stat(path).st_mode
    except FileNotFoundError:
        return None


def _is_special(path: Path) -> bool:
    mode = _mode(path)
    return mode is not None and not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _mode_for(target: Path) -> int:
    """Return the permissions of the file there is, else what the umask gives a new one."""
    mode = _mode(target)
    if mode is not None:
        return stat.S_IMODE(mode)
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


def _sync_folder(folder: Path) -> None:
    """Make the new name last too.

    The file is in place already, so that nothing here can be a failure: some file systems cannot
    sync a directory, and some directories may be written to and not opened.
    """
    with suppress(OSError):
        sync(folder)


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _refused(path: Path, reason: str) -> OutputError:
    return OutputError(f"{printable(str(path))}: cannot write: {reason}")
