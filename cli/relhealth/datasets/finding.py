"""Finding the files of sources, each once, by folders, patterns and tables' logs."""

import errno
import glob
import os
import stat
from collections.abc import Iterator, Mapping, Sequence

from relhealth.core.data_files import is_hidden
from relhealth.core.errors import DataError, QuestionError
from relhealth.core.printable import printable
from relhealth.datasets import foreign, ledger, tables
from relhealth.datasets.ledger import LEDGER, REJECTED, ROLLUP, SPOOL, STAGING, SUFFIXES
from relhealth.stores import present

_FEW = 100  # files whose content is checked for their kind
_OUR_FOLDERS = {LEDGER, REJECTED, ROLLUP, SPOOL, STAGING}  # of a data set, beside its data


def find(named: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Return the files of sources, in order of path, with any content.

    Raises ``DataError`` with a line for each that does not exist, ``QuestionError`` if there is no
    source.
    """
    search = searched(named)
    if search.faults:
        raise DataError(search.faults)
    return sorted(search.paths)


def searched(named: Sequence[str | os.PathLike[str]]) -> "Search":
    """Search for the files of sources; raises ``QuestionError`` if there is no source."""
    if not named:
        raise QuestionError("no source: name a Parquet file, a directory or a glob pattern")
    search = Search()
    for source in named:
        # A shell expands `*` to everything in a data set.
        if len(named) == 1 or os.path.basename(os.fspath(source)) not in _OUR_FOLDERS:
            search.add(os.fspath(source))
    return search


class Search:
    """Collects paths, each file once, even if several names lead to it.

    ``partitions`` has the columns from the log of a table, by path.
    """

    def __init__(self) -> None:
        """Start without paths."""
        self.paths: list[str] = []
        self.faults: list[str] = []
        self.partitions: dict[str, Mapping[str, str]] = {}
        self._seen: set[tuple[int, int]] = set()
        self._tables: dict[str, tables.LogTable | None] = {}  # by folder
        self._passed_over: list[str] = []
        self._gone = False

    def outdated(self) -> bool:
        """Return whether files have disappeared since they were found, as in a compaction."""
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
            if not self._refused_as_part(match):
                self._add_path(match)

    def _fault(self, path: str, what: str) -> None:
        self.faults.append(f"{printable(path) or repr(path)}: {what}")

    def _stat(self, path: str) -> os.stat_result | None:
        try:
            return os.stat(path)
        except OSError as error:
            self._fault(path, reason(error))
            return None

    def _table(self, folder: str) -> tables.LogTable | None:
        if folder not in self._tables:
            self._tables[folder] = tables.found(folder)
        return self._tables[folder]

    def _refused_as_part(self, path: str) -> bool:
        """Refuse files in a table's folder: only the table's log knows which are current."""
        folder = os.path.dirname(os.path.abspath(path))
        while True:
            table = self._table(folder)
            if table is not None:
                self._fault(path, f"part of {table.kind}; name the table, {printable(folder)}")
                return True
            if folder == os.path.dirname(folder) or present.is_top(folder):
                return False
            folder = os.path.dirname(folder)

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
        if os.path.basename(os.path.abspath(directory)) == ROLLUP:
            self._fault(directory, "this is a rollup; name the data set that it is in")
            return
        empty_tables = len(self._tables)
        self._passed_over.clear()
        files = ledger.settled(directory, lambda: list(self._walk(directory)))
        for file in files:
            if os.path.lexists(file):
                self._add_path(file)
            else:
                self._gone = True
        tables_found = any(list(self._tables.values())[empty_tables:]) or self._table(directory)
        # A data set may have lost the last of its inputs.
        a_data_set = os.path.isdir(os.path.join(directory, LEDGER))
        if not (files or tables_found or a_data_set) and len(self.faults) == known_faults:
            self._fault(directory, f"no Parquet file in this directory{self._instead()}")

    def _instead(self) -> str:
        """Tell of inputs of ingest, where a directory has these and no Parquet."""
        told = foreign.found(self._passed_over[:_FEW])
        return f", but {told}" if told else ""

    def _walk(self, directory: str) -> Iterator[str]:
        """Yield the Parquet files below a directory, following links, without cycles."""
        visited: set[tuple[int, int]] = set()

        def refuse(error: OSError) -> None:
            self._fault(str(error.filename), reason(error))

        for folder, folders, files in os.walk(directory, onerror=refuse, followlinks=True):
            status = self._stat(folder)
            if status is None or (status.st_dev, status.st_ino) in visited:
                folders.clear()
                continue
            visited.add((status.st_dev, status.st_ino))
            table = self._table(folder) if tables.may_be(folders) else None
            if table is not None:
                folders.clear()
                yield from self._files_of(folder, table)
                continue
            folders[:] = sorted(name for name in folders if not is_hidden(name))
            for name in sorted(files):
                if not is_hidden(name) and self._is_parquet(os.path.join(folder, name)):
                    yield os.path.join(folder, name)

    def _files_of(self, folder: str, table: tables.LogTable) -> Iterator[str]:
        try:
            found = table.files(folder)
        except DataError as error:
            for fault in error.faults:
                self._fault(folder, fault)
            return
        for path, partitions in found:
            self.partitions[path] = partitions
            yield path

    def _is_parquet(self, path: str) -> bool:
        """Return whether a file is Parquet, by its name or else by its first bytes."""
        if path.lower().endswith(SUFFIXES):
            return True
        try:
            found = foreign.begins_as_parquet(path)
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ENXIO}:  # a link to nothing, a socket
                return False
            self._fault(path, reason(error))
            return False
        if not found:
            self._passed_over.append(path)
        return found


def _is_there(path: str) -> bool:
    """Return whether a source is a path, also if there is no permission to look."""
    try:
        os.lstat(path)
    except OSError as error:
        return error.errno in {errno.EACCES, errno.EPERM, errno.ELOOP}
    except ValueError:  # a null character
        return False
    return True


def _matches(pattern: str) -> list[str]:
    """Return what a pattern matches, except hidden names that it does not spell out."""
    parts = pattern.split(os.sep)
    spelled = next(at for at, part in enumerate(parts) if glob.has_magic(part))
    found = sorted(glob.glob(pattern, recursive=True))
    if any(map(is_hidden, parts[spelled:])):
        return found
    return [one for one in found if not any(map(is_hidden, one.split(os.sep)[spelled:]))]


def reason(error: OSError) -> str:
    """Return in words why a path could not be read."""
    match error.errno:
        case errno.ENOENT:
            return "no such file or directory"
        case errno.EACCES | errno.EPERM:
            return "permission denied"
        case _:
            return (error.strerror or str(error)).lower()
