"""Session tables: one row per session, as CSV, JSON or Parquet, and how to read the fields."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from relhealth.core.errors import DataError
from relhealth.core.printable import printable
from relhealth.ingest import dimensions
from relhealth.ingest.dimensions import FIELD
from relhealth.ingest.mapping import Words, status_key
from relhealth.ingest.protocol import FaultError, session_id, user_id
from relhealth.ingest.staging import Stage
from relhealth.ingest.tally import MISSING_STATUS
from relhealth.ingest.values import (
    BadValueError,
    count_of,
    duration_of,
    id_of,
    instant_of,
    integer_of,
    is_missing,
    release_of,
    text_of,
)

_Found = TypeVar("_Found")
_MOST_PROJECT = 2**63 - 1
_MOST_NAMES = 1_000  # the most column names kept from a table without a header


@dataclass(frozen=True, slots=True)
class TableSettings:
    """How to read a table: its words, and values that it does not contain.

    ``partitions`` are the columns in the folders of the file, as text. A table that
    ``goes_on`` has the rows after those of an earlier run, with the same columns.
    """

    words: Words
    project: int | None
    org: int | None
    partitions: Mapping[str, str | None] = field(default_factory=dict)
    goes_on: bool = False


class TableRows:
    """Stages the rows of one table as sessions, and records the columns that it used."""

    def __init__(self, table: TableSettings, source: str, stage: Stage) -> None:
        """Stage rows of an input."""
        self.instant: Callable[[object], tuple[int, str] | None] = instant_of
        self.table = table
        self.source = source
        self._stage = stage
        self._meanings = table.words.meanings()
        self._losses: list[tuple[str, object]] = []  # fields of the current row
        self._times: Counter[str] = Counter()
        self._used: dict[str, str] = {}
        self._without_status = False
        self._names: dict[str, None] = {}
        self._own: set[str] = set()  # columns that are not of the folders, which these go before

    def columns(self, present: Sequence[str]) -> dict[str, str]:
        """Return the column of each field, from the table and the folders.

        Raises ``DataError`` if one name matches several columns.
        """
        names = [*present, *(name for name in self.table.partitions if name not in present)]
        try:
            found = self.table.words.find(names)
        except DataError as error:
            raise DataError(f"{printable(self.source)}: {error}") from None
        self._used = {**found, **self._used}
        self._own.update(column for column in found.values() if column in present)
        if len(self._names) < _MOST_NAMES:
            self._names.update(dict.fromkeys(names))
        return found

    def check(self) -> None:
        """Raise ``DataError`` if the columns seen so far lack a required one."""
        fault = self.table.words.fault(self._used, list(self._names))
        if fault is not None and not self.table.goes_on:
            raise DataError(f"{printable(self.source)}: {fault}")

    def take(self, fields: Mapping[str, object], item: Callable[[], bytes]) -> None:
        """Stage one row as a session, or reject it; ``fields`` has its values by field."""
        self._losses.clear()
        try:
            self._take(fields)
        except FaultError as error:
            self._stage.reject(self.source, str(error), item(), error.example)
            return
        tally = self._stage.tally
        tally.accepted["row"] += 1
        for name, value in self._losses:
            tally.lose(name, value)

    def reject(self, reason: str, item: bytes) -> None:
        """Reject something that is not a row."""
        self._stage.reject(self.source, reason, item)

    def close(self) -> None:
        """Record in the tally how the table was read.

        Raises ``DataError`` if some rows have a status and others do not.
        """
        if self._without_status and "status" in self._used:
            raise DataError(
                f"{printable(self.source)}: some rows have a status and others none; say what none"
                " means, such as with --status =exited, in place of --no-status"
            )
        tally = self._stage.tally
        folders = {
            name: column if column in self._own else f"{column} (of the folder)"
            for name, column in self._used.items()
        }
        ignored = [name for name in self._names if name not in self._used.values()]
        tally.used(folders, ignored)
        for how, count in self._times.items():
            tally.written("started", how, count)
        if len(self._times) > 1:
            tally.mixed(self.source, self._used["started"])

    def _take(self, fields: Mapping[str, object]) -> None:
        get = fields.get
        given = get("session_id")
        sid = session_id(_needed("session_id", id_of, given) or "")
        if not sid:
            raise FaultError("session_id: missing")
        started = get("started")
        instant = _needed("started", self.instant, started)
        if instant is None:
            raise FaultError("started: missing")
        started_us, how = instant
        fault = self._stage.time_fault(started_us)
        if fault is not None:
            raise FaultError(fault, started if isinstance(started, str) else str(started))
        status = self._status(fields)
        release = _needed("release", release_of, get("release"))
        project = _needed("project_id", integer_of, get("project_id"))
        if project is None:
            project = self.table.project
        if project is None:
            raise FaultError("no project: the row has none; name one with --project")
        if not 0 <= project <= _MOST_PROJECT:
            raise FaultError("project_id: expected a whole number of 0 or more", project)
        user = user_id(self._optional("user_id", id_of, get("user_id")))
        errors = self._optional("errors", count_of, get("errors"))
        duration = self._optional("duration", duration_of, get("duration"))
        named = self.table.words.dimensions
        fields_of = {name: f"{FIELD}{name}" for name in named}
        packed = dimensions.read(fields_of, fields, self._lose) if named else None
        self._times[how] += 1
        self._stage.session(
            (
                self.table.org,
                project,
                sid,
                True,
                started_us,
                status,
                bool(errors),
                user,
                duration if status == "exited" else None,
                release,
                self._optional("environment", text_of, get("environment")),
                self._optional("abnormal_mechanism", text_of, get("abnormal_mechanism")),
                packed,
            )
        )

    def _status(self, fields: Mapping[str, object]) -> str:
        if "status" not in fields and self.table.words.no_status:
            self._without_status = True
            return "exited"
        given = fields.get("status")
        word = MISSING_STATUS if is_missing(given) else _needed("status", text_of, given)
        meant = self._meanings.get(status_key(word or ""))
        if meant is None:
            self._stage.tally.unknown_status((word or "").strip())
            raise FaultError("status: unknown word; say what it means with --status WORD=STATUS")
        return meant

    def _lose(self, name: str, value: object) -> None:
        self._losses.append((name, value))

    def _optional(
        self, name: str, read: Callable[[object], _Found | None], value: object
    ) -> _Found | None:
        try:
            return read(value)
        except BadValueError:
            self._lose(name, value)
            return None


def _needed(name: str, read: Callable[[object], _Found | None], value: object) -> _Found | None:
    try:
        return read(value)
    except BadValueError as error:
        raise FaultError(f"{name}: {error}", value) from None


def as_json(row: Mapping[Any, Any]) -> bytes:
    """Return a row as JSON, to store it unchanged."""
    return json.dumps({str(key): value for key, value in row.items()}, default=str).encode(
        errors="backslashreplace"
    )
