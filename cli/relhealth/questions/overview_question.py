"""The overview: Sentry's ``get_release_health_data_overview``."""

from collections.abc import Sequence
from datetime import datetime

from relhealth.core.scope import Asked, Stat
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
) -> Overview:
    """Return a row for each release that was asked for, or (``None``) that has sessions."""
    scope = selected.scope(now, stats_period=stats_period)
    if asked is not None:
        scope = scope.narrowed_to(asking.pairs(asked, scope))
    figures, invalid = asking.checked_figures(scope, stat=stat)
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
    ).ordered()
