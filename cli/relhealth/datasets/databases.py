"""DuckDB database files as sources: `sessions.duckdb`, or `sessions.duckdb::table`."""

import os
from typing import TYPE_CHECKING

from relhealth.core.errors import DataError
from relhealth.core.printable import printable
from relhealth.datasets.contract import NAMES
from relhealth.datasets.foreign import is_duckdb

if TYPE_CHECKING:
    from relhealth.machine.attached import Attached, Table
    from relhealth.machine.database import Observer
    from relhealth.stores.mirror import Mirror

_MARK = "::"  # between the file and the table
_LEAST = {"project_id", "timestamp", "metric"}  # columns of a table of the contract


def named(source: str | os.PathLike[str]) -> tuple[str, str] | None:
    """Return the file and the table ('' for the only one) of a source; None: no database."""
    text = os.fspath(source)
    ends = [at for at in range(1, len(text)) if text.startswith(_MARK, at)]
    for end in (len(text), *ends):
        if is_duckdb(text[:end]):
            return text[:end], text[end + len(_MARK) :]
    return None


def as_parquet(path: str, name: str, mirror: "Mirror", observer: "Observer | None") -> str:
    """Return the path of a Parquet file with the rows of a table.

    A mirror keeps it until the database changes. Raises ``DataError`` for a database that cannot
    be read, and unless one table is meant.
    """
    from relhealth.machine.attached import Attached

    status = os.stat(path)
    try:
        log = os.stat(f"{path}.wal").st_mtime_ns
    except OSError:
        log = 0
    state = (os.path.realpath(path), status.st_size, status.st_mtime_ns, log)
    attached = Attached(path, observer)
    try:
        table = _chosen(attached, path, name)
        columns = [one for one in table.columns if one.casefold() in NAMES]
        version = "\0".join(map(str, (*state, table.schema, table.name)))
        spelled = f"{path}{_MARK}{name}" if name else path
        return mirror.made(version, spelled, lambda to: attached.write(table, columns, to))
    finally:
        attached.close()


def _chosen(attached: "Attached", path: str, name: str) -> "Table":
    tables = attached.tables()
    able = [one for one in tables if {each.casefold() for each in one.columns} >= _LEAST]
    if name:
        found = _named(tables, name)
        if len(found) > 1:
            raise DataError(f"{printable(path)}: several tables are called {printable(name)}")
        if found and not any(each.casefold() in NAMES for each in found[0].columns):
            raise DataError(f"{printable(path)}: table {printable(name)} has no session metrics")
        if found:
            return found[0]
        what = f"no table {printable(name)}"
    elif len(able) == 1:
        return able[0]
    else:
        what = "several tables" if able else "no table"
        what += f" with the columns {', '.join(sorted(_LEAST))}"
    listed = ", ".join(printable(one.spelled) for one in (able or tables)[:20]) or "none"
    raise DataError(
        f"{printable(path)}: {what}; name one as {printable(os.path.basename(path))}::TABLE"
        f" (there: {listed})"
    )


def _named(tables: "list[Table]", name: str) -> "list[Table]":
    """Return the tables with a name, in its case if there are some."""

    def names(table: "Table") -> set[str]:
        return {table.spelled, f"{table.schema}.{table.name}"}

    exactly = [one for one in tables if name in names(one)]
    lowered = name.casefold()
    return exactly or [one for one in tables if lowered in {text.casefold() for text in names(one)}]
