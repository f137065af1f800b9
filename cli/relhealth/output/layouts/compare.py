"""A comparison laid out for rendering: one table per project, and the result in words."""

from collections.abc import Iterator
from typing import Any

from relhealth.core.numerals import percent, points, seconds
from relhealth.core.printable import printable
from relhealth.core.project_names import project_text
from relhealth.core.units import Unit
from relhealth.core.windows import iso
from relhealth.core.words import counted
from relhealth.gate.compare import Compared, Comparison, Finding
from relhealth.gate.metrics import Duration
from relhealth.output.layouts.no_users import without_users
from relhealth.output.layouts.scope import invalid_meta, invalid_warnings, listed, window_text
from relhealth.output.report import Column, Lead, Report, Table, meta_of, records_table

_COLUMNS = (
    Column("metric", Unit.TEXT, "Metric"),
    Column("finding", Unit.FINDING, "B is"),
    Column("first", Unit.FIGURE, "A"),
    Column("second", Unit.FIGURE, "B"),
    Column("difference", Unit.FIGURE, "B - A"),
    Column("interval", Unit.FIGURE, "Interval"),
)
_FIELDS = {
    "project_id": Unit.PROJECT,
    "metric": Unit.TEXT,
    "unit": Unit.TEXT,
    "first": Unit.RELEASE,
    "second": Unit.RELEASE,
    "first_observed": Unit.PERCENT,
    "first_numerator": Unit.COUNT,
    "first_denominator": Unit.COUNT,
    "second_observed": Unit.PERCENT,
    "second_numerator": Unit.COUNT,
    "second_denominator": Unit.COUNT,
    "difference": Unit.PERCENT,
    "difference_lower": Unit.PERCENT,
    "difference_upper": Unit.PERCENT,
    "confidence": Unit.PERCENT,
    "finding": Unit.TEXT,
}

_OTHERS = {
    Finding.UNCLEAR: "no clear difference",
    Finding.NOTHING: "nothing to compare",
    Finding.SHARED: "not compared, since both releases share the project's users",
}


def compare_report(comparison: Comparison) -> Report:
    """Lay out the comparison."""
    rows = [_row(row, comparison) for row in comparison.rows]
    projects = sorted({row.project_id for row in comparison.rows})
    tally = ", ".join(
        f"{number} {finding.value}"
        for finding in Finding
        if (number := sum(row.finding is finding for row in comparison.rows))
    )
    names = f"A {printable(comparison.first)} · B {printable(comparison.second)}"
    span = comparison.scope.summary
    tables = tuple(
        Table(
            title=f"{names} · project {project_text(project)} · {comparison.period}"
            f" · until {iso(span.end)}",
            columns=_COLUMNS,
            rows=[_shown(row) for row in comparison.rows if row.project_id == project],
        )
        for project in projects
    )
    report = Report(
        meta=meta_of(
            "compare",
            now=iso(comparison.now),
            period=comparison.period,
            window=span.to_dict(),
            first=comparison.first,
            second=comparison.second,
            confidence=comparison.confidence,
            environments=listed(comparison.scope.environments),
            projects=projects,
            sources={"files": comparison.files},
            **invalid_meta(comparison.invalid_rows),
        ),
        data=rows,
        tables=tables,
        summary=tally,
        window=window_text(span),
        warnings=tuple(_warnings(comparison)),
        records=records_table(_FIELDS, rows, names),
        lead=tuple(_lead(comparison, project, len(projects)) for project in projects),
        notes=tuple(
            note for project in projects for note in _notes(comparison, project, len(projects))
        ),
    )
    counts = {
        name: sum(
            one.denominator
            for row in comparison.rows
            for one in (row.first, row.second)
            if row.metric.name == name
        )
        for name in ("crash_free_sessions", "crash_free_users")
    }
    return without_users(
        report,
        sessions=counts["crash_free_sessions"],
        users=counts["crash_free_users"],
        judges=True,
    )


def _warnings(comparison: Comparison) -> Iterator[str]:
    yield from invalid_warnings(comparison.invalid_rows)
    empty = {
        (row.project_id, one.release)
        for row in comparison.rows
        for one in (row.first, row.second)
        if row.metric.name == "crash_free_sessions" and not one.denominator
    }
    for project, name in sorted(empty):
        yield (
            f"{project}/{printable(name)}: no session in the window; look further back with"
            " --period, or at another time with --now"
        )


def _lead(comparison: Comparison, project: int, projects: int) -> Lead:
    """Return the conclusion, and the first figure that it is about."""
    rows = [row for row in comparison.rows if row.project_id == project]
    names = {
        finding: [row for row in rows if row.finding is finding]
        for finding in (Finding.WORSE, Finding.BETTER)
    }
    where = f"project {project_text(project)}: " if projects > 1 else ""
    second, first = printable(comparison.second), printable(comparison.first)
    clear = [row for found in names.values() for row in found]
    if not any(row.first.denominator and row.second.denominator for row in rows):
        return Lead("NO DATA", f"{where}nothing to compare {second} with {first} by")
    if not clear:
        return Lead("UNCLEAR", f"{where}no clear difference between {second} and {first}")
    told = [
        f"{finding.value} than {first} by {counted(len(found), 'metric')}"
        for finding, found in names.items()
        if found
    ]
    word = "MIXED" if len(told) > 1 else clear[0].finding.value.upper()
    one = clear[0]
    figures = f"{_figure(one, one.second.observed)} instead of {_figure(one, one.first.observed)}"
    return Lead(word, f"{where}{second} is {', '.join(told)}; {one.metric.name} {figures}")


def _notes(comparison: Comparison, project: int, projects: int) -> Iterator[str]:
    """Return a sentence for each clear difference, and one for all others."""
    where = f"project {project_text(project)}: " if projects > 1 else ""
    rows = [row for row in comparison.rows if row.project_id == project]
    for row in rows:
        if row.finding in {Finding.WORSE, Finding.BETTER}:
            unit = "" if isinstance(row.metric, Duration) else " points"
            yield (
                f"{where}{row.finding.value}: {row.metric.name} is"
                f" {_figure(row, row.second.observed)} in {printable(comparison.second)} and"
                f" {_figure(row, row.first.observed)} in {printable(comparison.first)}:"
                f" {_span(row)}{unit} with {comparison.confidence * 100:g}% confidence"
            )
    for finding, told in _OTHERS.items():
        names = [row.metric.name for row in rows if row.finding is finding]
        if names:
            yield f"{where}{told}: {', '.join(names)}"


def _row(row: Compared, comparison: Comparison) -> dict[str, Any]:
    return {
        "project_id": row.project_id,
        "metric": row.metric.name,
        "unit": "seconds" if isinstance(row.metric, Duration) else "percent",
        "first": row.first.release,
        "second": row.second.release,
        "first_observed": row.first.observed,
        "first_numerator": row.first.numerator,
        "first_denominator": row.first.denominator,
        "second_observed": row.second.observed,
        "second_numerator": row.second.numerator,
        "second_denominator": row.second.denominator,
        "difference": row.difference,
        "difference_lower": row.lower,
        "difference_upper": row.upper,
        "confidence": comparison.confidence,
        "finding": row.finding.value,
    }


def _shown(row: Compared) -> dict[str, Any]:
    return {
        "metric": row.metric.name,
        "first": _figure(row, row.first.observed),
        "second": _figure(row, row.second.observed),
        "finding": row.finding.value,
        "interval": _span(row),
        "difference": _signed(row, row.difference),
    }


def _figure(row: Compared, value: float | None) -> str | None:
    if value is None:
        return None
    return seconds(value) if isinstance(row.metric, Duration) else percent(value)


def _signed(row: Compared, value: float | None) -> str | None:
    if value is None:
        return None
    size = abs(value)
    told = seconds(size) if isinstance(row.metric, Duration) else points(size)
    return f"{'-' if value < 0 else '+'}{told}"


def _span(row: Compared) -> str | None:
    if row.lower is None:
        return None
    return f"{_signed(row, row.lower)} to {_signed(row, row.upper)}"
