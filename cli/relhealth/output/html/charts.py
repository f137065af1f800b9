"""Charts as Vega-Lite specifications: plain data, with every size, tick and label decided here."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

from relhealth.core.numerals import percent
from relhealth.core.words import counted
from relhealth.gate.intervals import clopper_pearson
from relhealth.output.html.axes import (
    axis,
    count_axis,
    figure_text,
    linear_axis,
    middle_of,
    milliseconds,
    percent_axis,
    span_text,
    tick_text,
    time_axis,
)
from relhealth.output.html.content import Spec
from relhealth.output.html.history import Line, ProjectHistory, Rollback
from relhealth.output.html.layers import (
    FONT,
    LETTERS,
    SIZE,
    TEXT,
    Limit,
    by_run,
    chart,
    colour,
    dots,
    ends,
    limit_across,
    limits_down,
    lines,
    note,
    padding_of,
    short,
)

_NARROW, _WIDE = 400, 1000
_CONFIDENCE = 0.975  # of each bound, so 95 percent of both
_FLOORS = (99.9, 99.5, 99.0, 98.0, 95.0, 90.0, 80.0, 60.0, 40.0, 20.0, 0.0)
# An axis holds the buckets that have so many sessions, or such a part of the largest bucket.
_ENOUGH, _PART = 30, 0.25
_READABLE = 0.08  # of the axis: the height of a bar that has room for a letter


class Interval(NamedTuple):
    """A figure with its bounds, on a line of its own; None for what is not known."""

    name: str
    figure: float | None
    lower: float | None
    upper: float | None
    tone: str = "none"


def crash_free(
    past: ProjectHistory, line: Line, number: int, floor_: float, limits: Sequence[Limit]
) -> Spec | None:
    """Draw the crash-free sessions of a release, with a band between the bounds.

    What is below the axis becomes a triangle at its floor.
    """
    points = []
    for index, (start, count, bad) in enumerate(
        zip(past.starts, line.sessions, line.crashed, strict=True)
    ):
        if not count:
            continue
        figure = 100 - 100 * bad / count
        lower, upper = _bounds(bad, count)
        points.append(
            {
                "t": middle_of(start, past.interval),
                "y": max(figure, floor_),
                "shape": "circle" if figure >= floor_ else "triangle-down",
                "lower": max(lower, floor_),
                "upper": max(upper, floor_),
                "run": _run(line.sessions, index),
                "told": f"{span_text(start, past.interval)}: {percent(figure)} crash-free, 95% sure"
                f" between {percent(lower)} and {percent(upper)};"
                f" {counted(count, 'session')}, {bad:,} crashed",
            }
        )
    if not points:
        return None
    x, y = time_axis(past), percent_axis(floor_)
    height, padding = 132, padding_of(left=52, right=48)
    band = {"type": "area", "color": colour(number), "opacity": 0.2, "line": False}
    layers: list[Spec] = [
        *limits_down(limits, floor_, height - padding["top"] - padding["bottom"]),
        {
            "mark": band,
            "encoding": {**by_run(x, "lower", y), "y2": {"field": "upper"}},
        },
        # A bucket between two without sessions has no width, so its band is a line.
        {
            "mark": {"type": "rule", "color": colour(number), "opacity": 0.2, "strokeWidth": 5},
            "encoding": {"x": x, "y": {**y, "field": "lower"}, "y2": {"field": "upper"}},
            "transform": [{"filter": f"indexof({_lonely(points)}, datum.run) >= 0"}],
        },
        {
            "mark": {"type": "line", "color": colour(number), "strokeWidth": 2},
            "encoding": by_run(x, "y", y),
        },
        dots(x, {**y, "field": "y"}, {"value": colour(number)}, shaped=True),
    ]
    return chart(points, layers, (_NARROW, height), padding)


@cache
def _bounds(bad: int, count: int) -> tuple[float, float]:
    """Return between which percentages the true crash-free sessions are."""
    share = clopper_pearson(bad, count, _CONFIDENCE)
    return 100 - 100 * share.upper, 100 - 100 * share.lower


def floor_of(line: Line, limits: Iterable[float]) -> float:
    """Return where the axis of crash-free sessions begins: below the limits and the bounds.

    Buckets with few sessions beside the others do not count: their bounds are too wide.
    """
    enough = min(_ENOUGH, _PART * max(line.sessions, default=0))
    bounds = [
        _bounds(bad, count)[0]
        for count, bad in zip(line.sessions, line.crashed, strict=True)
        if count and count >= enough
    ]
    least = min([*bounds, *limits, 99.95])
    return next(one for one in _FLOORS if one < least or not one)


def adoption(
    past: ProjectHistory, releases: Sequence[str], rollbacks: Sequence[Rollback], *, wide: bool
) -> Spec:
    """Draw the share of the project's sessions that each release has."""
    points = []
    for number, release in enumerate(releases):
        who = f"{LETTERS[number]} {short(release)}"
        for index, start in enumerate(past.starts):
            share = past.share(release, index)
            if share is None:
                continue
            points.append(
                {
                    "t": middle_of(start, past.interval),
                    "y": 100 * share,
                    "n": number,
                    "run": f"{number}/{_run(past.totals, index)}",
                    "told": f"{who}, {span_text(start, past.interval)}:"
                    f" {percent(100 * share)} of the project's sessions",
                }
            )
    y: dict[str, Any] = {
        "type": "quantitative",
        "scale": {"domain": [0, 100], "nice": False},
        "axis": axis([0, 25, 50, 75, 100], "format(datum.value, 'd') + '%'"),
        "title": None,
    }
    size = (_WIDE, 280) if wide else (_NARROW, 240)
    padding = padding_of(left=44, top=22 if rollbacks else 10, right=112 if wide else 26)
    layers = [
        *lines(past, y, releases),
        *ends(points, releases, size[1], padding, top=100, wide=wide),
    ]
    for one in rollbacks:
        letter = LETTERS[releases.index(one.release)]
        at = middle_of(past.starts[one.peak], past.interval)
        layers += note(at, f"▼ {letter} rolled back")
    return chart(points, layers, size, padding)


def users(past: ProjectHistory, releases: Sequence[str]) -> Spec:
    """Draw the distinct users of each release."""
    points = [
        {
            "t": middle_of(start, past.interval),
            "y": count,
            "n": number,
            "run": str(number),
            "told": f"{LETTERS[number]} {short(release)}, {span_text(start, past.interval)}:"
            f" {counted(count, 'user')}",
        }
        for number, release in enumerate(releases)
        for start, count in zip(past.starts, past.lines[release].users, strict=True)
    ]
    top, y = count_axis(max((max(past.lines[name].users) for name in releases), default=0))
    padding = padding_of(left=44, right=26)
    layers = [*lines(past, y, releases), *ends(points, releases, 190, padding, top=top)]
    return chart(points, layers, (_NARROW, 190), padding)


def sessions(past: ProjectHistory, releases: Sequence[str]) -> Spec:
    """Draw the sessions of a project as bars, a part for each release and one for all others."""
    parts = [
        (f"{LETTERS[number]} {short(name)}", colour(number), past.lines[name].sessions)
        for number, name in enumerate(releases)
    ]
    drawn = zip(*(counts for _, _, counts in parts), strict=True)
    others = tuple(
        total - sum(counts) for total, counts in zip(past.totals, drawn, strict=parts != [])
    )
    parts.append(("all others", colour(None), others if parts else past.totals))
    most = max(past.totals, default=0)
    bars: list[dict[str, Any]] = []
    below = [0] * len(past.starts)
    for who, ink, counts in parts:
        highest = max(range(len(counts)), key=counts.__getitem__)
        for index, (start, count) in enumerate(zip(past.starts, counts, strict=True)):
            if not count:
                continue
            named = index == highest and count > _READABLE * most and ink != colour(None)
            bars.append(
                {
                    "t": milliseconds(start + 0.08 * past.interval),
                    "t2": milliseconds(start + 0.92 * past.interval),
                    "y": below[index],
                    "y2": below[index] + count,
                    "c": ink,
                    "middle": middle_of(start, past.interval),
                    "height": below[index] + count / 2,
                    "letter": who[0] if named else "",
                    "told": f"{who}, {span_text(start, past.interval)}:"
                    f" {counted(count, 'session')}",
                }
            )
            below[index] += count
    _, y = count_axis(most)
    layers: list[Spec] = [
        {
            "mark": {"type": "rect", "stroke": "var(--card)", "strokeWidth": 0.6},
            "encoding": {
                "x": time_axis(past),
                "x2": {"field": "t2"},
                "y": {**y, "field": "y"},
                "y2": {"field": "y2"},
                "fill": {"field": "c", "type": "nominal", "scale": None},
                "description": {"field": "told"},
            },
        },
        {
            "transform": [{"filter": "datum.letter"}],
            "mark": {
                "type": "text", "font": FONT, "fontSize": SIZE - 1, "fontWeight": 700,
                "fill": "var(--card)", "baseline": "middle",
            },
            "encoding": {
                "x": {"field": "middle", "type": "quantitative"},
                "y": {"field": "height", "type": "quantitative"},
                "text": {"field": "letter"},
            },
        },
    ]  # fmt: skip
    return chart(bars, layers, (_NARROW, 190), padding_of(left=44, right=26))


def intervals(rows: Sequence[Interval], limits: Sequence[Limit], unit: str) -> Spec:
    """Draw figures with their bounds, a line for each; ``unit`` is ``%``, ``points`` or ``s``."""
    known = [
        value for row in rows for value in (row.figure, row.lower, row.upper) if value is not None
    ] + [one.value for one in limits]
    left, right, ticks = linear_axis(known, unit)
    told = []
    for index, row in enumerate(rows):
        ends = left if row.lower is None else row.lower, right if row.upper is None else row.upper
        bounds = ", ".join(
            f"{word} {figure_text(value, unit)}"
            for word, value in (("at least", row.lower), ("at most", row.upper))
            if value is not None
        )
        figure = "no figure" if row.figure is None else figure_text(row.figure, unit)
        told.append(
            {
                "y": index + (0.62 if row.name else 0.5),
                "from": ends[0],
                "to": ends[1],
                "x": row.figure,
                "name": row.name,
                "c": f"var(--{row.tone})",
                "told": f"{row.name}: {figure}{f', {bounds}' if bounds else ''}".lstrip(": "),
            }
        )
    y: dict[str, Any] = {
        "type": "quantitative",
        "field": "y",
        "scale": {"domain": [0, len(rows)], "nice": False, "reverse": True},
        "axis": None,
    }
    x: dict[str, Any] = {
        "type": "quantitative",
        "scale": {"domain": [left, right], "nice": False, "zero": False},
        "axis": axis(ticks, tick_text(ticks, unit)),
        "title": None,
    }
    ink = {"field": "c", "type": "nominal", "scale": None}
    named = any(row.name for row in rows)
    height = (42 if named else 34) * len(rows)
    layers: list[dict[str, Any]] = [
        {
            "mark": {"type": "rule", "strokeWidth": 9, "opacity": 0.35, "strokeCap": "round"},
            "encoding": {
                "y": y, "x": {**x, "field": "from"}, "x2": {"field": "to"}, "stroke": ink,
            },
        },
        {
            "transform": [{"filter": "datum.x !== null"}],
            "mark": {"type": "point", "filled": True, "size": 70, "opacity": 1},
            "encoding": {
                "y": y, "x": {**x, "field": "x"}, "fill": ink, "description": {"field": "told"},
            },
        },
    ]  # fmt: skip
    if named:
        layers.append(
            {
                "mark": {"type": "text", "align": "left", "dy": -14, "fontSize": SIZE,
                         "fill": TEXT, "font": FONT, "x": 2},
                "encoding": {"y": y, "text": {"field": "name"}},
            }
        )  # fmt: skip
    for index, one in enumerate(limits):
        layers += limit_across(one, x, late=index % 2 == 1, middle=(left + right) / 2)
    padding = padding_of(left=22, right=22, top=20 + 13 * (len(limits) - 1) if limits else 8)
    return chart(told, layers, (_NARROW, height + padding["top"] + padding["bottom"]), padding)


def _run(counts: Sequence[int], index: int) -> int:
    """Return the bucket with which the unbroken run of sessions begins that holds a bucket."""
    while index and counts[index - 1]:
        index -= 1
    return index


def _lonely(points: Sequence[dict[str, Any]]) -> list[int]:
    """Return the runs of one bucket."""
    runs = [point["run"] for point in points]
    return [run for run in runs if runs.count(run) == 1]
