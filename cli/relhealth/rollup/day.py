"""Writes one UTC day of a rollup: groups, and flat files with the rows of each group.

    groups.parquet     pair, environment, kind, hour; n: the sum of a counter, else the number of
                       the group's rows in its flat file, which has the same order; first, last:
                       the first and last counter or duration, in microseconds since the start of
                       the hour
    durations.parquet  milliseconds or seconds, ascending within pair, environment and hour
    errors.parquet     member: distinct within pair, environment and hour
    users.parquet      code, hours: distinct within pair, environment and kind; bit h of hours is
                       set if the user was seen in hour h
    rest.parquet       invalid rows, with the columns of the data contract

The flat files also have the columns of their group. These are sorted, so they take no room.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from relhealth.datasets.arrays import Array
from relhealth.datasets.contract import MOST_COUNT
from relhealth.datasets.sealed import SealedWriter
from relhealth.rollup import rows
from relhealth.rollup.kinds import ERROR, EXITED, OTHER_DURATION, USER
from relhealth.rollup.numbers import CODE_BITS
from relhealth.rollup.rows import CONTRACT, Rows

WHOLE_DAY = 24  # the hour of groups of all hours
MILLISECONDS, SECONDS = "milliseconds", "seconds"
_HOURS = 32  # room for an hour in a packed number
_MOST_MILLISECONDS = 2**31  # 24 days
_HOUR_BITS = 5
_ROW_GROUP = 1 << 18  # small, so that a reader can select a few pairs
_FEW = 1 << 20  # keys that a table holds; more are sorted
_GROUP = ("pair", "environment", "kind", "hour")
_TYPES = {
    "pair": pa.int32(),
    "environment": pa.int32(),
    "kind": pa.int8(),
    "hour": pa.int8(),
    "n": pa.int64(),
    "first": pa.int64(),
    "last": pa.int64(),
    "code": pa.int32(),
    "hours": pa.int32(),
    "member": pa.uint64(),
    MILLISECONDS: pa.int32(),
    SECONDS: pa.float64(),
}
_DELTA = "DELTA_BINARY_PACKED"


class NotMilliseconds(Exception):  # noqa: N818 - no error: the day is rewritten
    """Earlier durations of the day are milliseconds; these are not."""


@dataclass(slots=True)
class Sorted:
    """A day's rows, or a slice, sorted as far as possible without codes and names."""

    rows: Rows
    members: Array = field(default_factory=lambda: np.empty(0, np.uint64))  # sorted, distinct
    steps: Array = field(default_factory=lambda: np.empty(0, np.int64))  # each row's member


def prepare(found: Rows) -> Sorted:
    """Sort the users and find the distinct ones."""
    if not found.users:
        return Sorted(found)
    where, hour, member, kind = rows.grouped(found.users).values()
    order = np.argsort(member)
    member = member[order]
    new = _steps(member)
    found.users = [(where[order], hour[order], kind[order])]  # type: ignore[list-item]
    return Sorted(found, member[new], np.cumsum(new) - 1)


class DayWriter:
    """Writes the files of one day, a slice of its pairs at a time."""

    def __init__(self, folder: Path, day: int | None, unit: str | None = None) -> None:
        """Make the folder. ``unit`` is that of durations; without it, the first ones decide."""
        folder.mkdir()
        self._folder = folder
        self._day = day
        self._writers: dict[str, SealedWriter] = {}
        self._groups: list[dict[str, Array]] = []
        self._unit = unit
        self.counts = dict.fromkeys(("groups", "users", "errors", "durations", "rest"), 0)

    @property
    def unit(self) -> str:
        """The unit of durations."""
        return self._unit or MILLISECONDS

    def write(self, ready: Sorted, places: Array, codes: Array) -> None:
        """Write rows; ``places`` and ``codes`` have the numbers of places and members.

        Raises ``NotMilliseconds`` if earlier durations are milliseconds and these are not.
        """
        found = ready.rows
        order = np.lexsort((places[:, 1], places[:, 0]))
        rank = np.empty(len(places), np.int64)
        rank[order] = np.arange(len(places))
        places = places[order]
        if found.counters:
            self._counters(found, rank, places)
        if found.durations:
            self._durations(found, rank, places)
        if found.errors:
            self._errors(found, rank, places)
        if found.users:
            self._users(ready, rank, places, codes)
        for table in found.rest:
            self._append("rest", table)

    def write_rest(self, tables: Iterable[pa.Table]) -> None:
        """Write rows unchanged."""
        for table in tables:
            self._append("rest", table.select(CONTRACT.names).cast(CONTRACT))

    def close(self) -> None:
        """Finish the files."""
        if self._groups:
            columns = {name: np.concatenate([g[name] for g in self._groups]) for name in _TYPES
                       if name in self._groups[0]}  # fmt: skip
            self._append("groups", self._table(columns))
        for writer in self._writers.values():
            writer.close()

    def _counters(self, found: Rows, rank: Array, places: Array) -> None:
        where, hour, value, kind, at = rows.grouped(found.counters).values()
        key = (rank[where] * EXITED + kind) * _HOURS + hour
        seen, sums = _sums(key, value)
        place, kind, hour = seen // _HOURS // EXITED, seen // _HOURS % EXITED, seen % _HOURS
        self._group(places, place, kind, hour, sums, _extremes(key, at, seen))

    def _durations(self, found: Rows, rank: Array, places: Array) -> None:
        where, hour, value, kind, at = rows.grouped(found.durations).values()
        group = rank[where] * _HOURS + hour
        exited = kind == EXITED
        if not exited.all():
            key = group[~exited]
            seen = np.unique(key)
            ones = np.ones(len(seen), np.int64)
            self._group(places, seen // _HOURS, OTHER_DURATION, seen % _HOURS, ones,
                        _extremes(key, at[~exited], seen))  # fmt: skip
        if not exited.any():
            return
        group = group[exited]
        extremes = _extremes(group, at[exited], np.unique(group))
        seconds = np.abs(value[exited])
        number = None if self._unit == SECONDS else _milliseconds(seconds)
        if number is None and self._unit == MILLISECONDS:
            raise NotMilliseconds
        if number is not None and int(group.max()) < 1 << 32:
            packed = np.sort(group << 31 | number)
            group, number = packed >> 31, packed & (_MOST_MILLISECONDS - 1)
        else:
            order = np.lexsort((seconds, group))
            group, seconds = group[order], seconds[order]
            number = None if number is None else number[order]
        name = SECONDS if number is None else MILLISECONDS
        self._unit = name
        self._flat("durations", places, group, EXITED,
                   {name: seconds if number is None else number}, extremes)  # fmt: skip

    def _errors(self, found: Rows, rank: Array, places: Array) -> None:
        where, hour, member = rows.grouped(found.errors).values()
        group = rank[where] * _HOURS + hour
        order = np.lexsort((member, group))
        group, member = group[order], member[order]
        keep = _steps(group) | _steps(member)
        self._flat("errors", places, group[keep], ERROR, {"member": member[keep]})

    def _users(self, ready: Sorted, rank: Array, places: Array, codes: Array) -> None:
        where, hour, kind = ready.rows.users[0][:3]
        place = rank[where] * _HOURS + (kind - USER)
        code = codes[ready.steps]
        bits = CODE_BITS + _HOUR_BITS
        if int(place.max()) < 1 << (64 - bits):
            packed = place.astype(np.uint64) << np.uint64(bits)
            packed |= code.astype(np.uint64) << np.uint64(_HOUR_BITS)
            packed |= hour
            packed.sort()
            hour = (packed & np.uint64(_HOURS - 1)).astype(np.uint8)
            packed >>= np.uint64(_HOUR_BITS)
            new = _steps(packed)
            code = packed[new].astype(np.uint32)
            place = (packed[new] >> np.uint64(CODE_BITS)).astype(np.int64)
        else:
            order = np.lexsort((hour, code, place))
            place, code, hour = place[order], code[order], hour[order]
            new = _steps(place) | _steps(code)
            place, code = place[new], code[new]
        bit = np.left_shift(np.int32(1), hour.astype(np.int32))
        hours = np.bitwise_or.reduceat(bit, np.flatnonzero(new))
        group = place // _HOURS * _HOURS + WHOLE_DAY
        self._flat("users", places, group, place % _HOURS + USER,
                   {"code": code.view(np.int32), "hours": hours})  # fmt: skip

    def _flat(
        self,
        name: str,
        places: Array,
        group: Array,
        kind: Any,
        values: dict[str, Array],
        extremes: tuple[Array, Array] | None = None,
    ) -> None:
        """Write sorted rows to a flat file, and add their groups."""
        kind = np.broadcast_to(np.asarray(kind, np.int64), group.shape)
        new = np.flatnonzero(_steps(group) | _steps(kind))
        counts = np.diff(np.append(new, len(group)))
        first = self._group(
            places, group[new] // _HOURS, kind[new], group[new] % _HOURS, counts, extremes
        )
        names = _GROUP[:3] if name == "users" else _GROUP
        columns = {key: np.repeat(first[key], counts) for key in names}
        self._append(name, self._table({**columns, **values}))

    def _group(
        self,
        places: Array,
        where: Array,
        kind: Any,
        hour: Array,
        n: Array,
        extremes: tuple[Array, Array] | None = None,
    ) -> dict[str, Array]:
        """Add groups; return their columns."""
        first, last = extremes or (np.zeros(len(n), np.int64),) * 2
        found = {
            "pair": places[where, 0].astype(np.int32),
            "environment": places[where, 1].astype(np.int32),
            "kind": np.broadcast_to(np.asarray(kind, np.int8), where.shape),
            "hour": hour.astype(np.int8),
            "n": n,
            "first": first,
            "last": last,
        }
        self._groups.append(found)
        return found

    def _table(self, columns: dict[str, Array]) -> pa.Table:
        count = len(next(iter(columns.values())))
        day = pa.array(np.full(count, self._day, np.int32)).cast(pa.date32())
        fields = [pa.field("day", pa.date32(), nullable=False)]
        arrays = [day]
        for name, values in columns.items():
            fields.append(pa.field(name, _TYPES[name], nullable=False))
            arrays.append(pa.array(values, _TYPES[name]))
        return pa.Table.from_arrays(arrays, schema=pa.schema(fields))

    def _append(self, name: str, table: pa.Table) -> None:
        if name not in self._writers:
            deltas = [
                column for column in ("code", MILLISECONDS, "n") if column in table.schema.names
            ]
            plain = {"member"} if name != "rest" else set()
            self._writers[name] = SealedWriter(
                self._folder / f"{name}.parquet",
                table.schema,
                level=1,
                row_group=_ROW_GROUP,
                dictionary=[
                    column
                    for column in table.schema.names
                    if column not in {*deltas, *plain, SECONDS}
                ],
                encodings=dict.fromkeys(deltas, _DELTA),
                for_others=False,
            )
        self._writers[name].write(table)
        self.counts[name] += table.num_rows


def _milliseconds(seconds: Array) -> Array | None:
    """Return durations in milliseconds; None if these are not exact or too large."""
    if float(seconds.max()) >= _MOST_MILLISECONDS / 1000:
        return None
    scaled = np.rint(seconds * 1000)
    if not (scaled / 1000 == seconds).all() or scaled.max() >= _MOST_MILLISECONDS:
        return None
    found: Array = scaled.astype(np.int64)
    return found


def _steps(values: Array) -> Array:
    """Return which values differ from the one before."""
    new = np.ones(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=new[1:])
    return new


def _sums(key: Array, value: Array) -> tuple[Array, Array]:
    """Return the distinct keys and their sums, in pieces that are valid counters."""
    lowest = int(key.min())
    if int(key.max()) - lowest < _FEW:
        totals = np.zeros(int(key.max()) - lowest + 1, np.int64)
        np.add.at(totals, key - lowest, value)
        seen = np.flatnonzero(np.bincount(key - lowest))
        seen, sums = seen + lowest, totals[seen]
    else:
        order = np.argsort(key, kind="stable")
        new = np.flatnonzero(_steps(key[order]))
        seen, sums = key[order][new], np.add.reduceat(value[order], new)
    pieces = np.maximum(-(-sums // MOST_COUNT), 1)
    last = np.cumsum(pieces) - 1
    parts = np.full(int(last[-1]) + 1, MOST_COUNT, np.int64)
    parts[last] = sums - (pieces - 1) * MOST_COUNT
    return np.repeat(seen, pieces), parts


def _extremes(key: Array, value: Array, seen: Array) -> tuple[Array, Array]:
    """Return the least and greatest value of each of the sorted keys ``seen``."""
    lowest = int(key.min())
    if int(key.max()) - lowest < _FEW:
        size, at, back = int(key.max()) - lowest + 1, key - lowest, seen - lowest
    else:
        size, at, back = len(seen), np.searchsorted(seen, key), np.searchsorted(seen, seen)
    value = value.astype(np.int64)
    least, greatest = np.full(size, np.iinfo(np.int64).max), np.zeros(size, np.int64)
    np.minimum.at(least, at, value)
    np.maximum.at(greatest, at, value)
    return least[back], greatest[back]
