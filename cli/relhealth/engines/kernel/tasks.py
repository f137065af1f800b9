"""The row groups that a question has to read, by what the footers of plain files prove."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from relhealth.datasets import footers, parquet_pages
from relhealth.datasets.footers import Chunk, Footer
from relhealth.datasets.labels import METRICS, USERS, metric_of
from relhealth.datasets.plain_parquet import per_second
from relhealth.datasets.sources import SourceFile
from relhealth.engines.kernel.question import TIMED_USERS, Question

_OTHER = len(METRICS)  # any metric that is not a session metric


class Facts(NamedTuple):
    """What the footer proves about all rows of a row group; None: nothing."""

    times: tuple[int, int] | None  # in the file's unit
    metric: int | None
    project: int | None


class Task(NamedTuple):
    """A row group that may have rows for the question."""

    file: SourceFile
    footer: Footer
    group: int
    facts: Facts


def tasks(file: SourceFile, question: Question) -> Iterator[Task]:
    """Yield the row groups of a file that have to be read."""
    footer = footers.read(file.absolute)
    for group, facts in enumerate(facts_of_groups(footer)):
        task = Task(file, footer, group, facts)
        if any(wanted(task, question, metric) for metric in METRICS) and _names(task, question):
            yield task


def _names(task: Task, question: Question) -> bool:
    """Return whether a task may have a release that counts for the question."""
    if question.names is None or "" in question.names:
        return True
    wanted = {name.encode() for name in question.names}
    extremes = task.footer.groups[task.group].chunks["release"].extremes()
    if extremes is not None and not any(extremes[0] <= one <= extremes[1] for one in wanted):
        return False
    found = parquet_pages.texts(task.file.absolute, task.footer, task.group, "release")
    return found is None or not wanted.isdisjoint(found)


def cells_of(task: Task, question: Question) -> slice:
    """Return the cells that the rows of a task can be in."""
    if task.facts.times is None:
        return slice(None)
    edges, unit = question.edges, per_second(task.file)
    first, last = (bisect_right(edges, at // unit) - 1 for at in task.facts.times)
    return slice(max(first, 0), min(last + 1, len(edges) - 1))


def wanted(task: Task, question: Question, metric: int) -> bool:
    """Return whether a task may have rows of a metric that the question uses."""
    if task.facts.metric is not None and task.facts.metric != metric:
        return False
    uses = [question.met, question.checked, question.tallied[metric], question.kept[metric]]
    if metric == USERS:
        uses.append(question.kept[TIMED_USERS])
    cells = cells_of(task, question)
    return any(one.within(cells) for one in uses)


def facts_of_groups(footer: Footer) -> list[Facts]:
    """Return the facts of each row group."""
    return [_facts(group.chunks) for group in footer.groups]


def _facts(chunks: Mapping[str, Chunk]) -> Facts:
    def one_value(name: str) -> Any:
        found = _range(chunks[name])
        return found[0] if found is not None and found[0] == found[1] else None

    metric = one_value("metric")
    number = None if metric is None else metric_of(metric.decode(errors="replace"))
    return Facts(
        times=_range(chunks["timestamp"]),
        metric=_OTHER if metric is not None and number is None else number,
        project=one_value("project_id"),
    )


def _range(chunk: Chunk) -> tuple[Any, Any] | None:
    """Return the least and greatest stored value, if the footer proves that none is null."""
    return chunk.extremes() if chunk.nulls == 0 else None
