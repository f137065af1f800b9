"""Row groups of plain files as arrays: the kind, place and cell of each row."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from relhealth.datasets import arrays, dictionaries, labels, plain_parquet
from relhealth.datasets.arrays import Array, Flags
from relhealth.datasets.labels import COUNTERS, DURATIONS, ERRORS, KINDS, METRICS, USERS, Place
from relhealth.datasets.plain_parquet import per_second
from relhealth.engines.kernel import dimensions
from relhealth.engines.kernel.question import TIMED_USERS, Question
from relhealth.engines.kernel.tasks import Task, cells_of, wanted


class Rows(NamedTuple):
    """A batch of rows as arrays of one length.

    ``owner`` indexes ``places``. ``cell`` is an array, or the one cell of all rows. Nobody asks for
    the rows in ``lost`` (None: there are none).
    """

    kind: npt.NDArray[np.uint8]
    owner: Array
    places: Sequence[Place]
    cell: Array | int
    lost: Flags | None
    columns: Mapping[str, pa.Array]
    unit: int  # of timestamps, per second

    def values(self, rows: Array) -> Array:
        """Return the values of some rows; -1, which is invalid, for a null."""
        return labels.values(self.columns, rows)

    def members(self, rows: Array) -> tuple[Array, Flags | None]:
        """Return the members of some rows, and which are null (None: none)."""
        return labels.members(self.columns, rows)

    def stamps(self, rows: Array) -> Array:
        """Return the timestamps of some rows, in the file's unit."""
        return arrays.values(self.columns["timestamp"], np.int64).take(rows)

    def microseconds(self, stamps: Array) -> Array:
        """Return timestamps of the file's unit in microseconds, rounded down."""
        per_us, us = max(1, self.unit // 10**6), max(1, 10**6 // self.unit)
        return stamps // per_us * us


def read(task: Task, question: Question) -> Iterator[Rows]:
    """Yield the rows of a task, a batch at a time."""
    if question.names is not None and not _names_one_of(question.names, task):
        return
    reader = _Reader(task, question)
    texts = dimensions.text_columns(task.file, question.dimensions)
    for batch in _batches(task, reader.columns, texts):
        yield reader.rows(batch)


def _names_one_of(wanted: frozenset[str], task: Task) -> bool:
    """Return whether any row has one of the wanted releases."""
    return any(
        dictionaries.looked_up(batch.column(0), lambda name: (name or "") in wanted, np.bool_).any()
        for batch in _batches(task, ["release"])
    )


def _batches(
    task: Task, columns: Sequence[str], texts: Sequence[str] = ()
) -> Iterator[pa.RecordBatch]:
    return plain_parquet.batches(
        task.file.absolute, task.footer, [task.group], columns, texts=texts
    )


class _Reader:
    """Turns batches of one row group into rows."""

    def __init__(self, task: Task, question: Question) -> None:
        self._task = task
        self._facts = task.facts
        self._question = question
        self._unit = per_second(task.file)
        org = question.org
        one_org = org is not None and task.file.organisations == (org, org)
        self._of_org = org is not None and not one_org
        self._has_org = task.file.layout[0] != "None"
        self._has_mechanism = "abnormal_mechanism" in task.footer.schema.names
        self._wanted = {metric for metric in METRICS if wanted(task, question, metric)}

    @cached_property
    def _cell(self) -> int | None:
        """The cell of all rows, if the footer proves that there is one."""
        cells = cells_of(self._task, self._question)
        if self._facts.times is None or cells.stop - cells.start != 1:
            return None
        first, end = (edge * self._unit for edge in self._question.edges[cells.start :][:2])
        inside = first <= self._facts.times[0] and self._facts.times[1] < end
        return int(cells.start) if inside else None

    @cached_property
    def columns(self) -> list[str]:
        """The columns to read."""
        question, wanted = self._question, self._wanted
        cells = cells_of(self._task, question)
        of_values = (*question.tallied[:2], question.kept[DURATIONS], question.checked)
        of_members = (*question.tallied[2:], *question.kept[2:], question.checked)
        value = {COUNTERS, DURATIONS} & wanted and any(one.within(cells) for one in of_values)
        member = {ERRORS, USERS} & wanted and any(one.within(cells) for one in of_members)
        timed = question.stamped or (USERS in wanted and question.kept[TIMED_USERS].within(cells))
        return [
            "release",
            "session_status",
            *(["metric"] if self._facts.metric is None else []),
            *(["project_id"] if self._facts.project is None else []),
            *(["timestamp"] if self._cell is None or timed else []),
            *(["environment"] if question.environments else []),
            *(["org_id"] if self._needs_org else []),
            *(["value"] if value else []),
            *(["member"] if member else []),
            *(["abnormal_mechanism"] if member and self._needs_mechanism else []),
            *dimensions.stored_columns(self._task.file, question.dimensions),
        ]

    @property
    def _needs_org(self) -> bool:
        return self._has_org and (self._of_org or self._question.organisations)

    @property
    def _needs_mechanism(self) -> bool:
        return self._question.mechanisms and self._has_mechanism and USERS in self._wanted

    def rows(self, batch: pa.RecordBatch) -> Rows:
        """Return a batch as rows."""
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        kind = labels.kinds(columns, metric=self._facts.metric, wanted=self._wanted)
        cell, outside = self._cells(columns)
        parts = self._question.further
        further = (
            dimensions.further(parts, columns, self._task.file, batch.num_rows) if parts else None
        )
        places, owner = labels.places(columns, project=self._facts.project, further=further)
        strange = None
        if self._of_org:
            others = np.array([place.org != self._question.org for place in places])
            strange = others.take(owner) if others.any() else None
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

    def _cells(self, columns: Mapping[str, pa.Array]) -> tuple[Array | int, Flags | None]:
        """Return the cell of each row, and which rows are outside of all cells."""
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


def _either(*flags: Flags | None) -> Flags | None:
    found: Flags | None = None
    for one in flags:
        if one is not None:
            found = one if found is None else found | one
    return found
