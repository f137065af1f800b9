"""Bounds of a rate of sessions, where sessions of one user resemble each other.

The design effect says how many sessions carry the information of one independent session.

The bounds are approximate. These figures are from simulations with 200 to 3,000 users, a true rate
at the limit, and 95 % confidence. The bounds passed or failed wrongly in at most 7 % of the
samples; bounds that ignore users did so in up to 41 %. If users crash in all sessions or in none,
and about 5 users crash, the figure is 3 %.

No method holds if a few users decide the rate and most samples lack them. If some users have
hundreds of times the sessions of others (a Pareto tail of 1.2), 12 to 15 % of the samples pass
wrongly. If such users also crash more often, and about 5 users crash, 36 % do.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from scipy.special import stdtrit

from relhealth.gate.intervals import Bounds, clopper_pearson, mover, mover_ratio

FEW = 10  # with fewer users with an event, an estimate of their variance is too uncertain
_MIDDLE = 0.5 + 1e-6  # at the median, both quantiles of the correction are 0


class Sums(NamedTuple):
    """Sums over the users of a release: a user has ``m`` sessions, ``y`` of them with the event.

    ``affected`` is the number of users with an event. Sums of squares can be large: exact integers.
    """

    users: int
    sessions: int  # sum of m
    events: int  # sum of y
    sessions_squared: int  # sum of m * m
    events_squared: int  # sum of y * y
    products: int  # sum of m * y
    affected: int


@dataclass(frozen=True, slots=True)
class Clustering:
    """The design effect of a release's sessions, and its origin.

    ``deff`` is 1 or more. ``estimated`` means that it is the estimate alone. Otherwise too few
    users had an event (or all sessions had it), and ``deff`` is at least that of users who have the
    event in all sessions or in none.
    """

    deff: float
    users: int
    affected: int
    estimated: bool

    def effective(self, k: float, n: float) -> tuple[float, float]:
        """Return the counts of independent sessions with the same information."""
        return k / self.deff, n / self.deff


def given(deff: float) -> Clustering:
    """Return a design effect that is known, not estimated."""
    return Clustering(deff, 0, 0, estimated=False)


def alike(sums: Sums) -> Clustering:
    """Return the design effect where all sessions of a user are alike: ``sum m^2 / sum m``."""
    return Clustering(sums.sessions_squared / sums.sessions, sums.users, 0, estimated=False)


def design_effect(sums: Sums) -> Clustering:
    """Estimate the design effect of a rate of sessions from sums over users.

    The variance of the ratio ``p = sum y / sum m`` is ``U / (U - 1) * sum (y - p m)^2 / (sum m)^2``
    (delta method), and the design effect is that divided by the binomial ``p (1 - p) / sum m``.
    Source: A. Deng, U. Knoblich, J. Lu, KDD 2018. With fewer than ``FEW`` users with an event it is
    at least ``sum m^2 / sum m``, that of users who have the event in all sessions or in none.

    It is at least 1. Below 1, sessions of one user would resemble each other less than those of
    different users. There is no reason for that, so such an estimate is chance, and it is most
    likely with few events, where it would narrow the bounds of the least data.

    Raises ``ValueError`` for sums that no users can have.
    """
    users, sessions, events = sums.users, sums.sessions, sums.events
    if not (0 < users <= sessions and 0 <= sums.affected <= min(users, events) <= sessions):
        raise ValueError(f"no sums over users: {sums}")
    if not (sums.affected <= events <= sessions and (events == 0) == (sums.affected == 0)):
        raise ValueError(f"no sums over users: {sums}")
    # Integers until the last division, since the terms almost cancel: sum (y M - Y m)^2.
    squares = (
        sums.events_squared * sessions**2
        - 2 * sums.products * events * sessions
        + sums.sessions_squared * events**2
    )
    binomial = events * (sessions - events) * sessions
    known = users > 1 and binomial > 0
    own = users / (users - 1) * (squares / binomial) if known else 1.0
    estimated = known and sums.affected >= FEW
    alike = 1.0 if estimated else sums.sessions_squared / sessions
    return Clustering(max(1.0, own, alike), users, sums.affected, estimated)


def clustered_bounds(k: float, n: float, confidence: float, clustering: Clustering) -> Bounds:
    """Return bounds of a rate of sessions for one look, each with the confidence.

    ``k`` of ``n`` sessions had the event; these can include sessions without a user. The bounds are
    Clopper-Pearson's for the effective counts. An estimated design effect is uncertain, so the
    effective counts are also multiplied by ``(t_(n - 1) / t_df)^2``. These are two quantiles of
    Student's distribution at the confidence, and ``df`` is the number of users with an event,
    minus 1. Source: E. L. Korn, B. I. Graubard, Survey Methodology 24 (1998), as in
    ``svyciprop(method = "beta")`` of R's package survey, which takes ``df`` from the design.
    """
    shrunk = _correction(n, confidence, clustering)
    own_k, own_n = clustering.effective(k, n)
    return clopper_pearson(own_k * shrunk, own_n * shrunk, confidence)


def clustered_difference(
    candidate: tuple[float, float, Clustering],
    baseline: tuple[float, float, Clustering],
    confidence: float,
    arrived: float = 1.0,
) -> Bounds:
    """Return ``mover`` bounds of the difference of two releases' rates, for one look.

    Each of the two is (events, sessions, clustering). ``arrived`` is the share of the candidate's
    events that has arrived; the upper bound is of all of them.
    """
    return _compared(mover, candidate, baseline, confidence, arrived)


def clustered_ratio(
    candidate: tuple[float, float, Clustering],
    baseline: tuple[float, float, Clustering],
    confidence: float,
    arrived: float = 1.0,
) -> Bounds:
    """Return ``mover_ratio`` bounds of two releases' rates; see ``clustered_difference``."""
    return _compared(mover_ratio, candidate, baseline, confidence, arrived)


def _compared(
    method: Callable[[float, Bounds, float, Bounds], Bounds],
    candidate: tuple[float, float, Clustering],
    baseline: tuple[float, float, Clustering],
    confidence: float,
    arrived: float,
) -> Bounds:
    (k, n, _), (base_k, base_n, _) = candidate, baseline
    own, base = (clustered_bounds(a, b, confidence, c) for a, b, c in (candidate, baseline))
    its = base_k / base_n
    all_of_them = Bounds(own.lower, min(own.upper / arrived, 1.0))
    return Bounds(
        method(k / n, own, its, base).lower,
        method(min(k / n / arrived, 1.0), all_of_them, its, base).upper,
    )


def _correction(n: float, confidence: float, clustering: Clustering) -> float:
    """Return the share of the effective counts that an uncertain design effect leaves."""
    if not clustering.estimated:
        return 1.0
    level = max(confidence, 1 - confidence, _MIDDLE)
    df = clustering.affected - 1
    return math.pow(float(stdtrit(max(n - 1, df), level) / stdtrit(df, level)), 2)
