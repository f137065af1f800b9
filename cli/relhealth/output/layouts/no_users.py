"""Data without users, such as those from Sentry's API: an answer says so, and shows no 0 for it."""

from collections.abc import Collection, Mapping
from typing import Any

from relhealth.output.report import Report, Table

NO_USERS = "none of these sessions has a user: figures of users are missing, not 0"
INDEPENDENT = (
    "bounds take each session as independent, because data without users do not say which sessions"
    " depend on each other; deff in a policy widens them"
)


def without_users(
    report: Report,
    *,
    sessions: int,
    users: int,
    further: Collection[str] = (),
    judges: bool = False,
) -> Report:
    """Return a report that says so if its sessions have no users.

    ``further`` are columns with figures of users whose names do not say it. ``judges`` is true for
    an answer with bounds of sessions.
    """
    if users or not sessions:
        return report
    families = report.families and tuple(
        one for one in report.families if "_users" not in one.name or any(n for _, n in one.samples)
    )
    return report._replace(
        meta={**report.meta, "has_users": False},
        tables=tuple(_blank(table, further) for table in report.tables),
        warnings=(*report.warnings, NO_USERS, *([INDEPENDENT] if judges else [])),
        families=families,
    )


def _blank(table: Table, further: Collection[str]) -> Table:
    """Return a table without zeros of users."""
    names = {
        one.name
        for one in table.columns
        if one.name in further or "users" in one.name or "(user)" in one.name
    }
    return table._replace(rows=[_without_zeros(row, names, further) for row in table.rows])


def _without_zeros(
    row: Mapping[str, Any], names: Collection[str], further: Collection[str]
) -> dict[str, Any]:
    return {
        name: None if name in further or (name in names and value == 0) else value
        for name, value in row.items()
    }
