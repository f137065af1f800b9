"""The status of releases laid out for rendering: a word, a name, a sentence."""

from collections.abc import Mapping

from relhealth.core.numerals import percent, points, seconds
from relhealth.core.printable import printable
from relhealth.core.units import Unit
from relhealth.core.words import counted
from relhealth.gate.glance import Word
from relhealth.gate.metrics import METRICS, Duration
from relhealth.gate.status import PERIOD, ReleaseStatus
from relhealth.gate.wording import percent_bound, percent_limit
from relhealth.output.layouts.listing import plain
from relhealth.output.layouts.no_users import without_users
from relhealth.output.layouts.scope import (
    elsewhere,
    invalid_warnings,
    scope_meta,
    title,
    window_text,
)
from relhealth.output.report import Column, Report, Table, records_table
from relhealth.questions.adoption_stages import Stage
from relhealth.questions.listing import Listing

_STAGES = {
    Stage.ADOPTED: "adopted",
    Stage.LOW_ADOPTION: "few use it",
    Stage.REPLACED: "being replaced",
}
_COLUMNS = (
    Column("project_id", Unit.PROJECT, "Proj."),
    Column("status", Unit.VERDICT, "Status"),
    Column("release", Unit.RELEASE, "Release"),
    Column("sentence", Unit.TEXT, "What is going on"),
)


def status_report(
    listing: Listing[ReleaseStatus],
    *,
    origin: str | None,
    latest: bool = False,
    before: Mapping[tuple[int, str], Word] | None = None,
) -> Report:
    """Lay out the status; ``origin`` is the file of the policy.

    ``before`` has the words of an earlier look, to mark what changed since.
    """
    rows = [
        {
            "project_id": row.project_id,
            "status": row.status.upper(),
            "release": row.release,
            "sentence": f"{_since(row, before)}{sentence(row)}",
        }
        for row in listing.rows
    ]
    words = [row.status for row in listing.rows]
    told = [f"{words.count(word)} {word}" for word in Word if word in words]
    report = Report(
        meta=scope_meta(
            "status",
            listing.scope,
            period=listing.period,
            window=listing.window,
            files=listing.files,
            invalid_rows=listing.invalid_rows,
        )
        | {"policy": origin},
        data=[plain(row.to_dict()) for row in listing.rows],
        tables=(
            Table(
                title(listing.period, listing.window, listing.scope),
                _COLUMNS,
                rows,
                group="project_id",
                below="sentence",
            ),
        ),
        summary=", ".join([counted(len(rows), "release"), *told]),
        window=window_text(listing.window),
        warnings=(
            *invalid_warnings(listing.invalid_rows),
            *([] if rows else [f"no release found; {elsewhere(latest=latest)}"]),
        ),
        records=records_table(ReleaseStatus.UNITS, [row.to_dict() for row in listing.rows]),
    )
    return without_users(
        report,
        sessions=sum(row.total_sessions or 0 for row in listing.rows),
        users=sum(row.total_users or 0 for row in listing.rows),
        judges=True,
    )


def sentence(row: ReleaseStatus) -> str:
    """Return what is going on with a release, in one sentence."""
    if row.status is Word.NO_DATA:
        return row.reason
    parts = [_figure(row)]
    if row.change is not None and row.prevailing is not None:
        parts.append(f"{_in_a_day(row)}{_compared(row.change, row.prevailing)}")
    stage = "" if row.adoption_stage is None else f", {_STAGES[row.adoption_stage]}"
    if row.adoption is not None:
        parts.append(f"{percent(row.adoption)} of users{stage}")
    elif row.sessions_adoption is not None:
        parts.append(f"{percent(row.sessions_adoption)} of sessions{stage}")
    many = counted(row.total_sessions or 0, "session")
    users = f" of {counted(row.total_users, 'user')}" if row.total_users else ""
    newest = "" if row.age is None else f", newest {seconds(max(0.0, row.age))} ago"
    parts.append(f"{many}{users}{newest}")
    return "; ".join(parts)


def _figure(row: ReleaseStatus) -> str:
    metric = METRICS[row.metric] if row.metric is not None else None
    if metric is None or isinstance(metric, Duration) or row.figure is None or row.target is None:
        return row.reason.rstrip(".")
    words = metric.name.replace("_", " ").replace("crash free", "crash-free")
    within = "" if row.judged_period == PERIOD else f" in {row.judged_period}"
    text = f"{percent(row.figure)} {words}{within}"
    limit = row.critical if row.critical is not None else row.target
    upper, lower = metric.good, not metric.good
    match row.status:
        case Word.BAD:
            bound = row.upper if upper else row.lower
            told = _bound(bound, limit, upper=upper)
            return f"{text}, {told} (bad {'below' if upper else 'above'} {percent_limit(limit)})"
        case Word.OK:
            bound = row.lower if upper else row.upper
            told = _bound(bound, row.target, upper=lower)
            return f"{text}, {told} (target {percent_limit(row.target)})"
        case _:
            if row.lower is None or row.upper is None:
                return f"{text}; {row.reason}"
            if (row.upper < limit) if upper else (row.lower > limit):
                told = _bound(row.upper if upper else row.lower, limit, upper=upper)
                side = f"{'below' if upper else 'above'} {percent_limit(limit)}"
                return f"{text}, {told} (bad {side}), but by chance, perhaps, among so many checks"
            ends = (
                percent_bound(row.lower, None, upper=False),
                percent_bound(row.upper, None, upper=True),
            )
            limits = f"target {percent_limit(row.target)}"
            return f"{text}, between {ends[0]} and {ends[1]} ({limits})"


def _in_a_day(row: ReleaseStatus) -> str:
    """Return the figure that is compared, if it is another than the judged one."""
    day = row.crash_free_sessions
    if day is None or (row.figure is not None and percent(day) == percent(row.figure)):
        return ""
    return f"{percent(day)} in 24 h, "


def _bound(value: float | None, limit: float, *, upper: bool) -> str:
    if value is None:
        return "without a bound"
    most = "at most" if upper else "at least"
    return f"{most} {percent_bound(value, limit, upper=upper)}"


def _compared(change: float, prevailing: str) -> str:
    name = printable(prevailing.rpartition("@")[2] or prevailing)
    if round(abs(change), 2) == 0:
        return f"as {name}"
    size = points(abs(change)).lstrip("+")
    return f"{size} points {'better' if change > 0 else 'worse'} than {name}"


def _since(row: ReleaseStatus, before: Mapping[tuple[int, str], Word] | None) -> str:
    if before is None:
        return ""
    was = before.get((row.project_id, row.release))
    if was is None:
        return "new: "
    return "" if was is row.status else f"was {was.upper()}: "
