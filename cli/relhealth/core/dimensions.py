"""Dimensions: further columns of the data, such as ``os``, by which questions filter and group.

A value is text; ``''`` means that a row has none.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from relhealth.core.errors import QuestionError
from relhealth.core.printable import printable

# Values by column, or texts such as ``os=iOS``.
Where: TypeAlias = Mapping[str, Iterable[str]] | Iterable[str]

ENVIRONMENT = "environment"
# The columns of the data contract, and other words for them, with the option in their place.
_OPTIONS = {
    "org_id": "--org",
    "org": "--org",
    "project_id": "--project",
    "project": "--project",
    "release": "--release",
    ENVIRONMENT: "--environment",
    "session_status": "--status of relhealth query",
    "session.status": "--status of relhealth query",
    "timestamp": "--period and --now",
}
_WITHOUT_OPTION = {"metric", "value", "member", "abnormal_mechanism"}
_NOT = "!"


class Condition(NamedTuple):
    """What a column must be: one of the values, or, if ``negated``, none of them."""

    column: str
    values: tuple[str, ...]
    negated: bool = False

    def holds(self, value: str | None) -> bool:
        """Return whether a value meets the condition; null means ``''``."""
        return ((value or "") in self.values) != self.negated

    def texts(self) -> list[str]:
        """Return the condition as typed, a text a value."""
        sign = f"{_NOT}=" if self.negated else "="
        return [f"{self.column}{sign}{value}" for value in self.values]


class Cut(NamedTuple):
    """Which rows a question reads, and what takes the place of their environments.

    ``by`` are columns; an answer that is by environment is then by their values. With none, the
    environments stay.
    """

    where: tuple[Condition, ...] = ()
    by: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The dimensions that the cut reads, each once, without regard to case."""
        named = (*(one.column for one in self.where), *self.by)
        return tuple(sorted({key(name) for name in named} - {ENVIRONMENT}))

    def __bool__(self) -> bool:
        """Return whether it changes anything."""
        return bool(self.where or self.by)


def key(column: str) -> str:
    """Return the form in which names of columns are compared: without case."""
    return column.casefold()


def check_where(where: Where | None) -> tuple[Condition, ...]:
    """Return the conditions of a filter, a column at a time; raise ``QuestionError`` for others.

    Values of one column are alternatives, except those of ``!=``, of which none may be.
    """
    if where is None:
        return ()
    if isinstance(where, str | bytes) or not isinstance(where, Iterable):
        raise QuestionError(f"where {where!r}: expected values by column, or several texts")
    pairs: list[tuple[str, str]]
    if isinstance(where, Mapping):
        pairs = [
            (name, value) for name, values in where.items() for value in _several(name, values)
        ]
    else:
        pairs = [_parsed(text) for text in where]
    if not pairs:
        raise QuestionError("where: nothing named; leave the filter out to ask for all")
    names: dict[str, str] = {}  # of columns, as first spelled
    found: dict[tuple[str, bool], dict[str, None]] = {}
    for name, value in pairs:
        column = check_dimension("--where", str(name).removesuffix(_NOT))
        names.setdefault(key(column), column)
        one = key(column), str(name).endswith(_NOT)
        found.setdefault(one, {})[_text(column, value)] = None
    return tuple(
        Condition(names[column], tuple(values), negated)
        for (column, negated), values in found.items()
    )


def _text(column: str, value: object) -> str:
    try:
        if isinstance(value, str) and value.encode() is not None:
            return value
    except UnicodeEncodeError:
        pass
    raise QuestionError(f"where {printable(column)}: {value!r}: expected text in UTF-8")


def _several(name: object, values: object) -> list[str]:
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise QuestionError(f"where {name!r}: expected several values")
    several = list(values)
    if not several:
        raise QuestionError(f"where {name!r}: no value; leave it out, or ask for '' as none")
    return several


def _parsed(text: object) -> tuple[str, str]:
    """Return the column and the value of a text such as ``os=iOS``."""
    column, equals, value = text.partition("=") if isinstance(text, str) else ("", "", "")
    if not (column.removesuffix(_NOT) and equals):
        raise QuestionError(
            f"--where {printable(str(text))}: expected COLUMN=VALUE or COLUMN!=VALUE"
        )
    return column, value


def check_dimension(option: str, name: object) -> str:
    """Return the name of a dimension; raise ``QuestionError`` for a column of the data contract."""
    if not isinstance(name, str) or not name or not name.isprintable() or "=" in name:
        raise QuestionError(f"{option} {name!r}: expected the name of a column")
    if key(name) in _OPTIONS:
        raise QuestionError(f"{option} {name}: name it with {_OPTIONS[key(name)]}")
    if key(name) in _WITHOUT_OPTION:
        raise QuestionError(
            f"{option} {name}: a column of the data contract that cannot be chosen by"
        )
    return name


# Groups by several columns have one key: their values, each without a slash, joined by slashes.
ESCAPES = (("~", "~0"), ("/", "~1"))


def joined(values: Sequence[str]) -> str:
    """Return the key of a group by several columns; with one column, its value."""
    return values[0] if len(values) == 1 else "/".join(map(_escaped, values))


def split(text: str, count: int) -> list[str]:
    """Return the values of a key of ``count`` columns."""
    return [text] if count == 1 else [_unescaped(part) for part in text.split("/")]


def _escaped(value: str) -> str:
    for plain, escape in ESCAPES:
        value = value.replace(plain, escape)
    return value


def _unescaped(value: str) -> str:
    for plain, escape in reversed(ESCAPES):
        value = value.replace(escape, plain)
    return value
