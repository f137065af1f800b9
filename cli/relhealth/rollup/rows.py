"""Reads a day's rows from plain Parquet files into flat arrays, by kind."""

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from relhealth.core.errors import DataError
from relhealth.datasets import arrays, labels, plain_parquet
from relhealth.datasets.arrays import Array, Flags
from relhealth.datasets.checking import UNREADABLE, unreadable_path
from relhealth.datasets.footers import Footer
from relhealth.datasets.labels import END_OF_KINDS, KINDS, MECHANISMS, METRIC_NAMES, STATUSES
from relhealth.machine.workers import Workers
from relhealth.rollup.kinds import ERROR, EXITED, NO_KIND, USER, kind_of

Name = tuple[int | None, int, str | None]  # organisation, project, release
Place = tuple[Name, str]  # and environment

DAY, HOUR = 86_400, 3_600
_US = 1_000_000

# The rollup's kind of each kind of ``labels``.
_KIND_OF = np.array(
    [
        *(
            kind_of(metric, status or None, mechanism or None)
            for metric in METRIC_NAMES
            for mechanism in MECHANISMS
            for status in STATUSES
        ),
        *[NO_KIND] * (END_OF_KINDS - KINDS),
    ],
    np.uint8,
)

CONTRACT = pa.schema(
    [
        ("org_id", pa.int64()),
        ("project_id", pa.int64()),
        ("timestamp", pa.timestamp("us", "UTC")),
        ("metric", pa.string()),
        ("release", pa.string()),
        ("environment", pa.string()),
        ("session_status", pa.string()),
        ("abnormal_mechanism", pa.string()),
        ("value", pa.float64()),
        ("member", pa.uint64()),
    ]
)


@dataclass(frozen=True, slots=True)
class Part:
    """Row groups of a plain file that may hold rows of a day."""

    name: str  # of the raw file, relative to the data set
    path: str  # of the file to read
    groups: tuple[int, ...]
    unit: int  # of timestamps, per second
    rows: int
    columns: tuple[str, ...]  # those of the contract that the file has
    footer: Footer


@dataclass(slots=True)
class Rows:
    """Valid rows as parallel arrays, and invalid ones unchanged (``rest``).

    The arrays are the index in ``places``, the hour, the value or member, the kind (not of errors),
    and of counters and durations the microsecond of the hour.
    """

    places: list[Place] = field(default_factory=list)
    counters: list[tuple[Array, Array, Array, Array, Array]] = field(default_factory=list)
    durations: list[tuple[Array, Array, Array, Array, Array]] = field(default_factory=list)
    errors: list[tuple[Array, Array, Array]] = field(default_factory=list)
    users: list[tuple[Array, Array, Array, Array]] = field(default_factory=list)
    rest: list[pa.Table] = field(default_factory=list)
    fed: Counter[str] = field(default_factory=Counter)  # session-metric rows by raw file
    newest_us: dict[int | None, int] = field(default_factory=dict)  # by organisation


def read(
    day: int, parts: Sequence[Part], workers: Workers, only: Collection[Name] | None = None
) -> Rows:
    """Read the rows of a day (in days since the epoch), of all names or some."""
    reading = _Reading(day, only)
    for part in parts:
        for batch in _batches(part, part.columns, workers):
            reading.add(part, batch)
    return reading.rows


def names(parts: Sequence[Part], workers: Workers) -> Counter[Name]:
    """Return how many rows each name has in some row groups, of any day and metric."""
    found: Counter[Name] = Counter()
    columns = {"org_id", "project_id", "release"}
    for part in parts:
        wanted = [name for name in part.columns if name in columns]
        for batch in _batches(part, wanted, workers):
            places, owner = labels.places(_columns(batch))
            counts = np.bincount(owner, minlength=len(places)).tolist()
            for place, count in zip(places, counts, strict=True):
                found[_place(place)[0]] += count
    return found


def fault(path: str, error: Exception) -> DataError:
    """Return the error for an unreadable file."""
    return unreadable_path(path, path, error)


def _batches(part: Part, columns: Sequence[str], workers: Workers) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a part; errors name its file."""
    try:
        for batch in plain_parquet.batches(part.path, part.footer, part.groups, columns):
            workers.check()
            yield batch
    except UNREADABLE as error:
        raise fault(part.path, error) from error


def _columns(batch: pa.RecordBatch) -> dict[str, pa.Array]:
    return dict(zip(batch.schema.names, batch.columns, strict=True))


def _place(place: labels.Place) -> Place:
    # Rows without a project are invalid, so no figure has project 0 because of them.
    return (place.org, place.project or 0, place.release or None), place.environment


class _Reading:
    """Sorts batches into the arrays of a day."""

    def __init__(self, day: int, only: Collection[Name] | None) -> None:
        self.rows = Rows()
        self._day = day
        self._only = only
        self._ids: dict[Place, int] = {}

    def add(self, part: Part, batch: pa.RecordBatch) -> None:
        """Take the rows of the day from a batch."""
        columns = _columns(batch)
        kind = _KIND_OF.take(labels.kinds(columns))
        stamps = arrays.values(columns["timestamp"], np.int64)
        hour = stamps // (HOUR * part.unit) - self._day * 24
        keep = kind != NO_KIND
        keep &= hour >= 0
        keep &= hour < 24  # noqa: PLR2004 - hours of a day
        places, owner = labels.places(columns)
        numbers = np.array([self._number(_place(place)) for place in places], np.int32)
        if self._only is not None:
            keep &= (numbers >= 0).take(owner)
        if not keep.any():
            return
        self.rows.fed[part.name] += int(np.count_nonzero(keep))
        for org in {place.org for place in places}:
            of_org = np.array([place.org == org for place in places])
            mine = stamps[keep if of_org.all() else keep & of_org.take(owner)]
            if len(mine):
                at = int(mine.max()) * _US // part.unit
                self.rows.newest_us[org] = max(at, self.rows.newest_us.get(org, at))
        homeless = np.array([place.project is None for place in places])
        wrong = keep & homeless.take(owner) if homeless.any() else np.zeros(len(keep), np.bool_)
        kind[~keep | wrong] = NO_KIND
        self._sort(kind, numbers.take(owner), hour.astype(np.uint8), part.unit, columns, wrong)
        if wrong.any():
            self.rows.rest.append(_as_contract(batch, wrong))

    def _number(self, place: Place) -> int:
        """Return the index of a place among all; -1 if it is not wanted."""
        if self._only is not None and place[0] not in self._only:
            return -1
        found = self._ids.get(place)
        if found is None:
            found = self._ids[place] = len(self.rows.places)
            self.rows.places.append(place)
        return found

    def _sort(
        self,
        kind: Array,
        where: Array,
        hour: Array,
        unit: int,
        columns: Mapping[str, pa.Array],
        wrong: Flags,
    ) -> None:
        """Take the valid rows by kind; flag the invalid ones in ``wrong``."""
        rows = self.rows
        for low, high, into in (
            (0, EXITED, rows.counters),
            (EXITED, ERROR, rows.durations),
            (ERROR, USER, rows.errors),
            (USER, NO_KIND, rows.users),
        ):
            at = np.flatnonzero((kind >= low) & (kind < high))
            if not len(at):
                continue
            what, valid = _checked(columns, low, at)
            if valid is not None and not valid.all():
                wrong[at[~valid]] = True
                at, what = at[valid], what[valid]
                if not len(at):
                    continue
            parts = [where.take(at), hour.take(at), what]
            if low != ERROR:  # errors have but one kind
                parts.append(kind.take(at))
            if low < ERROR:
                parts.append(_of_hour(columns["timestamp"], unit, at))
            into.append(tuple(parts))  # type: ignore[arg-type]


def _checked(columns: Mapping[str, pa.Array], kind: int, at: Array) -> tuple[Array, Flags | None]:
    """Return the values or members of some rows, and which are valid (None: all)."""
    if kind >= ERROR:
        members, null = labels.members(columns, at)
        return members, None if null is None else ~null
    values = labels.values(columns, at)
    if kind >= EXITED:
        return values, labels.durations(values)
    numbers, _, valid = labels.counters(values)
    return numbers, valid


def _as_contract(batch: pa.RecordBatch, mask: Array) -> pa.Table:
    """Return some rows with the columns and types of the contract."""
    some = batch.filter(pa.array(mask))
    found = dict(zip(some.schema.names, some.columns, strict=True))
    columns = []
    for wanted in CONTRACT:
        column = found.get(wanted.name)
        if column is None:
            columns.append(pa.nulls(some.num_rows, wanted.type))
            continue
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if wanted.name == "timestamp":
            column = pa.array(_microseconds(column), pa.timestamp("us", "UTC"))
        elif wanted.name == "value":
            numbers = [None if n is None or math.isnan(n) else n for n in column.to_pylist()]
            column = pa.array(numbers, pa.float64())
        elif wanted.name == "member" and pa.types.is_signed_integer(column.type):
            column = column.view(pa.uint64())
        elif wanted.name == "release":
            column = pa.array([text or None for text in column.to_pylist()], pa.string())
        elif wanted.name == "environment":
            column = pa.array([text or "" for text in column.to_pylist()], pa.string())
        columns.append(column.cast(wanted.type))
    return pa.Table.from_arrays(columns, schema=CONTRACT)


def _of_hour(column: Any, unit: int, at: Array) -> Array:
    """Return the microseconds of some rows since the start of their hour."""
    found: Array = arrays.values(column, np.int64).take(at) % (HOUR * unit) * _US // unit
    return found.astype(np.uint32)


def _microseconds(column: Any) -> Array:
    """Return timestamps in microseconds; cut finer ones."""
    stored = arrays.values(column, np.int64)
    match column.type.unit:
        case "ms":
            return stored * 1_000
        case "ns":
            return stored // 1_000
        case _:
            return stored


def grouped(parts: Sequence[tuple[Array, ...]]) -> dict[int, Array]:
    """Join parallel arrays of several batches."""
    joined: dict[int, list[Array]] = defaultdict(list)
    for part in parts:
        for number, array in enumerate(part):
            joined[number].append(array)
    return {number: np.concatenate(arrays) for number, arrays in joined.items()}
