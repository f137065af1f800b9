"""Rendering: one module per format, which writes a report's bytes to a stream."""

from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, assert_never

from relhealth.core.errors import QuestionError
from relhealth.output.report import Report


class Format(StrEnum):
    """The formats of ``--format``."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    JSONL = "jsonl"
    MARKDOWN = "markdown"
    PARQUET = "parquet"
    JUNIT = "junit"
    GITLAB = "gitlab"
    PROMETHEUS = "prometheus"
    OPENMETRICS = "openmetrics"
    HTML = "html"


ROWS = (
    Format.TABLE,
    Format.CSV,
    Format.JSON,
    Format.JSONL,
    Format.MARKDOWN,
    Format.PARQUET,
)
METRICS = (Format.PROMETHEUS, Format.OPENMETRICS)
PAGES = (Format.HTML,)


SUFFIXES = {
    ".txt": Format.TABLE,
    ".csv": Format.CSV,
    ".json": Format.JSON,
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".md": Format.MARKDOWN,
    ".parquet": Format.PARQUET,
    ".xml": Format.JUNIT,
    ".prom": Format.PROMETHEUS,
    ".html": Format.HTML,
    ".htm": Format.HTML,
}


def format_for(named: Format | None, output: Path | None) -> Format:
    """Return the format that the user named, else that of the output's suffix, else the table."""
    if named is not None:
        return named
    if output is None:
        return Format.TABLE
    if output.suffix.lower() not in SUFFIXES:
        raise QuestionError(
            f"{output.name!r} has no suffix of a known format: name it with --format, or use one of"
            f" {', '.join(SUFFIXES)}"
        )
    return SUFFIXES[output.suffix.lower()]


def render(  # noqa: C901 - a case a format
    report: Report,
    chosen: Format,
    stream: BinaryIO,
    *,
    width: int | None = None,
    colour: bool | None = None,
) -> None:
    """Write a report in the chosen format.

    ``width`` is that of a terminal, to which a table fits; ``colour`` forces it on or off, and
    ``None`` leaves it to Rich's rules. The other formats ignore both.
    """
    match chosen:
        case Format.TABLE:
            from relhealth.output.formats import table

            table.render(report, stream, width=width, colour=colour)
        case Format.CSV:
            from relhealth.output.formats import csv

            csv.render(report, stream)
        case Format.JSON:
            from relhealth.output.formats import json

            json.render(report, stream)
        case Format.JSONL:
            from relhealth.output.formats import jsonl

            jsonl.render(report, stream)
        case Format.MARKDOWN:
            from relhealth.output.formats import markdown

            markdown.render(report, stream)
        case Format.PARQUET:
            from relhealth.output.formats import parquet

            parquet.render(report, stream)
        case Format.JUNIT:
            from relhealth.output.formats import junit

            junit.render(report, stream)
        case Format.GITLAB:
            from relhealth.output.formats import gitlab

            gitlab.render(report, stream)
        case Format.PROMETHEUS | Format.OPENMETRICS:
            from relhealth.output.formats import prometheus

            prometheus.render(report, stream, openmetrics=chosen is Format.OPENMETRICS)
        case Format.HTML:
            from relhealth.output.html import document

            document.render(report, stream)
        case _:
            assert_never(chosen)
