"""DuckDB: one connection with limits; callers can interrupt and watch its queries."""

import os
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from relhealth.core.errors import NeedsMemoryError, QuestionError
from relhealth.core.printable import printable
from relhealth.machine import memory, queries
from relhealth.machine.spilling import SpillFolder, no_room

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]
_T = TypeVar("_T")

# Seconds between two checks of a running query: for its progress, and for Ctrl-C.
_TICK = 0.1
_MOST_THREADS = 4096
_BATCH = 20_480  # rows per batch of a stream


class Progress(NamedTuple):
    """The progress of long work: what runs, and the share that is done, 0 to 1."""

    component: str
    done: float


Observer = Callable[[Progress], None]


class Database:
    """One DuckDB connection, which runs one statement at a time, for one thread."""

    def __init__(
        self,
        *,
        memory_limit: str | None = None,
        threads: int | None = None,
        observer: Observer | None = None,
        own_memory: int | None = None,
    ) -> None:
        """Open a connection; ``memory_limit`` is that of the process.

        ``own_memory`` is that of the connection, in bytes. Raises ``QuestionError`` for invalid
        limits, ``OutputError`` if there is no folder for spill files.
        """
        import duckdb

        check_limits(memory_limit, threads)
        share, most = memory.of_database(memory_limit, threads or len(os.sched_getaffinity(0)))
        self._observer = observer
        self._spill = SpillFolder()
        self._clean_up = weakref.finalize(self, self._spill.remove)
        self._connection = duckdb.connect(
            config={
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "preserve_insertion_order": False,
                "temp_directory": self._spill.path,
                "memory_limit": f"{own_memory or share}B",
                "threads": most,
            }
        )
        self.execute("SET TimeZone = 'UTC'")
        if observer is not None:
            self.execute("SET enable_progress_bar = true")
            self.execute("SET enable_progress_bar_print = false")
            self.execute("SET progress_bar_time = 0")

    def close(self) -> None:
        """Close the connection and remove its spill files."""
        self._connection.close()
        self._clean_up()

    def allow(self, own_memory: int) -> None:
        """Set the memory limit of the connection, in bytes."""
        self.execute(f"SET memory_limit = '{own_memory}B'")

    def interrupt(self) -> None:
        """Stop the running statement, from another thread."""
        self._connection.interrupt()

    def execute(self, sql: str) -> None:
        """Run a short statement that is not a template."""
        self._connection.execute(sql)

    def rows(self, name: str, values: Mapping[str, object], most: int | None = None) -> list[Row]:
        """Run a template; return one mapping per row, of at most one more than ``most``.

        ``values`` must have a value for each parameter of the template, and can have more.
        Raises ``duckdb.Error`` for errors of DuckDB, ``KeyboardInterrupt`` when interrupted,
        ``NeedsMemoryError`` if the memory limit is too small, and ``OutputError`` if there is
        no room for spill files.
        """
        template = queries.load(name)
        missing = template.parameters - values.keys()
        if missing:
            raise LookupError(f"{name}.sql names {sorted(missing)}, which its question lacks")
        sql = queries.limited(template.sql, most)
        return self.run(name, sql, {key: values[key] for key in template.parameters})

    def run(self, label: str, sql: str, values: Mapping[str, object]) -> list[Row]:
        """Run a statement; return one mapping per row."""

        def fetch(_unwanted: threading.Event) -> list[Row]:
            cursor = self._connection.execute(sql, dict(values))
            names = [column[0] for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

        return self._on_a_thread(label, fetch)

    def stream(
        self,
        label: str,
        sql: str,
        take: "Callable[[pa.RecordBatchReader], _T]",
        arriving: "pa.RecordBatchReader | None" = None,
    ) -> _T:
        """Run a statement, hand its rows to ``take`` as Arrow batches, and return what it makes.

        The statement can read ``arriving``, once.
        """

        def fetch(unwanted: threading.Event) -> _T:
            import duckdb
            import pyarrow as pa

            reader = self._connection.sql(sql).to_arrow_reader(_BATCH)

            def wanted() -> Iterator[pa.RecordBatch]:
                try:
                    for batch in reader:
                        if unwanted.is_set():
                            raise KeyboardInterrupt
                        yield batch
                except (
                    pa.ArrowException
                ) as error:  # an error of DuckDB, which Arrow passes on as text
                    kind: type[duckdb.Error] = duckdb.Error
                    if "Out of Memory Error" in str(error):
                        kind = duckdb.OutOfMemoryException
                    elif "IO Error" in str(error):
                        kind = duckdb.IOException
                    raise kind(str(error)) from error

            return take(pa.RecordBatchReader.from_batches(reader.schema, wanted()))

        def fetch_beside(unwanted: threading.Event) -> _T:
            if arriving is None:
                return fetch(unwanted)
            with self._registered(arriving):
                return fetch(unwanted)

        return self._on_a_thread(label, fetch_beside)

    def load(self, table: str, sql: str, arriving: "pa.RecordBatchReader") -> None:
        """Create a temporary table from a statement that reads ``arriving``, once."""

        def fetch(_unwanted: threading.Event) -> None:
            with self._registered(arriving):
                self._connection.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS {sql}")

        self._on_a_thread("loading", fetch)

    @contextmanager
    def _registered(self, arriving: "pa.RecordBatchReader") -> Iterator[None]:
        """Run a statement on arriving rows; raise their errors instead of DuckDB's."""
        import pyarrow as pa

        raised: list[Exception] = []

        def passed_on() -> Iterator[pa.RecordBatch]:
            try:
                yield from arriving
            except Exception as error:
                raised.append(error)
                raise

        reader = pa.RecordBatchReader.from_batches(arriving.schema, passed_on())
        self._connection.register("arriving", reader)
        try:
            yield
        except Exception as error:
            if raised:
                raise raised[0] from error
            raise
        finally:
            self._connection.unregister("arriving")

    def _on_a_thread(self, label: str, fetch: "Callable[[threading.Event], _T]") -> _T:
        """Run ``fetch`` on a separate thread, because the main thread must receive Ctrl-C.

        The event that ``fetch`` gets is set when nobody needs its result any more.
        """
        outcome: list[_T] = []
        errors: list[BaseException] = []
        # This does not wait with join, because an interrupted join loses its thread.
        done = threading.Event()
        unwanted = threading.Event()

        def work() -> None:
            try:
                if not unwanted.is_set():
                    outcome.append(fetch(unwanted))
            except BaseException as error:  # noqa: BLE001 - handed to the waiting thread
                errors.append(error)
            finally:
                done.set()

        worker = threading.Thread(target=work, name=f"relhealth-{label}", daemon=True)
        try:
            worker.start()
            while not done.wait(_TICK):
                self._observe(label)
        except BaseException:
            # No thread may be in DuckDB when the process ends. A thread that has not started sees
            # the event; a statement that has not started does not receive an interrupt.
            unwanted.set()
            self._connection.interrupt()
            while worker.is_alive() and not done.wait(_TICK):
                self._connection.interrupt()
            raise
        if errors:
            self._raise(errors[0])
        return outcome[0]

    def _observe(self, label: str) -> None:
        if self._observer is not None:
            percent = self._connection.query_progress()
            self._observer(Progress(label, min(1.0, max(0.0, percent / 100))))

    def _raise(self, error: BaseException) -> None:
        import duckdb

        if isinstance(error, duckdb.InterruptException):
            raise KeyboardInterrupt from None
        if isinstance(error, duckdb.IOException) and self._spill.path in str(error):
            raise no_room(first_line(error).rpartition(": ")[2].lower()) from error
        if isinstance(error, duckdb.OutOfMemoryException):
            if "max_temp_directory_size" in str(
                error
            ):  # DuckDB's limit from the free space of the disk
                raise no_room("no space left on device") from error
            raise NeedsMemoryError(
                "the answer needs more memory than is allowed: raise --memory-limit, or ask for"
                f" a shorter period or fewer projects ({first_line(error)})"
            ) from error
        raise error


def check_limits(memory_limit: str | None, threads: int | None) -> None:
    """Raise ``QuestionError`` for an invalid limit."""
    if memory_limit is not None:
        memory.memory_bytes(memory_limit)
    if threads is not None and (type(threads) is not int or not 1 <= threads <= _MOST_THREADS):
        raise QuestionError(f"threads {threads}: expected 1 or more, up to {_MOST_THREADS}")


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, printable."""
    return printable(str(error).splitlines()[0]) if str(error) else type(error).__name__
