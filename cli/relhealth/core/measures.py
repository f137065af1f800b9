"""Figures of arrays: distinct values, and percentiles equal to ``quantile_cont`` to the bit."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from math import ceil, floor, fsum
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Members = npt.NDArray[np.uint64]
Durations = npt.NDArray[np.float64]
_BITS = 64  # of a duration
_FINER = 16  # bits that separate a bin from its neighbours
_OF_SECOND = 50  # bits after the point of a duration in a sum
_MOST_SUMMED = float(1 << 40)  # seconds; longer ones do not fit into such a sum
_HALF = 0.5
_SPLIT = 45  # bits of the low part of a duration in a sum
_AT_ONCE = 1 << 17  # durations whose low parts have a sum within 64 bits


def distinct(parts: Sequence[Members]) -> int:
    """Return the number of distinct members."""
    if not parts:
        return 0
    members = np.concatenate(parts)
    members.sort()
    return int(np.count_nonzero(members[1:] != members[:-1])) + (len(members) > 0)


def unique(parts: Sequence[Members]) -> Members:
    """Return the distinct members, sorted; the first ``np.unique`` takes 20 ms for imports."""
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
    """Return percentiles of ``n`` durations, with linear interpolation.

    Each call of ``parts`` returns all durations again. At most ``most`` of them are sorted at
    once.
    """
    if not n:
        return [None] * len(fractions)
    return _linear(n, fractions, _values(n, parts, _ranks(n, fractions), most))


def durations_at(
    n: int, parts: Callable[[], Iterable[Durations]], fractions: Sequence[float], most: int
) -> list[float]:
    """Return the duration at each fraction of ``n`` sorted durations, one or more.

    The fraction (r - 0.5) / n is at rank r. Other parameters are as in ``percentiles``.
    """
    places = [max(1, n - floor(n - n * fraction)) - 1 for fraction in fractions]
    at = _values(n, parts, sorted(set(places)), most)
    return [at[place] for place in places]


def mean(parts: Callable[[], Iterable[Durations]]) -> tuple[float, float]:
    """Return the mean of durations, one or more, and the longest, as the templates do.

    It sums integers in units of 2^-50 s, so the order does not matter.
    """
    longest = max(float(part.max()) for part in parts() if len(part))
    n = sum(len(part) for part in parts())
    if longest > _MOST_SUMMED:
        return fsum(float(value) / n for part in parts() for value in part), longest
    total = 0
    for part in parts():
        scaled = part * float(1 << _OF_SECOND)
        whole = np.floor(scaled)
        whole += scaled - whole >= _HALF
        high = np.floor(whole / float(1 << _SPLIT))
        low = (whole - high * float(1 << _SPLIT)).astype(np.int64)
        for start in range(0, len(part), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            total += int(low[some].sum()) + (int(high[some].astype(np.int64).sum()) << _SPLIT)
    return mean_of(total, n), longest


def mean_of(total: int, n: int) -> float:
    """Return the mean of ``n`` durations from their sum in units of 2^-50 s."""
    # DuckDB converts each half of 128 bits to a double.
    found = float(total & (1 << _BITS) - 1) + float(total >> _BITS) * float(1 << _BITS)
    return found / float(1 << _OF_SECOND) / n


def between(
    n: int, fractions: Sequence[float], below: Sequence[float], above: Sequence[float]
) -> list[float]:
    """Return percentiles of ``n`` durations from those at the ranks on both sides of each."""
    places = [(n - 1) * fraction for fraction in fractions]
    return [
        _between(low, high, place - floor(place))
        for place, low, high in zip(places, below, above, strict=True)
    ]


def _values(
    n: int, parts: Callable[[], Iterable[Durations]], ranks: Sequence[int], most: int
) -> Mapping[int, float]:
    """Return the values at some ranks."""
    if n > most:
        return _at_ranks(parts, ranks, most)
    values = np.concatenate(list(parts()))
    values.sort()
    return {rank: float(values[rank]) for rank in ranks}


def percentiles_of_whole(
    values: npt.NDArray[Any], scale: int, fractions: Sequence[float]
) -> list[float]:
    """Return percentiles of one or more durations, each ``values`` / ``scale``.

    This reorders the values.
    """
    ranks = _ranks(len(values), fractions)
    values.partition(ranks)
    return _linear(len(values), fractions, {rank: float(values[rank]) / scale for rank in ranks})


def _ranks(n: int, fractions: Sequence[float]) -> list[int]:
    """Return the ranks of the values on both sides of each percentile."""
    places = [(n - 1) * fraction for fraction in fractions]
    return sorted({rank for place in places for rank in (floor(place), ceil(place))})


def _linear(n: int, fractions: Sequence[float], at: Mapping[int, float]) -> list[Any]:
    """Return percentiles from the values at their ranks."""
    places = [(n - 1) * fraction for fraction in fractions]
    return [_between(at[floor(place)], at[ceil(place)], place - floor(place)) for place in places]


def _at_ranks(
    parts: Callable[[], Iterable[Durations]], ranks: Sequence[int], most: int
) -> dict[int, float]:
    """Return the values at some ranks: split bins until each is small enough to sort."""
    found: dict[int, float] = {}
    todo = [_Bin(0, _BITS, 0, tuple(ranks))]
    while todo:
        outer = todo.pop()
        counts = np.zeros(1 << _FINER, np.int64)
        for part in parts():
            counts += np.bincount(outer.inner(part), minlength=len(counts))
        ends = outer.before + np.cumsum(counts)
        for inner, some in _by_bin(ends, outer.ranks).items():
            one = outer.bin(inner, int(ends[inner] - counts[inner]), some)
            if not one.shift:  # all its values are the same
                found |= dict.fromkeys(some, one.value)
            elif counts[inner] <= most:
                values = np.sort(np.concatenate([one.of(part) for part in parts()]))
                found |= {rank: float(values[rank - one.before]) for rank in some}
            else:
                todo.append(one)
    return found


def _by_bin(ends: npt.NDArray[np.int64], ranks: Sequence[int]) -> dict[int, tuple[int, ...]]:
    places = np.searchsorted(ends, ranks, "right").tolist()
    return {
        one: tuple(rank for rank, place in zip(ranks, places, strict=True) if place == one)
        for one in set(places)
    }


class _Bin(NamedTuple):
    """The durations with the first bits ``first``: from 0 up, numbers sort like their bits."""

    first: int
    shift: int  # the number of bits after these
    before: int  # how many durations are in earlier bins
    ranks: tuple[int, ...]  # the ranks to find in this bin

    def of(self, part: Durations) -> Durations:
        """Return the durations in the bin."""
        if self.shift == _BITS:
            return part
        found: Durations = part[part.view(np.int64) >> np.int64(self.shift) == self.first]
        return found

    def inner(self, part: Durations) -> npt.NDArray[np.int64]:
        """Return the finer bin of each duration in this one."""
        bits = self.of(part).view(np.int64) >> np.int64(self.shift - _FINER)
        return bits & np.int64((1 << _FINER) - 1)

    def bin(self, inner: int, before: int, ranks: tuple[int, ...]) -> "_Bin":
        """Return one of the finer bins."""
        return _Bin(self.first << _FINER | inner, self.shift - _FINER, before, ranks)

    @property
    def value(self) -> float:
        """The duration of a bin of the finest kind, which has only one."""
        return float(np.array([self.first], np.int64).view(np.float64)[0])


def _between(low: float, high: float, way: float) -> float:
    """Interpolate between two values, rounded like DuckDB's fused multiply-add."""
    if low == high:
        return low
    return float(Fraction(low) * Fraction(1.0 - way) + Fraction(high * way))
