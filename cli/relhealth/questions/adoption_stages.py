"""Adoption stages: which releases an environment has adopted, and which it has replaced."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

from relhealth.core.scope import Asked, Scope
from relhealth.core.units import Unit
from relhealth.core.versions import release_key
from relhealth.core.windows import Window, from_epoch_us, recent_window
from relhealth.engines import components
from relhealth.engines.interface import Ask
from relhealth.machine.database import Row
from relhealth.questions import figures
from relhealth.questions.asking import Asking
from relhealth.questions.listing import ListedRow, Listing
from relhealth.questions.selection import Selection


class Stage(StrEnum):
    """How far a release has come in an environment; the words are Sentry's."""

    ADOPTED = "adopted"
    LOW_ADOPTION = "low_adoption"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True)
class ReleaseStage(ListedRow):
    """One release in one environment (``''``: none).

    In the last six hours, the release had ``sessions_6h`` of the environment's
    ``environment_sessions_6h``; ``sessions_adoption`` is that share in percent, null if the
    environment had none. With a tenth or more of them the release is ``adopted``. Below, it is
    ``replaced`` if it was adopted in the 90 days before, else ``low_adoption``. ``first_adopted``
    and ``last_adopted`` are the ends of the first and the last six full hours, in these 90 days,
    in which it was adopted.
    """

    UNITS: ClassVar[Mapping[str, Unit]] = {
        "project_id": Unit.PROJECT,
        "release": Unit.RELEASE,
        "environment": Unit.TEXT,
        "adoption_stage": Unit.TEXT,
        "sessions_adoption": Unit.SHARE,
        "sessions_6h": Unit.COUNT,
        "environment_sessions_6h": Unit.COUNT,
        "first_adopted": Unit.INSTANT,
        "last_adopted": Unit.INSTANT,
    }

    project_id: int
    release: str
    environment: str
    adoption_stage: Stage
    sessions_adoption: float | None
    sessions_6h: int
    environment_sessions_6h: int
    first_adopted: datetime | None
    last_adopted: datetime | None


def stages_scope(scope: Scope) -> Scope:
    """Return the scope that decides the stages: the last 90 days, up to the hour."""
    return scope.over(Window(scope.health.start, recent_window(scope.now).end))


def stages_ask(scope: Scope, *, by_environment: bool) -> Ask:
    """Return what to ask for over a ``stages_scope``.

    Without ``by_environment``, all selected environments count as one, ``''``.
    """
    by = frozenset({"environment"}) if by_environment else frozenset[str]()
    return Ask(components.ADOPTION_STAGES, scope, by)


def adoption_stages(
    asking: Asking, now: datetime, asked: Sequence[Asked] | None, selected: Selection
) -> Listing[ReleaseStage]:
    """List the stages of the releases that were asked for, or (``None``) of all."""
    scope = selected.scope(now, where=asking.where)
    if asked is not None:
        scope = scope.narrowed_to(asking.pairs(asked, scope))
    scope = stages_scope(scope)
    (found,), invalid = asking.checked([stages_ask(scope, by_environment=True)], scope)
    return Listing(
        kind=ReleaseStage,
        rows=release_stages(found, scope),
        scope=scope,
        period="6h",
        window=recent_window(now),
        files=asking.sources.total,
        invalid_rows=invalid,
    )


def release_stages(rows: Iterable[Row], scope: Scope) -> tuple[ReleaseStage, ...]:
    """Return the stage of every release, in the order of project, environment and version."""
    stages = [
        ReleaseStage(
            project_id=row["project_id"],
            release=row["release"],
            environment=row["environment"],
            adoption_stage=_stage(row),
            sessions_adoption=figures.rate(row["sessions"], row["environment_sessions"]),
            sessions_6h=row["sessions"],
            environment_sessions_6h=row["environment_sessions"],
            first_adopted=_instant(row["first_adopted"]),
            last_adopted=_instant(row["last_adopted"]),
        )
        for row in rows
        if scope.pairs is None or (row["project_id"], row["release"]) in scope.pairs
    ]
    return tuple(
        sorted(stages, key=lambda one: (one.project_id, one.environment, release_key(one.release)))
    )


def _stage(row: dict[str, Any]) -> Stage:
    if row["sessions"] and row["sessions"] * 10 >= row["environment_sessions"]:
        return Stage.ADOPTED
    return Stage.LOW_ADOPTION if row["last_adopted"] is None else Stage.REPLACED


def _instant(seconds: int | None) -> datetime | None:
    return None if seconds is None else from_epoch_us(seconds * 1_000_000)
