"""Verdicts: pure functions from counts and a rule to pass, fail or inconclusive, and why."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from relhealth.core.errors import ExitCode
from relhealth.core.printable import printable
from relhealth.gate import intervals, sequential
from relhealth.gate.clustering import (
    Clustering,
    clustered_bounds,
    clustered_difference,
    clustered_ratio,
)
from relhealth.gate.intervals import Bounds
from relhealth.gate.metrics import Duration, Metric
from relhealth.gate.policy import Rule
from relhealth.gate.wording import (
    happened,
    more_bound,
    percent_bound,
    percent_limit,
    points_bound,
    seconds_bound,
    seconds_limit,
    sureness,
)


class Verdict(StrEnum):
    """The verdict of a rule or a gate; the worst of several wins."""

    PASS = "pass"  # noqa: S105 - no password
    INCONCLUSIVE = "inconclusive"
    FAIL = "fail"


EXIT_CODES = {
    Verdict.PASS: ExitCode.OK,
    Verdict.FAIL: ExitCode.GATE_FAILED,
    Verdict.INCONCLUSIVE: ExitCode.GATE_INCONCLUSIVE,
}


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return fail before inconclusive before pass; without verdicts, inconclusive."""
    return max(verdicts, key=list(Verdict).index, default=Verdict.INCONCLUSIVE)


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with its reason and the data behind it.

    Bounds are of the figure, in percent or seconds, or of its difference from the baseline, in
    percentage points or seconds. Each single bound has the rule's confidence. ``None``: no such
    bound. ``needed`` is how many more trials without a bad event are needed to pass.
    ``has_data`` is false if there was nothing to judge, and ``is_judged`` true if the counts
    decided, so that it could have been a fail. ``is_hopeless`` means that the window never holds
    enough to pass, so that waiting does not help.
    """

    verdict: Verdict
    reason: str
    lower: float | None = None
    upper: float | None = None
    difference_lower: float | None = None
    difference_upper: float | None = None
    needed: int | None = None
    has_data: bool = True
    is_judged: bool = False
    is_hopeless: bool = False


class Counted(NamedTuple):
    """The bad events and the total of one release, which is not 0, and how its users cluster.

    ``late`` is the share of the bad events, 0 to less than 1, that has not arrived.
    """

    bad: float
    total: float
    clustering: Clustering
    late: float = 0.0

    @property
    def effective(self) -> tuple[float, float]:
        """Return the counts of independent trials with the same information."""
        return self.clustering.effective(self.bad, self.total)

    @property
    def arrived(self) -> float:
        """Return the share of the bad events that has arrived."""
        return 1 - self.late


def waiting(reason: str, needed: int | None = None, *, has_data: bool = True) -> Judgement:
    """Return an inconclusive judgement."""
    return Judgement(Verdict.INCONCLUSIVE, reason, needed=needed, has_data=has_data)


def passes(metric: Metric, rule: Rule, own: Counted, baseline: Counted | None) -> bool:
    """Tell whether a rule on a rate passes a release. Sooner than by all of the bounds."""
    confidence, margin = _confidence(rule), rule.allowed
    if baseline is None:
        limit = metric.share_of(_target(rule))
        if rule.sequential:
            evidence = sequential.evidence_below(*own.effective, limit * own.arrived)
            return evidence >= _threshold(rule)
        return _share_bounds(rule, own, confidence).upper <= limit
    if rule.sequential:
        share = margin.amount / 100
        counts = own.effective, baseline.effective
        evidence = sequential.evidence_within(
            *counts, share, relative=margin.relative, arrived=own.arrived
        )
        return evidence >= _threshold(rule)
    return worse(rule, own, baseline, confidence).upper <= margin.amount


def fails(metric: Metric, rule: Rule, own: Counted, baseline: Counted | None) -> bool:
    """Tell whether a rule on a rate fails a release; as ``passes``."""
    confidence, margin = _confidence(rule), rule.allowed
    if baseline is None:
        limit = metric.share_of(_target(rule) if rule.critical is None else rule.critical)
        if rule.sequential:
            return sequential.evidence_above(*own.effective, limit) >= _threshold(rule)
        return _share_bounds(rule, own, confidence).lower > limit
    if rule.sequential:
        share = margin.amount / 100
        counts = own.effective, baseline.effective
        evidence = sequential.evidence_beyond(*counts, share, relative=margin.relative)
        return evidence >= _threshold(rule)
    return worse(rule, own, baseline, confidence).lower > margin.amount


def briefly(metric: Metric, rule: Rule, own: Counted, baseline: Counted | None) -> Judgement:
    """Judge a rate without bounds and words."""
    share = own.bad / own.total
    if baseline is None:
        target = metric.share_of(_target(rule))
    else:
        margin, base = rule.allowed, baseline.bad / baseline.total
        more = margin.amount / 100
        target = base * (1 + more) if margin.relative else base + more
    verdict = Verdict.INCONCLUSIVE
    if share <= target:  # what was observed is good enough, so that it cannot fail
        if passes(metric, rule, own, baseline):
            verdict = Verdict.PASS
    elif fails(metric, rule, own, baseline):
        verdict = Verdict.FAIL
    return Judgement(verdict, "", is_judged=True)


def against_target(metric: Metric, rule: Rule, sample: Counted) -> Judgement:
    """Judge a rate by its target."""
    target = _target(rule)
    limit = target if rule.critical is None else rule.critical

    confidence = _confidence(rule)
    found = figure_bounds(metric, rule, sample, confidence)
    at_least = percent_bound(found.lower, target if metric.good else limit, upper=False)
    at_most = percent_bound(found.upper, limit if metric.good else target, upper=True)
    seen = happened(metric, sample.bad, sample.total, follow_up=rule.follow_up)
    what = f"{seen} The true {metric.rate} is"
    one, both = sureness(confidence, both=False), sureness(confidence, both=True)
    word = "target" if metric.good else "limit"
    if found.lower >= target if metric.good else found.upper <= target:
        verdict = Verdict.PASS
        bound = f"at least {at_least}" if metric.good else f"at most {at_most}"
        reason = f"{what} {bound} ({one}); the {word} is {percent_limit(target)}."
    elif found.upper < limit if metric.good else found.lower > limit:
        verdict = Verdict.FAIL
        bound = f"at most {at_most}" if metric.good else f"at least {at_least}"
        side = "below" if metric.good else "above"
        reason = f"{what} {bound} ({one}); the rule fails {side} {percent_limit(limit)}."
    else:
        verdict = Verdict.INCONCLUSIVE
        reason = (
            f"{what} between {at_least} and {at_most} ({both}); the {word} is"
            f" {percent_limit(target)}."
        )
    return Judgement(
        verdict,
        reason,
        lower=found.lower,
        upper=found.upper,
        is_judged=True,
    )


def against_baseline(
    metric: Metric, rule: Rule, candidate: Counted, baseline: Counted, name: str
) -> Judgement:
    """Judge whether a rate is worse than the baseline's by more than the margin.

    Non-inferiority: the worst case must be within the margin; the release fails if the best case is
    not. ``name`` is the baseline's.
    """
    margin, confidence = rule.allowed, _confidence(rule)
    found = worse(rule, candidate, baseline, confidence)
    bound = more_bound if margin.relative else points_bound
    best = bound(found.lower, margin.amount, upper=False)
    at_worst = bound(found.upper, margin.amount, upper=True)
    one, both = sureness(confidence, both=False), sureness(confidence, both=True)
    its = printable(name)
    if margin.relative:
        figure = f"share of {metric.trials} that {metric.happened}"
        allowed = f"{percent_limit(margin.amount)} more is allowed"
    else:
        figure, allowed = metric.rate, f"{margin} points worse is allowed"
    what = (
        f"{happened(metric, candidate.bad, candidate.total, follow_up=rule.follow_up)}"
        f" {happened(metric, baseline.bad, baseline.total, of=its, follow_up=rule.follow_up)}"
        f" The true {figure} is"
    )
    than = f"than that of {its}"
    if found.upper <= margin.amount:
        verdict = Verdict.PASS
        reason = f"{what} {at_worst} {than} ({one}); {allowed}."
    elif found.lower > margin.amount:
        verdict = Verdict.FAIL
        reason = f"{what} {best} {than} ({one}); {allowed}."
    else:
        verdict = Verdict.INCONCLUSIVE
        reason = f"{what} from {best} to {at_worst} {than} ({both}); {allowed}."
    points = found
    if margin.relative:
        points = worse(replace(rule, margin=0.0), candidate, baseline, confidence)
    ends = (-points.upper, -points.lower) if metric.good else (points.lower, points.upper)
    alone = figure_bounds(metric, rule, candidate, confidence)
    return Judgement(
        verdict,
        reason,
        lower=alone.lower,
        upper=alone.upper,
        difference_lower=ends[0],
        difference_upper=ends[1],
        is_judged=True,
    )


def worse(rule: Rule, candidate: Counted, baseline: Counted, confidence: float) -> Bounds:
    """Return bounds of how much worse a release is than its baseline, in the margin's unit.

    That is percentage points, or percent more bad events if the margin is relative. The upper bound
    is with the release's bad events that are on their way. The baseline's count as they arrived:
    more of them would only make the release look better.
    """
    relative = rule.allowed.relative
    if rule.sequential:
        compare = sequential.sequential_ratio if relative else sequential.sequential_difference
        counts = candidate.effective, baseline.effective
        share = compare(*counts, confidence, arrived=candidate.arrived)
    else:
        compare_at_once = clustered_ratio if relative else clustered_difference
        share = compare_at_once(candidate[:3], baseline[:3], confidence, candidate.arrived)
    if relative:
        share = Bounds(share.lower - 1, share.upper - 1)
    return Bounds(100 * share.lower, 100 * share.upper)


def figure_bounds(metric: Metric, rule: Rule, sample: Counted, confidence: float) -> Bounds:
    """Return the bounds of a figure, in percent."""
    share = _share_bounds(rule, sample, confidence)
    ends = metric.figure_of(share.lower), metric.figure_of(share.upper)
    return Bounds(min(ends), max(ends))


def _share_bounds(rule: Rule, sample: Counted, confidence: float) -> Bounds:
    """Return bounds of the share of bad events; the upper one is of those on their way, too."""
    if rule.sequential:
        found = sequential.sequential_bounds(*sample.effective, confidence)
    else:
        found = clustered_bounds(sample.bad, sample.total, confidence, sample.clustering)
    return Bounds(found.lower, min(found.upper / sample.arrived, 1.0))


def duration_fractions(
    duration: Duration, rule: Rule, n: int, deff: float
) -> tuple[float | None, float | None]:
    """Return the positions, 0 to 1, of the percentile's bounds among ``n`` durations."""
    method = sequential.sequential_bounds if rule.sequential else intervals.clopper_pearson
    return intervals.ranks(n, duration.quantile, _confidence(rule), method, deff).fractions(n)


def against_longest(
    duration: Duration, rule: Rule, lower: float | None, upper: float | None
) -> Judgement:
    """Judge a percentile of durations by its target, from its bounds in seconds."""
    target = _target(rule)
    limit = target if rule.critical is None else rule.critical
    confidence = _confidence(rule)
    one, both = sureness(confidence, both=False), sureness(confidence, both=True)
    if upper is not None and upper <= target:
        verdict = Verdict.PASS
        bound = f"at most {seconds_bound(upper, target, upper=True)} ({one})"
        told = f"the limit is {seconds_limit(target)}."
    elif lower is not None and lower > limit:
        verdict = Verdict.FAIL
        bound = f"at least {seconds_bound(lower, limit, upper=False)} ({one})"
        told = f"the rule fails above {seconds_limit(limit)}."
    else:
        verdict = Verdict.INCONCLUSIVE
        bound = _between(lower, upper, (limit, target), one, both)
        told = f"the limit is {seconds_limit(target)}."
    return Judgement(
        verdict, f"{_percentile(duration)} is {bound}; {told}", lower=lower, upper=upper
    )


def against_longer(
    duration: Duration,
    rule: Rule,
    own: tuple[float, Bounds | None],
    base: tuple[float, Bounds | None],
    name: str,
) -> Judgement:
    """Judge a percentile of durations by the baseline's.

    Both are (observed, bounds), in seconds; ``name`` is the baseline's.
    """
    (observed, bounds), (its, its_bounds) = own, base
    margin = rule.allowed
    one = sureness(_confidence(rule), both=False)
    if bounds is None or its_bounds is None:
        return waiting("Too few sessions for a bound.")
    factor, limit = (1 + margin.amount / 100, 0.0) if margin.relative else (1.0, margin.amount)
    scaled = Bounds(factor * its_bounds.lower, factor * its_bounds.upper)
    found = intervals.mover(observed, bounds, factor * its, scaled)
    told = f"the margin is {margin}{'' if margin.relative else ' s'}"
    whose = f"{f'{factor:.12g} times ' if margin.relative else ''}that of {printable(name)}"
    if found.upper <= limit:
        verdict, bound = Verdict.PASS, f"at worst {_longer(found.upper, limit, upper=True)}"
    elif found.lower > limit:
        verdict, bound = Verdict.FAIL, f"at best {_longer(found.lower, limit, upper=False)}"
    else:
        verdict = Verdict.INCONCLUSIVE
        one = sureness(_confidence(rule), both=True)
        bound = (
            f"from {_longer(found.lower, limit, upper=False)} to"
            f" {_longer(found.upper, limit, upper=True)}"
        )
    plain = intervals.mover(observed, bounds, its, its_bounds)
    return Judgement(
        verdict,
        f"{_percentile(duration)} is {bound} than {whose} ({one}); {told}.",
        lower=bounds.lower,
        upper=bounds.upper,
        difference_lower=plain.lower,
        difference_upper=plain.upper,
        is_judged=True,
    )


def _percentile(duration: Duration) -> str:
    return f"The duration that {100 * duration.quantile:g}% of sessions stay within"


def _between(
    lower: float | None,
    upper: float | None,
    limits: tuple[float, float],
    one: str,
    both: str,
) -> str:
    ends = []
    if lower is not None:
        ends.append(f"at least {seconds_bound(lower, limits[0], upper=False)}")
    if upper is not None:
        ends.append(f"at most {seconds_bound(upper, limits[1], upper=True)}")
    if not ends:
        return "not known: there are too few sessions for a bound"
    return f"{' and '.join(ends)} ({both if len(ends) > 1 else one})"


def _longer(value: float, limit: float, *, upper: bool) -> str:
    """Return a bound of a difference of durations, in words; positive means longer."""
    size = seconds_bound(abs(value), abs(limit), upper=upper == (value > 0))
    return f"{size} {'longer' if value > 0 else 'shorter'}"


def _threshold(rule: Rule) -> float:
    """Return the log evidence that a sequential rule needs."""
    return -math.log1p(-_confidence(rule))


def _target(rule: Rule) -> float:
    if rule.target is None:
        raise LookupError("a rule without a target is judged by its baseline")
    return rule.target


def _confidence(rule: Rule) -> float:
    if rule.confidence is None:
        raise LookupError("the policy of the rule was not checked")
    return rule.confidence
