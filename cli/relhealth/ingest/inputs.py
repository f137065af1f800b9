"""Inputs: the files to ingest, the columns in their folders, and their bytes."""

import fnmatch
import io
import os
from collections.abc import Callable, Sequence
from typing import BinaryIO
from urllib.parse import unquote

from relhealth.core.errors import DataError, QuestionError
from relhealth.core.printable import printable
from relhealth.datasets import tables
from relhealth.datasets.ledger import LEDGER

STDIN = "-"

# What Spark, Hadoop and Hive leave beside the data.
_BESIDE_DATA = ("_SUCCESS", "_committed*", "_started*", "_metadata", "_common_metadata", "*.crc")
_HIDDEN_FOLDERS = ("_temporary", "_spark_metadata")
_PIPE = "pipe it into standard input, and name -"
_EXPORT = "export the table as Parquet, and ingest that"
_NO_PARTITION = "__HIVE_DEFAULT_PARTITION__"


def find(named: Sequence[str], dataset: str) -> list[str]:
    """Return the files of the named inputs, each once, directories read recursively.

    Skips the data set that they are for, if it is below one of them. ``-`` is standard input,
    which cannot be named with others. Raises ``DataError`` with a line for each that cannot be
    found, and ``QuestionError`` if none is named.
    """
    if not named:
        raise QuestionError("no input: name files or directories, or - for standard input")
    if STDIN in named:
        if len(named) > 1:
            raise QuestionError(
                "- (standard input) must be the only input: ingest files in another run"
            )
        return [STDIN]
    found: dict[str, None] = {}
    faults = _in_tables(named)
    for name in named:
        if os.path.isdir(name):
            files = _walk(name, dataset, faults)
            if not files and not faults:
                faults.append(f"{printable(name)}: no file in this directory")
            found.update(dict.fromkeys(files))
        elif os.path.isfile(name):
            found[name] = None
        elif os.path.exists(name):
            faults.append(f"{printable(name)}: no file but a pipe or a device; {_PIPE}")
        else:
            faults.append(f"{printable(name)}: no such file or directory")
    if faults:
        raise DataError(faults)
    return list(found)


def _in_tables(named: Sequence[str]) -> list[str]:
    """Return a fault for each input in the folder of a table."""
    folders = {name: os.path.dirname(os.path.abspath(name)) for name in named}
    around = {folder: tables.around(folder) for folder in set(folders.values())}
    return [
        f"{printable(name)}: part of {table[0]}, {printable(table[1])}, whose log says which files"
        f" count; {_EXPORT}"
        for name, folder in folders.items()
        if (table := around[folder]) is not None
    ]


def _walk(root: str, dataset: str, faults: list[str]) -> list[str]:
    """Return the files below a directory; add what is wrong with it."""

    def unreadable(error: OSError) -> None:
        reason = (error.strerror or str(error)).lower()
        faults.append(f"{printable(str(error.filename))}: {reason}")

    found = []
    for folder, folders, files in os.walk(root, onerror=unreadable):
        if LEDGER in folders:
            if folder == root or os.path.realpath(folder) != os.path.realpath(dataset):
                faults.append(
                    f"{printable(folder)}: a data set of relhealth ingest already; ask it, such as"
                    " with relhealth overview"
                )
            folders.clear()
            continue
        table = _table_format(folder, folders, files)
        if table is not None:
            faults.append(
                f"{printable(folder)}: a folder of {table}, whose log says which files count;"
                f" {_EXPORT}"
            )
            folders.clear()
            continue
        folders[:] = sorted(
            each for each in folders if not each.startswith(".") and each not in _HIDDEN_FOLDERS
        )
        found += [os.path.join(folder, each) for each in sorted(files) if not _is_beside(each)]
    return found


def _is_beside(file: str) -> bool:
    """Return whether a file is not data: hidden, or a side file of a framework."""
    return file.startswith(".") or any(fnmatch.fnmatchcase(file, each) for each in _BESIDE_DATA)


def _table_format(folder: str, folders: Sequence[str], files: Sequence[str]) -> str | None:
    if "_delta_log" in folders:
        return "a Delta Lake table"
    if ".hoodie" in folders:
        return "a Hudi table"
    if os.path.basename(folder) == "metadata" and any(
        each.endswith(".metadata.json") for each in files
    ):
        return "an Iceberg table"
    if "metadata" in folders:
        try:
            inside = os.listdir(os.path.join(folder, "metadata"))
        except OSError:  # walking the folder reports it
            return None
        if any(each.endswith(".metadata.json") for each in inside):
            return "an Iceberg table"
    return None


def partitions_of(path: str) -> dict[str, str | None]:
    """Return the columns in the folders of a file: ``name=value``, percent-decoded.

    The value is ``None`` for Hive's word for null.
    """
    found: dict[str, str | None] = {}
    for part in os.path.dirname(path).split(os.sep):
        name, equals, value = part.partition("=")
        if name and equals:
            found[unquote(name)] = None if value == _NO_PARTITION else unquote(value)
    return found


class Watched(io.RawIOBase):
    """Passes a stream on, and reports how many bytes were read."""

    def __init__(
        self, stream: BinaryIO, watch: Callable[[int], None], end: int | None = None
    ) -> None:
        """Read from where the stream is, up to ``end``; ``watch`` is called at every read."""
        self._stream = stream
        self._watch = watch
        self._end = end
        self.size = 0  # bytes read

    def readable(self) -> bool:
        """Return true."""
        return True

    def seekable(self) -> bool:
        """Return whether the stream is seekable; tables of Parquet must be."""
        return self._stream.seekable()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move in the stream; its end is the given one."""
        if whence == os.SEEK_END and self._end is not None:
            offset, whence = self._end + offset, os.SEEK_SET
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        """Return the position in the stream."""
        return self._stream.tell()

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        """Read, and report it."""
        most = len(buffer)
        if self._end is not None:  # later additions are for the next run
            most = max(0, min(most, self._end - self._stream.tell()))
        piece = self._stream.read(most)
        buffer[: len(piece)] = piece
        self.size += len(piece)
        self._watch(self.size)
        return len(piece)
