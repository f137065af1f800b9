"""The row groups of raw files by day; a file whose footer lacks this is split by day first."""

import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from relhealth.core.errors import DataError, GoneError, QuestionError
from relhealth.datasets import casts, footers
from relhealth.datasets.checking import UNREADABLE, Checked
from relhealth.datasets.contract import SESSION_METRICS
from relhealth.datasets.footers import Footer
from relhealth.datasets.metric_rows import metric_rows
from relhealth.datasets.plain_parquet import is_plain, per_second
from relhealth.datasets.sources import SourceFile
from relhealth.datasets.sql import literal
from relhealth.machine.database import Database, Observer
from relhealth.rollup import rows
from relhealth.rollup.manifest import Day
from relhealth.rollup.rows import DAY, Part

_MOST_DAYS = 3  # of a row group; with more, its file is split by day
_US = 10**6
# No question reaches beyond the years 1971 to 9997.
_FIRST_DAY, _LAST_DAY = 365, 2_932_166


class Parting:
    """Returns the parts of files; rewrites files that are not plain into ``staging``."""

    def __init__(
        self, staging: Path, memory_limit: str | None, threads: int, observer: Observer | None
    ) -> None:
        """Write nothing yet."""
        self._staging = staging
        self._memory_limit = memory_limit
        self._threads = threads
        self._observer = observer

    def of(self, name: str, file: SourceFile, days: set[Day] | None) -> Iterable[tuple[Day, Part]]:
        """Return what to read of a file for each of its days (of some, or all)."""
        plain = _plain_groups(file)
        if plain is None:
            return self._parted(name, file, days)
        footer, unit, columns, groups = plain
        of_day: dict[Day, list[int]] = defaultdict(list)
        sizes: Counter[Day] = Counter()
        for number, first, last, count in groups:
            for day in range(first, last + 1):
                of_day[day].append(number)
                sizes[day] += count
        return [
            (day, Part(name, file.absolute, tuple(numbers), unit, sizes[day], columns, footer))
            for day, numbers in of_day.items()
        ]

    def _parted(
        self, name: str, file: SourceFile, days: set[Day] | None
    ) -> Iterable[tuple[Day, Part]]:
        """Make DuckDB split a file by day into plain files."""
        target = self._staging / str(uuid.uuid4())
        target.mkdir(parents=True)
        columns = ", ".join(f'"{column}"' for column in rows.CONTRACT.names)
        of_day = 'floor(epoch_us("timestamp") / 86400000000.0)::BIGINT'
        known = f"{of_day} BETWEEN {_FIRST_DAY} AND {_LAST_DAY}"
        metrics = ", ".join(literal(metric) for metric in SESSION_METRICS)
        some = ""
        if days is not None:
            dated = [str(day) for day in days if day is not None]
            some = f" WHERE day IN ({', '.join(dated) or 'NULL'})"
            some += " OR day IS NULL" if None in days else ""
        database = Database(
            memory_limit=self._memory_limit, threads=self._threads, observer=self._observer
        )
        try:
            Checked(self._threads).check([file], None)
            if file.doubts:
                casts.refuse(
                    file.path,
                    file.absolute,
                    file.doubts,
                    lambda sql: database.run("looking through", sql, {}),
                )
            database.execute(metric_rows([file]))
            database.run(
                "rollup",
                f"COPY (SELECT * FROM (SELECT {columns},"
                f" CASE WHEN {known} THEN {of_day} END AS day FROM metric_rows"
                f" WHERE metric IN ({metrics})){some})"
                f" TO {literal(str(target))} (FORMAT parquet, PARTITION_BY (day))",
                {},
            )
        except (QuestionError, DataError):
            raise
        except Exception as error:  # only the engine knows DuckDB's errors
            raise rows.fault(file.path, error) from error
        finally:
            database.close()
        found: list[tuple[Day, Part]] = []
        for path in sorted(target.glob("*/*.parquet")):
            text = path.parent.name.removeprefix("day=")
            day = int(text) if text.removeprefix("-").isdecimal() else None
            footer = footers.read(str(path))
            count = footer.metadata.num_rows
            groups = tuple(range(len(footer.groups)))
            columns_of_all = tuple(rows.CONTRACT.names)
            part = Part(name, str(path), groups, _US, count, columns_of_all, footer)
            found.append((day, part))
        return found


def _plain_groups(
    file: SourceFile,
) -> tuple[Footer, int, tuple[str, ...], list[tuple[int, int, int, int]]] | None:
    """Return a plain file's footer, timestamp units per second, columns and row groups.

    A row group is its number, its first and last day, and its number of rows. Returns ``None`` for
    a file that is not plain, and for a row group with unknown, many or far-off days.
    """
    if not is_plain(file, mechanisms=True):
        return None
    try:
        footer = footers.read(file.absolute)
        found = footer.groups
    except FileNotFoundError as error:
        raise GoneError(file.path) from error
    except UNREADABLE as error:
        raise rows.fault(file.path, error) from error
    unit = per_second(file)
    groups = []
    for number, group in enumerate(found):
        if not group.rows:
            continue
        chunk = group.chunks["timestamp"]
        extremes = chunk.extremes() if chunk.nulls == 0 else None
        if extremes is None:
            return None
        first, last = (int(at) // (unit * DAY) for at in extremes)
        if not _FIRST_DAY <= first <= last <= _LAST_DAY or last - first >= _MOST_DAYS:
            return None
        groups.append((number, first, last, group.rows))
    columns = tuple(name for name in rows.CONTRACT.names if name in footer.schema.names)
    return footer, unit, columns, groups
