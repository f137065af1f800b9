"""Time: instants, the periods that a question can name, and their windows.

All windows are ``[start, end)`` in UTC. A start is rounded down and an end up to the window's
granularity on the epoch grid, as Sentry's sessions queries do.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from relhealth.core.errors import DataError, QuestionError
from relhealth.core.given import of_variable

HOUR = 3_600
DAY = 86_400

PERIODS = ("1h", "24h", "1d", "48h", "2d", "7d", "14d", "30d", "90d")  # the usual ones
HEALTH_DAYS = 90

_PERIOD = re.compile(r"([1-9][0-9]{0,3})([hd])", re.ASCII)
# The width of a series bucket, in seconds, over a period of at most so many seconds.
_INTERVALS = ((2 * DAY, HOUR), (30 * DAY, DAY), (HEALTH_DAYS * DAY, 3 * DAY))
_LENGTH = re.compile(r"(?P<number>[0-9]{1,6})(?P<unit>[smhdw])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": HOUR, "d": DAY, "w": 7 * DAY}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEARS = range(1971, 9998)  # so that every window around an instant is in the calendar


@dataclass(frozen=True, slots=True)
class Window:
    """A span of time ``[start, end)``, both UTC."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        """Refuse a window that ends before it starts."""
        if self.end < self.start:
            raise QuestionError(f"window ends ({self.end}) before it starts ({self.start})")

    def to_dict(self) -> dict[str, str]:
        """Return both ends as ISO 8601."""
        return {"start": iso(self.start), "end": iso(self.end)}

    def hull(self, other: "Window") -> "Window":
        """Return the smallest window that holds both."""
        return Window(min(self.start, other.start), max(self.end, other.end))

    def holds(self, other: "Window") -> bool:
        """Return whether another window is completely inside this one."""
        return self.start <= other.start and other.end <= self.end


EVER = Window(datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC))


def hull(windows: Sequence[Window]) -> Window:
    """Return the smallest window that holds all of one or more windows."""
    return Window(min(one.start for one in windows), max(one.end for one in windows))


def floor_to(instant: datetime, seconds: int) -> datetime:
    """Return the last multiple of ``seconds`` since the epoch that is not after ``instant``."""
    step = timedelta(seconds=seconds)
    return _EPOCH + (instant - _EPOCH) // step * step


def ceil_to(instant: datetime, seconds: int) -> datetime:
    """Return the first multiple of ``seconds`` since the epoch that is not before ``instant``."""
    floor = floor_to(instant, seconds)
    return floor if floor == instant else floor + timedelta(seconds=seconds)


def epoch(instant: datetime) -> int:
    """Return the seconds since the epoch, rounded down."""
    return (instant - _EPOCH) // timedelta(seconds=1)


def from_epoch_us(microseconds: int) -> datetime:
    """Return the instant that many microseconds after the epoch.

    Raises ``DataError`` for an instant outside the calendar.
    """
    try:
        return _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        raise DataError(
            f"a timestamp {microseconds:,} microseconds from 1970 lies outside the calendar"
        ) from None


def to_epoch_us(instant: datetime) -> int:
    """Return the microseconds since the epoch."""
    return (instant - _EPOCH) // timedelta(microseconds=1)


def iso(instant: datetime) -> str:
    """Return ISO 8601 with a ``Z``, with fractions only if there are any."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def parse_instant(value: datetime | str, *, or_latest: bool = True) -> datetime:
    """Read an instant from a ``datetime`` or ISO 8601 text; no zone means UTC.

    Raises ``QuestionError`` for other text; the message says if ``'latest'`` is possible too. Also
    raises it for instants outside the years 1971 to 9997.
    """
    if isinstance(value, str):
        try:
            instant = datetime.fromisoformat(value)
        except ValueError:
            latest = ", or 'latest'" if or_latest else ""
            raise QuestionError(
                f"{of_variable(value)}{value!r} is not an instant: expected ISO 8601 such as"
                f" 2026-11-18T10:32:15Z{latest}"
            ) from None
    elif isinstance(value, datetime):
        instant = value
    else:
        raise QuestionError(f"{value!r} is not an instant: expected a datetime or ISO 8601 text")
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    if instant.year not in _YEARS:
        raise QuestionError(
            f"{of_variable(value)}{str(value)!r} is out of range: expected a year from 1971 to 9997"
        )
    return instant.astimezone(UTC)


def check_period(period: str) -> str:
    """Return ``period`` if it is one: hours or days up to 90 days; else raise ``QuestionError``."""
    period_seconds(period)
    return period


def period_seconds(period: str) -> int:
    """Return the length of a period in seconds; raises ``QuestionError``."""
    found = _PERIOD.fullmatch(period) if isinstance(period, str) else None
    length = int(found[1]) * (HOUR if found[2] == "h" else DAY) if found else 0
    if not 0 < length <= HEALTH_DAYS * DAY:
        raise QuestionError(
            f"unknown period {period!r}: expected hours or days, up to 90d, such as 24h or 7d"
        )
    return length


def period_interval(period: str) -> int:
    """Return the width of a series bucket over a period, in seconds; raises ``QuestionError``."""
    length = period_seconds(period)
    return next(interval for most, interval in _INTERVALS if length <= most)


def parse_length(text: str) -> timedelta:
    """Read a length of time in seconds, minutes, hours, days or weeks: ``90m``, ``3h``.

    Raises ``QuestionError`` for other text.
    """
    match = _LENGTH.fullmatch(text) if isinstance(text, str) else None
    if match is None or int(match["number"]) == 0:
        raise QuestionError(f"{text!r} is not a length of time: expected one such as 90m, 3h or 2d")
    return timedelta(seconds=int(match["number"]) * _SECONDS[match["unit"]])


def whole_window(start: datetime, end: datetime, granularity: int) -> Window:
    """Return the smallest window around both instants in steps of ``granularity`` seconds."""
    return Window(floor_to(start, granularity), ceil_to(end, granularity))


def _back_from(now: datetime, seconds: int, granularity: int) -> Window:
    start = floor_to(now - timedelta(seconds=seconds), granularity)
    return Window(start, ceil_to(now, granularity))


def totals_window(now: datetime, period: str) -> Window:
    """Return the window of totals over ``period``, in full hours."""
    return _back_from(now, period_seconds(period), HOUR)


def adoption_window(now: datetime) -> Window:
    """Return the window of adoption: the last 24 hours, in full hours."""
    return _back_from(now, DAY, HOUR)


def recent_window(now: datetime) -> Window:
    """Return the window of adoption stages: the last 6 hours, in full hours."""
    return _back_from(now, 6 * HOUR, HOUR)


def health_window(now: datetime) -> Window:
    """Return the window of health data: the last 90 days, in full days."""
    return _back_from(now, HEALTH_DAYS * DAY, DAY)


def parse_window(start: datetime | str, end: datetime | str) -> Window:
    """Read a window from one instant to another; neither can be ``'latest'``."""
    return Window(parse_instant(start, or_latest=False), parse_instant(end, or_latest=False))


@dataclass(frozen=True, slots=True)
class Series:
    """The buckets of a time series: a period's window in steps of its interval."""

    period: str
    window: Window
    interval: int  # the width of a bucket in seconds

    @classmethod
    def back_from(cls, now: datetime, period: str) -> "Series":
        """Return the series over ``period`` up to ``now``, in full buckets of its interval."""
        interval = period_interval(period)
        return cls(period, _back_from(now, period_seconds(period), interval), interval)

    def starts(self) -> range:
        """Return the start of every bucket, in epoch seconds."""
        return range(epoch(self.window.start), epoch(self.window.end), self.interval)
