"""Counts distinct members by group, in slices if they exceed the memory."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from relhealth.core.measures import Members, distinct, unique
from relhealth.datasets.labels import MECHANISMS, STATUSES
from relhealth.engines.kernel.question import Key, Keys, Question
from relhealth.engines.kernel.store import Store
from relhealth.machine.workers import Workers

BYTES = 8  # of a value or member


class Kept(NamedTuple):
    """The key of values in the store; only users have a ``detail``, a status and mechanism."""

    metric: int
    owner: int
    use: int
    detail: int = 0

    def within(self, some: str) -> bool:
        """Return whether a figure includes these values."""
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


def groups_of(key: Kept, question: Question, keys: Sequence[Keys]) -> Iterator[Group]:
    """Yield the groups that values count in; ``keys`` are those of the owners."""
    for target, bucket in question.kept[key.metric].uses[key.use]:
        of_target = keys[key.owner][target]
        if of_target is not None:
            yield Group(target, of_target, bucket)


def bits_of_slices(size: int, share: int) -> int:
    """Return by how many first bits of members to slice them, so that a slice fits the share."""
    bits = 0
    while size >> bits > share:
        bits += 1
    return bits


class _Piece(NamedTuple):
    """Members of one use; with ``once``, each occurs once."""

    use: int
    members: Sequence[Members]
    once: bool


class DistinctMembers:
    """Counts distinct members by group and figure; ``share`` bounds a thread's bytes."""

    def __init__(
        self,
        wanted: Sequence[Collection[str]],
        groups: Callable[[Kept], Iterable[Group]],
        store: Store,
        workers: Workers,
        share: int,
    ) -> None:
        """Count nothing yet; ``wanted`` has the figures of each target."""
        self._wanted = wanted
        self._groups = groups
        self._store = store
        self._workers = workers
        self._share = share
        self._shared: set[tuple[int, int, Key]] = set()  # groups that several owners count in
        self._distinct: dict[tuple[Group, str], int] = defaultdict(int)

    def count(self, owners: Sequence[Sequence[Kept]]) -> Mapping[tuple[Group, str], int]:
        """Count the members of each owner, then those of groups with several owners.

        ``owners`` has the keys of one owner and metric in each item.
        """
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
        return self._distinct

    def _count_owner(self, keys: Sequence[Kept]) -> Mapping[tuple[Group, str], int]:
        """Count the members of one owner and metric."""
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
        """Add the members of one figure in a slice; sort once what several groups need."""
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

    def _slices(self, keys: Collection[Any]) -> Iterator[dict[Any, list[Members]]]:
        """Yield the members of some keys, all at once or in slices by their first bits."""
        bits = bits_of_slices(sum(map(self._store.count, keys)) * BYTES, self._share)
        if not bits:
            yield {key: list(self._store.parts(key, np.uint64)) for key in keys}
            return
        shift = np.uint64(64 - bits)
        for first in range(1 << bits):
            yield {
                key: [part[part >> shift == first] for part in self._store.parts(key, np.uint64)]
                for key in keys
            }
