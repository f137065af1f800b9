"""The newest session metric of the sources, and the instant ``latest``."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from relhealth.core import clock
from relhealth.core.errors import DataError, QuestionError
from relhealth.core.windows import from_epoch_us, iso, parse_instant, to_epoch_us
from relhealth.core.words import counted
from relhealth.datasets.dictionaries import UnsupportedError
from relhealth.datasets.sources import SourceFile, Sources
from relhealth.engines.duckdb.engine import DuckdbEngine
from relhealth.engines.interface import Found, Reader

if TYPE_CHECKING:
    from relhealth.engines.rollup.reader import Rollup


class Newest:
    """Finds the newest session metric, by a template over all rows."""

    def __init__(self, sources: Found, reader: Reader, *, org: int | None) -> None:
        """Read nothing yet; ``org`` is the organisation of the question, ``None`` for all."""
        self._sources = sources
        self._reader = reader
        self._org = org

    def latest(self, warn: Callable[[str], object]) -> datetime:
        """Return one second after the newest session metric, so that windows include it.

        This ignores metrics that are later than the clock, with a warning. Without any file, the
        result is now. Raises ``DataError`` if there are files without such a metric.
        """
        present = clock.now()
        if not self._sources.any_rows:
            return present
        newest = self.us()
        if newest is not None and newest > to_epoch_us(present):
            newest = self._until(present, warn)
        if newest is None:
            of_org = "" if self._org is None else f" of organisation {self._org}"
            files = counted(self._sources.total - len(self._sources.empty), "file")
            raise DataError(f"no session metric{of_org} in {files}")
        instant = from_epoch_us(newest)
        try:
            return parse_instant(instant + timedelta(seconds=1))
        except (OverflowError, QuestionError):
            raise DataError(
                f"the newest session metric is from {iso(instant)}: name another --now"
            ) from None

    def us(self, end: datetime | None = None) -> int | None:
        """Return the newest session metric, before ``end`` if given, in microseconds."""
        template = "newest" if end is None else "newest_until"
        ((row,),) = self._reader.all_rows([(template, {"end": end})])
        found: int | None = row["newest_us"]
        return found

    def _until(self, present: datetime, warn: Callable[[str], object]) -> int:
        """Return the newest session metric that is not later than the clock; warn of later ones."""
        after = present + timedelta(microseconds=1)
        (rows,) = self._reader.all_rows([("ahead", {"start": after})])
        warn(
            clock.warning(
                [(row["project_id"], row["release"], row["newest_us"]) for row in rows], present
            )
        )
        newest = self.us(after)
        if newest is None:
            raise DataError(
                f"every session metric is later than the clock, {iso(present)}: set the clock"
                " right, or name the instant to ask about with --now"
            )
        return newest


class NewestOfFiles(Newest):
    """Finds it in files, and reads as few of them as their footers allow."""

    def __init__(
        self, files: Sources, engine: DuckdbEngine, *, rollup: "Rollup | None", org: int | None
    ) -> None:
        """Read nothing yet; a fresh ``rollup`` of the files knows their newest rows."""
        super().__init__(files, engine, org=org)
        self._files = files.files
        self._engine = engine
        self._rollup = rollup

    def us(self, end: datetime | None = None) -> int | None:
        """Return the newest session metric, before ``end`` if given, in microseconds.

        This reads the files with the newest rows first, until the footers of the others show that
        these have no newer one.
        """
        if self._rollup is not None and end is None:
            return self._rollup.newest_us(self._org)
        newest: int | None = None
        files = self._files
        if end is not None:
            end_us = to_epoch_us(end)
            files = tuple(one for one in files if one.first_us is None or one.first_us < end_us)
        for file in sorted(files, key=lambda one: (one.last_us is not None, -(one.last_us or 0))):
            if newest is not None and file.last_us is not None and file.last_us <= newest:
                break
            found = self._of_file(file, end)
            newest = found if newest is None else max(newest, found or newest)
        return newest

    def _of_file(self, file: SourceFile, end: datetime | None) -> int | None:
        from relhealth.datasets.plain_parquet import is_plain
        from relhealth.engines.kernel.newest import newest_us

        if is_plain(file):
            with suppress(UnsupportedError):
                return newest_us(file, self._org, None if end is None else to_epoch_us(end))
        template = "newest" if end is None else "newest_until"
        found: int | None = self._engine.rows_of((file,), template, {"end": end})[0]["newest_us"]
        return found
