"""The data and the method behind each verdict of a gate, laid out for ``--explain``."""

from relhealth.core.printable import printable
from relhealth.core.units import Unit
from relhealth.core.windows import Window, iso
from relhealth.core.words import counted
from relhealth.gate.metrics import Duration, Sample
from relhealth.gate.outcome import Check, Gate
from relhealth.gate.wording import not_arrived
from relhealth.output.layouts.gate_texts import (
    figure_text,
    limit_text,
    margin_text,
    rule_text,
    span_text,
    subject,
)
from relhealth.output.report import Column, Table


def explained(check: Check, gate: Gate) -> Table:
    """Lay out everything behind the verdict of a check."""
    rule, sample, base, told = check.rule, check.sample, check.baseline, check.judgement
    lines: list[tuple[str, str | None]] = [
        ("verdict", check.verdict.value),
        ("why", told.reason),
        ("observed", figure_text(check, sample.observed)),
        ("could be", span_text(check)),
        ("target", limit_text(check, rule.target)),
        ("critical", limit_text(check, rule.critical)),
        ("margin", None if rule.margin is None else f"at most {margin_text(check)}"),
        ("numerator", _numerator(check, sample)),
        ("denominator", _denominator(check)),
        ("confidence", _confidence(check)),
        ("method", _method(check)),
        ("design effect", _cluster(check)),
        *(_compared(check, base) if base else []),
        ("skipped", "; ".join(_passed(check)) or None),
        ("needed", None if told.needed is None else f"{told.needed:,}"),
        ("environments", _environments(rule.environments)),
        ("window", _told(sample.window)),
        ("settled", _settled(gate)),
        ("late", _late(check)),
    ]
    return Table(
        title=f"Rule {check.number}: {rule_text(check)} for {subject(check)}",
        columns=(Column("what", Unit.TEXT, "What"), Column("value", Unit.TEXT, "Value")),
        rows=[{"what": what, "value": value} for what, value in lines if value is not None],
        stable=("what", "value"),
    )


def _method(check: Check) -> str:
    rule, duration = check.rule, isinstance(check.metric, Duration)
    if rule.sequential:
        return (
            "e-process against the baseline, valid at any number of looks"
            if check.baseline
            else "mixture bounds, valid at any number of looks"
        )
    one = "order statistics" if duration else "Clopper-Pearson"
    return (
        f"MOVER with {one} bounds"
        if check.baseline
        else f"{one}, one-sided, for one look at the data"
    )


def _confidence(check: Check) -> str:
    one = check.rule.confidence or 0
    return f"{one * 100:g}% for each bound, {(2 * one - 1) * 100:g}% for both together"


def _numerator(check: Check, sample: Sample) -> str:
    if isinstance(check.metric, Duration):
        return f"{sample.numerator:,}"
    if check.metric.good:
        return f"{sample.numerator:,} {check.metric.without}"
    return f"{sample.numerator:,} that {check.metric.happened}"


def _denominator(check: Check) -> str:
    told = counted(check.sample.denominator, check.metric.trials[:-1])
    if check.rule.follow_up is None:
        return told
    return f"{told} whose first session in the window began at least {check.rule.follow_up} earlier"


def _settled(gate: Gate) -> str:
    if gate.policy.settle == "0":
        return "sessions count as soon as they begin"
    return f"sessions count {gate.policy.settle} after they begin, up to the last full hour"


def _late(check: Check) -> str | None:
    if isinstance(check.metric, Duration) or not check.late:
        return None
    return (
        f"{not_arrived(check.metric, check.late)}, if they arrive an hour after the session began,"
        " on average; the bound that a pass needs allows for them"
    )


def _cluster(check: Check) -> str | None:
    """Return the design effect, and where it comes from."""
    found = check.clustering
    if check.metric.of_users:
        return None
    told = f"{found.deff:.4g}"
    if check.rule.deff != "auto":
        return f"{told}, from the policy"
    if not found.users:
        return "1, since the data have no users: how sessions depend on each other is not known"
    if found.estimated:
        told = f"{told}, estimated from {counted(found.affected, 'user')} with a bad session"
    else:
        told = f"{told}, as if all sessions of a user end alike: few users had a bad one"
    return f"{told}; counts as {check.sample.denominator / found.deff:,.0f} independent sessions"


def _compared(check: Check, base: Sample) -> list[tuple[str, str | None]]:
    told, good = check.judgement, check.metric.good
    span = None
    if told.difference_lower is not None and told.difference_upper is not None:
        unit = "s" if isinstance(check.metric, Duration) else "points"
        span = f"{told.difference_lower:+.4g} to {told.difference_upper:+.4g} {unit}"
    return [
        ("baseline", printable(base.release)),
        ("baseline observed", figure_text(check, base.observed)),
        ("baseline numerator", _numerator(check, base)),
        ("baseline denominator", f"{base.denominator:,}"),
        ("baseline window", _told(base.window)),
        ("difference", span if span is None else f"{span} (more is better)" if good else span),
    ]


def _environments(names: tuple[str, ...] | None) -> str:
    if names is None:
        return "all"
    return ", ".join(printable(name) or "none" for name in names)


def _told(window: Window) -> str:
    return f"{iso(window.start)} to {iso(window.end)}"


def _passed(check: Check) -> list[str]:
    return [f"{printable(one.release)} {one.why}" for one in check.passed_over]
