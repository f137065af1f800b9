"""Runs templates over the relation ``metric_rows``."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from relhealth.engines.slicing import ask_in_slices
from relhealth.machine.database import Database, Observer, Row

if TYPE_CHECKING:
    import duckdb

# Narrows ``metric_rows`` to the rows that meet a condition.
_SLICE = """
DROP VIEW IF EXISTS all_metric_rows;
ALTER VIEW metric_rows RENAME TO all_metric_rows;
CREATE TEMP VIEW metric_rows AS SELECT * FROM all_metric_rows WHERE {}
"""


class Templates:
    """Templates in one database; the first one that runs opens it."""

    def __init__(
        self, memory_limit: str | None, threads: int | None, observer: Observer | None
    ) -> None:
        """Open nothing yet."""
        self._limits = (memory_limit, threads, observer)
        self._viewed: tuple[object, str | None] | None = None  # the contents of ``metric_rows``

    @cached_property
    def database(self) -> Database:
        """The database."""
        memory_limit, threads, observer = self._limits
        return Database(memory_limit=memory_limit, threads=threads, observer=observer)

    def close(self) -> None:
        """Close the database, if it was opened."""
        if "database" in self.__dict__:
            self.database.close()

    def forget(self) -> None:
        """Create ``metric_rows`` again for the next template."""
        self._viewed = None

    def run(
        self,
        name: str,
        values: Mapping[str, object],
        *,
        viewed: object,
        view: Callable[[], str],
        explain: Callable[["duckdb.Error"], Exception],
        parted_by: Sequence[str] = (),
        most: int | None = None,
    ) -> list[Row]:
        """Run a template over a view, which is created unless ``metric_rows`` has ``viewed``.

        If that needs too much memory, the template runs over slices of the view, split by the SQL
        in ``parted_by``. ``most`` is as in ``Database.rows``, of each slice.
        ``explain`` turns DuckDB's error into the error to raise.
        """
        import duckdb

        def ask(condition: str | None) -> list[Row]:
            if (viewed, condition) != self._viewed:
                self._viewed = None
                self.database.execute(view())
                if condition is not None:
                    self.database.execute(_SLICE.format(condition))
                self._viewed = viewed, condition
            return self.database.rows(name, values, most)

        try:
            return ask_in_slices(ask, list(parted_by))
        except duckdb.Error as error:
            raise explain(error) from error
