"""Generated use of an application: users, their sessions, and crashes that arrive late.

Times are in seconds since the epoch. A user has an own chance to crash, from a beta distribution:
its mean is the true rate, and ``together`` is the correlation of two sessions of one user.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.stats import beta, gamma

HOUR = 3_600
STEP = 10  # seconds; SDKs report the start of a session to that
LAUNCH = int(datetime(2026, 3, 4, tzinfo=UTC).timestamp())
SHAPE = 1.5  # of the gamma distribution of users' sessions per day

Integers = NDArray[np.int64]
Random = np.random.Generator


class Users(NamedTuple):
    """Who uses a release: how many, from when to when they join and for how long they stay.

    ``growth`` is the number of times that the users double while they join; with 0 as many join in
    each hour. Times are in hours after the launch.
    """

    number: int
    joins: float  # the last of them
    until: float
    begins: float = 0.0
    growth: float = 0.0
    daily: float = 4.0  # sessions of a user, on average


class Crashes(NamedTuple):
    """The true share of sessions that crash, and how they crash."""

    rate: float
    together: float  # correlation of two sessions of one user, 0 to 1
    delay: float  # mean hours until a crash arrives


@dataclass(frozen=True, slots=True)
class Sessions:
    """The sessions of a release, by start; and those that crashed, with the crash's arrival."""

    users: int
    began: Integers
    user: Integers
    crash_began: Integers
    crash_user: Integers
    arrived: Integers

    def with_tester(self, hours: float) -> "Sessions":
        """Return the same with one more session, of one more user, before all others."""
        early = np.array([LAUNCH - int(hours * HOUR)])
        return Sessions(
            self.users + 1,
            np.concatenate([early, self.began]),
            np.concatenate([[self.users], self.user]),
            self.crash_began,
            self.crash_user,
            self.arrived,
        )


# The sessions of each release, by environment and name. No user is in two environments.
World = Mapping[tuple[str, str], Sessions]


def sessions(random: Random, users: Users, crashes: Crashes) -> Sessions:
    """Generate the sessions of a release."""
    joined = users.begins + (users.joins - users.begins) * _joined(random, users)
    daily = random.gamma(SHAPE, users.daily / SHAPE, users.number)
    later = random.poisson(daily * (users.until - joined) / 24)
    who = np.repeat(np.arange(users.number), later)
    when = joined[who] + random.random(len(who)) * (users.until - joined[who])
    steps = np.concatenate([joined, when]) * (HOUR / STEP)
    # A user begins one session in a step. The order is by start, then by user.
    keys = np.unique(
        np.floor(steps).astype(np.int64) * users.number
        + np.concatenate([np.arange(users.number), who])
    )
    step, user = np.divmod(keys, users.number)
    began = LAUNCH + step * STEP
    crashed = random.random(len(user)) < _chances(random, users.number, crashes)[user]
    delay = random.exponential(crashes.delay * HOUR, int(crashed.sum()))
    arrived = began[crashed] + np.ceil(delay).astype(np.int64)
    return Sessions(users.number, began, user, began[crashed], user[crashed], arrived)


def crash_in_first(hours: float, crashes: Crashes, daily: float) -> float:
    """Return the true share of users with a crash within so many hours of their first session."""
    points = (np.arange(2_000) + 0.5) / 2_000
    chance = _quantiles(points, crashes)
    mean = gamma.ppf(points[::8], SHAPE, scale=daily / SHAPE) * hours / 24
    spared = (1 - chance[:, None]) * np.exp(-chance[:, None] * mean[None, :])
    return float(1 - spared.mean())


def table(world: World, now: int) -> pa.Table:
    """Return the rows of the data contract that had arrived by an instant."""
    parts = []
    for number, ((environment, release), one) in enumerate(world.items()):
        seen, crashed = one.began < now, one.arrived <= now
        began, user = one.began[seen], one.user[seen]
        crash_began, crash_user = one.crash_began[crashed], one.crash_user[crashed]
        first = number * 2**32  # no user has two releases or environments
        for metric, status, at, member in (
            ("c:sessions/session@none", "init", began, None),
            ("s:sessions/user@none", None, began, user),
            ("c:sessions/session@none", "crashed", crash_began, None),
            ("s:sessions/user@none", "crashed", crash_began, crash_user),
            ("s:sessions/user@none", "errored", crash_began, crash_user),
        ):
            n = len(at)
            of_set = member is not None
            parts.append(
                pa.table(
                    {
                        "project_id": pa.array([1] * n, pa.int64()),
                        "timestamp": pa.array(at * 1_000_000, pa.timestamp("us", "UTC")),
                        "metric": pa.array([metric] * n, pa.string()),
                        "release": pa.array([release] * n, pa.string()),
                        "environment": pa.array([environment] * n, pa.string()),
                        "session_status": pa.array([status] * n, pa.string()),
                        "value": pa.array([None if of_set else 1.0] * n, pa.float64()),
                        "member": pa.array(
                            [None] * n if member is None else first + member, pa.uint64()
                        ),
                    }
                )
            )
    return pa.concat_tables(parts)


def _joined(random: Random, users: Users) -> NDArray[np.float64]:
    """Return when each user joins, as a share of the time in which users join."""
    share = random.random(users.number)
    if not users.growth:
        return share
    return np.log2(1 + share * (2**users.growth - 1)) / users.growth


def _chances(random: Random, number: int, crashes: Crashes) -> NDArray[np.float64]:
    if crashes.together in {0, 1}:
        return _quantiles(random.random(number), crashes)
    both = (1 - crashes.together) / crashes.together
    return random.beta(crashes.rate * both, (1 - crashes.rate) * both, number)


def _quantiles(shares: NDArray[np.float64], crashes: Crashes) -> NDArray[np.float64]:
    """Return quantiles of the users' chances to crash."""
    if crashes.together == 0:
        return np.full(len(shares), crashes.rate)
    if crashes.together == 1:
        return (shares < crashes.rate).astype(np.float64)
    both = (1 - crashes.together) / crashes.together
    return np.asarray(beta.ppf(shares, crashes.rate * both, (1 - crashes.rate) * both))
