"""Labels for the rows of a plain file: the kind and place of each, and whether it is valid."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from relhealth.core.measures import unique
from relhealth.datasets import arrays, dictionaries
from relhealth.datasets.arrays import Array, Flags
from relhealth.datasets.contract import MOST_COUNT, SESSION_METRICS

METRICS = COUNTERS, DURATIONS, ERRORS, USERS = range(4)
METRIC_NAMES = tuple(sorted(SESSION_METRICS))  # in the order of METRICS
# The words that a figure can depend on; all others have the label of ''.
STATUSES = ("", "init", "crashed", "abnormal", "unhandled", "errored_preaggr", "errored", "exited")
MECHANISMS = ("", "anr_background", "anr_foreground")
# A kind is metric * WIDTH + mechanism * len(STATUSES) + status. A row of another metric has a
# number from KINDS to END_OF_KINDS.
WIDTH = len(MECHANISMS) * len(STATUSES)
KINDS = len(METRICS) * WIDTH
END_OF_KINDS = KINDS + WIDTH

_STATUS = {name: number for number, name in enumerate(STATUSES)}
_MECHANISM = {name: number * len(STATUSES) for number, name in enumerate(MECHANISMS)}
_METRIC = {name: number for number, name in enumerate(METRIC_NAMES)}
_TABLE = 1 << 18  # combinations of names that a table holds; more are sorted


Further = tuple[str | bool, ...]


class Place(NamedTuple):
    """Where a row is from; ``''`` is no release, or no environment.

    ``further`` is what the reader of the row asks about it beside these.
    """

    org: int | None
    project: int | None
    release: str
    environment: str
    further: Further = ()


def metric_of(name: str | None) -> int | None:
    """Return the number of a session metric; None for another metric."""
    return _METRIC.get(name or "")


def kinds(
    columns: Mapping[str, pa.Array],
    *,
    metric: int | None = None,
    wanted: Collection[int] = METRICS,
) -> npt.NDArray[np.uint8]:
    """Return the kind of each row; ``metric`` is that of all rows, if it is known.

    A metric that is not ``wanted`` counts as another metric.
    """

    def first_kind(name: str | None) -> int:
        found = metric_of(name)
        return KINDS if found is None or found not in wanted else found * WIDTH

    kind = _looked_up(columns["session_status"], _STATUS)
    if "abnormal_mechanism" in columns:
        kind += _looked_up(columns["abnormal_mechanism"], _MECHANISM)
    if metric is not None:
        kind += np.uint8(metric * WIDTH)
    else:
        kind += dictionaries.looked_up(columns["metric"], first_kind, np.uint8)
    return kind


def _looked_up(texts: pa.DictionaryArray, numbers: Mapping[str, int]) -> Array:
    return dictionaries.looked_up(texts, lambda name: numbers.get(name or "", 0), np.uint8)


def places(
    columns: Mapping[str, pa.Array],
    *,
    project: int | None = None,
    further: tuple[Sequence[Further], Array] | None = None,
) -> tuple[list[Place], Array]:
    """Return the places of a batch, and the index of each row's place.

    ``project`` is that of all rows where there is no such column. Without a column of
    environments or organisations, no row has one. ``further`` has what is further distinguished,
    and the index of that of each row.
    """
    releases, at = dictionaries.codes(columns["release"])
    code = at.astype(np.int64)
    parts: list[Sequence[Any]] = [releases]
    size = len(releases)
    for name, constant in (("environment", None), ("project_id", project), ("org_id", None)):
        if name not in columns:
            parts.append([constant])
            continue
        read = dictionaries.codes if name == "environment" else _numbered
        found, at = read(columns[name])
        parts.append(found)
        code += np.multiply(at, size, dtype=np.int64)
        size *= len(found)
    kinds_of_rows: Sequence[Further] = ((),)
    if further is not None:
        kinds_of_rows, at = further
        code += np.multiply(at, size, dtype=np.int64)
        size *= len(kinds_of_rows)
    present, index = present_of(code, size)
    found_places = []
    for one in present.tolist():
        rest, release = divmod(one, len(parts[0]))
        rest, environment = divmod(rest, len(parts[1]))
        rest, number = divmod(rest, len(parts[2]))
        kind, org = divmod(rest, len(parts[3]))
        names = parts[0][release] or "", parts[1][environment] or ""
        found_places.append(Place(parts[3][org], parts[2][number], *names, kinds_of_rows[kind]))
    return found_places, index


def _numbered(column: pa.Array) -> tuple[Sequence[int | None], Array]:
    """Return the ids of a column, the last one null if any is, and the index of each row's id."""
    ids, null = arrays.values(column, np.int64), arrays.nulls(column)
    if null is None:
        return arrays.numbered(ids)
    some = ids[~null]
    if not len(some):
        return [None], np.zeros(len(ids), np.int64)
    known, at = arrays.numbered(np.where(null, some[0], ids))
    return [*known, None], np.where(null, len(known), at)


def present_of(code: Array, size: int) -> tuple[Array, Array]:
    """Return the distinct codes, all below ``size``, and the index of each row's code."""
    if size > _TABLE:
        some: Array = unique([code])
        return some, np.searchsorted(some, code)
    present = np.flatnonzero(np.bincount(code, minlength=size))
    place = np.zeros(size, np.int64)
    place[present] = np.arange(len(present))
    return present, place.take(code)


def values(columns: Mapping[str, pa.Array], rows: Array) -> Array:
    """Return the values of some rows; -1, which is invalid, for a null."""
    found, null = arrays.taken(columns["value"], rows, np.float64)
    if null is not None:
        found[null] = -1
    return found


def members(columns: Mapping[str, pa.Array], rows: Array) -> tuple[Array, Flags | None]:
    """Return the members of some rows, and which are null (None: none)."""
    return arrays.taken(columns["member"], rows, np.uint64)


class Counters(NamedTuple):
    """Session counters as integers, 0 for an invalid one; no flags mean that all are valid."""

    numbers: Array
    in_range: Flags | None
    valid: Flags | None  # in range, and an integer


def counters(value: Array) -> Counters:
    """Return some ``values``, one or more, as counters."""
    if value.min() >= 0 and value.max() <= MOST_COUNT:  # NaN is neither
        numbers = value.astype(np.int64)
        if np.array_equal(numbers, value):
            return Counters(numbers, None, None)
    in_range = (value >= 0) & (value <= MOST_COUNT)
    valid = in_range & (value == np.floor(value))
    return Counters(np.where(valid, value, 0.0).astype(np.int64), in_range, valid)


def durations(value: Array) -> Flags:
    """Return which of some ``values`` are valid durations."""
    valid: Flags = (value >= 0) & (value < np.inf)
    return valid
