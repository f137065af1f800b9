"""Tables of Delta Lake, Iceberg and Hudi, read by their logs, not their folders.

A table's folder also holds files that the table no longer uses; only its log knows which.
"""

import os
import re
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

from relhealth.core.errors import DataError
from relhealth.core.printable import printable
from relhealth.datasets.contract import HIVE_NULL, NAMES
from relhealth.stores import present

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from pyiceberg.table import StaticTable

DELTA, ICEBERG, HUDI = "a Delta Lake table", "an Iceberg table", "a Hudi table"
_DELTA_LOG, _ICEBERG_LOG, _HUDI_LOG = "_delta_log", "metadata", ".hoodie"
_ICEBERG_VERSION = re.compile(r"v?(\d+)(?:-.*)?(?:\.gz)?\.metadata\.json(?:\.gz)?")
_DELTA_VERSION = re.compile(r"\d{20}\.|_last_checkpoint$|_sidecars$")
_EXTRA = "pip install 'relhealth[tables]'"

_Files = list[tuple[str, Mapping[str, str]]]


class LogTable(NamedTuple):
    """A folder with a table, and the kind of the table."""

    kind: str

    def files(self, folder: str) -> _Files:
        """Return the table's current files, each with its columns from the log.

        Raises ``DataError`` for an unreadable table; its faults do not name the folder.
        """
        if self.kind == DELTA:
            return _files_of_delta(folder)
        if self.kind == ICEBERG:
            return _files_of_iceberg(folder)
        raise DataError(
            f"{self.kind}, which relhealth cannot read; write its current rows as Parquet into"
            " another folder"
        )


def may_be(folders: Collection[str]) -> bool:
    """Return whether a folder can be a table, by the names of its folders."""
    return _DELTA_LOG in folders or _ICEBERG_LOG in folders or _HUDI_LOG in folders


def found(folder: str) -> LogTable | None:
    """Return the table in a folder; None if it is not a table."""
    if any(map(_DELTA_VERSION.match, _names(os.path.join(folder, _DELTA_LOG)))):
        return LogTable(DELTA)
    if os.path.isdir(os.path.join(folder, _HUDI_LOG)):
        return LogTable(HUDI)
    return LogTable(ICEBERG) if _versions(folder) else None


def around(folder: str) -> tuple[str, str] | None:
    """Return the kind and the folder of the table that a folder is or lies in; None: no table."""
    folder = os.path.abspath(folder)
    while True:
        table = found(folder)
        if table is not None:
            return table.kind, folder
        if folder == os.path.dirname(folder) or present.is_top(folder):
            return None
        folder = os.path.dirname(folder)


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _absent(kind: str, error: ImportError) -> DataError:
    return DataError(f"{kind}; to have it read by its log: {_EXTRA} ({error})")


# Delta Lake.


def _files_of_delta(folder: str) -> _Files:
    try:
        import deltalake
        from deltalake.exceptions import DeltaError
    except ImportError as error:
        raise _absent(DELTA, error) from error
    import pyarrow as pa

    try:
        table = deltalake.DeltaTable(os.path.abspath(folder))
        _refuse_mapping(table.metadata().configuration)
        if _has_deletion_vectors(table):
            raise DataError(
                f"{DELTA} with deletion vectors, which relhealth cannot apply; rewrite its rows"
                " with REORG TABLE ... APPLY (PURGE)"
            )
        actions = pa.table(table.get_add_actions())
        paths = actions["path"].to_pylist()
        given = actions["partition"].to_pylist() if "partition" in actions.schema.names else []
    except (DeltaError, OSError, ValueError, pa.ArrowException) as error:
        raise DataError(f"{DELTA} whose log cannot be read ({_line(error)})") from error
    partitions = given or [{}] * len(paths)
    return sorted(
        (_local(os.path.join(folder, ""), path), _texts(values))
        for path, values in zip(paths, partitions, strict=True)
    )


def _has_deletion_vectors(table: "DeltaTable") -> bool:
    """Return whether files have deleted rows; a table that allows them need not have any."""
    import pyarrow as pa

    if "deletionVectors" not in (table.protocol().reader_features or []):
        return False
    try:
        return bool(pa.table(table.deletion_vectors().read_all()).num_rows)
    except Exception:  # noqa: BLE001 - whatever is wrong with them, they are there
        return True


def _refuse_mapping(configuration: Mapping[str, str]) -> None:
    mapping = configuration.get("delta.columnMapping.mode", "none")
    if mapping != "none":
        raise DataError(
            f"{DELTA} with column mapping (by {printable(mapping)}), which relhealth cannot apply;"
            " write its rows as Parquet into another folder"
        )


def _local(folder: str, path: str) -> str:
    """Return the path of a file that a log names, by a URI or relative to the table."""
    parts = urlsplit(path)
    mirrored = present.path_of(path)
    if mirrored is not None:
        return mirrored
    if parts.scheme == "file":
        return unquote(parts.path)
    if parts.scheme and "://" in path:
        raise DataError(f"its file {printable(path)} is in an object store, not on this machine")
    return os.path.join(folder, unquote(path))


def _texts(values: Mapping[str, object]) -> dict[str, str]:
    """Return the contract's columns among a log's partition values, in the form of folders."""
    return {
        name.casefold(): HIVE_NULL if value is None else str(value)
        for name, value in values.items()
        if name.casefold() in NAMES
    }


def _line(error: Exception) -> str:
    return printable(str(error).splitlines()[0]) if str(error) else type(error).__name__


# Iceberg.


def _versions(folder: str) -> list[tuple[int, str]]:
    """Return the metadata files of an Iceberg table with their versions; none if no table."""
    log = os.path.join(folder, _ICEBERG_LOG)
    matches = [(match, name) for name in _names(log) if (match := _ICEBERG_VERSION.fullmatch(name))]
    return sorted((int(match[1]), os.path.join(log, name)) for match, name in matches)


def _files_of_iceberg(folder: str) -> _Files:
    try:
        from pyiceberg.table import StaticTable
    except ImportError as error:
        raise _absent(ICEBERG, error) from error
    versions = _versions(folder)
    latest = [path for version, path in versions if version == versions[-1][0]]
    if len(latest) > 1:
        raise DataError(
            f"{ICEBERG} with {len(latest)} metadata files of version {versions[-1][0]}, of which"
            " only its catalog knows the current one; export its rows as Parquet"
        )
    try:
        table = StaticTable.from_metadata(latest[0], _reading(folder))
        return sorted(_planned(folder, table))
    except DataError:
        raise
    except Exception as error:  # the library has no base class for its errors
        raise DataError(f"{ICEBERG} whose log cannot be read ({_line(error)})") from error


def _reading(folder: str) -> dict[str, str]:
    """Return the properties with which the library reads the files of a log."""
    if not present.is_mirrored(folder):
        return {}
    return {"py-io-impl": "relhealth.datasets.mirrored_log.MirroredLog"}


def _planned(folder: str, table: "StaticTable") -> Iterator[tuple[str, Mapping[str, str]]]:
    names = {field.field_id: field.name for field in table.schema().fields}
    for task in table.scan().plan_files():
        if task.delete_files:
            raise DataError(
                f"{ICEBERG} with delete files, which relhealth cannot apply; compact it with"
                " rewrite_data_files, or export its rows as Parquet"
            )
        if task.file.file_format.value != "PARQUET":
            raise DataError(
                f"{ICEBERG} with files of {task.file.file_format.value}; rewrite it as Parquet"
            )
        path = _local(folder, task.file.file_path)
        _check_names(path, names)
        yield path, {}


def _check_names(path: str, names: Mapping[int, str]) -> None:
    """Refuse a file whose column names differ from the table's current ones."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    present.ends([path])
    try:
        schema = pq.read_schema(path)
    except FileNotFoundError:
        raise DataError(f"{ICEBERG} whose file {printable(path)} is missing") from None
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{ICEBERG} whose file {printable(path)} cannot be read ({_line(error)})"
        ) from error
    for field in schema:
        number = (field.metadata or {}).get(b"PARQUET:field_id")
        now = names.get(int(number)) if number is not None else None
        if number is not None and now != field.name and {now, field.name} & NAMES:
            raise DataError(
                f"{ICEBERG} whose column {printable(str(now))} is '{printable(field.name)}' in"
                f" {printable(path)}, by an earlier schema; rewrite the table's files"
            )
