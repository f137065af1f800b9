"""What a question asks about a row beside its names: conditions of dimensions, and their values."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

from relhealth.core.dimensions import ENVIRONMENT, Condition, joined, key
from relhealth.datasets import casts, dictionaries, dimensions
from relhealth.datasets.arrays import Array
from relhealth.datasets.labels import Further, present_of
from relhealth.datasets.sources import SourceFile
from relhealth.engines.kernel.question import Part

_Coded = tuple[Sequence[Any], Array]  # values, and the index of that of each row


def stored_columns(file: SourceFile, columns: Sequence[str]) -> list[str]:
    """Return the columns of a file that hold some dimensions, as they are spelled there."""
    found = (dimensions.stored(file, one) for one in columns)
    return [own.name for own in found if own is not None]


def text_columns(file: SourceFile, columns: Sequence[str]) -> list[str]:
    """Return those of them that Arrow can read as dictionaries."""
    found = (dimensions.stored(file, one) for one in columns)
    kinds = (pa.string(), pa.large_string())
    return [own.name for own in found if own is not None and casts.plain(own.type) in kinds]


def further(
    parts: Sequence[Part], columns: Mapping[str, pa.Array], file: SourceFile, rows: int
) -> tuple[list[Further], Array]:
    """Return the distinct answers to ``parts`` of a batch, and the index of that of each row.

    ``columns`` are those of the batch, of ``rows`` rows.
    """

    @cache
    def texts(column: str) -> _Coded:
        if column == ENVIRONMENT:
            return _coded(columns[ENVIRONMENT])
        own = dimensions.stored(file, key(column))
        if own is None:
            return [dimensions.constant(file, key(column))], np.zeros(rows, np.int64)
        return _coded(columns[own.name])

    def answers(part: Part) -> _Coded:
        if isinstance(part, Condition):
            values, code = texts(part.column)
            return (False, True), np.array(list(map(part.holds, values)), np.int64).take(code)
        found, code = _combined([texts(one) for one in part])
        return list(map(joined, found)), code

    return _combined([answers(part) for part in parts])


def _combined(several: Sequence[_Coded]) -> tuple[list[tuple[Any, ...]], Array]:
    """Return the combinations of values that are there, and the index of that of each row."""
    (values, code), *others = several
    found: list[tuple[Any, ...]] = [(one,) for one in values]
    for more, at in others:
        present, code = present_of(code * len(more) + at, len(found) * len(more))
        before, last = np.divmod(present, len(more))
        pairs = zip(before.tolist(), last.tolist(), strict=True)
        found = [(*found[one], more[value]) for one, value in pairs]
    return found, code


def _coded(column: pa.Array) -> _Coded:
    """Return the texts of a column, and the index of that of each row; null is ``''``."""
    kind = casts.plain(column.type)
    if kind not in {pa.string(), pa.large_string()}:
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        column = column.cast(pa.string())
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    names, code = dictionaries.codes(column)
    return [name or "" for name in names], code.astype(np.int64)
