"""Markdown: a GitHub table of the figures that matter, and the window below it."""

from collections.abc import Mapping
from typing import Any, BinaryIO

from relhealth.core.printable import printable
from relhealth.core.units import Unit
from relhealth.output.formats.text import cell, crash_free, verdict
from relhealth.output.report import Column, Report

_SERIES = {Unit.SERIES, Unit.RATE_SERIES}
_LEFT = {Unit.RELEASE, Unit.TEXT, Unit.VERDICT, Unit.FINDING, *_SERIES}
_MARKUP = set("\\`*_{}[]<>()#|~@!&:")


def render(report: Report, stream: BinaryIO) -> None:
    """Write each table under its title."""
    stream.writelines(
        f"{f'**{verdict(word)}** ' if word else ''}{plain(sentence)}\n\n".encode()
        for word, sentence in report.lead
    )
    for index, table in enumerate(report.tables):
        columns = table.shown()
        lines = [
            *([""] if index else []),
            "| " + " | ".join(column.heading.replace("\n", " ") for column in columns) + " |",
            "|" + "|".join(" :-- " if c.unit in _LEFT else " --: " for c in columns) + "|",
        ]
        group = None
        for row in table.rows:
            cells = [_cell(row, column) for column in columns]
            if table.group is not None:  # its value is shown once
                told = row[table.group]
                cells = [
                    "" if column.name == table.group and told == group else cell
                    for column, cell in zip(columns, cells, strict=True)
                ]
                group = told
            lines.append("| " + " | ".join(cells) + " |")
        lines += ["", f"_{table.title}_", ""]
        stream.write("\n".join(lines).encode())
    if report.notes:
        stream.write(b"\n")
        stream.write("".join(f"- {plain(note)}\n" for note in report.notes).encode())


def plain(text: str) -> str:
    """Return text that Markdown shows literally, without markup, HTML, mentions and links."""
    return "".join(f"\\{char}" if char in _MARKUP else char for char in text)


def _cell(row: Mapping[str, Any], column: Column) -> str:
    value, unit = row[column.name], column.unit
    if unit is Unit.RELEASE and value:
        return _code(printable(value))
    if unit is Unit.CRASH_FREE and value is not None:
        return crash_free(value, row.get("target"), row.get("critical"))
    if unit is Unit.VERDICT and value == "BAD":
        return f"**{cell(value, unit)}**"
    if unit in _SERIES:
        return cell(value, unit).replace(" ", "\N{NO-BREAK SPACE}")  # a gap, which HTML would drop
    return plain(cell(value, unit)) if unit is Unit.TEXT else cell(value, unit)


def _code(name: str) -> str:
    """Return a code span, so that ``shop@1.0.0`` becomes neither an address nor emphasis."""
    fence = "`"
    while fence in name:
        fence += "`"
    pad = " " if name.startswith("`") or name.endswith("`") else ""
    return f"{fence}{pad}{name}{pad}{fence}".replace("|", "\\|")
