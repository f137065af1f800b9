"""The relation ``metric_rows``: the contract's columns, with its types, of some files."""

from collections.abc import Sequence
from itertools import groupby

from relhealth.core.windows import Window
from relhealth.datasets.contract import COLUMNS
from relhealth.datasets.sources import SourceFile
from relhealth.datasets.sql import parquet_files


def metric_rows(
    files: Sequence[SourceFile], org: int | None = None, window: Window | None = None
) -> str:
    """Return SQL that creates ``metric_rows`` from files, for one organisation or all."""
    selects = [
        select_rows(list(group), org, window)
        for _, group in groupby(sorted(files, key=_reading), key=_reading)
    ] or [_no_rows()]
    return "CREATE OR REPLACE TEMP VIEW metric_rows AS\n" + "\nUNION ALL\n".join(selects)


def _reading(file: SourceFile) -> tuple[bool, tuple[str, ...], tuple[str, ...]]:
    """Return what files must share for one ``read_parquet``."""
    return file.hive, file.projection, file.layout


def select_rows(files: Sequence[SourceFile], org: int | None, window: Window | None) -> str:
    """Return a statement for the rows of files that one ``read_parquet`` can read."""
    first = files[0]
    paths = parquet_files(file.absolute for file in files)
    hive = "hive_partitioning = true, hive_types_autocast = false"
    conditions = []
    if org is not None:
        conditions.append(f"org_id = {org:d}")
    if first.nanoseconds and window is not None:
        # Templates see timestamps cut to microseconds. DuckDB cannot use row-group statistics for
        # those. It can for bounds of this type, with and without a zone.
        # Rows without a timestamp count as invalid, in any window.
        start, end = (f"{at:%Y-%m-%d %H:%M:%S}" for at in (window.start, window.end))
        within = f"\"timestamp\" >= '{start}'::TIMESTAMP AND \"timestamp\" < '{end}'::TIMESTAMP"
        conditions.append(f'("timestamp" IS NULL OR ({within}))')
    return "\n".join(
        [
            f"SELECT {', '.join(first.projection)}",
            f"FROM read_parquet({paths}, {hive if first.hive else 'hive_partitioning = false'})",
            *([f"WHERE {' AND '.join(conditions)}"] if conditions else []),
        ]
    )


def _no_rows() -> str:
    columns = ", ".join(f"NULL::{column.sql_type} AS {column.name}" for column in COLUMNS)
    return f"SELECT {columns} WHERE false"
