"""Verdicts: pure functions from counts and a rule to pass, fail or inconclusive, and why."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from relhealth.core.words import counted
from relhealth.gate import intervals
from relhealth.gate.intervals import Bounds, Method
from relhealth.gate.metrics import Duration, Metric
from relhealth.gate.policy import Rule
from relhealth.gate.wording import (
    percent_bound,
    percent_limit,
    points_bound,
    seconds_bound,
    seconds_limit,
)


class Verdict(StrEnum):
    """The verdict of a rule or a gate; the worst of several wins."""

    PASS = "pass"  # noqa: S105 - no password
    INCONCLUSIVE = "inconclusive"
    FAIL = "fail"


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return fail before inconclusive before pass; without verdicts, inconclusive."""
    return max(verdicts, key=list(Verdict).index, default=Verdict.INCONCLUSIVE)


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with its reason and the data behind it.

    Bounds are of the figure, in percent or seconds, or of its difference from the baseline, in
    percentage points. Each single bound has the rule's confidence. ``None``: no such bound.
    ``needed`` is how many more trials without a bad event are needed to pass.
    """

    verdict: Verdict
    reason: str
    lower: float | None = None
    upper: float | None = None
    difference_lower: float | None = None
    difference_upper: float | None = None
    needed: int | None = None


def waiting(reason: str, needed: int | None = None) -> Judgement:
    """Return an inconclusive judgement."""
    return Judgement(Verdict.INCONCLUSIVE, reason, needed=needed)


def against_target(metric: Metric, rule: Rule, bad: int, total: int) -> Judgement:
    """Judge a rate by its target with exact bounds: ``bad`` of ``total``, which is not 0."""
    target = _target(rule)

    def passes(found: Bounds) -> bool:
        return found.lower >= target if metric.good else found.upper <= target

    found = _bounds(metric, rule, bad, total)
    limit = target if rule.critical is None else rule.critical
    fails = found.upper < limit if metric.good else found.lower > limit
    sure = f"with {_sureness(rule)}"
    needed = None
    at_least = percent_bound(found.lower, target if metric.good else limit, upper=False)
    at_most = percent_bound(found.upper, limit if metric.good else target, upper=True)
    if passes(found):
        verdict = Verdict.PASS
        bound = f"at least {at_least}" if metric.good else f"at most {at_most}"
        reason = f"{bound} {sure}; the target is {percent_limit(target)}"
    elif fails:
        verdict = Verdict.FAIL
        bound = f"at most {at_most}" if metric.good else f"at least {at_least}"
        word = "target" if rule.critical is None else "critical value"
        reason = f"{bound} {sure}; the {word} is {percent_limit(limit)}"
    else:
        verdict = Verdict.INCONCLUSIVE
        needed = intervals.still_needed(
            lambda more: passes(_bounds(metric, rule, bad, total + more))
        )
        reason = (
            f"between {at_least} and {at_most} {sure},"
            f" the target is {percent_limit(target)}: {_more(needed, metric)}"
        )
    return Judgement(verdict, reason, lower=found.lower, upper=found.upper, needed=needed)


def against_baseline(
    metric: Metric, rule: Rule, candidate: tuple[int, int], baseline: tuple[int, int], name: str
) -> Judgement:
    """Judge whether a rate is worse than the baseline's by more than the margin.

    Both are (bad, total), the total not 0; ``name`` is the baseline's. Non-inferiority: the worst
    case of the difference must be within the margin; the release fails if the best case is not.
    """
    (bad, total), margin, confidence = candidate, rule.margin or 0.0, _confidence(rule)
    compare = intervals.always_valid_difference if rule.sequential else intervals.difference
    base = (baseline[0] / rule.deff, baseline[1] / rule.deff)

    def worse(more: int = 0) -> Bounds:
        counts = (bad / rule.deff, (total + more) / rule.deff)
        share = compare(counts, base, confidence)
        return Bounds(100 * share.lower, 100 * share.upper)

    found = worse()
    sure = f"with {_sureness(rule)}"
    best = points_bound(found.lower, margin, upper=False)
    at_worst = points_bound(found.upper, margin, upper=True)
    needed = None
    if found.upper <= margin:
        verdict = Verdict.PASS
        reason = f"at worst {at_worst} than {name} {sure}; the margin is {margin:.12g}"
    elif found.lower > margin:
        verdict = Verdict.FAIL
        reason = f"at best {best} than {name} {sure}; the margin is {margin:.12g}"
    else:
        verdict = Verdict.INCONCLUSIVE
        needed = intervals.still_needed(lambda more: worse(more).upper <= margin)
        reason = (
            f"from {best} to {at_worst} than {name} {sure},"
            f" the margin is {margin:.12g}: {_more(needed, metric)}"
        )
    ends = (-found.upper, -found.lower) if metric.good else (found.lower, found.upper)
    alone = _bounds(metric, rule, bad, total)
    return Judgement(
        verdict,
        reason,
        lower=alone.lower,
        upper=alone.upper,
        difference_lower=ends[0],
        difference_upper=ends[1],
        needed=needed,
    )


def duration_fractions(duration: Duration, rule: Rule, n: int) -> tuple[float | None, float | None]:
    """Return the positions, 0 to 1, of the percentile's bounds among ``n`` durations."""
    found = intervals.ranks(n, duration.quantile, _confidence(rule), _method(rule), rule.deff)
    return found.fractions(n)


def against_longest(rule: Rule, lower: float | None, upper: float | None) -> Judgement:
    """Judge a percentile of durations by its target, from its bounds in seconds."""
    target = _target(rule)
    limit = target if rule.critical is None else rule.critical
    told = seconds_limit(target)
    sure = f"with {_sureness(rule)}"
    if upper is not None and upper <= target:
        verdict = Verdict.PASS
        reason = f"at most {seconds_bound(upper, target, upper=True)} {sure}; the target is {told}"
    elif lower is not None and lower > limit:
        word = "target" if rule.critical is None else "critical value"
        verdict = Verdict.FAIL
        bound = seconds_bound(lower, limit, upper=False)
        reason = f"at least {bound} {sure}; the {word} is {seconds_limit(limit)}"
    else:
        verdict = Verdict.INCONCLUSIVE
        ends = []
        if lower is not None:
            ends.append(f"at least {seconds_bound(lower, limit, upper=False)}")
        if upper is not None:
            ends.append(f"at most {seconds_bound(upper, target, upper=True)}")
        known = f"{' and '.join(ends)} {sure}" if ends else "too few sessions for a bound"
        reason = f"{known}, the target is {told}: more sessions needed"
    return Judgement(verdict, reason, lower=lower, upper=upper)


def _bounds(metric: Metric, rule: Rule, bad: int, total: int) -> Bounds:
    share = _method(rule)(bad / rule.deff, total / rule.deff, _confidence(rule))
    ends = metric.figure_of(share.lower), metric.figure_of(share.upper)
    return Bounds(min(ends), max(ends))


def _method(rule: Rule) -> Method:
    return intervals.always_valid if rule.sequential else intervals.clopper_pearson


def _target(rule: Rule) -> float:
    if rule.target is None:
        raise LookupError("a rule without a target is judged by its baseline")
    return rule.target


def _confidence(rule: Rule) -> float:
    if rule.confidence is None:
        raise LookupError("the policy of the rule was not checked")
    return rule.confidence


def _sureness(rule: Rule) -> str:
    looks = " at any number of looks" if rule.sequential else ""
    return f"{_confidence(rule) * 100:g}% confidence{looks}"


def _more(needed: int | None, metric: Metric) -> str:
    if needed is None:
        return f"more {metric.trials} needed"
    return f"about {counted(needed, f'more {metric.trials[:-1]}')} {metric.without} needed"
