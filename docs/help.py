"""Remake the help blocks of the docs from the commands themselves."""

import os
import re
import subprocess
import sys
from pathlib import Path

USAGE = Path(__file__).with_name("usage.md")
_BLOCK = re.compile(r"(?<=```text\n)\$ (relhealth[^\n]*--help)\n.*?(?=```)", re.DOTALL)


def help_text(command: str) -> str:
    """Return what a command line prints at 80 columns, without colour or trailing blanks."""
    environment = {"PATH": os.environ["PATH"], "COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"}
    arguments = [sys.executable, "-m", *command.split()]
    if "PYTHONPATH" in os.environ:
        environment["PYTHONPATH"] = os.environ["PYTHONPATH"]
    printed = subprocess.run(  # noqa: S603 - the commands are our own
        arguments, env=environment, check=True, capture_output=True, text=True
    ).stdout
    return "\n".join(line.rstrip() for line in printed.strip("\n").splitlines()).strip("\n")


def remade(text: str) -> str:
    """Return a page with its help blocks as the commands have them now."""
    return _BLOCK.sub(lambda block: f"$ {block[1]}\n{help_text(block[1])}\n", text)


if __name__ == "__main__":
    USAGE.write_text(remade(USAGE.read_text(encoding="utf-8")), encoding="utf-8")
