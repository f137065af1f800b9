"""Runs the command line in a separate process, for tests of processes and terminals."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import relhealth
from command import Result

if TYPE_CHECKING:
    from collections.abc import Sequence

# What would change the output, or the start, of a relhealth that a test starts.
STEERING = (
    "ARROW_DEFAULT_MEMORY_POOL",
    "COLUMNS",
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "FORCE_COLOR",
    "GITHUB_ACTIONS",
    "GITHUB_STEP_SUMMARY",
    "LINES",
    "NO_COLOR",
    "OPENBLAS_NUM_THREADS",
    "PY_COLORS",
    "PYTHONIOENCODING",
    "PYTHONUNBUFFERED",
    "RELHEALTH_NOW",
    "RELHEALTH_SPARK",
    "TTY_COMPATIBLE",
    "TTY_INTERACTIVE",
)
PATIENCE = 60  # seconds after which a process that a test started has hung
_CODE = Path(relhealth.__file__).parents[1]
_TESTS = Path(__file__).parent


class Ended(NamedTuple):
    """What is left of a process: exit code, stdout, stderr."""

    code: int
    out: bytes
    err: str


def environment(**changes: str) -> dict[str, str]:
    """Return the variables of a process: ours, without what steers output, and the changes."""
    kept = {name: value for name, value in os.environ.items() if name not in STEERING}
    path = os.pathsep.join([str(_CODE), str(_TESTS)])
    return kept | {"PYTHONPATH": path, "TERM": "xterm-256color"} | changes


def command(*args: str) -> list[str]:
    """Return the command that runs `relhealth ARGS…`."""
    return [sys.executable, "-m", "relhealth", *args]


def script(code: str, *args: str) -> list[str]:
    """Return the command that runs Python code with arguments."""
    return [sys.executable, "-c", code, *args]


def finish(argv: list[str], **changes: str) -> Ended:
    """Run a command to its end, with no stdin and its output in pipes."""
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=environment(**changes),
        timeout=PATIENCE,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr.decode())


def on_terminal(argv: list[str], *, columns: int, **changes: str) -> Ended:
    """Run a command to its end with its stdout on a terminal; line ends are LF again."""
    ours, theirs = pty.openpty()
    size = struct.pack("HHHH", 50, columns, 0, 0)
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, size)
    with subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.PIPE,
        env=environment(**changes),
    ) as process:
        os.close(theirs)
        out = _read_terminal(ours)
        os.close(ours)
        assert process.stderr
        err = process.stderr.read().decode()
        code = process.wait(PATIENCE)
    return Ended(code, out.replace(b"\r\n", b"\n"), err)


def _read_terminal(descriptor: int) -> bytes:
    parts = []
    while True:
        try:
            part = os.read(descriptor, 65_536)
        except OSError:  # how Linux says that the other side is closed
            break
        if not part:
            break
        parts.append(part)
    return b"".join(parts)


# Runs command lines, given as JSON, in one process that has given up being root: whoever runs the
# tests, permissions are heeded. What root alone may read is imported before.
_UNPRIVILEGED = """
import json, os, sys
from command import run

warm_up, lines = json.loads(sys.argv[1])
for line in warm_up:
    run(*line)
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
json.dump([run(*line) for line in lines], sys.stdout)
"""


def unprivileged(*lines: Sequence[str], warm_up: Sequence[Sequence[str]]) -> list[Result]:
    """Run command lines as nobody in particular; `warm_up` are some that import all they need."""
    done = finish(script(_UNPRIVILEGED, json.dumps([warm_up, lines])))
    assert done.code == 0, done.err
    return [Result(*found) for found in json.loads(done.out)]
