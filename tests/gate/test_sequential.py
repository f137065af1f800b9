"""Evidence at many looks: its definition, and exact chances to ever be wrong."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.linalg import toeplitz
from scipy.special import logsumexp
from scipy.stats import beta, binom

from relhealth.gate import sequential
from relhealth.gate.intervals import clopper_pearson
from relhealth.gate.sequential import (
    evidence_above,
    evidence_below,
    evidence_beyond,
    evidence_within,
    p_value,
    sequential_bounds,
    sequential_difference,
    sequential_ratio,
)

ERROR = 0.05
THRESHOLD = math.log(1 / ERROR)
Floats = NDArray[np.float64]
SIDES = {"below": evidence_below, "above": evidence_above}
DEFINED = [
    (0, 1, 0.3),
    (1, 1, 0.3),
    (0, 500, 0.005),
    (3.5, 420.25, 0.005),
    (40, 8_400, 0.005),
    (40, 8_400, 0.004),
    (400, 1_000, 0.5),
    (999, 1_000, 0.98),
    (300, 300, 0.4),
    (0, 1e6, 1e-6),
    (5, 1e6, 1e-6),
    (60, 1e8, 1e-6),
    (5e5, 1e8, 0.00501),
]


def by_definition(k: float, n: float, limit: float, side: str) -> float:
    """Return the log of the mean likelihood ratio over the truncated density, by quadrature."""
    prior = beta(1, 1 / limit - 1)
    low, high = (0.0, limit) if side == "below" else (limit, 1.0)
    weight = prior.cdf(limit) if side == "below" else prior.sf(limit)

    def log_ratio(q: float) -> float:
        misses = (n - k) * (math.log1p(-q) - math.log1p(-limit)) if k < n else 0
        return (k * math.log(q / limit) if k else 0) + misses

    peak = min(max(k / n, low + 1e-15), high - 1e-15)
    spread = math.sqrt(max(k, 1.0)) / n
    marks = [peak + by * spread for by in (-30, -10, -3, -1, 0, 1, 3, 10, 30)]
    ends = [low, *(x for x in marks if low < x < high), high]
    top = log_ratio(peak)
    area = sum(
        quad(lambda q: prior.pdf(q) * math.exp(log_ratio(q) - top), a, b, epsabs=0, limit=200)[0]
        for a, b in pairwise(ends)
        if b - a > 1e-15
    )
    return top + math.log(area / weight)


@pytest.mark.filterwarnings("ignore::scipy.integrate.IntegrationWarning")
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(("k", "n", "limit"), DEFINED)
def test_evidence_is_the_mean_likelihood_ratio(k: float, n: float, limit: float, side: str) -> None:
    found = SIDES[side](k, n, limit)
    assert found == pytest.approx(by_definition(k, n, limit, side), abs=1e-6, rel=1e-6)


def test_evidence_is_a_small_number_where_its_tail_underflows() -> None:
    # The mean ratio is between its first term and its value at the limit, which is 1.
    for side, k, n, limit in (("below", 5_000, 1e5, 0.001), ("above", 10, 1e7, 0.01)):
        assert -math.log(1e8) < SIDES[side](k, n, limit) < 0
    assert evidence_below(1e8, 1e8, 1e-6) < 0
    assert evidence_above(0, 1e8, 0.5) < 0
    assert evidence_below(0, 1e8, 0.5) > 1e7
    assert evidence_above(1e8, 1e8, 1e-6) > 1e8


@pytest.mark.parametrize("limit", [0.001, 0.02, 0.3, 0.8])
@pytest.mark.parametrize("n", [1, 7, 60, 400])
def test_the_mean_of_the_e_value_is_one_at_the_limit_and_less_beyond(n: int, limit: float) -> None:
    counts = range(n + 1)
    for side, by in (("below", 1.2), ("above", 1 / 1.2)):
        values = np.array([SIDES[side](k, n, limit) for k in counts])

        def mean(true: float, values: Floats = values) -> float:
            return math.exp(logsumexp(values + binom.logpmf(counts, n, true)))

        assert mean(limit) == pytest.approx(1, rel=1e-8)
        assert mean(limit * by) < 1
        assert mean(limit / by) > 1


def ever(side: str, limit: float, true: float, looks: int, size: int, deff: float = 1.0) -> float:
    """Return the exact chance that the evidence ever reaches its threshold."""
    batch = binom.pmf(np.arange(size + 1), size, true)
    left, reached = np.ones(1), 0.0
    for look in range(1, looks + 1):
        left = np.convolve(left, batch)
        left = left[: 1 + int(np.flatnonzero(left > 1e-16).max(initial=0))]
        counts, n = np.arange(len(left)) / deff, look * size / deff
        found = sequential._mixture(counts, n, np.asarray(limit), 1.0, above=side == "above")  # type: ignore[arg-type]  # noqa: SLF001
        reached += float(left[found >= THRESHOLD].sum())
        left[found >= THRESHOLD] = 0
    return reached


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(
    ("limit", "looks", "size"), [(0.005, 168, 50), (0.05, 168, 50), (0.02, 500, 4), (0.3, 300, 1)]
)
def test_no_number_of_looks_is_wrong_more_often_than_stated(
    side: str, limit: float, looks: int, size: int
) -> None:
    at_limit = ever(side, limit, limit, looks, size)
    assert 0.015 < at_limit <= ERROR  # and not for lack of power
    worse = limit * (1.1 if side == "below" else 0.9)
    assert ever(side, limit, worse, looks, size) < at_limit
    assert ever(side, limit, limit, looks, size, deff=2) < at_limit


def test_bounds_of_one_look_are_wrong_more_often() -> None:
    # The check above can fail: with one look's bounds in place of the evidence it does.
    left, reached = np.ones(1), 0.0
    for look in range(1, 169):
        left = np.convolve(left, binom.pmf(np.arange(51), 50, 0.005))
        passing = sum(
            clopper_pearson(k, look * 50, 0.95).upper <= 0.005 for k in range(min(50 * look, 60))
        )
        reached += float(left[:passing].sum())
        left[:passing] = 0
    assert reached > 4 * ERROR


@pytest.mark.parametrize(
    ("true", "side", "least"),
    [(0.002, "below", 0.98), (0.003, "below", 0.62), (0.008, "above", 0.82), (0.01, "above", 0.99)],
)
def test_a_week_of_hourly_looks_decides(true: float, side: str, least: float) -> None:
    assert ever(side, 0.005, true, 168, 50) > least


shares = st.floats(1e-5, 0.999)
counts = st.integers(1, 100_000).flatmap(
    lambda n: st.tuples(
        st.floats(0.01, n) | st.integers(0, min(n, 50)).map(float), st.just(float(n))
    )
)


@settings(max_examples=50)
@given(counts, shares, st.sampled_from([0.8, 0.95, 0.999]))
def test_bounds_and_evidence_agree(
    count: tuple[float, float], limit: float, confidence: float
) -> None:
    found, threshold = sequential_bounds(*count, confidence), -math.log1p(-confidence)
    below, above = evidence_below(*count, limit), evidence_above(*count, limit)
    if abs(below - threshold) > 1e-6:
        assert (found.upper <= limit) == (below >= threshold)
    if abs(above - threshold) > 1e-6:
        assert (found.lower >= limit) == (above >= threshold)
    assert 0 <= found.lower <= count[0] / count[1] <= found.upper <= 1


@pytest.mark.parametrize("n", [1, 2, 3, 10, 100, 10_000, 10**6, 10**8])
def test_evidence_grows_with_the_distance_of_the_limit(n: int) -> None:
    # Far on the wrong side, evidence is near its lowest and need not grow: only that counts
    # which could reach a threshold.
    limits = np.concatenate([np.geomspace(1e-7, 0.5, 400), 1 - np.geomspace(0.5, 1e-7, 400)])
    for k in {0.0, 0.5, 1.0, min(n, 3.0), 0.001 * n, 0.1 * n, 0.5 * n, n - 1.0, float(n)}:
        for above in (False, True):
            found = sequential._mixture(k, n, limits, 1.0, above=above)  # noqa: SLF001
            found = found[::-1] if above else found
            steps = np.diff(found)[found[1:] > 0]
            assert (steps > -1e-9 * np.abs(found[1:][found[1:] > 0]) - 1e-6).all(), (k, above)


@pytest.mark.parametrize(("k", "n"), [(0, 600), (5, 1_000), (40, 8_400), (200, 20_000), (60, 1e8)])
def test_bounds_for_many_looks_are_wider_than_those_for_one(k: float, n: float) -> None:
    found, one = sequential_bounds(k, n, 0.95), clopper_pearson(k, n, 0.95)
    assert one.upper < found.upper < 2.5 * one.upper
    assert found.lower <= one.lower


def test_no_limit_is_exceeded_by_three_events() -> None:
    # As the limit goes to 0, the e-value of k events goes to e * Gamma(k + 1, 1): 16 of 3 events.
    assert math.exp(evidence_above(3, 1_000, 1e-9)) == pytest.approx(16, rel=1e-3)
    assert sequential_bounds(3, 1_000, 0.95).lower == pytest.approx(0, abs=1e-12)
    assert sequential_bounds(4, 1_000, 0.95).lower > 0.0001


PAIRS = [
    ((0, 500), (100, 20_000)),
    ((40, 8_400), (400, 84_000)),
    ((80, 8_400), (40, 8_400)),
    ((500.5, 8_400.5), (4_000, 84_000)),
    ((5, 1_000), (0, 1_000)),
    ((3, 100), (3, 100)),
    ((30_000, 1e6), (3e6, 1e8)),
]


@pytest.mark.parametrize(("candidate", "baseline"), PAIRS)
@pytest.mark.parametrize("relative", [False, True])
def test_evidence_of_two_is_the_least_over_the_baselines_share(
    candidate: tuple[float, float],
    baseline: tuple[float, float],
    relative: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    best = (baseline[0] + 0.5) / baseline[1]
    grid = np.concatenate([np.geomspace(1e-11, 0.999, 4_000), np.linspace(0.2, 3, 6_001) * best])
    grid = grid[grid < 1]
    margin = 0.3 if relative else 0.002
    limit = grid * 1.3 if relative else grid + margin
    grid, limit = grid[limit < 1], limit[limit < 1]
    mixed = sequential._mixed  # noqa: SLF001
    for evidence, above in ((evidence_within, False), (evidence_beyond, True)):
        own = mixed(*candidate, limit, above=above)
        base = [sequential._mixture(*baseline, grid, a, above=not above) for a in SHARP]  # noqa: SLF001
        least = float((own + logsumexp(base, axis=0) - math.log(len(SHARP))).min())
        found = evidence(candidate, baseline, margin, relative=relative)
        assert found <= least + 1e-6 * abs(least)
        assert found == pytest.approx(least, abs=0.02)


SHARP = (0.0, 1.0, 10.0, 100.0)  # the precisions: the limit itself, and three densities


@pytest.mark.parametrize(("candidate", "baseline"), PAIRS)
def test_bounds_of_two_are_where_the_evidence_reaches_its_threshold(
    candidate: tuple[float, float], baseline: tuple[float, float]
) -> None:
    apart = sequential_difference(candidate, baseline, 0.95)
    ratio = sequential_ratio(candidate, baseline, 0.95)
    tested = 0
    for relative, lower, upper in (
        (False, apart.lower, apart.upper),
        (True, ratio.lower - 1, ratio.upper - 1),
    ):
        for evidence, bound, farther in (
            (evidence_within, upper, 1.001),
            (evidence_beyond, lower, 0.999),
        ):
            if 0 < bound < math.inf:
                tested += 1
                found = evidence(candidate, baseline, bound, relative=relative)
                assert found == pytest.approx(THRESHOLD, abs=1e-5)
                farther_on = evidence(candidate, baseline, bound * farther, relative=relative)
                assert farther_on > THRESHOLD
    assert tested


@settings(max_examples=10)
@given(
    st.tuples(st.integers(0, 40), st.integers(40, 5_000)),
    st.tuples(st.integers(0, 40), st.integers(40, 50_000)),
)
def test_bounds_of_two_enclose_what_was_observed(
    candidate: tuple[int, int], baseline: tuple[int, int]
) -> None:
    own, base = candidate[0] / candidate[1], baseline[0] / baseline[1]
    apart = sequential_difference(candidate, baseline, 0.95)
    assert -1 <= apart.lower <= own - base <= apart.upper <= 1
    ratio = sequential_ratio(candidate, baseline, 0.95)
    assert 0 <= ratio.lower <= ratio.upper
    assert ratio.lower * base <= own <= ratio.upper * base or base == 0
    if abs(apart.upper) > 1e-7:
        assert (ratio.upper < 1) == (apart.upper < 0)


def test_what_cannot_be_is_a_bound() -> None:
    assert sequential_difference((100, 100), (0, 100), 0.95).upper == 1
    assert sequential_difference((0, 100), (100, 100), 0.95).lower == -1
    assert sequential_ratio((0, 100), (5, 100), 0.95).lower == 0
    assert sequential_ratio((5, 100), (0, 100), 0.95).upper == math.inf


def ever_of_two(
    side: str, margin: float, true: tuple[float, float], steps: list[tuple[int, int]]
) -> float:
    """Return the exact chance that the evidence of two ever reaches its threshold.

    ``steps`` are the further trials of both at each look. The least evidence is over a grid here,
    so the chance is slightly too high.
    """
    above = side == "beyond"
    sizes = np.array(steps).sum(axis=0)
    most = [int(binom.isf(1e-9, n, p)) + 1 for n, p in zip(sizes, true, strict=True)]
    left = np.zeros(most)
    left[0, 0] = 1
    grid = np.linspace(true[1] / 5, true[1] * 3, 24)
    ks = [np.arange(end)[:, None] for end in most]
    n, reached = np.zeros(2), 0.0
    for step in steps:
        n += step
        for axis in (0, 1):
            batch = binom.pmf(np.arange(most[axis]), step[axis], true[axis])
            move = toeplitz(batch, np.zeros(most[axis]))
            left = move @ left if axis == 0 else left @ move.T
        if not n.all():
            continue
        own_k, base_k = (np.minimum(k, end) for k, end in zip(ks, n, strict=True))
        pair = sequential._Pair((own_k, n[0]), (base_k, n[1]), above)  # type: ignore[arg-type]  # noqa: SLF001
        own, base = pair.own(grid + margin), pair.base(grid)
        least = np.min(own[:, None, :] + base[None, :, :], axis=2)
        reached += float(left[least >= THRESHOLD].sum())
        left[least >= THRESHOLD] = 0
    return reached


UNEQUAL = [(30, 0), (0, 200), (5, 90), (60, 10), (0, 100), (80, 0), (20, 150), (40, 0)] * 2
FIXED = [(0, 1_000), *([(40, 0)] * 12)]
EQUAL = [(80, 80)] * 8


@pytest.mark.parametrize("steps", [UNEQUAL, FIXED, EQUAL], ids=["unequal", "fixed", "equal"])
def test_no_growth_of_two_is_wrong_more_often_than_stated(steps: list[tuple[int, int]]) -> None:
    assert 0.0005 < ever_of_two("within", 0.03, (0.08, 0.05), steps) <= ERROR
    assert 0.0005 < ever_of_two("beyond", 0.03, (0.08, 0.05), steps) <= ERROR


def test_two_releases_that_differ_are_told_apart() -> None:
    assert ever_of_two("within", 0.03, (0.02, 0.05), FIXED) > 0.4
    assert ever_of_two("beyond", 0.0, (0.14, 0.05), EQUAL) > 0.4


@pytest.mark.parametrize(("candidate", "baseline"), PAIRS[:4])
def test_bounds_of_two_are_nearer_than_those_of_each_alone(
    candidate: tuple[float, float], baseline: tuple[float, float]
) -> None:
    found = sequential_difference(candidate, baseline, 0.95)
    own, base = (sequential_bounds(*one, 0.975) for one in (candidate, baseline))
    assert own.lower - base.upper < found.lower < found.upper < own.upper - base.lower


def test_a_p_value_is_never_above_one() -> None:
    assert p_value(-5) == 1
    assert p_value(THRESHOLD) == pytest.approx(ERROR)


@pytest.mark.parametrize("limit", [0, 1, -0.1, math.nan])
def test_what_is_no_limit_is_refused(limit: float) -> None:
    for evidence in SIDES.values():
        with pytest.raises(ValueError, match="no limit"):
            evidence(1, 10, limit)
    with pytest.raises(ValueError, match="no margin"):
        evidence_within((1, 10), (1, 10), -1 if limit == 1 else limit - 1)


def test_what_is_no_proportion_is_refused() -> None:
    for function in (sequential_difference, sequential_ratio):
        with pytest.raises(ValueError, match="no proportion"):
            function((1, 10), (11, 10), 0.95)
        with pytest.raises(ValueError, match="no proportion"):
            function((1, 10), (1, 10), 1.0)
