"""Sources: which files a question reads, checked against the data contract from their footers."""

import errno
import glob
import json
import os
import stat
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from relhealth import contract, footers, ledger
from relhealth.errors import DataError, QuestionError
from relhealth.footers import FOOTER_BYTES, Bounds, Footer
from relhealth.ledger import LEDGER, REJECTED, ROLLUP, STAGING, SUFFIXES
from relhealth.printable import printable
from relhealth.sql import PATTERN_CHARACTERS
from relhealth.windows import Window, to_epoch_us

# Microseconds in a timestamp unit of the Parquet format, as (multiply, divide).
_UNITS = {"milliseconds": (1000, 1), "microseconds": (1, 1), "nanoseconds": (1, 1000)}
_MAGIC_BYTES = 4
_PATIENCE = 10  # searches, where files go while they are looked at
_OUR_FOLDERS = {LEDGER, REJECTED, ROLLUP, STAGING}  # of a data set, beside its data
_NO_ORGANISATION = (0, -1)  # an empty range

_Folders = frozenset[tuple[str, str | None]]


class SourceFile(NamedTuple):
    """One Parquet file that fits the contract."""

    path: str  # as it was named
    absolute: str
    rows: int
    size: int  # bytes
    layout: tuple[str, ...]  # files of one layout have the same physical columns and types
    projection: tuple[str, ...]  # the contract's columns as SQL over the file's own
    hive: bool  # DuckDB reads columns from the path
    timestamp_unit: str | None  # as Parquet names it; None = unknown
    first_us: int | None  # microseconds since the epoch; None = unknown
    last_us: int | None
    organisations: tuple[int, int] | None  # least and greatest org_id; None = unknown

    @property
    def nanoseconds(self) -> bool:
        """Whether timestamps are finer than DuckDB's microseconds."""
        return self.timestamp_unit == "nanoseconds"

    def overlaps(self, window: Window) -> bool:
        """Tell whether the file may hold rows of the window."""
        if self.first_us is None or self.last_us is None:
            return True
        return self.first_us < to_epoch_us(window.end) and self.last_us >= to_epoch_us(window.start)


class Sources(NamedTuple):
    """The files of one or more sources, each once, in order of path."""

    files: tuple[SourceFile, ...]
    empty: tuple[str, ...]  # files without a row

    @property
    def one_organisation(self) -> bool:
        """Whether the footers alone tell that there is at most one organisation."""
        ranges = {file.organisations for file in self.files} - {_NO_ORGANISATION}
        return not ranges or (
            len(ranges) == 1 and all(found and found[0] == found[1] for found in ranges)
        )


def open_sources(named: Sequence[str | os.PathLike[str]]) -> Sources:
    """Find the files of the named sources and check each against the data contract.

    A source is a Parquet file, a directory (read recursively) or a glob pattern.
    Raises ``DataError`` with one line for every fault of every file, and where no file has a row;
    ``QuestionError`` where no source is named.
    """
    for _ in range(_PATIENCE):
        search = _searched(named)
        paths = sorted(search.paths)
        _ask_ahead(paths)
        outcomes = list(map(_Footers().read, paths))
        if not search.outdated():
            break
    faults = search.faults + [fault for faults, _ in outcomes for fault in faults]
    if faults:
        raise DataError(faults)
    files = tuple(file for _, file in outcomes if file is not None)
    filled = tuple(file for file in files if file.rows)
    empty = tuple(file.path for file in files if not file.rows)
    if not filled:
        raise DataError([f"{printable(path)}: the file has no rows" for path in empty])
    return Sources(filled, empty)


def find(named: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Return the files of the named sources, in order of path, whatever is in them.

    Raises as ``open_sources``, but for what is in the files.
    """
    search = _searched(named)
    if search.faults:
        raise DataError(search.faults)
    return sorted(search.paths)


def _searched(named: Sequence[str | os.PathLike[str]]) -> "_Search":
    if not named:
        raise QuestionError("no source: name a Parquet file, a directory or a glob pattern")
    search = _Search()
    for source in named:
        # A shell makes all that is in a data set of its `*`.
        if len(named) == 1 or os.path.basename(os.fspath(source)) not in _OUR_FOLDERS:
            search.add(os.fspath(source))
    return search


class _Search:
    """Collects paths, each file once however often and by whatever name it is reached."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.faults: list[str] = []
        self._seen: set[tuple[int, int]] = set()
        self._gone = False

    def outdated(self) -> bool:
        """Tell whether files went since they were found, as when a data set is compacted."""
        return self._gone or not all(map(os.path.lexists, self.paths))

    def add(self, source: str) -> None:
        """Add a file, a directory or a glob pattern."""
        if _is_there(source):
            matches = [source]
        else:
            matches = _matches(source) if glob.has_magic(source) else []
        if not matches:
            what = "no file matches" if glob.has_magic(source) else "no such file or directory"
            self._fault(source, what)
        for match in matches:
            self._add_path(match)

    def _fault(self, path: str, what: str) -> None:
        self.faults.append(f"{printable(path) or repr(path)}: {what}")

    def _stat(self, path: str) -> os.stat_result | None:
        try:
            return os.stat(path)
        except OSError as error:
            self._fault(path, _reason(error))
            return None

    def _add_path(self, path: str) -> None:
        status = self._stat(path)
        if status is None:
            return
        identity = (status.st_dev, status.st_ino)
        if stat.S_ISDIR(status.st_mode):
            self._add_directory(path)
        elif not stat.S_ISREG(status.st_mode):
            self._fault(path, "not a regular file")
        elif identity not in self._seen:
            self._seen.add(identity)
            self.paths.append(path)

    def _add_directory(self, directory: str) -> None:
        known_faults = len(self.faults)
        files = ledger.settled(directory, lambda: list(self._walk(directory)))
        if os.path.basename(os.path.abspath(directory)) == ROLLUP:
            self._fault(directory, "this is a rollup; name the data set that it is in")
            return
        for file in files:
            if os.path.lexists(file):
                self._add_path(file)
            else:
                self._gone = True
        if not files and len(self.faults) == known_faults:
            self._fault(directory, f"no Parquet file ({', '.join(SUFFIXES)}) in this directory")

    def _walk(self, directory: str) -> Iterator[str]:
        """Yield the Parquet files below a directory, through links, without going in circles."""
        visited: set[tuple[int, int]] = set()

        def refuse(error: OSError) -> None:
            self._fault(str(error.filename), _reason(error))

        for folder, folders, files in os.walk(directory, onerror=refuse, followlinks=True):
            status = self._stat(folder)
            if status is None or (status.st_dev, status.st_ino) in visited:
                folders.clear()
                continue
            visited.add((status.st_dev, status.st_ino))
            folders[:] = sorted(name for name in folders if not _is_hidden(name))
            for name in sorted(files):
                if name.lower().endswith(SUFFIXES) and not _is_hidden(name):
                    yield os.path.join(folder, name)


def _is_there(path: str) -> bool:
    """Tell whether to take a source for a path: where it may not be looked for, too."""
    try:
        os.lstat(path)
    except OSError as error:
        return error.errno in {errno.EACCES, errno.EPERM, errno.ELOOP}
    except ValueError:  # a null character
        return False
    return True


def _matches(pattern: str) -> list[str]:
    """Return what a pattern matches, but for hidden names that it does not spell out."""
    parts = pattern.split(os.sep)
    spelled = next(at for at, part in enumerate(parts) if glob.has_magic(part))
    found = sorted(glob.glob(pattern, recursive=True))
    if any(map(_is_hidden, parts[spelled:])):
        return found
    return [one for one in found if not any(map(_is_hidden, one.split(os.sep)[spelled:]))]


def _is_hidden(name: str) -> bool:
    """Names that writers of data sets use for what is not data: logs, ledgers, unfinished files."""
    return name.startswith(".") or (name.startswith("_") and "=" not in name)


def _reason(error: OSError) -> str:
    match error.errno:
        case errno.ENOENT:
            return "no such file or directory"
        case errno.EACCES | errno.EPERM:
            return "permission denied"
        case _:
            return (error.strerror or str(error)).lower()


def _ask_ahead(paths: Sequence[str]) -> None:
    """Have the system fetch the heads and footers of files together, where it can.

    It then reads many at once, as threads would have it do; but threads, which wait for one another
    at each call, make footers that are cached slower to read.
    """
    if not hasattr(os, "posix_fadvise"):
        return
    for path in paths:
        with suppress(OSError):  # told when the file is read
            opened = os.open(path, os.O_RDONLY)
            try:
                footer = max(0, os.fstat(opened).st_size - FOOTER_BYTES)
                os.posix_fadvise(opened, 0, _MAGIC_BYTES, os.POSIX_FADV_WILLNEED)
                os.posix_fadvise(opened, footer, FOOTER_BYTES, os.POSIX_FADV_WILLNEED)
            finally:
                os.close(opened)


class _Footers:
    """Reads footers; what files of one kind share is found out once."""

    def __init__(self) -> None:
        self._kinds: dict[_Folders, list[_Kind]] = defaultdict(list)

    def read(self, path: str) -> tuple[list[str], SourceFile | None]:
        """Return a file's faults, or the file."""
        try:
            path.encode()
            absolute = os.path.abspath(path)
            head, size = _head(absolute)
            fault = _magic_fault(head, size) or _name_fault(absolute)
            if fault:
                return [f"{printable(path)}: {fault}"], None
            footer = footers.read(absolute)
            kind = self._kind(footer, _partitions(absolute))
            if kind.faults:
                return [f"{printable(path)}: {fault}" for fault in kind.faults], None
            return [], kind.file(path, absolute, size, footer)
        except UnicodeEncodeError:
            return [f"{path!a}: the file name is not UTF-8; rename the file"], None
        except OSError as error:
            if error.errno is not None:
                return [f"{printable(path)}: {_reason(error)}"], None
            return [_damaged(path, error)], None
        except (pa.ArrowException, ValueError) as error:
            return [_damaged(path, error)], None

    def _kind(self, footer: Footer, partitions: Mapping[str, str]) -> "_Kind":
        stored, schema = footer.metadata.schema, footer.schema
        alike = self._kinds[_folders(partitions)]
        for kind in alike:
            if kind.covers(stored, schema):
                return kind
        kind = _Kind(stored, schema, partitions)
        alike.append(kind)
        return kind


def _head(path: str) -> tuple[bytes, int]:
    """Return the first bytes of a file, and how many it has."""
    opened = os.open(path, os.O_RDONLY)
    try:
        return os.pread(opened, _MAGIC_BYTES, 0), os.fstat(opened).st_size
    finally:
        os.close(opened)


class _Kind:
    """Files of the same schema, in folders that give them the same columns."""

    def __init__(
        self, stored: pq.ParquetSchema, schema: pa.Schema, partitions: Mapping[str, str]
    ) -> None:
        self._stored = stored
        self._schema = schema
        self.faults = contract.faults(schema, partitions)
        if self.faults:
            return
        types = contract.types(schema)
        self._of_path = contract.from_path(types, partitions)
        # DuckDB would let a folder go before the file's own column of that name.
        own = {name.casefold() for name in types}
        self._hive = bool(self._of_path) and not any(key.casefold() in own for key in partitions)
        layout = [str(types.get(column.name)) for column in contract.COLUMNS]
        self._layout = tuple(layout + sorted(partitions)) if self._hive else tuple(layout)
        self._at = {stored.column(index).path: index for index in range(len(stored))}
        self._unit = _timestamp_unit(stored, self._at)
        self._projection = contract.projection(
            types, self._of_path, hive=self._hive, nanoseconds=self._unit == "nanoseconds"
        )

    def covers(self, stored: pq.ParquetSchema, schema: pa.Schema) -> bool:
        """Tell whether a file in such folders is of this kind."""
        return bool(self._stored.equals(stored) and self._schema.equals(schema))

    def file(self, path: str, absolute: str, size: int, footer: Footer) -> SourceFile:
        """Return a file of this kind, which has no faults."""
        first, last = self._time_range(footer)
        return SourceFile(
            path=path,
            absolute=absolute,
            rows=footer.metadata.num_rows,
            size=size,
            layout=self._layout,
            projection=self._projection,
            hive=self._hive,
            first_us=first,
            last_us=last,
            timestamp_unit=self._unit,
            organisations=self._organisations(footer),
        )

    def _time_range(self, footer: Footer) -> tuple[int | None, int | None]:
        """Return the first and last timestamp in microseconds since the epoch; None = unknown."""
        if "timestamp" not in self._at or self._unit not in _UNITS:
            return None, None
        bounds = footer.bounds("timestamp")
        # Rows without a timestamp are counted as invalid, so a file that has some is always read.
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
        """Return the least and the greatest ``org_id``; None = unknown."""
        if "org_id" in self._of_path:
            return None
        if "org_id" not in self._at:
            return _NO_ORGANISATION
        bounds = footer.bounds("org_id")
        if all(one.nulls == one.rows for one in bounds):
            return _NO_ORGANISATION
        return _range(bounds)


def _folders(partitions: Mapping[str, str]) -> _Folders:
    """Return the keys of the ``key=value`` folders, and the text of those that give a column."""
    names = {column.name for column in contract.COLUMNS}
    return frozenset((key, text if key in names else None) for key, text in partitions.items())


def _magic_fault(head: bytes, size: int) -> str | None:
    if size == 0:
        return "the file is empty (0 bytes); write it again"
    if head == b"PARE":
        return "the file is encrypted Parquet; write it without encryption"
    if head != b"PAR1":
        return "not a Parquet file"
    return None


def _name_fault(path: str) -> str | None:
    """DuckDB takes some characters for a pattern, and cannot be told otherwise beside another."""
    if "\\" in path and any(char in PATTERN_CHARACTERS for char in path):
        return f"a backslash and one of {PATTERN_CHARACTERS} in the same path; rename the file"
    return None


def _damaged(path: str, error: Exception) -> str:
    reason = printable(str(error).splitlines()[0]) if str(error) else type(error).__name__
    return f"{printable(path)}: truncated or damaged Parquet file; write it again ({reason})"


def _partitions(path: str) -> dict[str, str]:
    """Return the ``key=value`` folders of a path."""
    pairs = (part.partition("=") for part in os.path.dirname(path).split(os.sep))
    return {key: unquote(value) for key, equals, value in pairs if equals}


def _timestamp_unit(stored: pq.ParquetSchema, at: Mapping[str, int]) -> str | None:
    """Return the unit in which timestamps are stored; None where it is not one of Parquet's."""
    index = at.get("timestamp")
    if index is None:
        return None
    logical = json.loads(stored.column(index).logical_type.to_json())
    return str(logical["timeUnit"]) if "timeUnit" in logical else None


def _range(bounds: Sequence[Bounds]) -> tuple[int, int] | None:
    """Return the least and greatest stored integer; None unless the footer is sure."""
    lows = [one.low for one in bounds if one.low is not None]
    highs = [one.high for one in bounds if one.high is not None]
    return (min(lows), max(highs)) if lows and len(lows) == len(bounds) else None
