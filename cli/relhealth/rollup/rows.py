"""Reading a day's rows from plain Parquet files into flat arrays, by kind."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from relhealth.core.errors import DataError
from relhealth.datasets import arrays, dictionaries, pages
from relhealth.datasets.arrays import Array
from relhealth.datasets.checking import UNREADABLE, unreadable_path
from relhealth.datasets.contract import MOST_COUNT
from relhealth.datasets.footers import Footer
from relhealth.machine.workers import Workers
from relhealth.rollup.kinds import (
    ERROR,
    EXITED,
    MECHANISMS,
    METRICS,
    NO_KIND,
    STATUSES,
    USER,
    kind_of,
)

Name = tuple[int | None, int, str | None]  # organisation, project, release
Place = tuple[Name, str]  # and environment

DAY, HOUR = 86_400, 3_600
_US = 1_000_000

# Rows that are looked at together: few enough to stay in the processor's cache.
_BATCH = 122_880
# Combinations of names in a batch that are counted in a table; more are sorted.
_FEW = 1 << 20

_TAGS = ("metric", "release", "environment", "session_status", "abnormal_mechanism")
_KIND_OF = np.array(
    [
        kind_of(metric, status, mechanism)
        for metric in (None, *METRICS)
        for status in STATUSES
        for mechanism in MECHANISMS
    ],
    np.uint8,
)
_OF_METRIC, _OF_STATUS = len(STATUSES) * len(MECHANISMS), len(MECHANISMS)

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

    name: str  # of the raw file, below the data set
    path: str  # of the file to read
    groups: tuple[int, ...]
    unit: int  # timestamps in a second
    rows: int
    columns: tuple[str, ...]  # of the contract's, those that it has
    footer: Footer


@dataclass(slots=True)
class Rows:
    """Rows that count, as parallel arrays, and those that are kept as they are.

    ``where`` is an index of ``places``; counters and durations come with their microsecond of the
    hour.
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
    """Read the rows of a day (in days since the epoch), of all names or of some."""
    reading = _Reading(day, only)
    for part in parts:
        with _reading(part):
            for batch in _batches(part, None, workers):
                reading.add(part, batch)
    return reading.rows


def names(parts: Sequence[Part], workers: Workers) -> Counter[Name]:
    """Return how many rows each name has in some row groups, whatever their day and metric."""
    found: Counter[Name] = Counter()
    columns = ("org_id", "project_id", "release")
    for part in parts:
        with _reading(part):
            for batch in _batches(part, columns, workers):
                local, lookup = _places(_columns(batch))
                present, counts = np.unique(local, return_counts=True)
                for one, count in zip(present.tolist(), counts.tolist(), strict=True):
                    found[lookup(one)[0]] += count
    return found


def fault(path: str, error: Exception) -> DataError:
    """Return what to say of a file that could not be read."""
    return unreadable_path(path, path, error)


@contextmanager
def _reading(part: Part) -> Iterator[None]:
    """Name the file in what goes wrong."""
    try:
        yield
    except UNREADABLE as error:
        raise fault(part.path, error) from error


def _batches(
    part: Part, columns: Collection[str] | None, workers: Workers
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of some row groups, texts as dictionaries."""
    wanted = [name for name in part.columns if columns is None or name in columns]
    tags = [name for name in wanted if name in _TAGS]
    pages.check(part.path, part.footer, part.groups, wanted)

    def read_as(texts: Collection[str]) -> Iterator[pa.RecordBatch]:
        with pages.opened(part.path, part.footer, read_dictionary=list(texts)) as file:
            yield from file.iter_batches(
                _BATCH, row_groups=list(part.groups), columns=wanted, use_threads=False
            )

    for batch in dictionaries.batches(read_as, tags):
        workers.check()
        if batch.num_rows:
            yield batch


class _Reading:
    """Sorts batches into the arrays of a day."""

    def __init__(self, day: int, only: Collection[Name] | None) -> None:
        self.rows = Rows()
        self._day = day
        self._only = only
        self._ids: dict[Place, int] = {}

    def add(self, part: Part, batch: pa.RecordBatch) -> None:
        """Take the rows of a batch that are of the day."""
        columns = _columns(batch)
        kind = _kinds(columns)
        seconds = arrays.values(columns["timestamp"], np.int64) // part.unit
        hour = seconds // HOUR - self._day * 24
        keep = kind != NO_KIND
        keep &= hour >= 0
        keep &= hour < 24  # noqa: PLR2004 - hours of a day
        local, lookup = _places(columns)
        where = self._where(local, lookup)
        if self._only is not None:
            keep &= where >= 0
        if not keep.any():
            return
        self.rows.fed[part.name] += int(np.count_nonzero(keep))
        self._note_newest(columns, keep, part)
        wrong = _wrong(columns, kind)
        wrong &= keep
        if wrong.any():
            self.rows.rest.append(_as_contract(batch, wrong))
            keep &= ~wrong
        kind[~keep] = NO_KIND
        self._sort(kind, where, hour.astype(np.uint8), part.unit, columns)

    def _where(self, local: Array, lookup: "Callable[[int], Place]") -> Array:
        """Return each row's index of ``places``; -1 where it is not wanted."""
        high = int(local.max())
        if high < _FEW:
            present = np.flatnonzero(np.bincount(local))
            dense = np.zeros(high + 1, np.int32)
            dense[present] = [self._id(lookup(one)) for one in present.tolist()]
            return dense.take(local)
        present, inverse = np.unique(local, return_inverse=True)
        ids = np.array([self._id(lookup(one)) for one in present.tolist()], np.int32)
        return ids.take(inverse)

    def _id(self, place: Place) -> int:
        if self._only is not None and place[0] not in self._only:
            return -1
        found = self._ids.get(place)
        if found is None:
            found = self._ids[place] = len(self.rows.places)
            self.rows.places.append(place)
        return found

    def _note_newest(self, columns: dict[str, Any], keep: Array, part: Part) -> None:
        stamps = arrays.values(columns["timestamp"], np.int64)
        stamps = stamps if keep.all() else stamps[keep]
        orgs = columns["org_id"]
        known: list[tuple[int | None, int]] = []
        if orgs is None:
            known = [(None, int(stamps.max()))]
        else:
            places, of_org = _numbered(orgs)
            of_org = of_org if len(of_org) == len(stamps) else of_org[keep]
            for number, org in enumerate(places):
                mine = stamps if len(places) == 1 else stamps[of_org == number]
                if len(mine):
                    known.append((org, int(mine.max())))
        for org, stamp in known:
            at = stamp * _US // part.unit
            self.rows.newest_us[org] = max(at, self.rows.newest_us.get(org, at))

    def _sort(
        self, kind: Array, where: Array, hour: Array, unit: int, columns: dict[str, Any]
    ) -> None:
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
            if low < ERROR:
                what = arrays.values(columns["value"], np.float64).take(at)
            else:
                what = arrays.values(columns["member"], np.uint64).take(at)
            parts = [where.take(at), hour.take(at), what]
            if low != ERROR:  # errors have but one kind
                parts.append(kind.take(at))
            if low < ERROR:
                parts.append(_of_hour(columns["timestamp"], unit, at))
            into.append(tuple(parts))  # type: ignore[arg-type]


def _columns(batch: pa.RecordBatch) -> dict[str, Any]:
    found = dict.fromkeys(CONTRACT.names)
    found.update(zip(batch.schema.names, batch.columns, strict=True))
    return found


def _kinds(columns: dict[str, Any]) -> Array:
    """Return each row's kind."""
    number = _words(columns["metric"], (None, *METRICS), _OF_METRIC)
    number += _words(columns["session_status"], STATUSES, _OF_STATUS)
    if columns["abnormal_mechanism"] is not None:
        number += _words(columns["abnormal_mechanism"], MECHANISMS, 1)
    return _KIND_OF.take(number)


def _words(column: Any, known: Sequence[str | None], times: int) -> Array:
    """Return the place of each word among the known ones, times a number; 0 for any other."""
    words = column.dictionary.to_pylist()
    codes = [times * known.index(word) if word in known else 0 for word in words]
    return np.array([*codes, 0], np.uint8).take(_indices(column, len(codes)))


def _places(columns: dict[str, Any]) -> tuple[Array, Callable[[int], Place]]:
    """Return a number for each row's name and environment, and what a number stands for."""
    releases = [*columns["release"].dictionary.to_pylist(), None]
    local = _indices(columns["release"], len(releases) - 1).astype(np.int64)
    environments: list[str | None] = [None]
    if columns["environment"] is not None:
        environments = [*columns["environment"].dictionary.to_pylist(), None]
        local *= len(environments)
        local += _indices(columns["environment"], len(environments) - 1)
    width = len(releases) * len(environments)
    projects, of_project = _numbered(columns["project_id"])
    local += of_project * width
    orgs: Sequence[int | None] = [None]
    if columns["org_id"] is not None:
        orgs, of_org = _numbered(columns["org_id"])
        if len(orgs) > 1:
            local += of_org * (width * len(projects))

    def lookup(number: int) -> Place:
        rest, environment = divmod(number, len(environments))
        rest, release = divmod(rest, len(releases))
        org, project = divmod(rest, len(projects))
        # A row without a project is kept as it is, wherever it is put here.
        name = (orgs[org], projects[project] or 0, releases[release] or None)
        return name, environments[environment] or ""

    return local, lookup


def _numbered(column: Any) -> tuple[Sequence[int | None], Array]:
    """Return what is in a column, and each row's place in it."""
    if column.null_count:
        encoded = column.dictionary_encode()
        found = [*encoded.dictionary.to_pylist(), None]
        return found, _indices(encoded, len(found) - 1).astype(np.int64)
    return arrays.numbered(arrays.values(column, np.int64))


def _wrong(columns: dict[str, Any], kind: Array) -> Array:
    """Tell which rows of session metrics cannot count."""
    value, member = columns["value"], columns["member"]
    numbers = arrays.values(value, np.float64)
    with np.errstate(invalid="ignore"):
        off = ~((numbers >= 0) & (numbers < math.inf))
        counts = (numbers <= MOST_COUNT) & (numbers == np.floor(numbers))
    wrong: Array = (kind < ERROR) & off
    wrong |= (kind < EXITED) & ~counts
    for column, of_kinds in ((value, kind < ERROR), (member, kind >= ERROR)):
        null = arrays.nulls(column)
        if null is not None:
            wrong |= of_kinds & null
    null = arrays.nulls(columns["project_id"])
    return wrong if null is None else wrong | null


def _as_contract(batch: pa.RecordBatch, mask: Array) -> pa.Table:
    """Return rows as the contract has them."""
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
    """Return the microseconds since the hour began, of some rows."""
    found: Array = arrays.values(column, np.int64).take(at) % (HOUR * unit) * _US // unit
    return found.astype(np.uint32)


def _microseconds(column: Any) -> Array:
    """Return timestamps in microseconds, cut where they are finer."""
    stored = arrays.values(column, np.int64)
    match column.type.unit:
        case "ms":
            return stored * 1_000
        case "ns":
            return stored // 1_000
        case _:
            return stored


def _indices(array: Any, null: int) -> Array:
    """Return the indices of a dictionary array, ``null`` where null.

    Raises ``ValueError`` for indices of no text, as damaged files have them.
    """
    indices = array.indices
    raw = arrays.values(indices, np.int32)
    lost = arrays.nulls(indices)
    found = raw if lost is None else np.where(lost, np.int32(null), raw)
    if len(found) and not 0 <= found.min() <= found.max() <= null:
        raise ValueError("a text that is not in its dictionary")
    return found


def grouped(parts: Sequence[tuple[Array, ...]]) -> dict[int, Array]:
    """Join parallel arrays of several batches."""
    joined: dict[int, list[Array]] = defaultdict(list)
    for part in parts:
        for number, array in enumerate(part):
            joined[number].append(array)
    return {number: np.concatenate(arrays) for number, arrays in joined.items()}
