"""The relation ``metric_rows``: the contract's columns, with its types, of some files."""

from collections import defaultdict
from collections.abc import Sequence

from relhealth.core.dimensions import Cut
from relhealth.core.windows import Window
from relhealth.datasets import dimensions
from relhealth.datasets.casts import quoted
from relhealth.datasets.contract import COLUMNS
from relhealth.datasets.sources import SourceFile
from relhealth.datasets.sql import parquet_files

# What files must share for one ``read_parquet``.
_Kind = tuple[bool, tuple[str, ...], tuple[str, ...], tuple[str, ...]]


def metric_rows(
    files: Sequence[SourceFile],
    org: int | None = None,
    window: Window | None = None,
    cut: Cut = Cut(),  # noqa: B008 - it is immutable
    *,
    columns: Sequence[str] = (),
) -> str:
    """Return SQL that creates ``metric_rows`` from files, for one organisation or all.

    The relation has the rows of a cut. Without one, it has the dimensions ``columns`` too.
    """
    columns = cut.columns if cut else columns
    kinds: dict[_Kind, list[SourceFile]] = defaultdict(list)
    for file in files:
        further = dimensions.expressions(file, columns)
        kinds[file.hive, file.projection, file.layout, further].append(file)
    selects = [
        select_rows(some, org, window, further=kind[-1]) for kind, some in sorted(kinds.items())
    ] or [_no_rows(columns)]
    rows = "\nUNION ALL\n".join(selects)
    if cut:
        rows = dimensions.cut_of(f"({rows})", cut, columns)
    return f"CREATE OR REPLACE TEMP VIEW metric_rows AS\n{rows}"


def select_rows(
    files: Sequence[SourceFile],
    org: int | None,
    window: Window | None,
    *,
    further: Sequence[str] = (),
) -> str:
    """Return a statement for the rows of files that one ``read_parquet`` can read.

    ``further`` are the expressions of dimensions.
    """
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
            f"SELECT {', '.join((*first.projection, *further))}",
            f"FROM read_parquet({paths}, {hive if first.hive else 'hive_partitioning = false'})",
            *([f"WHERE {' AND '.join(conditions)}"] if conditions else []),
        ]
    )


def _no_rows(columns: Sequence[str]) -> str:
    names = [f"NULL::{column.sql_type} AS {column.name}" for column in COLUMNS]
    names += [f"'' AS {quoted(name)}" for name in columns]
    return f"SELECT {', '.join(names)} WHERE false"
