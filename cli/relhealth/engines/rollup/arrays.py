"""The components of an overview, counted in arrays of a rollup's files.

SQL would take twice the time for an overview (docs/decisions/0015-rollup-in-sql.md), so this module
counts these five components. It reads releases in rounds whose values fit into memory.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from relhealth.core.measures import distinct, percentiles_of_whole, unique
from relhealth.core.scope import Scope
from relhealth.core.windows import HOUR, Window, epoch
from relhealth.datasets.arrays import Array
from relhealth.machine.database import Row
from relhealth.machine.workers import Workers
from relhealth.rollup.day import SECONDS
from relhealth.rollup.files import columns_of, ranges, table_of
from relhealth.rollup.kinds import (
    COUNTER_STATUSES,
    ERROR,
    EXITED,
    INIT,
    MECHANISMS,
    NO_KIND,
    OTHER_DURATION,
    USER,
    USER_STATUSES,
)
from relhealth.rollup.manifest import DayFiles, Manifest
from relhealth.stores import present

_T = TypeVar("_T")
_ALL_HOURS = (1 << 24) - 1
_FRACTIONS = (0.5, 0.9)
_FLAG_SHARE = 8  # members per code; with more, a sort is faster than flags
_VALUE_BYTES, _USER_BYTES = 16, 6  # of memory per value or user, during the count


class _Groups(NamedTuple):
    """The groups of a day."""

    files: DayFiles
    hours: int  # of the window, as bits
    name: Array  # of each group; -1 if nobody asks for it
    kind: Array
    inside: Array  # whether its hour is in the window; no meaning for groups of all hours
    n: Array

    def kinds(self, low: int, high: int) -> tuple[Array, Array]:
        """Return the groups of some kinds, and the end of each in its flat file."""
        at = np.flatnonzero((self.kind >= low) & (self.kind < high))
        return at, np.cumsum(self.n[at])


class Arrays:
    """The overview of one scope from one rollup; its windows start and end at full hours."""

    def __init__(
        self,
        manifest: Manifest,
        folder: str,
        scope: Scope,
        *,
        org: int | None,
        threads: int,
        memory: int,
    ) -> None:
        """Read the names; ``memory`` is how many bytes of values can be in memory at once."""
        self._manifest = manifest
        self._folder = folder
        self._scope = scope
        self._known: dict[Window, list[_Groups]] = {}
        self._workers = Workers(threads)
        self._memory = memory
        table = table_of(folder, manifest.pairs)
        columns = (table[name].to_pylist() for name in ("org_id", "project_id", "release"))
        numbers: dict[tuple[int, str | None], int] = {}
        of_pair = []
        for org_id, project, release in zip(*columns, strict=True):
            wanted = org in {None, org_id} and (scope.projects is None or project in scope.projects)
            of_pair.append(numbers.setdefault((project, release), len(numbers)) if wanted else -1)
        self._names = list(numbers)
        releases = scope.releases
        asked = [
            release is not None and (releases is None or release in releases)
            for _, release in self._names
        ]
        self._asked = np.array([*asked, False], bool)  # the last is the name -1
        self._every = np.array([*(True for _ in asked), False], bool)
        self._name_of = np.array(of_pair or [-1], np.int64)
        environments = scope.environments
        self._inside = np.array(
            [environments is None or name in environments for name in manifest.environments], bool
        )

    def durations(self) -> list[Row]:
        """Return the rows of ``durations``."""
        groups = self._groups(self._scope.summary)
        units = {one.files.unit for one in groups}
        mixed = len(units) > 1
        scale = 1 if mixed or units == {SECONDS} else 1000

        def load(one: _Groups, names: Array) -> Iterator[tuple[int, Array]]:
            at, ends = one.kinds(EXITED, OTHER_DURATION)
            keep = names[one.name[at]] & one.inside[at]
            unit = one.files.unit
            for group, (values,) in self._runs(one, "durations", (unit,), at, keep, ends):
                seconds = mixed and unit != SECONDS
                yield int(one.name[group]), values / 1000 if seconds else values

        def count(parts: Sequence[Array]) -> Row:
            values = np.concatenate(parts)
            p50, p90 = percentiles_of_whole(values, scale, _FRACTIONS)
            return {"exited": len(values), "p50": p50, "p90": p90}

        return self._counted(groups, self._asked, (EXITED, OTHER_DURATION), load, count)

    def errored(self) -> list[Row]:
        """Return the rows of ``errored_sessions``."""

        def load(one: _Groups, names: Array) -> Iterator[tuple[int, Array]]:
            at, ends = one.kinds(ERROR, USER)
            keep = names[one.name[at]] & one.inside[at]
            for group, (members,) in self._runs(one, "errors", ("member",), at, keep, ends):
                yield int(one.name[group]), members

        def count(parts: Sequence[Array]) -> Row:
            return {"errored": distinct(parts)}

        groups = self._groups(self._scope.summary)
        return self._counted(groups, self._asked, (ERROR, USER), load, count)

    def sessions(self) -> list[Row]:
        """Return the rows of ``sessions_by_status``."""
        statuses = {
            "sessions" if status == "init" else status: kind
            for kind, status in enumerate(COUNTER_STATUSES)
            if status is not None
        }
        return [
            {**self._named(name), **{field: sums[kind] for field, kind in statuses.items()}}
            for name, sums in self._sums(self._scope.summary).items()
            if self._asked[name]
        ]

    def adoption(self) -> list[Row]:
        """Return the rows of ``adoption``."""
        sessions = self._sums(self._scope.adoption)
        codes: dict[int, list[Array]] = defaultdict(list)
        rows = []
        users = {}

        def count(parts: Sequence[tuple[int, Array]]) -> Row:
            return {"codes": unique([part for _, part in parts])}

        groups = self._groups(self._scope.adoption)
        for row in self._counted(groups, self._every, (USER, NO_KIND), self._users, count):
            users[row["project_id"], row["release"]] = len(row["codes"])
            codes[row["project_id"]].append(row["codes"])
        totals: dict[int, int] = defaultdict(int)
        for number, (project, release) in enumerate(self._names):
            if number in sessions or (project, release) in users:
                begun = sessions[number][INIT] if number in sessions else 0
                totals[project] += begun
                found = {"sessions": begun, "users": users.get((project, release), 0)}
                rows.append({**self._named(number), "whole_project": False, **found})
        rows = [row for row in rows if row["release"] is not None]
        for project, total in totals.items():
            found = {"sessions": total, "users": distinct(codes[project])}
            rows.append({"project_id": project, "release": None, "whole_project": True, **found})
        return rows

    def users(self) -> list[Row]:
        """Return the rows of ``users_by_status``."""
        members = self._manifest.members

        def count(parts: Sequence[tuple[int, Array]]) -> Row:
            of_status: dict[int, list[Array]] = defaultdict(list)
            for status, codes in parts:
                of_status[status].append(codes)
            return {
                "users": _distinct([codes for _, codes in parts], members),
                **{
                    status: _distinct(of_status[number], members)
                    for number, status in enumerate(USER_STATUSES)
                    if status is not None
                },
            }

        groups = self._groups(self._scope.summary)
        return self._counted(groups, self._asked, (USER, NO_KIND), self._users, count)

    def _users(self, one: _Groups, names: Array) -> Iterator[tuple[int, tuple[int, Array]]]:
        """Yield the name of each group, with its status and users."""
        at, ends = one.kinds(USER, NO_KIND)
        all_hours = one.hours == _ALL_HOURS
        columns = ("code",) if all_hours else ("code", "hours")
        keep = names[one.name[at]]
        for group, values in self._runs(one, "users", columns, at, keep, ends):
            code = values[0] if all_hours else values[0][values[1] & np.int32(one.hours) != 0]
            if len(code):
                status = (int(one.kind[group]) - USER) // len(MECHANISMS)
                yield int(one.name[group]), (status, code)

    def _sums(self, window: Window) -> dict[int, list[int]]:
        """Return the sums of counters of each name, by kind."""
        size = len(self._names) * EXITED
        totals = np.zeros(size, np.int64)
        present = np.zeros(size, bool)
        for one in self._groups(window):
            at, _ = one.kinds(0, EXITED)
            at = at[one.inside[at] & (one.name[at] >= 0)]
            key = one.name[at] * EXITED + one.kind[at]
            np.add.at(totals, key, one.n[at])
            present[key] = True
        names = np.flatnonzero(present.reshape(-1, EXITED).any(axis=1))
        sums = totals.reshape(-1, EXITED)[names].tolist()
        return dict(zip(names.tolist(), sums, strict=True))

    def _named(self, name: int) -> Row:
        project, release = self._names[name]
        return {"project_id": project, "release": release}

    def _groups(self, window: Window) -> list[_Groups]:
        """Return the groups of all days of a window."""
        if window not in self._known:
            self._known[window] = self._read(window)
        return self._known[window]

    def _read(self, window: Window) -> list[_Groups]:
        first, last = epoch(window.start) // HOUR, epoch(window.end) // HOUR

        def read(day: int) -> _Groups:
            files = self._manifest.days[day]
            columns = ("pair", "environment", "kind", "hour", "n")
            found = columns_of(self._folder, files.path("groups"), columns)
            pair, environment, kind, hour, n = found
            low, high = max(0, first - day * 24), min(24, last - day * 24)
            name = np.where(self._inside[environment], self._name_of[pair], -1)
            inside = (hour >= low) & (hour < high)
            return _Groups(files, (1 << high) - (1 << low), name, kind, inside, n)

        days = [
            day
            for day, files in self._manifest.days.items()
            if day is not None
            and first < (day + 1) * 24
            and day * 24 < last
            and "groups.parquet" in files.files
        ]
        files = (self._manifest.days[day] for day in days)
        present.entire_files(
            f"{self._folder}/{one.folder}/{name}" for one in files for name in one.files
        )
        return list(self._workers.each(read, days))

    def _counted(
        self,
        groups: Sequence[_Groups],
        asked: Array,
        kinds: tuple[int, int],
        load: Callable[[_Groups, Array], Iterator[tuple[int, _T]]],
        count: Callable[[Sequence[_T]], Row],
    ) -> list[Row]:
        """Return a row for each of the asked names that has values.

        ``load`` yields the values of some names by group, ``count`` makes a row of a name's values.
        """
        size = _USER_BYTES if kinds[0] == USER else _VALUE_BYTES
        weights = np.zeros(len(asked), np.int64)
        for one in groups:
            at, _ = one.kinds(*kinds)
            np.add.at(weights, one.name[at], one.n[at] * size)
        rows: list[Row] = []
        for names in self._rounds(weights * asked):
            held: dict[int, list[_T]] = defaultdict(list)
            lock = threading.Lock()

            def read(
                one: _Groups,
                names: Array = names,
                held: dict[int, list[_T]] = held,
                lock: threading.Lock = lock,
            ) -> None:
                found = list(load(one, names))
                with lock:
                    for name, values in found:
                        held[name].append(values)

            def row(name: int, held: dict[int, list[_T]] = held) -> Row:
                return {**self._named(name), **count(held.pop(name))}

            for _ in self._workers.each(read, groups):
                pass
            rows += self._workers.each(row, sorted(held))
        return rows

    def _rounds(self, weights: Array) -> Iterator[Array]:
        """Split the names into sets whose values fit into memory, as flags of names."""
        flags, room = np.zeros(len(weights), bool), self._memory
        for name in np.flatnonzero(weights).tolist():
            if flags.any() and weights[name] > room:
                yield flags
                flags, room = np.zeros(len(weights), bool), self._memory
            flags[name] = True
            room -= int(weights[name])
        if flags.any():
            yield flags

    def _runs(
        self,
        one: _Groups,
        file: str,
        columns: Sequence[str],
        at: Array,
        keep: Array,
        ends: Array,
    ) -> Iterator[tuple[int, tuple[Array, ...]]]:
        """Yield each kept group of ``at``, and its values; ``ends`` are the ends of all groups.

        Adjacent groups of the same name and kind are joined.
        """
        key = np.where(keep, one.name[at] * NO_KIND + one.kind[at], -1)
        new = np.ones(len(at), bool)
        new[1:] = key[1:] != key[:-1]
        begin = np.flatnonzero(new)
        last = np.append(begin[1:], len(at))[keep[begin]] - 1
        begin = begin[keep[begin]]
        spans = zip((ends - one.n[at])[begin].tolist(), ends[last].tolist(), strict=True)
        values = ranges(self._folder, one.files.path(file), columns, list(spans))
        yield from zip(at[begin].tolist(), values, strict=True)


def _distinct(parts: Sequence[Array], members: int) -> int:
    """Return the number of distinct codes in several arrays."""
    if sum(map(len, parts)) * _FLAG_SHARE < members:
        return distinct(parts)
    flags = np.zeros(members, bool)
    for part in parts:
        flags[part] = True
    return int(np.count_nonzero(flags))
