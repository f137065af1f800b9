"""The rollup as ``metric_rows``: SQL by which any template is asked of it.

A row stands for as many as have the same hour, name, environment and kind. A counter's value is a
sum; a user's member is a code, since only distinctness matters; timestamps are the starts of hours,
so that templates that tell instants are not asked of it. Rows that cannot count are as they were.
"""

import os
from collections.abc import Collection, Sequence
from typing import NamedTuple

from relhealth.datasets.contract import COLUMNS
from relhealth.datasets.sql import literal, parquet_files
from relhealth.rollup.day import SECONDS, WHOLE_DAY
from relhealth.rollup.kinds import (
    COUNTER_STATUSES,
    DURATION,
    ERROR_SET,
    EXITED,
    MECHANISMS,
    OTHER_DURATION,
    SESSION,
    USER,
    USER_SET,
    USER_STATUSES,
)
from relhealth.rollup.manifest import Day, Manifest

_HOURS_OF_USER = f"unnest(list_filter(range({WHOLE_DAY}), lambda h: hours >> h & 1 = 1))"
_TYPES = {column.name: column.sql_type for column in COLUMNS}


# The templates that give the same rows of this view as of the raw files. Some of them are answered
# from arrays, faster, where there are no sub-questions (see ``answer``).
VIEWED = frozenset(
    {
        "adoption",
        "adoption_stages",
        "duration_ranks",
        "durations",
        "durations_by_group",
        "errored_by_group",
        "errored_sessions",
        "health_data",
        "health_stats_sessions",
        "health_stats_users",
        "invalid_rows",
        "organisations",
        "projects",
        "sessions_by_group",
        "sessions_by_status",
        "users_by_group",
        "users_by_status",
    }
)


class View(NamedTuple):
    """What of a rollup ``metric_rows`` is made of.

    In days of ``whole`` a user is told once: fewer rows, where hours do not matter. ``rest`` is
    for just the rows that cannot count.
    """

    days: tuple[Day, ...]
    whole: tuple[Day, ...] = ()
    rest: bool = False


def view_sql(manifest: Manifest, folder: str, view: View, org: int | None) -> str:
    """Return SQL that makes ``metric_rows`` a view, of one organisation or all."""
    branches = _Branches(manifest, folder, view.days, org)
    selects = branches.rest() or [_no_rows()]
    if not view.rest:
        parted = [day for day in view.days if day not in view.whole]
        selects += [*branches.counters(), *branches.durations(), *branches.errors()]
        selects += [
            branches.users(parted, hour=_HOURS_OF_USER),
            branches.users(view.whole, hour="0"),
        ]
    return "CREATE OR REPLACE TEMP VIEW metric_rows AS\n" + "\nUNION ALL\n".join(selects)


def files_of(manifest: Manifest, view: View) -> list[str]:
    """Return the files of the rollup that a view reads, below its folder."""
    days = [manifest.days[day] for day in view.days if day in manifest.days]
    wanted = {"rest.parquet"} if view.rest else None
    return [
        manifest.pairs,
        *(
            f"{one.folder}/{name}"
            for one in days
            for name in one.files
            if wanted is None or name in wanted
        ),
    ]


class _Branches:
    """The branches of the view."""

    def __init__(
        self, manifest: Manifest, folder: str, days: Collection[Day], org: int | None
    ) -> None:
        self._manifest = manifest
        self._folder = folder
        self._days = days
        self._org = org

    def counters(self) -> list[str]:
        """Session counters, and that there was a duration of a session that did not exit."""
        files = self._files("groups", self._days)
        return [
            self._select(
                files,
                metric=literal(SESSION),
                session_status=f"{_words(COUNTER_STATUSES)}[kind + 1]",
                value="n",
                where=f"kind < {EXITED}",
            ),
            self._select(
                files, metric=literal(DURATION), value="0", where=f"kind = {OTHER_DURATION}"
            ),
        ]

    def durations(self) -> list[str]:
        """Durations of sessions that exited, one row each."""
        found = []
        for unit, value in ((SECONDS, "seconds"), ("milliseconds", "milliseconds / 1000::DOUBLE")):
            days = [
                day
                for day in self._days
                if day in self._manifest.days and self._manifest.days[day].unit == unit
            ]
            found.append(
                self._select(
                    self._files("durations", days),
                    metric=literal(DURATION),
                    session_status="'exited'",
                    value=value,
                )
            )
        return found

    def errors(self) -> list[str]:
        """Sessions with errors, one row an hour."""
        return [
            self._select(
                self._files("errors", self._days), metric=literal(ERROR_SET), member="member"
            )
        ]

    def users(self, days: Collection[Day], *, hour: str) -> str:
        """Users of some days, one row for each of their hours, or one at the start of the day."""
        return self._select(
            self._files("users", days),
            metric=literal(USER_SET),
            hour=hour,
            session_status=f"{_words(USER_STATUSES)}[(kind - {USER}) // {len(MECHANISMS)} + 1]",
            abnormal_mechanism=f"{_words(MECHANISMS)}[(kind - {USER}) % {len(MECHANISMS)} + 1]",
            member="code",
        )

    def rest(self) -> list[str]:
        """Rows that cannot count, as they were."""
        files = self._files("rest", self._days)
        names = ", ".join(f'"{name}"' for name in _TYPES)
        where = "" if self._org is None else f"\nWHERE org_id = {self._org:d}"
        return [f"SELECT {names}\nFROM {_read(files)}{where}"] if files else []

    def _files(self, name: str, days: Collection[Day]) -> list[str]:
        known = (self._manifest.days[day] for day in days if day in self._manifest.days)
        file = f"{name}.parquet"
        return sorted(
            os.path.join(self._folder, one.folder, file) for one in known if file in one.files
        )

    def _select(
        self,
        files: Sequence[str],
        *,
        where: str = "true",
        hour: str = "hour",
        **columns: str,
    ) -> str:
        """Return a branch: the contract's columns, those not given being null."""
        if not files:
            return _no_rows()
        shown = {
            "org_id": "org_id",
            "project_id": "project_id",
            "timestamp": "make_timestamp("
            'epoch_us("day"::TIMESTAMP) + found_hour::BIGINT * 3600000000)',
            "release": "release",
            "environment": "environment_name",
            **columns,
        }
        selected = ", ".join(
            f'{shown.get(name, "NULL")}::{kind} AS "{name}"' for name, kind in _TYPES.items()
        )
        pairs = os.path.join(self._folder, self._manifest.pairs)
        org = "" if self._org is None else f" WHERE org_id = {self._org:d}"
        return (
            f"SELECT {selected}\n"
            f"FROM (SELECT *, {hour} AS found_hour FROM {_read(files)} WHERE {where}) AS found\n"
            f"INNER JOIN (SELECT * FROM {_read([pairs])}{org}) AS pairs USING (pair)\n"
            f"INNER JOIN {self._environments()} USING (environment)"
        )

    def _environments(self) -> str:
        names = ", ".join(
            f"({number}, {literal(name)})"
            for number, name in enumerate(self._manifest.environments)
        )
        return f"(VALUES {names}) AS environments (environment, environment_name)"


def _read(files: Sequence[str]) -> str:
    return f"read_parquet({parquet_files(files)}, hive_partitioning = false)"


def _words(words: Sequence[str | None]) -> str:
    listed = ", ".join("NULL" if word is None else literal(word) for word in words)
    return f"([{listed}]::VARCHAR[])"


def _no_rows() -> str:
    columns = ", ".join(f'NULL::{kind} AS "{name}"' for name, kind in _TYPES.items())
    return f"SELECT {columns} WHERE false"
