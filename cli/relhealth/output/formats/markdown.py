"""Markdown: a GitHub table of every figure, and the window below it."""

from typing import Any, BinaryIO

from relhealth.core.printable import printable
from relhealth.core.units import Unit
from relhealth.output.formats.text import cell
from relhealth.output.report import Report

_LEFT = {Unit.RELEASE, Unit.TEXT, Unit.SERIES, Unit.VERDICT}


_MARKUP = set("\\`*_{}[]<>()#|~@!&:")


def render(report: Report, stream: BinaryIO) -> None:
    """Write each table under its title."""
    for index, table in enumerate(report.tables):
        lines = [
            *([""] if index else []),
            "| " + " | ".join(column.heading.replace("\n", " ") for column in table.columns) + " |",
            "|" + "|".join(" :-- " if c.unit in _LEFT else " --: " for c in table.columns) + "|",
        ]
        for row in table.rows:
            cells = (_cell(row[column.name], column.unit) for column in table.columns)
            lines.append("| " + " | ".join(cells) + " |")
        lines += ["", f"_{table.title}_", ""]
        stream.write("\n".join(lines).encode())
    if report.notes:
        stream.write(b"\n")
        stream.write("".join(f"- {plain(note)}\n" for note in report.notes).encode())


def plain(text: str) -> str:
    """Return text that Markdown shows literally, without markup, HTML, mentions and links."""
    return "".join(f"\\{char}" if char in _MARKUP else char for char in text)


def _cell(value: Any, unit: Unit) -> str:
    if unit is Unit.RELEASE and value:
        return _code(printable(value))
    return plain(cell(value, unit)) if unit is Unit.TEXT else cell(value, unit)


def _code(name: str) -> str:
    """Return a code span, so that ``shop@1.0.0`` becomes neither an address nor emphasis."""
    fence = "`"
    while fence in name:
        fence += "`"
    pad = " " if name.startswith("`") or name.endswith("`") else ""
    return f"{fence}{pad}{name}{pad}{fence}".replace("|", "\\|")
