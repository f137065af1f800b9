"""Row groups of plain files as arrays: what kind each row is, whose, and in which cell of time."""

from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from relhealth.core.measures import unique
from relhealth.datasets import arrays, dictionaries, footers, pages
from relhealth.datasets.arrays import Array, Flags
from relhealth.datasets.checking import UNREADABLE, unreadable
from relhealth.datasets.contract import COLUMNS
from relhealth.datasets.footers import Chunk, Footer
from relhealth.datasets.sources import SourceFile
from relhealth.engines.kernel import texts
from relhealth.engines.kernel.question import (
    COUNTERS,
    DURATIONS,
    ERRORS,
    METRICS,
    USERS,
    Place,
    Question,
)

_METRICS = {
    "c:sessions/session@none": COUNTERS,
    "d:sessions/duration@second": DURATIONS,
    "s:sessions/error@none": ERRORS,
    "s:sessions/user@none": USERS,
}
_NO_SESSIONS = len(METRICS)
# How a status is told; others are told as none. So are mechanisms of an abnormal end.
STATUSES = ("", "init", "crashed", "abnormal", "unhandled", "errored_preaggr", "errored", "exited")
_STATUS = {name: number for number, name in enumerate(STATUSES)}
MECHANISMS = ("", "anr_background", "anr_foreground")
_MECHANISM = {name: number * len(STATUSES) for number, name in enumerate(MECHANISMS)}
# A kind of row is metric * WIDTH + mechanism * len(STATUSES) + status; from KINDS on, it is none.
WIDTH = len(MECHANISMS) * len(STATUSES)
KINDS = _NO_SESSIONS * WIDTH

_BATCH = 122_880  # rows; also DuckDB's size of a row group
_DICTIONARIES = ("metric", "release", "session_status", "environment", "abnormal_mechanism")
_TEXTS = {"string", "large_string"}
_PLAIN = {
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
_PER_SECOND = {"milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}


def is_plain(file: SourceFile, *, mechanisms: bool = False) -> bool:
    """Tell whether the kernel can read a file: its columns are all its own, of the usual types.

    ``mechanisms`` asks for those of abnormal ends, too.
    """
    if file.hive or file.timestamp_unit not in _PER_SECOND:
        return False
    found = dict(zip((column.name for column in COLUMNS), file.layout, strict=False))
    plain = {**_PLAIN, "abnormal_mechanism": {*_TEXTS, "None"}} if mechanisms else _PLAIN
    return all(
        found[name].partition("[")[0] in kinds
        or (kinds >= _TEXTS and found[name].startswith("dictionary<values=string,"))
        for name, kinds in plain.items()
    )


class Facts(NamedTuple):
    """What the footer proves of all rows of a row group; None where it proves nothing."""

    times: tuple[int, int] | None  # of the file's unit
    metric: int | None
    project: int | None


class Task(NamedTuple):
    """A row group of a file that may hold rows of the cells."""

    file: SourceFile
    footer: Footer
    group: int
    facts: Facts


def tasks(file: SourceFile, question: Question) -> Iterator[Task]:
    """Yield what is to be read of a file."""
    footer = footers.read(file.absolute)
    for group, facts in enumerate(_facts_of_groups(footer)):
        task = Task(file, footer, group, facts)
        if any(_wanted(task, question, metric) for metric in METRICS) and _names(task, question):
            yield task


def _names(task: Task, question: Question) -> bool:
    """Tell whether a task may have one of the releases whose rows alone count."""
    if question.names is None or "" in question.names:
        return True
    wanted = {name.encode() for name in question.names}
    extremes = task.footer.groups[task.group].chunks["release"].extremes()
    if extremes is not None and not any(extremes[0] <= one <= extremes[1] for one in wanted):
        return False
    found = pages.texts(task.file.absolute, task.footer, task.group, "release")
    return found is None or not wanted.isdisjoint(found)


def _unit(file: SourceFile) -> int:
    return _PER_SECOND[str(file.timestamp_unit)]


def _cells(task: Task, question: Question) -> slice:
    """Return the cells that rows of a task may be in."""
    if task.facts.times is None:
        return slice(None)
    edges, unit = question.edges, _unit(task.file)
    first, last = (bisect_right(edges, at // unit) - 1 for at in task.facts.times)
    return slice(max(first, 0), min(last + 1, len(edges) - 1))


def _wanted(task: Task, question: Question, metric: int) -> bool:
    """Tell whether rows of a metric may be for something."""
    if task.facts.metric is not None and task.facts.metric != metric:
        return False
    uses = question.met, question.checked, question.tallied[metric], question.kept[metric]
    cells = _cells(task, question)
    return any(one.within(cells) for one in uses)


def newest_us(file: SourceFile, org: int | None, before_us: int | None = None) -> int | None:
    """Return a plain file's newest session metric, in microseconds since the epoch.

    With ``before_us``, the newest one before that instant; row groups that are all later are not
    read. Raises ``DataError`` for a file that cannot be read, and ``UnsupportedError`` for what
    Arrow cannot read.
    """
    unit = _PER_SECOND[str(file.timestamp_unit)]
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
    facts = _facts_of_groups(footer)
    last = [
        (one.times[1] if one.times else None, group)
        for group, one in enumerate(facts)
        if before is None or one.times is None or one.times[0] < before
    ]
    newest: int | None = None
    for bound, group in sorted(last, key=lambda one: (one[0] is not None, -(one[0] or 0))):
        if newest is not None and bound is not None and bound <= newest:
            break
        for batch in _times(path, footer, group, of_org=org is not None):
            found = _newest(batch, org, before)
            newest = found if newest is None else max(newest, found or newest)
    return newest


def _times(path: str, footer: Footer, group: int, *, of_org: bool) -> Iterator[pa.RecordBatch]:
    """Yield what tells the newest session metric."""
    columns = ["metric", "timestamp", *(["org_id"] if of_org else [])]
    pages.check(path, footer, [group], columns)

    def read_as(names: Collection[str]) -> Iterator[pa.RecordBatch]:
        with pages.opened(path, footer, read_dictionary=list(names)) as opened:
            yield from opened.iter_batches(_BATCH, row_groups=[group], columns=columns)

    return dictionaries.batches(read_as, ["metric"])


def _newest(batch: pa.RecordBatch, org: int | None, before: int | None) -> int | None:
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    kept = texts.looked_up(
        columns["metric"], lambda name: name in _METRICS, of_null=False, dtype=np.bool_
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


def _facts_of_groups(footer: Footer) -> list[Facts]:
    return [_facts(group.chunks) for group in footer.groups]


def _facts(chunks: Mapping[str, Chunk]) -> Facts:
    def one_value(name: str) -> Any:
        found = _range(chunks[name])
        return found[0] if found is not None and found[0] == found[1] else None

    metric, project = one_value("metric"), one_value("project_id")
    return Facts(
        times=_range(chunks["timestamp"]),
        metric=None
        if metric is None
        else _METRICS.get(metric.decode(errors="replace"), _NO_SESSIONS),
        project=project,
    )


def _range(chunk: Chunk) -> tuple[Any, Any] | None:
    """Return the least and greatest stored value, where the footer is sure that no row is null."""
    return chunk.extremes() if chunk.nulls == 0 else None


class Rows(NamedTuple):
    """A batch of rows as arrays of one length.

    ``owner`` indexes ``places``; ``cell`` is an array, or the one cell of all rows. Rows of
    ``lost`` (None: no such rows) are for nothing.
    """

    kind: npt.NDArray[np.uint8]
    owner: Array
    places: Sequence[Place]
    cell: Array | int
    lost: Flags | None
    columns: Mapping[str, pa.Array]
    unit: int  # of timestamps in a second

    def values(self, rows: Array) -> tuple[Array, Flags | None]:
        """Return the values of some rows, and which are null (None: none); those are -1."""
        values, null = _taken(self.columns["value"], rows, np.float64)
        if null is not None:
            values[null] = -1
        return values, null

    def members(self, rows: Array) -> tuple[Array, Flags | None]:
        """Return the members of some rows, and which are null (None: none)."""
        return _taken(self.columns["member"], rows, np.uint64)

    def stamps(self, rows: Array) -> Array:
        """Return the timestamps of some rows, of the file's unit."""
        return arrays.values(self.columns["timestamp"], np.int64).take(rows)


def read(task: Task, question: Question) -> Iterator[Rows]:
    """Yield the rows of a task, a batch at a time."""
    if question.names is not None and not _names_one_of(question.names, task):
        return
    reader = _Reader(task, question)
    for batch in _batches(task, reader.columns):
        yield reader.rows(batch)


def _names_one_of(wanted: frozenset[str], task: Task) -> bool:
    """Tell whether a row is of one of some releases."""
    return any(
        texts.looked_up(
            batch.column(0), lambda name: name in wanted, of_null="" in wanted, dtype=np.bool_
        ).any()
        for batch in _batches(task, ["release"])
    )


def _batches(task: Task, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield some columns of a task, text as dictionaries."""
    path, footer = task.file.absolute, task.footer
    pages.check(path, footer, [task.group], columns)

    def read_as(encoded: Collection[str]) -> Iterator[pa.RecordBatch]:
        with pages.opened(path, footer, read_dictionary=list(encoded)) as file:
            if footer.groups[task.group].rows <= 2 * _BATCH:
                whole = file.read_row_group(task.group, columns=columns, use_threads=False)
                yield from whole.to_batches()
            else:
                yield from file.iter_batches(
                    _BATCH, row_groups=[task.group], columns=columns, use_threads=False
                )

    for batch in dictionaries.batches(read_as, _DICTIONARIES):
        if batch.num_rows:
            yield batch


class _Reader:
    """Turns batches of one row group into rows."""

    def __init__(self, task: Task, question: Question) -> None:
        self._task = task
        self._facts = task.facts
        self._question = question
        self._unit = _unit(task.file)
        org = question.org
        one_org = org is not None and task.file.organisations == (org, org)
        self._of_org = org is not None and not one_org
        self._has_org = task.file.layout[0] != "None"
        self._has_mechanism = "abnormal_mechanism" in task.footer.schema.names
        self._wanted = [_wanted(task, question, metric) for metric in METRICS]

    @cached_property
    def _cell(self) -> int | None:
        """The cell of all rows, where the footer tells of one."""
        cells = _cells(self._task, self._question)
        if self._facts.times is None or cells.stop - cells.start != 1:
            return None
        first, end = (edge * self._unit for edge in self._question.edges[cells.start :][:2])
        inside = first <= self._facts.times[0] and self._facts.times[1] < end
        return int(cells.start) if inside else None

    @cached_property
    def columns(self) -> list[str]:
        """The columns that have to be read."""
        question, wanted = self._question, self._wanted
        cells = _cells(self._task, question)
        of_values = (*question.tallied[:2], question.kept[DURATIONS], question.checked)
        of_members = (*question.tallied[2:], *question.kept[2:], question.checked)
        value = any(wanted[:2]) and any(one.within(cells) for one in of_values)
        member = any(wanted[2:]) and any(one.within(cells) for one in of_members)
        return [
            "release",
            "session_status",
            *(["metric"] if self._facts.metric is None else []),
            *(["project_id"] if self._facts.project is None else []),
            *(["timestamp"] if self._cell is None or question.stamped else []),
            *(["environment"] if question.environments else []),
            *(["org_id"] if self._needs_org else []),
            *(["value"] if value else []),
            *(["member"] if member else []),
            *(["abnormal_mechanism"] if member and self._needs_mechanism else []),
        ]

    @property
    def _needs_org(self) -> bool:
        return self._has_org and (self._of_org or self._question.organisations)

    @property
    def _needs_mechanism(self) -> bool:
        return self._question.mechanisms and self._has_mechanism and self._wanted[USERS]

    def rows(self, batch: pa.RecordBatch) -> Rows:
        """Return a batch as rows."""
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        kind = self._kinds(columns)
        cell, outside = self._cells(columns)
        owner, places, strange = self._owners(columns)
        lost = _either(kind >= KINDS, outside, strange)
        return Rows(
            kind=kind,
            owner=owner,
            places=places,
            cell=cell,
            lost=lost if lost is not None and lost.any() else None,
            columns=columns,
            unit=self._unit,
        )

    def _kinds(self, columns: Mapping[str, pa.Array]) -> npt.NDArray[np.uint8]:
        kind = texts.looked_up(
            columns["session_status"], lambda s: _STATUS.get(s, 0), of_null=0, dtype=np.uint8
        )
        if "abnormal_mechanism" in columns:
            kind += texts.looked_up(
                columns["abnormal_mechanism"],
                lambda name: _MECHANISM.get(name, 0),
                of_null=0,
                dtype=np.uint8,
            )
        if self._facts.metric is not None:
            kind += np.uint8(self._facts.metric * WIDTH)
        else:
            kind += texts.looked_up(
                columns["metric"], self._first_kind, of_null=KINDS, dtype=np.uint8
            )
        return kind

    def _first_kind(self, metric: str) -> int:
        found = _METRICS.get(metric, _NO_SESSIONS)
        return found * WIDTH if found < _NO_SESSIONS and self._wanted[found] else KINDS

    def _cells(self, columns: Mapping[str, pa.Array]) -> tuple[Array | int, Flags | None]:
        """Return the cells, and the rows outside of all cells."""
        if self._cell is not None:
            return self._cell, None
        stamps = columns["timestamp"]
        least, most = np.iinfo(np.int64).min, np.iinfo(np.int64).max
        edges = [min(max(edge * self._unit, least), most) for edge in self._question.edges]
        cell = np.searchsorted(np.array(edges, np.int64), arrays.values(stamps, np.int64), "right")
        cell -= 1
        null = arrays.nulls(stamps)
        if null is not None:
            cell[null] = self._question.untimed
        outside = (cell < 0) | (cell >= len(edges) - 1)
        if null is not None:
            outside &= ~null
        return cell, outside if outside.any() else None

    def _owners(self, columns: Mapping[str, pa.Array]) -> tuple[Array, list[Place], Flags | None]:
        """Return whose the rows are, and those of another organisation than the one asked about."""
        code: Array | None = None
        parts: list[Sequence[Any]] = []
        strange = None
        releases, at = texts.codes(columns["release"])
        parts.append([name or "" for name in releases])
        code = at
        if "environment" in columns:
            names, at = texts.codes(columns["environment"])
            parts.append([name or "" for name in names])
            code = code + at * len(releases)
        else:
            parts.append([""])
        size = len(parts[0]) * len(parts[1])
        for name, fact in (("project_id", self._facts.project), ("org_id", None)):
            if name not in columns:
                parts.append([fact])
                continue
            ids, at = _numbered(columns[name])
            parts.append(ids)
            code = code + at * size
            size *= len(ids)
        if self._of_org:
            orgs = parts[3]
            ours = np.array([one == self._question.org for one in orgs], np.bool_)
            strange = ~ours[code // (size // len(orgs))] if not ours.all() else None
        present, owner = _present(code, size)
        counts = [len(part) for part in parts]
        places = []
        for one in present.tolist():
            rest, release = divmod(one, counts[0])
            rest, environment = divmod(rest, counts[1])
            org, project = divmod(rest, counts[2])
            places.append(
                Place(parts[3][org], parts[2][project], parts[0][release], parts[1][environment])
            )
        return owner, places, strange


def _numbered(column: pa.Array) -> tuple[list[int | None], Array]:
    """Return the ids of a column, the last one null, and the place of each row's among them."""
    ids, null = arrays.values(column, np.int64), arrays.nulls(column)
    if null is None:
        known, at = arrays.numbered(ids)
        return list(known), at
    some = ids[~null]
    if not len(some):
        return [None], np.zeros(len(ids), np.int64)
    known, at = arrays.numbered(np.where(null, some[0], ids))
    at = np.where(null, len(known), at)
    return [*known, None], at


def _present(code: Array, size: int) -> tuple[Array, Array]:
    """Return the codes that there are, and the place of each row's among them."""
    if size > 2 * _BATCH:
        some: Array = unique([code])
        return some, np.searchsorted(some, code)
    present = np.flatnonzero(np.bincount(code, minlength=size))
    place = np.zeros(size, np.int64)
    place[present] = np.arange(len(present))
    return present, place.take(code)


def _either(*flags: Flags | None) -> Flags | None:
    whole: Flags | None = None
    for one in flags:
        if one is not None:
            whole = one if whole is None else whole | one
    return whole


def _taken(array: pa.Array, rows: Array, dtype: npt.DTypeLike) -> tuple[Array, Flags | None]:
    values, null = arrays.values(array, dtype).take(rows), arrays.nulls(array)
    if null is not None:
        null = null.take(rows)
    return values, null if null is not None and null.any() else None
