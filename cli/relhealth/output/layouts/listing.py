"""A listing laid out for rendering: releases, projects, adoption stages."""

from typing import Any

from relhealth.core.windows import iso
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
from relhealth.output.layouts.stages import STAGES
from relhealth.output.report import Column, Report, Table, records_table
from relhealth.questions.adoption_stages import ReleaseStage
from relhealth.questions.listing import Listing

# In reading order: a narrow terminal keeps the first ones.
_HEADINGS = {
    "project_id": "Proj.",
    "release": "Release",
    "environment": "Environment",
    "total_sessions": "Sessions",
    "total_users": "Users",
    "crash_free_sessions": "Crash\nfree\nsessions",
    "crash_free_sessions_change": "Change",
    "crash_free_users": "Crash\nfree\nusers",
    "crash_free_users_change": "Change,\nusers",
    "previous_crash_free_sessions": "Crash free\nsessions\nbefore",
    "previous_crash_free_users": "Crash free\nusers\nbefore",
    "sessions_adoption": "Sessions\nadoption",
    "adoption": "Adoption",
    "adoption_stage": "Stage",
    "first_seen": "First seen",
    "last_seen": "Last seen",
    "has_health_data": "Has\ndata",
    "sessions_6h": "Sessions\n6h",
    "environment_sessions_6h": "Environment\nsessions 6h",
    "first_adopted": "First adopted",
    "last_adopted": "Last adopted",
}
# Enough where the width is not known, of each command.
_MAIN = {
    "releases": (
        "project_id", "release", "total_sessions", "total_users", "crash_free_sessions",
        "adoption", "adoption_stage",
    ),
    "projects": (
        "project_id", "total_sessions", "total_users", "crash_free_sessions",
        "crash_free_sessions_change", "crash_free_users", "crash_free_users_change",
    ),
    "adoption": (
        "project_id", "release", "environment", "sessions_adoption", "adoption_stage",
        "sessions_6h", "last_adopted",
    ),
}  # fmt: skip


def listing_report(
    listing: Listing[Any], command: str, noun: str, *, latest: bool = False, grouped: bool = False
) -> Report:
    """Lay out the answer of a command; ``noun`` says what a row is.

    ``latest`` is true for a question about the newest data, and ``grouped`` if the projects are one
    after another.
    """
    units = listing.kind.UNITS
    report = Report(
        meta=scope_meta(
            command,
            listing.scope,
            period=listing.period,
            window=listing.window,
            files=listing.files,
            invalid_rows=listing.invalid_rows,
            left_out=listing.left_out,
        ),
        data=[plain(row) for row in listing.to_dicts()],
        tables=(
            Table(
                title=title(listing.period, listing.window, listing.scope),
                columns=tuple(
                    Column(name, units[name], heading)
                    for name, heading in _HEADINGS.items()
                    if name in units
                ),
                rows=[_shown(row) for row in listing.to_dicts()],
                stable=tuple(units),
                main=_MAIN.get(command),
                group="project_id" if grouped else None,
            ),
        ),
        summary=", ".join(
            [
                counted(len(listing), noun),
                *([] if noun == "project" else [_projects(listing)]),
                counted(listing.files, "file"),
            ]
        ),
        window=window_text(listing.window),
        warnings=(
            *invalid_warnings(listing.invalid_rows),
            *([_nothing(listing, latest=latest)] if not listing.rows else []),
            *left_out_warnings(listing.left_out, noun),
        ),
        records=records_table(units, listing.to_dicts()),
    )
    rows = list(listing.to_dicts()) if "total_users" in units else []
    return without_users(
        report,
        sessions=sum(row["total_sessions"] or 0 for row in rows),
        users=sum(row["total_users"] or 0 for row in rows),
    )


def _projects(listing: Listing[Any]) -> str:
    return counted(len({row.project_id for row in listing.rows}), "project")


def _nothing(listing: Listing[Any], *, latest: bool) -> str:
    what = "release" if listing.kind is ReleaseStage else "session"
    return f"no {what} found; {elsewhere(latest=latest)}"


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its instants as text."""
    return {name: iso(v) if hasattr(v, "isoformat") else v for name, v in row.items()}


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row for people."""
    shown = dict(row)
    if "environment" in row:
        shown["environment"] = or_none(row["environment"])
    if row.get("adoption_stage") is not None:
        shown["adoption_stage"] = STAGES[row["adoption_stage"]]
    return shown
