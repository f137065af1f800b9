"""The words of a check that several layouts share."""

from relhealth.core.numerals import percent, seconds
from relhealth.core.printable import printable
from relhealth.gate.metrics import Duration
from relhealth.gate.outcome import Check, Gate
from relhealth.gate.verdict import Verdict
from relhealth.gate.wording import percent_bound, percent_limit, seconds_bound, seconds_limit

_ACTIONS = {
    Verdict.PASS: "go on with the rollout",
    Verdict.INCONCLUSIVE: "too little data yet, look again later",
    Verdict.FAIL: "stop the rollout",
}


def action(gate: Gate) -> str:
    """Return what to do after a verdict."""
    if gate.outcome is Verdict.INCONCLUSIVE:
        if not any(check.judgement.has_data for check in gate.checks):
            return "no data to judge"
        if any(check.judgement.is_hopeless for check in gate.checks):
            return "too little data, and waiting does not help"
    return _ACTIONS[gate.outcome]


def rule_text(check: Check) -> str:
    """Return a rule in a few words: ``crash_free_users >= 99.5%``."""
    rule, metric = check.rule, check.metric
    if rule.target is None:
        return f"{metric.name} at most {margin_text(check)}"
    return f"{metric.name} {'>=' if metric.good else '<='} {limit_text(check, rule.target)}"


def figure_text(check: Check, value: float | None) -> str | None:
    """Return a figure with its unit."""
    if value is None:
        return None
    return seconds(value) if isinstance(check.metric, Duration) else percent(value)


def span_text(check: Check) -> str | None:
    """Return the bounds of a figure; ``?`` for one that is not known."""
    told, target = check.judgement, check.rule.target
    limit = target if check.rule.critical is None else check.rule.critical
    if told.lower is None and told.upper is None:
        return None
    bound = seconds_bound if isinstance(check.metric, Duration) else percent_bound
    least, most = (target, limit) if check.metric.good else (limit, target)
    lower = "?" if told.lower is None else bound(told.lower, least, upper=False)
    upper = "?" if told.upper is None else bound(told.upper, most, upper=True)
    return f"{lower} to {upper}"


def subject(check: Check) -> str:
    """Return the subject of a check: ``1/shop@4.2.0``."""
    return f"{check.project_id}/{printable(check.sample.release)}"


def limit_text(check: Check, value: float | None) -> str | None:
    """Return a target or limit with its unit."""
    if value is None:
        return None
    return seconds_limit(value) if isinstance(check.metric, Duration) else percent_limit(value)


def margin_text(check: Check) -> str | None:
    """Return a margin with its unit."""
    if not check.rule.baselines:
        return None
    margin = check.rule.allowed
    if isinstance(check.metric, Duration):
        return f"{margin} longer" if margin.relative else f"{margin} s longer"
    return (
        f"{margin} more bad {check.metric.trials}" if margin.relative else f"{margin} points worse"
    )
