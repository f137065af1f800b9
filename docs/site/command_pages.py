"""The page of a command, from the application's own help and its section of usage.md."""

import re
from functools import cache
from typing import Any

from relhealth.commands.app import commands_for

_HELP = re.compile(r"^```text\n\$ relhealth[^\n]*--help\n.*?^```\n", re.DOTALL | re.MULTILINE)
_MARKUP = re.compile(r"\\(?=\[)")  # Rich's escape
_MARKDOWN = re.compile(r"([\\*_\[\]<>#|~])")


@cache
def commands() -> dict[str, Any]:
    """Return the commands by name, in the order of the help."""
    return dict(commands_for([]).commands)


def slug(name: str) -> str:
    """Return the name of a command as part of an address."""
    return name.replace(" ", "-")


def table() -> str:
    """Return the list of commands, each with its sentence and a link."""
    lines = ["| command | what it does |", "| --- | --- |"]
    for name, command in commands().items():
        link = f"[`relhealth {name}`](usage.md#relhealth-{slug(name)})"
        lines.append(f"| {link} | {_prose(_paragraphs(command.help)[0])} |")
    return "\n".join(lines) + "\n"


def page(name: str, section: str) -> str:
    """Return the page of a command as Markdown, with links as on the page on usage.

    ``section`` is what that page says on the command; the options are the application's.
    """
    command = commands()[name]
    context = command.context_class(command, info_name=f"relhealth {name}")
    paragraphs = _paragraphs(command.help)
    heads = [at for at, one in enumerate(paragraphs) if one in {"Example:", "Examples:"}]
    at = heads[0] if heads else len(paragraphs)
    usage = " ".join(command.collect_usage_pieces(context))
    examples = "\n".join(f"$ {line}" for line in paragraphs[at + 1 :])
    parts = [
        f"# `relhealth {name}`",
        *map(_prose, paragraphs[:at]),
        f"```text\nrelhealth {name} {usage}\n```",
        f"```console\n{examples}\n```" if examples else "",
        without_help(section).strip().replace("\n### ", "\n## "),
    ]
    for panel, listed in _panels(command, context).items():
        parts += [f"## {panel}", *listed]
    return "\n\n".join(part for part in parts if part) + "\n"


def without_help(section: str) -> str:
    """Return a section of the page on usage without its help block."""
    return _HELP.sub("", section)


def _panels(command: Any, context: Any) -> dict[str, list[str]]:
    """Return the parameters, each as an item of a list of definitions, by panels of the help."""
    panels: dict[str, list[str]] = {}
    for parameter in command.get_params(context):
        if parameter.hidden:
            continue
        is_argument = parameter.param_type_name == "argument"
        panel = parameter.rich_help_panel or ("Arguments" if is_argument else "Options")
        panels.setdefault(panel, []).append(_definition(parameter, context, is_argument))
    if "Options" in panels:  # last: there is little more than --help in it
        panels["Options"] = panels.pop("Options")
    return panels


def _definition(parameter: Any, context: Any, is_argument: bool) -> str:  # noqa: FBT001 - local
    value = parameter.metavar or ""
    if not (value or is_argument or parameter.is_bool_flag):
        value = (parameter.display_type_rich(context) or "").strip("<>")
    names = [] if is_argument else [*parameter.opts, *parameter.secondary_opts]
    words = [f"`{name}`" for name in names]
    term = ", ".join(words) + (f" `{value}`" if value else "")
    told = [_prose(parameter.help or "")]
    if parameter.required:
        told.append("Required.")
    default = parameter.default if parameter.show_default else None
    if isinstance(default, str | int | float) and not isinstance(default, bool):
        told.append(f"Default: `{default}`.")
    if isinstance(parameter.envvar, str):
        told.append(f"Variable: `{parameter.envvar}`.")
    return f"{term.strip()}\n: {' '.join(told)}"


def _paragraphs(text: str) -> list[str]:
    found = re.split(r"\n\s*\n", text.replace("\b\n", ""))
    return [" ".join(paragraph.split()) for paragraph in found if paragraph.strip()]


def _prose(text: str) -> str:
    """Return text of the help as Markdown: what is in backquotes stays."""
    parts = re.split(r"(`[^`]*`)", _MARKUP.sub("", text))
    parts[::2] = [_MARKDOWN.sub(r"\\\1", part) for part in parts[::2]]
    return "".join(parts)
