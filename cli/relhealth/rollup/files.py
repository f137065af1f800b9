"""Reads the files of a rollup: entire columns, or ranges of rows."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from relhealth.core.errors import DataError, GoneError
from relhealth.core.printable import printable
from relhealth.datasets import arrays, footers, parquet_pages
from relhealth.datasets.arrays import Array
from relhealth.datasets.checking import UNREADABLE


def columns_of(folder: str, name: str, columns: Sequence[str]) -> list[Array]:
    """Return some columns of a file."""
    with _opened(folder, name, columns) as opened:
        table = opened.read(columns=list(columns), use_threads=False)
    return [_array(table[column]) for column in columns]


def table_of(folder: str, name: str) -> pa.Table:
    """Return all columns of a file."""
    with _opened(folder, name, None) as opened:
        return opened.read(use_threads=False)


def check(folder: str, name: str) -> None:
    """Check all pages of a file, for readers that do not."""
    with _naming(folder, name) as path:
        footer = footers.read(path)
        parquet_pages.check(path, footer, range(len(footer.groups)), footer.schema.names)


def ranges(
    folder: str,
    name: str,
    columns: Sequence[str],
    spans: Sequence[tuple[int, int]],
) -> Iterator[tuple[Array, ...]]:
    """Yield ascending ranges of a file's rows; read only their row groups."""
    if not spans:
        return
    with _naming(folder, name) as path:
        footer = footers.read(path)
        sizes = [group.rows for group in footer.groups]
    starts = np.concatenate(([0], np.cumsum(sizes)))
    touched = np.zeros(len(sizes), bool)
    for low, high in spans:
        a = int(np.searchsorted(starts, low, "right")) - 1
        touched[a : int(np.searchsorted(starts, high, "left"))] = True
    groups = np.flatnonzero(touched).tolist()
    with (
        _naming(folder, name) as path,
        parquet_pages.checked(path, footer, groups, columns) as opened,
    ):
        table = opened.read_row_groups(groups, columns=list(columns), use_threads=False)
    found = [_array(table[column]) for column in columns]
    # The start of each row group within the rows that were read.
    read_sizes = np.where(touched, sizes, 0)
    offsets = starts[:-1] - (np.cumsum(read_sizes) - read_sizes)
    for low, high in spans:
        shift = int(offsets[int(np.searchsorted(starts, low, "right")) - 1])
        yield tuple(array[low - shift : high - shift] for array in found)


@contextmanager
def _opened(folder: str, name: str, columns: Sequence[str] | None) -> Iterator[pq.ParquetFile]:
    """Open a file to read some or all columns, whose pages are checked first."""
    with _naming(folder, name) as path:
        footer = footers.read(path)
        wanted = footer.schema.names if columns is None else columns
        with parquet_pages.checked(path, footer, range(len(footer.groups)), wanted) as opened:
            yield opened


@contextmanager
def _naming(folder: str, name: str) -> Iterator[str]:
    """Yield the path of a file; errors name it."""
    path = f"{folder}/{name}"
    try:
        yield path
    except FileNotFoundError as error:
        raise GoneError(path) from error
    except UNREADABLE as error:
        raise DataError(
            f"{printable(path)}: damaged; remake it with relhealth rollup --force"
        ) from error


def _array(column: pa.ChunkedArray) -> Array:
    """Return a column without nulls; copy it only if it has several chunks."""
    dtype = np.dtype(column.type.to_pandas_dtype())
    parts = [arrays.values(chunk, dtype) for chunk in column.chunks]
    return parts[0] if len(parts) == 1 else np.concatenate([*parts, np.empty(0, dtype)])
