"""Figures as people read them: percent are cut, durations have a unit, bars keep to scale."""

from __future__ import annotations

import math
import statistics
from datetime import UTC, datetime, timedelta, timezone
from decimal import ROUND_DOWN, Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relhealth.core.numerals import percent, seconds
from relhealth.core.units import Unit
from relhealth.output.formats.text import bar, cell, condensed, rate_sparkline, sparkline

ABSENT = "\N{EN DASH}"
COUNTS = st.integers(0, 2**63 - 1)
SHARES = st.just(0.0) | st.floats(1e-15, 100)  # one of 2^53 sessions is 1e-14 percent
SERIES = st.lists(COUNTS, max_size=100)
SHADES = "▁▂▃▄▅▆▇█"
ASCII_SHADES = "_.-=+*%#"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (100.0, "100%"),
        (100, "100%"),
        (0.0, "0%"),
        (0, "0%"),
        (99.996, "99.99%"),
        (99.99, "99.99%"),
        (99.9999999, "99.99%"),
        (math.nextafter(100, 0), "99.99%"),
        (99.49999999, "99.49%"),
        (99.5, "99.50%"),
        (57.0, "57.00%"),
        (56.99999999999999, "57.00%"),  # 57/100*100 in binary
        (56.999, "56.99%"),
        (28.999999999999996, "29.00%"),  # 29/100*100 in binary
        (33 / 100 * 100, "33.00%"),
        (1 / 3 * 100, "33.33%"),
        (2 / 3 * 100, "66.66%"),
        (0.001, "0.01%"),
        (5e-324, "0.01%"),
        (0.019, "0.01%"),
        (0.02, "0.02%"),
        (9.999, "9.99%"),
        (10, "10.00%"),
    ],
)
def test_percent(value: float, text: str) -> None:
    assert percent(value) == text


@given(st.floats(0, 100))
@example(0.0)
@example(100.0)
@example(math.nextafter(100, 0))
@example(math.nextafter(0, 1))
def test_percent_is_cut_and_says_0_and_100_of_the_true_ones_alone(value: float) -> None:
    text = percent(value)
    assert (text == "100%") == (value == 100)
    assert (text == "0%") == (value == 0)
    if value not in {0, 100}:
        # Eleven decimals take off what binary adds; the rest is cut.
        cut = round(Decimal(value), 11).quantize(Decimal("0.01"), ROUND_DOWN)
        assert text == f"{min(Decimal('99.99'), max(Decimal('0.01'), cut))}%"


@given(total=st.integers(1, 10**9), part=st.integers(0, 10**9))
@example(total=10**9, part=1)
@example(total=10**9, part=10**9 - 1)
@example(total=20_000, part=19_999)
def test_percent_of_a_ratio_is_that_of_the_exact_ratio(total: int, part: int) -> None:
    part = min(part, total)
    hundredths = part * 10_000 // total
    if 0 < part < total:
        hundredths = max(1, hundredths)
        expected = f"{hundredths // 100}.{hundredths % 100:02}%"
    else:
        expected = "100%" if part else "0%"
    assert percent(part / total * 100) == expected


@given(st.floats(0, 100), st.floats(0, 100))
def test_percent_keeps_the_order(one: float, other: float) -> None:
    low, high = sorted([one, other])
    assert float(percent(low)[:-1]) <= float(percent(high)[:-1])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0 s"),
        (1.0, "1 s"),
        (1.5, "1.5 s"),
        (12.345, "12.3 s"),
        (59, "59 s"),
        (60, "1 min"),
        (90, "1.5 min"),
        (3_599, "60 min"),
        (3_600, "1 h"),
        (5_400, "1.5 h"),
        (86_400, "24 h"),
        (1_000 * 3_600, "1,000 h"),
        (1_234_567 * 3_600, "1,234,567 h"),
        (0.001, "1 ms"),
        (0.0123, "12.3 ms"),
        (0.25, "250 ms"),
        (0.999, "999 ms"),
        (0.000_001, "1 µs"),
        (0.000_029, "29 µs"),
        (0.000_037_43, "37.4 µs"),
        (1e-9, "0.001 µs"),
        (0.010_971_784_591_674_805, "11 ms"),
        (0.009_027_004_242, "9.03 ms"),
    ],
)
def test_seconds(value: float, text: str) -> None:
    assert seconds(value) == text


@given(st.floats(1e-12, 1e15))
@example(0.9996)
@example(59.99)
@example(999.5e-6)
@example(0.9995e-3)
@example(3_599.9)
def test_seconds_are_within_half_a_unit_of_the_third_digit(value: float) -> None:
    number, _, unit = seconds(value).partition(" ")
    size = {"h": 3_600, "min": 60, "s": 1, "ms": 1e-3, "µs": 1e-6}[unit]
    told = float(number.replace(",", "")) * size
    assert told == pytest.approx(value, rel=0.005_001)
    digits = number.replace(",", "").replace(".", "").lstrip("0")
    assert "e" in number or len(digits) <= 3 or unit == "h", number
    assert told >= size or unit == "µs"


@given(st.floats(0, 1e15), st.floats(0, 1e15))
def test_seconds_keep_the_order(one: float, other: float) -> None:
    units = {"h": 3_600.0, "min": 60.0, "s": 1.0, "ms": 1e-3, "µs": 1e-6}

    def read(text: str) -> float:
        number, _, unit = text.partition(" ")
        return float(number.replace(",", "")) * units[unit]

    low, high = sorted([one, other])
    assert read(seconds(low)) <= read(seconds(high)) * (1 + 1e-9)


@pytest.mark.parametrize(
    ("counts", "text", "in_ascii"),
    [
        ([], "", ""),
        ([0], " ", " "),
        ([0, 0, 0], "   ", "   "),
        ([5], "█", "#"),
        ([5, 5], "██", "##"),
        ([0, 1, 2, 3, 4, 5, 6, 7, 8], " ▁▂▃▄▅▆▇█", " _.-=+*%#"),
        ([1, 1_000_000, 0], "▁█ ", "_# "),  # what is not zero is no gap
        ([2**63 - 1, 2**63 - 2, 0], "██ ", "## "),
    ],
)
def test_sparkline(counts: list[int], text: str, in_ascii: str) -> None:
    assert sparkline(counts) == text
    assert sparkline(counts, ascii_only=True) == in_ascii


@given(SERIES)
def test_sparkline_is_to_scale(counts: list[int]) -> None:
    heights = [SHADES.find(char) for char in sparkline(counts)]
    assert len(heights) == len(counts)
    assert [height == -1 for height in heights] == [count == 0 for count in counts]
    assert max(heights, default=-1) == (7 if any(counts) else -1)
    in_order = [height for _, height in sorted(zip(counts, heights, strict=True))]
    assert in_order == sorted(in_order)
    assert [ASCII_SHADES.find(char) for char in sparkline(counts, ascii_only=True)] == heights


@pytest.mark.parametrize(
    ("rates", "text", "in_ascii"),
    [
        ([], "", ""),
        ([None, None], "  ", "  "),
        ([100.0], "█", "#"),
        ([0.0, None, 0.0], "█ █", "# #"),
        ([99.2, None, 97.0, 98.1], "█ ▁▄", "# _="),  # from the lowest to the highest
        ([99.9, 99.8, 100.0], "▇▇█", "%%#"),  # small changes look small
    ],
)
def test_rates_have_gaps_and_a_scale_of_their_own(
    rates: list[float | None], text: str, in_ascii: str
) -> None:
    assert rate_sparkline(rates) == text
    assert rate_sparkline(rates, ascii_only=True) == in_ascii


@given(st.lists(st.none() | st.floats(0, 100), max_size=100))
def test_a_sparkline_of_rates_is_in_order(rates: list[float | None]) -> None:
    line = rate_sparkline(rates)
    assert [char == " " for char in line] == [rate is None for rate in rates]
    known = sorted((r, SHADES.index(c)) for r, c in zip(rates, line, strict=True) if r is not None)
    assert [height for _, height in known] == sorted(height for _, height in known)
    assert not known or known[-1][1] == 7


def test_condensed_leaves_gaps_out() -> None:
    assert condensed([None, None, 98.0, None, 97.0, 99.0], 3) == [None, 98.0, 98.0]


@given(SERIES, st.integers(1, 120))
def test_condensed_keeps_the_height_and_fits(counts: list[int], most: int) -> None:
    fewer = condensed(counts, most)
    assert len(fewer) <= most
    step = max(1, math.ceil(len(counts) / most))
    assert len(fewer) == math.ceil(len(counts) / step)
    for index, mean in enumerate(fewer):
        assert mean == pytest.approx(statistics.fmean(counts[index * step : (index + 1) * step]))


@pytest.mark.parametrize("most", range(1, 26))
def test_condensed_is_flat_where_the_counts_are(most: int) -> None:
    assert set(condensed([10] * 25, most)) == {10}


@pytest.mark.parametrize(
    ("value", "text", "in_ascii"),
    [
        (0.0, "    ", "...."),
        (100.0, "████", "####"),
        (50.0, "██  ", "##.."),
        (25.0, "█   ", "#..."),
        (3.125, "▏   ", "#..."),
        (1e-9, "▏   ", "#..."),
        (12.5, "▌   ", "#..."),
        (62.5, "██▌ ", "###."),
        (96.875, "███▉", "####"),
        (97.0, "████", "####"),
    ],
)
def test_bar(value: float, text: str, in_ascii: str) -> None:
    assert bar(value, 4) == text
    assert bar(value, 4, ascii_only=True) == in_ascii


def eighths(text: str) -> int:
    """How many eighths of characters a bar fills."""
    return sum(" ▏▎▍▌▋▊▉█".index(char) for char in text)


@given(SHARES, st.integers(1, 40))
@example(100.0, 4)
@example(math.nextafter(100, 0), 4)
@example(1e-15, 4)
def test_bar_has_its_width_and_is_filled_to_the_next_eighth(value: float, width: int) -> None:
    text = bar(value, width)
    assert len(text) == width
    filled = eighths(text)
    assert (filled == 0) == (value == 0)
    # At least to the value, and less than one eighth beyond it.
    assert Decimal(value) * 8 * width / 100 <= Decimal(filled) + Decimal("1e-9")
    assert filled == 0 or Decimal(filled - 1) < Decimal(value) * 8 * width / 100 + Decimal("1e-9")
    # Full characters, then at most one in part, then blanks.
    assert text == text.rstrip(" ").ljust(width)
    assert set(text.rstrip(" ")[:-1]) <= {"█"}

    plain = bar(value, width, ascii_only=True)
    assert len(plain) == width
    assert plain == "#" * plain.count("#") + "." * plain.count(".")
    assert (plain.count("#") == 0) == (value == 0)


@given(SHARES, SHARES, st.integers(1, 40))
def test_bar_keeps_the_order(one: float, other: float, width: int) -> None:
    low, high = sorted([one, other])
    assert eighths(bar(low, width)) <= eighths(bar(high, width))
    ascii_low, ascii_high = (bar(value, width, ascii_only=True) for value in (low, high))
    assert ascii_low.count("#") <= ascii_high.count("#")


@pytest.mark.parametrize("unit", Unit)
def test_an_absent_value_is_a_dash_in_every_unit(unit: Unit) -> None:
    assert cell(None, unit) == ABSENT


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1_234_567, Unit.PROJECT, "1234567"),  # an id is no count
        (1_234_567, Unit.COUNT, "1,234,567"),
        (0, Unit.COUNT, "0"),
        (2**63 - 1, Unit.COUNT, "9,223,372,036,854,775,807"),
        ("shop@1.0.0", Unit.RELEASE, "shop@1.0.0"),
        ("a\nb\x1b[31m", Unit.RELEASE, "a\\nb\\x1b[31m"),
        ("a\tb", Unit.TEXT, "a\\tb"),
        ("[bold]é中", Unit.TEXT, "[bold]é中"),
        (True, Unit.FLAG, "yes"),
        (False, Unit.FLAG, "no"),
        (99.996, Unit.PERCENT, "99.99%"),
        (99.996, Unit.CRASH_FREE, "99.99%"),
        (99.996, Unit.SHARE, "99.99%"),
        (90.0, Unit.SECONDS, "1.5 min"),
        (datetime(2026, 3, 2, 12, tzinfo=UTC), Unit.INSTANT, "2026-03-02T12:00:00Z"),
        (
            datetime(2026, 3, 2, 12, 0, 0, 5, tzinfo=timezone(timedelta(hours=2))),
            Unit.INSTANT,
            "2026-03-02T10:00:00.000005Z",
        ),
        ({"24h": [[0, 0], [3_600, 7]]}, Unit.SERIES, " █"),
    ],
)
def test_cell(value: Any, unit: Unit, text: str) -> None:
    assert cell(value, unit) == text
