"""Rows of components from their portable templates, for databases without exact percentiles.

Those templates return the sessions at the two ranks next to a percentile, and sums of integers. The
last steps, which have to be those of DuckDB to the bit, are here.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from relhealth.core.measures import between, mean_of
from relhealth.engines.components import (
    DURATION_RANKS,
    DURATIONS,
    DURATIONS_BY_GROUP,
    Component,
)
from relhealth.engines.interface import Ask
from relhealth.machine.database import Row

_P50_P90 = (0.5, 0.9)
_PERCENTILES = (0.5, 0.75, 0.9, 0.95, 0.99)
_UNITS = (70, 50, 25, 0)  # of the parts of a sum of durations: powers of 2, in 2^-50 s
_MOST_SUMMED = float(1 << 40)  # seconds; longer durations have no parts


def template_of(component: Component) -> str:
    """Return the name of the template that any database can run."""
    return component.portable or component.name


def rows_of(ask: Ask, found: Sequence[Row]) -> list[Row]:
    """Return the rows of an ask from those of its portable template."""
    if ask.component.portable is None:
        return list(found)
    return _MADE[ask.component](ask, found)


def _durations(_: Ask, found: Sequence[Row]) -> list[Row]:
    rows = []
    for row in found:
        p50, p90 = between(row["exited"], _P50_P90, row["below"], row["above"])
        pair = {"project_id": row["project_id"], "release": row["release"]}
        rows.append({**pair, "exited": row["exited"], "p50": p50, "p90": p90})
    return rows


def _durations_by_group(ask: Ask, found: Sequence[Row]) -> list[Row]:
    rows = []
    for row in found:
        n, longest = row["exited"], row["longest"]
        mean = row["mean"]
        if longest <= _MOST_SUMMED:
            total = sum(part << unit for part, unit in zip(row["parts"], _UNITS, strict=True))
            mean = mean_of(total, n)
        rows.append(
            {
                **{key: row[key] for key in ask.component.keys},
                "mean": mean,
                "percentiles": between(n, _PERCENTILES, row["below"], row["above"]),
                "longest": longest,
            }
        )
    return rows


def _duration_ranks(ask: Ask, found: Sequence[Row]) -> list[Row]:
    by_pair: dict[tuple[int, str], dict[float, float]] = defaultdict(dict)
    for row in found:
        by_pair[row["project_id"], row["release"]][row["fraction"]] = row["seconds"]
    return [
        {
            "project_id": project,
            "release": release,
            "durations": [seconds[fraction] for fraction in ask.fractions],
        }
        for (project, release), seconds in by_pair.items()
    ]


_MADE: Mapping[Component, Callable[[Ask, Sequence[Row]], list[Row]]] = {
    DURATIONS: _durations,
    DURATIONS_BY_GROUP: _durations_by_group,
    DURATION_RANKS: _duration_ranks,
}
