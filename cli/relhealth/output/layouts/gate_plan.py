"""A plan of the gate laid out for rendering."""

from typing import Any

from relhealth.core.numerals import percent
from relhealth.core.printable import printable
from relhealth.core.units import Unit
from relhealth.core.version import __version__
from relhealth.core.windows import iso
from relhealth.core.words import counted
from relhealth.gate.plan import GatePlan, Planned
from relhealth.gate.wording import percent_limit
from relhealth.output.layouts.scope import invalid_warnings
from relhealth.output.report import JSON_FORMAT, Column, Report, Table

_COLUMNS = (
    Column("project_id", Unit.PROJECT, "Proj."),
    Column("release", Unit.RELEASE, "Release"),
    Column("rule", Unit.TEXT, "Rule"),
    Column("holds", Unit.COUNT, "In a period"),
    Column("least", Unit.COUNT, "Least to pass"),
    Column("likely", Unit.COUNT, "For 80%"),
    Column("takes", Unit.FIGURE, "Takes"),
)
_FIELDS = {
    "rule": Unit.COUNT,
    "metric": Unit.TEXT,
    "project_id": Unit.PROJECT,
    "release": Unit.RELEASE,
    "target": Unit.PERCENT,
    "margin": Unit.TEXT,
    "rate": Unit.PERCENT,
    "deff": Unit.PERCENT,
    "per_hour": Unit.PERCENT,
    "holds": Unit.COUNT,
    "least": Unit.COUNT,
    "likely": Unit.COUNT,
    "chance": Unit.PERCENT,
    "hours": Unit.PERCENT,
    "period": Unit.TEXT,
    "reachable": Unit.PERCENT,
}


def gate_plan_report(plan: GatePlan, *, origin: str | None) -> Report:
    """Lay out one row per rule and project; ``origin`` is the policy's file, if there is one."""
    rows = [_row(row) for row in plan.rows]
    able = sum(row.least is not None and row.least <= row.holds for row in plan.rows)
    table = Table(
        title=f"Plan · {plan.policy.period} · until {iso(plan.policy.until(plan.now))}",
        columns=_COLUMNS,
        rows=[_shown(row) for row in plan.rows],
        stable=tuple(column.name for column in _COLUMNS),
    )
    return Report(
        meta={
            "format": JSON_FORMAT,
            "command": "gate plan",
            "relhealth": __version__,
            "now": iso(plan.now),
            "policy": origin,
            "period": plan.policy.period,
            "settle": plan.policy.settle,
            "sources": {"files": plan.files},
            "invalid_rows": sum(plan.invalid_rows.values()),
            "invalid_reasons": dict(plan.invalid_rows),
        },
        data=rows,
        tables=(table,),
        summary=f"{counted(len(rows), 'rule')}: {able} can pass in {plan.policy.period}",
        warnings=tuple(invalid_warnings(plan.invalid_rows)),
        records=Table(
            title=table.title,
            columns=tuple(Column(name, unit, name) for name, unit in _FIELDS.items()),
            rows=rows,
            stable=tuple(_FIELDS),
        ),
        notes=tuple(_note(row, plan.policy.period) for row in plan.rows),
    )


def _row(row: Planned) -> dict[str, Any]:
    return {
        "rule": row.number,
        "metric": row.metric.name,
        "project_id": row.project_id,
        "release": row.release,
        "target": row.rule.target,
        "margin": str(row.rule.allowed) if row.rule.baselines else None,
        "rate": row.rate,
        "deff": row.deff,
        "per_hour": row.per_hour,
        "holds": row.holds,
        "least": row.least,
        "likely": row.likely,
        "chance": 100 * row.chance,
        "hours": row.hours,
        "period": row.period,
        "reachable": row.reachable,
    }


def _shown(row: Planned) -> dict[str, Any]:
    return {
        "project_id": row.project_id,
        "release": row.release,
        "rule": _rule(row),
        "holds": row.holds,
        "least": row.least,
        "likely": row.likely,
        "takes": None if row.hours is None else f"{row.hours:,.0f} h",
    }


def _rule(row: Planned) -> str:
    if row.rule.target is None:
        return f"{row.metric.name} within {row.rule.allowed}"
    return f"{row.metric.name} {'>=' if row.metric.good else '<='} {percent_limit(row.rule.target)}"


def _note(row: Planned, period: str) -> str:
    who = f"{row.project_id}/{printable(row.release)}, {_rule(row)}"
    trials = row.metric.trials
    have = f"{who}: a window of {period} holds {row.holds:,} {trials}"
    if row.least is None:
        return f"{have}; no number of {trials} can pass."
    told = f"{have}; {row.least:,} without a bad one are the least that pass"
    if row.likely is None:
        chance = f"at a true figure of {percent(row.rate)}, no number gives a good chance to pass"
    else:
        chance = (
            f"at a true figure of {percent(row.rate)}, {row.likely:,} pass with a chance of 80%"
        )
    if row.likely is not None and row.likely <= row.holds:
        return f"{told}; {chance}."
    ways = []
    if row.period is not None:
        ways.append(f'period = "{row.period}"')
    if row.reachable is not None and row.least > row.holds:
        ways.append(f"a target of {row.reachable:.4g}%")
    return f"{told}; {chance}. To pass, use {' or '.join(ways)}." if ways else f"{told}; {chance}."
