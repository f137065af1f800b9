"""Confidence bounds of proportions for one look, exact for small counts.

``k`` of ``n`` trials had the event. Counts can be fractions: a design effect divides both. Every
bound is one-sided: below (or above) the true proportion with at least the stated confidence.
Beta quantiles are SciPy's.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from scipy.special import betaincinv

_HALVINGS = 200  # more than enough to separate neighbouring doubles
_MOST_NEEDED = 10**12


@dataclass(frozen=True, slots=True)
class Bounds:
    """A lower and an upper bound; for a proportion, both are 0 to 1."""

    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Ranks:
    """Ranks, from 1, of the values that bound a quantile; ``None`` if there are too few."""

    lower: int | None
    upper: int | None

    def fractions(self, n: int) -> tuple[float | None, float | None]:
        """Return the positions, 0 to 1, of the ranks among ``n`` sorted values."""
        lower, upper = (None if r is None else (r - 0.5) / n for r in (self.lower, self.upper))
        return lower, upper


Method = Callable[[float, float, float], Bounds]


def clopper_pearson(k: float, n: float, confidence: float) -> Bounds:
    """Return the exact bounds of a proportion, for one look at the data.

    Each is wrong with a probability of at most ``1 - confidence``, for any proportion.
    Source: C. J. Clopper, E. S. Pearson, Biometrika 26 (1934), as beta quantiles.
    """
    check_count(k, n, confidence)
    return Bounds(
        float(betaincinv(k, n - k + 1, 1 - confidence)) if k > 0 else 0.0,
        float(betaincinv(k + 1, n - k, confidence)) if k < n else 1.0,
    )


def crossing(inside: float, outside: float, excluded: Callable[[float], bool]) -> float:
    """Return the first excluded proportion between one that is not excluded and one that is."""
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
    """Return bounds of the candidate's proportion minus the baseline's, for one look.

    These are ``mover`` bounds with exact bounds; with Jeffreys' or Wilson's they would be wrong too
    often for a small candidate.
    """
    (k, n), (base_k, base_n) = candidate, baseline
    own, base = clopper_pearson(k, n, confidence), clopper_pearson(base_k, base_n, confidence)
    return mover(k / n, own, base_k / base_n, base)


def mover(own: float, own_bounds: Bounds, base: float, base_bounds: Bounds) -> Bounds:
    """Return bounds of the difference of two independent figures from the bounds of each.

    Adds the squared distances between each estimate and the bound of it. Source: G. Y. Zou,
    A. Donner, Statistics in Medicine 27 (2008).
    """
    return Bounds(
        own - base - math.hypot(own - own_bounds.lower, base_bounds.upper - base),
        own - base + math.hypot(own_bounds.upper - own, base - base_bounds.lower),
    )


def ratio(
    candidate: tuple[float, float], baseline: tuple[float, float], confidence: float
) -> Bounds:
    """Return bounds of the candidate's proportion divided by the baseline's, for one look.

    These are ``mover_ratio`` bounds with exact bounds.
    """
    (k, n), (base_k, base_n) = candidate, baseline
    own, base = clopper_pearson(k, n, confidence), clopper_pearson(base_k, base_n, confidence)
    return mover_ratio(k / n, own, base_k / base_n, base)


def mover_ratio(own: float, own_bounds: Bounds, base: float, base_bounds: Bounds) -> Bounds:
    """Return bounds of the ratio of two independent figures, 0 or more, from bounds of each.

    They are the ratios ``r`` at which a ``mover`` bound of ``own - r * base`` is 0. The upper bound
    is infinite if the baseline can be 0. Source: A. Donner, G. Y. Zou, Statistical Methods in
    Medical Research 21 (2012), MOVER-R.
    """
    product = own * base
    low, high = own_bounds.lower * (2 * own - own_bounds.lower), base_bounds.upper
    root = math.sqrt(max(product**2 - low * high * (2 * base - high), 0.0))
    lower = low / (product + root) if low > 0 else 0.0
    divisor = base_bounds.lower * (2 * base - base_bounds.lower)
    high = own_bounds.upper
    root = math.sqrt(max(product**2 - high * (2 * own - high) * divisor, 0.0))
    return Bounds(lower, (product + root) / divisor if divisor > 0 else math.inf)


def ranks(n: int, quantile: float, confidence: float, method: Method, deff: float) -> Ranks:
    """Return which of ``n`` sorted values bound a quantile, for any distribution.

    The quantile is at most ``x`` if at most ``1 - quantile`` of all values exceed ``x``. So
    the bounds of that proportion give those of the quantile.
    """
    above = 1 - quantile

    def bounds(k: int) -> Bounds:
        return method(k / deff, n / deff, confidence)

    # The most values that can exceed x when the quantile is surely at most x ...
    most = _last(lambda k: bounds(k).upper <= above, 0, n)
    # ... and the fewest when it surely exceeds x.
    few = _last(lambda k: bounds(k).lower <= above, 0, n)
    return Ranks(
        lower=n - few if few is not None and few < n else None,
        upper=n - most if most is not None else None,
    )


def _last(holds: Callable[[int], bool], least: int, most: int) -> int | None:
    """Return the last integer up to which a condition is true; None if it never is."""
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
    """Return the smallest number of further trials that is enough; ``None`` if none is."""
    most = 1
    while not enough(most):
        most *= 2
        if most > _MOST_NEEDED:
            return None
    short = _last(lambda more: not enough(more), most // 2, most)
    return 1 if short is None else short + 1


def check_count(k: float, n: float, confidence: float) -> None:
    """Raise ``ValueError`` for a count or a confidence that cannot be."""
    if not 0 <= k <= n or n <= 0 or not 0 < confidence < 1:
        raise ValueError(f"no proportion: {k} of {n} at a confidence of {confidence}")
