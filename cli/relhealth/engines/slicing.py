"""Splits a question that needs too much memory into slices, and joins their rows.

A slice has the data whose keys hash to it. An answer is grouped by these keys, or by more, so each
of its rows comes from one slice. DuckDB cannot spill lists of durations, and sets of distinct users
only in part. Slices of these need less memory, but more time.
"""

from collections.abc import Callable
from typing import TypeVar

from relhealth.core.errors import NeedsMemoryError

_Row = TypeVar("_Row")
_PARTS = 4  # of a slice, at each split
_MOST = 256  # slices; if these do not help, single groups are too large


def ask_in_slices(ask: Callable[[str | None], list[_Row]], keys: list[str]) -> list[_Row]:
    """Ask for everything at once; if that needs too much memory, in ever smaller slices.

    ``ask`` takes the SQL condition of a slice, ``keys`` are SQL expressions. Raises
    ``NeedsMemoryError`` if slices do not help.
    """
    return _asked(ask, f"hash({', '.join(keys)})" if keys else None, 1, 0)


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
