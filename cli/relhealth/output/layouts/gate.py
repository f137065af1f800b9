"""The outcome of a gate laid out for rendering: verdicts, reasons, test cases, metrics."""

from collections.abc import Iterable
from typing import Any

from relhealth.core.errors import ExitCode
from relhealth.core.numerals import percent, seconds
from relhealth.core.printable import printable
from relhealth.core.units import Unit
from relhealth.core.version import __version__
from relhealth.core.windows import Window, iso
from relhealth.core.words import counted
from relhealth.gate.metrics import Duration, Sample
from relhealth.gate.run import Check, Gate
from relhealth.gate.verdict import Verdict
from relhealth.gate.wording import percent_bound, percent_limit, seconds_bound, seconds_limit
from relhealth.output.layouts.scope import invalid_warnings
from relhealth.output.report import (
    JSON_FORMAT,
    Case,
    Column,
    Family,
    Outcome,
    Report,
    Table,
    last_run,
)

EXIT_CODES = {
    Verdict.PASS: ExitCode.OK,
    Verdict.FAIL: ExitCode.GATE_FAILED,
    Verdict.INCONCLUSIVE: ExitCode.GATE_INCONCLUSIVE,
}

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
    "deff": Unit.PERCENT,
    "n": Unit.PERCENT,
    "confidence": Unit.PERCENT,
    "sequential": Unit.FLAG,
    "target": Unit.PERCENT,
    "critical": Unit.PERCENT,
    "margin": Unit.PERCENT,
    "baseline": Unit.RELEASE,
    "baseline_observed": Unit.PERCENT,
    "baseline_numerator": Unit.COUNT,
    "baseline_denominator": Unit.COUNT,
    "baseline_window": Unit.TEXT,
    "difference": Unit.PERCENT,
    "difference_lower": Unit.PERCENT,
    "difference_upper": Unit.PERCENT,
    "needed": Unit.COUNT,
    "environments": Unit.TEXT,
    "window": Unit.TEXT,
}
_COLUMNS = (
    Column("verdict", Unit.VERDICT, "Verdict"),
    Column("project_id", Unit.PROJECT, "Proj."),
    Column("release", Unit.RELEASE, "Release"),
    Column("rule", Unit.TEXT, "Rule"),
    Column("observed", Unit.FIGURE, "Observed"),
    Column("bounds", Unit.FIGURE, "Bounds"),
    Column("of", Unit.FIGURE, "Of"),
)
_OUTCOMES = {
    Verdict.PASS: Outcome.PASSED,
    Verdict.FAIL: Outcome.FAILED,
    Verdict.INCONCLUSIVE: Outcome.SKIPPED,
}


def gate_report(gate: Gate, *, origin: str, explain: bool = False) -> Report:
    """Lay out the outcome; ``origin`` names the policy's file or its substitute."""
    table = Table(
        title=f"{gate.verdict.upper()} · {gate.policy.period} · until {iso(gate.now)}",
        columns=_COLUMNS,
        rows=[_shown(check) for check in gate.checks],
        stable=tuple(column.name for column in _COLUMNS),
    )
    explained = tuple(_explained(check) for check in gate.checks) if explain else ()
    rows = [_row(check) for check in gate.checks]
    return Report(
        meta=_meta(gate, origin),
        data=rows,
        tables=(table, *explained),
        summary=summary(gate),
        warnings=tuple(invalid_warnings(gate.invalid_rows)),
        records=Table(
            title=table.title,
            columns=tuple(Column(name, unit, name) for name, unit in _FIELDS.items()),
            rows=[_flat(row) for row in rows],
            stable=tuple(_FIELDS),
        ),
        notes=(*(_note(check) for check in gate.checks), *_unjudged(gate)),
        cases=tuple(_case(check, gate, origin) for check in gate.checks)
        + tuple(
            Case("gate", "a rule applies", _outcome(Verdict.INCONCLUSIVE, gate), note, origin)
            for note in _unjudged(gate)
        ),
        families=_families(gate, origin),
    )


def error_report(faults: Iterable[str], *, origin: str) -> Report:
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
        families=(_of_gate("error", origin), last_run("gate", policy=origin)),
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
    return f"{gate.verdict.value}{mapped}: {of_all}{': ' if tally else ''}{tally}"


def _meta(gate: Gate, origin: str) -> dict[str, Any]:
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
        "deff": rule.deff,
        "n": sample.denominator / rule.deff,
        "confidence": rule.confidence,
        "sequential": rule.sequential,
        "target": rule.target,
        "critical": rule.critical,
        "margin": rule.margin,
        "baseline": base.release if base else None,
        "baseline_observed": base.observed if base else None,
        "baseline_numerator": base.numerator if base else None,
        "baseline_denominator": base.denominator if base else None,
        "baseline_window": base.window.to_dict() if base else None,
        "difference": difference,
        "difference_lower": told.difference_lower,
        "difference_upper": told.difference_upper,
        "needed": told.needed,
        "environments": None if rule.environments is None else list(rule.environments),
        "window": sample.window.to_dict(),
    }


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of plain cells."""
    flat = dict(row)
    for name in ("window", "baseline_window"):
        flat[name] = f"{row[name]['start']}/{row[name]['end']}" if row[name] else None
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
        "observed": _figure(check, sample.observed),
        "bounds": _span(check),
        "of": counted(sample.denominator, check.metric.trials[:-1]),
    }


def rule_text(check: Check) -> str:
    """Return a rule in a few words: ``crash_free_users >= 99.5%``."""
    rule, metric = check.rule, check.metric
    if rule.target is None:
        return f"{metric.name} within {rule.margin:.12g} points"
    return f"{metric.name} {'>=' if metric.good else '<='} {_limit(check, rule.target)}"


def _figure(check: Check, value: float | None) -> str | None:
    if value is None:
        return None
    return seconds(value) if isinstance(check.metric, Duration) else percent(value)


def _span(check: Check) -> str | None:
    told, target = check.judgement, check.rule.target
    limit = target if check.rule.critical is None else check.rule.critical
    if told.lower is None and told.upper is None:
        return None
    bound = seconds_bound if isinstance(check.metric, Duration) else percent_bound
    least, most = (target, limit) if check.metric.good else (limit, target)
    lower = "?" if told.lower is None else bound(told.lower, least, upper=False)
    upper = "?" if told.upper is None else bound(told.upper, most, upper=True)
    return f"{lower} to {upper}"


def _note(check: Check) -> str:
    return f"{check.verdict.value}: {subject(check)}, {check.metric.name}: {check.judgement.reason}"


def subject(check: Check) -> str:
    """Return the subject of a check: ``1/shop@4.2.0``."""
    return f"{check.project_id}/{printable(check.sample.release)}"


def _unjudged(gate: Gate) -> list[str]:
    judged = {(check.project_id, check.sample.release) for check in gate.checks}
    return [
        f"inconclusive: {project}/{printable(release)}: no rule of the policy is for project"
        f" {project}"
        for project, release in gate.releases
        if (project, release) not in judged
    ]


def _explained(check: Check) -> Table:
    rule, sample, base, told = check.rule, check.sample, check.baseline, check.judgement
    lines: list[tuple[str, str | None]] = [
        ("verdict", check.verdict.value),
        ("why", told.reason),
        ("observed", _figure(check, sample.observed)),
        ("bounds", _span(check)),
        ("confidence", f"{(rule.confidence or 0) * 100:g}% for each bound"),
        ("method", _method(check)),
        ("numerator", f"{sample.numerator:,}"),
        ("denominator", counted(sample.denominator, check.metric.trials[:-1])),
        ("n", f"{sample.denominator / rule.deff:,.6g}"),
        ("design effect", f"{rule.deff:g}" if rule.deff != 1 else None),
        ("target", _limit(check, rule.target)),
        ("critical", _limit(check, rule.critical)),
        ("margin", None if rule.margin is None else f"{rule.margin:.12g} points"),
        *(_compared(check, base) if base else []),
        ("needed", None if told.needed is None else f"{told.needed:,}"),
        ("environments", _environments(rule.environments)),
        ("window", _told(sample.window)),
    ]
    return Table(
        title=f"Rule {check.number}: {rule_text(check)} for {subject(check)}",
        columns=(Column("what", Unit.TEXT, "What"), Column("value", Unit.TEXT, "Value")),
        rows=[{"what": what, "value": value} for what, value in lines if value is not None],
        stable=("what", "value"),
    )


def _method(check: Check) -> str:
    rule = check.rule
    if rule.sequential:
        return "mixture confidence sequence, valid at any number of looks"
    if rule.target is None:
        return "MOVER with Clopper-Pearson bounds"
    return (
        "order statistics" if isinstance(check.metric, Duration) else "Clopper-Pearson, one-sided"
    )


def _compared(check: Check, base: Sample) -> list[tuple[str, str | None]]:
    told = check.judgement
    span = None
    if told.difference_lower is not None and told.difference_upper is not None:
        span = f"{told.difference_lower:+.4g} to {told.difference_upper:+.4g} points"
    return [
        ("baseline", printable(base.release)),
        ("baseline observed", _figure(check, base.observed)),
        ("baseline numerator", f"{base.numerator:,}"),
        ("baseline denominator", f"{base.denominator:,}"),
        ("baseline window", _told(base.window)),
        ("difference", span),
    ]


def _limit(check: Check, value: float | None) -> str | None:
    if value is None:
        return None
    return seconds_limit(value) if isinstance(check.metric, Duration) else percent_limit(value)


def _environments(names: tuple[str, ...] | None) -> str:
    if names is None:
        return "all"
    return ", ".join(printable(name) or "none" for name in names)


def _told(window: Window) -> str:
    return f"{iso(window.start)} to {iso(window.end)}"


def _case(check: Check, gate: Gate, origin: str) -> Case:
    name = f"rule {check.number}: {rule_text(check)}"
    outcome = _outcome(check.verdict, gate)
    return Case(subject(check), name, outcome, check.judgement.reason, origin)


def _outcome(verdict: Verdict, gate: Gate) -> Outcome:
    """Return how a case ends, like the exit code: inconclusive can count as failed."""
    if verdict is Verdict.INCONCLUSIVE and gate.policy.inconclusive == "fail":
        return Outcome.FAILED
    return _OUTCOMES[verdict]


def _families(gate: Gate, origin: str) -> tuple[Family, ...]:
    def labels(check: Check) -> dict[str, str]:
        environments = check.rule.environments
        return {
            "policy": origin,
            "project": str(check.project_id),
            "release": check.sample.release,
            "environment": "" if environments is None else ",".join(environments),
            "rule": str(check.number),
            "metric": check.metric.name,
        }

    def family(name: str, told: str, value: str, *, durations: bool) -> Family:
        rows = [(check, _row(check)[value]) for check in gate.checks]
        samples = tuple(
            (labels(check), found if durations else found / 100)
            for check, found in rows
            if found is not None and isinstance(check.metric, Duration) is durations
        )
        unit = "seconds" if durations else "ratio"
        return Family(f"relhealth_gate_{name}_{unit}", told, unit, samples)

    described = [
        ("observed", "The figure that a rule of the gate judges.", "observed"),
        ("lower", "The lower bound of the figure, one-sided.", "lower"),
        ("upper", "The upper bound of the figure, one-sided.", "upper"),
        ("target", "The target of the rule.", "target"),
    ]
    verdicts = Family(
        "relhealth_gate_check",
        "Whether the verdict of the rule is that of the label: 1 or 0.",
        "",
        tuple(
            ({**labels(check), "verdict": verdict.value}, float(check.verdict is verdict))
            for check in gate.checks
            for verdict in Verdict
        ),
    )
    figures = [
        family(*parts, durations=durations) for durations in (False, True) for parts in described
    ]
    verdict = _of_gate(gate.verdict.value, origin)
    return (verdict, verdicts, *figures, last_run("gate", policy=origin))


def _of_gate(verdict: str, origin: str) -> Family:
    words = [*(one.value for one in Verdict), "error"]
    return Family(
        "relhealth_gate_verdict",
        "Whether the verdict of the gate is that of the label: 1 or 0.",
        "",
        tuple(({"policy": origin, "verdict": word}, float(word == verdict)) for word in words),
    )
