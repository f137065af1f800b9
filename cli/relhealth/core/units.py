"""What the values of a column are."""

from enum import Enum, auto


class Unit(Enum):
    """What the values of a column are, which decides how a format writes them."""

    PROJECT = auto()  # an id
    RELEASE = auto()  # a name
    TEXT = auto()
    COUNT = auto()
    PERCENT = auto()  # 0 to 100
    CRASH_FREE = auto()  # percent, good when high
    SHARE = auto()  # percent of a whole
    CHANGE = auto()  # percentage points, signed
    RATIO = auto()  # 0 to 1, told to people in percent
    SECONDS = auto()
    FLAG = auto()
    INSTANT = auto()
    SERIES = auto()  # {period: [[epoch seconds, count], ...]}
    FIGURE = auto()  # a figure as text already, for people alone
    VERDICT = auto()  # pass, fail, inconclusive
