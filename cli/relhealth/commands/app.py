"""The command line: finds, imports and creates the commands that a line needs."""

from collections.abc import Sequence
from copy import copy
from functools import cache
from importlib import import_module
from typing import Annotated, Any

import typer

from relhealth.commands.conversion import convert_plainly
from relhealth.commands.helping import Command, Group
from relhealth.commands.opening import flat
from relhealth.core.version import __version__


class _Commands(Group):
    """Reads ``gate test`` and ``gate plan`` as one command; a folder of that name is ./test."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[:2] in (["gate", "test"], ["gate", "plan"]):
            args = [" ".join(args[:2]), *args[2:]]
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_Commands,
    name="relhealth",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["--help", "-h"]},
)
# In the order of the help; each is a module of commands/ with a function of its name.
_COMMANDS = (
    "status",
    "overview",
    "gate",
    "gate test",
    "gate plan",
    "compare",
    "releases",
    "release",
    "projects",
    "adoption",
    "query",
    "inspect",
    "config",
    "completion",
    "ingest",
    "receive",
    "compact",
    "rollup",
)


def _version(asked: bool) -> None:  # noqa: FBT001 - Typer's callback
    if asked:
        typer.echo(f"relhealth {__version__}")
        raise typer.Exit


@app.callback()
def relhealth(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Release health from session-metric Parquet files: offline and exact.

    Try `relhealth inspect DATA` first, then `relhealth status DATA --now latest`.
    """


def commands_for(arguments: Sequence[str]) -> Any:
    """Return the commands for a line: all, or only those that begin with its first word."""
    return _made(arguments[0] if arguments else "")


@cache
def _made(word: str) -> Any:
    made = typer.main.get_command(registered(word))
    convert_plainly(made)
    return made


def registered(word: str = "") -> typer.Typer:
    """Return the application with the commands of a first word, or all if none matches."""
    asked = copy(app)
    asked.registered_commands = []
    for name in [one for one in _COMMANDS if one.split()[0] == word] or _COMMANDS:
        function = name.replace(" ", "_")
        module = import_module(f"relhealth.commands.{function}")
        asked.command(name, cls=Command)(flat(getattr(module, function)))
    return asked
