"""Sessions, users and durations counted by group: by project, release, environment, bucket."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from relhealth.core.scope import Scope
from relhealth.engines import components
from relhealth.engines.interface import Ask
from relhealth.machine.database import Row
from relhealth.questions import figures
from relhealth.questions.asking import Asking


@dataclass(frozen=True, slots=True)
class Counts:
    """The counts of one group: sessions and users by status, durations in seconds."""

    sessions: int = 0
    crashed: int = 0
    abnormal: int = 0
    unhandled: int = 0
    errored_preaggr: int = 0
    errored_set: int = 0
    users: int = 0
    users_crashed: int = 0
    users_abnormal: int = 0
    users_unhandled: int = 0
    users_with_errors: int = 0
    users_anr: int = 0
    users_foreground_anr: int = 0
    durations: Mapping[str, float] | None = None

    @property
    def errored(self) -> int:
        """Sessions with handled errors only."""
        return figures.errored_sessions(
            self.errored_set, self.errored_preaggr, self.crashed, self.unhandled, self.abnormal
        )

    @property
    def healthy(self) -> int:
        """Sessions without any error."""
        return figures.healthy_sessions(self.sessions, self.errored_set, self.errored_preaggr)

    @property
    def users_errored(self) -> int:
        """Users with handled errors only."""
        others = self.users_crashed + self.users_unhandled + self.users_abnormal
        return max(0, self.users_with_errors - others)

    @property
    def users_healthy(self) -> int:
        """Users without any error."""
        return max(0, self.users - self.users_with_errors)

    @property
    def crash_free_sessions(self) -> float | None:
        """Percent of sessions that did not crash."""
        return figures.crash_free(self.crashed, self.sessions)

    @property
    def crash_free_users(self) -> float | None:
        """Percent of users without a crash."""
        return figures.crash_free(self.users_crashed, self.users)

    def duration(self, name: str) -> float | None:
        """Return a figure of the durations, in seconds."""
        return None if self.durations is None else self.durations[name]


@dataclass(frozen=True, slots=True)
class Group:
    """The keys of a group; ``None`` for what it is not grouped by. Buckets are in epoch seconds.

    ``''`` means no release, or no environment.
    """

    project_id: int | None = None
    release: str | None = None
    environment: str | None = None
    bucket: int | None = None


# The components by group, and the fields of ``Counts`` for their columns.
_COUNTED = {
    "sessions": (
        components.SESSIONS_BY_GROUP,
        {
            name: name
            for name in ("sessions", "crashed", "abnormal", "unhandled", "errored_preaggr")
        },
    ),
    "errored": (components.ERRORED_BY_GROUP, {"errored": "errored_set"}),
    "users": (
        components.USERS_BY_GROUP,
        {
            "users": "users",
            "crashed": "users_crashed",
            "abnormal": "users_abnormal",
            "unhandled": "users_unhandled",
            "errored": "users_with_errors",
            "anr": "users_anr",
            "foreground_anr": "users_foreground_anr",
        },
    ),
}
_PERCENTILES = ("p50", "p75", "p90", "p95", "p99")


class Counting(NamedTuple):
    """What to count by group, over the summary window of a scope.

    ``needed`` has ``sessions``, ``errored``, ``users`` or ``durations``.
    """

    scope: Scope
    needed: Collection[str]
    group_by: Collection[str] = ()
    interval: int | None = None

    def asks(self) -> list[Ask]:
        """Return the asks."""
        some = [component for name, (component, _) in _COUNTED.items() if name in self.needed]
        if "durations" in self.needed:
            some.append(components.DURATIONS_BY_GROUP)
        by = frozenset(self.group_by)
        return [Ask(component, self.scope, by, self.interval) for component in some]

    def of(self, answers: Iterator[Sequence[Row]]) -> dict[Group, Counts]:
        """Return the counts of each group from the answers to ``asks``; empty groups are absent."""
        fields: dict[Group, dict[str, Any]] = {}
        for ask in self.asks():
            for row in next(answers):
                group = Group(row["project_id"], row["release"], row["environment"], row["bucket"])
                fields.setdefault(group, {}).update(_fields(ask.component, row))
        return {group: Counts(**found) for group, found in fields.items()}


def _fields(component: components.Component, row: Row) -> dict[str, Any]:
    """Return the figures of a row, by their names in ``Counts``."""
    for known, columns in _COUNTED.values():
        if known == component:
            return {field: row[column] for column, field in columns.items()}
    percentiles = dict(zip(_PERCENTILES, row["percentiles"], strict=True))
    return {"durations": {"mean": row["mean"], "longest": row["longest"], **percentiles}}


def counted(asking: Asking, *countings: Counting) -> list[dict[Group, Counts]]:
    """Return the counts of each counting; engines answer them together."""
    answers = iter(asking.answer([ask for one in countings for ask in one.asks()]))
    return [one.of(answers) for one in countings]


def counted_and_checked(
    asking: Asking, scope: Scope, *countings: Counting
) -> tuple[list[dict[Group, Counts]], dict[str, int]]:
    """Return the counts of each counting, and check a scope like ``Asking.checked``."""
    rows, invalid = asking.checked([ask for one in countings for ask in one.asks()], scope)
    answers = iter(rows)
    return [one.of(answers) for one in countings], invalid
