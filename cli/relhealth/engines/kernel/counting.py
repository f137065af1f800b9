"""Turns what a scan kept into the rows of each ask."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

import numpy as np

from relhealth.core.measures import (
    durations_at,
    mean,
    percentiles,
)
from relhealth.core.windows import epoch, recent_window
from relhealth.datasets.arrays import Array
from relhealth.datasets.labels import COUNTERS, DURATIONS, ERRORS, METRICS, STATUSES, USERS
from relhealth.engines import components
from relhealth.engines.components import Component
from relhealth.engines.kernel.distinct import BYTES, DistinctMembers, Group, Kept, groups_of
from relhealth.engines.kernel.question import (
    OF_DURATIONS,
    OF_TIMED_USERS,
    TIMED_USERS,
    Key,
    Keys,
    Question,
    Target,
    Uses,
)
from relhealth.engines.kernel.stages import stages
from relhealth.engines.kernel.store import Store
from relhealth.engines.kernel.tally import Tallied
from relhealth.engines.kernel.user_sessions import figures
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


Sums = dict[tuple[Key, int | None], dict[int, int]]  # by status


class Counting:
    """Counts what a scan kept; ``share`` is how many bytes a thread counts at once."""

    def __init__(
        self, question: Question, keys: Sequence[Keys], store: Store, workers: Workers, share: int
    ) -> None:
        """Count nothing yet; ``keys`` are those of the owners."""
        self._question = question
        self._keys = keys
        self._store = store
        self._workers = workers
        self._share = share

    def answers(
        self,
        tallies: Sequence[Tallied],
        met: Tallied,
        invalid: Mapping[tuple[int, str], int],
    ) -> list[list[Row]]:
        """Return the rows of each ask."""
        by_group: dict[Group, list[Kept]] = defaultdict(list)  # of all but distinct members
        by_owner: dict[tuple[int, int], list[Kept]] = defaultdict(list)
        for key in self._store.keys():  # noqa: SIM118 - a store is no mapping
            by_owner[key.metric, key.owner].append(key)
            if key.metric in {DURATIONS, TIMED_USERS}:
                for group in groups_of(key, self._question, self._keys):
                    by_group[group].append(key)
        distinct = DistinctMembers(
            [set(_FIGURES.get(one.component, {}).values()) for one in self._question.targets],
            lambda key: groups_of(key, self._question, self._keys),
            self._store,
            self._workers,
            self._share,
        ).count([keys for (metric, _), keys in by_owner.items() if metric in {ERRORS, USERS}])
        found: dict[int, dict[tuple[Key, int | None], Row]] = defaultdict(dict)
        for (group, name), count in distinct.items():
            found[group.target].setdefault((group.key, group.bucket), {})[name] = count
        groups = list(by_group.items())
        counted = self._workers.each(lambda one: self._of_group(*one), groups)
        for (group, _), row in zip(groups, counted, strict=True):
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
        if component in OF_DURATIONS | OF_TIMED_USERS:
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
        """Yield a row for each group: whether it has sessions, or its first and last timestamp."""
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
        """Return a target's tally, and the group and status of each of its rows."""
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

    # Durations and timed users.

    def _of_group(self, group: Group, keys: Sequence[Kept]) -> Row | None:
        """Return the figures of a group; None if it has no row."""
        ask = self._question.targets[group.target].ask
        if ask.component in OF_TIMED_USERS:
            return figures(ask, keys, self._store, self._share)
        return self._lasting(group, keys)

    def _lasting(self, group: Group, keys: Sequence[Kept]) -> Row | None:
        """Return the figures of a group's durations; None if it has none."""
        n = sum(map(self._store.count, keys))
        if not n:
            return None
        ask = self._question.targets[group.target].ask
        most = self._share // BYTES

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
    """Return the columns that identify a row."""
    return dict(zip(target.component.keys, (*key, bucket), strict=False))
