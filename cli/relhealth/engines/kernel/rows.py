"""Row groups of plain files as arrays: what kind each row is, whose, and in which cell of time."""

from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from relhealth.datasets import arrays, dictionaries, footers, pages
from relhealth.datasets.arrays import Array, Flags
from relhealth.datasets.checking import UNREADABLE, unreadable
from relhealth.datasets.contract import COLUMNS
from relhealth.datasets.footers import Chunk, Footer
from relhealth.datasets.sources import SourceFile
from relhealth.engines.kernel import texts
from relhealth.engines.kernel.question import Question

COUNTERS, DURATIONS, ERRORS, USERS, NO_SESSIONS = range(5)
_METRICS = {
    "c:sessions/session@none": COUNTERS,
    "d:sessions/duration@second": DURATIONS,
    "s:sessions/error@none": ERRORS,
    "s:sessions/user@none": USERS,
}
# How a status is told; others are told as none.
STATUSES = ("", "init", "crashed", "abnormal", "unhandled", "errored_preaggr", "errored", "exited")
_STATUS = {name: number for number, name in enumerate(STATUSES)}
WIDTH = len(STATUSES)  # a kind of row is metric * WIDTH + status

_BATCH = 122_880  # rows; also DuckDB's size of a row group
_DICTIONARIES = ("metric", "release", "session_status", "environment")
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


def is_plain(file: SourceFile) -> bool:
    """Tell whether the kernel can read a file: its columns are all its own, of the usual types."""
    if file.hive or file.timestamp_unit not in _PER_SECOND:
        return False
    found = dict(zip((column.name for column in COLUMNS), file.layout, strict=False))
    return all(
        found[name].partition("[")[0] in kinds or _is_dictionary(found[name], kinds)
        for name, kinds in _PLAIN.items()
    )


def _is_dictionary(kind: str, kinds: set[str]) -> bool:
    return kinds is _TEXTS and kind.startswith("dictionary<values=string,")


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
    unit = _PER_SECOND[str(file.timestamp_unit)]
    first, end = question.edges[0] * unit, question.edges[-1] * unit
    footer = footers.read(file.absolute)
    for group, facts in enumerate(_facts_of_groups(footer)):
        if facts.times is None or (facts.times[0] < end and facts.times[1] >= first):
            yield Task(file, footer, group, facts)


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
        else _METRICS.get(metric.decode(errors="replace"), NO_SESSIONS),
        project=project,
    )


def _range(chunk: Chunk) -> tuple[Any, Any] | None:
    """Return the least and greatest stored value, where the footer is sure that no row is null."""
    return chunk.extremes() if chunk.nulls == 0 else None


class Rows(NamedTuple):
    """A batch of rows as arrays of one length.

    ``kind`` is metric * WIDTH + status; ``owner`` indexes ``owners``: (project, release), the
    release None for rows without one, or of one that is not asked for; ``cell`` is an array or the
    one cell of all rows. Rows of ``lost`` (None: no such rows) belong to no question.
    """

    kind: npt.NDArray[np.uint8]
    owner: Array
    owners: list[tuple[int, str | None]]
    cell: Array | int
    lost: Flags | None
    columns: Mapping[str, pa.Array]
    without_time: int  # rows of session metrics that cannot count, since no window can be told
    without_project: int

    def values(self, rows: Array) -> tuple[Array, Flags | None]:
        """Return the values of some rows, and which are null (None: none); those are -1."""
        values, null = _taken(self.columns["value"], rows, np.float64)
        if null is not None:
            values[null] = -1
        return values, null

    def members(self, rows: Array) -> tuple[Array, Flags | None]:
        """Return the members of some rows, and which are null (None: none)."""
        return _taken(self.columns["member"], rows, np.uint64)


def read(task: Task, question: Question) -> Iterator[Rows]:
    """Yield the rows of a task, a batch at a time."""
    reader = _Reader(task.file, task.facts, question)
    path, footer = task.file.absolute, task.footer
    pages.check(path, footer, [task.group], reader.columns)

    def read_as(encoded: Collection[str]) -> Iterator[pa.RecordBatch]:
        with pages.opened(path, footer, read_dictionary=list(encoded)) as file:
            if footer.groups[task.group].rows <= 2 * _BATCH:
                whole = file.read_row_group(task.group, columns=reader.columns, use_threads=False)
                yield from whole.to_batches()
            else:
                yield from file.iter_batches(
                    _BATCH, row_groups=[task.group], columns=reader.columns, use_threads=False
                )

    for batch in dictionaries.batches(read_as, _DICTIONARIES):
        if batch.num_rows:
            yield reader.rows(batch)


class _Reader:
    """Turns batches of one row group into rows."""

    def __init__(self, file: SourceFile, facts: Facts, question: Question) -> None:
        self._facts = facts
        self._question = question
        self._unit = _PER_SECOND[str(file.timestamp_unit)]
        one_org = question.org is not None and file.organisations == (question.org, question.org)
        self._of_org = question.org is not None and not one_org
        self._has_org = file.layout[0] != "None"

    @cached_property
    def _cell(self) -> int | None:
        """The cell of all rows, where the footer tells of one."""
        if self._facts.times is None:
            return None
        edges = self._question.edges
        first, last = (bisect_right(edges, at // self._unit) - 1 for at in self._facts.times)
        return first if first == last and 0 <= first < len(edges) - 1 else None

    @cached_property
    def columns(self) -> list[str]:
        """The columns that have to be read."""
        metric = self._facts.metric
        return [
            "release",
            "session_status",
            *(["metric"] if metric is None else []),
            *(["project_id"] if self._facts.project is None else []),
            *(["timestamp"] if self._cell is None else []),
            *(["environment"] if self._question.environments is not None else []),
            *(["org_id"] if self._of_org and self._has_org else []),
            *(["value"] if metric in {None, COUNTERS, DURATIONS} else []),
            *(["member"] if metric in {None, ERRORS, USERS} else []),
        ]

    def rows(self, batch: pa.RecordBatch) -> Rows:
        """Return a batch as rows."""
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        kind = self._kinds(columns)
        strange = self._strange(columns)  # of another organisation, environment
        session = kind < NO_SESSIONS * WIDTH
        if strange is not None:
            session &= ~strange
        cell, untimed, outside = self._cells(columns)
        owner, owners, unowned, unasked = self._owners(columns)
        without_time = without_project = 0
        if untimed is not None:
            told = session & untimed if unasked is None else session & untimed & ~unasked
            without_time = int(np.count_nonzero(told))
        lost = _either(strange, untimed, outside)
        if unowned is not None:
            told = session & unowned if lost is None else session & unowned & ~lost
            without_project = int(np.count_nonzero(told))
        return Rows(
            kind=kind,
            owner=owner,
            owners=owners,
            cell=cell,
            lost=_either(lost, unowned, unasked),
            columns=columns,
            without_time=without_time,
            without_project=without_project,
        )

    def _kinds(self, columns: Mapping[str, pa.Array]) -> npt.NDArray[np.uint8]:
        kind = texts.looked_up(
            columns["session_status"], lambda s: _STATUS.get(s, 0), of_null=0, dtype=np.uint8
        )
        if self._facts.metric is not None:
            kind += np.uint8(self._facts.metric * WIDTH)
        else:
            kind += texts.looked_up(
                columns["metric"],
                lambda name: _METRICS.get(name, NO_SESSIONS) * WIDTH,
                of_null=NO_SESSIONS * WIDTH,
                dtype=np.uint8,
            )
        return kind

    def _strange(self, columns: Mapping[str, pa.Array]) -> Flags | None:
        """Tell the rows of other organisations and environments than those asked about."""
        strange = None
        wanted = self._question.environments
        if wanted is not None:
            strange = ~texts.looked_up(
                columns["environment"],
                lambda name: name in wanted,
                of_null="" in wanted,
                dtype=np.bool_,
            )
        if self._of_org:
            if not self._has_org:
                return np.ones(len(columns["release"]), np.bool_)
            org = columns["org_id"]
            strange = _either(
                strange, arrays.values(org, np.int64) != self._question.org, arrays.nulls(org)
            )
        return strange

    def _cells(
        self, columns: Mapping[str, pa.Array]
    ) -> tuple[Array | int, Flags | None, Flags | None]:
        """Return the cells, the rows without a timestamp, and those outside of all cells."""
        if self._cell is not None:
            return self._cell, None, None
        stamps, edges = columns["timestamp"], self._question.edges
        at = arrays.values(stamps, np.int64)
        cell = np.searchsorted(np.array(edges, np.int64) * self._unit, at, "right") - 1
        outside = (cell < 0) | (cell >= len(edges) - 1)
        return cell, arrays.nulls(stamps), outside if outside.any() else None

    def _owners(
        self, columns: Mapping[str, pa.Array]
    ) -> tuple[Array, list[tuple[int, str | None]], Flags | None, Flags | None]:
        """Return the owners, the rows without a project, and those of projects not asked about."""
        names, code = texts.codes(columns["release"])
        unowned = None
        if self._facts.project is not None:
            projects: Sequence[int] = [self._facts.project]
        else:
            unowned = arrays.nulls(columns["project_id"])
            ids = arrays.values(columns["project_id"], np.int64)
            if unowned is not None:
                ids = np.where(unowned, ids[~unowned][0] if not unowned.all() else 0, ids)
            projects, place = arrays.numbered(ids)
            code = code + place * len(names)
        present = np.flatnonzero(np.bincount(code))
        owners: dict[tuple[int, str | None], int] = {}
        index = np.zeros(len(projects) * len(names), np.int64)
        for one in present.tolist():
            owner = self._owner(projects[one // len(names)], names[one % len(names)])
            index[one] = -1 if owner is None else owners.setdefault(owner, len(owners))
        found = index.take(code)
        unasked = found < 0 if index.min() < 0 else None
        if unasked is not None:
            found[unasked] = 0
            if unowned is not None:
                unasked &= ~unowned  # whose they are is not known
        return found, list(owners) or [(0, None)], unowned, unasked

    def _owner(self, project: int, release: str | None) -> tuple[int, str | None] | None:
        question = self._question
        if question.projects is not None and project not in question.projects:
            return None
        asked = question.releases is None or release in question.releases
        return project, release if release and asked else None


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
