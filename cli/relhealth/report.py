"""A report: an answer laid out for rendering, in any format, whatever the question was."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

# The version of the JSON documents, told in ``meta.format``:
# 1: ``overview`` and ``inspect``.
JSON_FORMAT = 1


class Unit(Enum):
    """What the values of a column are, which decides how a format writes them."""

    PROJECT = auto()  # an id
    RELEASE = auto()  # a name
    TEXT = auto()
    COUNT = auto()
    PERCENT = auto()  # 0 to 100
    CRASH_FREE = auto()  # percent, good when high
    SHARE = auto()  # percent of a whole
    SECONDS = auto()
    FLAG = auto()
    INSTANT = auto()
    SERIES = auto()  # {period: [[epoch seconds, count], ...]}


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its stable name, its unit, and its heading where people read it."""

    name: str
    unit: Unit
    heading: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of one kind; where room is scarce, the first columns are the first to find some.

    ``columns`` come in reading order; ``stable`` has the names in the order of machine formats.
    """

    title: str
    columns: tuple[Column, ...]
    rows: Sequence[Mapping[str, Any]]
    stable: tuple[str, ...]

    def stable_columns(self) -> list[Column]:
        """Return the columns in the order of machine formats."""
        by_name = {column.name: column for column in self.columns}
        return [by_name[name] for name in self.stable]


@dataclass(frozen=True, slots=True)
class Report:
    """An answer: ``meta`` and ``data`` as JSON has them, ``tables`` as people read them.

    Beside the data are said ``summary``, ``window`` (where the tables, which tell it, are not seen)
    and ``warnings``, what a reader must know.
    """

    meta: Mapping[str, Any]
    data: object
    tables: tuple[Table, ...]
    summary: str
    window: str | None = None
    warnings: tuple[str, ...] = ()


def counted(count: int, what: str) -> str:
    """Return a count with its noun: ``1 file``, ``2 files``."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"
