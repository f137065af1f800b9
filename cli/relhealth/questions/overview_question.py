"""The overview: Sentry's ``get_release_health_data_overview``."""

from collections.abc import Sequence
from datetime import datetime

from relhealth.core.dimensions import ENVIRONMENT
from relhealth.core.scope import Asked, ProjectRelease, Scope, Stat
from relhealth.questions.asking import Asking, Figures
from relhealth.questions.overview import Overview
from relhealth.questions.selection import Selection


def overview(  # noqa: PLR0913 - the parts of the question
    asking: Asking,
    now: datetime,
    asked: Sequence[Asked] | None,
    selected: Selection,
    stat: Stat,
    stats_period: str | None,
    by: str | None = None,
    *,
    staged: bool = False,
) -> Overview:
    """Return a row for each release that was asked for, or (``None``) that has sessions.

    With ``by``, return a row for each release and value of this dimension. ``staged`` asks for the
    adoption stages too, which are of 90 days.
    """
    scope = selected.scope(now, stats_period=stats_period, where=asking.where)
    if by is not None and by != ENVIRONMENT:
        asking.check_columns("--by", [by], (ENVIRONMENT,))
    if asked is not None:
        scope = scope.narrowed_to(asking.pairs(asked, scope))
    stages = None
    if by is not None:
        from relhealth.questions.overview_by import rows_by

        rows, invalid = rows_by(asking, scope, stat, by)
    elif staged:
        figures, invalid, stages = _with_stages(asking, scope, stat)
        rows = figures.rows
    else:
        figures, invalid = asking.checked_figures(scope, stat=stat)
        rows = figures.rows
    nothing = not any(row.total_sessions for row in rows)
    return Overview(
        rows=rows,
        scope=scope,
        period=selected.period,
        stat=stat,
        files=asking.sources.total,
        empty_files=asking.sources.empty,
        invalid_rows=invalid,
        newest=asking.newest_known() if nothing else None,
        stages=stages,
        by=by,
    ).ordered()


def _with_stages(
    asking: Asking, scope: Scope, stat: Stat
) -> tuple[Figures, dict[str, int], dict[ProjectRelease, str]]:
    """Return the figures, the invalid rows by reason, and the adoption stages, from one pass."""
    from relhealth.questions.adoption_stages import release_stages, stages_ask, stages_scope

    asks, over = asking.asks(scope, stat=stat), stages_scope(scope)
    (*rows, found), invalid = asking.checked([*asks, stages_ask(over, by_environment=False)], scope)
    stages = {
        (one.project_id, one.release): str(one.adoption_stage)
        for one in release_stages(found, over)
    }
    return asking.figures_of(asks, rows), invalid, stages
