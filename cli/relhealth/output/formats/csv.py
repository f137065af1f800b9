"""CSV: a header line and the rows, with LF line ends, empty for null."""

import csv
import json
from typing import Any, BinaryIO

from relhealth.core.units import Unit
from relhealth.core.windows import iso
from relhealth.output.report import Report

_CRLF = "\r\n"


def render(report: Report, stream: BinaryIO) -> None:
    """Write the table; a series is JSON text in its cell."""
    (table,) = report.row_tables()
    columns = table.stable_columns()
    writer = csv.writer(_LfLines(stream), lineterminator=_CRLF)
    writer.writerow(column.name for column in columns)
    for row in table.rows:
        writer.writerow(_cell(row[column.name], column.unit) for column in columns)


class _LfLines:
    """Ends lines with LF; with LF as its line end, csv.writer would not quote a CR in a name."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, line: str) -> None:
        self._stream.write(line.removesuffix(_CRLF).encode() + b"\n")


def _cell(value: Any, unit: Unit) -> object:
    if value is None:
        return ""
    if unit is Unit.FLAG:
        return "true" if value else "false"
    if unit is Unit.INSTANT:
        return iso(value)
    if unit is Unit.SERIES:
        return json.dumps(value)
    return value
