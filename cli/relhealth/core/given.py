"""Texts that a variable of the environment gave, so that messages can name it."""


class _FromVariable(str):  # noqa: SLOT000 - of a few texts a process
    """A text that a variable gave."""

    variable: str


def from_variable(text: str, name: str) -> str:
    """Return a text as one that a variable gave."""
    given = _FromVariable(text)
    given.variable = name
    return given


def origin(text: object, option: str = "") -> str:
    """Return the variable that gave a text, else the option that can give it."""
    return text.variable if isinstance(text, _FromVariable) else option


def of_variable(text: object) -> str:
    """Return the beginning of a message about a text: the variable that gave it, if one did."""
    name = origin(text)
    return f"{name}: " if name else ""
