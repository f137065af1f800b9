"""Sessions, users and durations counted by group: by project, release, environment, bucket."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from relhealth.core.scope import Scope
from relhealth.engines import components
from relhealth.questions import figures
from relhealth.questions.asking import Asking


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted of one group: sessions and users by status, durations in seconds."""

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
    """What tells a group apart: None where it is not grouped by; the bucket in epoch seconds.

    ``''`` is no release, or no environment.
    """

    project_id: int | None = None
    release: str | None = None
    environment: str | None = None
    bucket: int | None = None


# The components by group, and what their columns are called in ``Counts``.
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


def counted(
    asking: Asking,
    scope: Scope,
    *,
    needed: Collection[str],
    group_by: Collection[str] = (),
    interval: int | None = None,
) -> dict[Group, Counts]:
    """Count the scope's summary window by group.

    ``needed`` names what is counted: ``sessions``, ``errored``, ``users``, ``durations``.
    Groups without any of them are absent.
    """
    fields: dict[Group, dict[str, Any]] = {}

    def asked(component: components.Component) -> list[tuple[Group, Mapping[str, Any]]]:
        rows = asking.get(component, scope, group_by=group_by, interval=interval)
        return [
            (Group(row["project_id"], row["release"], row["environment"], row["bucket"]), row)
            for row in rows
        ]

    for name, (component, columns) in _COUNTED.items():
        if name in needed:
            for group, row in asked(component):
                found = fields.setdefault(group, {})
                found.update({field: row[column] for column, field in columns.items()})
    if "durations" in needed:
        for group, row in asked(components.DURATIONS_BY_GROUP):
            found = fields.setdefault(group, {})
            found["durations"] = {
                "mean": row["mean"],
                "longest": row["longest"],
                **dict(zip(_PERCENTILES, row["percentiles"], strict=True)),
            }
    return {group: Counts(**found) for group, found in fields.items()}
