"""Counting arrays of a rollup: distinct users and sessions, percentiles of durations."""

from collections.abc import Sequence
from fractions import Fraction
from math import ceil, floor

import numpy as np

from relhealth.rollup.rows import Array

_FLAG_SHARE = 8  # an array of flags pays where there is a value for so many


def distinct(parts: Sequence[Array]) -> int:
    """Return how many values there are in several arrays."""
    if not parts:
        return 0
    values = _joined(parts)
    values.sort()
    return int(np.count_nonzero(values[1:] != values[:-1])) + (len(values) > 0)


def distinct_codes(parts: Sequence[Array], members: int) -> int:
    """Return how many codes there are in several arrays, each without repeats."""
    if len(parts) == 1:
        return len(parts[0])
    if sum(map(len, parts)) * _FLAG_SHARE < members:
        return distinct(parts)
    flags = np.zeros(members, bool)
    for part in parts:
        flags[part] = True
    return int(np.count_nonzero(flags))


def percentiles(parts: Sequence[Array], scale: int, fractions: Sequence[float]) -> list[float]:
    """Return percentiles as DuckDB's ``quantile_cont`` does; values are divided by ``scale``.

    Of neighbours a and b, that far apart by d, it has a * (1 - d) + b * d, the sum and its first
    product rounded once: a fused multiply-add.
    """
    values = _joined(parts)
    places = [(len(values) - 1) * fraction for fraction in fractions]
    values.partition(sorted({round_(at) for at in places for round_ in (floor, ceil)}))
    found = []
    for at in places:
        low, high = float(values[floor(at)]) / scale, float(values[ceil(at)]) / scale
        d = at - floor(at)
        exact = Fraction(low) * Fraction(1.0 - d) + Fraction(high * d)
        found.append(low if floor(at) == ceil(at) else float(exact))
    return found


def _joined(parts: Sequence[Array]) -> Array:
    return np.concatenate(parts) if len(parts) > 1 else parts[0].copy()
