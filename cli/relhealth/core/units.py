"""The units of columns."""

from enum import Enum, auto


class Unit(Enum):
    """The unit of a column, which decides how a format writes its values."""

    PROJECT = auto()  # an id
    RELEASE = auto()  # a name
    TEXT = auto()
    COUNT = auto()
    PERCENT = auto()  # 0 to 100
    CRASH_FREE = auto()  # percent, good when high
    SHARE = auto()  # percent, a part of a total
    CHANGE = auto()  # percentage points, signed
    RATIO = auto()  # 0 to 1; formats for people show percent
    SECONDS = auto()
    FLAG = auto()
    INSTANT = auto()
    SERIES = auto()  # {period: [[epoch seconds, count], ...]}
    RATE_SERIES = auto()  # {period: [[epoch seconds, percent or None], ...]}, only for people
    FIGURE = auto()  # a figure that is already text, only for people
    FINDING = auto()  # worse, better, unclear …: text, only for people
    VERDICT = auto()  # pass, fail, inconclusive
