"""The sessions query: any fields, by any groups, in totals and over time, like Sentry's API.

Totals are counted over the complete window. They are never sums of buckets, because one user can
be in several buckets.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from relhealth.core.dimensions import ENVIRONMENT, split
from relhealth.core.scope import Scope
from relhealth.core.units import Unit
from relhealth.core.windows import epoch, iso
from relhealth.questions.asking import Asking
from relhealth.questions.counts import Counting, Counts, Group, counted_and_checked
from relhealth.questions.fields import KEYS, STATUS, STATUSES, Field, Kind, Value
from relhealth.questions.sessions_question import SessionsQuestion

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class SessionsGroup:
    """One group: its keys, and each field in total and in every interval."""

    by: Mapping[str, int | str]
    totals: Mapping[str, Value]
    series: Mapping[str, tuple[Value, ...]]

    def to_dict(self) -> dict[str, Any]:
        """Return the group as plain values."""
        return {
            "by": dict(self.by),
            "totals": dict(self.totals),
            "series": {name: list(values) for name, values in self.series.items()},
        }


@dataclass(frozen=True)
class SessionsAnswer(Mapping[str, Any]):
    """The answer; as a mapping it has ``start``, ``end``, ``intervals`` and ``groups``.

    In the keys of a group, ``''`` means no release or no environment.
    """

    question: SessionsQuestion
    scope: Scope
    intervals: tuple[datetime, ...]
    groups: tuple[SessionsGroup, ...]
    files: int
    invalid_rows: Mapping[str, int]
    left_out: int  # groups beyond the limit, or before the offset

    @property
    def start(self) -> datetime:
        """The start of the first interval."""
        return self.scope.summary.start

    @property
    def end(self) -> datetime:
        """The end of the last interval."""
        return self.scope.summary.end

    @property
    def is_empty(self) -> bool:
        """Whether no session is in it: a rate without sessions is ``None``, and one of 0 is not."""
        values = [value for group in self.groups for value in group.totals.values()]
        return all(value is None or (value == 0 and isinstance(value, int)) for value in values)

    @property
    def has_users(self) -> bool:
        """Whether a figure of users counts any; true if it has no such figure."""
        names = [field.name for field in self.question.fields if "(user)" in field.name]
        values = [group.totals[name] for group in self.groups for name in names]
        counts = (
            value is not None and not (value == 0 and isinstance(value, int)) for value in values
        )
        return not names or any(counts)

    def to_dict(self) -> dict[str, Any]:
        """Return the answer in the form of Sentry's sessions API."""
        return {
            "start": iso(self.start),
            "end": iso(self.end),
            "intervals": [iso(one) for one in self.intervals],
            "groups": [group.to_dict() for group in self.groups],
        }

    def __getitem__(self, key: str) -> Any:
        """Return a part of the answer as plain values, instants as text."""
        return self.to_dict()[key]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of the parts."""
        return iter(self.to_dict())

    def __len__(self) -> int:
        """Return the number of parts."""
        return len(self.to_dict())

    def units(self) -> dict[str, Unit]:
        """Return the columns of ``rows``: the keys, the bucket, the fields."""
        units = {"project": Unit.PROJECT, "release": Unit.RELEASE}
        keys = {key: units.get(key, Unit.TEXT) for key in self.question.group_by}
        fields = {field.name: field.unit for field in self.question.fields}
        return {**keys, "bucket": Unit.INSTANT, **fields}

    def rows(self) -> list[dict[str, Any]]:
        """Return one row a group and interval; the bucket is the interval's start."""
        return [
            {**group.by, "bucket": start, **{name: v[i] for name, v in group.series.items()}}
            for group in self.groups
            for i, start in enumerate(self.intervals)
        ]

    def to_arrow(self) -> "pa.Table":
        """Return ``rows`` as an Arrow table."""
        from relhealth.questions.arrow import to_arrow

        return to_arrow(self.units(), self.rows())


def sessions_query(asking: Asking, now: datetime, question: SessionsQuestion) -> SessionsAnswer:
    """Answer a sessions query about ``now``."""
    window = question.window(now)
    question.check_points(window)
    scope = Scope.resolve(
        now,
        projects=question.projects,
        environments=question.environments,
        where=asking.where,
    )
    names = question.releases
    if names is not None:
        names = asking.names(names, scope)
    scope = replace(scope, releases=names).over(window)
    if question.dimensions:
        asking.check_columns("--group-by", question.dimensions, KEYS)
    groups, invalid = _groups(asking, question, scope)
    end = None if question.limit is None else question.offset + question.limit
    page = groups[question.offset : end]
    return SessionsAnswer(
        question=question,
        scope=scope,
        intervals=tuple(
            window.start + timedelta(seconds=seconds)
            for seconds in range(0, epoch(window.end) - epoch(window.start), question.interval)
        ),
        groups=page,
        files=asking.sources.total,
        invalid_rows=invalid,
        left_out=len(groups) - len(page),
    )


def _groups(
    asking: Asking, question: SessionsQuestion, scope: Scope
) -> tuple[tuple[SessionsGroup, ...], dict[str, int]]:
    """Return every group, in order, and the rows that cannot count, by reason."""
    if not question.has_values:
        return (), asking.checked([], scope)[1]
    fields = filter(question.has_value, question.fields)
    needed: set[str] = set().union(*(field.needed for field in fields))
    if "sessions" in needed and (question.by_status or question.statuses):
        needed.add("errored")
    keys = set(question.group_by) - {STATUS, *question.dimensions}
    columns = _columns(question)
    if question.dimensions:
        keys.add(ENVIRONMENT)
        scope = replace(scope, by=columns)
    (totals, buckets), invalid = counted_and_checked(
        asking,
        scope,
        Counting(scope, needed, keys),
        Counting(scope, needed, keys, question.interval),
    )
    if not keys:
        totals.setdefault(Group(), Counts())
    starts = range(epoch(scope.summary.start), epoch(scope.summary.end), question.interval)
    statuses: tuple[str | None, ...] = (None,)
    if question.by_status:
        statuses = STATUSES if question.statuses is None else question.statuses
    nothing = Counts()
    groups = []
    for group, whole in totals.items():
        parts = [buckets.get(replace(group, bucket=start), nothing) for start in starts]
        for status in statuses:
            value = _valued(question, status)
            groups.append(
                SessionsGroup(
                    by=_by(group, status, question),
                    totals={field.name: value(field, whole) for field in question.fields},
                    series={
                        field.name: tuple(value(field, part) for part in parts)
                        for field in question.fields
                    },
                )
            )
    return tuple(sorted(groups, key=_rank(question))), invalid


def _valued(question: SessionsQuestion, status: str | None) -> Callable[[Field, Counts], Value]:
    """Return a function to a field's value in a group of a status (``None``: of all)."""

    def value(field: Field, one: Counts) -> Value:
        other = field.kind is Kind.DURATION and status not in {None, "healthy"}
        if other or not question.has_value(field):
            return field.empty
        if field.kind is Kind.COUNT and status is None and question.statuses is not None:
            return sum(field.value(one, kept) or 0 for kept in question.statuses)
        return field.value(one, status)

    return value


def _columns(question: SessionsQuestion) -> tuple[str, ...]:
    """Return what groups have in place of their environment: dimensions, and perhaps that too."""
    return tuple(key for key in question.group_by if key not in {"project", "release", STATUS})


def _by(group: Group, status: str | None, question: SessionsQuestion) -> dict[str, int | str]:
    values: dict[str, int | str | None] = {
        "project": group.project_id,
        "release": group.release,
        STATUS: status,
    }
    columns = _columns(question)
    if group.environment is not None and columns:
        values |= zip(columns, split(group.environment, len(columns)), strict=True)
    return {key: found for key in question.group_by if (found := values[key]) is not None}


def _rank(question: SessionsQuestion) -> Callable[[SessionsGroup], tuple[Any, ...]]:
    """Return the key to sort groups by: absent figures last, ties by the keys of groups."""
    names = [field.name for field in question.fields]
    order = question.order_by or ("sum(session)" if "sum(session)" in names else names[0])
    sign = -1 if question.most_first else 1

    def rank(group: SessionsGroup) -> tuple[Any, ...]:
        figure = group.totals[order]
        return figure is None, sign * (figure or 0), tuple(group.by.values())

    return rank
