"""Counting sorted arrays: distinct values, and percentiles to the bit of ``quantile_cont``."""

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from math import ceil, floor

import numpy as np
import numpy.typing as npt

Members = npt.NDArray[np.uint64]
Durations = npt.NDArray[np.float64]
_COARSE = 48  # bits of a duration that its bin leaves out: 2^15 bins of non-negative numbers


def distinct(parts: Sequence[Members]) -> int:
    """Return how many different members there are."""
    return len(unique(parts))


def unique(parts: Sequence[Members]) -> Members:
    """Return the different members, sorted."""
    if not parts:
        return np.empty(0, np.uint64)
    members = np.concatenate(parts)
    members.sort()
    keep = np.ones(len(members), bool)
    np.not_equal(members[1:], members[:-1], out=keep[1:])
    return members[keep]


def percentiles(
    n: int, parts: Callable[[], Iterable[Durations]], fractions: Sequence[float], most: int
) -> list[float | None]:
    """Return percentiles of ``n`` durations, linear between neighbours.

    ``parts`` gives the durations anew each time it is called; at most ``most`` of them, or those
    of one bin, are sorted at once.
    """
    if not n:
        return [None] * len(fractions)
    places = [(n - 1) * fraction for fraction in fractions]
    ranks = sorted({rank for place in places for rank in (floor(place), ceil(place))})
    if n <= most:
        values = np.concatenate(list(parts()))
        values.sort()
        at = {rank: float(values[rank]) for rank in ranks}
    else:
        at = _at_ranks(parts, ranks)
    return [_between(at[floor(place)], at[ceil(place)], place - floor(place)) for place in places]


def _at_ranks(parts: Callable[[], Iterable[Durations]], ranks: Sequence[int]) -> dict[int, float]:
    """Return the values at some ranks: count coarse bins first, then sort those that matter."""
    bins = np.zeros(1 << (63 - _COARSE), np.int64)
    for part in parts():
        bins += np.bincount(_bin(part), minlength=len(bins))
    ends = np.cumsum(bins)
    found: dict[int, float] = {}
    for one in {int(np.searchsorted(ends, rank, "right")) for rank in ranks}:
        values = np.concatenate([part[_bin(part) == one] for part in parts()])
        values.sort()
        first = int(ends[one]) - len(values)
        found |= {
            rank: float(values[rank - first])
            for rank in ranks
            if first <= rank < first + len(values)
        }
    return found


def _bin(values: Durations) -> npt.NDArray[np.int64]:
    """The bits of numbers of 0 or more are in their order."""
    return values.view(np.int64) >> _COARSE


def _between(low: float, high: float, way: float) -> float:
    """Return what lies so far between two values, rounded as DuckDB's fused multiply-add does."""
    if low == high:
        return low
    return float(Fraction(low) * Fraction(1.0 - way) + Fraction(high * way))
