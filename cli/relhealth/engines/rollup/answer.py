"""Answering templates from a rollup's arrays, for windows of whole hours."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np

from relhealth.core.measures import MOST_SUM, checked_sum, distinct, percentiles_of_whole, unique
from relhealth.core.scope import Scope
from relhealth.core.windows import DAY, HOUR
from relhealth.datasets.arrays import Array
from relhealth.engines.rollup.groups import ALL_HOURS, NO_HOURS, Asked, Groups, Span
from relhealth.engines.rollup.rounds import Key, Rounds, weights_of
from relhealth.machine.database import Row
from relhealth.machine.workers import Workers
from relhealth.rollup.day import SECONDS
from relhealth.rollup.files import columns_of, ranges
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
from relhealth.rollup.manifest import Manifest

TEMPLATES = frozenset(
    {
        "sessions_by_status",
        "errored_sessions",
        "users_by_status",
        "durations",
        "adoption",
        "health_data",
        "health_stats_sessions",
        "health_stats_users",
        "seen",
        "session_bounds",
    }
)
_OF_HEALTH = {"health_data", "seen", "session_bounds"}
_OF_USERS = {"users_by_status", "health_stats_users", "adoption"}
_SESSION_FIELDS = {
    "sessions" if status == "init" else status: number
    for number, status in enumerate(COUNTER_STATUSES)
    if status is not None
}
_USER_FIELDS = {status: number for number, status in enumerate(USER_STATUSES) if status is not None}
_FRACTIONS = (0.5, 0.9)
_LOW = 0xFFFFFFFF
_FLAG_SHARE = 8  # an array of flags pays where there is a code for so many
_US = 10**6
_VALUE_BYTES, _USER_BYTES = 16, 6  # of memory, for a value or user while it is counted


class Answering:
    """One scope asked of one rollup."""

    def __init__(
        self,
        manifest: Manifest,
        folder: str,
        scope: Scope,
        templates: Collection[str],
        *,
        org: int | None,
        threads: int,
        memory: int,
    ) -> None:
        """Take the question; ``memory`` is how many bytes of values are held at once."""
        self._manifest = manifest
        self._folder = folder
        self._templates = frozenset(templates)
        self._workers = Workers(threads)
        self._rounds = Rounds(self._workers, memory)
        wanted = self._templates
        nothing = Span(0, 0)
        by_summary = {"sessions_by_status", "errored_sessions", "users_by_status", "durations"}
        self._summary = Span.of(scope.summary) if wanted & by_summary else nothing
        self._adoption = Span.of(scope.adoption) if "adoption" in wanted else nothing
        self._health = Span.of(scope.health) if wanted & _OF_HEALTH else nothing
        self._series, self._rollup = nothing, DAY
        if wanted & {"health_stats_sessions", "health_stats_users"}:
            if scope.series is None:
                raise LookupError("a series was asked of a scope that has none")
            self._series, self._rollup = Span.of(scope.series.window), scope.series.interval
        self._asked = Asked(manifest, folder, scope, org)
        self._names = self._asked.names

    def rows(self) -> dict[str, list[Row]]:
        """Return the rows of each template, as it gives them."""
        groups = self._groups()
        found: dict[str, list[Row]] = {name: [] for name in self._templates}
        self._counters(groups, found)
        if "durations" in found:
            found["durations"] = self._durations(groups)
        if "errored_sessions" in found:
            found["errored_sessions"] = self._errors(groups)
        if _OF_USERS & self._templates:
            self._users(groups, found)
        for name, high in (("seen", EXITED), ("session_bounds", ERROR)):
            if name in found:
                found[name] = self._bounds(groups, high)
        return found

    # -- groups ------------------------------------------------------------------------------

    def _groups(self) -> list[Groups]:
        spans = (self._summary, self._adoption, self._health, self._series)
        days = [
            day
            for day in self._manifest.days
            if day is not None and any(span.hours(day) for span in spans)
        ]
        extremes = bool({"seen", "session_bounds"} & self._templates)
        found = self._workers.each(lambda day: self._asked.groups_of(day, extremes=extremes), days)
        return [one for one in found if one is not None]

    # -- counters ----------------------------------------------------------------------------

    def _counters(self, groups: Sequence[Groups], found: dict[str, list[Row]]) -> None:
        count = len(self._names)
        sums = _Sums(len(COUNTER_STATUSES) * count)
        day_sums = _Sums(count)
        present, adopted = np.zeros(count, bool), np.zeros(count, bool)
        seen, with_sessions = np.zeros(count, bool), np.zeros(count, bool)
        series: dict[int, _Sums] = defaultdict(lambda: _Sums(count))
        for one in groups:
            counter = (one.kind < EXITED) & (one.name >= 0)
            at = np.flatnonzero(counter & one.asked & one.inside(self._summary))
            present[one.name[at]] = True
            sums.add(one.kind[at].astype(np.int64) * count + one.name[at], one.n[at])
            at = np.flatnonzero(counter & one.inside(self._adoption))
            adopted[one.name[at]] = True
            at = at[one.kind[at] == INIT]
            day_sums.add(one.name[at], one.n[at])
            bits = self._health.hours(one.day)
            if bits:
                # Users have all hours in one group; theirs are looked at below.
                any_kind = one.asked & ((one.bit & bits) != 0) & (one.kind < USER)
                seen[one.name[any_kind]] = True
                with_sessions[one.name[any_kind & counter]] = True
            if "health_stats_sessions" in found:
                at = np.flatnonzero(
                    counter & one.asked & one.inside(self._series) & (one.kind == INIT)
                )
                buckets = self._buckets(one.day)[one.hour[at]]
                for bucket in unique([buckets]).tolist():
                    mine = at[buckets == bucket]
                    series[bucket].add(one.name[mine], one.n[mine])
        self._has_users(groups, seen)
        totals = sums.totals()
        if "sessions_by_status" in found:
            found["sessions_by_status"] = [
                {
                    **self._named(name),
                    **{
                        field: totals[kind * count + name]
                        for field, kind in _SESSION_FIELDS.items()
                    },
                }
                for name in np.flatnonzero(present).tolist()
                if self._names[name][1] is not None
            ]
        if "health_data" in found:
            found["health_data"] = [
                {**self._named(name), "has_sessions": bool(with_sessions[name])}
                for name in np.flatnonzero(seen).tolist()
            ]
        if "health_stats_sessions" in found:
            found["health_stats_sessions"] = [
                {**self._named(name), "bucket": bucket, "count": total}
                for bucket, of_bucket in sorted(series.items())
                for name, total in enumerate(of_bucket.totals())
                if total and self._names[name][1] is not None
            ]
        self._day_sums, self._adopted = day_sums, adopted

    def _bounds(self, groups: Sequence[Groups], high: int) -> list[Row]:
        """Return when the first and the last of the kinds below one were, in the health window."""
        firsts = np.full(len(self._names), MOST_SUM)
        lasts = np.full(len(self._names), -1)
        for one in groups:
            at = np.flatnonzero((one.kind < high) & one.asked & one.inside(self._health))
            began = (one.day * DAY + one.hour[at].astype(np.int64) * HOUR) * _US
            first, last = (began + part[at] for part in one.extremes)
            np.minimum.at(firsts, one.name[at], first)
            np.maximum.at(lasts, one.name[at], last)
        return [
            {
                **self._named(name),
                "first_seen": int(firsts[name]),
                "last_seen": int(lasts[name]),
            }
            for name in np.flatnonzero(lasts >= 0).tolist()
        ]

    def _has_users(self, groups: Sequence[Groups], seen: Array) -> None:
        """Mark the names with a user in the health window; looks into hours where it must."""
        for one in groups:
            bits = self._health.hours(one.day)
            if not bits:
                continue
            at, first, last = one.rows_of(USER, NO_KIND)
            keep = one.asked[at] & ~seen[one.name[at]]
            if bits == ALL_HOURS or not keep.any():
                seen[one.name[at[keep]]] = True
                continue
            (hours,) = columns_of(self._folder, one.files.path("users"), ("hours",))
            for number in np.flatnonzero(keep).tolist():
                if np.any(hours[first[number] : last[number]] & bits):
                    seen[one.name[at[number]]] = True

    def _buckets(self, day: int) -> Array:
        """Return the start of the bucket of each hour of a day, in epoch seconds."""
        starts = day * DAY + np.arange(24) * HOUR
        return starts // self._rollup * self._rollup

    def _named(self, name: int) -> Row:
        project, release = self._names[name]
        return {"project_id": project, "release": release}

    # -- flat files --------------------------------------------------------------------------

    def _durations(self, groups: Sequence[Groups]) -> list[Row]:
        units = {one.files.unit for one in groups}
        mixed = len(units) > 1

        def load(one: Groups, names: Array) -> Iterator[tuple[Key, Array]]:
            at, *rows = one.rows_of(EXITED, OTHER_DURATION)
            keep = one.asked[at] & one.inside(self._summary)[at] & names[one.name[at]]
            keep &= self._asked.released[one.name[at]]
            unit = one.files.unit
            for (values,), group in self._runs(
                one, "durations", (unit,), at, keep, rows, joined=True
            ):
                as_seconds = mixed and unit != SECONDS
                yield (int(one.name[group]),), values / 1000 if as_seconds else values

        def count(key: Key, parts: Sequence[Array]) -> Row:
            scale = 1 if mixed or units == {SECONDS} else 1000
            values = np.concatenate(parts)
            p50, p90 = percentiles_of_whole(values, scale, _FRACTIONS)
            return {**self._named(key[0]), "exited": len(values), "p50": p50, "p90": p90}

        weights = weights_of(groups, len(self._names), EXITED, OTHER_DURATION, self._summary)
        return [row for _, row in self._rounds.counted(groups, weights * _VALUE_BYTES, load, count)]

    def _errors(self, groups: Sequence[Groups]) -> list[Row]:
        def load(one: Groups, names: Array) -> Iterator[tuple[Key, Array]]:
            at, *rows = one.rows_of(ERROR, USER)
            keep = one.asked[at] & one.inside(self._summary)[at] & names[one.name[at]]
            keep &= self._asked.released[one.name[at]]
            for (members,), group in self._runs(
                one, "errors", ("member",), at, keep, rows, joined=True
            ):
                yield (int(one.name[group]),), members

        def count(key: Key, parts: Sequence[Array]) -> Row:
            return {**self._named(key[0]), "errored": distinct(parts)}

        weights = weights_of(groups, len(self._names), ERROR, USER, self._summary)
        return [row for _, row in self._rounds.counted(groups, weights * _VALUE_BYTES, load, count)]

    def _users(self, groups: Sequence[Groups], found: dict[str, list[Row]]) -> None:
        """Count users by status, by bucket and of the last day."""
        wanted = _OF_USERS & self._templates
        members = self._manifest.members
        stats = "health_stats_users" in wanted
        of_project: dict[int, list[Array]] = defaultdict(list)

        def load(one: Groups, names: Array) -> Iterator[tuple[Key, Array]]:
            return self._load_users(one, names, stats=stats)

        def derive(held: dict[Key, list[Array]]) -> None:
            _unions(held)
            for (name, what, *_), parts in held.items():
                if what == _OF_DAY:
                    of_project[self._names[name][0]] += _fewer(parts, members)

        def count(_: Key, parts: Sequence[Array]) -> int:
            return _distinct_codes(parts, members)

        weights = weights_of(groups, len(self._names), USER, NO_KIND, self._summary)
        weights += weights_of(groups, len(self._names), USER, NO_KIND, self._series)
        weights += weights_of(
            groups, len(self._names), USER, NO_KIND, self._adoption, all_releases=True
        )
        numbers = dict(self._rounds.counted(groups, weights * _USER_BYTES, load, count, derive))
        if "users_by_status" in wanted:
            found["users_by_status"] = self._status_rows(numbers)
        if stats:
            found["health_stats_users"] = [
                {**self._named(name), "bucket": more[0], "count": number}
                for (name, what, *more), number in numbers.items()
                if what == _OF_BUCKET
            ]
        if "adoption" in wanted:
            of_day = {name: n for (name, what, *_), n in numbers.items() if what == _OF_DAY}
            found["adoption"] = self._adoption_rows(of_day, of_project)

    def _status_rows(self, numbers: Mapping[Key, int]) -> list[Row]:
        rows = []
        for (name, what, *_), total in numbers.items():
            if what == _OF_ALL:
                statuses = {
                    field: numbers.get((name, _OF_STATUS, number), 0)
                    for field, number in _USER_FIELDS.items()
                }
                rows.append({**self._named(name), "users": total, **statuses})
        return rows

    def _adoption_rows(
        self, users: Mapping[int, int], of_day: Mapping[int, Sequence[Array]]
    ) -> list[Row]:
        sessions = self._day_sums.totals()
        by_project: dict[int, int] = defaultdict(int)
        rows = []
        for name, (project, release) in enumerate(self._names):
            if not (self._adopted[name] or users.get(name)):
                continue
            by_project[project] += sessions[name]
            if release is not None:
                rows.append(
                    {
                        **self._named(name),
                        "whole_project": False,
                        "sessions": sessions[name],
                        "users": users.get(name, 0),
                    }
                )
        for project, total in by_project.items():
            parts = of_day.get(project, [])
            rows.append(
                {
                    "project_id": project,
                    "release": None,
                    "whole_project": True,
                    "sessions": checked_sum([total]),
                    "users": _distinct_codes(parts, self._manifest.members) if parts else 0,
                }
            )
        return rows

    def _load_users(self, one: Groups, names: Array, *, stats: bool) -> Iterator[tuple[Key, Array]]:
        summary, day_bits = self._summary.hours(one.day), self._adoption.hours(one.day)
        series = self._series.hours(one.day) if stats else NO_HOURS
        if "users_by_status" not in self._templates:
            summary = NO_HOURS
        if not summary | day_bits | series:
            return
        at, *rows = one.rows_of(USER, NO_KIND)
        keep = (one.name[at] >= 0) & names[one.name[at]]
        if not day_bits:
            keep &= one.asked[at]
        buckets = self._buckets(one.day)
        whole = all(bits in {NO_HOURS, ALL_HOURS} for bits in (summary, day_bits, series))
        whole = whole and (not series or self._rollup % DAY == 0)
        columns = ("code",) if whole else ("code", "hours")
        for values, group in self._runs(one, "users", columns, at, keep, rows, joined=False):
            code, hours = values[0], None if whole else values[1]
            name = int(one.name[group])
            asked, real = bool(one.asked[group]), self._names[name][1] is not None
            if summary and asked and real:
                status = (int(one.kind[group]) - USER) // len(MECHANISMS)
                yield (name, _OF_STATUS, status), _during(code, hours, summary)
            if day_bits:
                yield (name, _OF_DAY), _during(code, hours, day_bits)
            if series and asked and real:
                for bucket in unique([buckets]).tolist():
                    bits = sum(1 << hour for hour in np.flatnonzero(buckets == bucket).tolist())
                    if bits & series:
                        yield (name, _OF_BUCKET, bucket), _during(code, hours, bits & series)

    # -- reading -----------------------------------------------------------------------------

    def _runs(
        self,
        one: Groups,
        file: str,
        columns: Sequence[str],
        at: Array,
        keep: Array,
        rows: Sequence[Array],
        *,
        joined: bool,
    ) -> Iterator[tuple[tuple[Array, ...], int]]:
        """Yield the values of each kept group among ``at``, and the group.

        ``rows`` are the first and last row (excluded) of each. ``joined``: neighbouring groups of
        one name are one.
        """
        if not keep.any():
            return
        new = np.ones(len(at), bool)
        if joined:
            names = one.name[at]
            new[1:] = (names[1:] != names[:-1]) | (keep[1:] != keep[:-1])
        begin = np.flatnonzero(new)
        last = np.append(begin[1:], len(at)) - 1
        kept = keep[begin]
        spans = zip(rows[0][begin][kept].tolist(), rows[1][last][kept].tolist(), strict=True)
        values = ranges(self._folder, one.files.path(file), columns, list(spans))
        yield from zip(values, at[begin][kept].tolist(), strict=True)


_OF_STATUS, _OF_ALL, _OF_BUCKET, _OF_DAY = range(4)


def _unions(held: dict[Key, list[Array]]) -> None:
    """Add the users of any status to those by status."""
    for key in [key for key in held if key[1] == _OF_STATUS]:
        held[key[0], _OF_ALL] += held[key]
    for key in [key for key in held if key[1] == _OF_STATUS and key[2] == 0]:
        del held[key]


def _distinct_codes(parts: Sequence[Array], members: int) -> int:
    """Return how many codes there are in several arrays, each without repeats."""
    if len(parts) == 1:
        return len(parts[0])
    if sum(map(len, parts)) * _FLAG_SHARE < members:
        return distinct(parts)
    flags = np.zeros(members, bool)
    for part in parts:
        flags[part] = True
    return int(np.count_nonzero(flags))


def _fewer(parts: list[Array], members: int) -> list[Array]:
    """Return the codes of several arrays in one, where that is less."""
    if len(parts) < 2 or sum(map(len, parts)) < members:  # noqa: PLR2004 - one is one already
        return parts
    flags = np.zeros(members, bool)
    for part in parts:
        flags[part] = True
    return [np.flatnonzero(flags).astype(np.int32)]


def _during(code: Array, hours: Array | None, bits: int) -> Array:
    """Return the users of some hours."""
    return code if hours is None or bits == ALL_HOURS else code[(hours & np.int32(bits)) != 0]


class _Sums:
    """Sums of whole numbers of up to 2^53 by key, exact whatever they come to."""

    def __init__(self, size: int) -> None:
        self._high, self._low = np.zeros(size, np.int64), np.zeros(size, np.int64)

    def add(self, keys: Array, values: Array) -> None:
        """Add values to their keys."""
        np.add.at(self._high, keys, values >> 32)
        np.add.at(self._low, keys, values & _LOW)

    def totals(self) -> list[int]:
        """Return the sums; raises ``DataError`` for what is beyond 64 bits, as templates do."""
        found = [
            (high << 32) + low
            for high, low in zip(self._high.tolist(), self._low.tolist(), strict=True)
        ]
        checked_sum([max(found, default=0)])
        return found
