"""A report: an answer laid out for rendering, in any format, whatever the question was."""

from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Any, NamedTuple

from relhealth.core import clock
from relhealth.core.printable import printable
from relhealth.core.units import Unit

# The version of the JSON documents, told in ``meta.format``:
# 1: every command.
JSON_FORMAT = 1


class Column(NamedTuple):
    """One column: its stable name, its unit, and its heading where people read it."""

    name: str
    unit: Unit
    heading: str


class Table(NamedTuple):
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


class Outcome(Enum):
    """How a case of a test report ended."""

    PASSED = auto()
    FAILED = auto()
    SKIPPED = auto()  # nothing could be told
    ERROR = auto()  # it could not be evaluated


class Case(NamedTuple):
    """One thing that was checked, for formats of test results."""

    subject: str  # what was checked
    name: str  # what was checked of it
    outcome: Outcome
    message: str
    origin: str  # the file that asks for it


class Family(NamedTuple):
    """A family of gauges: samples of labels and value, in base units; ``unit`` ends the name."""

    name: str
    help: str
    unit: str  # ratio, seconds, or empty for a count
    samples: tuple[tuple[Mapping[str, str], float], ...]


class Report(NamedTuple):
    """An answer: ``meta`` and ``data`` as JSON has them, ``tables`` as people read them.

    ``records`` is the table that formats of rows write, where it is not the only one of
    ``tables``; ``notes`` are lines below the tables. ``cases`` and ``families`` are for formats of
    test results and of metrics; None where an answer has none.

    Beside the data are said ``summary``, ``window`` (where the tables, which tell it, are not seen)
    and ``warnings``, what a reader must know.
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

    def row_tables(self) -> tuple[Table, ...]:
        """Return the tables that formats of rows write."""
        return self.tables if self.records is None else (self.records,)


def empty_warnings(paths: Sequence[str]) -> list[str]:
    """Return what is told of files without a row: one line, however many they are."""
    if not paths:
        return []
    if len(paths) == 1:
        return [f"{printable(paths[0])}: the file has no rows"]
    return [f"{len(paths):,} files have no rows, such as {printable(paths[0])}"]


def last_run(command: str, **labels: str) -> Family:
    """Return when a command ran last, by the clock: so that an old file of metrics is noticed.

    ``labels`` tell the runs of one command apart whose files share a folder.
    """
    now = float(int(clock.now().timestamp()))
    return Family(
        f"relhealth_{command}_last_run_timestamp_seconds",
        f"When relhealth {command} ran last, by the clock.",
        "seconds",
        ((labels, now),),
    )
