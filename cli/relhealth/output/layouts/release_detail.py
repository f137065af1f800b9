"""One release in detail laid out for rendering: its totals, figures by age, and series."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from relhealth.core.numerals import percent
from relhealth.core.printable import printable
from relhealth.core.project_names import project_text
from relhealth.core.units import Unit
from relhealth.core.windows import from_epoch_us, iso
from relhealth.core.words import counted
from relhealth.gate.glance import BY_DEFAULT, Limits, word_of
from relhealth.output.layouts.no_users import without_users
from relhealth.output.layouts.scope import invalid_warnings, scope_meta, title, window_text
from relhealth.output.report import Column, Lead, Report, Table, records_table
from relhealth.questions.figures import crash_free
from relhealth.questions.release_detail import ReleaseDetail, ReleaseDetails, series_units

_AGES = (
    Column("date", Unit.INSTANT, "Until"),
    Column("total_sessions", Unit.COUNT, "Sessions"),
    Column("crash_free_sessions", Unit.CRASH_FREE, "Crash\nfree\nsessions"),
    Column("total_users", Unit.COUNT, "Users"),
    Column("crash_free_users", Unit.CRASH_FREE, "Crash\nfree\nusers"),
)


def release_detail_report(found: ReleaseDetails, limits: Limits = BY_DEFAULT) -> Report:
    """Lay out the answer, with a word by ``limits``; formats of rows have the series."""
    units = series_units(found.stat)
    fields = {
        "project_id": Unit.PROJECT,
        "release": Unit.RELEASE,
        "bucket": Unit.INSTANT,
        **units,
    }
    report = Report(
        meta=scope_meta(
            "release",
            found.scope,
            period=found.period,
            window=found.scope.summary,
            files=found.files,
            invalid_rows=found.invalid_rows,
            stat=found.stat,
            interval=found.series.interval,
            series_window=found.series.window.to_dict(),
        ),
        data=[one.to_dict() for one in found.details],
        tables=tuple(table for one in found.details for table in _tables(one, found, units)),
        summary=", ".join(
            [
                counted(len(found.details), "project"),
                counted(len(found.series.starts()), "bucket"),
                counted(found.files, "file"),
            ]
        ),
        window=window_text(found.scope.summary),
        warnings=(*invalid_warnings(found.invalid_rows), *_unseen(found)),
        lead=tuple(_lead(one, found, limits) for one in found.details),
        records=records_table(fields, [row for one in found.details for row in _points(one)]),
    )
    rows = [one.overview for one in found.details]
    return without_users(
        report,
        sessions=sum(row.total_sessions or 0 for row in rows),
        users=sum(
            sum(filter(None, (row.total_users, row.total_project_users_24h))) for row in rows
        ),
        judges=True,
    )


def _lead(one: ReleaseDetail, found: ReleaseDetails, limits: Limits) -> Lead:
    """Return the status, with the figures of the period."""
    row = one.overview
    word = word_of(row, limits.of_project(one.project_id, found.scope.environments))
    name = printable(one.release)
    where = f"{name} in project {project_text(one.project_id)}" if len(found.details) > 1 else name
    told = [
        f"{percent(value)} {what}"
        for value, what in (
            (row.crash_free_sessions, "crash-free sessions"),
            (row.crash_free_users, "crash-free users"),
        )
        if value is not None
    ]
    users = f" of {counted(row.total_users, 'user')}" if row.total_users else ""
    told.append(f"{counted(row.total_sessions or 0, 'session')}{users} in {found.period}")
    if row.adoption is not None:
        told.append(f"{percent(row.adoption)} of users in 24h")
    return Lead("" if word is None else word.upper(), f"{where}: {', '.join(told)}")


def _unseen(found: ReleaseDetails) -> Iterator[str]:
    for one in found.details:
        if one.bounds["sessions_lower_bound"] is None:
            name = f"{one.project_id}/{printable(one.release)}"
            yield f"not seen in 90 days: {name}; inspect shows what there is"


def _tables(one: ReleaseDetail, found: ReleaseDetails, units: dict[str, Unit]) -> Iterator[Table]:
    about = title(found.period, found.scope.summary, found.scope)
    name = f"{printable(one.release)} · project {project_text(one.project_id)}"
    lower, upper = (one.bounds[f"sessions_{end}_bound"] for end in ("lower", "upper"))
    totals = tuple(Column(figure, units[figure], _heading(figure)) for figure in one.totals)
    seen = (Column("first", Unit.INSTANT, "First hour"), Column("last", Unit.INSTANT, "Last hour"))
    rates = {found.period: [[start, _crash_free(its, found)] for start, its in one.series]}
    known = sum(rate is not None for _, rate in rates[found.period])
    trend = (Column("trend", Unit.RATE_SERIES, "Crash free\nover time"),) if known > 1 else ()
    yield Table(
        f"{name} · {about}",
        (*trend, *totals, *seen),
        [{**one.totals, "trend": rates, "first": lower, "last": upper}],
    )
    if lower is not None:
        yield Table(f"{name} · since {iso(lower)}", _AGES, list(one.breakdown))
    bucket = Column("bucket", Unit.INSTANT, "From")
    rate = Column("crash_free", Unit.CRASH_FREE, f"Crash\nfree\n{found.stat}")
    first, *others = (Column(figure, unit, _heading(figure)) for figure, unit in units.items())
    yield Table(
        f"{name} · over time",
        (bucket, first, rate, *others),
        [
            point | {"crash_free": _crash_free(point, found)}
            for point in _points(one)
            if lower is None or point["bucket"] + timedelta(seconds=found.series.interval) > lower
        ],
    )


def _crash_free(point: Mapping[str, Any], found: ReleaseDetails) -> float | None:
    """Return the crash-free rate of a bucket; None, not 0, where nothing was."""
    return crash_free(point[f"{found.stat}_crashed"], point[found.stat])


def _points(one: ReleaseDetail) -> Iterator[dict[str, Any]]:
    for start, figures in one.series:
        yield {
            "project_id": one.project_id,
            "release": one.release,
            "bucket": from_epoch_us(start * 1_000_000),
            **figures,
        }


def _heading(figure: str) -> str:
    """Return ``sessions_crashed`` as ``Crashed`` above ``sessions``."""
    what, _, status = figure.partition("_")
    return f"{status.capitalize()}\n{what}" if status else what.capitalize()
