"""The terminal table: aligned columns, coloured by Rich, that fit a terminal uncut."""

import io
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from relhealth.core.project_names import project_text
from relhealth.core.units import Unit
from relhealth.core.words import counted
from relhealth.output.formats import text
from relhealth.output.report import Column, Report, Table

_GAP = 2
_NARROWEST = 16  # of a folded column of text
_BAR = 4
_SERIES = {Unit.SERIES, Unit.RATE_SERIES}
_LEFT = {Unit.RELEASE, Unit.TEXT, Unit.VERDICT, Unit.FINDING, *_SERIES}
_NAMES = {Unit.PROJECT, Unit.RELEASE, Unit.TEXT, Unit.VERDICT, Unit.FINDING}
_SIGNED = {Unit.VERDICT, Unit.CRASH_FREE}
_MORE = "in a wider terminal, or with --wide, --columns or --format csv"
# Only colours that can be read on a light and on a dark terminal: no yellow, cyan or white.
_VERDICTS = {
    "pass": "bold green",
    "OK": "bold green",
    "fail": "bold red",
    "BAD": "bold red reverse",
    "WORSE": "bold red reverse",
    "BETTER": "bold green",
    "TOO EARLY": "magenta",
    "NO DATA": "dim",
}
_FINDINGS = {"worse": "bold red", "better": "bold green"}
# Percent of a terminal that a column of names takes at most: beside figures, and beside sentences.
_NAME, _NAME_BESIDE_TEXT = 42, 35
_CHUNK = 500  # lines written at once
_PAGE = 80  # columns of a sentence where the width is not known
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
    for word, sentence in report.lead:
        sign = text.in_ascii(text.verdict(word)) if ascii_only else text.verdict(word)
        line = f"{sign}  {sentence}" if sign else sentence
        found = Text(line if width is None else "\n".join(_wrapped(line, width)))
        found.stylize(_VERDICTS.get(word, "bold magenta"), 0, len(sign))
        console.print(found, soft_wrap=True, crop=False, overflow="ignore")
    for index, table in enumerate(report.tables):
        if index or report.lead:
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
    shown = told if width is None or table.is_chosen else _fitting(told, width)
    headings = [one.column.heading.split("\n") for one in shown]
    depth = max(map(len, headings))
    for level in range(depth):
        # Short headings are on the last line, next to their figures.
        words = [([""] * (depth - len(lines)) + lines)[level] for lines in headings]
        yield _joined([one.padded(Text(w, "bold")) for one, w in zip(shown, words, strict=True)])
    rule = "-" if ascii_only else "─"
    yield Text((" " * _GAP).join(rule * one.width for one in shown), style="dim")
    groups = _groups(table, width)
    for index in range(len(table.rows)):
        if groups and (index == 0 or groups[index] != groups[index - 1]):
            across = sum(one.width + _GAP for one in shown) - _GAP
            yield Text(f"project {project_text(groups[index])} ".ljust(across, rule), style="dim")
        yield from _row([(one, one.cells[index]) for one in shown])
        if table.below is not None:
            indent = " " * (shown[0].width + _GAP)
            yield from map(Text, _below(table.rows[index][table.below], indent, width or _PAGE))
    if not table.rows:
        yield Text("nothing", style="dim")
    if width is not None and len(shown) < len(told):
        more = counted(len(told) - len(shown), "more figure")
        note = f"{more} {_MORE if table.main else 'in a wider terminal, or with --format json'}"
        yield from (Text(line, style="dim") for line in textwrap.wrap(note, width))


def _wrapped(line: str, width: int) -> list[str]:
    """Wrap a line between words, and never within a name."""
    return textwrap.wrap(
        line, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def _below(sentence: str, indent: str, width: int) -> list[str]:
    """Fold the sentence of a row, which begins below its second column."""
    return textwrap.wrap(
        sentence, max(width, len(indent) + _NARROWEST), initial_indent=indent,
        subsequent_indent=indent, break_on_hyphens=False,
    )  # fmt: skip


def _groups(table: Table, width: int | None) -> list[Any]:
    """Return the group of each row, if groups are shown: on a terminal, if there are several."""
    if table.group is None:
        return []
    groups = [row[table.group] for row in table.rows]
    return groups if width is None or len(set(groups)) > 1 else []


def _told(table: Table, width: int | None) -> list[Column]:
    """Leave out what is a heading and, on a terminal, a single project."""
    apart = {table.group, table.below}
    columns = [one for one in table.shown(every=width is not None) if one.name not in apart]
    if width is None or table.is_chosen or len({row.get("project_id") for row in table.rows}) != 1:
        return columns
    return [column for column in columns if column.unit is not Unit.PROJECT]


def _shown(column: Column, table: Table, width: int | None, *, ascii_only: bool) -> _Shown:
    most = None if width is None or width >= _WIDE else width // 10
    cells = [_cell(row, column, most_points=most, ascii_only=ascii_only) for row in table.rows]
    widest = max((content.cell_len for content in cells), default=0)
    if column.unit is Unit.RELEASE and width is not None:
        most_name = _NAME_BESIDE_TEXT if table.main is None else _NAME
        widest = min(widest, width * most_name // 100)  # longer names get a separate line
    return _Shown(column, cells, max(widest, *map(cell_len, column.heading.split("\n"))))


def _cell(
    row: Mapping[str, Any], column: Column, *, most_points: int | None, ascii_only: bool
) -> Text:
    value, unit = row[column.name], column.unit
    if value is None:
        return Text("-" if ascii_only else text.ABSENT, style="dim")
    if unit in _SERIES:
        return Text(_sparkline(value, unit, most_points, ascii_only=ascii_only))
    if unit is Unit.SHARE:
        return Text(f"{text.bar(value, _BAR, ascii_only=ascii_only)}{text.cell(value, unit):>7}")
    if unit is Unit.CRASH_FREE:
        words = text.crash_free(value, row.get("target"), row.get("critical"))
        # Few sessions make no figure red: where rows have a status, it decides.
        bad = words.startswith(text.BELOW_CRITICAL) and row.get("status", "BAD") == "BAD"
        style = "bold red" if bad else ""
    else:
        words = text.cell(value, unit)
        style = _style(value, unit, row)
    return Text(text.in_ascii(words) if ascii_only and unit in _SIGNED else words, style)


def _style(value: Any, unit: Unit, row: Mapping[str, Any]) -> str:
    match unit:
        case Unit.RELEASE:
            return "bold red" if row.get("status") == "BAD" else "bold"
        case Unit.VERDICT:
            return _VERDICTS.get(value, "bold magenta")
        case Unit.FINDING:
            return _FINDINGS.get(value, "")
        case _:
            return ""


def _sparkline(
    value: Mapping[str, Any], unit: Unit, most_points: int | None, *, ascii_only: bool
) -> str:
    (points,) = value.values()
    figures = [figure for _, figure in points]
    if most_points is not None:
        figures = text.condensed(figures, most_points)
    line = text.sparkline if unit is Unit.SERIES else text.rate_sparkline
    return line(figures, ascii_only=ascii_only)


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
            if cells[index + 1 :]:
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
