"""The help of commands: ``-h`` with the usual options, ``--help`` with all of them."""

import os
from collections.abc import Sequence
from copy import copy
from inspect import cleandoc
from typing import Any

from typer import BadParameter
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from relhealth.commands import options
from relhealth.commands.opening import is_place
from relhealth.core.errors import QuestionError
from relhealth.core.printable import printable

# What people ask most of a command that has more options than these; else it is the first ten.
USUAL = {
    "status": "release project environment policy check watch now format output quiet",
    "overview": "project release environment period now sort limit columns format output",
    "gate": "release target critical baseline margin policy environment now report explain",
    "gate test": "since every release target critical baseline policy environment now format",
    "gate plan": "release target critical baseline margin rate policy environment now format",
    "compare": "project environment where period now max-age confidence format output quiet",
    "releases": "project environment period since now sort limit columns format output",
    "release": "project environment where period stat now policy format output quiet",
    "projects": "project environment where period now max-age columns format output quiet",
    "adoption": "project release environment stage now sort limit columns format output",
    "query": "field group-by project release environment status period interval format output",
    "inspect": "verify now max-age org strict engine memory-limit format output quiet",
    "receive": "to listen key keys forward every keep tls-cert metrics-listen access-log",
    "ingest": "to from-sentry org from-kafka group project map dry-run replace list",
}
_MOST = 10  # options of the short help
_SHORT = "-h"
_SHOWN_EXAMPLES = 2  # of the short help


class _MissingWordsError(BadParameter):
    """Words of a command line are missing; the message says which."""

    def format_message(self) -> str:
        """Return the message."""
        return self.message


class Command(TyperCommand):
    """A command whose short help has the usual options only."""

    _is_short = False

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse a command line; say of missing arguments which they are."""
        self._is_short = "--help" not in args
        given = list(args)
        try:
            rest = super().parse_args(ctx, args)
        except BadParameter as error:
            if isinstance(error.param, TyperArgument):
                self._refuse_missing(ctx, given)
            raise
        if not ctx.resilient_parsing:
            self._refuse_missing(ctx, given)
        return rest

    def _refuse_missing(self, ctx: Any, given: list[str]) -> None:
        """Raise an error that names the missing ones of sources and what follows them."""
        arguments = [one for one in self.params if isinstance(one, TyperArgument)]
        if len(arguments) < 2 or arguments[0].nargs == 1:  # noqa: PLR2004 - sources and names
            return
        parsed, _, _ = self.make_parser(ctx).parse_args(args=given)
        words: list[str] = []
        for one in arguments:
            match parsed.get(one.name):
                case str(word):
                    words.append(word)
                case [*several]:
                    words += several
        sources, *names = [f"'{one.display_name_raw}'" for one in arguments]
        of_settings = bool((ctx.default_map or {}).get("sources"))
        if len(words) > len(names):
            return
        if words and is_place(words[0]) and not of_settings:
            missing = names[len(words) - 1 :]
        elif len(words) < len(names):
            missing = [*([] if of_settings else [sources]), *names[len(words) :]]
        else:  # the sources are those of the settings, or the message without them says what to do
            return
        noun = "argument" if len(missing) == 1 else "arguments"
        told = " and ".join((", ".join(missing[:-1]), missing[-1]) if missing[1:] else missing)
        raise _MissingWordsError(f"Missing {noun} {told}.", ctx=ctx)

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - Typer's
        """Print the help that was asked for."""
        shown, params = copy(self), _plain(self.get_params(ctx))
        visible = [one for one in params if not _is_hidden(one)]
        usual = _usual(str(self.name), visible)
        is_short = self._is_short and bool(usual)
        paragraphs, examples = _split(self.help or "")
        if is_short:
            params = [one for one in visible if _is_shown(one, usual)]
            paragraphs, examples = paragraphs[:1], examples[:_SHOWN_EXAMPLES]
            number = sum(isinstance(one, TyperOption) for one in visible)
            shown.epilog = f"All {number} options: {ctx.command_path} --help"
        shown.help = "\n\n".join([*paragraphs, "Examples:", "\n".join(examples)])
        _print(shown, ctx, params)


class Group(TyperGroup):
    """All commands; their list is the help."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - Typer's
        """Print the help."""
        shown = copy(self)
        shown.epilog = "The usual options of a command: relhealth COMMAND -h"
        params = _plain(self.get_params(ctx))
        params[-1].help, params[-1].rich_help_panel = "Show this help.", None
        _print(shown, ctx, params)


def examples_of(text: str) -> list[str]:
    """Return the example lines of a command's help."""
    return _split(text)[1]


def _usual(name: str, visible: Sequence[Any]) -> list[str]:
    """Return the options of the short help; none if there are few."""
    if name in USUAL:
        return USUAL[name].split()
    every = [one.opts[0].lstrip("-") for one in visible if isinstance(one, TyperOption)]
    return every[:_MOST] if len(every) > _MOST + 1 else []  # and --help


def _print(shown: Any, ctx: Any, params: list[Any]) -> None:
    width = os.environ.get("TERMINAL_WIDTH") or "80"
    if not (width.isascii() and width.isdecimal()):  # Typer reads it while it is imported
        raise QuestionError(f"TERMINAL_WIDTH: {printable(width)!r}: expected a number of columns")
    from typer import rich_utils

    shown.params, shown.add_help_option = params, False
    rich_utils.rich_format_help(obj=shown, ctx=ctx, markup_mode="rich")


def _plain(params: Sequence[Any]) -> list[Any]:
    """Return parameters for people: without types, and that of the help says what it shows."""
    found = []
    for param in params:
        one = copy(param)
        if isinstance(one, TyperArgument):
            one.display_type_rich = lambda ctx: None  # type: ignore[method-assign] # noqa: ARG005
        elif isinstance(one, TyperOption) and one.is_flag:
            one.metavar = ""
        if "--help" in one.opts:
            one.opts, one.help = ["--help", _SHORT], "Show all options; -h shows the usual ones."
            one.rich_help_panel = options.HOW
        found.append(one)
    return found


def _is_hidden(param: Any) -> bool:
    return bool(getattr(param, "hidden", False))


def _is_shown(param: Any, usual: Sequence[str]) -> bool:
    """Tell whether a parameter is in the short help, and put it into the only panel."""
    if isinstance(param, TyperOption):
        param.rich_help_panel = None
    return isinstance(param, TyperArgument) or any(one.lstrip("-") in usual for one in param.opts)


def _split(text: str) -> tuple[list[str], list[str]]:
    """Split the text of a command into paragraphs, a line each, and its examples."""
    text, _, examples = cleandoc(text).partition("Examples:\n")
    return (
        [" ".join(one.split()) for one in text.split("\n\n") if one.strip()],
        [one.strip() for one in examples.splitlines() if one.strip()],
    )
