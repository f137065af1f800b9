"""Confidence bounds of proportions: exact, for small counts and at any number of looks.

``k`` of ``n`` trials had the event. Counts may be fractions: a design effect divides both. Every
bound is one-sided: below (or above) the true proportion with at least the stated confidence.
Beta quantiles and the logarithm of the beta function are SciPy's.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from scipy.special import betaincinv, betaln

_HALVINGS = 200  # more than enough to part neighbouring doubles
_MOST_NEEDED = 10**12


@dataclass(frozen=True, slots=True)
class Bounds:
    """A lower and an upper bound; both are 0 to 1 for a proportion."""

    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Ranks:
    """Ranks, from 1, of the values that bound a quantile; ``None``: too few for a bound."""

    lower: int | None
    upper: int | None

    def fractions(self, n: int) -> tuple[float | None, float | None]:
        """Return where, of ``n`` sorted values, those of the ranks lie: 0 to 1."""
        lower, upper = (None if r is None else (r - 0.5) / n for r in (self.lower, self.upper))
        return lower, upper


Method = Callable[[float, float, float], Bounds]


def clopper_pearson(k: float, n: float, confidence: float) -> Bounds:
    """Return the exact bounds of a proportion, for one look at the data.

    Each is wrong with a chance of at most ``1 - confidence``, whatever the proportion.
    Source: C. J. Clopper, E. S. Pearson, Biometrika 26 (1934), as beta quantiles.
    """
    _check(k, n, confidence)
    return Bounds(
        float(betaincinv(k, n - k + 1, 1 - confidence)) if k > 0 else 0.0,
        float(betaincinv(k + 1, n - k, confidence)) if k < n else 1.0,
    )


def always_valid(k: float, n: float, confidence: float) -> Bounds:
    """Return bounds of a proportion that hold at every look at a growing count, at once.

    The chance that the proportion is ever outside of them is at most ``1 - confidence``, both sides
    together, however often and whenever one looks. They are where the likelihood ratio of a
    mixture, with Jeffreys' Beta(1/2, 1/2) for weight, reaches ``1 / (1 - confidence)``; under the
    true proportion that ratio is a martingale, to which Ville's inequality applies. Source:
    H. Robbins, Annals of Mathematical Statistics 41 (1970); S. R. Howard et al., Annals of
    Statistics 49 (2021).
    """
    _check(k, n, confidence)
    mixture = betaln(k + 0.5, n - k + 0.5) - betaln(0.5, 0.5)
    threshold = -math.log1p(-confidence)

    def excluded(proportion: float) -> bool:
        hits = k * math.log(proportion) if k else 0.0
        misses = (n - k) * math.log1p(-proportion) if k < n else 0.0
        return bool(mixture - hits - misses >= threshold)

    best = k / n
    return Bounds(
        _crossing(best, 0.0, excluded) if k > 0 else 0.0,
        _crossing(best, 1.0, excluded) if k < n else 1.0,
    )


def _crossing(inside: float, outside: float, excluded: Callable[[float], bool]) -> float:
    """Return where exclusion begins between a proportion that is not excluded and one that is."""
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        if middle in {inside, outside}:
            break
        if excluded(middle):
            outside = middle
        else:
            inside = middle
    return outside


def difference(
    candidate: tuple[float, float], baseline: tuple[float, float], confidence: float
) -> Bounds:
    """Return bounds of the candidate's proportion less the baseline's, for one look.

    Those of ``mover`` with exact bounds, and not Jeffreys' or Wilson's, since those are wrong too
    often for a small candidate.
    """
    (k, n), (base_k, base_n) = candidate, baseline
    own, base = clopper_pearson(k, n, confidence), clopper_pearson(base_k, base_n, confidence)
    return mover(k / n, own, base_k / base_n, base)


def mover(own: float, own_bounds: Bounds, base: float, base_bounds: Bounds) -> Bounds:
    """Return bounds of the difference of two independent figures from the bounds of each.

    The distances from each estimate to its own bound are added as squares. Source: G. Y. Zou,
    A. Donner, Statistics in Medicine 27 (2008).
    """
    return Bounds(
        own - base - math.hypot(own - own_bounds.lower, base_bounds.upper - base),
        own - base + math.hypot(own_bounds.upper - own, base - base_bounds.lower),
    )


def always_valid_difference(
    candidate: tuple[float, float], baseline: tuple[float, float], confidence: float
) -> Bounds:
    """Return bounds of a difference of proportions that hold at every look, at once.

    Each proportion is given half of the error, so that both hold together (Boole's inequality).
    """
    half = 1 - (1 - confidence) / 2
    own, base = always_valid(*candidate, half), always_valid(*baseline, half)
    return Bounds(own.lower - base.upper, own.upper - base.lower)


def ranks(n: int, quantile: float, confidence: float, method: Method, deff: float) -> Ranks:
    """Return which of ``n`` sorted values bound a quantile, without regard to their distribution.

    The quantile is at most ``x`` if no more than ``1 - quantile`` of all values exceed ``x``, so
    the bounds of that proportion are turned into those of the quantile.
    """
    above = 1 - quantile

    def bounds(k: int) -> Bounds:
        return method(k / deff, n / deff, confidence)

    # The most values that may exceed x where the quantile is shown to be at most x ...
    most = _last(lambda k: bounds(k).upper <= above, 0, n)
    # ... and the fewest where it is shown to exceed x.
    few = _last(lambda k: bounds(k).lower <= above, 0, n)
    return Ranks(
        lower=n - few if few is not None and few < n else None,
        upper=n - most if most is not None else None,
    )


def _last(holds: Callable[[int], bool], least: int, most: int) -> int | None:
    """Return the last whole number for which something holds that holds up to there; or none."""
    if not holds(least):
        return None
    while least < most:
        middle = (least + most + 1) // 2
        if holds(middle):
            least = middle
        else:
            most = middle - 1
    return least


def still_needed(enough: Callable[[int], bool]) -> int | None:
    """Return how many more trials are enough: the least; ``None`` if no number that counts is."""
    most = 1
    while not enough(most):
        most *= 2
        if most > _MOST_NEEDED:
            return None
    short = _last(lambda more: not enough(more), most // 2, most)
    return 1 if short is None else short + 1


def _check(k: float, n: float, confidence: float) -> None:
    if not 0 <= k <= n or n <= 0 or not 0 < confidence < 1:
        raise ValueError(f"no proportion: {k} of {n} at a confidence of {confidence}")
