"""The formulas of release health, by tables made by hand and by laws for any counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relhealth.questions import figures

counts = st.integers(0, 2**63 - 1)


@pytest.mark.parametrize(
    ("part", "total", "percent"),
    [
        (1, 4, 25.0),
        (4, 4, 100.0),
        (0, 4, None),
        (4, 0, None),
        (0, 0, None),
        (1, 8, 12.5),
    ],
)
def test_share(part: int, total: int, percent: float | None) -> None:
    """Without a total, a rate is not 0 but null."""
    assert figures.share(part, total) == percent


@pytest.mark.parametrize(
    ("crashed", "total", "percent"),
    [
        (0, 5, 100.0),
        (1, 4, 75.0),
        (4, 4, 0.0),
        (5, 4, 0.0),  # clamped: 100 - 125 is below 0
        (0, 0, None),
        (3, 0, None),
        (1, 1_000_000, 99.9999),
    ],
)
def test_crash_free(crashed: int, total: int, percent: float | None) -> None:
    assert figures.crash_free(crashed, total) == percent


@pytest.mark.parametrize(
    ("unhandled", "crashed", "total", "percent"),
    [
        (0, 0, 5, 0.0),
        (1, 0, 4, 25.0),
        (0, 1, 4, 25.0),  # a crash is unhandled too
        (1, 1, 4, 50.0),
        (3, 3, 4, 100.0),  # clamped: 150
        (0, 0, 0, None),
        (1, 1, 0, None),
    ],
)
def test_unhandled_rate(unhandled: int, crashed: int, total: int, percent: float | None) -> None:
    assert figures.unhandled_rate(unhandled, crashed, total) == percent


@pytest.mark.parametrize(
    ("errored", "errored_preaggr", "crashed", "unhandled", "abnormal", "sessions"),
    [
        (10, 5, 1, 2, 3, 9),  # 10 + 5 - 1 - 2 - 3
        (10, 0, 0, 0, 0, 10),
        (0, 7, 0, 0, 0, 7),
        (6, 0, 1, 2, 3, 0),
        (5, 0, 1, 2, 3, 0),  # clamped: -1
        (0, 0, 0, 0, 0, 0),
    ],
)
def test_errored_sessions(
    errored: int, errored_preaggr: int, crashed: int, unhandled: int, abnormal: int, sessions: int
) -> None:
    found = figures.errored_sessions(errored, errored_preaggr, crashed, unhandled, abnormal)
    assert found == sessions


@pytest.mark.parametrize(
    ("sessions", "errored", "errored_preaggr", "healthy"),
    [
        (20, 10, 5, 5),
        (20, 0, 0, 20),
        (15, 10, 5, 0),
        (14, 10, 5, 0),  # clamped: -1
        (0, 0, 0, 0),
    ],
)
def test_healthy_sessions(sessions: int, errored: int, errored_preaggr: int, healthy: int) -> None:
    assert figures.healthy_sessions(sessions, errored, errored_preaggr) == healthy


@given(crashed=counts, unhandled=counts, total=counts)
def test_rates_are_percent_or_untold(crashed: int, unhandled: int, total: int) -> None:
    for rate in (
        figures.crash_free(crashed, total),
        figures.unhandled_rate(unhandled, crashed, total),
    ):
        if total:
            assert rate is not None
            assert 0 <= rate <= 100
        else:
            assert rate is None


@given(part=counts, total=counts)
def test_there_is_a_share_if_there_are_both(part: int, total: int) -> None:
    assert (figures.share(part, total) is None) == (part == 0 or total == 0)


@given(
    healthy=counts,
    handled=counts,
    preaggr=counts,
    crashed=counts,
    unhandled=counts,
    abnormal=counts,
)
def test_sessions_are_parted_without_rest(
    healthy: int, handled: int, preaggr: int, crashed: int, unhandled: int, abnormal: int
) -> None:
    """Healthy, errored, crashed, unhandled and abnormal sessions add up to all of them."""
    errored = handled + crashed + unhandled + abnormal
    sessions = healthy + errored + preaggr
    assert figures.healthy_sessions(sessions, errored, preaggr) == healthy
    parted = figures.errored_sessions(errored, preaggr, crashed, unhandled, abnormal)
    assert parted == handled + preaggr
