"""Plain files, which Arrow reads as they are: every column is in the file and needs no cast."""

from collections.abc import Collection, Iterator, Sequence

import pyarrow as pa

from relhealth.datasets import dictionaries, parquet_pages
from relhealth.datasets.contract import COLUMNS
from relhealth.datasets.footers import Footer
from relhealth.datasets.sources import PER_SECOND, SourceFile

BATCH = 122_880  # rows: few enough for a processor's cache; also the size of DuckDB's row groups

_TEXTS = {"string", "large_string"}
_TYPES = {
    "org_id": {"int64", "None"},
    "project_id": {"int64"},
    "timestamp": {"timestamp"},
    "metric": _TEXTS,
    "release": _TEXTS,
    "environment": _TEXTS,
    "session_status": _TEXTS,
    "value": {"double"},
    "member": {"uint64", "int64"},  # the same 64 bits
}
_WITH_MECHANISM = {**_TYPES, "abnormal_mechanism": {*_TEXTS, "None"}}
_TEXT_COLUMNS = {name for name, types in _WITH_MECHANISM.items() if types >= _TEXTS}


def is_plain(file: SourceFile, *, mechanisms: bool = False) -> bool:
    """Return whether a file is plain; without ``mechanisms``, that column can be of any type."""
    if file.hive or file.timestamp_unit not in PER_SECOND:
        return False
    found = dict(zip((column.name for column in COLUMNS), file.layout, strict=False))
    return all(
        found[name].partition("[")[0] in types
        or (name in _TEXT_COLUMNS and found[name].startswith("dictionary<values=string,"))
        for name, types in (_WITH_MECHANISM if mechanisms else _TYPES).items()
    )


def per_second(file: SourceFile) -> int:
    """Return how many units of a plain file's timestamps are a second."""
    return PER_SECOND[str(file.timestamp_unit)]


def batches(
    path: str,
    footer: Footer,
    groups: Sequence[int],
    columns: Sequence[str],
    *,
    texts: Sequence[str] = (),
) -> Iterator[pa.RecordBatch]:
    """Yield some columns of row groups, text as dictionaries; check their pages first.

    ``texts`` are columns of text that are not the contract's. Raises what ``dictionaries.batches``
    and ``parquet_pages.check`` raise.
    """
    parquet_pages.check(path, footer, groups, columns)

    def read_as(encoded: Collection[str]) -> Iterator[pa.RecordBatch]:
        with parquet_pages.opened(path, footer, read_dictionary=list(encoded)) as file:
            if sum(footer.groups[group].rows for group in groups) <= 2 * BATCH:
                table = file.read_row_groups(list(groups), columns=columns, use_threads=False)
                yield from table.to_batches()
            else:
                yield from file.iter_batches(
                    BATCH, row_groups=list(groups), columns=columns, use_threads=False
                )

    encoded = [name for name in columns if name in _TEXT_COLUMNS or name in texts]
    for batch in dictionaries.batches(read_as, encoded):
        if batch.num_rows:
            yield batch
