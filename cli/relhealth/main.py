"""The command line: registers the commands, and nothing else."""

from typing import Annotated

import typer

from relhealth import __version__
from relhealth.commands.compact import compact
from relhealth.commands.gate import gate
from relhealth.commands.ingest import ingest
from relhealth.commands.inspect import inspect
from relhealth.commands.overview import overview

app = typer.Typer(
    name="relhealth",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["--help", "-h"]},
)
app.command()(overview)
app.command()(gate)
app.command()(inspect)
app.command()(ingest)
app.command()(compact)


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
