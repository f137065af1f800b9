"""Answers what the gate asks from arrays: what had arrived of a generated world at an instant."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from relhealth.core.scope import Scope
from relhealth.core.windows import epoch
from relhealth.engines import components
from relhealth.engines.interface import Ask
from relhealth.machine.database import Row
from relhealth.questions.asking import Asking
from use_world import Integers, Sessions, World

PROJECT = 1


class Memory:
    """What had arrived of a world by an instant; it answers as the engines do."""

    def __init__(self, world: World, now: int) -> None:
        """Look at a world at an instant, in seconds since the epoch."""
        self._world = world
        self._now = now

    def answer(self, asks: Sequence[Ask]) -> list[list[Row]]:
        """Return the rows of each ask."""
        return [list(self._rows(ask)) for ask in asks]

    def _rows(self, ask: Ask) -> Iterator[Row]:
        if ask.component is components.SESSIONS_BY_GROUP:
            yield from self._by_hour(ask)
            return
        make = _MAKERS[ask.component]
        for release, several in self._selected(ask).items():
            parts = [part for one in several if len((part := self._part(one, ask)).began)]
            if parts:
                rows = [make(part, ask) for part in parts]
                yield {"project_id": PROJECT, "release": release, **_summed(rows)}

    def _selected(self, ask: Ask) -> dict[str, list[Sessions]]:
        scope = ask.scope
        found: dict[str, list[Sessions]] = {}
        for (environment, release), one in self._world.items():
            if scope.releases is not None and release not in scope.releases:
                continue
            if scope.environments is None or environment in scope.environments:
                found.setdefault(release, []).append(one)
        return found

    def _part(self, one: Sessions, ask: Ask) -> Sessions:
        """Return the sessions of the window that had arrived."""
        start, end = epoch(ask.window.start), min(epoch(ask.window.end), self._now)
        first, last = np.searchsorted(one.began, (start, end))
        begins, ends = np.searchsorted(one.crash_began, (start, end))
        crashes = slice(begins, ends)
        arrived = one.arrived[crashes] <= self._now
        return Sessions(
            one.users,
            one.began[first:last],
            one.user[first:last],
            one.crash_began[crashes][arrived],
            one.crash_user[crashes][arrived],
            one.arrived[crashes][arrived],
        )

    def _by_hour(self, ask: Ask) -> Iterator[Row]:
        """Return the sessions by hour, of each selected release or of all together."""
        width, by_release = ask.interval, "release" in ask.group_by
        if ask.group_by - {"release"} != {"project"} or width is None:
            raise LookupError(f"not in memory: {ask}")
        hours: dict[tuple[str | None, int], int] = {}
        for release, several in self._selected(ask).items():
            for one in several:
                began = self._part(one, ask).began
                if len(began):
                    first = int(began[0]) // width
                    for at, n in enumerate(np.bincount(began // width - first).tolist()):
                        key = release if by_release else None, first + at
                        hours[key] = hours.get(key, 0) + n
        for (name, hour), n in hours.items():
            if n:
                row = {"project_id": PROJECT, "release": name}
                yield {**row, "bucket": hour * width, "sessions": n}


class Remembered(Asking):
    """The gate's access to a world as it was at an instant, without files and engines."""

    def __init__(self, world: World, now: int) -> None:
        """Ask nothing yet; ``now`` is in seconds since the epoch."""
        self._memory = Memory(world, now)

    def answer(self, asks: Sequence[Ask]) -> list[list[Row]]:
        """Return the rows of each ask."""
        return self._memory.answer(asks)

    def checked(self, asks: Sequence[Ask], scope: Scope) -> tuple[list[list[Row]], dict[str, int]]:
        """Return the rows of each ask; no generated row is invalid."""
        del scope
        return self.answer(asks), {}


def _counters(part: Sessions, _: Ask) -> Row:
    return {
        "sessions": len(part.began),
        "crashed": len(part.crash_began),
        "abnormal": 0,
        "unhandled": 0,
        "errored_preaggr": 0,
    }


def _seen(part: Sessions, _: Ask) -> Row:
    first, last = int(part.began[0]), int(part.began[-1])
    return {"first_seen": first * 1_000_000, "last_seen": last * 1_000_000}


def _health(_: Sessions, __: Ask) -> Row:
    return {"has_sessions": True}


def _user_sessions(part: Sessions, ask: Ask) -> Row:
    _check_crashes(ask)
    m = np.bincount(part.user)
    y = np.bincount(part.crash_user, minlength=len(m))
    return {
        "users": int((m > 0).sum()),
        "sessions": int(m.sum()),
        "events": int(y.sum()),
        "affected": int((y > 0).sum()),
        "sessions_squared": int(m @ m),
        "events_squared": int(y @ y),
        "products": int(m @ y),
    }


def _followed(part: Sessions, ask: Ask) -> Row:
    _check_crashes(ask)
    length, end = ask.follow_up or 0, epoch(ask.window.end)
    first = np.full(part.users, end)
    first[part.user[::-1]] = part.began[::-1]  # the first of a user is written last
    near = part.crash_began < first[part.crash_user] + length
    users: Integers = np.unique(part.crash_user[near])
    crashed = int((first[users] + length <= end).sum())
    return {"users": int((first + length <= end).sum()), "affected": crashed}


def _check_crashes(ask: Ask) -> None:
    if ask.statuses != ("crashed",):
        raise LookupError(f"not in memory: {ask}")


def _summed(rows: Sequence[Row]) -> Row:
    """Sum the figures of several environments."""
    if len(rows) == 1:
        return rows[0]
    if "first_seen" in rows[0]:
        return {
            "first_seen": min(row["first_seen"] for row in rows),
            "last_seen": max(row["last_seen"] for row in rows),
        }
    return {name: sum(row[name] for row in rows) for name in rows[0]}


_MAKERS: Mapping[components.Component, Callable[[Sessions, Ask], Row]] = {
    components.SESSIONS_BY_STATUS: _counters,
    components.SEEN: _seen,
    components.HEALTH_DATA: _health,
    components.USER_SESSIONS: _user_sessions,
    components.FOLLOWED_USERS: _followed,
}
