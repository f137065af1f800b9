"""Confidence bounds against SciPy's and statsmodels' own, and against their definitions."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binom
from statsmodels.stats.proportion import proportion_confint

from relhealth.gate.intervals import (
    clopper_pearson,
    difference,
    ranks,
    still_needed,
)
from relhealth.gate.sequential import sequential_bounds

CONFIDENCES = [0.8, 0.9, 0.95, 0.975, 0.99, 0.999]
SIZES = [1, 2, 3, 7, 10, 30, 100, 999, 20_000, 1_000_000, 5_000_000]
GRID = [
    (k, n)
    for n in SIZES
    for k in sorted({0, 1, 2, 5, n // 1000, n // 100, n // 20, n // 2, n - 2, n - 1, n})
    if 0 <= k <= n
]


@pytest.mark.parametrize("confidence", CONFIDENCES)
def test_exact_bounds_are_those_of_statsmodels_and_scipy(confidence: float) -> None:
    for k, n in GRID:
        found = clopper_pearson(k, n, confidence)
        theirs = proportion_confint(k, n, alpha=2 * (1 - confidence), method="beta")
        assert (found.lower, found.upper) == pytest.approx(theirs, rel=1e-9, abs=0), (k, n)
        lower = beta.ppf(1 - confidence, k, n - k + 1) if k else 0
        upper = beta.ppf(confidence, k + 1, n - k) if k < n else 1
        assert (found.lower, found.upper) == pytest.approx((lower, upper), rel=1e-9, abs=0)


@pytest.mark.parametrize("confidence", CONFIDENCES)
def test_exact_bounds_are_where_the_binomial_tails_end(confidence: float) -> None:
    for k, n in GRID:
        found = clopper_pearson(k, n, confidence)
        if k:
            assert binom.sf(k - 1, n, found.lower) == pytest.approx(1 - confidence, rel=1e-6)
        if k < n:
            assert binom.cdf(k, n, found.upper) == pytest.approx(1 - confidence, rel=1e-6)


def test_no_event_and_only_events_leave_one_side_open() -> None:
    # Without an event the upper bound p solves (1 - p)^n = 0.05.
    none, all_of_them = clopper_pearson(0, 59, 0.95), clopper_pearson(59, 59, 0.95)
    assert none.lower == 0
    assert none.upper == pytest.approx(1 - 0.05 ** (1 / 59), rel=1e-9)
    assert all_of_them.lower == pytest.approx(0.05 ** (1 / 59), rel=1e-9)
    assert all_of_them.upper == 1


@pytest.mark.parametrize("confidence", CONFIDENCES)
def test_the_price_of_many_looks_is_a_wider_interval(confidence: float) -> None:
    for k, n in GRID:
        one, many = clopper_pearson(k, n, confidence), sequential_bounds(k, n, confidence)
        assert many.lower <= one.lower, (k, n)
        assert many.upper >= one.upper, (k, n)


counts = st.integers(1, 100_000).flatmap(
    lambda n: st.tuples(st.integers(0, n).map(float), st.just(float(n)))
)


@given(counts, st.sampled_from(CONFIDENCES))
def test_what_does_not_happen_has_the_mirrored_bounds(
    count: tuple[float, float], confidence: float
) -> None:
    k, n = count
    found, mirrored = clopper_pearson(k, n, confidence), clopper_pearson(n - k, n, confidence)
    assert found.lower == pytest.approx(1 - mirrored.upper, abs=1e-9)
    assert found.upper == pytest.approx(1 - mirrored.lower, abs=1e-9)


@given(counts, counts, st.sampled_from(CONFIDENCES))
def test_a_difference_turned_round_has_the_bounds_turned_round(
    one: tuple[float, float], other: tuple[float, float], confidence: float
) -> None:
    found, turned = difference(one, other, confidence), difference(other, one, confidence)
    assert found.lower == pytest.approx(-turned.upper, abs=1e-9)
    assert found.lower <= one[0] / one[1] - other[0] / other[1] <= found.upper


def test_a_difference_adds_the_distances_as_squares() -> None:
    own = proportion_confint(3, 100, alpha=0.1, method="beta")
    base = proportion_confint(100, 20_000, alpha=0.1, method="beta")
    found = difference((3, 100), (100, 20_000), 0.95)
    assert found.upper == pytest.approx(
        0.025 + math.sqrt((own[1] - 0.03) ** 2 + (0.005 - base[0]) ** 2), rel=1e-9
    )
    assert found.lower == pytest.approx(
        0.025 - math.sqrt((0.03 - own[0]) ** 2 + (base[1] - 0.005) ** 2), rel=1e-9
    )


@pytest.mark.parametrize("quantile", [0.5, 0.9])
@pytest.mark.parametrize("n", [1, 4, 5, 28, 29, 100, 2_000])
def test_ranks_are_the_tightest_with_the_confidence(n: int, quantile: float) -> None:
    # The value of rank r is at least the quantile with the chance that fewer than r values of n
    # lie below it: P(B <= r - 1), B ~ binomial(n, quantile); and at most it with P(B >= r).
    found = ranks(n, quantile, 0.95, clopper_pearson, 1.0)
    uppers = [r for r in range(1, n + 1) if binom.cdf(r - 1, n, quantile) >= 0.95]
    lowers = [r for r in range(1, n + 1) if binom.sf(r - 1, n, quantile) >= 0.95]
    assert found.upper == min(uppers, default=None)
    assert found.lower == max(lowers, default=None)


def test_a_design_effect_widens_every_bound() -> None:
    plain, widened = clopper_pearson(10, 1_000, 0.95), clopper_pearson(5, 500, 0.95)
    assert widened.lower < plain.lower < plain.upper < widened.upper
    few, many = (ranks(1_000, 0.9, 0.95, clopper_pearson, deff) for deff in (2.0, 1.0))
    assert few.lower is not None
    assert few.upper is not None
    assert few.lower < (many.lower or 0)
    assert few.upper > (many.upper or 1_000)


def test_what_is_still_needed_is_the_least_that_is_enough() -> None:
    for least in (1, 2, 3, 64, 65, 1_000_003):
        assert still_needed(least.__le__) == least
    assert still_needed(lambda _: False) is None


@pytest.mark.parametrize(
    ("k", "n", "confidence"),
    [(-1, 5, 0.9), (6, 5, 0.9), (0, 0, 0.9), (1, 5, 0.0), (1, 5, 1.0), (math.nan, 5, 0.9)],
)
def test_what_is_no_proportion_is_refused(k: float, n: float, confidence: float) -> None:
    for method in (clopper_pearson, sequential_bounds):
        with pytest.raises(ValueError, match="no proportion"):
            method(k, n, confidence)
