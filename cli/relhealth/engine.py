"""The engine: runs SQL templates over the files that a window needs."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING

from relhealth import casts
from relhealth.checking import Checked, unreadable
from relhealth.contract import COLUMNS
from relhealth.database import Database, Observer, Row, first_line
from relhealth.errors import ChangedError, DataError, TooLargeSumError
from relhealth.printable import printable
from relhealth.slicing import ask_in_slices, keys
from relhealth.sources import SourceFile, Sources
from relhealth.sql import parquet_files
from relhealth.windows import Window

if TYPE_CHECKING:
    import duckdb

    from relhealth.rollup.reader import Rollup
    from relhealth.rollup.view import View

# Leaves of ``metric_rows`` the rows that a condition holds for.
_SLICE = """
DROP VIEW IF EXISTS whole_metric_rows;
ALTER VIEW metric_rows RENAME TO whole_metric_rows;
CREATE TEMP VIEW metric_rows AS SELECT * FROM whole_metric_rows WHERE {}
"""


class Engine:
    """Templates over the files of some sources, or over their rollup.

    Templates read the relation ``metric_rows``: the contract's columns, with its types, of every
    file that may hold rows of the window.
    """

    def __init__(
        self,
        sources: Sources,
        *,
        rollup: "Rollup | None" = None,
        org: int | None = None,
        memory_limit: str | None = None,
        threads: int | None = None,
        observer: Observer | None = None,
    ) -> None:
        """Open nothing yet; ``org`` narrows every question to one organisation."""
        self._sources = sources
        self._rollup = rollup
        self._org = org
        self._looked_through: set[str] = set()  # files, by path
        self._viewed: tuple[object, str | None] | None = None  # what ``metric_rows`` is of
        self._limits = (memory_limit, threads, observer)
        self._checked = Checked(threads or len(os.sched_getaffinity(0)))

    @cached_property
    def _database(self) -> Database:
        """The database, opened by the first template that is run."""
        memory_limit, threads, observer = self._limits
        return Database(memory_limit=memory_limit, threads=threads, observer=observer)

    def close(self) -> None:
        """Close the database, if it was opened."""
        if "_database" in self.__dict__:
            self._database.close()

    def rows(
        self, name: str, values: Mapping[str, object], window: Window | None = None
    ) -> list[Row]:
        """Run a template over the rows of ``window`` (None: of all time); one mapping a row.

        ``values`` must hold a value for each parameter that the template names and may hold more.
        """
        rollup = self._rollup
        view = rollup.view(name, values.get("rollup"), window) if rollup is not None else None
        if rollup is not None and view is not None:
            return self._rows_of_rollup(rollup, view, name, values)
        files = self._sources.files
        if window is not None:
            files = tuple(file for file in files if file.overlaps(window))
        return self.rows_of(files, name, values, window)

    def rows_of(
        self,
        files: tuple[SourceFile, ...],
        name: str,
        values: Mapping[str, object],
        window: Window | None = None,
    ) -> list[Row]:
        """Run a template over just these files.

        Raises ``DataError`` where a file has values that cannot be cast to the contract's types.
        """
        self._checked.check(files, window)
        self._look_through(files)
        cut = window if any(file.nanoseconds for file in files) else None
        return self._run(
            name,
            values,
            viewed=(files, cut),
            view=lambda: metric_rows(files, self._org, cut),
            explain=lambda error: self._explain(error, files, name, values),
        )

    def _look_through(self, files: Sequence[SourceFile]) -> None:
        """Look once through the columns of files whose values may have no cast."""
        import duckdb

        for file in files:
            if not file.doubts or file.absolute in self._looked_through:
                continue
            try:
                casts.refuse(file.path, file.absolute, file.doubts, self._ask)
            except duckdb.Error as error:
                raise unreadable(file, error) from error
            self._looked_through.add(file.absolute)

    def _ask(self, sql: str) -> list[Row]:
        return self._database.run("looking through", sql, {})

    def _rows_of_rollup(
        self, rollup: "Rollup", view: "View", name: str, values: Mapping[str, object]
    ) -> list[Row]:
        if view.rest and not rollup.has_rest(view.days):
            return []
        rollup.check(view)
        return self._run(
            name,
            values,
            viewed=view,
            view=lambda: rollup.view_sql(view, self._org),
            explain=lambda error: self._explain_rollup(error, rollup),
        )

    def _run(
        self,
        name: str,
        values: Mapping[str, object],
        *,
        viewed: object,
        view: Callable[[], str],
        explain: Callable[["duckdb.Error"], Exception],
    ) -> list[Row]:
        """Run a template over a view, made unless ``metric_rows`` is of ``viewed`` already.

        Where that needs too much memory, it is run over slices of the view.
        """
        import duckdb

        def ask(condition: str | None) -> list[Row]:
            if (viewed, condition) != self._viewed:
                self._viewed = None
                self._database.execute(view())
                if condition is not None:
                    self._database.execute(_SLICE.format(condition))
                self._viewed = viewed, condition
            return self._database.rows(name, values)

        try:
            return ask_in_slices(ask, keys(name, values))
        except duckdb.Error as error:
            raise explain(error) from error

    def _explain(
        self,
        error: "duckdb.Error",
        files: Sequence[SourceFile],
        name: str,
        values: Mapping[str, object],
    ) -> Exception:
        """Name the file that a failed read stumbled over; the error itself where none does."""
        import duckdb

        gone = [file.path for file in files if not os.path.exists(file.absolute)]
        if gone:
            return ChangedError([f"{printable(path)}: gone since it was found" for path in gone])
        # As text, since DuckDB answers other extremes from the footer, without reading a page.
        columns = ", ".join(f"max({column.name}::VARCHAR)" for column in COLUMNS)
        of_sum = _of_sum(error)
        faults: list[str] = []
        for file in files:
            sql = f"SELECT {columns} FROM ({_select([file], None, None)})"
            try:
                self._database.run("looking for the fault", sql, {})
                if of_sum is None:  # the template may read what is beside the pages
                    self._viewed = None
                    self._database.execute(metric_rows([file], self._org))
                    self._database.rows(name, values)
            except duckdb.Error as fault:
                faults.extend(unreadable(file, fault).faults)
        return DataError(faults) if faults else of_sum or error

    @staticmethod
    def _explain_rollup(error: "duckdb.Error", rollup: "Rollup") -> Exception:
        missing = rollup.missing()
        if missing is not None:
            return ChangedError([f"{printable(missing)}: gone since it was found"])
        return _of_sum(error) or DataError(
            f"{printable(rollup.folder)}: damaged; relhealth rollup --force makes it anew"
            f" ({first_line(error)})"
        )


def _of_sum(error: "duckdb.Error") -> DataError | None:
    """Return what is told where the data is in order, and a sum of it is too large."""
    import duckdb

    if isinstance(error, duckdb.ConversionException):
        return TooLargeSumError()
    return None


def metric_rows(
    files: Sequence[SourceFile], org: int | None = None, window: Window | None = None
) -> str:
    """Return SQL that makes ``metric_rows`` the rows of these files, of one organisation or all."""
    selects = [
        _select(list(group), org, window)
        for _, group in groupby(sorted(files, key=_reading), key=_reading)
    ] or [_no_rows()]
    return "CREATE OR REPLACE TEMP VIEW metric_rows AS\n" + "\nUNION ALL\n".join(selects)


def _reading(file: SourceFile) -> tuple[bool, tuple[str, ...], tuple[str, ...]]:
    """What files must share to be read by one ``read_parquet``."""
    return file.hive, file.projection, file.layout


def _select(files: Sequence[SourceFile], org: int | None, window: Window | None) -> str:
    first = files[0]
    paths = parquet_files(file.absolute for file in files)
    hive = "hive_partitioning = true, hive_types_autocast = false"
    conditions = []
    if org is not None:
        conditions.append(f"org_id = {org:d}")
    if first.nanoseconds and window is not None:
        # Templates see the timestamps cut to microseconds, which row-group statistics do not serve;
        # bounds of this type do, with and without a zone.
        # Rows without a timestamp are counted as invalid, whatever the window.
        start, end = (f"{at:%Y-%m-%d %H:%M:%S}" for at in (window.start, window.end))
        within = f"\"timestamp\" >= '{start}'::TIMESTAMP AND \"timestamp\" < '{end}'::TIMESTAMP"
        conditions.append(f'("timestamp" IS NULL OR ({within}))')
    return "\n".join(
        [
            f"SELECT {', '.join(first.projection)}",
            f"FROM read_parquet({paths}, {hive if first.hive else 'hive_partitioning = false'})",
            *([f"WHERE {' AND '.join(conditions)}"] if conditions else []),
        ]
    )


def _no_rows() -> str:
    columns = ", ".join(f"NULL::{column.sql_type} AS {column.name}" for column in COLUMNS)
    return f"SELECT {columns} WHERE false"
