"""The policy of a gate: its rules, their settings, and what each setting can be."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from numbers import Integral, Real
from typing import Any, Literal, NamedTuple, TypeVar, get_args

import msgspec

from relhealth.core.errors import QuestionError
from relhealth.core.nearest import hint
from relhealth.core.printable import printable
from relhealth.core.scope import check_environments, check_projects, check_release
from relhealth.core.windows import HOUR, check_period, floor_to, parse_length, period_seconds
from relhealth.gate.metrics import CRASH_FREE_SESSIONS, DURATIONS, FOLLOWED, METRICS, RATES
from relhealth.questions.naming import PREVAILING

AUTO = "auto"

PreviousBy = Literal["version", "time"]
Mapped = Literal["inconclusive", "pass", "fail"]
_OF_USERS = {name for name, rate in RATES.items() if rate.of_users}
_CRASH_FREE = {name for name in RATES if name.startswith("crash_free_")}
_WORDS = {"previous_by": get_args(PreviousBy), "inconclusive": get_args(Mapped)}
_Refuse = Callable[[str], QuestionError]
_Part = TypeVar("_Part", "Rule", "Policy", "When")


@dataclass(frozen=True, slots=True)
class When:
    """When a rule starts to judge: at the first of these; in percent, users, sessions."""

    adoption: float | None = None
    users: int | None = None
    sessions: int | None = None


class Margin(NamedTuple):
    """How much worse than the baseline is still acceptable.

    ``amount`` is in percentage points (durations: seconds), or, if ``relative``, in percent of
    the baseline's share of bad events (durations: of the baseline's duration).
    """

    amount: float
    relative: bool

    def __str__(self) -> str:
        """Return the margin as a policy writes it."""
        return f"{self.amount:.12g}%" if self.relative else f"{self.amount:.12g}"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: a metric against a target, or against a baseline with a margin.

    Targets are in percent, those of durations in seconds. ``margin`` is as in ``Margin``: a number,
    or a text such as ``"20%"``. ``deff`` is a design effect, or ``"auto"`` to estimate it.
    ``None`` takes a setting from the policy.
    """

    metric: str = CRASH_FREE_SESSIONS
    target: float | None = None
    critical: float | None = None
    baseline: str | tuple[str, ...] | None = None
    margin: float | str | None = None
    previous_by: PreviousBy | None = None
    same_age: bool = False
    follow_up: str | None = None
    min_sessions: int = 0
    min_users: int = 0
    min_baseline_sessions: int = 0
    when: When | None = None
    projects: tuple[int, ...] | None = None
    environments: tuple[str, ...] | None = None
    deff: float | Literal["auto"] = "auto"
    confidence: float | None = None
    sequential: bool | None = None

    @property
    def baselines(self) -> tuple[str, ...]:
        """The named baselines, in order of preference."""
        if self.baseline is None:
            return ()
        return (self.baseline,) if isinstance(self.baseline, str) else self.baseline

    def applies(self, project: int, environments: Sequence[str] | None) -> bool:
        """Tell whether the rule is about a project and some of the selected environments."""
        if self.projects is not None and project not in self.projects:
            return False
        if self.environments is None or environments is None:
            return True
        return not set(self.environments).isdisjoint(environments)

    @property
    def followed(self) -> int | None:
        """How many seconds each user is followed for; ``None`` if users are not followed."""
        return None if self.follow_up is None else int(parse_length(self.follow_up).total_seconds())

    @property
    def allowed(self) -> Margin:
        """The margin. Raises ``ValueError`` for a text that is no margin."""
        if isinstance(self.margin, str):
            number, percent, rest = self.margin.partition("%")
            if not percent or rest:
                raise ValueError(self.margin)
            return Margin(float(number), relative=True)
        return Margin(self.margin or 0.0, relative=False)


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of a gate, and the settings for all of them."""

    rule: tuple[Rule, ...] = ()
    period: str = "24h"
    settle: str = "1h"
    environments: tuple[str, ...] | None = None
    projects: tuple[int, ...] | None = None
    confidence: float = 0.95
    max_age: str | None = None
    sequential: bool = False
    stable: bool = False
    previous_by: PreviousBy = "version"
    inconclusive: Mapped = "inconclusive"

    @property
    def oldest(self) -> timedelta | None:
        """The maximum age of the newest data."""
        return None if self.max_age is None else parse_length(self.max_age)

    @property
    def settling(self) -> timedelta:
        """How long ago a session must have begun to count: its crash may arrive late."""
        return timedelta() if self.settle == "0" else parse_length(self.settle)

    def applies(self, project: int, environments: Sequence[str] | None) -> bool:
        """Tell whether some rule is about a project and some of the selected environments."""
        selected = self.projects is None or project in self.projects
        return selected and any(rule.applies(project, environments) for rule in self.rule)

    def until(self, now: datetime) -> datetime:
        """Return the end of what has settled: sessions that began before it count."""
        return floor_to(now - self.settling, HOUR) if self.settling else now

    def checked(self) -> "Policy":
        """Return the policy with each rule's settings filled in.

        Raises ``QuestionError`` for an invalid policy.
        """
        return check_policy(self)

    def settled(self) -> "Policy":
        """Return the same, for settings that already have their types."""
        _check_words("", {"previous_by": self.previous_by, "inconclusive": self.inconclusive})
        check_period(self.period)
        check_environments(self.environments)
        check_projects(self.projects)
        if self.max_age is not None:
            parse_length(self.max_age)
        _check_settle(self.settle)
        _check_confidence("", self.confidence)
        if not self.rule:
            raise QuestionError(
                "nothing to judge by: write a [[gate.rule]] in relhealth.toml, or give --target"
            )
        rules = tuple(self._settled(number, rule) for number, rule in enumerate(self.rule, 1))
        return replace(self, rule=rules)

    def _settled(self, number: int, rule: Rule) -> Rule:
        rule = replace(
            rule,
            environments=self.environments if rule.environments is None else rule.environments,
            confidence=self.confidence if rule.confidence is None else rule.confidence,
            sequential=self.sequential if rule.sequential is None else rule.sequential,
            previous_by=rule.previous_by or self.previous_by,
        )
        if rule.target is None and rule.baseline is None and rule.margin is not None:
            rule = replace(rule, baseline=PREVAILING)
        _check_rule(f"rule {number}", rule, period_seconds(self.period))
        return rule


def check_policy(policy: object) -> Policy:
    """Return a checked policy with all settings; ``QuestionError`` for an invalid one."""
    return _typed(policy).settled()


def _check_words(where: str, given: Mapping[str, Any]) -> None:
    for setting, known in _WORDS.items():
        value = given.get(setting, known[0])
        if value not in known:
            told = printable(str(value))
            raise QuestionError(f"{where}{setting} {told!r}: unknown; known are {', '.join(known)}")


def converted(given: Mapping[str, Any], part: type[_Part], where: str) -> _Part:
    """Return a part of a policy from plain values; ``QuestionError`` for other types."""
    _check_words(where, given)
    try:
        return msgspec.convert(given, part)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$.")
        raise QuestionError(f"{where}{path.rstrip('`')}: {what[:1].lower()}{what[1:]}") from None


def _typed(policy: object) -> Policy:
    """Return a policy from Python, with each setting in the type that a file would give."""
    if not isinstance(policy, Policy):
        raise QuestionError(f"policy {policy!r}: expected a Policy")
    try:
        return converted(msgspec.to_builtins(policy, enc_hook=_plain), Policy, "policy: ")
    except UnicodeEncodeError:
        raise QuestionError("policy: a text is not UTF-8") from None


def _plain(value: object) -> object:
    """Return a number of another library, such as NumPy, as a Python number."""
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    raise QuestionError(f"policy: {value!r}: expected a text, a number or several of these")


def _check_confidence(where: str, confidence: float) -> None:
    if not 0.5 <= confidence < 1:  # noqa: PLR2004 - below it a bound would be a guess
        raise QuestionError(
            f"{where}confidence: {confidence:g}: expected at least 0.5, and less than 1"
        )


def _check_settle(settle: str) -> None:
    try:
        length = timedelta() if settle == "0" else parse_length(settle)
    except QuestionError as error:
        raise QuestionError(f"settle: {error}; or 0") from None
    if length > timedelta(days=7):
        raise QuestionError(f"settle {settle}: expected at most 7 days")


def _check_rule(where: str, rule: Rule, period: int) -> None:
    """Raise ``QuestionError`` for a rule that cannot be; ``period`` is in seconds."""

    def refuse(what: str) -> QuestionError:
        return QuestionError(f"{where}: {what}")

    if rule.metric == "crash_free":
        raise refuse(
            'metric "crash_free" is no longer known: write metric = "crash_free_sessions", or'
            ' metric = "crash_free_users" with follow_up = "1h"'
        )
    if rule.metric not in METRICS:
        known = ", ".join(METRICS)
        near = hint(rule.metric, METRICS)
        raise refuse(f"metric {printable(rule.metric)!r}: unknown; known are {known}{near}")
    _check_words(f"{where}: ", {"previous_by": rule.previous_by})
    if (rule.target is None) == (rule.baseline is None):
        raise refuse("expected either a target or a baseline")
    try:
        check_projects(rule.projects)
        check_environments(rule.environments)
        for name in rule.baselines:
            check_release(name)
    except QuestionError as error:
        raise refuse(str(error)) from None
    _check_confidence(f"{where}: ", rule.confidence or 0)
    _check_least(rule, refuse)
    _check_follow_up(rule, period, refuse)
    if rule.target is not None:
        _check_target(rule, rule.target, refuse)
    else:
        _check_baseline(rule, refuse)
    if rule.metric == "adoption" and rule.sequential:
        raise refuse(
            "adoption is of the last 24 hours, which a sequential rule cannot add up:"
            " write sequential = false for it"
        )


def _check_follow_up(rule: Rule, period: int, refuse: _Refuse) -> None:
    if rule.follow_up is None:
        if rule.metric in FOLLOWED and rule.sequential:
            raise refuse(
                f"{rule.metric} cannot be sequential, since a user counted without a crash may"
                ' still have one: write follow_up = "1h", take a metric of sessions, or write'
                " sequential = false for it"
            )
        return
    if rule.metric not in FOLLOWED:
        raise refuse(f"follow_up is for {' and '.join(FOLLOWED)}")
    try:
        seconds = rule.followed or 0
    except QuestionError as error:
        raise refuse(f"follow_up: {error}") from None
    if seconds % HOUR:
        raise refuse(f"follow_up {rule.follow_up!r}: expected whole hours, such as 1h or 6h")
    if seconds >= period and not rule.sequential:
        raise refuse(
            f"follow_up {rule.follow_up!r}: expected less than the period, since nobody can be"
            " followed longer"
        )


def _check_least(rule: Rule, refuse: _Refuse) -> None:
    if min(rule.min_sessions, rule.min_users, rule.min_baseline_sessions) < 0:
        raise refuse("min_sessions, min_users and min_baseline_sessions: expected 0 or more")
    if isinstance(rule.deff, int | float) and not 1 <= rule.deff < math.inf:
        raise refuse(f'deff {rule.deff:g}: expected "auto", or 1 or more')
    if rule.deff not in {AUTO, 1} and rule.metric in _OF_USERS:
        raise refuse("deff is for rules on sessions: users are counted once")
    if rule.when is not None:
        limits = (rule.when.adoption, rule.when.users, rule.when.sessions)
        given = [limit for limit in limits if limit is not None]
        if not given or any(not limit > 0 for limit in given):
            raise refuse("when: expected adoption, users or sessions above 0")
        if rule.when.adoption is not None and rule.when.adoption > 100:  # noqa: PLR2004 - percent
            raise refuse("when: adoption is percent, at most 100")


def _check_target(rule: Rule, target: float, refuse: _Refuse) -> None:
    duration = rule.metric in DURATIONS
    if duration and not 0 < target < math.inf:
        raise refuse(f"target {target:g}: expected seconds above 0")
    if not duration and not 0 < target < 100:  # noqa: PLR2004 - percent
        raise refuse(
            f"target {target:g}: expected percent, above 0 and below 100, since no number of"
            " users shows a rate to be exactly one of these"
        )
    if rule.metric in _CRASH_FREE:
        for what, value in (("target", target), ("critical", rule.critical)):
            if value is not None and value <= 1:
                meant = 99 if value in {0, 1} else 100 * value
                raise refuse(f"{what} {value:.12g}: expected percent; did you mean {meant:.12g}?")
    if rule.margin is not None or rule.same_age or rule.min_baseline_sessions:
        raise refuse("margin, same_age and min_baseline_sessions are for a rule with a baseline")
    if rule.critical is not None:
        good = METRICS[rule.metric].good
        worse = rule.critical <= target if good else rule.critical >= target
        if not worse or not 0 <= rule.critical < math.inf:
            side = "at most" if good else "at least"
            raise refuse(f"critical {rule.critical:g}: expected {side} the target, {target:g}")


def _check_baseline(rule: Rule, refuse: _Refuse) -> None:
    if rule.metric == "adoption":
        raise refuse("adoption takes a target, not a baseline")
    if not rule.baselines:
        raise refuse(
            "baseline: expected 'prevailing', 'previous', a release, or a list of releases"
        )
    if rule.critical is not None:
        raise refuse("critical is for a rule with a target; a baseline takes a margin")
    unit = "seconds" if rule.metric in DURATIONS else "percentage points"
    expected = f'a baseline takes a margin: a number of {unit}, or a share such as "20%"'
    if rule.margin is None:
        raise refuse(expected)
    try:
        margin = rule.allowed
    except ValueError:
        raise refuse(f"margin {printable(str(rule.margin))!r}: {expected}") from None
    if not 0 <= margin.amount < math.inf:
        raise refuse(f"margin {margin}: expected 0 or more")
    if not margin.relative and rule.metric in RATES and margin.amount >= 100:  # noqa: PLR2004
        raise refuse(f"margin {margin}: expected less than 100 percentage points")
