"""Adoption stages: which releases an environment has adopted, and which it has replaced."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, NamedTuple

from relhealth.core.errors import QuestionError
from relhealth.core.nearest import hint
from relhealth.core.scope import Asked, Scope, check_limit
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


# The figure of each order; the most or newest come first.
_SORTS = {
    "sessions": "sessions_6h",
    "adoption": "sessions_adoption",
    "first_adopted": "first_adopted",
    "last_adopted": "last_adopted",
}
STAGE_SORTS = (*_SORTS, "release")


class StageOrder(NamedTuple):
    """Which stages to list (``None``: all), in which order, and how many (``None``: all)."""

    stages: frozenset[str] | None = None
    by: str | None = None  # None: by project, environment and version
    reverse: bool = False
    limit: int | None = None

    @classmethod
    def of(
        cls, stages: Iterable[str] | None, by: str | None, limit: int | None, *, reverse: bool
    ) -> "StageOrder":
        """Check an order; raise ``QuestionError`` for an invalid one. ``low`` is short."""
        named = None if stages is None else frozenset(map(_stage_named, stages))
        if by is not None and by not in STAGE_SORTS:
            known = ", ".join(STAGE_SORTS)
            near = hint(str(by), STAGE_SORTS)
            raise QuestionError(f"cannot sort by {by!r}: expected one of {known}{near}")
        check_limit(limit)
        return cls(named, by, reverse, limit)

    def ordered(self, rows: Iterable[ReleaseStage]) -> list[ReleaseStage]:
        """Return the rows of the stages in order: absent figures last."""
        kept = [one for one in rows if self.stages is None or one.adoption_stage in self.stages]
        if self.by is None:
            return kept[::-1] if self.reverse else kept
        if self.by == "release":
            return sorted(kept, key=lambda one: release_key(one.release), reverse=self.reverse)
        name = _SORTS[self.by]
        present = [one for one in kept if getattr(one, name) is not None]
        present.sort(key=lambda one: getattr(one, name), reverse=not self.reverse)
        return present + [one for one in kept if getattr(one, name) is None]


def _stage_named(word: str) -> Stage:
    found = Stage.LOW_ADOPTION if word == "low" else word
    if found not in tuple(Stage):
        near = hint(str(word), ("adopted", "low", "replaced"))
        raise QuestionError(f"stage {word!r}: expected adopted, low or replaced{near}")
    return Stage(found)


def adoption_stages(
    asking: Asking,
    now: datetime,
    asked: Sequence[Asked] | None,
    selected: Selection,
    order: StageOrder = StageOrder(),  # noqa: B008 - it is immutable
) -> Listing[ReleaseStage]:
    """List the stages of the releases that were asked for, or (``None``) of all."""
    scope = selected.scope(now, where=asking.where)
    if asked is not None:
        scope = scope.narrowed_to(asking.pairs(asked, scope))
    scope = stages_scope(scope)
    (found,), invalid = asking.checked([stages_ask(scope, by_environment=True)], scope)
    rows = order.ordered(release_stages(found, scope))
    return Listing(
        kind=ReleaseStage,
        rows=tuple(rows[: order.limit]),
        scope=scope,
        period="6h",
        window=recent_window(now),
        files=asking.sources.total,
        invalid_rows=invalid,
        left_out=len(rows) - len(rows[: order.limit]),
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
