"""JSON lines: only the rows, one object per line."""

from datetime import datetime
from typing import Any, BinaryIO

from relhealth.core.windows import iso
from relhealth.output.formats.json import encode
from relhealth.output.report import Report


def render(report: Report, stream: BinaryIO) -> None:
    """Write the rows of every table."""
    for table in report.row_tables():
        names = [column.name for column in table.stable_columns()]
        stream.writelines(
            encode({name: _plain(row[name]) for name in names}) + b"\n" for row in table.rows
        )


def _plain(value: Any) -> Any:
    return iso(value) if isinstance(value, datetime) else value
