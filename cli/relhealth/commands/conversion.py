"""Conversion of the words of a command line, without pydantic for plain words.

Typer converts every value with pydantic, which takes as long to import as NumPy. This module
converts plain words itself, and Typer all others. What is wrong is said in words of our own.
"""

import os
import re
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any, get_args

from typer import BadParameter

from relhealth.core.errors import QuestionError
from relhealth.core.given import from_variable
from relhealth.core.printable import printable

_WHOLE = re.compile("[0-9]{1,18}")
_EXPECTED = {float: "a number", bool: "true or false"}
_DECIMAL = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?")


class _NotPlainError(Exception):
    """A word that Typer must convert."""


def convert_plainly(command: Any, parent: Any = None) -> None:
    """Set this conversion for the parameters of a command and of its subcommands."""
    context = command.context_class(command, parent=parent, **command.context_settings)
    for below in getattr(command, "commands", {}).values():
        convert_plainly(below, context)
    for parameter in command.get_params(context):  # --help too, which is not in command.params
        # Typer stores its conversion here when it first needs one.
        parameter._runtime_param = _Conversion()  # noqa: SLF001 - there is no public place for it


class _Conversion:
    """Replaces a parameter's conversion, until a word is not plain."""

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the value of a parameter, like Typer."""
        about = param.type_descriptor
        info = about.parameter_info
        if info.min is not None or info.max is not None:
            return _by_typer(value, param, ctx)
        try:
            found = _plain(value, about.annotation, info.parser)
        except QuestionError as error:  # of our own parser
            raise BadParameter(str(error), ctx=ctx, param=param) from None
        except _NotPlainError:
            return _by_typer(value, param, ctx)
        if isinstance(found, str) and param.envvar:
            source = ctx.get_parameter_source(param.name)
            if source is not None and source.name == "ENVIRONMENT":
                return from_variable(found, param.envvar)
        return found


def _by_typer(value: Any, param: Any, ctx: Any) -> Any:
    param._runtime_param = None  # noqa: SLF001 - as above: Typer creates its conversion
    try:
        return param.get_runtime_param().coerce(value, param=param, ctx=ctx)
    except BadParameter as error:
        expected = _expected(param.type_descriptor)
        if expected is None:
            raise
        message = f"{printable(str(value))!r} is not {expected}"
        raise BadParameter(message, ctx=error.ctx, param=error.param) from None


def _expected(about: Any) -> str | None:
    """Return what a parameter expects; ``None`` for types whose messages are Typer's."""
    kind, least, most = about.annotation, about.parameter_info.min, about.parameter_info.max
    if isinstance(kind, type) and issubclass(kind, Enum):
        return f"one of {', '.join(member.value for member in kind)}"
    if kind in _EXPECTED:
        return _EXPECTED[kind]
    if kind is not int:
        return None
    ends = [f"at least {least}"] if least is not None else []
    ends += [f"at most {most}"] if most is not None else []
    return f"a whole number {' and '.join(ends)}".rstrip()


def _plain(value: Any, kind: Any, parser: Callable[[Any], Any] | None) -> Any:
    """Return a value of a type, or several for a list; ``parser`` is of options of our own."""
    items = get_args(kind)
    if items:
        return [_parsed(each, items[0], parser) for each in value or ()]
    return None if value is None else _parsed(value, kind, parser)


def _parsed(word: Any, kind: Any, parser: Callable[[Any], Any] | None) -> Any:
    return _item(word, kind) if parser is None else parser(word)


def _item(word: Any, kind: Any) -> Any:
    if type(word) is kind:  # a text, or a default
        return word
    if isinstance(word, str) and isinstance(kind, type):
        if kind is int and _WHOLE.fullmatch(word):
            return int(word)
        if kind is float and _DECIMAL.fullmatch(word):
            return float(word)
        if kind is Path and (os.access(word, os.R_OK) or not os.path.lexists(word)):
            return Path(word)
        if issubclass(kind, Enum) and word in {member.value for member in kind}:
            return kind(word)
    raise _NotPlainError
