"""Types a line into an interactive shell, and presses Tab."""

from __future__ import annotations

import os
import pty
import select
import shlex
import signal
import time
from typing import TYPE_CHECKING, NamedTuple

from process import environment

if TYPE_CHECKING:
    from pathlib import Path

_READY = "READY"
_PATIENCE = 30.0  # seconds


class _Shell(NamedTuple):
    argv: list[str]
    setup: str


SHELLS = {
    "bash": _Shell(["bash", "--norc", "--noprofile"], "source <(relhealth completion bash)"),
    "zsh": _Shell(["zsh", "-f"], "autoload compinit; compinit -u; . <(relhealth completion zsh)"),
    "fish": _Shell(["fish", "--no-config"], "relhealth completion fish | source"),
}


class Terminal:
    """A shell in a terminal, with completion of relhealth."""

    def __init__(self, name: str, program: list[str], folder: Path) -> None:
        """Start the shell in a folder; ``program`` is what ``relhealth`` runs."""
        bin_folder = folder / "bin"
        bin_folder.mkdir()
        script = bin_folder / "relhealth"
        script.write_text(f'#!/bin/sh\nexec {shlex.join(program)} "$@"\n')
        script.chmod(0o755)
        variables = environment(HOME=str(folder), XDG_CACHE_HOME=str(folder / "cache"))
        variables |= {"PATH": f"{bin_folder}:{os.environ['PATH']}", "TERM": "dumb", "PS1": "$ "}
        self._pid, self._terminal = pty.fork()
        if not self._pid:
            os.chdir(folder)
            os.execvpe(SHELLS[name].argv[0], SHELLS[name].argv, variables)
        self._read = b""
        self.run(SHELLS[name].setup)

    def run(self, line: str) -> None:
        """Run a line, and wait for its end."""
        self._type(f"{line}; echo REA''DY\n")
        self._wait(_READY)

    def completed(self, line: str) -> list[str]:
        """Return the words of a line after a Tab, as the shell understands them."""
        self._type(line)
        self._type("\t")
        time.sleep(0.5)  # for the answer; what is typed meanwhile would be part of the line
        self._type(" END\x01printf '<%s>' \x05; echo REA''DY\n")
        seen = self._wait(_READY)
        words = seen.rpartition("<relhealth>")[2].partition("<END>")[0]
        return words.removeprefix("<").removesuffix(">").split("><")

    def _type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def _wait(self, text: str) -> str:
        """Return what is printed up to a text."""
        until = time.monotonic() + _PATIENCE
        while text.encode() not in self._read:
            assert time.monotonic() < until, self._read
            if select.select([self._terminal], [], [], 0.1)[0]:
                self._read += os.read(self._terminal, 65_536)
        seen, _, self._read = self._read.partition(text.encode())
        return seen.decode(errors="replace")

    def close(self) -> None:
        """End the shell."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._terminal)
