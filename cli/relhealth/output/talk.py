"""Messages of the program: lines on stderr, on which no answer depends."""

import os
import sys
from contextlib import suppress
from typing import TextIO

from relhealth.core.printable import printable


def say(line: str) -> None:
    """Print one line of the program on stderr; ignore a stderr that is closed."""
    try:
        sys.stderr.write(f"relhealth: {printable(line)}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        abandon(sys.stderr)


def abandon(stream: TextIO) -> None:
    """Point a stream at nothing, so that the interpreter's flush at exit raises no error."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def open_standard_streams() -> None:
    """Fill the descriptors of closed standard streams, which the next opened file would get.

    A closed stdout stays unwritable; a closed stderr is silent.
    """
    for descriptor, mode in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, mode)  # this gets the lowest free descriptor
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)
