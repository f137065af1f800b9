"""When a rule may pass a release: after so many sessions or users, or at some adoption."""

from typing import TYPE_CHECKING

from relhealth.core.numerals import percent
from relhealth.core.words import counted
from relhealth.gate.policy import Rule
from relhealth.questions.overview import ReleaseOverview

if TYPE_CHECKING:
    from relhealth.gate.verdict import Judgement


def has_begun(rule: Rule, row: ReleaseOverview) -> bool:
    """Tell whether a rule may pass a release; imports nothing heavy."""
    enough = (row.total_sessions or 0) >= rule.min_sessions
    return enough and (row.total_users or 0) >= rule.min_users and _begun(rule, row)


def too_early(rule: Rule, row: ReleaseOverview) -> "Judgement | None":
    """Return why a rule does not yet pass a release, whatever the bounds, or None."""
    from relhealth.gate.verdict import waiting

    if rule.when is not None and not _begun(rule, row):
        return waiting(_until(rule, row))
    for least, have, what in (
        (rule.min_sessions, row.total_sessions or 0, "session"),
        (rule.min_users, row.total_users or 0, "user"),
    ):
        if have < least:
            more = counted(least - have, f"more {what}")
            of_least = f"{counted(have, what)} of at least {least:,}"
            return waiting(f"{of_least}: {more} needed", needed=least - have)
    return None


def _adoption(row: ReleaseOverview) -> tuple[float, str]:
    """Return the release's adoption: of users, or of sessions if the project has no users."""
    if row.total_project_users_24h:
        return row.adoption or 0, ""
    return row.sessions_adoption or 0, " of sessions"


def _begun(rule: Rule, row: ReleaseOverview) -> bool:
    when = rule.when
    if when is None:
        return True
    reached = (
        (when.adoption, _adoption(row)[0]),
        (when.users, row.total_users),
        (when.sessions, row.total_sessions),
    )
    return any(limit is not None and (have or 0) >= limit for limit, have in reached)


def _until(rule: Rule, row: ReleaseOverview) -> str:
    if rule.when is None:
        raise AssertionError("a rule without a beginning has begun")
    waits, have = [], []
    if rule.when.adoption is not None:
        waits.append(f"{rule.when.adoption:g}% adoption")
        adoption, of_what = _adoption(row)
        have.append(f"{percent(adoption)}{of_what}")
    if rule.when.users is not None:
        waits.append(counted(rule.when.users, "user"))
        have.append(counted(row.total_users or 0, "user"))
    if rule.when.sessions is not None:
        waits.append(counted(rule.when.sessions, "session"))
        have.append(counted(row.total_sessions or 0, "session"))
    return f"waits for {' or '.join(waits)}; so far {', '.join(have)}"
