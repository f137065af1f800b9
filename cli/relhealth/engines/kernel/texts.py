"""Columns of text, as dictionaries: each row's place among the texts, and what its text means."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from relhealth.datasets import arrays
from relhealth.datasets.arrays import Array


def codes(texts: pa.DictionaryArray) -> tuple[list[str | None], Array]:
    """Return the texts of a column, the last one null, and each row's place among them.

    Raises ``ValueError`` for places that are none, as damaged files have them.
    """
    names = [*texts.dictionary.to_pylist(), None]
    code = _indices(texts)
    null = arrays.nulls(texts.indices)
    if null is not None:
        code[null] = len(names) - 1
    if len(code) and not 0 <= code.min() <= code.max() < len(names):
        raise ValueError("a text that is not in its dictionary")
    return names, code


def looked_up(
    texts: pa.DictionaryArray,
    meaning: Callable[[str], int | bool],
    *,
    of_null: int | bool,
    dtype: npt.DTypeLike,
) -> Array:
    """Return what each row's text means."""
    names = texts.dictionary.to_pylist()
    meanings = np.array([*map(meaning, names), of_null], dtype)
    found = meanings.take(_indices(texts), mode="clip")
    null = arrays.nulls(texts.indices)
    if null is not None:
        found[null] = of_null
    return found


def _indices(texts: pa.DictionaryArray) -> Array:
    kind = np.dtype(texts.indices.type.to_pandas_dtype())
    return arrays.values(texts.indices, kind).astype(np.int64)
