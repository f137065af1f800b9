"""Reads instants from SDKs, warehouses and spreadsheets as microseconds since 1970."""

import math
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LONGEST = 128  # characters of a text that can be an instant

TEXT = "text"
# Units of a number since 1970, separated by size: the instants of 1973 to 5138 in one unit are
# below or above those of every other. The upper limit of each unit, and its microseconds.
_UNITS = (
    (1e11, "epoch seconds", 1_000_000),
    (1e14, "epoch milliseconds", 1_000),
    (1e17, "epoch microseconds", 1),
)
_MOST_NANOSECONDS = 1e20
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]{1,2})?")
_CLOCK = r"([0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?)"
_OFFSET = r"[+-][0-9]{2}(?::?[0-9]{2})?"
# The year first, so that day and month cannot be confused; a blank may stand before the zone. Java
# and Go write the name of the zone after its offset, Go also what its other clock says.
_YEAR_FIRST = re.compile(
    rf"([0-9]{{4}})([-/])([0-9]{{1,2}})\2([0-9]{{1,2}})(?:[Tt ] *{_CLOCK})?"
    rf" *(?:(UTC|GMT)|(Z|z|{_OFFSET})(?: [A-Z]{{2,5}}| [+-][0-9]{{2,4}}|\[[A-Za-z0-9/_+-]+\])?"
    r"(?: m=[+-][0-9.]+)?)?"
)
# As JavaScript writes dates, perhaps with the name of their zone in brackets, and as C and Java do.
# A name alone is no zone: of CST, there are three.
_ZONE = rf"(?:(?:UTC|GMT|Z)({_OFFSET})?|({_OFFSET}))"
_JAVASCRIPT = re.compile(
    rf"([A-Z][a-z]{{2}}) ([A-Z][a-z]{{2}}) ([0-9]{{2}}) ([0-9]{{4}}) {_CLOCK} {_ZONE}(?: \(.*\))?"
)
_C = re.compile(
    rf"([A-Z][a-z]{{2}}) ([A-Z][a-z]{{2}}) {{1,2}}([0-9]{{1,2}}) {_CLOCK}(?: {_ZONE})? ([0-9]{{4}})"
)
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip
_COMPACT = re.compile(r"(?:19|20)[0-9]{6}(?:[0-9]{6})?")  # YYYYMMDD, YYYYMMDDHHMMSS
_MAIL = re.compile(
    r"(?:[A-Za-z]{3}, )?[0-9]{1,2} [A-Za-z]{3} [0-9]{4} [0-9]{2}:[0-9]{2}(:[0-9]{2})?"
    r" (?:GMT|UTC|UT|[+-][0-9]{4})"
)


def read_instant(value: object) -> tuple[int, str] | None:
    """Return microseconds since 1970, and the format of the instant; ``None`` if it is not one.

    Text is ISO 8601 or alike with the year first, the form of e-mail, of JavaScript, C and Java, or
    a number; without a zone it is in UTC. A number is of the unit that its size tells. Dates of
    other orders are ambiguous, and not read.
    """
    try:
        if isinstance(value, str):
            return _from_text(value)
        if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
            return _from_number(value)
    except (ValueError, OverflowError, ArithmeticError, IndexError, TypeError):
        return None
    return None


def epoch_us(value: object) -> int | None:
    """Return microseconds since 1970; ``None`` if it is not an instant."""
    found = read_instant(value)
    return None if found is None else found[0]


def _from_text(text: str) -> tuple[int, str] | None:
    text = text.strip()
    if not text or len(text) > _LONGEST:
        return None
    if text[0].isalpha() and (at := _weekday_first(text)) is not None:
        return _microseconds(at), TEXT
    if not text.isascii():
        return None
    if text.isdigit() and _COMPACT.fullmatch(text):
        at = datetime.fromisoformat(text if len(text) == 8 else f"{text[:8]}T{text[8:]}")  # noqa: PLR2004
        return _microseconds(at), TEXT
    if _NUMBER.fullmatch(text):
        return _from_number(int(text) if text.lstrip("+-").isdigit() else Decimal(text))
    try:
        return _microseconds(datetime.fromisoformat(text)), TEXT
    except ValueError:
        match = _YEAR_FIRST.fullmatch(text)
    if match is not None:
        return _microseconds(_from_parts(*match.group(1, 3, 4, 5, 7))), TEXT
    if _MAIL.fullmatch(text):
        return _microseconds(parsedate_to_datetime(text)), TEXT
    return None


def _weekday_first(text: str) -> datetime | None:
    """Return the instant of a text as JavaScript, C and Java write it; ``None`` for no such."""
    match = _JAVASCRIPT.fullmatch(text)
    if match is not None:
        weekday, month, day, year, clock, *zones = match.groups()
    elif (match := _C.fullmatch(text)) is not None:
        weekday, month, day, clock, *zones, year = match.groups()
    else:
        return None
    number = str(_MONTHS.index(month) + 1)
    at = _from_parts(year, number, day, clock, zones[0] or zones[1])
    on = _from_parts(year, number, day, None, None)
    return at if _WEEKDAYS[on.weekday()] == weekday else None


def _from_parts(year: str, month: str, day: str, clock: str | None, zone: str | None) -> datetime:
    hour, _, rest = (clock or "00:00").partition(":")
    later = timedelta(0)
    if hour == "24" and not rest.strip("0:.,"):  # the end of the day
        hour, later = "00", timedelta(days=1)
    if rest[3:5] == "60":  # a leap second, or one that was rounded
        rest, later = f"{rest[:3]}59{rest[5:]}", timedelta(seconds=1)
    zone = zone if zone is not None and zone[0] in "+-" else "+00:00"
    return datetime.fromisoformat(f"{year}-{month:0>2}-{day:0>2}T{hour:0>2}:{rest}{zone}") + later


def _microseconds(at: datetime) -> int:
    return ((at if at.tzinfo is not None else at.replace(tzinfo=UTC)) - _EPOCH) // _MICROSECOND


def _from_number(value: float | Decimal) -> tuple[int, str] | None:
    if not math.isfinite(value):
        return None
    if isinstance(value, int) and _COMPACT.fullmatch(str(value)):
        return _from_text(str(value))
    size = abs(float(value))
    for below, unit, microseconds in _UNITS:
        if size < below:
            return round(value * microseconds), unit
    return (int(value // 1000), "epoch nanoseconds") if size < _MOST_NANOSECONDS else None
