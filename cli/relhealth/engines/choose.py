"""The choice of the engine for each ask."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from relhealth.core.errors import QuestionError
from relhealth.core.windows import Window, hull
from relhealth.engines import AUTO, ENGINES
from relhealth.engines.interface import Ask, CannotAnswerError, Engine
from relhealth.machine.database import Row

# With fewer rows in the windows, DuckDB runs the templates, which define the figures. The kernel
# would save 0.2 to 0.3 s there, mostly the import of DuckDB (docs/performance.md).
KERNEL_FROM = 400_000


def check_engine(name: str) -> None:
    """Raise ``QuestionError`` if no engine has this name."""
    if name not in {AUTO, *ENGINES}:
        raise QuestionError(
            f"unknown engine {name!r}: expected one of {', '.join((AUTO, *ENGINES))}"
        )


class Choice(NamedTuple):
    """An engine that answered, and why it was chosen."""

    engine: str
    reason: str


class Engines:
    """The engines over some sources, and the choice between them."""

    def __init__(
        self,
        engines: Mapping[str, Callable[[], Engine]],
        *,
        named: str = AUTO,
        rows_in: Callable[[Window], int],
        choices: dict[Choice, None],
    ) -> None:
        """Choose among engines, or take the ``named`` one; the first ask for an engine makes it.

        ``rows_in`` returns how many rows a window may have. ``choices`` receives each choice, in
        the order of first answers. Raises ``QuestionError`` if the named engine is missing.
        """
        self._makers = engines
        self._engines: dict[str, Engine] = {}
        self._named = named
        self._rows_in = rows_in
        self._choices = choices
        if named != AUTO and named not in engines:
            remedy = "; there is no fresh rollup beside the sources" if named == "rollup" else ""
            raise QuestionError(f"engine {named!r} cannot be used{remedy}")

    def answer(self, asks: Sequence[Ask]) -> list[list[Row]]:
        """Return the rows of each ask, from the best engine that does not refuse it.

        Raises ``QuestionError`` if a named engine cannot answer, and what the engine raises.
        """
        rows: dict[int, list[Row]] = {}
        refusal = ""
        for engine, why in self._in_order(asks):
            left = [number for number in range(len(asks)) if number not in rows]
            refusals = {number: engine.refuses(asks[number]) for number in left}
            able = [number for number in left if refusals[number] is None]
            refused = next((f"; {engine.name}: {why}" for why in refusals.values() if why), "")
            try:
                found = engine.answer([asks[number] for number in able]) if able else []
            except CannotAnswerError as error:
                refused = f"; {engine.name}: {error}"
                able, found = [], []
            rows.update(zip(able, found, strict=True))
            if able:
                self._choices.setdefault(Choice(engine.name, f"{why}{refusal}"))
            refusal = refused or refusal
            if len(rows) == len(asks):
                break
        if len(rows) < len(asks):
            raise QuestionError(
                f"this engine cannot answer that{refusal}; leave --engine out to have one chosen"
            )
        return [rows[number] for number in range(len(asks))]

    def close(self) -> None:
        """Close the engines."""
        for engine in self._engines.values():
            engine.close()

    def _engine(self, name: str) -> Engine:
        if name not in self._engines:
            self._engines[name] = self._makers[name]()
        return self._engines[name]

    def _in_order(self, asks: Sequence[Ask]) -> Iterator[tuple[Engine, str]]:
        """Yield the engines, best first, each with its reason."""
        if not asks:
            return
        if self._named != AUTO:
            yield self._engine(self._named), "it was named"
            return
        if "spark" in self._makers:
            yield self._engine("spark"), "the sources are on a cluster"
            return
        if "rollup" in self._makers:
            yield self._engine("rollup"), "a fresh rollup is beside the data"
        rows = self._rows_in(hull([ask.window for ask in asks]))
        size = f"at most {rows:,} rows in the windows"
        if rows >= KERNEL_FROM:
            yield self._engine("kernel"), size
        elif any(one.engine == "kernel" for one in self._choices):
            # DuckDB would first have to start.
            yield self._engine("kernel"), f"{size}, and it already answers another part"
        yield self._engine("duckdb"), size
