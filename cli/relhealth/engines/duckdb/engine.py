"""The reference engine: SQL templates over the files that a window needs."""

import os
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from relhealth.core.dimensions import Cut
from relhealth.core.errors import (
    ChangedError,
    DataError,
    GoneError,
    NeedsMemoryError,
)
from relhealth.core.printable import printable
from relhealth.core.windows import EVER, Window, hull
from relhealth.datasets import casts, dimensions
from relhealth.datasets.checking import Checked, unreadable
from relhealth.datasets.contract import COLUMNS
from relhealth.datasets.fetching import fetch
from relhealth.datasets.metric_rows import metric_rows, select_rows
from relhealth.datasets.sources import SourceFile, Sources
from relhealth.engines.interface import Ask
from relhealth.engines.templates import Templates
from relhealth.machine.database import Row

if TYPE_CHECKING:
    import duckdb

# Up to so many rows, a question loads its rows once and runs all its templates on them.
MOST_LOADED = 400_000
# Rows without a timestamp belong to every window.
_LOAD = """
CREATE OR REPLACE TEMP TABLE loaded_rows AS
SELECT * FROM metric_rows
WHERE timestamp IS NULL OR (timestamp >= '{}'::TIMESTAMPTZ AND timestamp < '{}'::TIMESTAMPTZ)
"""
_LOADED = "CREATE OR REPLACE TEMP VIEW metric_rows AS {}"


class DuckdbEngine:
    """Templates over the files of some sources.

    Templates read the relation ``metric_rows``: every file that may hold rows of the window, with
    the contract's columns and types.
    """

    name = "duckdb"

    def __init__(
        self, sources: Sources, templates: Templates, *, org: int | None, threads: int | None
    ) -> None:
        """Read nothing yet; ``org`` narrows every question to one organisation."""
        self._sources = sources
        self._templates = templates
        self._org = org
        self._looked_through: set[str] = set()  # paths of files
        self._loaded: Window | None = None  # the window of the loaded rows
        self._columns: tuple[str, ...] = ()  # their dimensions
        self._states: dict[str, tuple[int, int] | None] = {}  # of the loaded files
        self._checked = Checked(threads or len(os.sched_getaffinity(0)))

    def refuses(self, ask: Ask) -> str | None:  # noqa: ARG002 - the interface's
        """Return None: every component is a template."""
        return None

    def answer(self, asks: Sequence[Ask]) -> list[list[Row]]:
        """Return the rows of each ask."""
        columns = {name for ask in asks for name in ask.scope.cut.columns}
        self._load(hull([ask.window for ask in asks]), columns)
        return [self._answer(ask) for ask in asks]

    def close(self) -> None:
        """Close the database, if it was opened."""
        self._templates.close()

    def rows(self, name: str, values: Mapping[str, object]) -> list[Row]:
        """Run a template over all rows; return one mapping per row."""
        return self._rows(self._sources.files, name, values, None)

    def all_rows(
        self,
        asked: Sequence[tuple[str, Mapping[str, object]]],
        cut: Cut = Cut(),  # noqa: B008 - it is immutable
    ) -> list[list[Row]]:
        """Run templates over all rows of a cut, one after the other."""
        files = self._sources.files
        return [self._rows(files, name, values, None, cut) for name, values in asked]

    def refuse_columns(self, columns: Sequence[str]) -> None:
        """Raise ``DataError`` if a dimension has a type that is none of a dimension's."""
        dimensions.refuse(self._sources.files, columns)

    def rows_of(
        self, files: tuple[SourceFile, ...], name: str, values: Mapping[str, object]
    ) -> list[Row]:
        """Run a template over all rows of these files."""
        return self._rows(files, name, values, None)

    def rows_in(self, window: Window) -> int:
        """Return how many rows there are in the files that may hold rows of a window."""
        return sum(file.rows for file in self._files(window))

    def _answer(self, ask: Ask) -> list[Row]:
        rows = self._rows(
            self._files(ask.window),
            ask.component.name,
            ask.values(),
            ask.window,
            ask.scope.cut,
            parted_by=ask.parted_by,
            most=ask.most_rows,
        )
        ask.refuse_more(rows)
        return rows

    def _files(self, window: Window) -> tuple[SourceFile, ...]:
        return tuple(file for file in self._sources.files if file.overlaps(window))

    def _load(self, window: Window, columns: Collection[str]) -> None:
        """Load the rows of a window, with some dimensions, if they are few and not yet loaded."""
        if self._loaded is not None:
            self._refuse_change()
            if self._loaded.holds(window) and set(columns) <= set(self._columns):
                return
            window = window.hull(self._loaded)
        files = self._files(window)
        if not files or sum(file.rows for file in files) > MOST_LOADED:
            return
        self._loaded = None
        self._templates.forget()
        states = {file.absolute: _state(file.absolute) for file in files}
        self._columns = tuple(sorted({*columns, *self._columns}))
        self._prepare(files, window, self._columns)
        import duckdb

        within = self._within(files, window)
        try:
            self._templates.database.execute(
                metric_rows(files, self._org, within, columns=self._columns)
            )
            self._templates.database.run(
                "loading", _LOAD.format(window.start.isoformat(), window.end.isoformat()), {}
            )
        except NeedsMemoryError:
            return
        except duckdb.Error as error:
            raise self._explain(error, files, None, {}, self._columns) from error
        self._loaded = window
        self._states = states

    def _refuse_change(self) -> None:
        """Raise ``ChangedError`` if a file has changed since it was loaded."""
        for path, state in self._states.items():
            if _state(path) != state:
                raise ChangedError([f"{printable(path)}: changed since it was found"])

    def _rows(
        self,
        files: tuple[SourceFile, ...],
        name: str,
        values: Mapping[str, object],
        window: Window | None,
        cut: Cut = Cut(),  # noqa: B008 - it is immutable
        *,
        parted_by: Sequence[str] = (),
        most: int | None = None,
    ) -> list[Row]:
        """Run a template over the rows of a cut, of files or loaded from them.

        Raises ``DataError`` if a file has values that have no cast to the contract's types.
        """
        loaded = window is not None and self._loaded is not None and self._loaded.holds(window)
        if loaded and set(cut.columns) <= set(self._columns):
            return self._templates.run(
                name,
                values,
                viewed=(self._loaded, cut),
                view=lambda: _LOADED.format(dimensions.cut_of("loaded_rows", cut, self._columns)),
                explain=lambda error: error,
                parted_by=parted_by,
                most=most,
            )
        self._prepare(files, window, cut.columns)
        within = self._within(files, window)
        return self._templates.run(
            name,
            values,
            viewed=(files, within, cut),
            view=lambda: metric_rows(files, self._org, within, cut),
            explain=lambda error: self._explain(error, files, name, values, cut.columns),
            parted_by=parted_by,
            most=most,
        )

    @staticmethod
    def _within(files: Sequence[SourceFile], window: Window | None) -> Window | None:
        # A timestamp in nanoseconds cannot hold the ends of EVER.
        return window if window != EVER and any(file.nanoseconds for file in files) else None

    def _prepare(
        self, files: Sequence[SourceFile], window: Window | None, columns: Sequence[str] = ()
    ) -> None:
        """Check the pages to read, and once per file the columns whose values may have no cast."""
        self._checked.check(files, window, columns)
        import duckdb

        for file in files:
            if not file.doubts or file.absolute in self._looked_through:
                continue
            fetch([file], None)
            try:
                casts.refuse(file.path, file.absolute, file.doubts, self._ask)
            except duckdb.Error as error:
                raise unreadable(file, error) from error
            self._looked_through.add(file.absolute)

    def _ask(self, sql: str) -> list[Row]:
        return self._templates.database.run("looking through", sql, {})

    def _explain(
        self,
        error: "duckdb.Error",
        files: Sequence[SourceFile],
        name: str | None,
        values: Mapping[str, object],
        columns: Sequence[str] = (),
    ) -> Exception:
        """Return an error that names the faulty file; without one, return the error itself.

        ``columns`` are the dimensions that were read too.
        """
        import duckdb

        gone = [file.path for file in files if not os.path.exists(file.absolute)]
        if gone:
            return GoneError(*gone)
        fetch(files, None)
        # As text, because DuckDB takes other extremes from the footer without reading a page.
        names = [*(column.name for column in COLUMNS), *map(casts.quoted, columns)]
        read = ", ".join(f"max({name}::VARCHAR)" for name in names)
        faults: list[str] = []
        database = self._templates.database
        for file in files:
            further = dimensions.expressions(file, columns)
            sql = f"SELECT {read} FROM ({select_rows([file], None, None, further=further)})"
            try:
                database.run("looking for the fault", sql, {})
                if name is not None:  # it may read more than the pages
                    self._templates.forget()
                    database.execute(metric_rows([file], self._org))
                    database.rows(name, values)
            except duckdb.Error as fault:
                faults.extend(unreadable(file, fault).faults)
        return DataError(faults) if faults else error


def _state(path: str) -> tuple[int, int] | None:
    """Return the size and time of change of a file; None if it is gone."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
