"""The command line run inside the test process, with what it printed."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple

from relhealth.__main__ import main


class Result(NamedTuple):
    """Exit code, stdout and stderr; `out` may hold bytes that are no UTF-8 as surrogates."""

    code: int
    out: str
    err: str

    @property
    def raw(self) -> bytes:
        """Stdout as it was written, for the binary formats."""
        return self.out.encode("utf-8", "surrogateescape")


def run(*args: str) -> Result:
    """Run `relhealth ARGS…`."""
    out, err = io.BytesIO(), io.BytesIO()
    with redirect_stdout(_stream(out)) as stdout, redirect_stderr(_stream(err)) as stderr:
        code = main(list(args))
        stdout.flush()
        stderr.flush()
    return Result(int(code), _text(out), _text(err))


def _stream(buffer: io.BytesIO) -> io.TextIOWrapper:
    return io.TextIOWrapper(buffer, encoding="utf-8", newline="", write_through=True)


def _text(buffer: io.BytesIO) -> str:
    return buffer.getvalue().decode("utf-8", "surrogateescape")
