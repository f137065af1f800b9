"""CSV: the rows alone under a line of names, LF line ends, empty for null."""

import csv
import io
import json
from typing import Any, BinaryIO

from relhealth.report import Report, Unit


def render(report: Report, stream: BinaryIO) -> None:
    """Write the table; a series is JSON text in its cell."""
    (table,) = report.tables
    columns = table.stable_columns()
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(column.name for column in columns)
    for row in table.rows:
        writer.writerow(_cell(row[column.name], column.unit) for column in columns)
    text.detach()


def _cell(value: Any, unit: Unit) -> object:
    if value is None:
        return ""
    if unit is Unit.FLAG:
        return "true" if value else "false"
    if unit is Unit.SERIES:
        return json.dumps(value)
    return value
