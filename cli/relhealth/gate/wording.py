"""Bounds and limits in words: a printed bound is on the same side of its limit as the true one.

It rounds a bound outwards, a lower one down and an upper one up, so that "at least" and "at most"
are true for the printed number. It adds digits until the number differs from the limit.
"""

import math
from collections.abc import Iterable

from relhealth.core.numerals import percent, seconds
from relhealth.core.words import counted
from relhealth.gate.metrics import Metric

_MORE = 13  # more decimals than usual, enough to distinguish any two doubles
_SIZES = ((3_600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


def percent_bound(value: float, limit: float | None, *, upper: bool) -> str:
    """Return a bound in percent, with two or more decimals: 0% and 100% only if exact."""
    if value in {0, 100}:
        return f"{value:.0f}%"
    return f"{_outward(value, (0, 100, limit), 2, upper=upper)}%"


def points_bound(worse: float, limit: float, *, upper: bool) -> str:
    """Return a bound of a difference in percentage points, in words; positive means worse."""
    small = 0 < abs(worse) < 0.1  # noqa: PLR2004 - two digits, as ``points`` has
    text = _outward(worse, (0, limit), 1 - _exponent(worse) if small else 2, upper=upper)
    return _better_or_worse(f"{text.removeprefix('-')} points", worse, upper=upper)


def more_bound(more: float, limit: float, *, upper: bool) -> str:
    """Return a bound of how many more bad events there are, in percent, in words."""
    if more == math.inf:
        return "any number more"
    decimals = 0 if abs(more) >= 100 else 2  # noqa: PLR2004 - digits that mean something
    text = _outward(more, (0, limit), decimals, upper=upper)
    return _better_or_worse(
        f"{text.removeprefix('-')}%", more, upper=upper, words=("fewer", "more")
    )


def _better_or_worse(
    size: str, worse: float, *, upper: bool, words: tuple[str, str] = ("better", "worse")
) -> str:
    """Say on which side of 0 a bound is: an upper one above 0 is the most that it is worse."""
    most = upper == (worse > 0)
    return f"{'at most' if most else 'at least'} {size} {words[worse > 0]}"


def seconds_bound(value: float, limit: float | None, *, upper: bool) -> str:
    """Return a bound of a duration: three digits, or more, in the unit that suits it."""
    if value <= 0:
        return seconds(value)
    size, unit = _unit(value)
    own, its = value / size, None if limit is None else limit / size
    text = _outward(own, (0, its), max(0, 2 - _exponent(own)), upper=upper)
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} {unit}"


def happened(
    metric: Metric, bad: float, total: float, *, of: str = "", follow_up: str | None = None
) -> str:
    """Return what was counted, as a sentence, such as "14 of 168 users crashed".

    ``of`` names the release, where it is not the judged one.
    """
    bad, total = int(bad), int(total)
    if not metric.statuses:
        bad = total - bad
    whose = f" of {of}" if of else ""
    within = f" within {follow_up} of their first session" if follow_up else ""
    return f"{bad:,} of {counted(total, metric.trials[:-1])}{whose} {metric.happened}{within}."


def not_arrived(metric: Metric, late: float) -> str:
    """Return which share of the bad events, 0 to 1, is on its way, as a clause."""
    trials = f"{metric.trials} that {metric.happened}"
    return f"{percent(100 * late)} of the {trials} are probably not known yet"


def sureness(confidence: float, *, both: bool) -> str:
    """Return how sure one bound is, or both bounds together, given the confidence of each."""
    return f"{(2 * confidence - 1 if both else confidence) * 100:.6g}% sure"


def percent_limit(limit: float) -> str:
    """Return a target in percent, with all its digits."""
    return f"{limit:.12g}%"


def seconds_limit(limit: float) -> str:
    """Return a target of a duration, with all its digits."""
    size, _ = _unit(limit)
    short = float(f"{limit / size:.3g}")
    return seconds(limit) if short * size == limit else f"{limit:.12g} s"


def _outward(value: float, others: Iterable[float | None], fewest: int, *, upper: bool) -> str:
    """Return a value rounded outwards, with enough decimals to differ from other values."""
    apart = [other for other in others if other is not None]
    for decimals in range(fewest, fewest + _MORE):
        # Rounding first undoes binary noise (56.999999999999993 is 57).
        scaled = round(value * 10**decimals, 6)
        shown = (math.ceil(scaled) if upper else math.floor(scaled)) / 10**decimals
        if all(_side(shown, other) == _side(value, other) for other in apart):
            break
    return f"{shown:,.{decimals}f}"


def _side(value: float, other: float) -> int:
    return (value > other) - (value < other)


def _exponent(value: float) -> int:
    return math.floor(math.log10(abs(value)))


def _unit(value: float) -> tuple[float, str]:
    return next((one for one in _SIZES if value >= one[0]), _SIZES[-1])
