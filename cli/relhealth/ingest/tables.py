"""Session tables: one row a session, as CSV, JSON lines or Parquet."""

import csv
import io
import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, BinaryIO

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from relhealth.errors import DataError, QuestionError
from relhealth.ingest.envelopes import take_update
from relhealth.ingest.kinds import Kind
from relhealth.ingest.protocol import STATUSES, Attributes, Update
from relhealth.ingest.staging import Stage
from relhealth.printable import printable

# The names under which each field is looked for, unless ``--map`` names its column.
FIELDS: dict[str, tuple[str, ...]] = {
    "session_id": ("session_id", "sid", "id"),
    "user_id": ("user_id", "did", "distinct_id", "user"),
    "project_id": ("project_id", "project"),
    "release": ("release", "version"),
    "environment": ("environment", "env"),
    "status": ("status",),
    "errors": ("errors", "error_count"),
    "started": ("started", "start", "timestamp"),
    "duration": ("duration",),
    "abnormal_mechanism": ("abnormal_mechanism",),
}
_object = msgspec.json.Decoder(dict[str, Any]).decode

# A row, and how to tell it as it came, should it be rejected.
_Row = tuple[Mapping[str, Any], Callable[[], bytes]]

_REQUIRED = ("session_id", "started")
_WORDS = {"healthy": "exited", **{status: status for status in STATUSES}}


def check_mapping(columns: Mapping[str, str], statuses: Mapping[str, str]) -> None:
    """Raise ``QuestionError`` for a field or a status that is not known."""
    for name in columns:
        if name not in FIELDS:
            raise QuestionError(f"--map {name}: unknown field; expected one of {', '.join(FIELDS)}")
    for word in statuses.values():
        if word not in _WORDS:
            known = ", ".join(sorted(_WORDS))
            raise QuestionError(f"--status {word}: unknown status; expected one of {known}")


class _NoColumnError(Exception):
    """A row lacks a column: every row of a table, or one of JSON lines."""


@dataclass(frozen=True, slots=True)
class Table:
    """How a table is read: its kind, its columns and words, and what it leaves unsaid."""

    kind: Kind
    columns: Mapping[str, str]
    statuses: Mapping[str, str]
    project: int | None
    org: int | None

    def read(self, stream: BinaryIO, source: str, stage: Stage) -> None:
        """Take every row as one session.

        Raises ``DataError`` for a table that lacks a column: that of ``session_id`` or
        ``started``, or one that ``columns`` names (of JSON lines, each may lack it).
        """
        with closing(_ROWS[self.kind](stream, source, stage)) as rows:
            self._take_all(rows, source, stage)

    def _take_all(self, rows: Iterator[_Row], source: str, stage: Stage) -> None:
        words = {**_WORDS, **{word: _WORDS[meant] for word, meant in self.statuses.items()}}
        columns: dict[tuple[str, ...], dict[str, str]] = {}  # by what a row has
        for row, item in rows:
            present = tuple(row)
            try:
                if present not in columns:
                    columns[present] = self._columns(present)
                fields = {field: row.get(name) for field, name in columns[present].items()}
                reason = _take(stage, fields, words, self.project, self.org)
            except _NoColumnError as error:
                if not columns:
                    raise DataError(f"{printable(source)}: {error}") from None
                reason = str(error)
            if reason is None:
                stage.tally.accepted["row"] += 1
            else:
                stage.reject(source, reason, item())

    def _columns(self, present: Sequence[str]) -> dict[str, str]:
        """Return the column of each field that is present."""
        columns = {}
        for field, usual in FIELDS.items():
            named = self.columns.get(field)
            candidates = usual if named is None else (named,)
            column = next((name for name in candidates if name in present), None)
            if column is not None:
                columns[field] = column
            elif field in _REQUIRED or (named is not None and self.kind is not Kind.JSONL):
                raise _NoColumnError(
                    f"no column {' or '.join(candidates)} for {field};"
                    f" found {printable(', '.join(map(str, present)))}; name it with --map"
                )
        return columns


def _take(
    stage: Stage,
    row: Mapping[str, Any],
    words: Mapping[str, str],
    project: int | None,
    org: int | None,
) -> str | None:
    """Take one session; return why not, where it cannot be."""
    try:
        update = Update(
            sid=_text(row["session_id"]) or "",
            started=_instant(row["started"]),
            attrs=Attributes(_text(row.get("release")), _text(row.get("environment"))),
            init=True,
            status=_status(row, words),
            errors=_whole(row.get("errors"), "errors"),
            did=_text(row.get("user_id")),
            duration=_number(row.get("duration")),
            abnormal_mechanism=_text(row.get("abnormal_mechanism")),
        )
        own = _whole(row.get("project_id"), "project_id")
    except ValueError as error:
        return str(error)
    if update.errors is not None and update.errors < 0:
        return f"errors: {update.errors} is negative"
    return take_update(stage, update, own if own is not None else project, org)


def _status(row: Mapping[str, Any], words: Mapping[str, str]) -> str:
    """A table without statuses tells of sessions that ended well."""
    given = _text(row.get("status"))
    if given is None:
        return "exited"
    if given not in words:
        raise ValueError(f"status: unknown '{given}'; say what it means with --status {given}=…")
    return words[given]


def _text(value: object) -> str | None:
    return None if value is None or value == "" else str(value)


def _instant(value: object) -> str | float | int:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise ValueError(f"started: {value!r} is no instant")


def _whole(value: object, what: str) -> int | None:
    if value is None or value == "":
        return None
    number = _number(value)
    if number is None or not number.is_integer() or abs(number) > 2**53:
        raise ValueError(f"{what}: {value!r} is no whole number")
    return int(value) if isinstance(value, int) else int(number)


def _number(value: object) -> float | None:
    if value is None or value == "":
        return None
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return float(value)
    raise ValueError(f"{value!r} is no number")


def _csv_rows(stream: BinaryIO, source: str, stage: Stage) -> Generator[_Row, None, None]:
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    reader = csv.DictReader(text)
    try:
        while True:
            try:
                row = next(reader, None)
            except csv.Error as error:
                stage.reject(source, f"row: {error}", b"")
                continue
            if row is None:
                return
            if None in row:
                reason = "row: more cells than the table has columns"
                stage.reject(source, reason, _as_json(row))
                continue
            yield row, partial(_as_json, row)
    finally:
        text.detach()  # whoever opened the stream closes it


def _jsonl_rows(stream: BinaryIO, source: str, stage: Stage) -> Generator[_Row, None, None]:
    for line in stage.lines(stream, source):
        try:
            yield _object(line), partial(bytes, line)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            stage.reject(source, f"row: {error}", line)


def _parquet_rows(stream: BinaryIO, source: str, _stage: Stage) -> Generator[_Row, None, None]:
    try:
        with pq.ParquetFile(pa.PythonFile(stream, mode="r")) as file:
            for batch in file.iter_batches(batch_size=8192):
                for row in batch.to_pylist():
                    yield row, partial(_as_json, row)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{printable(source)}: not readable as Parquet ({error})") from error


def _as_json(row: Mapping[Any, Any]) -> bytes:
    return json.dumps({str(key): value for key, value in row.items()}, default=str).encode(
        errors="backslashreplace"
    )


_ROWS = {Kind.CSV: _csv_rows, Kind.JSONL: _jsonl_rows, Kind.PARQUET: _parquet_rows}
