"""How old the newest sessions are, and what emptied an answer."""

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from relhealth.core.dimensions import Condition
from relhealth.core.errors import DataError, QuestionError
from relhealth.core.nearest import nearest
from relhealth.core.printable import printable
from relhealth.core.project_names import name_of
from relhealth.core.windows import HOUR, from_epoch_us, iso, parse_length, whole_window
from relhealth.engines import components
from relhealth.questions.asking import Asking
from relhealth.questions.known import EVER
from relhealth.questions.selection import Selection

_FEW = 10  # names in a message
_HOURS = 48  # up to which an age is in hours


def newest_sessions(
    asking: Asking,
    now: datetime,
    selected: Selection,
    since: datetime | None = None,
    releases: tuple[str, ...] = (),
) -> dict[int, datetime]:
    """Return the start of the newest session of each selected project, since 90 days ago."""
    scope = asking.scope(now, selected, releases=releases or None)
    start = scope.health.start if since is None else since
    # Up to the end of the hour, as every window.
    scope = scope.over(whole_window(start, now + timedelta(seconds=1), HOUR))
    newest: dict[int, datetime] = {}
    for row in asking.get(components.SEEN, scope):
        last, project = from_epoch_us(row["last_seen"]), row["project_id"]
        newest[project] = max(last, newest.get(project, last))
    return newest


def session_ages(asking: Asking, now: datetime, selected: Selection) -> dict[int, float]:
    """Return how many seconds ago the newest session of each selected project began."""
    newest = newest_sessions(asking, now, selected)
    return {project: (now - last).total_seconds() for project, last in newest.items()}


def refuse_stale(asking: Asking, now: datetime, selected: Selection, max_age: str) -> None:
    """Raise ``DataError`` if the newest session, or that of a selected project, is too old."""
    oldest = now - parse_length(max_age)
    # Only the hours that fresh data are in: looking for old data takes longer, and is rare.
    recent = newest_sessions(asking, now, selected, max(oldest, EVER))
    fresh = {project for project, last in recent.items() if last >= oldest}
    if fresh if selected.projects is None else fresh.issuperset(selected.projects):
        return
    newest = newest_sessions(asking, now, selected, EVER)
    where = _within(selected.environments)
    if selected.projects is None:
        found = {"the newest session": max(newest.values(), default=None)}
    else:
        stale = [one for one in selected.projects if one not in fresh]
        found = {f"project {_named(one)}: the newest session": newest.get(one) for one in stale}
    if None in found.values():
        explain_empty(asking, now, selected, now)
    raise DataError(
        [
            f"{what}{where} is from {iso(last)}, {_length(now - last)} ago; --max-age is {max_age}:"
            " does the feed still run?"
            if last is not None
            else f"{what}{where}: there is none; --max-age is {max_age}"
            for what, last in found.items()
        ]
    )


def explain_empty(
    asking: Asking,
    now: datetime,
    selected: Selection,
    since: datetime,
    releases: tuple[str, ...] = (),
) -> str | None:
    """Return that the period emptied an answer, which began at ``since``, if it did.

    ``releases`` are names of those that it is about, if only of some. Returns ``None`` without any
    other filter. Raises ``DataError`` if the filters match no session of 90 days.
    """
    projects, environments = selected.projects, selected.environments
    if projects is None and environments is None and not asking.where:
        return None
    known = _known(asking, now)
    of_rows = _with(asking.where)
    if not known and asking.where:
        raise DataError(f"no session{of_rows} in 90 days; {_values_instead(asking, now)}")
    if not known:
        return None
    of_projects = [pair for pair in known if projects is None or pair[0] in projects]
    if projects is not None and not of_projects:
        ids = sorted({project for project, _ in known})
        raise DataError(
            f"no session of project {_or(map(_named, projects))}{of_rows} in 90 days; there are:"
            f" {_some([_named(one) for one in ids])}"
        )
    if environments is not None and not any(one in environments for _, one in of_projects):
        of = "" if projects is None else f" of project {_or(map(_named, projects))}"
        names = _nearest_first(environments[0], {one for _, one in of_projects})
        raise DataError(
            f"no session{of} in environment {_or(map(_or_none, environments))}{of_rows} in 90"
            f" days; there are: {_some([_or_none(one) for one in names])}"
        )
    last = max(newest_sessions(asking, now, selected, releases=releases).values(), default=None)
    if last is None and releases:
        of = "" if projects is None else f" of project {_or(map(_named, projects))}"
        raise DataError(
            f"no session of release {_or(map(printable, releases))}{of}{_within(environments)}"
            f"{of_rows} in 90 days"
        )
    if last is None or last >= since:
        return None
    return f"no session in the window; the newest that the filters match is from {iso(last)}"


def _known(asking: Asking, now: datetime) -> set[tuple[int, str]]:
    """Return the projects and environments with sessions in 90 days."""
    scope = asking.scope(now)
    rows = asking.get(components.SESSIONS_BY_GROUP, scope, group_by={"project", "environment"})
    return {(row["project_id"], row["environment"]) for row in rows}


def _values_instead(asking: Asking, now: datetime) -> str:
    """Return the values of a dimension whose condition matches none of them, the nearest first."""
    everything = asking.of_all_rows()
    for one in asking.where:
        scope = replace(everything.scope(now), by=(one.column,))
        group = {"environment"}  # which ``by`` takes the place of
        with suppress(QuestionError):  # too many values to list
            rows = everything.get(components.SESSIONS_BY_GROUP, scope, group_by=group)
            values = {row["environment"] for row in rows}
            if values and not any(map(one.holds, values)):
                names = [_or_none(name) for name in _nearest_first(one.values[0], values)]
                return f"values of {printable(one.column)}: {_some(names)}"
    return "inspect shows what there is"


def _nearest_first(name: str, known: Collection[str]) -> list[str]:
    near = nearest(name, sorted(known)) if name else []
    return [*near, *sorted(set(known).difference(near))]


def _within(environments: tuple[str, ...] | None) -> str:
    return "" if environments is None else f" in environment {_or(map(_or_none, environments))}"


def _with(where: Iterable[Condition]) -> str:
    texts = ", ".join(printable(text) for one in where for text in one.texts())
    return f" with {texts}" if texts else ""


def _or_none(name: str) -> str:
    return printable(name) or "none"


def _named(project: int) -> str:
    name = name_of(project)
    return str(project) if name is None else f"{printable(name)} ({project})"


def _or(words: Iterable[str]) -> str:
    return " or ".join(words)


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_FEW])
    return f"{shown} and {len(names) - _FEW:,} more" if len(names) > _FEW else shown


def _length(age: timedelta) -> str:
    hours = age / timedelta(hours=1)
    return f"{hours:,.1f} h" if hours < _HOURS else f"{hours / 24:,.1f} days"
