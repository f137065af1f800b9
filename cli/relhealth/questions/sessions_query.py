"""The sessions query: any fields, by any groups, in totals and over time, as Sentry's sessions API.

A question is checked whole before any source is opened; its answer is made of what ``counted``
finds for the totals and for the buckets: totals are of the whole window, never sums of buckets.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from relhealth.core.errors import QuestionError
from relhealth.core.scope import Scope, check_limit, check_offset, check_several, check_text
from relhealth.core.units import Unit
from relhealth.core.windows import (
    DAY,
    HOUR,
    Window,
    epoch,
    iso,
    parse_length,
    parse_window,
    whole_window,
)
from relhealth.questions.asking import Asking, Instant
from relhealth.questions.counts import Counting, Counts, Group, counted_and_checked
from relhealth.questions.fields import KEYS, STATUS, STATUSES, Field, Kind, Value, check_fields

if TYPE_CHECKING:
    import pyarrow as pa

_SHORTEST = 10  # seconds; session metrics are floored to it
_MOST_POINTS = 10_000
_MOST_LONG_POINTS = 1_000  # of intervals of an hour or more, as the peer has it
_HARD_TO_ORDER = {"healthy", "errored"}  # they are differences of counts


@dataclass(frozen=True, slots=True)
class SessionsQuestion:
    """What a sessions query asks, checked; ``statuses`` None is all of them."""

    fields: tuple[Field, ...]
    group_by: tuple[str, ...]
    interval: int  # seconds
    period: str | None
    span: Window | None
    projects: tuple[int, ...] | None
    releases: tuple[str, ...] | None
    environments: tuple[str, ...] | None
    statuses: tuple[str, ...] | None
    order_by: str | None
    most_first: bool
    limit: int | None
    offset: int

    @property
    def order(self) -> str | None:
        """What groups were asked to come by, with ``-`` most first."""
        return self.order_by and ("-" if self.most_first else "") + self.order_by

    @property
    def by_status(self) -> bool:
        """Whether groups are told apart by the status of sessions."""
        return STATUS in self.group_by

    @property
    def tells(self) -> bool:
        """Whether any field can have a value under the filter of statuses."""
        return any(_tells(field, self.statuses) for field in self.fields)

    def window(self, now: datetime) -> Window:
        """Return the whole intervals that are asked about."""
        if self.span is not None:
            return whole_window(self.span.start, self.span.end, self.interval)
        return whole_window(now - parse_length(self.period or ""), now, self.interval)

    def check_points(self, window: Window | None = None) -> None:
        """Raise ``QuestionError`` for too many intervals, in a window or whatever the instant."""
        if window is None and self.span is not None:
            window = whole_window(self.span.start, self.span.end, self.interval)
        length = parse_length(self.period or "") if window is None else window.end - window.start
        points = length // timedelta(seconds=self.interval)
        long = self.interval >= HOUR
        most = _MOST_LONG_POINTS if long else _MOST_POINTS
        if points > most:
            raise QuestionError(
                f"{points:,} intervals of {self.interval} s: at most {most:,}"
                f" {'of an hour or more' if long else 'a group'};"
                " ask for longer intervals or a shorter period"
            )


def check_question(  # noqa: PLR0913 - the question has that many parts
    fields: Iterable[str],
    *,
    group_by: Iterable[str],
    period: str | None,
    start: Instant | None,
    end: Instant | None,
    interval: str,
    projects: tuple[int, ...] | None,
    releases: tuple[str, ...] | None,
    environments: tuple[str, ...] | None,
    statuses: Iterable[str] | None,
    order_by: str | Iterable[str] | None,
    limit: int | None,
    offset: int,
) -> SessionsQuestion:
    """Return the question; ``QuestionError`` names what keeps it from being asked."""
    asked = check_fields(fields)
    keys = _check_keys(group_by)
    kept = _check_statuses(statuses)
    for field in asked:
        _check_status_of(field, keys, kept)
    order, most_first = _check_order(order_by, asked, keys, kept)
    check_limit(limit)
    check_offset(offset)
    span = None
    if start is not None or end is not None:
        if start is None or end is None or period is not None:
            raise QuestionError("expected either a period, or a start and an end")
        span = parse_window(start, end)
    if span is None and period is None:
        period = "24h"
    if period is not None:
        parse_length(period)
    question = SessionsQuestion(
        fields=asked,
        group_by=keys,
        interval=_check_interval(interval),
        period=period,
        span=span,
        projects=projects,
        releases=releases,
        environments=environments,
        statuses=kept,
        order_by=order,
        most_first=most_first,
        limit=limit,
        offset=offset,
    )
    question.check_points()
    return question


def _check_keys(group_by: Iterable[str]) -> tuple[str, ...]:
    asked = check_several("group_by", group_by)
    for key in asked:
        if key not in KEYS:
            raise QuestionError(f"cannot group by {key!r}: expected one of {', '.join(KEYS)}")
    return tuple(key for key in KEYS if key in asked)


def _check_statuses(statuses: Iterable[str] | None) -> tuple[str, ...] | None:
    """Return the statuses that there are; one that no session can have matches nothing."""
    if statuses is None:
        return None
    asked = {check_text("status", one) for one in check_several("statuses", statuses)}
    return tuple(status for status in STATUSES if status in asked)


def _check_status_of(field: Field, keys: tuple[str, ...], kept: tuple[str, ...] | None) -> None:
    if field.kind is Kind.RATE and STATUS in keys:
        raise QuestionError(f"{field.name}: a rate cannot be grouped by {STATUS}")
    if field.kind is Kind.RATE and kept is not None:
        raise QuestionError(f"{field.name}: a rate cannot be filtered by {STATUS}")
    several = kept is not None and len(kept) > 1 and STATUS not in keys
    if field.name == "count_unique(user)" and several:
        raise QuestionError(
            f"{field.name}: users of several statuses cannot be added up; group by {STATUS}"
        )


def _check_order(
    order_by: str | Iterable[str] | None,
    fields: tuple[Field, ...],
    keys: tuple[str, ...],
    kept: tuple[str, ...] | None,
) -> tuple[str | None, bool]:
    orders: tuple[str, ...] = ()
    if order_by is not None and order_by != "":
        named = [order_by] if isinstance(order_by, str) else order_by
        orders = check_several("order_by", named, kind="fields")
    if not orders:
        return None, True
    if len(orders) > 1:
        raise QuestionError(f"cannot order by more than one field: {', '.join(map(str, orders))}")
    name = check_text("order_by", orders[0]).removeprefix("-")
    asked = {field.name: field for field in fields}
    if name not in asked:
        raise QuestionError(f"cannot order by {name!r}: expected one of {', '.join(asked)}")
    if STATUS in keys:
        raise QuestionError(f"cannot order by {name} where groups are told apart by {STATUS}")
    if kept:
        mixed = len(kept) > 1 or bool(_HARD_TO_ORDER & set(kept))
        if asked[name].kind is Kind.COUNT and mixed:
            raise QuestionError(f"cannot order by {name} of status {', '.join(kept)}")
        if asked[name].kind is Kind.DURATION and "healthy" not in kept:
            raise QuestionError(f"cannot order by {name}: only healthy sessions have durations")
    return name, orders[0].startswith("-")


def _check_interval(interval: str) -> int:
    seconds = parse_length(interval) // timedelta(seconds=1)
    if seconds < _SHORTEST or DAY % seconds:
        raise QuestionError(
            f"interval {interval!r}: expected one that divides a day, from 10s to 1d"
        )
    return seconds


@dataclass(frozen=True, slots=True)
class SessionsGroup:
    """One group: what it is by, each field over the whole window, and in every interval."""

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
    """The answer: a mapping of ``start``, ``end``, ``intervals`` and ``groups``, or attributes.

    In ``by``, ``''`` is no release and no environment.
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

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as the sessions API has it."""
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


def ask(asking: Asking, question: SessionsQuestion, now: datetime) -> SessionsAnswer:
    """Answer a question about opened sources."""
    window = question.window(now)
    question.check_points(window)
    scope = Scope.resolve(now, projects=question.projects, environments=question.environments)
    scope = replace(scope, releases=question.releases).over(window)
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
    told = [field for field in question.fields if _tells(field, question.statuses)]
    if not told:
        return (), asking.checked([], scope)[1]
    needed: set[str] = set().union(*(field.needed for field in told))
    if "sessions" in needed and (question.by_status or question.statuses):
        needed.add("errored")
    keys = set(question.group_by) - {STATUS}
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
                    by=_by(group, status, question.group_by),
                    totals={field.name: value(field, whole) for field in question.fields},
                    series={
                        field.name: tuple(value(field, part) for part in parts)
                        for field in question.fields
                    },
                )
            )
    return tuple(sorted(groups, key=_rank(question))), invalid


def _tells(field: Field, kept: tuple[str, ...] | None) -> bool:
    """Tell whether a field can have a value under a filter of statuses."""
    if kept is None:
        return True
    return bool(kept) if field.kind is Kind.COUNT else "healthy" in kept


def _valued(question: SessionsQuestion, status: str | None) -> Callable[[Field, Counts], Value]:
    """Return the function that gives a field's value for a group of that status (None: of all)."""

    def value(field: Field, one: Counts) -> Value:
        if not _tells(field, question.statuses):
            return field.empty
        if field.kind is Kind.DURATION and status not in {None, "healthy"}:
            return field.empty
        if field.kind is Kind.COUNT and status is None and question.statuses is not None:
            return sum(field.value(one, kept) or 0 for kept in question.statuses)
        return field.value(one, status)

    return value


def _by(group: Group, status: str | None, keys: tuple[str, ...]) -> dict[str, int | str]:
    values = {
        "project": group.project_id,
        "release": group.release,
        "environment": group.environment,
        STATUS: status,
    }
    return {key: found for key in keys if (found := values[key]) is not None}


def _rank(question: SessionsQuestion) -> Callable[[SessionsGroup], tuple[Any, ...]]:
    """Return the key to sort groups by: absent figures last, ties by what groups are by."""
    names = [field.name for field in question.fields]
    order = question.order_by or ("sum(session)" if "sum(session)" in names else names[0])
    sign = -1 if question.most_first else 1

    def rank(group: SessionsGroup) -> tuple[Any, ...]:
        figure = group.totals[order]
        return figure is None, sign * (figure or 0), tuple(group.by.values())

    return rank
