"""Counting what was kept into the rows of each ask, in slices where there is much of it."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from relhealth.core.measures import (
    Members,
    distinct,
    durations_at,
    mean,
    percentiles,
    unique,
)
from relhealth.core.windows import epoch, recent_window
from relhealth.datasets.arrays import Array
from relhealth.datasets.labels import COUNTERS, DURATIONS, MECHANISMS, METRICS, STATUSES
from relhealth.engines import components
from relhealth.engines.components import Component
from relhealth.engines.kernel.question import (
    OF_DURATIONS,
    Key,
    Keys,
    Question,
    Target,
    Uses,
)
from relhealth.engines.kernel.stages import stages
from relhealth.engines.kernel.store import Store
from relhealth.engines.kernel.tally import Tallied
from relhealth.machine.database import Row
from relhealth.machine.workers import Workers

_SUMS = {
    "sessions": "init",
    "crashed": "crashed",
    "abnormal": "abnormal",
    "unhandled": "unhandled",
    "errored_preaggr": "errored_preaggr",
}
_INIT = STATUSES.index("init")
_ALL = "all"
_STATUS_FIGURES = ("crashed", "unhandled", "errored", "abnormal")
_FIGURES: Mapping[Component, Mapping[str, str]] = {
    components.USERS_BY_STATUS: {"users": _ALL} | {name: name for name in _STATUS_FIGURES},
    components.USERS_BY_GROUP: {"users": _ALL}
    | {name: name for name in (*_STATUS_FIGURES, "anr", "foreground_anr")},
    components.ADOPTION: {"users": _ALL},
    components.HEALTH_STATS["users"]: {"count": _ALL},
    components.ERRORED_SESSIONS: {"errored": _ALL},
    components.ERRORED_BY_GROUP: {"errored": _ALL},
}
_BYTES = 8  # of a value


class Kept(NamedTuple):
    """The key of values in the store; ``detail`` is a status and a mechanism, of users alone."""

    metric: int
    owner: int
    use: int
    detail: int = 0

    def within(self, some: str) -> bool:
        """Tell whether these are of some status, or of all."""
        status = STATUSES[self.detail % len(STATUSES)]
        mechanism = MECHANISMS[self.detail // len(STATUSES)]
        match some:
            case "all":
                return True
            case "anr":
                return mechanism != ""
            case "foreground_anr":
                return mechanism == "anr_foreground"
            case _:
                return status == some


class Group(NamedTuple):
    """A row of the answer to a target."""

    target: int
    key: Key
    bucket: int | None


Sums = dict[tuple[Key, int | None], dict[int, int]]  # by status


class _Piece(NamedTuple):
    """Members of one use, perhaps each once."""

    use: int
    members: Sequence[Members]
    once: bool


class Counting:
    """Counts what a scan has kept; ``share`` is how many bytes a thread counts at once."""

    def __init__(
        self, question: Question, keys: Sequence[Keys], store: Store, workers: Workers, share: int
    ) -> None:
        """Take what was kept; ``keys`` are those of the owners."""
        self._question = question
        self._keys = keys
        self._store = store
        self._workers = workers
        self._share = share
        self._wanted = [set(_FIGURES.get(one.component, {}).values()) for one in question.targets]
        self._shared: set[tuple[int, int, Key]] = set()  # groups that several owners count in
        self._distinct: dict[tuple[Group, str], int] = defaultdict(int)

    def answers(
        self,
        tallies: Sequence[Tallied],
        met: Tallied,
        invalid: Mapping[tuple[int, str], int],
    ) -> list[list[Row]]:
        """Return the rows of each ask."""
        durations: dict[Group, list[Kept]] = defaultdict(list)
        by_owner: dict[tuple[int, int], list[Kept]] = defaultdict(list)
        for key in self._store.keys():  # noqa: SIM118 - a store is no mapping
            by_owner[key.metric, key.owner].append(key)
            if key.metric == DURATIONS:
                for group in self._groups(key):
                    durations[group].append(key)
        self._count_distinct([keys for (metric, _), keys in by_owner.items() if metric > DURATIONS])
        found: dict[int, dict[tuple[Key, int | None], Row]] = defaultdict(dict)
        for (group, name), count in self._distinct.items():
            found[group.target].setdefault((group.key, group.bucket), {})[name] = count
        lasting = list(durations.items())
        counted = self._workers.each(lambda one: self._lasting(*one), lasting)
        for (group, _), row in zip(lasting, counted, strict=True):
            if row is not None:
                found[group.target][group.key, group.bucket] = row
        answers: list[list[Row]] = []
        for at, target in enumerate(self._question.targets):
            rows = self._rows(at, tallies, met, invalid, found[at])
            if target.whole:
                answers[-1] += rows
            else:
                answers.append(list(rows))
        return answers

    # Rows.

    def _rows(
        self,
        at: int,
        tallies: Sequence[Tallied],
        met: Tallied,
        invalid: Mapping[tuple[int, str], int],
        found: Mapping[tuple[Key, int | None], Row],
    ) -> Iterable[Row]:
        target = self._question.targets[at]
        component = target.component
        if component == components.INVALID_ROWS:
            some = sorted((why, n) for (its, why), n in invalid.items() if its == at and n)
            return ({"reason": why, "invalid": n} for why, n in some)
        if component in {components.ORGANISATIONS, components.PROJECTS}:
            ids = sorted(key for key, _ in self._sums(at, met, self._question.met))
            return (_named(target, key, None) for key in ids)
        if component in {components.HEALTH_DATA, components.SEEN, components.SESSION_BOUNDS}:
            return self._seen(at, tallies)
        if component in OF_DURATIONS:
            return (_named(target, *group) | row for group, row in found.items())
        if component == components.ADOPTION:
            return self._adoption(at, tallies, found)
        if component in _FIGURES:
            return (
                _named(target, *group)
                | {name: counts.get(what, 0) for name, what in _FIGURES[component].items()}
                for group, counts in found.items()
            )
        return self._of_counters(at, tallies)

    def _of_counters(self, at: int, tallies: Sequence[Tallied]) -> Iterable[Row]:
        target = self._question.targets[at]
        component = target.component
        sums = self._sums(at, tallies[COUNTERS], self._question.tallied[COUNTERS])
        if component == components.ADOPTION_STAGES:
            return self._stages(target, sums)
        if component == components.HEALTH_STATS["sessions"]:
            return (
                _named(target, *group) | {"count": by_status[_INIT]}
                for group, by_status in sums.items()
                if by_status.get(_INIT)
            )
        return (
            _named(target, *group)
            | {name: by_status.get(STATUSES.index(status), 0) for name, status in _SUMS.items()}
            for group, by_status in sums.items()
        )

    def _adoption(
        self,
        at: int,
        tallies: Sequence[Tallied],
        found: Mapping[tuple[Key, int | None], Row],
    ) -> list[Row]:
        target = self._question.targets[at]
        sums = self._sums(at, tallies[COUNTERS], self._question.tallied[COUNTERS])
        return [
            {
                "project_id": key[0],
                "release": None if target.whole else key[1],
                "whole_project": target.whole,
                "sessions": sums.get((key, bucket), {}).get(_INIT, 0),
                "users": found.get((key, bucket), {}).get(_ALL, 0),
            }
            for key, bucket in sums.keys() | found.keys()
        ]

    def _seen(self, at: int, tallies: Sequence[Tallied]) -> Iterator[Row]:
        """Yield what was seen of each group: whether it has sessions, or its bounds."""
        target = self._question.targets[at]
        bounds: dict[Key, tuple[int, int]] = {}
        with_sessions: set[Key] = set()
        for metric in METRICS:
            groups, tallied = self._tallied(at, tallies[metric], self._question.tallied[metric])
            firsts, lasts = tallied.first.tolist(), tallied.last.tolist()
            for ((key, _), _), first, last in zip(groups, firsts, lasts, strict=True):
                known = bounds.get(key, (first, last))
                bounds[key] = min(first, known[0]), max(last, known[1])
                if metric == COUNTERS:
                    with_sessions.add(key)
        for key, ends in bounds.items():
            row = _named(target, key, None)
            if target.component == components.HEALTH_DATA:
                yield row | {"has_sessions": key in with_sessions}
            else:
                yield row | dict(zip(target.component.figures, ends, strict=True))

    def _stages(self, target: Target, sums: Sums) -> list[Row]:
        hours: dict[Key, dict[int, int]] = defaultdict(dict)
        for (key, bucket), by_status in sums.items():
            if _INIT in by_status and bucket is not None:
                hours[key][bucket // 3_600] = by_status[_INIT]
        now = target.ask.scope.now
        rows = stages(hours, target.span[0], recent=epoch(recent_window(now).start), now=epoch(now))
        releases = target.releases
        return [row for row in rows if releases is None or row["release"] in releases]

    # Tallies.

    def _tallied(
        self, at: int, tallied: Tallied, uses: Uses
    ) -> tuple[list[tuple[tuple[Key, int | None], int]], Tallied]:
        """Return what was tallied for a target, by group and status."""
        known: dict[Key, int] = {}
        of_owners = (keys[at] for keys in self._keys)
        group_of = np.array(
            [-1 if key is None else known.setdefault(key, len(known)) for key in of_owners],
            np.int64,
        )
        buckets: dict[int | None, int] = {}
        bucket_of = np.full(len(uses.uses), -1, np.int64)
        for number, use in enumerate(uses.uses):
            for target, bucket in use:
                if target == at:
                    bucket_of[number] = buckets.setdefault(bucket, len(buckets))
        owners, statuses = np.divmod(tallied.code, len(STATUSES))
        owners, used = np.divmod(owners, len(uses.uses))
        row, column = group_of[owners], bucket_of[used]
        code = (row * len(buckets) + column) * len(STATUSES) + statuses
        found = tallied.by(np.where((row < 0) | (column < 0), -1, code))
        keys, starts = list(known), list(buckets)
        groups = []
        for one in found.code.tolist():
            rest, status = divmod(one, len(STATUSES))
            number, place = divmod(rest, len(starts))
            groups.append(((keys[number], starts[place]), status))
        return groups, found

    def _sums(self, at: int, tallied: Tallied, uses: Uses) -> Sums:
        """Return the sums of a target's groups, by status."""
        groups, found = self._tallied(at, tallied, uses)
        sums: Sums = {}
        for (group, status), total in zip(groups, found.sum.tolist(), strict=True):
            sums.setdefault(group, {})[status] = total
        return sums

    # Distinct members.

    def _count_distinct(self, owners: Sequence[Sequence[Kept]]) -> None:
        """Count the distinct members of each owner, and then of groups of several owners."""
        count: dict[tuple[int, int, Key], int] = defaultdict(int)
        for keys in owners:
            metric = keys[0].metric
            for one in {
                (metric, group.target, group.key) for key in keys for group in self._groups(key)
            }:
                count[one] += 1
        self._shared = {one for one, owners_in_it in count.items() if owners_in_it > 1}
        for counts in self._workers.each(self._count_owner, owners):
            for what, found in counts.items():
                self._distinct[what] += found
        shared = [key for key in self._store.keys() if isinstance(key[0], Group)]  # noqa: SIM118
        for key, found in zip(shared, self._workers.each(self._count_shared, shared), strict=True):
            self._distinct[key] = found

    def _count_owner(self, keys: Sequence[Kept]) -> Mapping[tuple[Group, str], int]:
        """Count what one owner has of one metric."""
        counts: dict[tuple[Group, str], int] = defaultdict(int)
        groups = {key.use: list(self._groups(key)) for key in keys}
        names = set().union(*(self._wanted[one.target] for some in groups.values() for one in some))
        of_name = {name: [key for key in keys if key.within(name)] for name in names}
        for parts in self._slices(keys):
            for name, some in of_name.items():
                members: dict[int, list[Members]] = defaultdict(list)
                for key in some:
                    members[key.use] += parts[key]
                self._add(counts, name, members, groups, keys[0].metric)
        self._store.drop(keys)
        return counts

    def _add(
        self,
        counts: dict[tuple[Group, str], int],
        name: str,
        members: Mapping[int, list[Members]],
        groups: Mapping[int, Sequence[Group]],
        metric: int,
    ) -> None:
        """Add the members of one name in a slice; what several groups need is sorted once."""
        pieces: dict[Group, list[_Piece]] = defaultdict(list)
        for use, found in members.items():
            into = [one for one in groups[use] if name in self._wanted[one.target]]
            once = len(into) > 1
            piece = _Piece(use, [unique(found)] if once else found, once)
            for group in into:
                pieces[group].append(piece)
        known: dict[tuple[int, ...], int] = {}
        for group, some in pieces.items():
            if (metric, group.target, group.key) in self._shared:
                kept = [one.members[0] if one.once else unique(one.members) for one in some]
                self._store.add([((group, name), one) for one in kept if len(one)])
                continue
            uses = tuple(one.use for one in some)
            if uses not in known:
                known[uses] = (
                    len(some[0].members[0])
                    if len(some) == 1 and some[0].once
                    else distinct([part for one in some for part in one.members])
                )
            if known[uses]:
                counts[group, name] += known[uses]

    def _count_shared(self, key: tuple[Group, str]) -> int:
        return sum(distinct(parts[key]) for parts in self._slices([key]))

    def _groups(self, key: Kept) -> Iterator[Group]:
        """Yield the groups that values count in."""
        keys = self._keys[key.owner]
        for target, bucket in self._question.kept[key.metric].uses[key.use]:
            of_target = keys[target]
            if of_target is not None:
                yield Group(target, of_target, bucket)

    def _slices(self, keys: Collection[Any]) -> Iterator[dict[Any, list[Members]]]:
        """Yield the members of some keys, all at once or by their first bits."""
        whole = sum(map(self._store.count, keys)) * _BYTES
        bits = 0
        while whole >> bits > self._share:
            bits += 1
        if not bits:
            yield {key: list(self._store.parts(key, np.uint64)) for key in keys}
            return
        shift = np.uint64(64 - bits)
        for first in range(1 << bits):
            yield {
                key: [part[part >> shift == first] for part in self._store.parts(key, np.uint64)]
                for key in keys
            }

    # Durations.

    def _lasting(self, group: Group, keys: Sequence[Kept]) -> Row | None:
        """Return the figures of the durations of a group; None where none can count."""
        n = sum(map(self._store.count, keys))
        if not n:
            return None
        ask = self._question.targets[group.target].ask
        most = self._share // _BYTES

        def parts() -> Iterator[Array]:
            return chain.from_iterable(self._store.parts(key, np.float64) for key in keys)

        if ask.component == components.DURATIONS:
            p50, p90 = percentiles(n, parts, (0.5, 0.9), most)
            return {"exited": n, "p50": p50, "p90": p90}
        if ask.component == components.DURATION_RANKS:
            return {"durations": durations_at(n, parts, ask.fractions, most)}
        average, longest = mean(parts)
        found = percentiles(n, parts, (0.5, 0.75, 0.9, 0.95, 0.99), most)
        return {"mean": average, "percentiles": found, "longest": longest}


def _named(target: Target, key: Key, bucket: int | None) -> Row:
    """Return what tells a row from others."""
    return dict(zip(target.component.keys, (*key, bucket), strict=False))
