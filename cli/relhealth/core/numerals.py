"""Percentages and durations as text for people, in tables and in sentences."""

import math

_LARGEST_PLAIN = 1e15


def percent(value: float) -> str:
    """Return a percentage cut to two decimals: 100% and 0% only for exactly 100 and 0."""
    if value in {0, 100}:
        return f"{value:.0f}%"
    # Rounding to nine digits first undoes binary noise (56.999999999999993 is 57).
    hundredths = math.floor(round(value * 100, 9))
    return f"{min(9_999, max(1, hundredths)) / 100:.2f}%"


def points(value: float) -> str:
    """Return a difference in percentage points: two decimals, or two digits if it is small."""
    return f"{value:.2f}" if abs(value) >= 0.1 or value == 0 else f"{value:.2g}"  # noqa: PLR2004


def seconds(value: float) -> str:
    """Return a duration to three digits, in the unit that suits it."""
    if value < 1:  # first, since 999.6 ms are 1 s to three digits
        value = float(f"{value:.3g}")
    for size, unit in ((3_600, "h"), (60, "min"), (1, "s"), (1e-3, "ms")):
        if value >= size:
            return f"{_three_digits(value / size)} {unit}"
    return f"{_three_digits(value / 1e-6)} µs" if value else "0 s"


def _three_digits(value: float) -> str:
    plain = f"{value:,.0f}" if value < _LARGEST_PLAIN else f"{value:.3g}"
    return f"{value:.3g}" if value < 999.5 else plain  # noqa: PLR2004 - where .3g turns to 1e+03
