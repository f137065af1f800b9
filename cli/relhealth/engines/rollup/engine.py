"""The rollup as an engine: from its arrays where they tell, else by templates over its files."""

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from relhealth.core.errors import ChangedError, DataError, TooLargeSumError
from relhealth.core.printable import printable
from relhealth.core.scope import Scope
from relhealth.engines.interface import Ask
from relhealth.engines.rollup.reader import Rollup
from relhealth.engines.rollup.view import View
from relhealth.engines.templates import Templates
from relhealth.machine import memory
from relhealth.machine.database import Row, first_line

if TYPE_CHECKING:
    import duckdb


class RollupEngine:
    """The pre-aggregation of one data set, as its manifest says."""

    name = "rollup"

    def __init__(
        self,
        rollup: Rollup,
        templates: Templates,
        *,
        org: int | None,
        memory_limit: str | None,
        threads: int,
    ) -> None:
        """Read nothing yet; ``org`` narrows every question to one organisation."""
        self._rollup = rollup
        self._templates = templates
        self._org = org
        self._held, self._threads = memory.of_kernel(memory_limit, threads)

    def refuses(self, ask: Ask) -> str | None:
        """Return why the rollup cannot answer an ask; None: it can."""
        if not self._rollup.tells(ask.window):
            return "it tells whole hours alone"
        if self._in_arrays(ask) or self._view(ask) is not None:
            return None
        if ask.buckets is not None and ask.buckets % 3_600:
            return "it tells whole hours alone"
        return f"it does not keep what {ask.component.name} needs"

    def answer(self, asks: Sequence[Ask]) -> list[list[Row]]:
        """Return the rows of each ask: of the arrays in one pass a scope."""
        rows: list[list[Row]] = [[] for _ in asks]
        passes: dict[Scope, list[int]] = defaultdict(list)
        for number, ask in enumerate(asks):
            if self._in_arrays(ask):
                passes[ask.scope].append(number)
            else:
                rows[number] = self._rows_of_view(ask)
        for scope, numbers in passes.items():
            found = self._rollup.figures(
                scope,
                [asks[number].component.name for number in numbers],
                org=self._org,
                threads=self._threads,
                memory=self._held,
            )
            for number in numbers:
                rows[number] = found[asks[number].component.name]
        return rows

    def close(self) -> None:
        """Close the database, if it was opened."""
        self._templates.close()

    def _in_arrays(self, ask: Ask) -> bool:
        return self._rollup.counts([ask.component.name]) and not ask.group_by

    def _view(self, ask: Ask) -> View | None:
        return self._rollup.view(ask.component.name, ask.buckets, ask.window)

    def _rows_of_view(self, ask: Ask) -> list[Row]:
        rollup, view = self._rollup, self._view(ask)
        if view is None:
            raise LookupError(f"asked for {ask.component.name}, which a rollup refuses")
        if view.rest and not rollup.has_rest(view.days):
            return []
        rollup.check(view)
        return self._templates.run(
            ask.component.name,
            ask.values(),
            viewed=view,
            view=lambda: rollup.view_sql(view, self._org),
            explain=self._explain,
            parted_by=ask.parted_by,
        )

    def _explain(self, error: "duckdb.Error") -> Exception:
        import duckdb

        missing = self._rollup.missing()
        if missing is not None:
            return ChangedError([f"{printable(missing)}: gone since it was found"])
        if isinstance(error, duckdb.ConversionException):
            return TooLargeSumError()
        return DataError(
            f"{printable(self._rollup.folder)}: damaged; relhealth rollup --force makes it anew"
            f" ({first_line(error)})"
        )
