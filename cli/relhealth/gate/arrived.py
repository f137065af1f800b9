"""What had arrived by a look at the past: its rows, in a database, and questions about them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from relhealth.core.dimensions import Condition, Cut
from relhealth.datasets import dimensions
from relhealth.datasets.contract import COLUMNS
from relhealth.datasets.metric_rows import metric_rows
from relhealth.engines.interface import Ask
from relhealth.engines.templates import Templates
from relhealth.gate.arrivals import Arrivals
from relhealth.machine import memory
from relhealth.machine.database import Row
from relhealth.questions.asking import Asking

_READING = 128 * memory.MEGABYTE  # what reading the files takes beside the database, measured
# As enumerations, texts take a fifth of the memory.
_TEXTS = tuple(column.name for column in COLUMNS if column.sql_type == "VARCHAR")
_DISTINCT = "CREATE OR REPLACE TEMP TABLE texts AS SELECT DISTINCT {} FROM metric_rows"
_TEXT = "CREATE TYPE {0}_text AS ENUM (SELECT DISTINCT {0} FROM texts WHERE {0} IS NOT NULL)"
_LOAD = "SELECT * REPLACE ({}) FROM (SELECT {}, look FROM ({})) WHERE {}"
# Templates group by project. To have them group by arrival too, they see each part of a project.
_PARTS = """
CREATE OR REPLACE TEMP TABLE parts AS
SELECT project_id, look, row_number() OVER () AS part
FROM (SELECT DISTINCT project_id, look FROM arrived_rows WHERE project_id IS NOT NULL)
"""
_BY_PART = """
CREATE OR REPLACE TEMP VIEW metric_rows AS
SELECT rows.* EXCLUDE (look) REPLACE (parts.part AS project_id)
FROM arrived_rows AS rows
JOIN parts ON rows.project_id = parts.project_id AND rows.look = parts.look
"""
_BY_THEN = """
CREATE OR REPLACE TEMP VIEW metric_rows AS
SELECT * EXCLUDE (look) FROM arrived_rows WHERE look <= {:d}
"""


class ArrivedRows:
    """The rows of data sets, in a database, with the number of the look by which each arrived."""

    def __init__(
        self, arrivals: Arrivals, looks: Sequence[datetime], where: tuple[Condition, ...] = ()
    ) -> None:
        """Load nothing yet; only rows that meet the conditions count."""
        reading = arrivals.reading
        self._cut = Cut(where)
        self._arrivals = arrivals
        self._looks = looks
        self._templates = Templates(reading.memory_limit, reading.threads, reading.observer)
        self._parts: dict[int, tuple[int, int]] = {}  # project and look

    def load(self, projects: tuple[int, ...] | None) -> None:
        """Load the rows; what does not fit into memory spills to files."""
        reading, database = self._arrivals.reading, self._templates.database
        share, _ = memory.of_database(reading.memory_limit, reading.threads or 1)
        database.allow(max(share // 2, share - _READING))
        self._enumerate()
        conditions = ["true"]
        if reading.org is not None:
            conditions.append(f"org_id = {reading.org:d}")
        if projects is not None:
            conditions.append(f"project_id IN ({', '.join(map(str, projects))})")
        sql = _LOAD.format(
            ", ".join(f"{name}::{name}_text AS {name}" for name in _TEXTS),
            ", ".join(self._arrivals.files[0].rows.projection),
            dimensions.cut_of("arriving", self._cut, self._cut.columns),
            " AND ".join(conditions),
        )
        rows = self._arrivals.rows(self._looks, self._cut.columns)
        database.load("arrived_rows", sql, rows)
        database.run("loading", _PARTS, {})
        parts = database.run("loading", "SELECT * FROM parts", {})
        self._parts = {one["part"]: (one["project_id"], one["look"]) for one in parts}

    def _enumerate(self) -> None:
        database = self._templates.database
        try:
            database.execute(metric_rows([file.rows for file in self._arrivals.files]))
            database.run("loading", _DISTINCT.format(", ".join(_TEXTS)), {})
        except Exception:
            for _ in self._arrivals.rows(self._looks):  # raises the error that names the file
                pass
            raise
        for name in _TEXTS:
            database.execute(_TEXT.format(name))

    def close(self) -> None:
        """Close the database."""
        self._templates.close()

    def answer(self, asks: Sequence[Ask], look: int) -> list[list[Row]]:
        """Return the rows of each ask, from what had arrived by a look."""
        return [self._rows(ask, look, _BY_THEN.format(look)) for ask in asks]

    def by_arrival(self, ask: Ask) -> list[Row]:
        """Return the rows of an ask by project, each with the ``look`` by which it arrived."""
        every = ask._replace(scope=replace(ask.scope, projects=None))  # parts are no projects
        found = []
        for row in self._rows(every, None, _BY_PART):
            project, look = self._parts[row["project_id"]]
            found.append({**row, "project_id": project, "look": look})
        return found

    def _rows(self, ask: Ask, viewed: int | None, view: str) -> list[Row]:
        return self._templates.run(
            ask.component.name,
            ask.values(),
            viewed=viewed,
            view=lambda: view,
            explain=lambda error: error,
            parted_by=ask.parted_by,
        )


class AskingThen(Asking):
    """Questions about what had arrived by a look."""

    def __init__(self, asking: Asking, rows: ArrivedRows, look: int) -> None:
        """Ask as ``asking`` does, but of other rows."""
        vars(self).update(vars(asking))
        self._rows = rows
        self._look = look

    def answer(self, asks: Sequence[Ask]) -> list[list[Row]]:
        """Return the rows of each ask."""
        return self._rows.answer(asks, self._look)


@contextmanager
def arrived_rows(
    arrivals: Arrivals | None,
    looks: Sequence[datetime],
    projects: tuple[int, ...] | None,
    where: tuple[Condition, ...] = (),
) -> Iterator[ArrivedRows | None]:
    """Yield the loaded rows; ``None`` if none is known to have arrived by the last look."""
    if arrivals is None or not arrivals.seen(looks):
        yield None
        return
    rows = ArrivedRows(arrivals, looks, where)
    try:
        rows.load(projects)
        yield rows
    finally:
        rows.close()
