"""Reads hours of the sessions API in windows that fit its limit.

An answer has at most 10,000 points, groups times hours. Sentry says nothing of the groups beyond:
it leaves out the smallest. So an answer that reaches the limit counts for nothing; a window of half
the hours is read instead, and if one hour is too much, its projects one by one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from relhealth.core.errors import DataError
from relhealth.core.windows import HOUR, floor_to, iso
from relhealth.ingest.sentry import answers
from relhealth.ingest.sentry.answers import FIELD, GROUPS, STATUS, STATUSES, Key, Window
from relhealth.ingest.sentry.connection import (
    Connection,
    Page,
    Parameters,
    RefusedError,
    TooLargeError,
)

MOST_POINTS = 10_000
MOST_HOURS = 168  # of one question
_MOST_PAGES = 1_000
_ALL = -1  # projects


@dataclass(frozen=True, slots=True)
class Scope:
    """The projects and environments to read; none means all."""

    projects: tuple[int, ...] = ()
    environments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sessions:
    """The sessions of one key: how many began, how many had an error, and the worst ends."""

    begun: int
    errored: int  # with those below
    crashed: int
    abnormal: int
    unhandled: int


class TooManyError(Exception):
    """A window has more groups than an answer has room for."""


class Reader:
    """Reads windows, one after another; learns how many hours fit one question."""

    def __init__(self, connection: Connection, scope: Scope, now: datetime) -> None:
        """Read the sessions of a scope; hours that end after ``now`` still change."""
        self._connection = connection
        self._scope = scope
        self._settled = floor_to(now, HOUR)
        self._hours = MOST_HOURS

    @property
    def hours(self) -> int:
        """How many hours the next question will have."""
        return self._hours

    def read(self, window: Window) -> dict[Key, Sessions]:
        """Return the sessions of a window; raises ``DataError`` if it cannot be read."""
        found: dict[Key, Sessions] = {}
        start = window.start
        while start < window.end:
            piece = Window(start, min(window.end, start + timedelta(hours=self._hours)))
            try:
                found |= self._sessions(piece, self._scope.projects)
            except (TooManyError, TooLargeError):
                if piece.hours > 1:
                    self._hours = piece.hours // 2
                    continue
                found |= self._by_project(piece)
            start = piece.end
        return found

    def _by_project(self, window: Window) -> dict[Key, Sessions]:
        """Read an hour one project after another."""
        found: dict[Key, Sessions] = {}
        which = ""
        try:
            for project in self._scope.projects or self._projects(window):
                which = f" of project {project}"
                found |= self._sessions(window, [project])
        except (TooManyError, TooLargeError):
            raise DataError(
                f"Sentry: the hour of {iso(window.start)} has more releases{which} than the"
                " sessions API returns; name --environment, one run and one data set for each"
            ) from None
        return found

    def _projects(self, window: Window) -> list[int]:
        asked = [*self._asked(window, ()), ("groupBy", "project")]
        return answers.projects(self._connection.get(asked).body)

    def _sessions(self, window: Window, projects: Sequence[int]) -> dict[Key, Sessions]:
        by_status: dict[Key, dict[str, int]] = {}
        for (key, status), sessions in self._counts(window, projects, by_status=True).items():
            by_status.setdefault(key, {})[status or ""] = sessions
        begun = self._counts(window, projects, by_status=False)
        keys = by_status.keys() | {key for key, _ in begun}
        return {key: joined(begun.get((key, None), 0), by_status.get(key, {})) for key in keys}

    def _counts(
        self, window: Window, projects: Sequence[int], *, by_status: bool
    ) -> Mapping[tuple[Key, str | None], int]:
        """Return all counts of one question, page after page."""
        asked = [*self._asked(window, projects), *(("groupBy", name) for name in GROUPS)]
        if by_status:
            asked.append(("groupBy", STATUS))
        found: dict[tuple[Key, str | None], int] = {}
        for page in self._pages(asked, window):
            answer = answers.read(page.body, window, self._settled, by_status=by_status)
            for key, status, sessions in answer.counts:
                if (key, status) in found:
                    raise TooManyError  # the pages changed meanwhile
                found[key, status] = sessions
            if page.cursor is None and answer.groups >= MOST_POINTS // (answer.hours + 1):
                raise TooManyError
            if page.cursor is None and answer.groups < MOST_POINTS // (4 * window.hours + 1):
                self._hours = max(self._hours, min(MOST_HOURS, 2 * window.hours))
        return found

    def _pages(self, asked: Parameters, window: Window) -> Iterator[Page]:
        """Yield the pages of an answer."""
        cursors: list[str] = []
        while True:
            beside = [("cursor", cursors[-1])] if cursors else []
            try:
                page = self._connection.get([*asked, *beside])
            except RefusedError:
                if window.hours > 1:
                    raise TooManyError from None  # if it is for another reason, the last one says
                raise
            yield page
            if page.cursor is None:
                return
            if page.cursor in cursors or len(cursors) == _MOST_PAGES:
                raise DataError("Sentry: the pages of an answer have no end; nothing was added")
            cursors.append(page.cursor)

    def _asked(self, window: Window, projects: Sequence[int]) -> list[tuple[str, str]]:
        return [
            ("field", FIELD),
            ("interval", "1h"),
            ("start", _api_time(window.start)),
            ("end", _api_time(window.end)),
            *(("project", one) for one in map(str, projects or self._scope.projects or [_ALL])),
            *(("environment", one) for one in self._scope.environments),
        ]


def joined(begun: int, ends: Mapping[str, int]) -> Sessions:
    """Return the sessions of a key, from their number and from their number by status.

    Sentry's statuses are parts of the sessions that began: crashed, abnormal and unhandled ones,
    those that only had errors, and healthy ones. The last two are differences that Sentry does not
    let fall below 0, as when a crash came without its beginning. What had an error follows from
    either if it is above 0. If the two answers contradict each other, the hour changed between
    them: then the one by status counts, until the hour is read again.
    """
    healthy, only_errors, *worst = (ends.get(status, 0) for status in STATUSES)
    errored = only_errors + sum(worst)
    if not ends:
        return Sessions(begun, 0, 0, 0, 0)
    if healthy:
        rest = begun - healthy
        agree = rest == errored if only_errors else 0 <= rest <= errored
        errored = rest if agree else errored
    else:
        agree = begun <= errored
    return Sessions(begun if agree else healthy + errored, errored, *worst)


def _api_time(instant: datetime) -> str:
    return f"{instant:%Y-%m-%dT%H:%M:%S}"
