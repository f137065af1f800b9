"""Counts the sessions of users and their events, in slices if they exceed the memory."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from relhealth.core.windows import epoch
from relhealth.datasets.arrays import Array
from relhealth.datasets.labels import STATUSES
from relhealth.engines import components
from relhealth.engines.interface import Ask
from relhealth.engines.kernel.distinct import Kept, bits_of_slices
from relhealth.engines.kernel.store import Store
from relhealth.machine.database import Row

_BYTES = 32  # of a row, twice what it has in the store; sorting takes three times as much
_NEVER = np.iinfo(np.int64).max


class _Sessions(NamedTuple):
    """Sessions in the order of users, then time; a session is a distinct timestamp of a user."""

    began: Array  # in microseconds since the epoch
    event: Array
    first: Array  # the index of each user's first session


def paired(members: Array, began: Array) -> Array:
    """Return members and timestamps as rows of two 8-byte values, for the store."""
    return np.stack((members, began.view(np.uint64)), axis=1)


def figures(ask: Ask, keys: Sequence[Kept], store: Store, share: int) -> Row | None:
    """Return the figures of a group; None if no user counts in it.

    ``share`` bounds the bytes that are counted at once.
    """
    count = _followed if ask.component == components.FOLLOWED_USERS else _spread
    total: Counter[str] = Counter()
    for sessions in _slices(keys, ask.statuses, store, share):
        total.update(count(sessions, ask))
    return {name: total[name] for name in ask.component.figures} if total["users"] else None


def _spread(sessions: _Sessions, _: Ask) -> dict[str, int]:
    """Return the figures of user_sessions.sql."""
    each = np.diff(sessions.first, append=len(sessions.began))
    events = np.add.reduceat(sessions.event.astype(np.int64), sessions.first)
    return {
        "users": len(each),
        "sessions": len(sessions.began),
        "events": int(events.sum()),
        "affected": int(np.count_nonzero(events)),
        "sessions_squared": int(each @ each),
        "events_squared": int(events @ events),
        "products": int(each @ events),
    }


def _followed(sessions: _Sessions, ask: Ask) -> dict[str, int]:
    """Return the figures of followed_users.sql."""
    if ask.follow_up is None:
        return {}
    until = sessions.began[sessions.first] + ask.follow_up * 10**6
    events = np.where(sessions.event, sessions.began, _NEVER)
    followed = until <= epoch(ask.window.end) * 10**6
    affected = followed & (np.minimum.reduceat(events, sessions.first) < until)
    return {"users": int(followed.sum()), "affected": int(affected.sum())}


def _slices(
    keys: Sequence[Kept], statuses: Sequence[str], store: Store, share: int
) -> Iterator[_Sessions]:
    """Yield the sessions of some keys, all at once or in slices by the first bits of members."""
    count = sum(map(store.count, keys)) // 2
    if not count:
        return
    bits = bits_of_slices(count * _BYTES, share)
    shift = np.uint64(64 - bits)
    for this in range(1 << bits):
        parts, events = [], []
        for key in keys:
            for values in store.parts(key, np.uint64):
                rows = values.reshape(-1, 2)
                parts.append(rows[rows[:, 0] >> shift == this] if bits else rows)
                events.append(np.full(len(parts[-1]), STATUSES[key.detail] in statuses))
        rows = np.concatenate(parts)
        if len(rows):
            yield _sessions(rows[:, 0], rows[:, 1].view(np.int64), np.concatenate(events))


def _sessions(members: Array, began: Array, event: Array) -> _Sessions:
    """Join the rows of a session; it has an event if any of them has."""
    order = np.lexsort((began, members))
    members, began, event = members[order], began[order], event[order]
    new_user = np.append(True, members[1:] != members[:-1])
    new = new_user.copy()
    new[1:] |= began[1:] != began[:-1]
    starts = np.flatnonzero(new)
    return _Sessions(
        began[starts], np.logical_or.reduceat(event, starts), np.flatnonzero(new_user[starts])
    )
