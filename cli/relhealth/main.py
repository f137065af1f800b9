"""The command line: registers the commands, and makes those that a line needs."""

from collections.abc import Sequence
from copy import copy
from functools import cache
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.models import CommandInfo

from relhealth import __version__
from relhealth.commands.adoption import adoption
from relhealth.commands.compact import compact
from relhealth.commands.compare import compare
from relhealth.commands.gate import gate
from relhealth.commands.gate_test import gate_test
from relhealth.commands.ingest import ingest
from relhealth.commands.inspect import inspect
from relhealth.commands.overview import overview
from relhealth.commands.projects import projects
from relhealth.commands.query import query
from relhealth.commands.release import release
from relhealth.commands.releases import releases
from relhealth.commands.rollup import rollup
from relhealth.conversion import convert_plainly


class _Commands(TyperGroup):
    """Takes the two words of ``gate test`` for one command; a folder of that name is ./test."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[:2] == ["gate", "test"]:
            args = ["gate test", *args[2:]]
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_Commands,
    name="relhealth",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["--help", "-h"]},
)
app.command()(overview)
app.command()(gate)
app.command("gate test")(gate_test)
app.command()(compare)
app.command()(releases)
app.command()(release)
app.command()(projects)
app.command()(adoption)
app.command()(query)
app.command()(inspect)
app.command()(ingest)
app.command()(compact)
app.command()(rollup)


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

    Try `relhealth inspect DATA` first, then `relhealth overview DATA --now latest`.
    """


def commands_for(arguments: Sequence[str]) -> Any:
    """Return what runs a line: all commands, or those alone that begin with its first word."""
    return _commands_of(arguments[0] if arguments else "")


@cache
def _commands_of(word: str) -> Any:
    asked = copy(app)
    asked.registered_commands = [
        one for one in app.registered_commands if _name(one).split()[0] == word
    ] or app.registered_commands
    made = typer.main.get_command(asked)
    convert_plainly(made)
    return made


def _name(command: CommandInfo) -> str:
    return command.name or str(getattr(command.callback, "__name__", ""))
