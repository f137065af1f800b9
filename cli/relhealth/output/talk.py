"""What the program says beside its data: lines on stderr, which no answer depends on."""

import os
import sys
from contextlib import suppress
from typing import TextIO

from relhealth.core.printable import printable


def say(line: str) -> None:
    """Say one line on stderr, as the program's own; where nobody can hear it, it is lost."""
    try:
        sys.stderr.write(f"relhealth: {printable(line)}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        abandon(sys.stderr)


def abandon(stream: TextIO) -> None:
    """Point a stream at nothing, so that the interpreter's own flush at exit stays quiet."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def open_standard_streams() -> None:
    """Fill the places of closed standard streams, which the next file opened would take.

    A stdout that is closed stays one that cannot be written to; a closed stderr is silent.
    """
    for descriptor, mode in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, mode)  # takes the lowest free place: this one
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)
