"""The overview: Sentry's ``get_release_health_data_overview``."""

from collections.abc import Sequence
from datetime import datetime

from relhealth.core.scope import Asked, Stat
from relhealth.questions.adoption_stages import release_stages, stages_ask, stages_scope
from relhealth.questions.asking import Asking
from relhealth.questions.overview import Overview
from relhealth.questions.selection import Selection


def overview(
    asking: Asking,
    now: datetime,
    asked: Sequence[Asked] | None,
    selected: Selection,
    stat: Stat,
    stats_period: str | None,
    *,
    staged: bool = False,
) -> Overview:
    """Return a row for each release that was asked for, or (``None``) that has sessions.

    ``staged`` asks for the adoption stages too, which are of 90 days.
    """
    scope = selected.scope(now, stats_period=stats_period)
    if asked is not None:
        scope = scope.narrowed_to(asking.pairs(asked, scope))
    asks = asking.asks(scope, stat=stat)
    of_stages = stages_scope(scope)
    further = [stages_ask(of_stages, by_environment=False)] if staged else []
    rows, invalid = asking.checked([*asks, *further], scope)
    figures = asking.figures_of(asks, rows[: len(asks)])
    nothing = not any(row.total_sessions for row in figures.rows)
    return Overview(
        rows=figures.rows,
        scope=scope,
        period=selected.period,
        stat=stat,
        files=asking.sources.total,
        empty_files=asking.sources.empty,
        invalid_rows=invalid,
        newest=asking.newest_known() if nothing else None,
        stages={
            (one.project_id, one.release): one.adoption_stage
            for one in release_stages(rows[-1], of_stages)
        }
        if staged
        else None,
    ).ordered()
