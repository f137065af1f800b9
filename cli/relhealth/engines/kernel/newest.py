"""The newest session metric of a plain file."""

import numpy as np
import pyarrow as pa

from relhealth.datasets import arrays, dictionaries, footers
from relhealth.datasets.checking import UNREADABLE, unreadable
from relhealth.datasets.labels import metric_of
from relhealth.datasets.plain_parquet import batches, per_second
from relhealth.datasets.sources import SourceFile
from relhealth.engines.kernel.tasks import facts_of_groups


def newest_us(file: SourceFile, org: int | None, before_us: int | None = None) -> int | None:
    """Return a plain file's newest session metric, in microseconds since the epoch.

    With ``before_us``, return the newest one before that instant, and skip row groups that only
    have later ones. Raises ``DataError`` for an unreadable file, and ``UnsupportedError`` for
    what Arrow cannot read.
    """
    unit = per_second(file)
    before = None if before_us is None else -(-before_us * unit // 10**6)  # rounded up
    try:
        newest = _newest_stored(file.absolute, org, before)
    except UNREADABLE as error:
        if dictionaries.is_unsupported(error):
            raise dictionaries.UnsupportedError(str(error)) from error
        raise unreadable(file, error) from error
    return None if newest is None else newest * 10**6 // unit


def _newest_stored(path: str, org: int | None, before: int | None) -> int | None:
    footer = footers.read(path)
    columns = ["metric", "timestamp", *([] if org is None else ["org_id"])]
    facts = facts_of_groups(footer)
    last = [
        (one.times[1] if one.times else None, group)
        for group, one in enumerate(facts)
        if before is None or one.times is None or one.times[0] < before
    ]
    newest: int | None = None
    for bound, group in sorted(last, key=lambda one: (one[0] is not None, -(one[0] or 0))):
        if newest is not None and bound is not None and bound <= newest:
            break
        for batch in batches(path, footer, [group], columns):
            found = _newest(batch, org, before)
            newest = found if newest is None else max(newest, found or newest)
    return newest


def _newest(batch: pa.RecordBatch, org: int | None, before: int | None) -> int | None:
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    kept = dictionaries.looked_up(
        columns["metric"], lambda name: metric_of(name) is not None, np.bool_
    )
    if org is not None:
        if "org_id" not in columns:
            return None
        kept &= arrays.values(columns["org_id"], np.int64) == org
    for name in columns.keys() - {"metric"}:
        null = arrays.nulls(columns[name])
        if null is not None:
            kept &= ~null
    stamps = arrays.values(columns["timestamp"], np.int64)[kept]
    if before is not None:
        stamps = stamps[stamps < before]
    return int(stamps.max()) if len(stamps) else None
