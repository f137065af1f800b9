"""The HTML of a page: the template filled, with every text of the data escaped."""

import base64
import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from relhealth.core import clock
from relhealth.core.printable import printable
from relhealth.core.units import Unit
from relhealth.core.version import __version__
from relhealth.core.windows import iso
from relhealth.core.words import counted
from relhealth.output.formats.text import ABSENT, cell
from relhealth.output.html.content import Chart, Mark, Page, Section
from relhealth.output.html.layers import colour, dashes
from relhealth.output.html.words import SIGNS, mark_of
from relhealth.output.report import Column, Report, Table

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup

# Bytes, so that a page stays below 2 MB.
_CHARTS = 1_000_000
_TABLES = 700_000
_MARKUP = 70  # of a cell
_LONG = 50  # letters of a text that wraps
_SERIES = {Unit.SERIES, Unit.RATE_SERIES}
_WORDS = {Unit.RELEASE, Unit.TEXT, Unit.VERDICT, Unit.FINDING, Unit.INSTANT, *_SERIES}
_NAMES = {Unit.PROJECT, *_WORDS}
_SORTED_AS_TEXT = {Unit.FIGURE, *_WORDS}


class _Drawn(NamedTuple):
    """A chart with its pictures."""

    chart: Chart
    narrow: "Markup"
    wide: "Markup"  # or empty


class _Cell(NamedTuple):
    """A cell: its text, what it is sorted by, and its style; ``mark`` is of a verdict."""

    text: str
    key: str
    style: str
    mark: Mark | None
    share: float | None


class _Shown(NamedTuple):
    """A table as the template needs it."""

    title: str
    headings: list[tuple[str, bool]]  # and whether it is of text
    rows: list[list[_Cell]]
    left_out: int


def render(report: Report, stream: BinaryIO) -> None:
    """Write the page of a report."""
    page = report.page or _error_page(report)
    sections, charts_left_out = _sections(page)
    script, style = _part("page.js"), _part("page.css")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    html = _template().render(
        page=page,
        title=f"{page.mark.word}: relhealth {report.meta['command']}",
        report=report,
        facts=list(_facts(report, page)),
        sections=sections,
        charts_left_out=charts_left_out,
        tables=_tables(report, page),
        signs=SIGNS,
        colour=colour,
        dashes=dashes,
        style=_markup(style),
        script=_markup(script),
        digest=digest,
        notes=[*report.notes, *(f"warning: {one}" for one in report.warnings)],
    )
    stream.write(html.encode())


def _error_page(report: Report) -> Page:
    """Return the page of a gate that could not run: its verdict is "error"."""
    first, *more = (printable(str(row["error"])).rstrip(".") for row in report.tables[0].rows)
    others = f"; {counted(len(more), 'more error')} below" if more else ""
    head = report.summary.removeprefix("error: ")
    told = f"{head[:1].upper()}{head[1:]}: {first}{others}."
    made = iso(clock.now().replace(microsecond=0))
    return Page(mark_of(report.meta["verdict"]), told, facts=(("Made", f"{_minute(made)} UTC"),))


@cache
def _template() -> "Template":
    from jinja2 import Environment, StrictUndefined

    rules = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return rules.from_string(_part("page.html"))


@cache
def _part(name: str) -> str:
    return files("relhealth.output.html").joinpath("parts", name).read_text(encoding="utf-8")


def _markup(text: str) -> "Markup":
    """Return text of relhealth itself, or of the chart library, which escapes what it draws."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 - as above: no text of the data is in it unescaped


def _sections(page: Page) -> tuple[list[tuple[Section, list[_Drawn]]], int]:
    """Draw the charts of each section; return how many there was no room for, too."""
    from relhealth.output.html.drawing import svg

    sections, left, left_out = [], _CHARTS, 0
    for section in page.sections:
        drawn = []
        for chart in section.charts:
            if left <= 0:
                left_out += 1
                continue
            narrow, wide = svg(chart.spec), "" if chart.wide is None else svg(chart.wide)
            left -= len(narrow) + len(wide)
            drawn.append(_Drawn(chart, _markup(narrow), _markup(wide)))
        if drawn:
            sections.append((section, drawn))
    return sections, left_out


def _facts(report: Report, page: Page) -> Iterator[tuple[str, str]]:
    meta = report.meta
    window = meta.get("window")
    if window:
        yield "Data window", f"{_minute(window['start'])} to {_minute(window['end'])} UTC"
    elif meta.get("until"):
        yield "Data", f"sessions before {_minute(meta['until'])} UTC, for {meta['period']}"
    yield from page.facts
    if meta.get("now"):
        yield "As of", f"{_minute(meta['now'])} UTC"
    if meta.get("environments") is not None:
        yield "Environments", ", ".join(printable(name) or "none" for name in meta["environments"])
    if meta.get("policy"):
        yield "Policy", printable(meta["policy"])
    if meta.get("sources"):
        yield "Sources", counted(meta["sources"]["files"], "file")
    yield "Made by", f"relhealth {__version__}"


def _minute(instant: str) -> str:
    """Return ISO 8601 to the minute, and seconds only if there are any."""
    return instant.replace("T", " ").removesuffix("Z").removesuffix(":00")


def _tables(report: Report, page: Page) -> list[_Shown]:
    shown, left = [], _TABLES
    for table in (_marked(one, page) for one in _chosen(report)):
        columns, rows = _columns(table), []
        for row in table.rows:
            cells = [_cell(row[one.name], one.unit) for one in columns]
            left -= sum(len(one.text) + len(one.key) + _MARKUP for one in cells)
            if left < 0:
                break
            rows.append(cells)
        headings = [(_heading(one), one.unit in _SORTED_AS_TEXT) for one in columns]
        shown.append(_Shown(table.title, headings, rows, len(table.rows) - len(rows)))
    return shown


def _chosen(report: Report) -> Sequence[Table]:
    """Return the tables that have every figure."""
    records = report.records
    if records is None or report.meta["command"] == "release":
        return report.tables
    if {one.name for one in records.columns} <= {one.name for one in report.tables[0].columns}:
        return report.tables
    first = [one for one in records.columns if one.unit is Unit.VERDICT]
    columns = (*first, *(one for one in records.columns if one not in first))
    return (records._replace(title="", columns=columns),)


def _marked(table: Table, page: Page) -> Table:
    """Put the word of each release first."""
    names = [one.name for one in table.columns]
    if "status" in names:
        status = next(one for one in table.columns if one.name == "status")
        others = tuple(one for one in table.columns if one is not status)
        return table._replace(columns=(status._replace(unit=Unit.VERDICT), *others))
    if not page.marks or not {"project_id", "release"} <= set(names) or "verdict" in names:
        return table
    rows = []
    for row in table.rows:
        mark = page.marks.get((row["project_id"], row["release"]))
        rows.append({**row, "status": mark and mark.word})
    column = Column("status", Unit.VERDICT, "Status")
    return table._replace(columns=(column, *table.columns), rows=rows)


def _columns(table: Table) -> list[Column]:
    """Leave out what nobody asked for."""
    return [
        one
        for one in table.columns
        if not (one.unit in _SERIES or one.name in table.optional)
        or any(row[one.name] is not None for row in table.rows)
    ]


def _heading(column: Column) -> str:
    words = column.heading.replace("\n", " ").replace("_", " ").replace("crash free", "crash-free")
    return words[:1].upper() + words[1:]


def _cell(value: Any, unit: Unit) -> _Cell:
    kind = "name" if unit in _NAMES else "figure"
    if value is None:
        return _Cell(ABSENT, "", kind, None, None)
    if isinstance(value, (int, float)) and unit in {Unit.TEXT, Unit.FIGURE}:
        text = f"{value:,}"
    elif unit is Unit.VERDICT:  # its mark has the sign
        text = printable(value)
    else:
        text = cell(value, unit)
    as_text = unit in _SORTED_AS_TEXT
    key = text if as_text else str(float(value))
    mark = mark_of(text) if unit is Unit.VERDICT else None
    if unit is Unit.RELEASE:
        kind = "name release"
    if unit in {Unit.RELEASE, Unit.TEXT} and len(text) > _LONG:
        kind += " long"
    share = float(value) if unit is Unit.SHARE else None
    return _Cell(text, key, kind, mark, share)
