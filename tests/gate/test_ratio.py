"""Bounds of a ratio of two rates against their definition, and how often they err."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from relhealth.gate.intervals import Bounds, clopper_pearson, mover, ratio

counts = st.integers(2, 100_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@settings(max_examples=60)
@given(counts, counts)
def test_bounds_of_a_ratio_are_where_those_of_a_difference_are_zero(
    candidate: tuple[int, int], baseline: tuple[int, int]
) -> None:
    found = ratio(candidate, baseline, 0.95)
    (k, n), (base_k, base_n) = candidate, baseline
    own, base = clopper_pearson(k, n, 0.95), clopper_pearson(base_k, base_n, 0.95)

    def at(r: float) -> Bounds:
        return mover(k / n, own, r * base_k / base_n, Bounds(r * base.lower, r * base.upper))

    scale = max(k / n, 1e-6)
    assert found.lower * base_k / base_n <= k / n * (1 + 1e-12)
    if k == 0:
        assert found.lower == 0
    else:
        assert at(found.lower).lower == pytest.approx(0, abs=1e-6 * scale)
    if base_k == 0:
        assert found.upper == math.inf
    else:
        assert at(found.upper).upper == pytest.approx(0, abs=1e-6 * found.upper)


@pytest.mark.parametrize("times", [1.0, 1.2, 2.0])
@pytest.mark.parametrize(("n", "base_n", "rate"), [(300, 2_000, 0.02), (300, 2_000, 0.3)])
def test_bounds_of_a_ratio_are_wrong_in_at_most_one_of_twenty(
    n: int, base_n: int, rate: float, times: float
) -> None:
    own, base = binom(n, rate * times), binom(base_n, rate)
    passed = failed = 0.0
    step = 3  # the chances of neighbouring counts of the baseline hardly differ
    for base_k in range(int(base.ppf(1e-5)), int(base.isf(1e-5)), step):
        ks = range(int(own.ppf(1e-6)), int(own.isf(1e-6)) + 1)
        uppers = np.array([ratio((k, n), (base_k, base_n), 0.95).upper for k in ks])
        lowers = np.array([ratio((k, n), (base_k, base_n), 0.95).lower for k in ks])
        weight = float(base.pmf(base_k)) * step
        passed += weight * float(own.pmf(ks)[uppers <= times].sum())
        failed += weight * float(own.pmf(ks)[lowers > times].sum())
    assert 0.015 < passed <= 0.05
    assert 0.015 < failed <= 0.05
