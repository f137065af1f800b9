"""The files of a rollup as SQL: ``metric_rows`` for templates, and the count of users.

A row of ``metric_rows`` represents all raw rows of one hour, pair, environment and kind. If
instants matter, there are two: the sum at the time of the first raw row, and 0 at that of the last.
"""

import os
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import NamedTuple

from relhealth.core.windows import DAY, HOUR, Window, epoch
from relhealth.datasets.contract import COLUMNS
from relhealth.datasets.sql import literal, parquet_files
from relhealth.engines import components
from relhealth.engines.components import Component
from relhealth.rollup.day import MILLISECONDS, SECONDS, WHOLE_DAY
from relhealth.rollup.kinds import (
    DURATION,
    ERROR,
    ERROR_SET,
    EXITED,
    KINDS,
    MECHANISMS,
    USER,
    USER_SET,
    USER_STATUSES,
)
from relhealth.rollup.manifest import Day, Manifest

_TYPES = {column.name: column.sql_type for column in COLUMNS}
# The metric and the status of a kind.
_METRICS = f"{[kind.metric for kind in KINDS]}[kind + 1]"
_STATUSES = (
    f"[{', '.join(literal(kind.status) if kind.status else 'NULL' for kind in KINDS)}][kind + 1]"
)
_HOUR_US = HOUR * 10**6
_OF_HOUR = f"hour % {WHOLE_DAY} * {_HOUR_US}::BIGINT"  # groups of all hours get the first hour


class Part(Enum):
    """The rows that a component needs."""

    COUNTERS = "session counters"
    INSTANTS = "times of counters and durations"
    PRESENCE = "whether there is any row"
    DURATIONS = "durations of sessions that exited"
    ERRORS = "sessions with errors"
    REST = "invalid rows"


# The part that each template needs.
PARTS: dict[Component, Part] = {
    components.SESSIONS_BY_GROUP: Part.COUNTERS,
    components.HEALTH_STATS["sessions"]: Part.COUNTERS,
    components.ADOPTION_STAGES: Part.COUNTERS,
    components.SEEN: Part.INSTANTS,
    components.SESSION_BOUNDS: Part.INSTANTS,
    components.HEALTH_DATA: Part.PRESENCE,
    components.ORGANISATIONS: Part.PRESENCE,
    components.PROJECTS: Part.PRESENCE,
    components.DURATIONS_BY_GROUP: Part.DURATIONS,
    components.DURATION_RANKS: Part.DURATIONS,
    components.ERRORED_BY_GROUP: Part.ERRORS,
    components.INVALID_ROWS: Part.REST,
}

# The keys of each component of users, and the condition for its releases.
_RELEASES = "release IS NOT NULL AND ($releases IS NULL OR list_contains($releases, release))"
USERS: dict[Component, tuple[str, str]] = {
    components.HEALTH_STATS["users"]: ("project_id, release", _RELEASES),
    components.USERS_BY_GROUP: (
        """
        CASE WHEN $by_project THEN project_id END AS project_id,
        CASE WHEN $by_release THEN coalesce(release, '') END AS release,
        CASE WHEN $by_environment THEN environment END AS environment
        """,
        "$releases IS NULL OR list_contains($releases, coalesce(release, ''))",
    ),
}
# The condition for the users of each figure.
_STATUS = f"(kind - {USER}) // {len(MECHANISMS)}"
_MECHANISM = f"(kind - {USER}) % {len(MECHANISMS)}"
_COUNTED = {
    "users": "true",
    "count": "true",
    **{status: f"{_STATUS} = {number}" for number, status in enumerate(USER_STATUSES) if status},
    "anr": f"{_MECHANISM} > 0",
    "foreground_anr": f"{_MECHANISM} = {MECHANISMS.index('anr_foreground')}",
}

# Users have dense codes, so a user is one bit in bit strings of 2,048 codes. They are as fast as
# one string per group, and take memory only for codes near those that occur.
_COUNT_USERS = """
WITH hours AS (
    SELECT
        DATE '1970-01-01' + (hour // 24)::INTEGER AS day,
        hour * 3600 // $interval::BIGINT * $interval::BIGINT AS bucket,
        bit_or((1 << (hour % 24))::INTEGER) AS mask
    FROM range($first_hour, $end_hour) AS hours (hour)
    GROUP BY ALL
),
keyed AS (
    SELECT pair, number, {keys}
    FROM {names}
    WHERE
        ($projects IS NULL OR list_contains($projects, project_id))
        AND ($environments IS NULL OR list_contains($environments, environment))
        AND ({releases})
),
asked AS (
    SELECT *, dense_rank() OVER (ORDER BY {grouped}) AS key
    FROM keyed
    WHERE {condition}
),
blocks AS (
    SELECT key, bucket, code >> 11 AS block, {strings}
    FROM {users} AS users
    INNER JOIN hours ON users.day = hours.day AND users.hours & hours.mask <> 0
    INNER JOIN asked ON users.pair = asked.pair AND users.environment = asked.number
    GROUP BY ALL
)
SELECT {shown}, {counts}
FROM blocks
INNER JOIN (SELECT DISTINCT key, {grouped} FROM asked) AS asked USING (key)
GROUP BY {shown}
"""


class Relation(NamedTuple):
    """A statement, and the files that it reads, relative to the rollup."""

    sql: str
    files: tuple[str, ...]


class Relations:
    """The relations of one rollup, of one organisation or all."""

    def __init__(self, manifest: Manifest, folder: str, org: int | None) -> None:
        """Read nothing."""
        self._manifest = manifest
        self._folder = folder
        self._org = "true" if org is None else f"org_id = {org:d}"

    def days(self, window: Window) -> list[Day]:
        """Return the days in a window; rows without a timestamp are in every window."""
        first, last = epoch(window.start) // DAY, -(-epoch(window.end) // DAY)
        return [day for day in self._manifest.days if day is None or first <= day < last]

    def metric_rows(self, part: Part, window: Window) -> Relation:
        """Return the statement that makes ``metric_rows`` a view of a part."""
        days = self.days(window)
        read = _Branches(self._manifest, self._folder)
        match part:
            case Part.COUNTERS:
                read.add("groups", days, where=f"kind < {EXITED}", value="n")
            case Part.INSTANTS:
                for instant, value in (("first", "n"), ("last", "0")):
                    us = f"{_OF_HOUR} + {instant}"
                    read.add("groups", days, where=f"kind < {ERROR}", us=us, value=value)
            case Part.PRESENCE:
                cut = self._cut(days, window)
                whole = [day for day in days if day not in cut]
                read.add("groups", whole, value="0", member="0")
                read.add("groups", cut, where=f"kind < {USER}", value="0", member="0")
                read.seen_users(cut)
                read.rest(days, self._org)
            case Part.DURATIONS:
                read.durations(days)
            case Part.ERRORS:
                read.add("errors", days, metric=literal(ERROR_SET), member="member")
            case Part.REST:
                read.rest(days, self._org)
        return read.metric_rows(self._names())

    def users(self, component: Component, window: Window, condition: str | None) -> Relation:
        """Return the statement that counts users, of all keys or those that meet a condition."""
        keys, releases = USERS[component]
        read = _Branches(self._manifest, self._folder)
        users = read.source("users", self.days(window))
        if users is None:
            return Relation("", ())
        figures = [name for name in component.figures if name in _COUNTED]
        grouped = [name for name in component.keys if name != "bucket"]
        strings = (
            f"bitstring_agg(code & 2047, 0, 2047) FILTER ({_COUNTED[name]}) AS {name}"
            for name in figures
        )
        counts = (f"coalesce(sum(bit_count({name})), 0)::BIGINT AS {name}" for name in figures)
        sql = _COUNT_USERS.format(
            keys=keys,
            names=self._names(),
            releases=releases,
            grouped=", ".join(grouped),
            condition=condition or "true",
            users=users,
            strings=", ".join(strings),
            shown=", ".join(component.keys),
            counts=", ".join(counts),
        )
        return Relation(sql, (self._manifest.pairs, *read.files))

    @staticmethod
    def _cut(days: Iterable[Day], window: Window) -> list[Day]:
        """Return the days that are only partly in a window."""
        first, last = -(-epoch(window.start) // DAY), epoch(window.end) // DAY
        return [day for day in days if day is not None and not first <= day < last]

    def _names(self) -> str:
        """Return a relation of all pairs with all environments."""
        environments = ", ".join(
            f"({number}, {literal(name)})"
            for number, name in enumerate(self._manifest.environments)
        )
        pairs = read_parquet(self._folder, [self._manifest.pairs])
        return (
            f"(SELECT * FROM {pairs}"
            f" CROSS JOIN (VALUES {environments}) AS environments (number, environment)"
            f" WHERE {self._org}) AS names"
        )


class _Branches:
    """The branches of ``metric_rows``, and their files."""

    def __init__(self, manifest: Manifest, folder: str) -> None:
        self._manifest = manifest
        self._folder = folder
        self._counted: list[str] = []
        self._selects = [f"SELECT {_columns({})} WHERE false"]
        self.files: list[str] = []

    def source(self, name: str, days: Iterable[Day]) -> str | None:
        """Return the files of a name as a relation; None if there are none."""
        found = [self._manifest.days[day] for day in days]
        files = sorted(one.path(name) for one in found if f"{name}.parquet" in one.files)
        self.files += files
        return read_parquet(self._folder, files) if files else None

    def durations(self, days: Iterable[Day]) -> None:
        """Add the durations of sessions that exited, one row each."""
        for unit, value in (
            (SECONDS, "seconds"),
            (MILLISECONDS, "milliseconds / 1000::DOUBLE"),
        ):
            of_unit = [day for day in days if self._manifest.days[day].unit == unit]
            metric = literal(DURATION)
            self.add("durations", of_unit, metric=metric, status="'exited'", value=value)

    def seen_users(self, days: Iterable[Day]) -> None:
        """Add the hours with users, by pair and environment."""
        self.add(
            "users",
            days,
            rows="(SELECT *, unnest(list_filter(range(24), lambda h: hours >> h & 1 = 1)) AS hour"
            " FROM (SELECT day, pair, environment, bit_or(hours) AS hours"
            " FROM {} GROUP BY ALL)) AS seen",
            metric=literal(USER_SET),
            status="NULL",
            member="0",
        )

    def rest(self, days: Iterable[Day], where: str) -> None:
        """Add the invalid rows."""
        source = self.source("rest", days)
        if source is not None:
            own = _columns({name: f'"{name}"' for name in _TYPES})
            self._selects.append(f"SELECT {own} FROM {source} WHERE {where}")

    def add(  # noqa: PLR0913 - a branch is many columns
        self,
        name: str,
        days: Iterable[Day],
        *,
        rows: str = "{}",
        where: str = "true",
        us: str = _OF_HOUR,
        metric: str = _METRICS,
        status: str = _STATUSES,
        value: str = "NULL",
        member: str = "NULL",
    ) -> None:
        """Add the rows of files as a branch."""
        source = self.source(name, days)
        if source is not None:
            self._counted.append(
                f"SELECT day, pair, environment AS number, {us} AS us, {metric} AS metric,"
                f" {status} AS session_status, {value}::DOUBLE AS value,"
                f" {member}::UBIGINT AS member FROM {rows.replace('{}', source)} WHERE {where}"
            )

    def metric_rows(self, names: str) -> Relation:
        """Return the statement that makes ``metric_rows`` a view of the branches."""
        if self._counted:
            shown = {name: name for name in _TYPES if name != "abnormal_mechanism"}
            shown["timestamp"] = (
                f"make_timestamptz((day - DATE '1970-01-01') * {24 * _HOUR_US} + us)"
            )
            self._selects.append(
                f"SELECT {_columns(shown)}\nFROM ({' UNION ALL '.join(self._counted)}) AS found\n"
                f"INNER JOIN {names} USING (pair, number)"
            )
            self.files.append(self._manifest.pairs)
        view = "\nUNION ALL\n".join(self._selects)
        return Relation(
            f"CREATE OR REPLACE TEMP VIEW metric_rows AS\n{view}", tuple(dict.fromkeys(self.files))
        )


def read_parquet(folder: str, files: Iterable[str]) -> str:
    """Return a relation of files."""
    paths = parquet_files(os.path.join(folder, name) for name in files)
    return f"read_parquet({paths}, hive_partitioning = false)"


def _columns(values: Mapping[str, str]) -> str:
    """Return the contract's columns as SQL; those without a value are null."""
    return ", ".join(
        f'({values.get(name, "NULL")})::{kind} AS "{name}"' for name, kind in _TYPES.items()
    )
