"""Runs the gate on generated worlds, look by look, and counts its verdicts."""

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from relhealth.core.scope import ProjectRelease
from relhealth.gate.metrics import METRICS, Metric
from relhealth.gate.policy import Policy, Rule
from relhealth.gate.reading import Found, Plan
from relhealth.gate.run import Judge
from relhealth.gate.verdict import Verdict, worst
from use_memory import Remembered
from use_scenarios import (
    KINDS,
    SCENARIOS,
    Scenario,
    concerns,
    generator,
    looks,
    policy,
    releases,
    world,
)
from use_world import HOUR, LAUNCH, World

_Counts = tuple[int, int]
_POINTS = 17  # shares of the baseline that are tried


class Outcome(NamedTuple):
    """The hours after which a gate first passed, and first failed; ``None`` if it never did."""

    passed: int | None
    failed: int | None

    @property
    def first(self) -> tuple[Verdict, int | None]:
        """The first verdict that decides, and when."""
        if self.passed is None and self.failed is None:
            return Verdict.INCONCLUSIVE, None
        passed, failed = (math.inf if one is None else one for one in self)
        return (Verdict.PASS, self.passed) if passed < failed else (Verdict.FAIL, self.failed)


def run(name: str, kind: str, number: int, seed: int) -> dict[str, Outcome]:
    """Return the outcome of each policy on one generated world of a scenario."""
    random = seed, list(SCENARIOS).index(name), KINDS.index(kind), number
    return run_of(SCENARIOS[name], kind, random)


def run_of(scenario: Scenario, kind: str, seed: Sequence[int]) -> dict[str, Outcome]:
    """Return the outcome of each policy that a truth tests on one generated world."""
    generated = world(scenario, kind, generator(*seed))
    return {
        one: look(
            generated,
            policy(scenario, one),
            releases(scenario),
            looks(scenario, one),
            until_decided=kind in {"good", "bad"},
        )
        for one in scenario.policies
        if concerns(one, kind)
    }


def look(
    generated: World,
    of: Policy,
    pairs: Sequence[ProjectRelease],
    hours: Iterable[int],
    *,
    until_decided: bool = False,
) -> Outcome:
    """Let the gate look at a world at some hours after the launch."""
    first: dict[Verdict, int] = {}
    for hour in hours:
        verdict = verdict_at(generated, of, pairs, hour)
        if verdict is not Verdict.INCONCLUSIVE:
            first.setdefault(verdict, hour)
        if len(first) > (0 if until_decided else 1):
            break
    return Outcome(first.get(Verdict.PASS), first.get(Verdict.FAIL))


def verdict_at(
    generated: World, of: Policy, pairs: Sequence[ProjectRelease], hour: int, *, every: bool = False
) -> Verdict:
    """Return the gate's verdict at an hour; evidence that cannot be enough is left out.

    ``every`` computes this too.
    """
    now = LAUNCH + hour * HOUR
    asking = Remembered(generated, now)
    judge = Judge(asking, of, datetime.fromtimestamp(now, UTC))
    plans = judge.plans(pairs)
    found, _ = judge.read(plans)
    if not every and not any(can_decide(plan, found) for plan in plans):
        return Verdict.INCONCLUSIVE
    return worst(check.verdict for check in judge.checks(plans, found, advise=False))


def can_decide(plan: Plan, found: Found) -> bool:
    """Tell whether a rule could decide, from what is much quicker to compute than its evidence.

    No mixture of likelihoods is above the greatest likelihood, and a design effect only lowers it.
    So the evidence of a sequential rule with a baseline can be enough only where the logarithm of
    the likelihood ratio is.
    """
    rule, metric = plan.rule, METRICS[plan.rule.metric]
    if not (rule.sequential and rule.baselines and isinstance(metric, Metric)):
        return True
    asked = (plan.candidate, *plan.baselines.possible[:1])
    counts = [found.sample(one, metric, rule).bad(metric) for one in asked]
    if len(counts) == 1 or not all(total for _, total in counts):
        return False
    return _ratio_of_two(rule, counts[0], counts[1]) >= -math.log1p(-(rule.confidence or 0))


def _ratio(k: int, n: int, share: float) -> float:
    """Return the logarithm of the likelihood of ``k / n`` divided by that of a share."""
    best = k / n
    found = k * math.log(best / share) if k else 0.0
    return found + ((n - k) * math.log((1 - best) / (1 - share)) if k < n else 0.0)


def _ratio_of_two(rule: Rule, own: _Counts, base: _Counts) -> float:
    """Return at least the ratio where the release is worse by just the margin."""
    margin = rule.allowed
    factor, added = (1 + margin.amount / 100, 0.0) if margin.relative else (1, margin.amount / 100)
    ends = base[0] / base[1], (own[0] / own[1] - added) / factor
    low, high = (min(max(end, 1e-9), 0.5) for end in sorted(ends))
    shares = np.linspace(low, high, _POINTS).tolist()
    return min(_ratio(*own, share * factor + added) + _ratio(*base, share) for share in shares)
