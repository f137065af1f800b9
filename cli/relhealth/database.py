"""DuckDB: one connection with its limits, whose queries can be interrupted and watched."""

import re
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from relhealth import queries
from relhealth.errors import QuestionError
from relhealth.printable import printable

Row = dict[str, Any]

# How often a running query is asked for its progress, and Ctrl-C is looked for; seconds.
_TICK = 0.1
_MEMORY = re.compile(r"\d{1,9}(\.\d{1,9})?\s*[KMGT]i?B", re.IGNORECASE)
_MOST_THREADS = 4096


@dataclass(frozen=True, slots=True)
class Progress:
    """How far long work is: what is being done and its share done, 0 to 1."""

    component: str
    done: float


Observer = Callable[[Progress], None]


class Database:
    """One DuckDB connection; runs one statement at a time, for one thread."""

    def __init__(
        self,
        *,
        memory_limit: str | None = None,
        threads: int | None = None,
        observer: Observer | None = None,
    ) -> None:
        """Open a connection; raises ``QuestionError`` for limits that cannot be."""
        import duckdb

        limits = check_limits(memory_limit, threads)
        self._observer = observer
        spill = tempfile.mkdtemp(prefix="relhealth-")
        self._clean_up = weakref.finalize(self, shutil.rmtree, spill, ignore_errors=True)
        self._connection = duckdb.connect(
            config={
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "preserve_insertion_order": False,
                "temp_directory": spill,
                **limits,
            }
        )
        self.execute("SET TimeZone = 'UTC'")
        if observer is not None:
            self.execute("SET enable_progress_bar = true")
            self.execute("SET enable_progress_bar_print = false")
            self.execute("SET progress_bar_time = 0")

    def close(self) -> None:
        """Close the connection and remove what it spilled."""
        self._connection.close()
        self._clean_up()

    def interrupt(self) -> None:
        """Stop what runs, from another thread."""
        self._connection.interrupt()

    def execute(self, sql: str) -> None:
        """Run a short statement of the program's own."""
        self._connection.execute(sql)

    def rows(self, name: str, values: Mapping[str, object]) -> list[Row]:
        """Run a template; return one mapping a row.

        ``values`` must hold a value for each parameter that the template names and may hold more.
        Raises ``duckdb.Error`` for what DuckDB cannot do, ``KeyboardInterrupt`` when interrupted,
        and ``QuestionError`` where the memory limit does not do.
        """
        template = queries.load(name)
        missing = template.parameters - values.keys()
        if missing:
            raise LookupError(f"{name}.sql names {sorted(missing)}, which its question lacks")
        return self.run(name, template.sql, {key: values[key] for key in template.parameters})

    def run(self, label: str, sql: str, values: Mapping[str, object]) -> list[Row]:
        """Run a statement on a thread of its own: the main thread would not hear Ctrl-C in it."""
        outcome: list[list[Row]] = []
        errors: list[BaseException] = []
        # Joining is no way to wait: a join that was interrupted forgets its thread.
        done = threading.Event()

        def work() -> None:
            try:
                cursor = self._connection.execute(sql, dict(values))
                names = [column[0] for column in cursor.description or ()]
                outcome.append([dict(zip(names, row, strict=True)) for row in cursor.fetchall()])
            except BaseException as error:  # noqa: BLE001 - handed to the waiting thread
                errors.append(error)
            finally:
                done.set()

        threading.Thread(target=work, name=f"relhealth-{label}", daemon=True).start()
        try:
            while not done.wait(_TICK):
                self._observe(label)
        except BaseException:
            self._connection.interrupt()
            done.wait()
            raise
        if errors:
            _raise(errors[0])
        return outcome[0]

    def _observe(self, label: str) -> None:
        if self._observer is not None:
            percent = self._connection.query_progress()
            self._observer(Progress(label, min(1.0, max(0.0, percent / 100))))


def _raise(error: BaseException) -> None:
    import duckdb

    if isinstance(error, duckdb.InterruptException):
        raise KeyboardInterrupt from None
    if isinstance(error, duckdb.OutOfMemoryException):
        raise QuestionError(
            "the answer needs more memory than is allowed: raise --memory-limit, or ask for"
            f" a shorter period or fewer projects ({first_line(error)})"
        ) from error
    raise error


def check_limits(memory_limit: str | None, threads: int | None) -> dict[str, str | int]:
    """Return the limits as DuckDB's settings; raise ``QuestionError`` for what cannot be one."""
    limits: dict[str, str | int] = {}
    if memory_limit is not None:
        if not isinstance(memory_limit, str) or not _MEMORY.fullmatch(memory_limit.strip()):
            raise QuestionError(
                f"memory limit {memory_limit!r}: expected a size such as 512MB or 2GB"
            )
        limits["memory_limit"] = memory_limit.strip()
    if threads is not None:
        if type(threads) is not int or not 1 <= threads <= _MOST_THREADS:
            raise QuestionError(f"threads {threads}: expected 1 or more, up to {_MOST_THREADS}")
        limits["threads"] = threads
    return limits


def memory_bytes(limit: str) -> int:
    """Return a checked memory limit in bytes: kB, MB … are of 1000, KiB, MiB … of 1024."""
    number, unit = re.fullmatch(r"([\d.]+)\s*([A-Za-z]+)", limit.strip()).groups()  # type: ignore[union-attr]
    base = 1024 if "i" in unit.lower() else 1000
    return int(float(number) * base ** ("KMGT".index(unit[0].upper()) + 1))


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, printable."""
    return printable(str(error).splitlines()[0]) if str(error) else type(error).__name__
