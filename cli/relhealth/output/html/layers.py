"""The parts that charts share: colours, dashes, lines, points, limits and labels.

Nothing depends on the fonts of the machine, so the same figures give the same picture. Colours are
names of the page's style, which has them for a light and for a dark background.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from relhealth.core.printable import excerpt
from relhealth.output.html.axes import time_axis
from relhealth.output.html.content import Spec
from relhealth.output.html.history import ProjectHistory

LETTERS = "ABCDE"  # a letter, a colour and dashes for each release that is drawn
FONT = "ui-sans-serif, system-ui, sans-serif"
SIZE = 11
TEXT, SOFT, _RULE = "var(--text)", "var(--soft)", "var(--line)"
_DASHES: tuple[list[int], ...] = ([], [7, 3], [2, 3], [9, 3, 2, 3], [5, 2])
_GAP = 13  # pixels between labels
_SHORT = 14  # letters of a short name
_HASH = 40


class Limit(NamedTuple):
    """A limit of a figure, and the words beside it."""

    value: float
    word: str


def colour(number: int | None) -> str:
    """Return the colour of a release; None for all others together."""
    return "var(--s0)" if number is None else f"var(--s{number + 1})"


def dashes(number: int) -> list[int]:
    """Return the dashes of a release's lines."""
    return _DASHES[number]


def short(release: str) -> str:
    """Return a release without its package and build, for a place with little room."""
    version = release.rpartition("@")[2].partition("+")[0] or release
    if len(version) >= _HASH and version.isalnum():
        return version[:8]
    return excerpt(version, _SHORT)


def chart(
    values: list[dict[str, Any]],
    layers: Sequence[Spec],
    size: tuple[int, int],
    padding: dict[str, int],
) -> Spec:
    """Return a specification of an outer size."""
    return {
        "data": {"values": values},
        "width": size[0] - padding["left"] - padding["right"],
        "height": size[1] - padding["top"] - padding["bottom"],
        "autosize": {"type": "none"},
        "padding": padding,
        "background": None,
        "layer": list(layers),
        "config": {
            "font": FONT,
            "view": {"stroke": None},
            "axis": {
                "labelFont": FONT, "labelFontSize": SIZE, "labelColor": SOFT,
                "gridColor": _RULE, "domainColor": _RULE, "ticks": False, "labelPadding": 6,
                "labelOverlap": False, "title": None,
            },
        },
    }  # fmt: skip


def padding_of(
    *, left: int = 14, top: int = 10, right: int = 14, bottom: int = 24
) -> dict[str, int]:
    """Return the room around a plot, in pixels."""
    return {"left": left, "top": top, "right": right, "bottom": bottom}


def lines(past: ProjectHistory, y: dict[str, Any], releases: Sequence[str]) -> list[dict[str, Any]]:
    """Draw a line for each release, with its dashes and a dot in each bucket."""
    x = time_axis(past)
    ink = {
        "field": "n",
        "type": "nominal",
        "legend": None,
        "scale": {
            "domain": list(range(len(releases))),
            "range": [colour(number) for number in range(len(releases))],
        },
    }
    lines = [
        {
            "transform": [{"filter": f"datum.n === {number}"}],
            "mark": {
                "type": "line", "color": colour(number), "strokeWidth": 2.2,
                "strokeDash": dashes(number) or [1, 0], "interpolate": "monotone",
            },
            "encoding": by_run(x, "y", y),
        }
        for number in range(len(releases))
    ]  # fmt: skip
    return [*lines, dots(x, {**y, "field": "y"}, ink)]


def by_run(x: dict[str, Any], field: str, y: dict[str, Any]) -> dict[str, Any]:
    """Return an encoding that breaks lines where there were no sessions."""
    return {"x": x, "y": {**y, "field": field}, "detail": {"field": "run", "type": "nominal"}}


def dots(
    x: dict[str, Any], y: dict[str, Any], fill: dict[str, Any], *, shaped: bool = False
) -> dict[str, Any]:
    """Draw the points, which have their words for a hint and for a screen reader."""
    encoding = {"x": x, "y": y, "fill": fill, "description": {"field": "told"}}
    if shaped:
        encoding["shape"] = {"field": "shape", "type": "nominal", "scale": None}
    return {
        "mark": {"type": "point", "filled": True, "size": 26 if shaped else 16, "opacity": 1,
                 "strokeWidth": 12, "stroke": "transparent"},
        "encoding": encoding,
    }  # fmt: skip


def limits_down(limits: Sequence[Limit], floor_: float, room: int) -> list[dict[str, Any]]:
    """Draw limits across, each with its word beside it."""
    y = {"field": "y", "type": "quantitative"}
    layers: list[dict[str, Any]] = []
    shown = sorted((one for one in limits if one.value > floor_), key=lambda one: -one.value)
    at = [room * (100 - one.value) / (100 - floor_) for one in shown]
    for one, offset in zip(shown, _spread(at, room), strict=True):
        data = {"values": [{"y": one.value, "word": one.word}]}
        layers += [
            {
                "data": data,
                "mark": {"type": "rule", "stroke": SOFT, "strokeDash": [4, 3], "opacity": 0.8},
                "encoding": {"y": y},
            },
            {
                "data": data,
                "mark": {
                    "type": "text", "align": "left", "baseline": "middle", "font": FONT,
                    "fontSize": SIZE - 1, "fill": SOFT, "x": "width", "dx": 5, "dy": offset,
                },
                "encoding": {"y": y, "text": {"field": "word"}},
            },
        ]  # fmt: skip
    return layers


def limit_across(
    one: Limit, x: dict[str, Any], *, late: bool, middle: float
) -> list[dict[str, Any]]:
    """Draw a limit down through figures, with its words above; ``late`` raises them."""
    right = one.value > middle
    data = {"values": [{"at": one.value, "word": one.word}]}
    return [
        {
            "data": data,
            "mark": {"type": "rule", "stroke": TEXT, "strokeDash": [2, 3] if late else [5, 3]},
            "encoding": {"x": {**x, "field": "at"}},
        },
        {
            "data": data,
            "mark": {
                "type": "text", "y": -20 if late else -7, "font": FONT, "fontSize": SIZE,
                "fill": SOFT, "align": "right" if right else "left", "dx": 4 if right else -4,
            },
            "encoding": {"x": {**x, "field": "at"}, "text": {"field": "word"}},
        },
    ]  # fmt: skip


def ends(
    points: Sequence[dict[str, Any]],
    releases: Sequence[str],
    height: int,
    padding: dict[str, int],
    *,
    top: float,
    wide: bool = False,
) -> list[dict[str, Any]]:
    """Label each line at its end, and move labels apart."""
    last = {point["n"]: point for point in points}
    room = height - padding["top"] - padding["bottom"]
    at = [room * (1 - point["y"] / top) for point in last.values()]
    layers = []
    for (number, point), offset in zip(last.items(), _spread(at, room), strict=True):
        word = f"{LETTERS[number]} {short(releases[number])}" if wide else LETTERS[number]
        layers.append(
            {
                "data": {"values": [{"t": point["t"], "y": point["y"], "word": word}]},
                "mark": {
                    "type": "text", "align": "left", "baseline": "middle", "dx": 8, "dy": offset,
                    "font": FONT, "fontSize": SIZE + 1, "fontWeight": 600,
                    "fill": colour(number),
                },
                "encoding": {
                    "x": {"field": "t", "type": "quantitative"},
                    "y": {"field": "y", "type": "quantitative"},
                    "text": {"field": "word"},
                },
            }
        )  # fmt: skip
    return layers


def _spread(at: Sequence[float], room: int) -> list[float]:
    """Return by how many pixels to move each label down, so that none covers another."""
    order = sorted(range(len(at)), key=lambda index: at[index])
    placed = [at[index] for index in order]
    for one, other in pairwise(range(len(placed))):
        placed[other] = max(placed[other], placed[one] + _GAP)
    limit = float(room)
    for index in reversed(range(len(placed))):
        placed[index] = min(placed[index], limit)
        limit = placed[index] - _GAP
    moved = dict(zip(order, placed, strict=True))
    return [moved[index] - at[index] for index in range(len(at))]


def note(at: float, word: str) -> list[dict[str, Any]]:
    """Draw a line down at an instant, with words above it."""
    data = {"values": [{"t": at, "word": word}]}
    x = {"field": "t", "type": "quantitative"}
    return [
        {
            "data": data,
            "mark": {"type": "rule", "stroke": SOFT, "strokeDash": [2, 3]},
            "encoding": {"x": x},
        },
        {
            "data": data,
            "mark": {
                "type": "text", "y": -9, "font": FONT, "fontSize": SIZE, "fontWeight": 600,
                "fill": TEXT,
            },
            "encoding": {"x": x, "text": {"field": "word"}},
        },
    ]  # fmt: skip
