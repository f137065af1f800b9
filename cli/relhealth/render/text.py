"""Figures as people read them: pure functions from a value to its text."""

import math
from collections.abc import Sequence
from typing import Any

from relhealth.numerals import percent, seconds
from relhealth.printable import printable
from relhealth.report import Unit
from relhealth.windows import iso

ABSENT = "–"  # noqa: RUF001 - a dash is what a reader expects

_BLOCKS = " ▏▎▍▌▋▊▉█"
_LEVELS = "▁▂▃▄▅▆▇█"
_ASCII_LEVELS = "_.-=+*%#"


def cell(value: Any, unit: Unit) -> str:
    """Return the text of a value; absent values are a dash."""
    if value is None:
        return ABSENT
    match unit:
        case Unit.PROJECT:
            return str(value)
        case Unit.RELEASE | Unit.TEXT | Unit.FIGURE | Unit.VERDICT:
            return printable(value)
        case Unit.COUNT:
            return f"{value:,}"
        case Unit.PERCENT | Unit.CRASH_FREE | Unit.SHARE:
            return percent(value)
        case Unit.SECONDS:
            return seconds(value)
        case Unit.FLAG:
            return "yes" if value else "no"
        case Unit.INSTANT:
            return iso(value)
        case Unit.SERIES:
            return " ".join(sparkline([count for _, count in points]) for points in value.values())


def sparkline(counts: Sequence[float], *, ascii_only: bool = False) -> str:
    """Return one character a count, as high as its share of the greatest; zero is the lowest."""
    levels = _ASCII_LEVELS if ascii_only else _LEVELS
    highest = max(counts, default=0)
    return "".join(
        levels[math.ceil(count / highest * (len(levels) - 1)) if highest else 0] for count in counts
    )


def condensed(counts: Sequence[float], most: int) -> list[float]:
    """Return at most ``most`` counts: means of as many neighbours as that takes."""
    step = math.ceil(len(counts) / most) if counts else 1
    groups = (counts[start : start + step] for start in range(0, len(counts), step))
    return [sum(group) / len(group) for group in groups]


def bar(value: float, width: int, *, ascii_only: bool = False) -> str:
    """Return a bar of ``width`` characters, filled to ``value`` percent; never empty above 0."""
    if ascii_only:
        filled = min(width, math.ceil(value / 100 * width))
        return "#" * filled + "." * (width - filled)
    eighths = min(8 * width, math.ceil(value / 100 * width * 8))
    return ("█" * (eighths // 8) + _BLOCKS[eighths % 8].strip()).ljust(width)
