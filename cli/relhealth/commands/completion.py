"""``relhealth completion``: the script that lets a shell complete its command lines."""

from typing import Annotated

import typer

from relhealth.commands import options
from relhealth.completion.shells import SCRIPTS
from relhealth.core.errors import QuestionError
from relhealth.core.printable import printable


def completion(
    shell: Annotated[
        str,
        typer.Argument(metavar="SHELL", help="bash, zsh or fish.", show_default=False),
    ],
    debug: options.Debug = False,  # noqa: ARG001 - read by the error boundary
) -> None:
    """Print the script that lets a shell complete commands, options and names of the data.

    It completes releases, projects, environments, dimensions, columns, metrics and all words that
    options know. Names are those of the sources on the line, else of relhealth.toml.

    Examples:

      source <(relhealth completion bash)

      relhealth completion fish > ~/.config/fish/completions/relhealth.fish
    """
    if shell not in SCRIPTS:
        raise QuestionError(f"shell {printable(shell)!r}: expected one of {', '.join(SCRIPTS)}")
    typer.echo(SCRIPTS[shell], nl=False)
