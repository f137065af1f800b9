"""A sessions query laid out for rendering: totals and a sparkline for people, rows for formats."""

from typing import Any

from relhealth.core.units import Unit
from relhealth.core.windows import epoch
from relhealth.core.words import counted
from relhealth.output.layouts.no_users import without_users
from relhealth.output.layouts.scope import (
    elsewhere,
    invalid_warnings,
    left_out_warnings,
    or_none,
    scope_meta,
    title,
    window_text,
)
from relhealth.output.report import Column, Report, Table, records_table
from relhealth.questions.fields import STATUS, STATUSES
from relhealth.questions.sessions_query import SessionsAnswer, SessionsGroup

_KEYS = {
    "project": Column("project", Unit.PROJECT, "Proj."),
    "release": Column("release", Unit.RELEASE, "Release"),
    "environment": Column("environment", Unit.TEXT, "Environment"),
    STATUS: Column(STATUS, Unit.TEXT, "Status"),
}
_SERIES = "series"


def sessions_query_report(
    answer: SessionsAnswer, *, latest: bool = False, has_users: bool = True
) -> Report:
    """Lay out the answer; the sparkline is of the first field."""
    question, window = answer.question, answer.scope.summary
    fields = question.fields
    columns = (
        *(_KEYS.get(key, Column(key, Unit.TEXT, key)) for key in question.group_by),
        Column(fields[0].name, fields[0].unit, _heading(fields[0].name)),
        Column(_SERIES, _series_unit(fields[0].unit), f"Series of\n{fields[0].name}"),
        *(Column(one.name, one.unit, _heading(one.name)) for one in fields[1:]),
    )
    report = Report(
        meta=scope_meta(
            "query",
            answer.scope,
            period=question.period,
            window=window,
            files=answer.files,
            invalid_rows=answer.invalid_rows,
            interval=question.interval,
            fields=[field.name for field in fields],
            group_by=list(question.group_by),
            statuses=None if question.statuses is None else list(question.statuses),
            order_by=question.order,
            offset=question.offset,
            limit=question.limit,
            left_out=answer.left_out,
        ),
        data=answer.to_dict(),
        tables=(
            Table(
                title=title(question.period, window, answer.scope),
                columns=columns,
                rows=[_shown(group, answer) for group in answer.groups],
            ),
        ),
        summary=", ".join(
            [
                counted(len(answer.groups), "group"),
                counted(len(answer.intervals), "interval"),
                counted(answer.files, "file"),
            ]
        ),
        window=window_text(window),
        warnings=(
            *invalid_warnings(answer.invalid_rows),
            *_unmatched(answer, latest=latest),
            *left_out_warnings(answer.left_out, "group", by="--limit or --offset"),
        ),
        records=records_table(answer.units(), answer.rows()),
    )
    further = {_SERIES} if "(user)" in fields[0].name else ()
    return without_users(report, sessions=1, users=int(has_users), further=further)


def _unmatched(answer: SessionsAnswer, *, latest: bool) -> list[str]:
    if answer.question.statuses == ():
        return [f"no session has such a status: the statuses are {', '.join(STATUSES)}"]
    if not answer.question.has_values:
        return ["only healthy sessions have durations: ask for those, or for every status"]
    if not answer.groups and not answer.left_out:
        return [f"nothing in the window; {elsewhere(latest=latest)}"]
    return []


def _series_unit(unit: Unit) -> Unit:
    return Unit.RATE_SERIES if unit in {Unit.RATIO, Unit.PERCENT, Unit.CRASH_FREE} else Unit.SERIES


def _heading(name: str) -> str:
    return name.replace("(", "\n(", 1)


def _shown(group: SessionsGroup, answer: SessionsAnswer) -> dict[str, Any]:
    first = answer.question.fields[0]
    points = zip(answer.intervals, group.series[first.name], strict=True)
    scale = 100 if first.unit is Unit.RATIO else 1
    names = {
        key: value if key in {"project", STATUS} else or_none(str(value))
        for key, value in group.by.items()
    }
    series = {
        _SERIES: [
            [epoch(start), None if value is None else value * scale] for start, value in points
        ]
    }
    return {**names, **group.totals, _SERIES: series}
