"""Evidence and bounds that are valid at all looks at growing counts together.

``k`` of ``n`` trials had the event; both can be fractions, divided by a design effect. Evidence
is the logarithm of an e-value. If the hypothesis that it speaks against is true, the evidence ever
reaches ``log(1 / alpha)`` with a probability of at most ``alpha``, for any number of looks (Ville's
inequality).

Why it is valid: take the likelihood of a share ``q`` divided by that of a limit ``x``. Each trial
multiplies this ratio by a factor with the mean ``p q / x + (1 - p) (1 - q) / (1 - x)``. For ``q``
below ``x``, the mean is 1 at ``p = x`` and less at any greater ``p``. So the ratio is a
supermartingale for each ``p >= x``, and so is a mixture of ratios over many ``q``. The other side
is the mirror image. A design effect takes a root of the factor, and by Jensen's inequality the mean
of the root is at most 1 too.

Late events: if the share ``arrived`` of the events has arrived, the evidence against ``p >= x`` is
that against a rate of arrivals of ``x * arrived``. Rare events arrive as a Poisson process, whose
intensity up to now is ``p * arrived * n``. The evidence depends on ``x`` and ``n`` by that product
alone, so it is the mixture for this process, and valid at all looks while ``arrived`` changes.

The mixture has the density Beta(a, a / x - a), whose mean is ``x``, truncated to one side of ``x``.
With ``a = 1`` its shape suits rare events: for a small ``x``, ``q / x`` is exponential. Sources:
H. Robbins, Annals of Mathematical Statistics 41 (1970); S. R. Howard et al., Annals of Statistics
49 (2021); A. Ramdas et al., Statistical Science 38 (2023).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc, betaincc, betaln

from relhealth.gate.intervals import Bounds, check_count, crossing

_Floats = NDArray[np.float64]
_Counts = tuple[float, float]

_TINY = 1e-12  # nearer to 0 and 1, shares of a baseline are not tried
_UNDERFLOW = 1e-290  # a smaller tail has lost digits
_HALVINGS = 40
_POINTS = 17  # of a grid over the baseline's share
_ZOOMS = 16
_FEWEST = 3  # zooms that are always made
_CLOSE = 1e-9  # relative; a finer grid that gains no more is the last
# Data of a large baseline fix its share within a few percent, those of a small one do not. So the
# baseline has several mixtures of equal weight: the limit itself (0), and densities with these a.
_SHARP = (0.0, 1.0, 10.0, 100.0)
_BROAD = (1.0,)


def evidence_below(k: float, n: float, limit: float) -> float:
    """Return the log e-value against ``p >= limit``: a release passes at ``log(1 / alpha)``.

    ``limit`` is a share of bad events, above 0 and below 1. Raises ``ValueError`` for others.
    """
    _check_limit(k, n, limit)
    return float(_mixed(k, n, limit, above=False))


def evidence_above(k: float, n: float, limit: float) -> float:
    """Return the log e-value against ``p <= limit``: a release fails at ``log(1 / alpha)``.

    ``limit`` is a share of bad events, above 0 and below 1. Raises ``ValueError`` for others.
    """
    _check_limit(k, n, limit)
    return float(_mixed(k, n, limit, above=True))


def p_value(evidence: float) -> float:
    """Return the p-value of a log e-value, at most 1; it is valid at all looks together."""
    return math.exp(-max(evidence, 0.0))


def sequential_bounds(k: float, n: float, confidence: float) -> Bounds:
    """Return one-sided bounds of a proportion, each valid at all looks together.

    Each bound is ever wrong with a probability of at most ``1 - confidence``. The bounds are the
    limits at which the evidence reaches its threshold. So the upper bound is at most ``x`` if and
    only if ``evidence_below(k, n, x)`` reaches it, and the lower bound at least ``x`` if and only
    if ``evidence_above(k, n, x)`` does. This needs evidence that grows with the distance between
    the limit and ``k / n``. For rare events (Poisson) it does: with ``q = t x``, the mixture does
    not depend on ``x``, and each ratio grows. For other events, the tests check it.

    With 95 % confidence, the lower bound is 0 up to three events.
    """
    check_count(k, n, confidence)
    threshold = -math.log1p(-confidence)

    def reached(above: bool) -> Callable[[float], bool]:  # noqa: FBT001 - one of two sides
        return lambda limit: bool(_mixed(k, n, limit, above=above) >= threshold)

    best = k / n
    return Bounds(
        crossing(best, 0.0, reached(above=True)) if k > 0 else 0.0,
        crossing(best, 1.0, reached(above=False)) if k < n else 1.0,
    )


def evidence_within(
    candidate: _Counts,
    baseline: _Counts,
    margin: float,
    *,
    relative: bool = False,
    arrived: float = 1.0,
) -> float:
    """Return the log e-value against a candidate that is worse than the margin allows.

    The null hypothesis is ``p1 >= p0 + margin`` or, if ``relative``, ``p1 >= p0 * (1 + margin)``.
    ``candidate`` and ``baseline`` are (events, trials), and ``margin`` is a share of 0 or more. A
    release passes at ``log(1 / alpha)``. ``arrived`` is the share of the candidate's events that
    has arrived, above 0. Raises ``ValueError`` for other counts and margins.

    Why it is valid: take any share ``c``. Multiply the candidate's e-value against
    ``p1 >= c + margin`` by the baseline's against ``p0 <= c``. If both are true, this product is a
    supermartingale: each new trial belongs to one of the two and multiplies one factor, whose mean
    is at most 1. Under the null hypothesis, both are true for ``c = p0``. The evidence is the least
    product over all ``c``, so it is never greater than that supermartingale. The order and the
    sizes in which the two grow do not matter, and the baseline need not grow at all.

    The least over all ``c`` is universal inference (L. Wasserman, A. Ramdas, S. Balakrishnan, PNAS
    117, 2020), made sharper by a mixture for each ``c``. The e-process by Kullback-Leibler
    projection (R. J. Turner, A. Ly, P. D. Grunwald, JSPI 230, 2024) needs blocks with a fixed
    ratio of both releases' trials. Two totals do not have such blocks.
    """
    pair = _pair(candidate, baseline, above=False, arrived=arrived)
    return _least(pair, margin, relative=relative)


def evidence_beyond(
    candidate: _Counts, baseline: _Counts, margin: float, *, relative: bool = False
) -> float:
    """Return the log e-value against a candidate that is within the margin.

    The null hypothesis is ``p1 <= p0 + margin`` or, if ``relative``, ``p1 <= p0 * (1 + margin)``.
    A release fails at ``log(1 / alpha)``. For all else, see ``evidence_within``.
    """
    return _least(_pair(candidate, baseline, above=True), margin, relative=relative)


def sequential_difference(
    candidate: _Counts, baseline: _Counts, confidence: float, *, arrived: float = 1.0
) -> Bounds:
    """Return one-sided bounds of ``p1 - p0``, each valid at all looks together.

    They enclose the differences of all pairs of shares that the evidence does not exclude. So the
    upper bound is at most ``margin`` if and only if ``evidence_within`` reaches its threshold, and
    the lower bound is at least ``margin`` if and only if ``evidence_beyond`` does. ``arrived`` is
    the share of the candidate's events that has arrived; the upper bound is of all of them.
    """
    lower, upper = _ends(candidate, baseline, confidence, arrived, ratio=False)
    return Bounds(max(lower - _TINY, -1.0), min(upper + _TINY, 1.0))


def sequential_ratio(
    candidate: _Counts, baseline: _Counts, confidence: float, *, arrived: float = 1.0
) -> Bounds:
    """Return one-sided bounds of ``p1 / p0``, each valid at all looks together.

    The upper bound is infinite if the baseline's share can be 0. For all else, see
    ``sequential_difference``.
    """
    return Bounds(*_ends(candidate, baseline, confidence, arrived, ratio=True))


def _ends(
    candidate: _Counts, baseline: _Counts, confidence: float, arrived: float, *, ratio: bool
) -> tuple[float, float]:
    check_count(*candidate, confidence)
    lower = _pair(candidate, baseline, above=True)
    upper = _pair(candidate, baseline, above=False, arrived=arrived)
    return _farthest(lower, confidence, ratio=ratio), _farthest(upper, confidence, ratio=ratio)


class _Pair(NamedTuple):
    """Two counts, and the side on which the candidate's evidence searches its share.

    ``arrived`` is the share of the candidate's events that has arrived.
    """

    candidate: _Counts
    baseline: _Counts
    above: bool
    arrived: float = 1.0

    def own(self, share: ArrayLike) -> _Floats:
        """Return the candidate's evidence against shares, and all beyond them."""
        limit = np.asarray(share) * self.arrived
        return _mixed(*self.candidate, limit, above=self.above, precisions=_BROAD)

    def base(self, share: ArrayLike) -> _Floats:
        """Return the baseline's evidence against shares, and all beyond them."""
        return _mixed(*self.baseline, share, above=not self.above, precisions=_SHARP)


def _pair(candidate: _Counts, baseline: _Counts, *, above: bool, arrived: float = 1.0) -> _Pair:
    for k, n in (candidate, baseline):
        check_count(k, n, 0.5)
    return _Pair(candidate, baseline, above, arrived)


def _least(pair: _Pair, margin: float, *, relative: bool) -> float:
    """Return the least evidence over all shares of the baseline."""
    if not 0 <= margin < math.inf:
        raise ValueError(f"no margin: {margin}")

    def evidence(base: _Floats) -> _Floats:
        limit = base * (1 + margin) if relative else base + margin
        # No candidate has a share of 1 or more; each candidate has one below.
        beyond = 0.0 if pair.above else math.inf
        inside = limit < 1
        own = pair.own(np.where(inside, limit, 0.5))
        return np.asarray(np.where(inside, own, beyond) + pair.base(base))

    odds = np.linspace(math.log(_TINY), -math.log(_TINY), 8 * _POINTS)
    grid = 1 / (1 + np.exp(-odds))
    return -_greatest(lambda base: -evidence(base), grid)


def _farthest(pair: _Pair, confidence: float, *, ratio: bool) -> float:
    """Return the end of the differences or ratios whose evidence does not reach its threshold."""
    threshold = -math.log1p(-confidence)
    sign = -1.0 if pair.above else 1.0  # the end is a least value, or a greatest one
    weakest = float(pair.own(1 - _TINY if pair.above else _TINY))
    # The baseline's e-value is at least the weight of the limit in its mixture. So the candidate's
    # evidence excludes all shares beyond this one, for any share of the baseline.
    most = threshold + math.log(len(_SHARP))
    span = (0.0, 1.0)
    widest = float(_reaching(pair.own, np.asarray(most), span, above=pair.above))
    span = (widest, 1.0) if pair.above else (0.0, widest)

    def limit(base: ArrayLike) -> _Floats:
        """Return the candidate's share at which the evidence of both reaches the threshold."""
        return _reaching(pair.own, threshold - pair.base(base), span, above=pair.above)

    def apart(base: _Floats) -> _Floats:
        value = limit(base) / base if ratio else limit(base) - base
        excluded = pair.base(base) >= threshold - weakest
        return np.asarray(np.where(excluded, -math.inf, sign * value))

    # The shares of the baseline to try: from where its evidence alone excludes all further ones ...
    alone = np.asarray(threshold - weakest)
    end = float(_reaching(pair.base, alone, (0.0, 1.0), above=not pair.above))
    # ... to where even the candidate's widest share is nearer than the pair at the best share.
    k, n = pair.baseline
    best = min(max(k / n, _TINY), 1 - _TINY)
    at_best = float(limit(best))
    if ratio and not pair.above and end <= _TINY:
        return math.inf
    if ratio and pair.above and at_best <= _TINY:
        return 0.0
    other = widest * best / at_best if ratio else best + widest - at_best
    first, last = sorted(min(max(x, _TINY), 1 - _TINY) for x in (end, other))
    return sign * _greatest(apart, np.linspace(first, last, _POINTS))


def _greatest(function: Callable[[_Floats], _Floats], grid: _Floats) -> float:
    """Return the greatest value of a function with one peak, from ever finer grids."""
    most = -math.inf
    for zoom in range(_ZOOMS):
        values = function(grid)
        peak = int(np.argmax(values))
        before, most = most, max(most, float(values[peak]))
        if math.isinf(most) or (zoom >= _FEWEST and most - before <= _CLOSE * abs(most)):
            break
        near = grid[max(peak - 1, 0)], grid[min(peak + 1, len(grid) - 1)]
        grid = np.linspace(*near, _POINTS)
    return most


def _reaching(
    evidence: Callable[[ArrayLike], _Floats],
    needed: _Floats,
    span: tuple[float, float],
    *,
    above: bool,
) -> _Floats:
    """Return, for each needed evidence, the share nearest to the data where it is reached.

    Evidence against ``p >= share`` grows with the share; if ``above``, it falls.
    """
    low, high = (np.full(np.shape(needed), end) for end in span)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        go_up = (evidence(middle) >= needed) == above
        low, high = np.where(go_up, middle, low), np.where(go_up, high, middle)
    return low if above else high


def _mixed(
    k: float, n: float, limit: ArrayLike, *, above: bool, precisions: tuple[float, ...] = _BROAD
) -> _Floats:
    """Return the log of the mean of mixtures, one a precision, for each limit."""
    limits = np.asarray(limit, dtype=np.float64)
    parts = [_mixture(k, n, limits, a, above=above) for a in precisions]
    if len(parts) == 1:
        return parts[0]
    return np.asarray(np.logaddexp.reduce(parts, axis=0) - math.log(len(parts)))


def _mixture(k: float, n: float, x: _Floats, a: float, *, above: bool) -> _Floats:
    """Return the log of the mean likelihood ratio over one side of each limit ``x``.

    The integral is a tail of the beta function. If the tail underflows, the first two terms of its
    series replace it. All terms are positive, so this is less than the integral. Source: NIST
    Digital Library of Mathematical Functions, 8.17.
    """
    if a == 0:
        return np.zeros(np.broadcast(k, x).shape)
    b = a * (1 - x) / x
    tail = betaincc if above else betainc
    with np.errstate(divide="ignore"):
        log_x, log_rest = np.log(x), np.log1p(-x)
        if a == 1:  # the general formula loses digits for small x
            prior = b * log_rest if above else np.log(-np.expm1(b * log_rest))
            prior -= np.log(b)
        else:
            prior = betaln(a, b) + np.log(tail(a, b, x))
        own, other = k + a, n - k + b
        share = tail(own, other, x)
        found = betaln(own, other) + np.log(share) - k * log_x - (n - k) * log_rest - prior
        lead, rest = (other, 1 - x) if above else (own, x)
        series = np.log1p((own + other) * rest / (lead + 1)) - np.log(lead)
        least = a * log_x + b * log_rest + series - prior
    return np.asarray(np.where(share > _UNDERFLOW, found, least))


def _check_limit(k: float, n: float, limit: float) -> None:
    check_count(k, n, 0.5)
    if not 0 < limit < 1:
        raise ValueError(f"no limit of a proportion: {limit}")
