"""Columns of text as dictionaries, for any encoding in the file."""

from collections.abc import Callable, Collection, Iterable, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from relhealth.datasets import arrays
from relhealth.datasets.arrays import Array

_NOT_YET = "Not yet implemented"


class UnsupportedError(Exception):
    """Arrow cannot read a part of the file; templates perhaps can."""


def batches(
    read: Callable[[Collection[str]], Iterable[pa.RecordBatch]], texts: Collection[str]
) -> Iterator[pa.RecordBatch]:
    """Yield the batches of ``read``, with the columns of text as dictionaries.

    ``read`` takes the names of the columns that Arrow reads as dictionaries. That is fast, but
    Arrow cannot do it for columns of delta encodings. For these, Arrow reads text, and this module
    encodes it. Raises ``OSError`` or ``pyarrow.ArrowException`` for what Arrow cannot read at
    all, including what ``is_unsupported`` recognises.
    """
    given = 0  # rows
    try:
        for batch in read(texts):
            yield batch
            given += batch.num_rows
    except (OSError, pa.ArrowException) as error:
        if not is_unsupported(error):
            raise
        for batch in read(()):
            known = min(given, batch.num_rows)
            given -= known
            if known < batch.num_rows:
                yield _encoded(batch.slice(known), texts)


def is_unsupported(error: Exception) -> bool:
    """Return whether Arrow does not support something, which can also raise ``OSError``."""
    return isinstance(error, pa.ArrowNotImplementedError) or str(error).startswith(_NOT_YET)


def _encoded(batch: pa.RecordBatch, texts: Collection[str]) -> pa.RecordBatch:
    for at, field in enumerate(batch.schema):
        if field.name in texts and not pa.types.is_dictionary(field.type):
            batch = batch.set_column(at, field.name, batch.column(at).dictionary_encode())
    return batch


def codes(texts: pa.DictionaryArray) -> tuple[list[str | None], Array]:
    """Return the texts of a column, the last one null, and the index of each row's text.

    Raises ``ValueError`` for an index of no text, which a damaged file can have.
    """
    names = [*texts.dictionary.to_pylist(), None]
    kind = np.dtype(texts.indices.type.to_pandas_dtype())
    code: Array = arrays.values(texts.indices, kind)
    if kind == np.uint64:  # NumPy takes no such indices
        code = code.astype(np.int64)
    null = arrays.nulls(texts.indices)
    if null is not None:
        code = np.where(null, np.int64(len(names) - 1), code)
    if len(code) and not 0 <= code.min() <= code.max() < len(names):
        raise ValueError("a text that is not in its dictionary")
    return names, code


def looked_up(
    texts: pa.DictionaryArray,
    meaning: Callable[[str | None], int | bool],
    dtype: npt.DTypeLike,
) -> Array:
    """Return the meaning of each row's text, or null; raises what ``codes`` raises."""
    names, code = codes(texts)
    return np.array(list(map(meaning, names)), dtype).take(code)
