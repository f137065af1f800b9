"""An ingest from Sentry laid out for rendering."""

from relhealth.core.windows import iso
from relhealth.core.words import counted
from relhealth.ingest.sentry.run import FromSentry
from relhealth.output.layouts.ingestion import counts
from relhealth.output.layouts.reading import rejected_warnings
from relhealth.output.report import Report, counts_table, meta_of

NO_USERS = "Sentry's API has no users to read: figures of users are missing, not 0"


def from_sentry_report(found: FromSentry) -> Report:
    """Lay out what was read from Sentry, and what has changed."""
    totals = {
        "requests": found.requests,
        "days_changed": len(found.changed),
        "days_unchanged": len(found.unchanged),
        "days_settled": found.settled,
        "rejected": found.tally.rejected.total(),
        "sessions": found.sessions,
        "files": len(found.files),
    }
    data = {
        "start": iso(found.window.start),
        "end": iso(found.window.end),
        "requests": found.requests,
        "changed": list(found.changed),
        "unchanged": list(found.unchanged),
        "settled": found.settled,
        "rejected": dict(found.tally.rejected),
        "sessions": found.sessions,
        "statuses": dict(found.tally.statuses),
        "rows": dict(found.rows),
        "files": list(found.files),
        "has_users": False,
        "faults": list(found.faults),
    }
    days = counted(len(found.changed), "day")
    return Report(
        meta=meta_of("ingest"),
        data=data,
        tables=(
            counts_table("Read from Sentry", totals),
            *counts("By status", found.tally.statuses),
            *counts("Rejected", found.tally.rejected),
        ),
        summary=f"{days} changed, {counted(found.sessions, 'session')}; {NO_USERS}",
        warnings=tuple(rejected_warnings(found.tally)),
    )
