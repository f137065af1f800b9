"""Sources: the files that a question reads, with footers checked against the contract."""

import json
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from relhealth.core.errors import DataError
from relhealth.core.printable import printable
from relhealth.core.windows import Window, to_epoch_us
from relhealth.datasets import contract, footers, foreign
from relhealth.datasets.casts import Doubt
from relhealth.datasets.contract import Stored
from relhealth.datasets.finding import reason, searched
from relhealth.datasets.footers import FOOTER_BYTES, Bounds, Footer
from relhealth.datasets.sql import PATTERN_CHARACTERS
from relhealth.stores import present

# Microseconds in a timestamp unit of the Parquet format, as (multiply, divide).
_UNITS = {"milliseconds": (1000, 1), "microseconds": (1, 1), "nanoseconds": (1, 1000)}
# How many of such units are a second.
PER_SECOND = {"milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
_MAGIC_BYTES = 4
_ENCRYPTED_COLUMNS = "the file has encrypted columns; write it without encryption"
_TEXT_TO_DUCKDB = {"ENUM", "JSON"}  # to Arrow, bytes
_OF_PATH = "of the path"  # in a layout, the type of a column that is not in the file
_PATIENCE = 10  # searches, if files disappear during a search
_NO_ORGANISATION = (0, -1)  # an empty range

_Folders = frozenset[tuple[str, str | None]]


class SourceFile(NamedTuple):
    """One Parquet file that fits the contract."""

    path: str  # the path that the user named
    absolute: str
    rows: int
    size: int  # bytes
    layout: tuple[str, ...]  # files of one layout have the same physical columns and types
    projection: tuple[str, ...]  # the contract's columns as SQL over the file's own
    doubts: tuple[Doubt, ...]  # columns whose values need a check first
    hive: bool  # DuckDB reads columns from the path
    timestamp_unit: str | None  # Parquet's name; None = unknown
    first_us: int | None  # microseconds since the epoch; None = unknown
    last_us: int | None
    organisations: tuple[int, int] | None  # least and greatest org_id; None = unknown
    others: Mapping[str, tuple[Stored, ...]] = {}  # columns beside the contract's, without case
    folders: Mapping[str, str] = {}  # beside the contract's too, with their text

    @property
    def nanoseconds(self) -> bool:
        """Whether timestamps are finer than DuckDB's microseconds."""
        return self.timestamp_unit == "nanoseconds"

    def overlaps(self, window: Window) -> bool:
        """Return whether the file can hold rows of the window."""
        if self.first_us is None or self.last_us is None:
            return True
        return self.first_us < to_epoch_us(window.end) and self.last_us >= to_epoch_us(window.start)


class Sources(NamedTuple):
    """The files of one or more sources, each once, in order of path."""

    files: tuple[SourceFile, ...]
    empty: tuple[str, ...]  # files without a row

    @property
    def total(self) -> int:
        """How many files there are, those without a row too."""
        return len(self.files) + len(self.empty)

    @property
    def any_rows(self) -> bool:
        """Whether there are rows."""
        return bool(self.files)

    @property
    def rows(self) -> int:
        """How many rows there are, of all organisations, as the footers have it."""
        return sum(file.rows for file in self.files)

    @property
    def size(self) -> int:
        """The bytes of the files with rows."""
        return sum(file.size for file in self.files)

    @property
    def dimensions(self) -> dict[str, str]:
        """The columns and folders beside the contract's, by their names without case."""
        found: dict[str, str] = {}
        for file in self.files:
            for key, spelled in file.others.items():
                found.setdefault(key, spelled[0].name)
            for name in file.folders:
                found.setdefault(name.casefold(), name)
        return found

    @property
    def one_organisation(self) -> bool:
        """Whether the footers alone show that there is at most one organisation."""
        ranges = {file.organisations for file in self.files} - {_NO_ORGANISATION}
        return not ranges or (
            len(ranges) == 1 and all(found and found[0] == found[1] for found in ranges)
        )


def open_sources(named: Sequence[str | os.PathLike[str]]) -> Sources:
    """Find the files of sources and check each against the data contract.

    A source is a Parquet file, a directory (read recursively) or a glob pattern.
    For a table of Delta Lake or Iceberg, the log names the files. Files without rows have no check.
    Raises ``DataError`` with one line for every fault of every file; ``QuestionError`` if there is
    no source.
    """
    for _ in range(_PATIENCE):
        search = searched(named)
        paths = sorted(search.paths)
        present.ends(paths)
        _ask_ahead(paths)
        outcomes = list(map(_Footers(search.partitions).read, paths))
        if not search.outdated():
            break
    faults = search.faults + [fault for faults, _ in outcomes for fault in faults]
    if faults:
        raise DataError(faults)
    files = tuple(file for _, file in outcomes if file is not None)
    filled = tuple(file for file in files if file.rows)
    empty = tuple(file.path for file in files if not file.rows)
    return Sources(filled, empty)


def _ask_ahead(paths: Sequence[str]) -> None:
    """Make the system fetch the first bytes and footers of many files together, if it can.

    It then reads many at once, as with threads. But threads wait for one another
    at each call, and so read cached footers more slowly.
    """
    if not hasattr(os, "posix_fadvise"):
        return
    for path in paths:
        with suppress(OSError):  # reading the file reports it
            opened = os.open(path, os.O_RDONLY)
            try:
                footer = max(0, os.fstat(opened).st_size - FOOTER_BYTES)
                os.posix_fadvise(opened, 0, _MAGIC_BYTES, os.POSIX_FADV_WILLNEED)
                os.posix_fadvise(opened, footer, FOOTER_BYTES, os.POSIX_FADV_WILLNEED)
            finally:
                os.close(opened)


class _Footers:
    """Reads footers, and works out once what files of one kind share."""

    def __init__(self, partitions: Mapping[str, Mapping[str, str]]) -> None:
        self._kinds: dict[_Folders, list[_Kind]] = defaultdict(list)
        self._partitions = partitions  # of files of tables, by path

    def read(self, path: str) -> tuple[list[str], SourceFile | None]:
        """Return the faults of a file, or the file."""
        absolute, path = os.path.abspath(path), present.spelled(path)
        try:
            path.encode()
            head, size = _head(absolute)
            fault = _magic_fault(absolute, head, size) or _name_fault(absolute)
            if fault:
                return [f"{printable(path)}: {fault}"], None
            footer = footers.read(absolute)
            if footer.has_encrypted_columns:
                return [f"{printable(path)}: {_ENCRYPTED_COLUMNS}"], None
            if not footer.metadata.num_rows and not any(group.rows for group in footer.groups):
                return [], _without_rows(path, absolute, size)
            of_table = self._partitions.get(absolute, self._partitions.get(path))
            partitions = _partitions(absolute) if of_table is None else of_table
            kind = self._kind(footer, partitions, of_path=of_table is None)
            if kind.faults:
                return [f"{printable(path)}: {fault}" for fault in kind.faults], None
            return [], kind.file(path, absolute, size, footer, partitions)
        except UnicodeEncodeError:
            return [f"{path!a}: the file name is not UTF-8; rename the file"], None
        except OSError as error:
            if error.errno is not None:
                return [f"{printable(path)}: {reason(error)}"], None
            return [_damaged(path, error)], None
        except (pa.ArrowException, ValueError) as error:
            return [_damaged(path, error)], None

    def _kind(self, footer: Footer, partitions: Mapping[str, str], *, of_path: bool) -> "_Kind":
        stored, schema = footer.metadata.schema, footer.schema
        alike = self._kinds[_folders(partitions, of_path=of_path)]
        for kind in alike:
            if kind.covers(stored, schema):
                return kind
        kind = _Kind(stored, schema, partitions, of_path=of_path)
        alike.append(kind)
        return kind


def _head(path: str) -> tuple[bytes, int]:
    """Return the first bytes of a file, and its size."""
    opened = os.open(path, os.O_RDONLY)
    try:
        return os.pread(opened, _MAGIC_BYTES, 0), os.fstat(opened).st_size
    finally:
        os.close(opened)


class _Kind:
    """Files with the same schema and the same columns from their folders."""

    def __init__(
        self,
        stored: pq.ParquetSchema,
        schema: pa.Schema,
        partitions: Mapping[str, str],
        *,
        of_path: bool,
    ) -> None:
        """Work out what all files of the kind share.

        ``partitions`` come from folders of the path, which DuckDB reads too, or a table's log.
        """
        self._stored = stored
        self._schema = schema
        schema = _as_duckdb_has_it(stored, schema)
        self.faults = contract.faults(schema, partitions)
        if self.faults:
            return
        own = contract.stored(schema)
        self._of_path = contract.from_path(own, partitions)
        # DuckDB would prefer a folder to a column in the file with that name.
        names = {name.casefold() for name in schema.names}
        shadowed = any(key.casefold() in names for key in partitions)
        self._hive = bool(self._of_path) and of_path and not shadowed
        layout = [
            _OF_PATH
            if column.name in self._of_path
            else _layout(column.name, own.get(column.name), self._schema)
            for column in contract.COLUMNS
        ]
        self._layout = tuple(layout + sorted(partitions)) if self._hive else tuple(layout)
        self._names = {name: one.name for name, one in own.items()}  # as they are spelled here
        self._unit = _timestamp_unit(stored, self._names.get("timestamp"))
        self._projection = contract.projection(
            own, self._of_path, hive=self._hive, nanoseconds=self._unit == "nanoseconds"
        )
        self._doubts = contract.doubts(own)
        self._others = contract.others(schema)

    def covers(self, stored: pq.ParquetSchema, schema: pa.Schema) -> bool:
        """Return whether a file in such folders is of this kind."""
        return bool(self._stored.equals(stored) and self._schema.equals(schema))

    def file(
        self, path: str, absolute: str, size: int, footer: Footer, partitions: Mapping[str, str]
    ) -> SourceFile:
        """Return a file of this kind, without faults; ``partitions`` are its own folders."""
        first, last = self._time_range(footer)
        return SourceFile(
            path=path,
            absolute=absolute,
            rows=footer.metadata.num_rows,
            size=size,
            layout=self._layout,
            projection=self._projection,
            doubts=self._doubts,
            hive=self._hive,
            first_us=first,
            last_us=last,
            timestamp_unit=self._unit,
            organisations=self._organisations(footer),
            others=self._others,
            folders={k: v for k, v in partitions.items() if k not in contract.NAMES},
        )

    def _time_range(self, footer: Footer) -> tuple[int | None, int | None]:
        """Return the first and last timestamp in microseconds since the epoch; None = unknown."""
        if self._unit not in _UNITS:
            return None, None
        bounds = footer.bounds(self._names["timestamp"])
        # Rows without a timestamp count as invalid, so every question reads a file that has some.
        found = _range(bounds) if all(one.nulls == 0 for one in bounds) else None
        if found is None:
            return None, None
        if any(
            one.low is not None and one.high is not None and one.low > one.high for one in bounds
        ):
            raise footers.DamagedError("its first timestamp is later than its last")
        multiply, divide = _UNITS[self._unit]
        return found[0] * multiply // divide, found[1] * multiply // divide

    def _organisations(self, footer: Footer) -> tuple[int, int] | None:
        """Return the smallest and largest ``org_id``; None = unknown."""
        if "org_id" in self._of_path:
            return None
        if "org_id" not in self._names:
            return _NO_ORGANISATION
        bounds = footer.bounds(self._names["org_id"])
        if all(one.nulls == one.rows for one in bounds):
            return _NO_ORGANISATION
        return _range(bounds)


def _layout(name: str, own: contract.Stored | None, schema: pa.Schema) -> str:
    """Return the Arrow type of a column, and its name if the spelling differs."""
    if own is None:
        return "None"
    kind = schema.field(own.name).type
    return str(kind) if own.name == name else f"{own.name} {kind}"


def _as_duckdb_has_it(stored: pq.ParquetSchema, schema: pa.Schema) -> pa.Schema:
    """Return the schema, with text where DuckDB reads text."""
    for index in range(len(stored)):
        column = stored.column(index)
        if column.converted_type in _TEXT_TO_DUCKDB and column.path in schema.names:
            at = schema.names.index(column.path)
            schema = schema.set(at, pa.field(column.path, pa.string()))
    return schema


def _without_rows(path: str, absolute: str, size: int) -> SourceFile:
    """Return a file without rows, which can have any columns."""
    return SourceFile(
        path=path,
        absolute=absolute,
        rows=0,
        size=size,
        layout=(),
        projection=(),
        doubts=(),
        hive=False,
        timestamp_unit=None,
        first_us=None,
        last_us=None,
        organisations=None,
    )


def _folders(partitions: Mapping[str, str], *, of_path: bool) -> _Folders:
    """Return the keys of the ``key=value`` folders, and the text of those that are a column."""
    found = {(key, text if key in contract.NAMES else None) for key, text in partitions.items()}
    return frozenset(found if of_path else {*found, ("", None)})  # a folder has a key


def _magic_fault(path: str, head: bytes, size: int) -> str | None:
    if size == 0:
        return "the file is empty (0 bytes); write it again"
    if head == b"PARE":
        return "the file is encrypted Parquet; write it without encryption"
    if head != b"PAR1":
        return foreign.fault(path)
    return None


def _name_fault(path: str) -> str | None:
    """Return why DuckDB cannot read a path: it has no escape for some characters."""
    if "\\" in path and any(char in PATTERN_CHARACTERS for char in path):
        return f"a backslash and one of {PATTERN_CHARACTERS} in the same path; rename the file"
    return None


def _damaged(path: str, error: Exception) -> str:
    reason = printable(str(error).splitlines()[0]) if str(error) else type(error).__name__
    if isinstance(error, pa.ArrowNotImplementedError):
        return f"{printable(path)}: a column has a type that cannot be read; cast it ({reason})"
    return f"{printable(path)}: truncated or damaged Parquet file; write it again ({reason})"


def _partitions(path: str) -> dict[str, str]:
    """Return the ``key=value`` folders of a path."""
    pairs = (part.partition("=") for part in os.path.dirname(path).split(os.sep))
    return {
        key.casefold() if key.casefold() in contract.NAMES else key: unquote(value)
        for key, equals, value in pairs
        if equals
    }


def _timestamp_unit(stored: pq.ParquetSchema, name: str | None) -> str | None:
    """Return the unit of stored timestamps; None if it is not one of Parquet's."""
    index = next((i for i in range(len(stored)) if stored.column(i).path == name), None)
    if index is None:
        return None
    logical = json.loads(stored.column(index).logical_type.to_json())
    return str(logical["timeUnit"]) if "timeUnit" in logical else None


def _range(bounds: Sequence[Bounds]) -> tuple[int, int] | None:
    """Return the smallest and largest stored integer; None unless the footer is sure."""
    lows = [one.low for one in bounds if one.low is not None]
    highs = [one.high for one in bounds if one.high is not None]
    return (min(lows), max(highs)) if lows and len(lows) == len(bounds) else None
