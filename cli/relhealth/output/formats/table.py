"""The terminal table: aligned columns, coloured by Rich, that fit a terminal uncut."""

import io
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from relhealth.core.units import Unit
from relhealth.core.words import counted
from relhealth.output.formats import text
from relhealth.output.report import Column, Report, Table

_GAP = 2
_NARROWEST = 16  # of a folded column of text
_BAR = 4
_LEFT = {Unit.RELEASE, Unit.TEXT, Unit.SERIES, Unit.VERDICT}
_NAMES = {Unit.PROJECT, Unit.RELEASE, Unit.TEXT, Unit.VERDICT}
_VERDICTS = {
    "pass": "bold green",
    "OK": "bold green",
    "fail": "bold red",
    "BAD": "bold red",
    "NO DATA": "dim",
}
_GOOD, _FAIR = 99.5, 98.0  # percent crash-free; below: bad
_CHUNK = 500  # lines written at once
_WIDE = 120  # a terminal of this many columns has room for a complete series


def render(
    report: Report, stream: BinaryIO, *, width: int | None = None, colour: bool | None = None
) -> None:
    """Write each table.

    With a ``width``, the table leaves out columns without room and names them below. A release name
    that is too long gets a separate line. Without a ``width``, it has every column.
    """
    encoding = sys.stdout.encoding if width is not None else "utf-8"
    out = io.TextIOWrapper(
        stream, encoding=encoding, errors="backslashreplace", newline="\n", write_through=True
    )
    console = Console(file=out, force_terminal=colour, highlight=False, legacy_windows=False)
    try:
        write(report, console, width=width, ascii_only=not encoding.lower().startswith("utf"))
    finally:
        out.detach()


def write(
    report: Report, console: Console, *, width: int | None = None, ascii_only: bool = False
) -> None:
    """Write each table to a Rich console."""
    for index, table in enumerate(report.tables):
        if index:
            console.print()
        lines = list(_lines(table, width, ascii_only=ascii_only))
        for start in range(0, len(lines), _CHUNK):
            chunk = Text("\n").join(lines[start : start + _CHUNK])
            console.print(chunk, soft_wrap=True, crop=False, overflow="ignore")
    if report.notes:
        console.print()
    for note in report.notes:
        wrapped = note if width is None else textwrap.fill(note, width, subsequent_indent="  ")
        console.print(Text(wrapped), soft_wrap=True, crop=False, overflow="ignore")


@dataclass(frozen=True, slots=True)
class _Shown:
    """A column with its finished cells and their width."""

    column: Column
    cells: Sequence[Text]
    width: int

    def padded(self, content: Text) -> Text:
        space = " " * (self.width - content.cell_len)
        if self.column.unit in _LEFT:
            return content + space
        return Text(space) + content


def _lines(table: Table, width: int | None, *, ascii_only: bool) -> Iterator[Text]:
    title = table.title.replace("·", "-") if ascii_only else table.title
    for line in [title] if width is None else textwrap.wrap(title, width):
        yield Text(line, style="dim")
    told = [_shown(column, table, width, ascii_only=ascii_only) for column in _told(table, width)]
    shown = told if width is None else _fitting(told, width)
    headings = [one.column.heading.split("\n") for one in shown]
    depth = max(map(len, headings))
    for level in range(depth):
        # Short headings are on the last line, next to their figures.
        words = [([""] * (depth - len(lines)) + lines)[level] for lines in headings]
        yield _joined([one.padded(Text(w, "bold")) for one, w in zip(shown, words, strict=True)])
    rule = "-" if ascii_only else "─"
    yield Text((" " * _GAP).join(rule * one.width for one in shown), style="dim")
    for index in range(len(table.rows)):
        yield from _row([(one, one.cells[index]) for one in shown])
    if not table.rows:
        yield Text("nothing", style="dim")
    if width is not None and len(shown) < len(told):
        more = counted(len(told) - len(shown), "more figure")
        note = f"{more} in a wider terminal, or with --format json"
        yield from (Text(line, style="dim") for line in textwrap.wrap(note, width))


def _told(table: Table, width: int | None) -> list[Column]:
    """Leave out a series that nobody requested and, on a terminal, a single project."""
    rows = table.rows
    columns = [
        column
        for column in table.columns
        if column.unit is not Unit.SERIES or any(row[column.name] is not None for row in rows)
    ]
    if width is not None and len({row.get("project_id") for row in rows}) == 1:
        columns = [column for column in columns if column.unit is not Unit.PROJECT]
    return columns


def _shown(column: Column, table: Table, width: int | None, *, ascii_only: bool) -> _Shown:
    most = None if width is None or width >= _WIDE else width // 8
    cells = [
        _cell(row[column.name], column.unit, most_points=most, ascii_only=ascii_only)
        for row in table.rows
    ]
    widest = max((content.cell_len for content in cells), default=0)
    if column.unit is Unit.RELEASE and width is not None:
        widest = min(widest, width * 35 // 100)  # longer names get a separate line
    return _Shown(column, cells, max(widest, *map(cell_len, column.heading.split("\n"))))


def _cell(value: Any, unit: Unit, *, most_points: int | None, ascii_only: bool) -> Text:
    if value is None:
        return Text("-" if ascii_only else text.ABSENT, style="dim")
    words = text.cell(value, unit)
    match unit:
        case Unit.CRASH_FREE:
            return Text(words, "green" if value >= _GOOD else "yellow" if value >= _FAIR else "red")
        case Unit.SHARE:
            return Text(text.bar(value, _BAR, ascii_only=ascii_only), "cyan") + Text(f"{words:>7}")
        case Unit.SERIES:
            (points,) = value.values()
            counts = [count for _, count in points]
            if most_points is not None:
                counts = text.condensed(counts, most_points)
            return Text(text.sparkline(counts, ascii_only=ascii_only), "cyan")
        case Unit.RELEASE:
            return Text(words, "bold")
        case Unit.VERDICT:
            return Text(words, _VERDICTS.get(words, "bold yellow"))
        case _:
            return Text(words)


def _fitting(told: list[_Shown], width: int) -> list[_Shown]:
    """Return the first columns that fit the width, and always the name and one figure.

    If these are too wide, fold text.
    """
    shown: list[_Shown] = []
    used = -_GAP
    for one in told:
        used += _GAP + one.width
        if used > width and any(other.column.unit not in _NAMES for other in shown):
            break
        shown.append(one)
    over = sum(one.width + _GAP for one in shown) - _GAP - width
    texts = [one.width for one in shown if one.column.unit is Unit.TEXT]
    if over <= 0 or not texts:
        return shown
    widest = max(texts)
    narrow = max(widest - over, min(widest, _NARROWEST))
    return [
        replace(one, width=narrow) if one.column.unit is Unit.TEXT and one.width == widest else one
        for one in shown
    ]


def _row(cells: list[tuple[_Shown, Text]]) -> Iterator[Text]:
    """Yield a row's lines; if a name is wider than its column, the figures follow below it."""
    for index, (one, content) in enumerate(cells):
        if content.cell_len > one.width and one.column.unit is not Unit.TEXT:
            yield _joined([before.padded(its) for before, its in cells[:index]] + [content])
            blank = [(before, Text()) for before, _ in cells[: index + 1]]
            yield from _row(blank + cells[index + 1 :])
            return
    folded = [_folded(one, content) for one, content in cells]
    for level in range(max(map(len, folded), default=0)):
        yield _joined(
            [
                one.padded(lines[level] if level < len(lines) else Text())
                for (one, _), lines in zip(cells, folded, strict=True)
            ]
        )


def _folded(one: _Shown, content: Text) -> list[Text]:
    if content.cell_len <= one.width:
        return [content]
    return [Text(line) for line in textwrap.wrap(content.plain, one.width)]


def _joined(cells: list[Text]) -> Text:
    line = Text(" " * _GAP).join(cells)
    line.rstrip()
    return line
