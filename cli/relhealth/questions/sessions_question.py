"""The question of a sessions query, checked before relhealth opens any source."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from relhealth.core.dimensions import check_dimension
from relhealth.core.errors import QuestionError
from relhealth.core.scope import check_limit, check_offset, check_several, check_text
from relhealth.core.windows import DAY, HOUR, Window, parse_length, parse_window, whole_window
from relhealth.questions.fields import KEYS, STATUS, STATUSES, Field, Kind, check_fields
from relhealth.questions.selection import Instant

_SHORTEST = 10  # seconds; session metrics are floored to it
_MOST_POINTS = 10_000
_MOST_LONG_POINTS = 1_000  # of intervals of an hour or more, as in Sentry
_TAKEN = {"bucket", "series"}  # columns of answers
_HARD_TO_ORDER = {"healthy", "errored"}  # differences of counts, which Sentry cannot sort by


@dataclass(frozen=True, slots=True)
class SessionsQuestion:
    """The checked parameters of a sessions query; ``None`` in a filter means all."""

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
        """The field that groups were asked to be sorted by; with ``-``, largest first."""
        return self.order_by and ("-" if self.most_first else "") + self.order_by

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The keys of groups that are dimensions."""
        return tuple(key for key in self.group_by if key not in KEYS)

    @property
    def by_status(self) -> bool:
        """Whether groups are by the status of sessions."""
        return STATUS in self.group_by

    def has_value(self, field: Field) -> bool:
        """Return whether a field can have a value under the filter of statuses."""
        if self.statuses is None:
            return True
        return bool(self.statuses) if field.kind is Kind.COUNT else "healthy" in self.statuses

    @property
    def has_values(self) -> bool:
        """Whether any field can have a value."""
        return any(self.has_value(field) for field in self.fields)

    def window(self, now: datetime) -> Window:
        """Return the window of the question, in full intervals."""
        if self.span is not None:
            return whole_window(self.span.start, self.span.end, self.interval)
        return whole_window(now - parse_length(self.period or ""), now, self.interval)

    def check_points(self, window: Window | None = None) -> None:
        """Raise ``QuestionError`` for too many intervals.

        Without a window, this checks what does not depend on the instant of the question.
        """
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
    """Return the question; raise ``QuestionError`` for an invalid one."""
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
        if not isinstance(key, str) or key == "status":
            known = f"{', '.join(KEYS)}, or a further column"
            raise QuestionError(f"cannot group by {key!r}: expected one of {known}")
    further = [key for key in dict.fromkeys(asked) if key not in KEYS]
    for key in further:
        check_dimension("--group-by", key)
        if key in _TAKEN or key.endswith(")"):
            raise QuestionError(
                f"--group-by {key}: the answer has a column of that name; rename the column"
            )
    return (*(key for key in KEYS if key in asked), *further)


def _check_statuses(statuses: Iterable[str] | None) -> tuple[str, ...] | None:
    """Return the known statuses. Others are no error: they match no session."""
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
        raise QuestionError(f"cannot order by {name} if groups are by {STATUS}")
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
