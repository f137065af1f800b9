"""A database file of DuckDB, opened read-only, and a table of it as a Parquet file."""

from collections.abc import Collection
from typing import TYPE_CHECKING, NamedTuple

from relhealth.core.errors import DataError
from relhealth.core.printable import printable
from relhealth.machine.database import Database, Observer, Row, first_line

if TYPE_CHECKING:
    import pyarrow as pa

_TABLES = """
SELECT schema_name, table_name, list(column_name ORDER BY column_index) AS columns
FROM duckdb_columns()
WHERE database_name = 'attached' AND NOT internal
GROUP BY ALL ORDER BY ALL
"""


class Table(NamedTuple):
    """A table or view of a database file."""

    schema: str
    name: str
    columns: tuple[str, ...]

    @property
    def spelled(self) -> str:
        """The name that a source has after `::`."""
        return self.name if self.schema == "main" else f"{self.schema}.{self.name}"


class Attached:
    """A database file. Every method raises ``DataError`` for a file that cannot be read."""

    def __init__(self, path: str, observer: Observer | None) -> None:
        """Open it; nothing is ever written to it."""
        self._path = path
        self._database = Database(memory_limit=None, threads=None, observer=observer)
        try:
            self._run(f"ATTACH '{path.replace(chr(39), chr(39) * 2)}' AS attached (READ_ONLY)")
            self._run("USE attached")  # views name their tables without it
        except DataError:
            self.close()
            raise

    def close(self) -> None:
        """Close it."""
        self._database.close()

    def tables(self) -> list[Table]:
        """Return its tables and views."""
        return [
            Table(row["schema_name"], row["table_name"], tuple(row["columns"]))
            for row in self._run(_TABLES)
        ]

    def write(self, table: Table, columns: Collection[str], to: str) -> None:
        """Write some columns of a table to a Parquet file, with checksums of its pages."""
        import duckdb
        import pyarrow.parquet as pq

        def take(batches: "pa.RecordBatchReader") -> None:
            with pq.ParquetWriter(
                to, batches.schema, compression="zstd", write_page_checksum=True
            ) as writer:
                for batch in batches:
                    writer.write_batch(batch)

        selected = ", ".join(map(_quoted, columns))
        place = f"attached.{_quoted(table.schema)}.{_quoted(table.name)}"
        try:
            self._database.stream("reading", f"SELECT {selected} FROM {place}", take)
        except duckdb.Error as error:
            raise DataError(
                f"{printable(self._path)}: {printable(table.spelled)} cannot be read"
                f" ({first_line(error)}); mend the table or view"
            ) from error

    def _run(self, sql: str) -> list[Row]:
        import duckdb

        try:
            return self._database.run("opening", sql, {})
        except duckdb.Error as error:
            raise self._fault(error) from error

    def _fault(self, error: Exception) -> DataError:
        name, text = printable(self._path), str(error)
        if "lock on file" in text:
            return DataError(
                f"{name}: another process has this DuckDB database open for writing; close it"
                " there, or ask a copy"
            )
        return DataError(
            f"{name}: a DuckDB database that cannot be read ({first_line(error)}); open it with"
            " the DuckDB that wrote it, and export the table as Parquet"
        )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
