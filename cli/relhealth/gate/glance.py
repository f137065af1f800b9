"""A word for a release at first sight: from the figures of its overview, without other reading.

It judges the crash-free sessions of the row by a target, with one-sided exact bounds. Each bound
needs no quantile: it is on one side of a limit exactly if a tail of the binomial distribution at
that limit is small enough. So nothing heavy is imported.
"""

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from relhealth.core.versions import release_key
from relhealth.questions.overview import ReleaseOverview

if TYPE_CHECKING:
    from relhealth.gate.policy import Policy, Rule

TARGET, CRITICAL = 99.5, 98.0  # percent of crash-free sessions, without a policy
_CONFIDENCE = 0.95
_METRIC = "crash_free_sessions"
_MOST = 10**9  # sessions that count: more of them would only take longer
_FEW = 10  # with fewer users with a crash, their sessions are taken to end alike; see clustering


class Word(StrEnum):
    """The status of a release, the worst first."""

    BAD = "bad"
    TOO_EARLY = "too early"
    NO_DATA = "no data"
    OK = "ok"


class Limit(NamedTuple):
    """The limits of crash-free sessions, in percent, and the rule that they come from."""

    target: float = TARGET
    critical: float = CRITICAL
    confidence: float = _CONFIDENCE
    rule: "Rule | None" = None


class Limits(NamedTuple):
    """The limits that words at first sight go by; ``others`` counts rules that need more."""

    limits: tuple[Limit, ...] = ()
    others: int = 0
    policy: "Policy | None" = None

    @classmethod
    def of(cls, policy: "Policy") -> "Limits":
        """Return the limits of a checked policy."""
        found = tuple(
            Limit(
                rule.target,
                rule.target if rule.critical is None else rule.critical,
                rule.confidence or policy.confidence,
                rule,
            )
            for rule in policy.rule
            if rule.metric == _METRIC and rule.target is not None
        )
        return cls(found, len(policy.rule) - len(found), policy)

    def of_project(self, project: int, environments: Sequence[str] | None) -> list[Limit]:
        """Return the limits that apply to a project, with the selected environments.

        A project that no rule is about has the default limits; one whose rules all need more than
        a first sight has none.
        """
        if self.policy is None or not self.policy.applies(project, environments):
            return [Limit()]
        return [
            one
            for one in self.limits
            if one.rule is not None and one.rule.applies(project, environments)
        ]


BY_DEFAULT = Limits()


def word_of(row: ReleaseOverview, limits: Sequence[Limit]) -> Word | None:
    """Return the worst word by the limits that apply to a release; ``None`` without any."""
    if not limits:
        return None
    if not row.total_sessions:
        return Word.NO_DATA
    words = {_word(row, limit) for limit in limits}
    return next(word for word in Word if word in words)


def rank(project: int, release: str, word: Word | None) -> Any:
    """Sort by project; bad releases first, then the newest version."""
    key = release_key(release)
    newest = [-part for part in key[2]]
    builds = [[-kind, -number, _backwards(text)] for kind, number, text in (*key[4], *key[5])]
    return (
        project, word is not Word.BAD, key[0], key[1], newest, -key[3], builds, _backwards(release)
    )  # fmt: skip


def _backwards(text: str) -> list[int]:
    return [-ord(char) for char in text]


class Evidence(NamedTuple):
    """Crashed and all sessions as if they were independent, rounded to be sure of a word."""

    fails: int  # with ``least``, for BAD
    least: int
    passes: int  # with ``most``, for OK
    most: int


def evidence(row: ReleaseOverview, limit: Limit) -> Evidence:
    """Return what a release's word by a limit goes by; the release has sessions."""
    total = row.total_sessions or 0
    bad = min(max(row.sessions_crashed, 0), total)
    deff = max(_design_effect(row, total, bad, limit.rule), total / _MOST)
    # Rounded so that a word needs a little more evidence, never less.
    return Evidence(
        fails=math.floor(bad / deff),
        least=math.ceil(total / deff),
        passes=math.ceil(bad / deff),
        most=math.floor(total / deff),
    )


def _word(row: ReleaseOverview, limit: Limit) -> Word:
    seen, error = evidence(row, limit), 1 - limit.confidence
    if at_most(seen.least - seen.fails, seen.least, limit.critical / 100, error):
        return Word.BAD
    if not at_most(seen.passes, seen.most, 1 - limit.target / 100, error):
        return Word.TOO_EARLY
    return Word.OK if _has_begun(row, limit.rule) else Word.TOO_EARLY


def _has_begun(row: ReleaseOverview, rule: "Rule | None") -> bool:
    if rule is None or not (rule.min_sessions or rule.min_users or rule.when):
        return True
    from relhealth.gate.beginning import has_begun

    return has_begun(rule, row)


def _design_effect(row: ReleaseOverview, total: int, bad: int, rule: "Rule | None") -> float:
    """Return how many sessions are as good as one independent one.

    That is the crashed sessions of each user with a crash; with few such users, at least the
    sessions of each user. It is too many where sessions have no user, so that a word waits. The
    gate estimates it from every user, which takes a longer look.
    """
    if rule is not None and not isinstance(rule.deff, str):
        return rule.deff
    per_crashed = bad / row.users_crashed if row.users_crashed else 1.0
    per_user = total / row.total_users if row.total_users and row.users_crashed < _FEW else 1.0
    return max(1.0, per_crashed, per_user)


def at_most(k: int, n: int, share: float, error: float) -> bool:
    """Tell whether ``k`` or fewer of ``n`` trials have a probability of at most ``error``.

    ``share`` is the probability of each. Terms get smaller from ``k`` down, by a factor that gets
    smaller too: the sum stops as soon as it is decided.
    """
    if not 0 < share < 1 or k > n * share + 1 or n <= 0:
        return False
    odds = (1 - share) / share
    term = math.exp(
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
        + k * math.log(share) + (n - k) * math.log1p(-share)
    )  # fmt: skip
    total = 0.0
    while True:
        total += term
        if total > error:
            return False
        factor = k * odds / (n - k + 1)
        if not k or (factor < 1 and total + term * factor / (1 - factor) <= error):
            return True
        term *= factor
        k -= 1
