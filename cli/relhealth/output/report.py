"""A report: the answer to any question, laid out for rendering in any format."""

from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Any, NamedTuple

from relhealth.core import clock
from relhealth.core.printable import printable
from relhealth.core.units import Unit
from relhealth.core.version import __version__
from relhealth.output.html.content import Page

# The version of the JSON documents, stored in ``meta.format``:
# 1: every command.
JSON_FORMAT = 1


class Column(NamedTuple):
    """One column: its stable name, its unit, and its heading where people read it."""

    name: str
    unit: Unit
    heading: str


class Table(NamedTuple):
    """Rows of one kind; if there is little room, the first columns take precedence.

    ``columns`` are in reading order. ``stable`` has the names in the order of machine formats, if
    that is another. ``main`` has the names of the columns that are enough where the width is not
    known; None for all. ``optional`` has the names of those that are left out if no row has a
    value. ``is_chosen`` means that the user asked for the columns: they are shown, even too wide.
    ``group`` is the column whose value is a heading above its rows, in formats for people, and
    ``below`` the one whose sentence has lines of its own below its row, in the terminal table.

    A row can have more than its columns: ``target`` and ``critical``, the limits of its crash-free
    figures, in percent.
    """

    title: str
    columns: tuple[Column, ...]
    rows: Sequence[Mapping[str, Any]]
    stable: tuple[str, ...] | None = None
    main: tuple[str, ...] | None = None
    optional: tuple[str, ...] = ()
    is_chosen: bool = False
    group: str | None = None
    below: str | None = None

    def shown(self, *, every: bool = False) -> list[Column]:
        """Return the columns for people: those that are enough, or ``every`` one."""
        return [
            one
            for one in self.columns
            if (every or self.main is None or one.name in self.main or one.unit is Unit.SERIES)
            and (
                one.name not in self.optional or any(row[one.name] is not None for row in self.rows)
            )
        ]

    def stable_columns(self) -> list[Column]:
        """Return the columns in the order of machine formats."""
        if self.stable is None:
            return list(self.columns)
        by_name = {column.name: column for column in self.columns}
        return [by_name[name] for name in self.stable]


class Outcome(Enum):
    """How a case of a test report ended."""

    PASSED = auto()
    FAILED = auto()
    SKIPPED = auto()  # no verdict
    ERROR = auto()  # it could not run


class Case(NamedTuple):
    """One check, for formats of test results."""

    subject: str  # the subject of the check
    name: str  # the check
    outcome: Outcome
    message: str
    origin: str | None  # the file that defines it, if there is one


class Family(NamedTuple):
    """A family of gauges: samples of labels and value, in base units; ``unit`` ends the name."""

    name: str
    help: str
    unit: str  # ratio, seconds, or empty for a count
    samples: tuple[tuple[Mapping[str, str], float], ...]


class Lead(NamedTuple):
    """The answer in a word and a sentence, for people."""

    word: str
    sentence: str


class Report(NamedTuple):
    """An answer: ``meta`` and ``data`` for JSON, ``tables`` for people.

    ``records`` is the table that formats of rows write, if it is not the only one of
    ``tables``. ``lead`` are lines above the tables, the answer in words; ``notes`` are lines below
    them. ``cases`` and ``families`` are for formats of test results and of metrics; None if an
    answer has none. ``page`` is what an HTML page shows beside the tables.

    The messages beside the data are ``summary``, ``window`` (if the reader does not see the
    tables) and ``warnings``.
    """

    meta: Mapping[str, Any]
    data: object
    tables: tuple[Table, ...]
    summary: str
    window: str | None = None
    warnings: tuple[str, ...] = ()
    records: Table | None = None
    notes: tuple[str, ...] = ()
    cases: tuple[Case, ...] | None = None
    families: tuple[Family, ...] | None = None
    lead: tuple[Lead, ...] = ()
    page: Page | None = None

    def only_where(self, conditions: Sequence[str]) -> "Report":
        """Return the report with the conditions of its rows: in ``meta``, titles and labels."""
        told = ", ".join(map(printable, conditions))
        first, *others = self.tables
        title = f"{first.title} · {told}" if first.title else told
        label = {"where": ",".join(conditions)}
        families = self.families and tuple(
            one._replace(samples=tuple(({**labels, **label}, n) for labels, n in one.samples))
            for one in self.families
        )
        return self._replace(
            meta={**self.meta, "where": list(conditions)},
            tables=(first._replace(title=title), *others),
            families=families,
        )

    def row_tables(self) -> tuple[Table, ...]:
        """Return the tables that formats of rows write."""
        return self.tables if self.records is None else (self.records,)


def meta_of(command: str, **more: Any) -> dict[str, Any]:
    """Return the meta data of a command's answer; ``more`` follows what all commands have."""
    return {"format": JSON_FORMAT, "command": command, "relhealth": __version__, **more}


def records_table(
    units: Mapping[str, Unit], rows: Sequence[Mapping[str, Any]], title: str = ""
) -> Table:
    """Return a table for formats of rows: each unit has a column, in that order."""
    return Table(title, tuple(Column(name, unit, name) for name, unit in units.items()), rows)


def counts_table(title: str, counts: Mapping[str, int]) -> Table:
    """Return a table with one row of counts; their names are the headings."""
    columns = (Column(name, Unit.COUNT, name.replace("_", " ").capitalize()) for name in counts)
    return Table(title, tuple(columns), [counts])


def empty_warnings(paths: Sequence[str]) -> list[str]:
    """Return a warning of files without rows: one line for any number of files."""
    if not paths:
        return []
    if len(paths) == 1:
        return [f"{printable(paths[0])}: the file has no rows"]
    return [f"{len(paths):,} files have no rows, such as {printable(paths[0])}"]


def data_age(command: str, ages: Mapping[int, float] | None, **labels: str) -> Family:
    """Return the age of each project's newest session; ``labels`` are as in ``last_run``."""
    return Family(
        "relhealth_data_age_seconds",
        "The age of the newest session of the project.",
        "seconds",
        tuple(
            ({"command": command, "project": str(project), **labels}, age)
            for project, age in sorted((ages or {}).items())
        ),
    )


def last_run(command: str, **labels: str) -> Family:
    """Return when a command ran last, by the clock, to make an old file of metrics visible.

    ``labels`` distinguish runs of one command whose files share a folder.
    """
    now = float(int(clock.now().timestamp()))
    return Family(
        f"relhealth_{command}_last_run_timestamp_seconds",
        f"When relhealth {command} ran last, by the clock.",
        "seconds",
        ((labels, now),),
    )
