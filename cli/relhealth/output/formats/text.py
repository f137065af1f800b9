"""Figures as text for people: pure functions from a value to its text."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from relhealth.core.numerals import percent, points, seconds
from relhealth.core.printable import printable
from relhealth.core.project_names import name_of
from relhealth.core.units import Unit
from relhealth.core.windows import iso

ABSENT = "–"  # noqa: RUF001 - a dash is what a reader expects

_BLOCKS = " ▏▎▍▌▋▊▉█"
_LEVELS = "▁▂▃▄▅▆▇█"
_ASCII_LEVELS = "_.-=+*%#"


def cell(value: Any, unit: Unit) -> str:
    """Return the text of a value; absent values are a dash."""
    return ABSENT if value is None else _TEXTS[unit](value)


def _change(value: float) -> str:
    return f"{'-' if value < 0 else '+'}{points(abs(value))}" if value else "0"


def _project(value: int) -> str:
    """Return the name of a project, if the settings give it one, else its id."""
    name = name_of(value)
    return str(value) if name is None else printable(name)


def _series(value: Mapping[str, Any]) -> str:
    return " ".join(sparkline([count for _, count in points]) for points in value.values())


_TEXTS: Mapping[Unit, Callable[[Any], str]] = {
    Unit.PROJECT: _project,
    Unit.RELEASE: printable,
    Unit.TEXT: printable,
    Unit.FIGURE: printable,
    Unit.VERDICT: printable,
    Unit.COUNT: lambda value: f"{value:,}",
    Unit.PERCENT: percent,
    Unit.CRASH_FREE: percent,
    Unit.SHARE: percent,
    Unit.CHANGE: _change,
    Unit.RATIO: lambda value: percent(100 * value),
    Unit.SECONDS: seconds,
    Unit.FLAG: lambda value: "yes" if value else "no",
    Unit.INSTANT: iso,
    Unit.SERIES: _series,
}


def sparkline(counts: Sequence[float], *, ascii_only: bool = False) -> str:
    """Return one character per count; its height is the share of the largest count."""
    levels = _ASCII_LEVELS if ascii_only else _LEVELS
    highest = max(counts, default=0)
    return "".join(
        levels[math.ceil(count / highest * (len(levels) - 1)) if highest else 0] for count in counts
    )


def condensed(counts: Sequence[float], most: int) -> list[float]:
    """Return at most ``most`` counts, as means of neighbours."""
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
