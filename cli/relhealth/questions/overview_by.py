"""The overview with a row a release and value of a dimension.

A group is counted by itself, so its users are distinct within it, and do not add up. Adoption is
the share of the project's sessions and users with the same value.
"""

from collections import defaultdict
from dataclasses import replace
from typing import NamedTuple

from relhealth.core.dimensions import ENVIRONMENT
from relhealth.core.scope import Scope, Stat
from relhealth.engines import components
from relhealth.engines.components import Component
from relhealth.engines.interface import Ask
from relhealth.machine.database import Row
from relhealth.questions import merge
from relhealth.questions.asking import Asking
from relhealth.questions.overview import ReleaseOverview, ValueOverview

_PAIR = frozenset(("project", "release", "environment"))
_PROJECT = frozenset(("project", "environment"))
_P50, _P90 = 0, 2  # of the percentiles of durations by group
# All pairs of a value have a session counter in the window, so nothing looks for one before it.
_NOTHING: dict[Component, list[Row]] = {
    one: [] for one in (*components.OVERVIEW, components.HEALTH_DATA)
}


class _Part(NamedTuple):
    """An ask by group, and the component of the overview whose rows it gives."""

    component: Component
    ask: Ask


def rows_by(
    asking: Asking, scope: Scope, stat: Stat, by: str
) -> tuple[tuple[ReleaseOverview, ...], dict[str, int]]:
    """Return a row for each release and value of ``by`` with a session counter in the window.

    A pair of the scope without any has one row, whose value is ``None``. Also returns the number
    of invalid rows by reason. Raises as ``Asking.checked``.
    """
    parts = _parts(scope if by == ENVIRONMENT else replace(scope, by=(by,)), stat)
    answers, invalid = asking.checked([part.ask for part in parts], scope)
    by_value: dict[str, dict[Component, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for part, answer in zip(parts, answers, strict=True):
        for row in answer:
            if row["release"] != "":
                by_value[row["environment"]][part.component].append(_as(part, row))
    rows = [
        ValueOverview.of(row, by, value)
        for value, found in by_value.items()
        for row in _merged(found, scope)
    ]
    if scope.pairs is not None:
        seen = {(row.project_id, row.release) for row in rows}
        without = tuple(pair for pair in scope.pairs if pair not in seen)
        if without:
            figures = asking.figures(scope.narrowed_to(without), stat=stat)
            rows += [ValueOverview.of(row, by, None) for row in figures]
    return tuple(rows), invalid


def _parts(scope: Scope, stat: Stat) -> list[_Part]:
    sessions, users = components.SESSIONS_BY_GROUP, components.USERS_BY_GROUP
    recent = replace(scope, summary=scope.adoption)
    everyone = replace(recent, releases=None)
    found = [
        _Part(components.SESSIONS_BY_STATUS, Ask(sessions, scope, _PAIR)),
        _Part(components.ERRORED_SESSIONS, Ask(components.ERRORED_BY_GROUP, scope, _PAIR)),
        _Part(components.USERS_BY_STATUS, Ask(users, scope, _PAIR)),
        _Part(components.DURATIONS, Ask(components.DURATIONS_BY_GROUP, scope, _PAIR)),
        *(
            _Part(components.ADOPTION, Ask(one, within, keys))
            for within, keys in ((recent, _PAIR), (everyone, _PROJECT))
            for one in (sessions, users)
        ),
    ]
    if scope.series is not None:
        of_series = replace(scope, summary=scope.series.window)
        counted = sessions if stat == "sessions" else users
        ask = Ask(counted, of_series, _PAIR, scope.series.interval)
        found.append(_Part(components.HEALTH_STATS[stat], ask))
    return found


def _as(part: _Part, row: Row) -> Row:
    """Return a row by group as one of the overview's component."""
    match part.component:
        case components.DURATIONS:
            percentiles = row["percentiles"]
            return {**row, "p50": percentiles[_P50], "p90": percentiles[_P90]}
        case components.ADOPTION:
            return {**row, "whole_project": row["release"] is None}
        case one if one in components.HEALTH_STATS.values():
            return {**row, "count": row.get("sessions", row.get("users"))}
        case _:
            return row


def _merged(found: dict[Component, list[Row]], scope: Scope) -> tuple[ReleaseOverview, ...]:
    """Return the rows of one value: of the pairs with a session counter in the window."""
    pairs = merge.by_pair(found[components.SESSIONS_BY_STATUS])
    wanted = tuple(pair for pair in pairs if scope.pairs is None or pair in scope.pairs)
    adoption = _joined(found[components.ADOPTION])
    return merge.merge(
        {**_NOTHING, **found, components.ADOPTION: adoption}, replace(scope, pairs=wanted)
    )


def _joined(adoption: list[Row]) -> list[Row]:
    """Join the sessions and the users of a pair or a project, which may lack one of them."""
    found: dict[tuple[int, str | None], Row] = {}
    for row in adoption:
        key = row["project_id"], row["release"]
        found[key] = {"sessions": 0, "users": 0, **found.get(key, {}), **row}
    return list(found.values())
