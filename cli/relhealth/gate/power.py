"""The power of a rule: how much it takes to pass at all, and for a good chance to pass."""

import math
from collections.abc import Callable
from datetime import timedelta

from scipy.special import bdtr

from relhealth.core.windows import HOUR, period_seconds
from relhealth.gate.clustering import Clustering
from relhealth.gate.intervals import still_needed
from relhealth.gate.metrics import Metric
from relhealth.gate.policy import Rule
from relhealth.gate.verdict import Counted, figure_bounds, passes

CHANCE = 0.8
_PERIODS = ("24h", "48h", "7d", "14d", "30d", "90d")
_NEAR = 5  # percentage points; a target that is further off is no help
_MOST = 10**10  # trials; beyond them, nothing passes

Passes = Callable[[float, float], bool]  # (bad events, total)


def passing(
    metric: Metric, rule: Rule, clustering: Clustering, baseline: Counted | None, late: float = 0.0
) -> Passes:
    """Return whether a rule passes a release, given its bad events and its total.

    ``late`` is the share of the bad events that is on its way.
    """
    return lambda bad, total: passes(metric, rule, Counted(bad, total, clustering, late), baseline)


def least(enough: Passes) -> int | None:
    """Return the fewest trials that can pass: without one bad event. ``None``: none can."""
    return _first(lambda total: enough(0, total))


def likely(enough: Passes, share: float, deff: float, chance: float = CHANCE) -> int | None:
    """Return about how many trials pass with a chance, if that share of them has a bad event.

    Counts are binomial among trials divided by the design effect. ``None``: no number does.
    """
    return _first(lambda total: chance_to_pass(enough, share, total, deff) >= chance)


def chance_to_pass(enough: Passes, share: float, total: int, deff: float) -> float:
    """Return the chance, 0 to 1, that so many trials pass, at a true share of bad events."""
    if not enough(0, total):
        return 0.0
    low, high = 0, total
    while low < high:  # the most bad events that pass
        middle = (low + high + 1) // 2
        low, high = (middle, high) if enough(middle, total) else (low, middle - 1)
    return float(bdtr(int(low / deff), max(1, int(total / deff)), share))


def reachable(metric: Metric, rule: Rule, counts: Counted) -> float:
    """Return the best target, in percent, that so many trials can pass: without a bad event."""
    found = figure_bounds(metric, rule, counts._replace(bad=0), rule.confidence or 0.0)
    return found.lower if metric.good else found.upper


def period_for(needed: int | None, per_hour: float) -> str | None:
    """Return the shortest period that brings so many trials, at so many an hour."""
    if needed is None:
        return None
    return next((one for one in _PERIODS if period_seconds(one) / HOUR * per_hour >= needed), None)


def more_needed(enough: Passes, counts: Counted) -> int | None:
    """Return how many more trials without a bad event it takes to pass; ``None`` if none do."""
    return still_needed(lambda more: enough(counts.bad, counts.total + more))


def advice(
    metric: Metric, rule: Rule, counts: Counted, needed: int | None, period: str, age: timedelta
) -> tuple[str, bool]:
    """Return what it takes to pass, and whether the window can never hold that.

    ``needed`` is how many more trials there must be, ``age`` how old the release is.
    """
    if needed is None:
        return f"More {metric.trials} are needed.", False
    have, total = int(counts.total), int(counts.total) + needed
    told = (
        f"It has {have:,}, and needs at least {total:,} {metric.trials} if all further ones are"
        f" {metric.without}."
    )
    if rule.sequential:
        return told, False
    hours = min(age / timedelta(hours=1), period_seconds(period) / HOUR)
    per_hour = counts.total / max(hours, 1.0)
    holds = int(per_hour * period_seconds(period) / HOUR)
    if holds >= total:
        return told, False
    longer = period_for(total, per_hour)
    ways = [f'period = "{longer}"'] if longer is not None else []
    if rule.target is not None and holds:
        best = reachable(metric, rule, counts._replace(total=holds))
        target = math.floor(best * 100) / 100 if metric.good else math.ceil(best * 100) / 100
        if _is_near(rule, target, rule.target):
            ways.append(f"a {'target' if metric.good else 'limit'} of {target:.12g}%")
    remedy = f": use {' or '.join(ways)}" if ways else ""
    held = f"A window of {period} holds about {holds:,} at this rate"
    return f"{told} {held}, so waiting does not help{remedy}.", True


def _is_near(rule: Rule, target: float, given: float) -> bool:
    """Tell whether another target is worth naming: not far off, and not beyond the critical."""
    if rule.critical is not None and abs(target - given) > abs(rule.critical - given):
        return False
    return abs(target - given) <= _NEAR


def _first(holds: Callable[[int], bool]) -> int | None:
    """Return about the smallest number from which a condition holds; ``None`` if it never does."""
    high = 1
    while not holds(high):
        high *= 2
        if high > _MOST:
            return None
    low = high // 2
    while high - low > max(1, high // 1_000):
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
