"""Rows as an Arrow table: each unit has its Arrow type."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from relhealth.core.units import Unit

_TYPES = {
    Unit.PROJECT: pa.int64(),
    Unit.RELEASE: pa.string(),
    Unit.TEXT: pa.string(),
    Unit.FIGURE: pa.string(),
    Unit.VERDICT: pa.string(),
    Unit.COUNT: pa.int64(),
    Unit.PERCENT: pa.float64(),
    Unit.CRASH_FREE: pa.float64(),
    Unit.SHARE: pa.float64(),
    Unit.CHANGE: pa.float64(),
    Unit.RATIO: pa.float64(),
    Unit.SECONDS: pa.float64(),
    Unit.FLAG: pa.bool_(),
    Unit.INSTANT: pa.timestamp("us", "UTC"),
    Unit.SERIES: pa.map_(
        pa.string(),
        pa.list_(
            pa.struct(
                [
                    pa.field("bucket", pa.timestamp("s", "UTC"), nullable=False),
                    pa.field("count", pa.int64(), nullable=False),
                ]
            )
        ),
    ),
}


def to_arrow(
    units: Mapping[str, Unit],
    rows: Sequence[Mapping[str, Any]],
    meta: Mapping[str, Any] | None = None,
) -> pa.Table:
    """Return rows as an Arrow table, with a column for each of ``units``, in that order.

    A series is a map from period to a list of ``{bucket: timestamp, count}``. The schema has
    ``meta`` as JSON, under the key ``relhealth``.
    """
    schema = pa.schema(
        [(name, _TYPES[unit]) for name, unit in units.items()],
        {"relhealth": json.dumps(meta, allow_nan=False)} if meta is not None else None,
    )
    arrays = [
        pa.array([_cell(row[name], unit) for row in rows], _TYPES[unit])
        for name, unit in units.items()
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _cell(value: Any, unit: Unit) -> object:
    if unit is Unit.SERIES and value is not None:
        return [
            (period, [{"bucket": start, "count": count} for start, count in points])
            for period, points in value.items()
        ]
    return value
