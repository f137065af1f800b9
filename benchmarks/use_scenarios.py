"""The policies of the docs, the ways in which a gate is used, and the true rates to try."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq

from relhealth.core.scope import ProjectRelease
from relhealth.gate.policy import Policy, Rule
from use_world import Crashes, Random, Users, World, crash_in_first, sessions

OLDER, PREVAILING, ROLLED_BACK, RELEASE = (
    f"shop@{v}" for v in ("0.9.0", "1.0.0", "2.0.0", "2.0.1")
)
TARGET, CRITICAL, BASE, OF_USERS = 0.005, 0.01, 0.005, 0.01  # shares that crash
POINTS, SHARE = 0.002, 1.2  # the margins: added, and multiplied
GOOD, BAD = 0.002, 0.02
_USERS = Users(6_000, 48, 48, growth=1)
ENVIRONMENTS = tuple(f"shop-{number}" for number in range(5))


class Named(NamedTuple):
    """A policy of the docs."""

    text: str
    policy: Policy
    kinds: tuple[str, str]  # the truths that test for a false pass, and a false fail


def _named(text: str, kinds: tuple[str, str], *, sequential: bool, **rule: object) -> Named:
    one = Rule(**rule)  # type: ignore[arg-type]
    return Named(text, Policy(rule=(one,), sequential=sequential).checked(), kinds)


_BY_TARGET = {"target": 99.5, "critical": 99.0}
_LIMITS = ("target", "critical")
POLICIES: Mapping[str, Named] = {
    "target": _named("target, `sequential`", _LIMITS, sequential=True, **_BY_TARGET),
    "target once": _named("target, one look", _LIMITS, sequential=False, **_BY_TARGET),
    "margin": _named(
        "0.2 points, `sequential`",
        ("margin", "margin"),
        sequential=True,
        baseline="prevailing",
        margin=0.2,
    ),
    "share": _named(
        '"20%", `sequential`',
        ("share", "share"),
        sequential=True,
        baseline="prevailing",
        margin="20%",
    ),
    "users": _named(
        "followed users, target",
        ("users", "users"),
        sequential=True,
        metric="crash_free_users",
        follow_up="1h",
        target=99.0,
    ),
    "users margin": _named(
        "followed users, 0.2 points",
        ("users margin", "users margin"),
        sequential=True,
        metric="crash_free_users",
        follow_up="1h",
        baseline="prevailing",
        margin=0.2,
    ),
    "same age": _named(
        "`same_age`, one look",
        ("margin", "margin"),
        sequential=False,
        baseline="prevailing",
        same_age=True,
        margin=0.2,
    ),
}
ONE_LOOK = {"target once", "same age"}
_MOST = tuple(name for name in POLICIES if name != "users margin")
KINDS = ("target", "critical", "margin", "share", "users", "users margin", "good", "bad")


@dataclass(frozen=True, slots=True)
class Scenario:
    """A way in which a gate is used.

    ``before`` is what the gate did in it before rules were made for it, in words. ``looks`` are in
    hours after the launch; a policy for one look has ``once``, or all looks if that is ``None``.
    """

    text: str
    before: str = ""
    users: Users = _USERS
    together: float = 0.05
    delay: float = 0.2
    looks: tuple[int, ...] = tuple(range(1, 49))
    once: int | None = 24
    settle: str = "1h"
    tester: bool = False
    rolled_back: bool = False
    many: int = 0
    policies: tuple[str, ...] = tuple(POLICIES)
    kinds: tuple[str, ...] = KINDS


_WEEK = 168
_LATE = Scenario(
    "crashes arrive 1 h late on average, users double each 3 h",
    "PASS: 38 %",
    users=Users(20_000, 24, 36, growth=8),
    delay=1.0,
    looks=tuple(range(1, 37)),
)
SCENARIOS: Mapping[str, Scenario] = {
    "usual": Scenario("nothing special"),
    "young": Scenario(
        "hours old, against users with a whole day",
        "PASS of twice the crashes: 80 to 100 %; FAIL of an unchanged one: 76 to 93 %",
        users=Users(6_000, 12, 24),
        looks=tuple(range(2, 25)),
        once=6,
    ),
    "rolled back": Scenario(
        "a fix, after a release that was rolled back",
        "PASS, since the baseline was the release that was rolled back",
        rolled_back=True,
        policies=_MOST,
    ),
    "tester": Scenario(
        "a tester's session three days early",
        "`same_age` counted from it, and passed",
        tester=True,
        policies=_MOST,
    ),
    "late": _LATE,
    "late, settled": replace(
        _LATE,
        text='the same, with `settle = "4h"`',
        before="",
        settle="4h",
    ),
    "hourly": Scenario(
        "a look each hour for a week",
        "40 to 73 % a side",
        users=Users(2_000, 96, _WEEK, growth=1),
        looks=tuple(range(1, _WEEK + 1)),
        once=None,
        policies=tuple(name for name in _MOST if name != "same age"),
    ),
    "clustered": Scenario(
        "half of the chance to crash is the user's",
        "14 to 33 %",
        together=0.5,
    ),
    "few crashed": Scenario(
        "a user crashes always or never, 600 users",
        "14 to 33 %",
        users=Users(600, 48, 48, growth=1),
        together=1.0,
    ),
    "many": Scenario(
        "10 releases, 5 rules each, all at the limit",
        "some FAIL: 88 %",
        users=Users(400, 48, 48, growth=1),
        looks=(6, 12, 24, 48),
        many=10,
        policies=("target", "target once", "users"),
        kinds=("critical", "users"),
    ),
}


def releases(scenario: Scenario) -> tuple[ProjectRelease, ...]:
    """Return what the gate judges."""
    return tuple((1, f"shop@2.0.{number + 1}") for number in range(max(1, scenario.many)))


def policy(scenario: Scenario, name: str) -> Policy:
    """Return a policy; where there are many releases, with a rule for each environment."""
    found = replace(POLICIES[name].policy, settle=scenario.settle)
    if not scenario.many:
        return found
    (rule,) = found.rule
    return replace(found, rule=tuple(replace(rule, environments=(e,)) for e in ENVIRONMENTS))


def looks(scenario: Scenario, name: str) -> tuple[int, ...]:
    """Return the looks of a policy, in hours after the launch."""
    return (scenario.once,) if name in ONE_LOOK and scenario.once else scenario.looks


def concerns(name: str, kind: str) -> bool:
    """Tell whether a policy is tested with a truth."""
    return kind in {"good", "bad"} or kind in POLICIES[name].kinds


def world(scenario: Scenario, kind: str, random: Random) -> World:
    """Generate the use of a scenario."""
    crashes = Crashes(rate(scenario, kind), scenario.together, scenario.delay)
    if scenario.many:
        return {
            (environment, release): sessions(random, scenario.users, crashes)
            for environment in ENVIRONMENTS
            for _, release in releases(scenario)
        }
    found = {("", RELEASE): sessions(random, scenario.users, crashes)}
    if scenario.tester:
        found["", RELEASE] = found["", RELEASE].with_tester(72)
    base = replace_rate(crashes, BASE)
    end = scenario.users.until
    if kind in {"target", "critical", "users"}:
        return found
    # It was launched, too, and had a release before it, so that it can be compared at its age.
    found["", OLDER] = sessions(random, Users(300, -120, -60, begins=-122), base)
    found["", PREVAILING] = sessions(random, Users(4_000, -36, end, begins=-96), base)
    if scenario.rolled_back:
        worse = replace_rate(crashes, 0.06)
        found["", ROLLED_BACK] = sessions(random, Users(400, -20, 6, begins=-30), worse)
    return found


def replace_rate(crashes: Crashes, rate: float) -> Crashes:
    """Return crashes with another rate."""
    return crashes._replace(rate=rate)


def rate(scenario: Scenario, kind: str) -> float:
    """Return the true share of sessions that crash."""
    if kind == "users":
        return _rate_of_users(scenario, OF_USERS)
    if kind == "users margin":
        base = Crashes(BASE, scenario.together, scenario.delay)
        return _rate_of_users(scenario, crash_in_first(1, base, scenario.users.daily) + POINTS)
    return {
        "target": TARGET,
        "critical": CRITICAL,
        "margin": BASE + POINTS,
        "share": BASE * SHARE,
        "good": GOOD,
        "bad": BAD,
    }[kind]


@cache
def _rate_of_users(scenario: Scenario, share: float) -> float:
    """Return the rate at which that share of users have a crash in their first hour."""
    if scenario.together == 1:
        return share

    def beyond(rate: float) -> float:
        crashes = Crashes(rate, scenario.together, scenario.delay)
        return crash_in_first(1, crashes, scenario.users.daily) - share

    return float(brentq(beyond, share / 10, share))


def generator(*seed: int) -> Random:
    """Return random numbers that are the same for the same seed."""
    return np.random.default_rng(seed)
