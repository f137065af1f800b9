"""The answer of an overview: one row per release, with the scope of the question."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from relhealth.core.dimensions import ENVIRONMENT, check_dimension
from relhealth.core.errors import QuestionError
from relhealth.core.nearest import hint
from relhealth.core.scope import ProjectRelease, Scope, Stat, check_limit
from relhealth.core.units import Unit
from relhealth.core.versions import release_key

if TYPE_CHECKING:
    import pyarrow as pa

Points = tuple[tuple[int, int], ...]  # (bucket start in epoch seconds, count)
Key: TypeAlias = tuple[Any, ...]  # (project_id, release), or with the value of a dimension
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class ReleaseOverview:
    """One release of one project; names as in Sentry's overview.

    Shares and rates are percent (0 to 100, unrounded), durations are seconds. ``None`` means that
    there is no such figure: no sessions, no users, a total of 0.
    """

    project_id: int
    release: str
    adoption: float | None
    sessions_adoption: float | None
    total_users_24h: int | None
    total_project_users_24h: int | None
    total_sessions_24h: int | None
    total_project_sessions_24h: int | None
    total_sessions: int | None
    total_users: int | None
    has_health_data: bool
    sessions_crashed: int
    sessions_abnormal: int
    sessions_unhandled: int
    sessions_errored: int
    sessions_healthy: int
    users_crashed: int
    users_unhandled: int
    crash_free_sessions: float | None
    crash_free_users: float | None
    unhandled_session_rate: float | None
    unhandled_user_rate: float | None
    duration_p50: float | None
    duration_p90: float | None
    stats: Mapping[str, Points] | None  # period: series; None if none was asked for

    @property
    def by(self) -> tuple[str, str | None] | None:
        """The dimension of the row, and its value; ``None`` for a row of all values."""
        return None

    @property
    def key(self) -> Key:
        """What identifies the row: its project, its release, and its value of a dimension."""
        return self.project_id, self.release, *((self.by[1],) if self.by is not None else ())

    def to_dict(self) -> dict[str, Any]:
        """Return the row as plain values, series as lists of ``[epoch seconds, count]``.

        The value of a dimension is beside the figures, by its name.
        """
        row = _with({name: getattr(self, name) for name in UNITS}, self.by)
        if self.stats is not None:
            row["stats"] = {
                period: [list(point) for point in points] for period, points in self.stats.items()
            }
        return row


@dataclass(frozen=True, slots=True)
class ValueOverview(ReleaseOverview):
    """One release and one value of a dimension.

    The value ``''`` means none; ``None`` means that no session of the window has one, and the
    figures are of all rows.
    """

    dimension: str
    value: str | None

    @classmethod
    def of(cls, row: ReleaseOverview, dimension: str, value: str | None) -> "ValueOverview":
        """Return a row as that of a value."""
        figures = {name: getattr(row, name) for name in UNITS}
        return cls(**figures, dimension=dimension, value=value)

    @property
    def by(self) -> tuple[str, str | None]:
        """The dimension of the row, and its value."""
        return self.dimension, self.value


# The unit of each figure, in the order of machine formats.
UNITS = {
    "project_id": Unit.PROJECT,
    "release": Unit.RELEASE,
    "adoption": Unit.SHARE,
    "sessions_adoption": Unit.PERCENT,
    "total_users_24h": Unit.COUNT,
    "total_project_users_24h": Unit.COUNT,
    "total_sessions_24h": Unit.COUNT,
    "total_project_sessions_24h": Unit.COUNT,
    "total_sessions": Unit.COUNT,
    "total_users": Unit.COUNT,
    "has_health_data": Unit.FLAG,
    "sessions_crashed": Unit.COUNT,
    "sessions_abnormal": Unit.COUNT,
    "sessions_unhandled": Unit.COUNT,
    "sessions_errored": Unit.COUNT,
    "sessions_healthy": Unit.COUNT,
    "users_crashed": Unit.COUNT,
    "users_unhandled": Unit.COUNT,
    "crash_free_sessions": Unit.CRASH_FREE,
    "crash_free_users": Unit.CRASH_FREE,
    "unhandled_session_rate": Unit.PERCENT,
    "unhandled_user_rate": Unit.PERCENT,
    "duration_p50": Unit.SECONDS,
    "duration_p90": Unit.SECONDS,
    "stats": Unit.SERIES,
}


def _with(columns: Mapping[str, _Value], by: tuple[str, _Value] | None) -> dict[str, _Value]:
    """Return columns with that of a dimension behind the one of the release."""
    found: dict[str, _Value] = {}
    for name, value in columns.items():
        found[name] = value
        if name == "release" and by is not None:
            found[by[0]] = by[1]
    return found


def check_by(by: str | None) -> str | None:
    """Return the dimension of an overview; raise ``QuestionError`` for another name."""
    if by is None or by == ENVIRONMENT:
        return by
    name = check_dimension("--by", by)
    if name in UNITS or name in {"bucket", "count", "by", "status", "adoption_stage"}:
        raise QuestionError(f"--by {name}: the answer has a column of that name; rename the column")
    return name


@dataclass(frozen=True)
class Overview(Mapping[Key, ReleaseOverview]):
    """The answer of an overview: a mapping from ``(project_id, release)`` to its row.

    With a dimension (``by``), the keys are ``(project_id, release, value)``.
    Rows with most sessions come first. ``scope`` has the filters and windows of the question.
    ``invalid_rows`` counts invalid rows by reason. ``empty_files`` names files without rows.
    ``stages`` has the adoption stage of each release, if these were asked for.
    """

    rows: tuple[ReleaseOverview, ...]
    scope: Scope
    period: str
    stat: Stat
    files: int
    empty_files: tuple[str, ...]
    invalid_rows: Mapping[str, int]
    newest: datetime | None = None  # the newest session metric, if no row has a session
    left_out: int = 0  # rows beyond a limit
    stages: Mapping[ProjectRelease, str] | None = None
    by: str | None = None  # the dimension of the rows

    @property
    def units(self) -> dict[str, Unit]:
        """The unit of each figure, in the order of machine formats."""
        return _with(UNITS, None if self.by is None else (self.by, Unit.TEXT))

    def __getitem__(self, key: Key) -> ReleaseOverview:
        """Return the row of a ``(project_id, release)`` pair, or of one with a value."""
        return self._by_key[key]

    @cached_property
    def _by_key(self) -> dict[Key, ReleaseOverview]:
        return {row.key: row for row in self.rows}

    def __iter__(self) -> Iterator[Key]:
        """Iterate over the keys, in the order of the rows."""
        return iter(self._by_key)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def to_arrow(self) -> "pa.Table":
        """Return the rows as an Arrow table, with the types of ``-f parquet``."""
        from relhealth.questions.arrow import to_arrow

        return to_arrow(self.units, [row.to_dict() for row in self.rows])

    def ordered(
        self, by: str = "total_sessions", *, reverse: bool = False, limit: int | None = None
    ) -> "Overview":
        """Return the answer with its rows in another order, and only the first ``limit`` if given.

        ``by`` is any figure of a row, or ``release``; ``sessions`` and ``users`` mean the totals.
        The largest figures come first, but the worst crash-free rates; releases are in version
        order. Rows without the figure come last. Ties are in order of project and release. Raises
        ``QuestionError`` for another word or a limit below 1.
        """
        rows = _ordered(self.rows, check_order(by, limit), reverse=reverse)
        left_out = len(rows) - len(rows[:limit])
        return replace(self, rows=tuple(rows[:limit]), left_out=self.left_out + left_out)


SORT_ALIASES = {"sessions": "total_sessions", "users": "total_users"}
SORT_KEYS = tuple(name for name, unit in UNITS.items() if unit not in {Unit.PROJECT, Unit.SERIES})
_WORST_IS_LEAST = {"crash_free_sessions", "crash_free_users"}


def check_order(by: str, limit: int | None = None) -> str:
    """Return the figure that ``by`` means; raise ``QuestionError`` for other words."""
    figure = SORT_ALIASES.get(by, by) if isinstance(by, str) else by
    if figure not in SORT_KEYS:
        known = ", ".join([*SORT_ALIASES, *SORT_KEYS])
        near = hint(by, [*SORT_ALIASES, *SORT_KEYS]) if isinstance(by, str) else ""
        raise QuestionError(f"cannot sort by {by!r}: expected one of {known}{near}")
    check_limit(limit)
    return figure


def _ordered(
    rows: Iterable[ReleaseOverview], by: str, *, reverse: bool = False
) -> list[ReleaseOverview]:
    # Python's sort is stable, so the tie-break is sorted first.
    in_order = sorted(
        rows,
        key=lambda row: (row.project_id, release_key(row.release), row.by and (row.by[1] or "")),
    )
    if by == "release":
        return sorted(in_order, key=lambda row: release_key(row.release), reverse=reverse)
    present = [row for row in in_order if getattr(row, by) is not None]
    absent = [row for row in in_order if getattr(row, by) is None]
    most_first = (by not in _WORST_IS_LEAST) != reverse
    return sorted(present, key=lambda row: getattr(row, by), reverse=most_first) + absent
