"""The outcome of a gate laid out for rendering: verdicts, reasons, test cases, metrics."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from relhealth.core.printable import printable
from relhealth.core.units import Unit
from relhealth.core.version import __version__
from relhealth.core.windows import iso
from relhealth.core.words import counted
from relhealth.gate.metrics import Duration
from relhealth.gate.outcome import Check, Gate
from relhealth.gate.verdict import EXIT_CODES, Verdict
from relhealth.output.layouts.gate_explained import explained
from relhealth.output.layouts.gate_metrics import families, of_gate, of_policy
from relhealth.output.layouts.gate_texts import (
    action,
    figure_text,
    rule_text,
    span_text,
    subject,
)
from relhealth.output.layouts.no_users import INDEPENDENT
from relhealth.output.layouts.scope import invalid_warnings
from relhealth.output.report import (
    JSON_FORMAT,
    Case,
    Column,
    Outcome,
    Report,
    Table,
    data_age,
    last_run,
)

# The fields of a check, in the order of machine formats.
_FIELDS = {
    "rule": Unit.COUNT,
    "metric": Unit.TEXT,
    "project_id": Unit.PROJECT,
    "release": Unit.RELEASE,
    "verdict": Unit.VERDICT,
    "reason": Unit.TEXT,
    "unit": Unit.TEXT,
    "observed": Unit.PERCENT,
    "lower": Unit.PERCENT,
    "upper": Unit.PERCENT,
    "numerator": Unit.COUNT,
    "denominator": Unit.COUNT,
    "late": Unit.PERCENT,
    "deff": Unit.PERCENT,
    "n": Unit.PERCENT,
    "confidence": Unit.PERCENT,
    "sequential": Unit.FLAG,
    "follow_up": Unit.TEXT,
    "target": Unit.PERCENT,
    "critical": Unit.PERCENT,
    "margin": Unit.PERCENT,
    "margin_relative": Unit.FLAG,
    "baseline": Unit.RELEASE,
    "baseline_observed": Unit.PERCENT,
    "baseline_numerator": Unit.COUNT,
    "baseline_denominator": Unit.COUNT,
    "baseline_window": Unit.TEXT,
    "difference": Unit.PERCENT,
    "difference_lower": Unit.PERCENT,
    "difference_upper": Unit.PERCENT,
    "needed": Unit.COUNT,
    "passed_over": Unit.TEXT,
    "environments": Unit.TEXT,
    "window": Unit.TEXT,
}
_COLUMNS = (
    Column("verdict", Unit.VERDICT, "Verdict"),
    Column("project_id", Unit.PROJECT, "Proj."),
    Column("release", Unit.RELEASE, "Release"),
    Column("rule", Unit.TEXT, "Rule"),
    Column("observed", Unit.FIGURE, "Observed"),
    Column("bounds", Unit.FIGURE, "Could be"),
    Column("of", Unit.FIGURE, "Of"),
)
_OUTCOMES = {
    Verdict.PASS: Outcome.PASSED,
    Verdict.FAIL: Outcome.FAILED,
    Verdict.INCONCLUSIVE: Outcome.SKIPPED,
}


def gate_report(
    gate: Gate,
    *,
    origin: str | None,
    explain: bool = False,
    ages: Mapping[int, float] | None = None,
) -> Report:
    """Lay out the outcome; ``origin`` is the policy's file, if there is one.

    ``ages`` are those of the newest session of each project, for metrics.
    """
    table = Table(
        title=f"{gate.verdict.upper()}: {action(gate)} · sessions {_span(gate)}",
        columns=_COLUMNS,
        rows=[_shown(check) for check in gate.checks],
        stable=tuple(column.name for column in _COLUMNS),
    )
    tables = tuple(explained(check, gate) for check in gate.checks) if explain else ()
    rows = [_row(check) for check in gate.checks]
    return Report(
        meta=_meta(gate, origin),
        data=rows,
        tables=(table, *tables),
        summary=summary(gate),
        warnings=(*invalid_warnings(gate.invalid_rows), *_independent(gate)),
        records=Table(
            title=table.title,
            columns=tuple(Column(name, unit, name) for name, unit in _FIELDS.items()),
            rows=[_flat(row) for row in rows],
            stable=tuple(_FIELDS),
        ),
        notes=(*(() if explain else map(_note, gate.checks)), *_unjudged(gate)),
        cases=tuple(_case(check, gate, origin) for check in gate.checks)
        + tuple(
            Case("gate", "a rule applies", _outcome(Verdict.INCONCLUSIVE, gate), note, origin)
            for note in _unjudged(gate)
        ),
        families=(*families(gate, origin), data_age("gate", ages, **of_policy(origin))),
    )


def _independent(gate: Gate) -> Iterator[str]:
    """Yield what bounds of sessions assume without users."""
    if any(
        not check.metric.of_users
        and not isinstance(check.metric, Duration)
        and check.rule.deff == "auto"
        and check.sample.denominator
        and not check.clustering.users
        for check in gate.checks
    ):
        yield INDEPENDENT


def error_report(faults: Iterable[str], *, origin: str | None) -> Report:
    """Lay out that the gate could not run."""
    reasons = tuple(faults)
    table = Table(
        title="ERROR · could not be evaluated",
        columns=(Column("error", Unit.TEXT, "Error"),),
        rows=[{"error": reason} for reason in reasons],
        stable=("error",),
    )
    return Report(
        meta={
            "format": JSON_FORMAT,
            "command": "gate",
            "relhealth": __version__,
            "policy": origin,
            "verdict": "error",
            "outcome": "error",
        },
        data=[{"error": reason} for reason in reasons],
        tables=(table,),
        summary="error: the gate could not be evaluated",
        cases=tuple(Case("gate", "evaluated", Outcome.ERROR, reason, origin) for reason in reasons),
        families=(of_gate("error", origin), last_run("gate", **of_policy(origin))),
    )


def summary(gate: Gate) -> str:
    """Return the verdict in a line."""
    of_all = counted(len(gate.checks), "check")
    tally = ", ".join(
        f"{number} {verdict.value}"
        for verdict in Verdict
        if (number := sum(check.verdict is verdict for check in gate.checks))
    )
    mapped = "" if gate.outcome is gate.verdict else f" (counted as {gate.outcome.value})"
    return f"{gate.verdict.value}{mapped}: {action(gate)} ({of_all}{': ' if tally else ''}{tally})"


def _meta(gate: Gate, origin: str | None) -> dict[str, Any]:
    return {
        "format": JSON_FORMAT,
        "command": "gate",
        "relhealth": __version__,
        "now": iso(gate.now),
        "policy": origin,
        "verdict": gate.verdict.value,
        "outcome": gate.outcome.value,
        "exit_code": int(EXIT_CODES[gate.outcome]),
        "period": gate.policy.period,
        "settle": gate.policy.settle,
        "until": iso(gate.until),
        "max_age": gate.policy.max_age,
        "releases": [{"project_id": project, "release": name} for project, name in gate.releases],
        "sources": {"files": gate.files},
        "invalid_rows": sum(gate.invalid_rows.values()),
        "invalid_reasons": dict(gate.invalid_rows),
    }


def _row(check: Check) -> dict[str, Any]:
    rule, sample, base, told = check.rule, check.sample, check.baseline, check.judgement
    difference = None
    if base is not None and base.observed is not None and sample.observed is not None:
        difference = sample.observed - base.observed
    return {
        "rule": check.number,
        "metric": check.metric.name,
        "project_id": check.project_id,
        "release": sample.release,
        "verdict": check.verdict.value,
        "reason": told.reason,
        "unit": "seconds" if isinstance(check.metric, Duration) else "percent",
        "observed": sample.observed,
        "lower": told.lower,
        "upper": told.upper,
        "numerator": sample.numerator,
        "denominator": sample.denominator,
        "late": 100 * check.late,
        "deff": check.clustering.deff,
        "n": sample.denominator / check.clustering.deff,
        "confidence": rule.confidence,
        "sequential": rule.sequential,
        "follow_up": rule.follow_up,
        "target": rule.target,
        "critical": rule.critical,
        "margin": rule.allowed.amount if rule.baselines else None,
        "margin_relative": rule.allowed.relative if rule.baselines else None,
        "baseline": base.release if base else None,
        "baseline_observed": base.observed if base else None,
        "baseline_numerator": base.numerator if base else None,
        "baseline_denominator": base.denominator if base else None,
        "baseline_window": base.window.to_dict() if base else None,
        "difference": difference,
        "difference_lower": told.difference_lower,
        "difference_upper": told.difference_upper,
        "needed": told.needed,
        "passed_over": [{"release": one.release, "why": one.why} for one in check.passed_over],
        "environments": None if rule.environments is None else list(rule.environments),
        "window": sample.window.to_dict(),
    }


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of plain cells."""
    flat = dict(row)
    for name in ("window", "baseline_window"):
        flat[name] = f"{row[name]['start']}/{row[name]['end']}" if row[name] else None
    flat["passed_over"] = "; ".join(f"{p['release']} {p['why']}" for p in row["passed_over"])
    if row["environments"] is not None:
        flat["environments"] = ", ".join(row["environments"])
    return flat


def _shown(check: Check) -> dict[str, Any]:
    sample = check.sample
    return {
        "verdict": check.verdict.value,
        "project_id": check.project_id,
        "release": sample.release,
        "rule": rule_text(check),
        "observed": figure_text(check, sample.observed),
        "bounds": span_text(check),
        "of": counted(sample.denominator, check.metric.trials[:-1]),
    }


def _span(gate: Gate) -> str:
    """Return the time that the sessions are of: of all rules, if they have one window."""
    windows = {check.sample.window for check in gate.checks}
    if len(windows) != 1:
        return f"until {_minute(gate.until)} UTC"
    (window,) = windows
    return f"from {_minute(window.start)} to {_minute(window.end)} UTC"


def _minute(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M}"


def _note(check: Check) -> str:
    return f"{check.verdict.value}: {subject(check)}, {check.metric.name}: {check.judgement.reason}"


def _unjudged(gate: Gate) -> list[str]:
    judged = {(check.project_id, check.sample.release) for check in gate.checks}
    return [
        f"inconclusive: {project}/{printable(release)}: no rule of the policy is for project"
        f" {project}"
        for project, release in gate.releases
        if (project, release) not in judged
    ]


def _case(check: Check, gate: Gate, origin: str | None) -> Case:
    name = f"rule {check.number}: {rule_text(check)}"
    outcome = _outcome(check.verdict, gate)
    return Case(subject(check), name, outcome, check.judgement.reason, origin)


def _outcome(verdict: Verdict, gate: Gate) -> Outcome:
    """Return how a case ends, like the exit code: inconclusive can count as failed."""
    if verdict is Verdict.INCONCLUSIVE and gate.policy.inconclusive == "fail":
        return Outcome.FAILED
    return _OUTCOMES[verdict]
