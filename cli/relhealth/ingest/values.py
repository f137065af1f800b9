"""Reads cells of tables and values of lenient JSON as text or numbers."""

import math
import re
from decimal import Decimal

from relhealth.ingest.instants import read_instant

# The words for "missing" of databases, spreadsheets and languages, in any case. A cell of
# blanks is missing too. No user, release or environment of a table can have such a name:
# a real one is far less likely than a missing value written as a word.
MISSING = frozenset(
    {
        "", "-", "--", "#n/a", "#na", "#n/a n/a", "n/a", "n.a.", "na", "nan", "-nan", "nat",
        "null", "\\n", "nil", "none", "undefined",
    }
)  # fmt: skip
_BRACKETS = {"<>", "()", "[]"}  # that can surround any of them
_LONGEST_WORD = max(map(len, MISSING))
# A 64-bit float is exact up to here; a larger id as a float can mean several
# users.
MOST_EXACT = 2**53 - 1
_MOST_INTEGER = 2**63 - 1

BREAKS = re.compile(r"[\n\r\t\f]")  # none of which a release has
BROKEN = "a release has no line end and no tab"

_INTEGRAL = re.compile(r"(-?[0-9]{1,16})\.0+")
_SCIENTIFIC = re.compile(r"-?[0-9](\.[0-9]+)?[eE]\+[0-9]{2,3}")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]{1,3})?")
_TRUTHS = {"true": 1, "false": 0}


class BadValueError(ValueError):
    """A value is not valid for its field; the message holds no part of the value."""


def is_missing(value: object) -> bool:
    """Return whether a cell is missing: null, NaN, blanks, or a usual word for it."""
    if value is None:
        return True
    if isinstance(value, str):
        return len(value) <= _LONGEST_WORD + 2 and _is_missing_word(value.strip().casefold())
    return isinstance(value, float | Decimal) and value != value  # noqa: PLR0124 - NaN


def _is_missing_word(word: str) -> bool:
    bracketed = word[:1] + word[-1:] in _BRACKETS
    return word in MISSING or (bracketed and word[1:-1] in MISSING)


def text_of(value: object) -> str | None:
    """Return the text of a cell; ``None`` if it is missing.

    The text of a number without a fraction is its digits: 101.0 is 101. Raises ``BadValueError``
    for other numbers, lists, objects, and text that is not Unicode.
    """
    if is_missing(value):
        return None
    if isinstance(value, str):
        if not is_unicode(value):
            raise BadValueError("not UTF-8")
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float | Decimal):
        return _digits(value)
    raise BadValueError("expected text, not a list or an object")


def release_of(value: object) -> str | None:
    """Return the release in a cell, as ``text_of``.

    Raises ``BadValueError`` for one of several lines or cells, too.
    """
    text = text_of(value)
    if text is not None and is_broken(text):
        raise BadValueError(BROKEN)
    return text


def is_broken(release: str) -> bool:
    """Tell whether a text holds what no release may: a line end or a tab."""
    return BREAKS.search(release) is not None


def id_of(value: object) -> str | None:
    """Return the id in a cell, like ``text_of``; the text of an integer is its digits.

    Raises ``BadValueError`` for true and false, and for floats that have lost digits.
    """
    if isinstance(value, bool):
        raise BadValueError("expected an id, not true or false")
    text = text_of(value)
    if text is None:
        return None
    text = text.strip()
    if text[-1] == "0":
        match = _INTEGRAL.fullmatch(text)
        if match is not None:
            if abs(int(match[1])) > MOST_EXACT:
                raise BadValueError("an id as a float has lost digits; write it as an integer")
            return "0" if match[1] == "-0" else match[1]
    if "+" in text and _SCIENTIFIC.fullmatch(text):
        raise BadValueError("an id as a float has lost digits; write it as an integer")
    return text


def _digits(value: float | Decimal) -> str:
    if not math.isfinite(value) or value != int(value):
        raise BadValueError("a number with a fraction is not text")
    if isinstance(value, float) and abs(value) > MOST_EXACT:
        raise BadValueError("an id as a float has lost digits; write it as an integer")
    return str(int(value))


def number_of(value: object) -> float | None:
    """Return the number in a cell; ``None`` if it is missing. Raises ``BadValueError``."""
    if is_missing(value):
        return None
    if isinstance(value, bool):
        raise BadValueError("expected a number")
    try:
        if isinstance(value, str):
            text = value.strip()
            if not text.isascii() or "_" in text:
                raise BadValueError("expected a number")
            return float(text)
        if isinstance(value, int | float | Decimal):
            return float(value)
    except (ValueError, OverflowError):
        raise BadValueError("expected a number") from None
    raise BadValueError("expected a number")


def duration_of(value: object) -> float | None:
    """Return seconds; ``None`` if they are missing. Raises ``BadValueError``."""
    seconds = number_of(value)
    if seconds is not None and not 0 <= seconds < math.inf:
        raise BadValueError("expected seconds of 0 or more")
    return seconds


def integer_of(value: object) -> int | None:
    """Return the integer in a cell; ``None`` if it is missing. Raises ``BadValueError``."""
    if is_missing(value):
        return None
    if isinstance(value, str):
        text = value.strip()
        value = Decimal(text) if _NUMBER.fullmatch(text) else None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise BadValueError("expected a whole number")
    if isinstance(value, int):
        if abs(value) > _MOST_INTEGER:
            raise BadValueError("expected a whole number")
        return value
    if not math.isfinite(value) or abs(float(value)) > _MOST_INTEGER or value != int(value):
        raise BadValueError("expected a whole number")
    if isinstance(value, float) and abs(value) > MOST_EXACT:
        raise BadValueError("a whole number as a float has lost digits")
    return int(value)


def count_of(value: object) -> int | None:
    """Return a count of 0 or more, 1 for true; ``None`` if it is missing.

    Raises ``BadValueError``.
    """
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str) and value.strip().casefold() in _TRUTHS:
        return _TRUTHS[value.strip().casefold()]
    count = integer_of(value)
    if count is not None and count < 0:
        raise BadValueError("expected a count of 0 or more")
    return count


def instant_of(value: object) -> tuple[int, str] | None:
    """Return microseconds since 1970 and the format of the cell; ``None`` if it is missing.

    Raises ``BadValueError`` if it is not an instant.
    """
    found = read_instant(value)
    if found is None:
        if is_missing(value):
            return None
        raise BadValueError("no readable time")
    return found


def is_unicode(text: str) -> bool:
    """Return whether a text can be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
