"""Listings: answers of typed rows of one kind, which can become an Arrow table."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from relhealth.core.scope import Scope
from relhealth.core.units import Unit
from relhealth.core.windows import Window

if TYPE_CHECKING:
    import pyarrow as pa


class ListedRow:
    """The base of rows. ``UNITS`` has the unit of each field, in the order of machine formats."""

    __slots__ = ()
    UNITS: ClassVar[Mapping[str, Unit]] = {}

    def to_dict(self) -> dict[str, Any]:
        """Return the row as plain values."""
        return {name: getattr(self, name) for name in self.UNITS}


_Row = TypeVar("_Row", bound=ListedRow)


@dataclass(frozen=True)
class Listing(Sequence[_Row], Generic[_Row]):
    """Rows in order, with the scope of the question and the window of the rows.

    ``left_out`` counts the rows beyond a limit. ``invalid_rows`` counts invalid rows by reason.
    """

    kind: type[_Row]
    rows: tuple[_Row, ...]
    scope: Scope
    period: str
    window: Window
    files: int
    invalid_rows: Mapping[str, int]
    left_out: int = 0

    def __getitem__(self, index: Any) -> Any:
        """Return a row, or several."""
        return self.rows[index]

    def __iter__(self) -> Iterator[_Row]:
        """Iterate over the rows."""
        return iter(self.rows)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    @property
    def now(self) -> datetime:
        """The instant of the question."""
        return self.scope.now

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return the rows as plain values."""
        return [row.to_dict() for row in self.rows]

    def to_arrow(self) -> "pa.Table":
        """Return the rows as an Arrow table, with the types of ``-f parquet``."""
        from relhealth.questions.arrow import to_arrow

        return to_arrow(self.kind.UNITS, self.to_dicts())
