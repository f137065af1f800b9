"""JSON lines: the rows alone, an object a line."""

from typing import BinaryIO

from relhealth.render.json import encode
from relhealth.report import Report


def render(report: Report, stream: BinaryIO) -> None:
    """Write the rows of every table."""
    for table in report.row_tables():
        stream.writelines(
            encode({name: row[name] for name in table.stable}) + b"\n" for row in table.rows
        )
