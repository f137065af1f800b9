"""Bounds in words: rounded outwards, and never printed like a limit that they are not at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relhealth.gate.wording import (
    more_bound,
    percent_bound,
    percent_limit,
    points_bound,
    seconds_bound,
    seconds_limit,
)

if TYPE_CHECKING:
    from collections.abc import Callable

# Each a bound, its limit, whether it is an upper one, and its text.
PERCENT = [
    (99.158, 99.5, True, "99.16%"),
    (99.158, 99.5, False, "99.15%"),
    (99.4951, 99.495, False, "99.4951%"),
    (99.4995, 99.5, True, "99.4995%"),
    (0.50791, 0.508, True, "0.50791%"),
    (0.50801, 0.508, True, "0.51%"),
    (99.999, None, True, "99.999%"),
    (0.001, None, False, "0.001%"),
    (56.999999999999993, None, False, "57.00%"),
    (99.5, 99.5, False, "99.50%"),
    (100, 99.5, True, "100%"),
    (0, 1, False, "0%"),
]
POINTS = [
    (0.5513, 0.2, True, "at most 0.56 points worse"),
    (-0.3249, 0.2, False, "at most 0.33 points better"),
    (-0.3249, 0.2, True, "at least 0.32 points better"),
    (0.2004, 0.2, False, "at least 0.2004 points worse"),
    (0.1996, 0.2, True, "at most 0.1996 points worse"),
    (0.01234, 0.2, True, "at most 0.013 points worse"),
    (0.0, 0.0, True, "at least 0.00 points better"),
]
MORE = [
    (20.004, 20, True, "at most 20.01% more"),
    (20.004, 20, False, "at least 20.004% more"),
    (-12.3, 20, False, "at most 12.30% fewer"),
    (1351.2, 20, True, "at most 1,352% more"),
    (float("inf"), 20, True, "any number more"),
]
SECONDS = [
    (94.6, 96, True, "1.58 min"),
    (95.96, 96, True, "1.5994 min"),
    (41, 30, False, "41 s"),
    (0.0123456, 1, True, "12.4 ms"),
    (96, 96, True, "1.6 min"),
    (0, 1, False, "0 s"),
    (7_200_000, 1, False, "2,000 h"),
]


@pytest.mark.parametrize(("value", "limit", "upper", "text"), PERCENT)
def test_percent(value: float, limit: float | None, *, upper: bool, text: str) -> None:
    assert percent_bound(value, limit, upper=upper) == text


@pytest.mark.parametrize(("value", "limit", "upper", "text"), POINTS)
def test_points(value: float, limit: float, *, upper: bool, text: str) -> None:
    assert points_bound(value, limit, upper=upper) == text


@pytest.mark.parametrize(("value", "limit", "upper", "text"), MORE)
def test_more(value: float, limit: float, *, upper: bool, text: str) -> None:
    assert more_bound(value, limit, upper=upper) == text


@pytest.mark.parametrize(("value", "limit", "upper", "text"), SECONDS)
def test_seconds(value: float, limit: float, *, upper: bool, text: str) -> None:
    assert seconds_bound(value, limit, upper=upper) == text


def test_limits_have_all_their_digits() -> None:
    assert percent_limit(99.5) == "99.5%"
    assert percent_limit(99.4999999) == "99.4999999%"
    assert seconds_limit(96) == "1.6 min"
    assert seconds_limit(100) == "100 s"
    assert seconds_limit(0.25) == "250 ms"


def sides(text: str, limit: float, value: float) -> tuple[bool, bool]:
    """Return whether the printed, and the true, bound is at or above the limit."""
    return float(text.rstrip("%")) >= limit, value >= limit


@given(value=st.floats(0.001, 99.999), near=st.floats(-0.01, 0.01), upper=st.booleans())
def test_a_printed_bound_is_on_the_same_side_of_its_limit_as_the_true_one(
    *, value: float, near: float, upper: bool
) -> None:
    limit = round(min(max(value + near, 0.001), 99.999), 4)
    text = percent_bound(value, limit, upper=upper)
    printed, true = sides(text, limit, value)
    assert printed is true
    shown = float(text.rstrip("%"))
    assert shown >= value - 1e-7 if upper else shown <= value + 1e-7


@pytest.mark.parametrize("told", [percent_bound, points_bound, seconds_bound])
@given(value=st.floats(1e-6, 99.99), upper=st.booleans())
def test_of_any_bound_there_is_a_short_text(
    *, told: Callable[..., str], value: float, upper: bool
) -> None:
    assert len(told(value, 50, upper=upper)) < 40
