"""The list of releases: the stability and adoption of each, and when it was seen."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, NamedTuple

from relhealth.core.errors import QuestionError
from relhealth.core.nearest import hint
from relhealth.core.scope import ProjectRelease, Scope, check_limit
from relhealth.core.units import Unit
from relhealth.core.versions import release_key
from relhealth.core.windows import from_epoch_us
from relhealth.engines.components import (
    ADOPTION,
    HEALTH_DATA,
    SEEN,
    SESSIONS_BY_STATUS,
    USERS_BY_STATUS,
)
from relhealth.engines.interface import Ask
from relhealth.questions.adoption_stages import (
    Stage,
    release_stages,
    stages_ask,
    stages_scope,
)
from relhealth.questions.asking import Asking
from relhealth.questions.listing import ListedRow, Listing
from relhealth.questions.merge import by_pair
from relhealth.questions.overview import ReleaseOverview
from relhealth.questions.selection import Selection


@dataclass(frozen=True, slots=True)
class ListedRelease(ListedRow):
    """One release of one project, of the last 90 days; figures as in the overview.

    ``adoption_stage`` is that of all selected environments together. ``first_seen`` and
    ``last_seen`` are of its session counters, null without any (``has_health_data`` is false).
    """

    UNITS: ClassVar[Mapping[str, Unit]] = {
        "project_id": Unit.PROJECT,
        "release": Unit.RELEASE,
        "total_sessions": Unit.COUNT,
        "total_users": Unit.COUNT,
        "crash_free_sessions": Unit.CRASH_FREE,
        "crash_free_users": Unit.CRASH_FREE,
        "adoption": Unit.SHARE,
        "adoption_stage": Unit.TEXT,
        "first_seen": Unit.INSTANT,
        "last_seen": Unit.INSTANT,
        "has_health_data": Unit.FLAG,
    }

    project_id: int
    release: str
    total_sessions: int | None
    total_users: int | None
    crash_free_sessions: float | None
    crash_free_users: float | None
    adoption: float | None
    adoption_stage: Stage | None
    first_seen: datetime | None
    last_seen: datetime | None
    has_health_data: bool


_ASKED = (SESSIONS_BY_STATUS, USERS_BY_STATUS, ADOPTION, HEALTH_DATA, SEEN)
# The figure of each order, and whether the most or newest come first.
_MOST_FIRST = {
    "sessions": ("total_sessions", True),
    "users": ("total_users", True),
    "crash_free_sessions": ("crash_free_sessions", False),
    "crash_free_users": ("crash_free_users", False),
    "adoption": ("adoption", True),
    "first_seen": ("first_seen", True),
    "last_seen": ("last_seen", True),
}
RELEASE_SORTS = (*_MOST_FIRST, "release")


class Order(NamedTuple):
    """The order of the rows, and how many of them to list (``None``: all)."""

    by: str
    reverse: bool
    limit: int | None

    @classmethod
    def of(cls, by: str, limit: int | None, *, reverse: bool) -> "Order":
        """Check an order; raise ``QuestionError`` for an invalid one."""
        if by not in RELEASE_SORTS:
            known = ", ".join(RELEASE_SORTS)
            near = hint(str(by), RELEASE_SORTS)
            raise QuestionError(f"cannot sort by {by!r}: expected one of {known}{near}")
        check_limit(limit)
        return cls(by, reverse, limit)


def release_list(
    asking: Asking, now: datetime, selected: Selection, order: Order, since: datetime | None
) -> Listing[ListedRelease]:
    """List every release of the last 90 days, or only those first seen since an instant."""
    scope = selected.scope(now, where=asking.where)
    listed, invalid = _releases(asking, scope, since)
    rows = _sorted(listed, order)
    return Listing(
        kind=ListedRelease,
        rows=rows[: order.limit],
        scope=scope,
        period=selected.period,
        window=scope.summary,
        files=asking.sources.total,
        invalid_rows=invalid,
        left_out=len(rows) - len(rows[: order.limit]),
    )


def _releases(
    asking: Asking, scope: Scope, since: datetime | None
) -> tuple[tuple[ListedRelease, ...], dict[str, int]]:
    """Return the rows of a list, and the number of invalid rows by reason."""
    of_stages = stages_scope(scope)
    asks = [*(Ask(one, scope) for one in _ASKED), stages_ask(of_stages, by_environment=False)]
    rows, invalid = asking.checked(asks, scope)
    found = dict(zip(_ASKED, rows, strict=False))
    known, seen = by_pair(found.pop(HEALTH_DATA)), by_pair(found.pop(SEEN))
    pairs = tuple(
        pair
        for pair in known
        if pair[1] is not None
        and (since is None or (pair in seen and _instant(seen[pair], "first_seen") >= since))
    )
    if not pairs:
        return (), invalid
    stages = {
        (one.project_id, one.release): one.adoption_stage
        for one in release_stages(rows[-1], of_stages)
    }
    listed = asking.merged(found, scope.narrowed_to(pairs), rows[_ASKED.index(HEALTH_DATA)])
    return tuple(
        _listed(row, seen.get((row.project_id, row.release)), stages) for row in listed
    ), invalid


def _listed(row: ReleaseOverview, seen: Any, stages: dict[ProjectRelease, Stage]) -> ListedRelease:
    return ListedRelease(
        project_id=row.project_id,
        release=row.release,
        total_sessions=row.total_sessions,
        total_users=row.total_users,
        crash_free_sessions=row.crash_free_sessions,
        crash_free_users=row.crash_free_users,
        adoption=row.adoption,
        adoption_stage=stages.get((row.project_id, row.release)),
        first_seen=_instant(seen, "first_seen") if seen else None,
        last_seen=_instant(seen, "last_seen") if seen else None,
        has_health_data=row.has_health_data,
    )


def _instant(seen: Any, name: str) -> datetime:
    return from_epoch_us(seen[name])


def _sorted(rows: tuple[ListedRelease, ...], order: Order) -> tuple[ListedRelease, ...]:
    """Return the rows in order: absent figures last, ties by project and version."""
    by, reverse, _ = order
    in_order = sorted(rows, key=lambda row: (row.project_id, release_key(row.release)))
    if by == "release":
        return tuple(sorted(in_order, key=lambda row: release_key(row.release), reverse=reverse))
    name, most_first = _MOST_FIRST[by]
    present = [row for row in in_order if getattr(row, name) is not None]
    absent = [row for row in in_order if getattr(row, name) is None]
    present.sort(key=lambda row: getattr(row, name), reverse=most_first != reverse)
    return (*present, *absent)
