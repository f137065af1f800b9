"""Checks the pages of source files for readers that do not check them."""

import os
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence

import pyarrow as pa

from relhealth.core.errors import ChangedError, DataError, GoneError
from relhealth.core.printable import printable
from relhealth.core.windows import Window
from relhealth.datasets import casts, contract, footers, parquet_pages
from relhealth.datasets.contract import COLUMNS
from relhealth.datasets.fetching import fetch, overlaps
from relhealth.datasets.footers import TEXT, Chunk, DamagedError, Footer
from relhealth.datasets.sources import SourceFile
from relhealth.machine.workers import Workers
from relhealth.stores import present

# The errors for a file that cannot be read to the end.
UNREADABLE = (OSError, pa.ArrowException, ValueError, MemoryError)
_NAMES = frozenset(column.name for column in COLUMNS)


def unreadable(file: SourceFile, error: Exception) -> DataError:
    """Name the file that could not be read to the end."""
    return unreadable_path(file.path, file.absolute, error)


def unreadable_path(named: str, path: str, error: Exception) -> DataError:
    """Name a file that could not be read to the end, by its name and its path."""
    if not os.path.exists(path):
        return GoneError(named)
    misspelled = _not_utf_8(named, path)
    if misspelled:
        return DataError(misspelled)
    reason = printable(str(error).splitlines()[0]) if str(error) else type(error).__name__
    return DataError(
        f"{printable(named)}: damaged or changed while it was read; write it again ({reason})"
    )


def _not_utf_8(named: str, path: str) -> list[str]:
    """Return a fault for each column of strings that are not UTF-8; none of another fault.

    Readers tell the file alone, or the file and a value.
    """
    found: dict[str, Counter[bytes]] = defaultdict(Counter)
    types: dict[str, str] = {}
    try:
        present.entire_files([path])
        footer = footers.read(path)
        with parquet_pages.opened(path, footer) as file:
            schema = file.schema_arrow
            own = contract.stored(schema)
            own |= {name: some[0] for name, some in contract.others(schema).items()}
            texts = {name: one for name, one in own.items() if casts.is_text(casts.plain(one.type))}
            for batch in file.iter_batches(columns=[one.name for one in texts.values()]):
                for name, one in texts.items():
                    found[name] += _undecodable(batch.column(one.name))
                    types[name] = str(one.type)
    except UNREADABLE:
        return []
    return [
        casts.told(
            named,
            name,
            types[name],
            sum(bad.values()),
            "not UTF-8",
            repr(min(bad))[2:-1],
            contract.ColumnType.TEXT.value,
            "write it in UTF-8",
        )
        for name, bad in found.items()
        if bad
    ]


def _undecodable(array: pa.Array) -> Counter[bytes]:
    import pyarrow.compute as pc  # takes 60 ms, and is seldom needed

    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_string_view(array.type):
        array = array.cast(pa.binary_view())
    bad: Counter[bytes] = Counter()
    for one in pc.value_counts(array.cast(pa.large_binary())):
        value = one["values"].as_py()
        try:
            (value or b"").decode()
        except UnicodeDecodeError:
            bad[value] += one["counts"].as_py()
    return bad


class Checked:
    """Checks each row group of source files once."""

    def __init__(self, threads: int) -> None:
        """Start without a check."""
        self._threads = threads
        self._files: dict[tuple[str, str | None], _File] = {}

    def check(
        self, files: Sequence[SourceFile], window: Window | None, columns: Sequence[str] = ()
    ) -> None:
        """Check the row groups that can have rows of a window (None: all).

        ``columns`` are dimensions that are read too.

        Raises ``DataError`` with a line for each damaged file, ``ChangedError`` if a file
        has disappeared.
        """
        fetch(files, window)
        known = [
            self._files.setdefault((file.absolute, column), _File(file, column))
            for file in files
            for column in (None, *columns)
        ]
        faults: list[str] = []
        for error in Workers(self._threads).each(lambda file: file.check(window), known):
            if isinstance(error, ChangedError):
                raise error
            faults.extend(error.faults if error is not None else ())
        if faults:
            raise DataError(faults)


class _File:
    def __init__(self, file: SourceFile, column: str | None) -> None:
        self._file = file
        self._names = _NAMES if column is None else frozenset({column})
        self._footer: Footer | None = None
        self._left: set[int] | None = None  # row groups; None = the footer is not read yet

    def check(self, window: Window | None) -> DataError | None:
        """Check the remaining row groups; return the faults."""
        if self._left is not None and not self._left:
            return None
        try:
            if self._footer is None or self._left is None:
                self._footer = footers.read(self._file.absolute)
                self._left = set(range(len(self._footer.groups)))
            for group in sorted(self._left):
                if window is None or overlaps(self._file, self._footer.groups[group], window):
                    check_group(self._file.absolute, self._footer, group, self._names)
                    self._left.discard(group)
        except UNREADABLE as error:
            return unreadable(self._file, error)
        if not self._left:
            self._footer = None
        return None


def check_group(path: str, footer: Footer, group: int, names: Collection[str] = _NAMES) -> None:
    """Check some columns in a row group, by their names without case, the contract's by default.

    Raises ``DamagedError`` for damage, and the errors of Arrow.
    """
    chunks = footer.groups[group].chunks
    columns = [name for name in chunks if name.casefold() in names]
    checksums = parquet_pages.check(path, footer, [group], columns)
    # Readers pass over row groups by their statistics. Where one footer says them twice, they are
    # compared there; others are compared with what they are of, so that checksums are worth it.
    once = [name for name in columns if chunks[name].says_once]
    if checksums and once and not footer.sealed:
        with parquet_pages.opened(path, footer) as file:
            table = file.read_row_group(group, columns=once, use_threads=False)
        for name in once:
            _check_statistics(name, chunks[name], table[name])


def _check_statistics(name: str, chunk: Chunk, column: pa.ChunkedArray) -> None:
    import pyarrow.compute as pc

    found = chunk.extremes()
    wrong = chunk.nulls not in {None, column.null_count}
    if found is not None and not wrong and column.null_count < len(column):
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if chunk.leaf.physical == TEXT:
            column = column.cast(pa.large_binary())
        elif not pa.types.is_integer(column.type):
            return
        extremes = pc.min_max(column).as_py()
        wrong = not found[0] <= extremes["min"] <= extremes["max"] <= found[1]
    if wrong:
        raise DamagedError(f"the statistics of column {name} are not of what is in it")
