"""Design effects against their definition, and how often clustered bounds err."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import beta, t

from relhealth.gate.clustering import (
    FEW,
    Clustering,
    Sums,
    clustered_bounds,
    clustered_difference,
    clustered_ratio,
    design_effect,
)
from relhealth.gate.intervals import clopper_pearson, mover, mover_ratio

Integers = NDArray[np.int64]
SIZE = 600


def sums(sessions: Integers, events: Integers) -> Sums:
    """Return the sums over users."""
    m, y = sessions.astype(object), events.astype(object)
    return Sums(len(m), m.sum(), y.sum(), m @ m, y @ y, m @ y, int((events > 0).sum()))


users = st.lists(
    st.integers(1, 60).flatmap(lambda m: st.tuples(st.just(m), st.integers(0, m))), min_size=12
)


@settings(max_examples=60)
@given(users)
def test_the_design_effect_is_the_variance_over_the_binomial_one(
    drawn: list[tuple[int, int]],
) -> None:
    m, y = np.array(drawn).T
    found = design_effect(sums(m, y))
    rate, total = y.sum() / m.sum(), m.sum()
    assert found.users == len(m)
    assert found.affected == (y > 0).sum()
    if rate in {0, 1}:
        expected = (m * m).sum() / total
    else:
        variance = len(m) / (len(m) - 1) * ((y - rate * m) ** 2).sum() / total**2
        expected = max(1, variance / (rate * (1 - rate) / total))
        if found.affected < FEW:
            expected = max(expected, (m * m).sum() / total)
    assert found.deff == pytest.approx(expected, rel=1e-9)
    assert found.estimated == (found.affected >= FEW and rate < 1)


def test_users_who_crash_always_or_never_count_once() -> None:
    # 1,000 users of 7 sessions, 50 crash always: 7 * 1000/999 sessions carry what one does.
    m, y = np.full(1_000, 7), np.repeat([7, 0], [50, 950])
    found = design_effect(sums(m, y))
    assert found.deff == pytest.approx(7 * 1_000 / 999)
    assert found == Clustering(found.deff, 1_000, 50, estimated=True)
    assert found.effective(350, 7_000) == pytest.approx((49.95, 999))


def test_events_shared_out_evenly_do_not_narrow_the_bounds() -> None:
    m, y = np.full(100, 10), np.ones(100, dtype=int)
    assert design_effect(sums(m, y)).deff == 1


@pytest.mark.parametrize("affected", [0, 1, 9])
def test_few_users_with_an_event_count_as_users(affected: int) -> None:
    m, y = np.repeat([2, 8], 500), np.repeat([1, 0], [affected, 1_000 - affected])
    found = design_effect(sums(m, y))
    assert found == Clustering(6.8, 1_000, affected, estimated=False)
    bounds = clustered_bounds(affected, 5_000, 0.95, found)
    assert bounds == clopper_pearson(affected / 6.8, 5_000 / 6.8, 0.95)


def test_large_sums_lose_no_digits() -> None:
    m, y = np.full(100_000, 3_000_000), np.repeat([3_000_000, 0], [100, 99_900])
    assert design_effect(sums(m, y)).deff == pytest.approx(3_000_000 * 100_000 / 99_999, rel=1e-12)


@pytest.mark.parametrize("confidence", [0.5, 0.8, 0.95, 0.99])
@pytest.mark.parametrize("affected", [10, 40, 900])
def test_bounds_are_those_of_korn_and_graubard(confidence: float, affected: int) -> None:
    k, n, deff = 1_200, 50_000, 3.3
    found = clustered_bounds(k, n, confidence, Clustering(deff, 9_000, affected, estimated=True))
    level = max(confidence, 0.5001)
    shrunk = (t.ppf(level, n - 1) / t.ppf(level, affected - 1)) ** 2
    own_n = n / deff * shrunk
    own_k = own_n * k / n
    assert found.lower == pytest.approx(
        beta.ppf(1 - confidence, own_k, own_n - own_k + 1), rel=1e-6
    )
    assert found.upper == pytest.approx(beta.ppf(confidence, own_k + 1, own_n - own_k), rel=1e-6)


def test_two_releases_have_the_bounds_of_each() -> None:
    own, base = Clustering(2, 300, 20, estimated=True), Clustering(3, 9_000, 400, estimated=True)
    sides = (30, 1_000, own), (500, 30_000, base)
    alone = [clustered_bounds(k, n, 0.95, one) for k, n, one in sides]
    parts = 0.03, alone[0], 1 / 60, alone[1]
    assert clustered_difference(*sides, 0.95) == mover(*parts)
    assert clustered_ratio(*sides, 0.95) == mover_ratio(*parts)


@pytest.mark.parametrize(
    "bad",
    [
        Sums(0, 0, 0, 0, 0, 0, 0),
        Sums(5, 4, 0, 4, 0, 0, 0),
        Sums(2, 4, 5, 8, 13, 10, 2),
        Sums(2, 4, 1, 8, 1, 2, 2),
        Sums(2, 4, 1, 8, 1, 2, 0),
    ],
)
def test_what_no_users_have_is_refused(bad: Sums) -> None:
    with pytest.raises(ValueError, match="no sums over users"):
        design_effect(bad)


def errors(
    count: int, share: float, alike: float, tail: float | None = None, *, busy: bool = False
) -> tuple[float, float, float, float]:
    """Return the shares of samples that pass and fail wrongly, ignoring users or not.

    A user has 5 sessions on average, or more with the ``tail`` of a Pareto distribution.
    ``alike`` is the correlation of two sessions of a user; 1 is all or none. If ``busy``, the
    chance to crash is proportional to the sessions.
    """
    random = np.random.default_rng(7)
    shape = SIZE, count
    m = 1 + random.poisson(4, shape)
    if tail is not None:
        m = np.minimum(random.geometric(0.2, shape) + random.pareto(tail, shape).astype(int), 1_000)
    chance = np.minimum(share * m / 5, 1) if busy else np.full(shape, share)
    true = float((chance * m).sum() / m.sum())
    if alike == 1:
        chance = random.random(shape) < chance
    else:
        chance = random.beta(share * (1 / alike - 1), (1 - share) * (1 / alike - 1), shape)
    y = random.binomial(m, chance)
    wrong = []
    for one, other in zip(m, y, strict=True):
        found = sums(one, other)
        bounds = clustered_bounds(found.events, found.sessions, 0.95, design_effect(found))
        naive = clopper_pearson(found.events, found.sessions, 0.95)
        wrong.append(
            (bounds.upper <= true, bounds.lower > true, naive.upper <= true, naive.lower > true)
        )
    passed, failed, naive_passed, naive_failed = np.mean(wrong, axis=0)
    return passed, failed, naive_passed, naive_failed


@pytest.mark.parametrize(
    ("count", "share", "alike", "tail"),
    [
        (1_000, 0.005, 1, None),  # about 5 users crash
        (1_000, 0.02, 1, None),
        (1_000, 0.02, 0.3, None),
        (1_000, 0.005, 0.8, 2.0),
        (1_000, 0.02, 0.8, 2.0),
    ],
)
def test_strong_clustering_is_held(
    count: int, share: float, alike: float, tail: float | None
) -> None:
    passed, failed, naive_passed, naive_failed = errors(count, share, alike, tail)
    noise = 2.5 * math.sqrt(0.05 * 0.95 / SIZE)
    assert passed < 0.055 + noise
    assert failed < 0.05 + noise
    assert naive_passed > 0.1
    assert naive_failed > 0.1


@pytest.mark.parametrize(
    ("count", "share", "tail", "busy", "passed"),
    [
        (1_000, 0.02, 1.2, False, 0.12),  # about 20 users crash
        (2_000, 0.002, 1.5, True, 0.36),  # about 5 users crash
    ],
)
def test_what_no_method_holds_has_its_figure(
    count: int,
    share: float,
    tail: float,
    busy: bool,  # noqa: FBT001 - a parameter of the test
    passed: float,
) -> None:
    # The known limits that the module's docstring states.
    found = errors(count, share, 1, tail, busy=busy)
    assert found[0] == pytest.approx(passed, abs=0.05)
    assert found[1] < 0.05
