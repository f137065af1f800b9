"""A question that needs too much memory is asked in slices, whose rows together are its rows.

A slice is of the rows whose keys hash to it. Rows of an answer are by these keys, or by more, so
that each of them comes from one slice. What is aggregated by group and cannot be spilled (lists of
durations) or only in part (distinct users) takes so much less memory, and longer.
"""

from collections.abc import Callable
from typing import TypeVar

from relhealth.core.errors import NeedsMemoryError

_Row = TypeVar("_Row")
_PARTS = 4  # that a slice is cut into
_MOST = 256  # slices; with more, it is single groups that are too large


def ask_in_slices(ask: Callable[[str | None], list[_Row]], told_apart_by: list[str]) -> list[_Row]:
    """Ask at once and, where that needs too much memory, in ever smaller slices.

    ``ask`` is given the SQL condition of a slice. Raises ``NeedsMemoryError`` where slices are no
    help.
    """
    return _asked(ask, f"hash({', '.join(told_apart_by)})" if told_apart_by else None, 1, 0)


def _asked(
    ask: Callable[[str | None], list[_Row]], number: str | None, slices: int, this: int
) -> list[_Row]:
    try:
        return ask(None if slices == 1 else f"{number} % {slices} = {this}")
    except NeedsMemoryError:
        if number is None or slices >= _MOST:
            raise
    return [
        row
        for part in range(_PARTS)
        for row in _asked(ask, number, slices * _PARTS, this + slices * part)
    ]
