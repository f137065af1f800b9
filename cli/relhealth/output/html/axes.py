"""Axes of charts: which span they have, and which ticks with which words."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from math import ceil, floor, log10
from typing import Any

from relhealth.core.numerals import percent, seconds
from relhealth.output.html.history import ProjectHistory

_MINUTE = 60
_TIMES = (1, 5, 10, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 86_400)
_MOST_TICKS = 6
_DAY = timedelta(days=1)


def axis(values: Sequence[float], text: str) -> dict[str, Any]:
    """Return an axis with these ticks; ``text`` is the expression of their words."""
    return {"values": list(values), "labelExpr": text, "domain": False, "grid": True}


def time_axis(past: ProjectHistory) -> dict[str, Any]:
    """Return the axis of time, with a tick for each day or every few hours."""
    start, end = past.starts[0], past.starts[-1] + past.interval
    days = ceil((end - start) / _DAY)
    if days > 2:  # noqa: PLR2004 - a tick a day, or every few days
        step = ceil(days / _MOST_TICKS)
        first = start.replace(hour=0) + (_DAY if start.hour else timedelta())
        ticks = [first + step * _DAY * index for index in range(days)]
        text = "utcFormat(datum.value, '%-d %b')"
    else:
        step = 6 * days
        first = start.replace(hour=0)
        ticks = [first + timedelta(hours=step * index) for index in range(9)]
        text = "utcFormat(datum.value, '%H:%M')"
    return {
        "field": "t",
        "type": "quantitative",
        "scale": {"domain": [milliseconds(start), milliseconds(end)], "nice": False, "zero": False},
        "axis": {
            **axis([milliseconds(one) for one in ticks if start <= one < end], text),
            "grid": False,
            "domain": True,
        },
        "title": None,
    }


def percent_axis(least: float) -> dict[str, Any]:
    """Return an axis from some percentage to 100."""
    middle = (least + 100) / 2
    return {
        "type": "quantitative",
        "scale": {"domain": [least, 100], "nice": False, "zero": False},
        "axis": axis([least, middle, 100], "format(datum.value, '.4~g') + '%'"),
        "title": None,
    }


def count_axis(most: int) -> tuple[int, dict[str, Any]]:
    """Return the top of an axis of counts, and the axis."""
    step = max(1, round(_nice(max(most, 1) / 3)))
    top = step * ceil(max(most, 1) / step)
    ticks = [step * index for index in range(top // step + 1)]
    return top, {
        "type": "quantitative",
        "scale": {"domain": [0, top], "nice": False},
        "axis": axis(ticks, "format(datum.value, ',')"),
        "title": None,
    }


def linear_axis(known: Sequence[float], unit: str) -> tuple[float, float, list[float]]:
    """Return an axis with some room around values: its ends and its ticks."""
    low, high = min(known, default=0.0), max(known, default=1.0)
    room = (high - low) * 0.08 or abs(high) * 0.05 or 1.0
    left, right = low - room, high + room
    if unit == "%":
        left, right = max(0.0, left), min(100.0, right)
    if unit == "s":
        left = max(0.0, left) if low >= 0 else left
    step = _nice((right - left) / 4, _TIMES if unit == "s" and right > _MINUTE else (1, 2, 5, 10))
    ticks = [step * index for index in range(ceil(left / step), floor(right / step) + 1)]
    return left, right, ticks


def _nice(value: float, steps: Sequence[int] = (1, 2, 5, 10)) -> float:
    """Return the next of 1, 2, 5, 10, 20 …, or of other steps."""
    size = 10.0 ** floor(log10(value)) if steps[-1] == 10 else 1.0  # noqa: PLR2004 - of a decade
    return next((size * one for one in steps if size * one >= value * 0.999), size * steps[-1])


def tick_text(ticks: Sequence[float], unit: str) -> str:
    """Return the labels of ticks as an expression: each tick's text by its place."""
    words = [
        seconds(abs(tick)) if unit == "s" else f"{tick:.6g}%" if unit == "%" else f"{tick:+.6g}"
        for tick in ticks
    ]
    texts = [
        "0" if not tick and unit != "%" else f"-{word}" if tick < 0 and unit == "s" else word
        for tick, word in zip(ticks, words, strict=True)
    ]
    return f"{json.dumps(texts)}[indexof({json.dumps(list(ticks))}, datum.value)]"


def figure_text(value: float, unit: str) -> str:
    """Return a figure in words; ``unit`` is ``%``, ``points`` or ``s``."""
    if unit == "%":
        return percent(value)
    if unit == "points":
        return f"{value:+.2f} points" if value else "0"
    return f"{'-' if value < 0 else ''}{seconds(abs(value))}"


def milliseconds(instant: datetime) -> float:
    """Return an instant as charts count time."""
    return instant.timestamp() * 1000


def middle_of(start: datetime, interval: timedelta) -> float:
    """Return the middle of a bucket, as charts count time."""
    return milliseconds(start + interval / 2)


def span_text(start: datetime, interval: timedelta) -> str:
    """Return the span of a bucket in words."""
    if interval >= _DAY:
        return f"{start:%-d %b}"
    return f"{start:%-d %b %H:%M} to {start + interval:%H:%M}"
