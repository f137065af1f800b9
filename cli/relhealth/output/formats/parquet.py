"""Parquet: the rows as typed columns, the meta data as JSON in the schema."""

from typing import BinaryIO

import pyarrow.parquet as pq

from relhealth.output.report import Report
from relhealth.questions.arrow import to_arrow


def render(report: Report, stream: BinaryIO) -> None:
    """Write the table."""
    (table,) = report.row_tables()
    units = {column.name: column.unit for column in table.stable_columns()}
    pq.write_table(to_arrow(units, table.rows, report.meta), stream, compression="zstd")
