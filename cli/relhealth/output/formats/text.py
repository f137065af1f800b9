"""Figures as text for people: pure functions from a value to its text."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from relhealth.core.numerals import percent, points, seconds
from relhealth.core.printable import printable
from relhealth.core.project_names import project_text
from relhealth.core.units import Unit
from relhealth.core.windows import iso
from relhealth.gate.glance import CRITICAL, TARGET

ABSENT = "–"  # noqa: RUF001 - a dash is what a reader expects

_BLOCKS = " ▏▎▍▌▋▊▉█"
_LEVELS = "▁▂▃▄▅▆▇█"
_ASCII_LEVELS = "_.-=+*%#"
_NARROWEST_SCALE = 1.0  # percentage points, so that small changes of a rate look small

# A sign beside each colour. A solid one is what colours a figure red.
SIGNS = {
    "BAD": "\N{BOX DRAWINGS LIGHT DIAGONAL CROSS}", "OK": "●", "TOO EARLY": "?", "NO DATA": "-",
    "WORSE": "▼", "BETTER": "▲", "MIXED": "◆", "UNCLEAR": "?",
}  # fmt: skip
BELOW_CRITICAL, BELOW_TARGET = "▼", "▽"
_ASCII = str.maketrans({SIGNS["BAD"]: "x", "●": "+", "▼": "!", "▽": "~", "▲": "+", "◆": "*"})


def cell(value: Any, unit: Unit) -> str:
    """Return the text of a value; absent values are a dash."""
    return ABSENT if value is None else _TEXTS[unit](value)


def _change(value: float) -> str:
    return f"{'-' if value < 0 else '+'}{points(abs(value))}" if value else "0"


def _series(value: Mapping[str, Any]) -> str:
    return " ".join(sparkline([count for _, count in points]) for points in value.values())


def _rate_series(value: Mapping[str, Any]) -> str:
    return " ".join(rate_sparkline([rate for _, rate in points]) for points in value.values())


def verdict(word: str) -> str:
    """Return a status with its sign; other words need none."""
    return f"{SIGNS[word]} {printable(word)}" if word in SIGNS else printable(word)


def crash_free(value: float, target: float | None = None, critical: float | None = None) -> str:
    """Return a crash-free figure, with a sign if it is below the target or below critical."""
    limits = TARGET if target is None else target, CRITICAL if critical is None else critical
    sign = BELOW_CRITICAL if value < limits[1] else BELOW_TARGET if value < limits[0] else ""
    return f"{sign} {percent(value)}".lstrip()


_TEXTS: Mapping[Unit, Callable[[Any], str]] = {
    Unit.PROJECT: project_text,
    Unit.RELEASE: printable,
    Unit.TEXT: printable,
    Unit.FIGURE: printable,
    Unit.FINDING: printable,
    Unit.VERDICT: verdict,
    Unit.COUNT: lambda value: f"{value:,}",
    Unit.PERCENT: percent,
    Unit.CRASH_FREE: crash_free,
    Unit.SHARE: percent,
    Unit.CHANGE: _change,
    Unit.RATIO: lambda value: percent(100 * value),
    Unit.SECONDS: seconds,
    Unit.FLAG: lambda value: "yes" if value else "no",
    Unit.INSTANT: iso,
    Unit.SERIES: _series,
    Unit.RATE_SERIES: _rate_series,
}


def in_ascii(words: str) -> str:
    """Return words whose signs are ASCII."""
    return words.translate(_ASCII)


def sparkline(counts: Sequence[float | None], *, ascii_only: bool = False) -> str:
    """Return one character per count; its height is the share of the largest count.

    Where nothing was, there is a gap.
    """
    levels = _ASCII_LEVELS if ascii_only else _LEVELS
    highest = max((count for count in counts if count), default=0)
    return "".join(
        levels[math.ceil(count / highest * len(levels)) - 1] if count else " " for count in counts
    )


def rate_sparkline(rates: Sequence[float | None], *, ascii_only: bool = False) -> str:
    """Return one character per rate, on a scale from the lowest to the highest; ``None`` is a gap.

    The scale has at least a percentage point, down from the highest rate.
    """
    levels = _ASCII_LEVELS if ascii_only else _LEVELS
    found = [rate for rate in rates if rate is not None]
    highest = max(found, default=0)
    span = max(highest - min(found, default=0), _NARROWEST_SCALE)
    return "".join(
        " " if rate is None
        else levels[max(0, round((1 - (highest - rate) / span) * (len(levels) - 1)))]
        for rate in rates
    )  # fmt: skip


def condensed(counts: Sequence[float | None], most: int) -> list[float | None]:
    """Return at most ``most`` counts, as means of neighbours without gaps."""
    step = math.ceil(len(counts) / most) if counts else 1
    groups = (counts[start : start + step] for start in range(0, len(counts), step))
    return [_mean([count for count in group if count is not None]) for group in groups]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def bar(value: float, width: int, *, ascii_only: bool = False) -> str:
    """Return a bar of ``width`` characters, filled to ``value`` percent; never empty above 0."""
    if ascii_only:
        filled = min(width, math.ceil(value / 100 * width))
        return "#" * filled + "." * (width - filled)
    eighths = min(8 * width, math.ceil(value / 100 * width * 8))
    return ("█" * (eighths // 8) + _BLOCKS[eighths % 8].strip()).ljust(width)
