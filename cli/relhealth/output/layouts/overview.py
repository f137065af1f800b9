"""The overview laid out for rendering: its columns, its meta data, its summary."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from relhealth.core import clock
from relhealth.core.printable import printable
from relhealth.core.units import Unit
from relhealth.core.windows import iso
from relhealth.core.words import counted
from relhealth.gate.glance import BY_DEFAULT, Limits, Word, rank, word_of
from relhealth.output.layouts.no_users import without_users
from relhealth.output.layouts.scope import (
    environments_text,
    invalid_warnings,
    left_out_warnings,
    or_none,
    scope_meta,
    title,
    window_text,
)
from relhealth.output.layouts.stages import STAGES
from relhealth.output.report import (
    Column,
    Family,
    Report,
    Table,
    data_age,
    empty_warnings,
    last_run,
    records_table,
)
from relhealth.questions.overview import UNITS, Overview, ReleaseOverview

# In reading order: a narrow terminal keeps the first ones. Other figures come last.
_HEADINGS = {
    "project_id": "Proj.",
    "status": "Status",
    "release": "Release",
    "crash_free_sessions": "Crash\nfree\nsessions",
    "adoption": "Adoption",
    "adoption_stage": "Stage",
    "stats": "Series",
    "total_sessions": "Sessions",
    "crash_free_users": "Crash\nfree\nusers",
    "total_users": "Users",
    "sessions_crashed": "Crashed\nsessions",
    "users_crashed": "Crashed\nusers",
    "sessions_errored": "Errored\nsessions",
    "sessions_unhandled": "Unhandled\nsessions",
    "sessions_abnormal": "Abnormal\nsessions",
    "duration_p50": "Duration\np50",
    "duration_p90": "Duration\np90",
    "unhandled_session_rate": "Unhandled\nsession rate",
    "unhandled_user_rate": "Unhandled\nuser rate",
    "users_unhandled": "Unhandled\nusers",
    "sessions_healthy": "Healthy\nsessions",
    "sessions_adoption": "Adoption\nsessions",
    "total_sessions_24h": "Sessions\n24h",
    "total_users_24h": "Users\n24h",
    "total_project_sessions_24h": "Project\nsessions 24h",
    "total_project_users_24h": "Project\nusers 24h",
    "has_health_data": "Health\ndata",
}


# Enough where the width is not known, with the status and the release.
_MAIN = (
    "project_id",
    "status",
    "release",
    "crash_free_sessions",
    "adoption",
    "total_sessions",
    "total_users",
)
# What people see beside the figures of machine formats, and --columns can name.
FURTHER = {"status": Unit.VERDICT, "adoption_stage": Unit.TEXT}
COLUMNS = (*FURTHER, *UNITS)


def _table(overview: Overview, rows: Sequence[dict[str, Any]], *, grouped: bool) -> Table:
    return Table(
        title=title(overview.period, overview.scope.summary, overview.scope),
        columns=tuple(
            column
            for name in dict.fromkeys((*_HEADINGS, *UNITS))
            for column in (_column(name, overview), *_by(name, overview))
        ),
        rows=[_shown(row, overview.by) for row in (sorted(rows, key=_rank) if grouped else rows)],
        main=_MAIN if overview.by is None else (*_MAIN, overview.by),
        optional=("status", "adoption_stage", "stats"),
        group="project_id" if grouped else None,
    )


def _by(name: str, overview: Overview) -> tuple[Column, ...]:
    """Return the column of the dimension, which is behind that of the release."""
    by = overview.by
    return (Column(by, Unit.TEXT, by),) if by is not None and name == "release" else ()


def _column(name: str, overview: Overview) -> Column:
    heading = _HEADINGS.get(name) or _words(name)
    if name == "stats" and overview.scope.series is not None:
        heading = f"{overview.stat.capitalize()}\n{overview.scope.series.period}"
    return Column(name, {**UNITS, **FURTHER}[name], heading)


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _rank(row: dict[str, Any]) -> Any:
    return rank(row["project_id"], row["release"], row["status"])


def _shown(row: dict[str, Any], by: str | None) -> dict[str, Any]:
    """Return a row for people."""
    word, stage = row["status"], row["adoption_stage"]
    shown = row | {
        "status": word and word.upper(),
        "adoption_stage": stage and STAGES[stage],
    }
    return {**shown, by: or_none("")} if by is not None and row[by] == "" else shown


def _judged(overview: Overview, limits: Limits) -> Iterator[dict[str, Any]]:
    """Yield each row, with what people see beside its figures."""
    for row in overview.rows:
        its = limits.of_project(row.project_id, overview.scope.environments)
        yield row.to_dict() | {
            "status": word_of(row, its),
            "adoption_stage": (overview.stages or {}).get((row.project_id, row.release)),
            "target": max((one.target for one in its), default=None),
            "critical": max((one.critical for one in its), default=None),
        }


def overview_report(
    overview: Overview,
    limits: Limits = BY_DEFAULT,
    ages: Mapping[int, float] | None = None,
    *,
    grouped: bool = False,
) -> Report:
    """Lay out the answer, with a word for each release by ``limits``.

    ``ages`` are those of the newest session of each project, for metrics. People see the projects
    one after another, if ``grouped``: bad releases first, then the newest.
    """
    judged = list(_judged(overview, limits))
    report = Report(
        meta=_meta(overview),
        data=[row.to_dict() for row in overview.rows],
        tables=(_table(overview, judged, grouped=grouped),),
        summary=_summary(overview, judged),
        window=window_text(overview.scope.summary),
        warnings=_warnings(overview),
        families=tuple(_families(overview, ages)),
        records=records_table(overview.units, judged),
        notes=_notes(limits),
    )
    return without_users(
        report,
        sessions=sum(row.total_sessions or 0 for row in overview.rows),
        users=sum(
            any((row.total_users, row.total_project_users_24h, row.users_crashed))
            or bool(row.users_unhandled)
            for row in overview.rows
        ),
        further={"stats"} if overview.stat == "users" else (),
        judges=any(row["status"] is not None for row in judged),
    )


def _notes(limits: Limits) -> tuple[str, ...]:
    if not limits.others:
        return ()
    rules = counted(limits.others, "further rule")
    return (f"the status leaves out {rules} of the policy; relhealth status applies all",)


# What the metric formats leave out: names, flags, series, and totals of the day.
_NO_METRICS = {
    "project_id",
    "release",
    "total_users_24h",
    "total_project_users_24h",
    "total_sessions_24h",
    "total_project_sessions_24h",
    "has_health_data",
    "stats",
}
# The name of a figure there, and its help, where those made of its own name will not do.
_FAMILIES = {
    "crash_free_sessions": ("crash_free_sessions_ratio", "Sessions that did not crash."),
    "crash_free_users": ("crash_free_users_ratio", "Users without a crashed session."),
    "unhandled_session_rate": (
        "unhandled_sessions_ratio",
        "Sessions with an unhandled error or a crash.",
    ),
    "unhandled_user_rate": (
        "unhandled_users_ratio",
        "Users with an unhandled error or a crash; users with both count twice.",
    ),
    "adoption": ("adoption_ratio", "The share of the project's users of the last 24 hours."),
    "sessions_adoption": (
        "sessions_adoption_ratio",
        "The share of the project's sessions of the last 24 hours.",
    ),
    "total_sessions": ("sessions", "Sessions that started."),
    "total_users": ("users", "Distinct users."),
    "sessions_healthy": ("sessions_healthy", "Sessions without any error."),
    "sessions_errored": ("sessions_errored", "Sessions with handled errors only."),
    "sessions_crashed": ("sessions_crashed", "Sessions that crashed."),
    "sessions_abnormal": ("sessions_abnormal", "Sessions that ended abnormally."),
    "sessions_unhandled": ("sessions_unhandled", "Sessions with an unhandled error."),
    "users_crashed": ("users_crashed", "Users with a crashed session."),
    "users_unhandled": ("users_unhandled", "Users with a session with an unhandled error."),
    "duration_p50": ("duration_p50_seconds", "The median duration of exited sessions."),
    "duration_p90": ("duration_p90_seconds", "The 90th percentile of their duration."),
}


def _families(overview: Overview, ages: Mapping[int, float] | None) -> Iterator[Family]:
    environments, projects = overview.scope.environments, overview.scope.projects
    common = {"period": overview.period}
    if environments is not None:
        common["environment"] = ",".join(environments)
    # These distinguish runs whose files share a folder; samples of releases have their project.
    of_run = {} if projects is None else {"project": ",".join(map(str, projects))}
    for figure in dict.fromkeys((*_FAMILIES, *UNITS)):
        if figure in _NO_METRICS:
            continue
        name, told = _FAMILIES.get(figure) or _family(figure, UNITS[figure])
        percent = name.endswith("_ratio")
        yield Family(
            f"relhealth_{name}",
            told,
            "ratio" if percent else "seconds" if name.endswith("_seconds") else "",
            tuple(
                (
                    {
                        "project": str(row.project_id),
                        "release": row.release,
                        **common,
                        **_label(row),
                    },
                    value / 100 if percent else float(value),
                )
                for row in overview.rows
                if (value := getattr(row, figure)) is not None
            ),
        )
    yield data_age("overview", ages, **common)
    yield last_run("overview", **of_run, **common)


def _family(figure: str, unit: Unit) -> tuple[str, str]:
    """Return the name and the help of a figure in the metric formats."""
    percent = unit in {Unit.PERCENT, Unit.CRASH_FREE, Unit.SHARE}
    suffix = "_ratio" if percent else "_seconds" if unit is Unit.SECONDS else ""
    return f"{figure}{suffix}", f"{_words(figure)}."


def _label(row: ReleaseOverview) -> dict[str, str]:
    """Return the label of a row's dimension, whose name has only what labels may have."""
    if row.by is None:
        return {}
    name = re.sub(r"\W", "_", row.by[0], flags=re.ASCII)
    return {f"_{name}" if name[0].isdigit() or name == "period" else name: row.by[1] or ""}


def _meta(overview: Overview) -> dict[str, Any]:
    scope = overview.scope
    meta = scope_meta(
        "overview",
        scope,
        period=overview.period,
        window=scope.summary,
        files=overview.files,
        invalid_rows=overview.invalid_rows,
        adoption_window=scope.adoption.to_dict(),
        stat=overview.stat,
        stats_period=scope.series.period if scope.series else None,
        stats_interval=scope.series.interval if scope.series else None,
        stats_window=scope.series.window.to_dict() if scope.series else None,
    )
    meta["sources"]["empty_files"] = len(overview.empty_files)
    if overview.by is not None:
        # A share is of the project's sessions and users with the same value.
        meta |= {"by": overview.by, "adoption_within": overview.by}
    return {**meta, "left_out": overview.left_out}


def _summary(overview: Overview, judged: Sequence[dict[str, Any]]) -> str:
    bad = {(row["project_id"], row["release"]) for row in judged if row["status"] is Word.BAD}
    releases = counted(len({(row.project_id, row.release) for row in overview.rows}), "release")
    if overview.by is not None:
        releases = f"{counted(len(overview.rows), 'row')} by {overview.by}, {releases}"
    projects = counted(len({row.project_id for row in overview.rows}), "project")
    told = [
        releases,
        *([f"{len(bad)} bad"] if bad else []),
        projects,
        counted(overview.files, "file"),
    ]
    return ", ".join(told)


def _warnings(overview: Overview) -> tuple[str, ...]:
    warnings = empty_warnings(overview.empty_files)
    warnings += invalid_warnings(overview.invalid_rows)
    scope, window = overview.scope, overview.scope.summary
    if overview.newest is not None and not window.start <= overview.newest < window.end:
        # ``latest`` ignores metrics that are later than the clock.
        ahead = overview.newest > clock.now()
        now = iso(overview.newest + timedelta(seconds=1)) if ahead else "latest"
        warnings.append(
            f"no session in the window; the newest session metric is from {iso(overview.newest)}:"
            f" ask about that time with --now {now}"
        )
    unseen = [row for row in overview.rows if row.total_sessions_24h is None]
    if unseen:
        names = ", ".join(f"{row.project_id}/{printable(row.release)}" for row in unseen)
        where = (
            ""
            if scope.environments is None
            else f" in environment {environments_text(scope.environments)}"
        )
        if scope.where:
            where += f" with {', '.join(one for each in scope.where for one in each.texts())}"
        warnings.append(f"not seen in 90 days{where}: {names}")
    noun = "release" if overview.by is None else "row"
    warnings += left_out_warnings(overview.left_out, noun)
    return tuple(warnings)
