"""The overview: Sentry's ``get_release_health_data_overview``."""

from collections.abc import Sequence
from datetime import datetime

from relhealth.core.dimensions import ENVIRONMENT
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
    by: str | None = None,
) -> Overview:
    """Return a row for each release that was asked for, or (``None``) that has sessions.

    With ``by``, return a row for each release and value of this dimension.
    """
    scope = selected.scope(now, stats_period=stats_period, where=asking.where)
    if by is not None and by != ENVIRONMENT:
        asking.check_columns("--by", [by])
    if asked is not None:
        scope = scope.narrowed_to(asking.pairs(asked, scope))
    if by is not None:
        from relhealth.questions.overview_by import rows_by

        rows, invalid = rows_by(asking, scope, stat, by)
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
        by=by,
    ).ordered()
