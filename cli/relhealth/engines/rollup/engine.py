"""The rollup as an engine: arrays for the overview, SQL over its files for the rest."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from relhealth.core.errors import ChangedError, DataError
from relhealth.core.printable import printable
from relhealth.core.scope import Scope
from relhealth.core.windows import HOUR, epoch
from relhealth.engines import components
from relhealth.engines.components import Component
from relhealth.engines.interface import Ask
from relhealth.engines.rollup.arrays import Arrays
from relhealth.engines.rollup.reader import Rollup
from relhealth.engines.rollup.relations import PARTS, USERS, Relations
from relhealth.engines.slicing import ask_in_slices
from relhealth.engines.templates import Templates
from relhealth.machine import memory, queries
from relhealth.machine.database import Row, first_line

if TYPE_CHECKING:
    import duckdb

# The components of an overview, and what counts each in arrays.
_IN_ARRAYS: dict[Component, Callable[[Arrays], list[Row]]] = {
    components.SESSIONS_BY_STATUS: Arrays.sessions,
    components.ERRORED_SESSIONS: Arrays.errored,
    components.USERS_BY_STATUS: Arrays.users,
    components.DURATIONS: Arrays.durations,
    components.ADOPTION: Arrays.adoption,
}


class RollupEngine:
    """The pre-aggregation of one data set."""

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
        self._relations = Relations(rollup.manifest, rollup.folder, org)

    def refuses(self, ask: Ask) -> str | None:
        """Return why the rollup cannot answer an ask; None if it can."""
        if not self._rollup.tells(ask.window) or (ask.buckets or HOUR) % HOUR:
            return "it answers only for whole hours"
        if ask.scope.cut:
            kept = ", ".join(ask.scope.cut.columns) or "other keys"
            return f"it does not keep {printable(kept)}"
        if ask.component not in {*PARTS, *USERS, *_IN_ARRAYS}:
            return f"it does not keep what {ask.component.name} needs"
        return None

    def answer(self, asks: Sequence[Ask]) -> list[list[Row]]:
        """Return the rows of each ask."""
        arrays: dict[Scope, Arrays] = {}
        return [self._answer(ask, arrays) for ask in asks]

    def close(self) -> None:
        """Close the database, if it was opened."""
        self._templates.close()

    def _answer(self, ask: Ask, arrays: dict[Scope, Arrays]) -> list[Row]:
        if ask.component in _IN_ARRAYS:
            counting = arrays.get(ask.scope) or Arrays(
                self._rollup.manifest,
                self._rollup.folder,
                ask.scope,
                org=self._org,
                threads=self._threads,
                memory=self._held,
            )
            arrays[ask.scope] = counting
            return _IN_ARRAYS[ask.component](counting)
        return self._users(ask) if ask.component in USERS else self._rows(ask)

    def _rows(self, ask: Ask) -> list[Row]:
        """Run a template over the part of the rollup that it needs."""
        part = PARTS[ask.component]
        relation = self._relations.metric_rows(part, ask.window)
        if not relation.files:
            return []
        self._rollup.check(relation.files)
        return self._templates.run(
            ask.component.name,
            ask.values(),
            viewed=relation,
            view=lambda: relation.sql,
            explain=self._explain,
            parted_by=ask.parted_by,
        )

    def _users(self, ask: Ask) -> list[Row]:
        """Count users."""
        import duckdb

        values = ask.values() | {
            "first_hour": epoch(ask.window.start) // HOUR,
            "end_hour": epoch(ask.window.end) // HOUR,
        }

        def count(condition: str | None) -> list[Row]:
            relation = self._relations.users(ask.component, ask.window, condition)
            if not relation.files:
                return []
            self._rollup.check(relation.files)
            bound = {name: values[name] for name in queries.parameters(relation.sql)}
            return self._templates.database.run(ask.component.name, relation.sql, bound)

        keys = [name for name in ask.component.keys if name != "bucket"]
        try:
            return ask_in_slices(count, keys)
        except duckdb.Error as error:
            raise self._explain(error) from error

    def _explain(self, error: "duckdb.Error") -> Exception:
        missing = self._rollup.missing()
        if missing is not None:
            return ChangedError([f"{printable(missing)}: gone since it was found"])
        return DataError(
            f"{printable(self._rollup.folder)}: damaged; remake it with relhealth rollup --force"
            f" ({first_line(error)})"
        )
