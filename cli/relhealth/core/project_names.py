"""The names that the settings give to projects, while a command runs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from relhealth.core.errors import QuestionError
from relhealth.core.nearest import hint
from relhealth.core.printable import printable

# What reads a command line and what writes a table are far apart, and few of the modules between
# them know of projects.
_IDS: ContextVar[Mapping[str, int]] = ContextVar("ids of projects by name")


@contextmanager
def named_projects(ids: Mapping[str, int]) -> Iterator[None]:
    """Let these names mean projects, until the end of the context."""
    token = _IDS.set(ids)
    try:
        yield
    finally:
        _IDS.reset(token)


def ids_by_name() -> Mapping[str, int]:
    """Return the id of each project that has a name."""
    return _IDS.get({})


def name_of(project: int) -> str | None:
    """Return the first name of a project, ``None`` if it has none."""
    return next((name for name, one in ids_by_name().items() if one == project), None)


def project_text(project: int) -> str:
    """Return a project for people: its name, printable, else its id."""
    name = name_of(project)
    return str(project) if name is None else printable(name)


def project_id(word: int | str, ids: Mapping[str, int] | None = None) -> int:
    """Return the project that an id or a name means; the default is the names in force.

    Raises ``QuestionError`` for an unknown name, with the nearest ones.
    """
    if isinstance(word, int):
        return word
    ids = ids_by_name() if ids is None else ids
    if is_id(word):
        return int(word)
    if word in ids:
        return ids[word]
    told = hint(word, ids)
    if not told:
        known = f"; known are {', '.join(ids)}" if ids else ""
        told = f": expected an id, or a name of [projects] in relhealth.toml{known}"
    raise QuestionError(f"project {printable(word)!r}: unknown{told}")


def is_id(word: str) -> bool:
    """Tell whether a word is the id of a project."""
    digits = word.removeprefix("-")
    return digits.isascii() and digits.isdecimal() and len(digits) < 20  # noqa: PLR2004 - int64


def is_project(word: str) -> bool:
    """Tell whether a word is the id or the name of a project."""
    return is_id(word) or word in ids_by_name()
