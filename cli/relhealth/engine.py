"""The engine: runs SQL templates in DuckDB over the files that a window needs."""

import re
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from types import TracebackType
from typing import Any, Self

import duckdb

from relhealth import queries
from relhealth.contract import COLUMNS
from relhealth.errors import DataError, QuestionError
from relhealth.printable import printable
from relhealth.sources import SourceFile, Sources
from relhealth.windows import Window

Row = dict[str, Any]

# How often a running query is asked for its progress, and Ctrl-C is looked for; seconds.
_TICK = 0.1
_MEMORY = re.compile(r"\d+(\.\d+)?\s*[KMGT]i?B", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a running question is: the component being computed and its share done, 0 to 1."""

    component: str
    done: float


Observer = Callable[[Progress], None]


class Engine:
    """One DuckDB connection over the files of some sources.

    Templates read the relation ``metric_rows``: the contract's columns, with its types, of every
    file that may hold rows of the window.
    """

    def __init__(
        self,
        sources: Sources,
        *,
        org: int | None = None,
        memory_limit: str | None = None,
        threads: int | None = None,
        observer: Observer | None = None,
    ) -> None:
        """Open a connection; ``org`` narrows every question to one organisation."""
        self._sources = sources
        self._org = org
        self._observer = observer
        self._viewed: tuple[SourceFile, ...] | None = None
        spill = tempfile.mkdtemp(prefix="relhealth-")
        self._clean_up = weakref.finalize(self, shutil.rmtree, spill, ignore_errors=True)
        self._connection = duckdb.connect(
            config={
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "preserve_insertion_order": False,
                "temp_directory": spill,
                **_limits(memory_limit, threads),
            }
        )
        self._connection.execute("SET TimeZone = 'UTC'")
        if observer is not None:
            self._connection.execute("SET enable_progress_bar = true")
            self._connection.execute("SET enable_progress_bar_print = false")
            self._connection.execute("SET progress_bar_time = 0")

    def close(self) -> None:
        """Close the connection and remove what it spilled."""
        self._connection.close()
        self._clean_up()

    def __enter__(self) -> Self:
        """Return the engine itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    def rows(
        self, name: str, values: Mapping[str, object], window: Window | None = None
    ) -> list[Row]:
        """Run a template over the files of ``window`` (None: of all time); one mapping a row.

        ``values`` must hold a value for each parameter that the template names and may hold more.
        """
        files = self._sources.files
        if window is not None:
            files = tuple(file for file in files if file.overlaps(window))
        return self.rows_of(files, name, values, window)

    def rows_of(
        self,
        files: tuple[SourceFile, ...],
        name: str,
        values: Mapping[str, object],
        window: Window | None = None,
    ) -> list[Row]:
        """Run a template over just these files."""
        template = queries.load(name)
        missing = template.parameters - values.keys()
        if missing:
            raise LookupError(f"{name}.sql names {sorted(missing)}, which its question lacks")
        try:
            self._view(files, window)
            return self._run(template, {key: values[key] for key in template.parameters})
        except duckdb.InterruptException:
            raise KeyboardInterrupt from None
        except duckdb.OutOfMemoryException as error:
            raise QuestionError(
                "the answer needs more memory than is allowed: raise --memory-limit, or ask for"
                f" a shorter period or fewer projects ({_first_line(error)})"
            ) from error
        except duckdb.Error as error:
            raise self._explain(error, files) from error

    def _view(self, files: tuple[SourceFile, ...], window: Window | None) -> None:
        """Make ``metric_rows`` the rows of these files."""
        cut_by_window = any(file.nanoseconds for file in files)
        if files == self._viewed and not cut_by_window:
            return
        selects = [
            _select(list(group), self._org, window)
            for _, group in groupby(sorted(files, key=_reading), key=_reading)
        ] or [_no_rows()]
        body = "\nUNION ALL\n".join(selects)
        self._connection.execute(f"CREATE OR REPLACE TEMP VIEW metric_rows AS\n{body}")
        self._viewed = files

    def _run(self, template: queries.Template, values: Mapping[str, object]) -> list[Row]:
        """Run on a thread of its own, since a query in the main thread would not hear Ctrl-C."""
        outcome: list[list[Row]] = []
        errors: list[BaseException] = []

        def work() -> None:
            try:
                cursor = self._connection.execute(template.sql, dict(values))
                names = [column[0] for column in cursor.description or ()]
                outcome.append([dict(zip(names, row, strict=True)) for row in cursor.fetchall()])
            except BaseException as error:  # noqa: BLE001 - handed to the waiting thread
                errors.append(error)

        worker = threading.Thread(target=work, name=f"relhealth-{template.name}", daemon=True)
        worker.start()
        try:
            while worker.is_alive():
                worker.join(_TICK)
                self._observe(template.name)
        except BaseException:
            self._connection.interrupt()
            worker.join()
            raise
        if errors:
            raise errors[0]
        return outcome[0]

    def _observe(self, component: str) -> None:
        if self._observer is not None:
            percent = self._connection.query_progress()
            self._observer(Progress(component, min(1.0, max(0.0, percent / 100))))

    def _explain(self, error: duckdb.Error, files: Iterable[SourceFile]) -> Exception:
        """Name the file that a failed read stumbled over; the error itself where none does."""
        # As text, since DuckDB answers other extremes from the footer, without reading a page.
        columns = ", ".join(f"max({column.name}::VARCHAR)" for column in COLUMNS)
        faults = []
        for file in files:
            try:
                self._connection.execute(
                    f"SELECT {columns} FROM ({_select([file], None, None)})"
                ).fetchall()
            except duckdb.Error as fault:
                faults.append(
                    f"{printable(file.path)}: damaged or changed while it was read;"
                    f" write it again ({_first_line(fault)})"
                )
        if not faults and isinstance(error, duckdb.ConversionException):
            return DataError("a sum of session counters exceeds 64 bits: these cannot be counts")
        return DataError(faults) if faults else error


def _limits(memory_limit: str | None, threads: int | None) -> dict[str, str | int]:
    limits: dict[str, str | int] = {}
    if memory_limit is not None:
        if not _MEMORY.fullmatch(memory_limit.strip()):
            raise QuestionError(
                f"memory limit '{memory_limit}': expected a size such as 512MB or 2GB"
            )
        limits["memory_limit"] = memory_limit.strip()
    if threads is not None:
        if threads < 1:
            raise QuestionError(f"threads {threads}: expected 1 or more")
        limits["threads"] = threads
    return limits


def _reading(file: SourceFile) -> tuple[bool, tuple[str, ...], tuple[str, ...]]:
    """What files must share to be read by one ``read_parquet``."""
    return file.hive, file.projection, file.layout


def _select(files: Sequence[SourceFile], org: int | None, window: Window | None) -> str:
    first = files[0]
    paths = ", ".join(_literal(_unglobbed(file.path)) for file in files)
    hive = "hive_partitioning = true, hive_types_autocast = false"
    conditions = []
    if org is not None:
        conditions.append(f"org_id = {org:d}")
    if first.nanoseconds and window is not None:
        # Templates see the timestamps cut to microseconds, which row-group statistics do not serve;
        # bounds of this type do, with and without a zone.
        conditions.append(f"\"timestamp\" >= '{window.start:%Y-%m-%d %H:%M:%S}'::TIMESTAMP")
        conditions.append(f"\"timestamp\" < '{window.end:%Y-%m-%d %H:%M:%S}'::TIMESTAMP")
    return "\n".join(
        [
            f"SELECT {', '.join(first.projection)}",
            f"FROM read_parquet([{paths}], {hive if first.hive else 'hive_partitioning = false'})",
            *([f"WHERE {' AND '.join(conditions)}"] if conditions else []),
        ]
    )


def _no_rows() -> str:
    columns = ", ".join(f"NULL::{column.sql_type} AS {column.name}" for column in COLUMNS)
    return f"SELECT {columns} WHERE false"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _unglobbed(path: str) -> str:
    """Write a path so that DuckDB takes it to the letter and not as a pattern."""
    return "".join(f"[{char}]" if char in "*?[\\" else char for char in path)


def _first_line(error: Exception) -> str:
    return printable(str(error).splitlines()[0]) if str(error) else type(error).__name__
