"""Answers of the sessions API: sessions by hour, project, release and environment."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from relhealth.core.errors import DataError, QuestionError
from relhealth.core.printable import excerpt
from relhealth.core.windows import HOUR, floor_to, iso, parse_instant
from relhealth.datasets.contract import MOST_COUNT

FIELD = "sum(session)"
STATUS = "session.status"
GROUPS = ("project", "release", "environment")
STATUSES = ("healthy", "errored", "crashed", "abnormal", "unhandled")

_MOST_ID = 2**63 - 1


class Window(NamedTuple):
    """Full hours, from the first up to the end."""

    start: datetime
    end: datetime

    @property
    def hours(self) -> int:
        """How many they are."""
        return int((self.end - self.start) / timedelta(hours=1))


class Key(NamedTuple):
    """What is counted together; the hour by its start, without a release or environment None."""

    hour: datetime
    project: int
    release: str | None
    environment: str | None


class Count(NamedTuple):
    """Sessions of one key, of one status if the question was grouped by it."""

    key: Key
    status: str | None
    sessions: int


class _Group(msgspec.Struct):
    by: dict[str, str | int | None]
    series: dict[str, list[int | float | None]]


class _Answer(msgspec.Struct):
    intervals: list[str]
    groups: list[_Group]


class Answer(NamedTuple):
    """One page: how many groups of sessions, over how many hours, and their counts but zeros."""

    groups: int
    hours: int
    counts: list[Count]


_decode = msgspec.json.Decoder(_Answer).decode


def read(body: bytes, window: Window, settled: datetime, *, by_status: bool) -> Answer:
    """Return the counts of an answer, within a window.

    Every hour before ``settled`` must be in it. Raises ``DataError`` for anything but an answer of
    the sessions API, and for statuses that relhealth does not know.
    """
    try:
        found = _decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        why = str(error) if isinstance(error, msgspec.ValidationError) else "it is not JSON"
        beginning = excerpt(body[:200].decode(errors="replace"), 60)
        raise DataError(
            f"Sentry: no answer of the sessions API ({excerpt(why, 200)}); it begins"
            f" {beginning!r}; check the address"
        ) from None
    hours = [_hour(text) for text in found.intervals]
    lacking = _lacking(hours, window, settled)
    if lacking is not None:
        raise DataError(f"Sentry: the answer lacks the hour of {iso(lacking)}; nothing is known")
    counts = [count for group in found.groups for count in _counts(group, hours, window, by_status)]
    bases = {tuple(group.by.get(name) for name in GROUPS) for group in found.groups}
    return Answer(len(bases), len(hours), counts)


def projects(body: bytes) -> list[int]:
    """Return the projects of an answer that is grouped by them."""
    try:
        return sorted({_project(group.by.get("project")) for group in _decode(body).groups})
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise DataError("Sentry: no answer of the sessions API; check the address") from None


def _hour(text: str) -> datetime:
    try:
        instant = parse_instant(text, or_latest=False)
    except QuestionError:
        raise DataError(f"Sentry: {excerpt(text)!r} is no time; check the address") from None
    if instant != floor_to(instant, HOUR):
        raise DataError(f"Sentry: an interval at {iso(instant)} is no full hour")
    return instant


def _lacking(hours: list[datetime], window: Window, settled: datetime) -> datetime | None:
    """Return the first hour of a window that an answer lacks; the current one can be missing."""
    known, hour = set(hours), window.start
    while hour < min(window.end, settled):
        if hour not in known:
            return hour
        hour += timedelta(hours=1)
    return None


def _counts(
    group: _Group,
    hours: list[datetime],
    window: Window,
    by_status: bool,  # noqa: FBT001 - passed on
) -> Iterator[Count]:
    series = group.series.get(FIELD)
    if series is None or len(series) != len(hours):
        raise DataError(f"Sentry: a group without one {FIELD} for each hour; check the address")
    project = _project(group.by.get("project"))
    release, environment = (_text(group.by.get(name)) for name in GROUPS[1:])
    status = _status(group.by.get(STATUS)) if by_status else None
    for hour, value in zip(hours, series, strict=True):
        sessions = _sessions(value)
        if sessions and window.start <= hour < window.end:
            yield Count(Key(hour, project, release, environment), status, sessions)


def _project(given: object) -> int:
    if isinstance(given, str) and given.isascii() and given.isdecimal() and len(given) < 20:  # noqa: PLR2004 - int64
        given = int(given)
    if not isinstance(given, int) or not 0 <= given <= _MOST_ID:
        raise DataError(f"Sentry: a group of project {excerpt(repr(given))}; expected its id")
    return given


def _text(given: object) -> str | None:
    return None if given in {None, ""} else str(given)


def _status(given: object) -> str:
    if given not in STATUSES:
        raise DataError(
            f"Sentry: unknown session status {excerpt(repr(given))}; known are"
            f" {', '.join(STATUSES)}; nothing of this window was added"
        )
    return str(given)


def _sessions(value: float | None) -> int:
    if value is None:
        return 0
    if not 0 <= value <= MOST_COUNT or value != int(value):
        raise DataError(f"Sentry: {value!r} sessions; expected a whole number up to 2^32")
    return int(value)
