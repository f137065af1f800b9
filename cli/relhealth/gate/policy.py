"""The policy of a gate: rules from a small TOML file, from options, or both."""

import os
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import msgspec

from relhealth.core.errors import QuestionError
from relhealth.core.printable import printable
from relhealth.core.scope import check_environments, check_projects, check_release
from relhealth.core.windows import check_period, parse_length
from relhealth.gate.metrics import CRASH_FREE, DURATIONS, METRICS, RATES

FILE = "relhealth.toml"
PYPROJECT = "pyproject.toml"
PREVIOUS = "previous"

PreviousBy = Literal["version", "time"]
Mapped = Literal["inconclusive", "pass", "fail"]
_OF_USERS = {name for name, rate in RATES.items() if rate.of_users}
_WORDS = {"previous_by": get_args(PreviousBy), "inconclusive": get_args(Mapped)}
_Refuse = Callable[[str], QuestionError]
_Part = TypeVar("_Part", "Rule", "Policy", "When")


@dataclass(frozen=True, slots=True)
class When:
    """When a rule starts to judge: at the first of these; in percent, users, sessions."""

    adoption: float | None = None
    users: int | None = None
    sessions: int | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: a metric against a target, or against a baseline with a margin.

    Targets and margins are in percent (points), those of durations in seconds. ``None`` takes a
    setting from the policy.
    """

    metric: str = CRASH_FREE
    target: float | None = None
    critical: float | None = None
    baseline: str | tuple[str, ...] | None = None
    margin: float | None = None
    previous_by: PreviousBy | None = None
    same_age: bool = False
    min_sessions: int = 0
    min_users: int = 0
    when: When | None = None
    projects: tuple[int, ...] | None = None
    environments: tuple[str, ...] | None = None
    deff: float = 1.0
    confidence: float | None = None
    sequential: bool | None = None

    @property
    def baselines(self) -> tuple[str, ...]:
        """The named baselines, in order of preference."""
        if self.baseline is None:
            return ()
        return (self.baseline,) if isinstance(self.baseline, str) else self.baseline


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of a gate, and the settings for all of them."""

    rule: tuple[Rule, ...] = ()
    period: str = "24h"
    environments: tuple[str, ...] | None = None
    projects: tuple[int, ...] | None = None
    confidence: float = 0.95
    max_age: str | None = None
    sequential: bool = False
    previous_by: PreviousBy = "version"
    inconclusive: Mapped = "inconclusive"

    @property
    def oldest(self) -> timedelta | None:
        """The maximum age of the newest data."""
        return None if self.max_age is None else parse_length(self.max_age)

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
        _check_confidence("", self.confidence)
        if not self.rule:
            raise QuestionError(
                f"nothing to judge by: write a [[gate.rule]] in {FILE}, or give --target"
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
        _check_rule(f"rule {number}", rule)
        return rule


def check_policy(policy: object) -> Policy:
    """Return a checked policy with all settings; ``QuestionError`` for an invalid one."""
    return _typed(policy).settled()


def from_document(document: Mapping[str, Any]) -> Policy:
    """Read a policy from ``{"gate": {…, "rule": […]}}``, without checking the rules together.

    Raises ``QuestionError`` for unknown words, with the known ones, and for values of wrong types.
    """
    _only(document, ["gate", "ingest"], "")
    gate = document.get("gate", {})
    if not isinstance(gate, Mapping):
        raise QuestionError("gate: expected a table, [gate]")
    _only(gate, _words(Policy), "gate.")
    rules = gate.get("rule", [])
    if not isinstance(rules, list) or not all(isinstance(rule, Mapping) for rule in rules):
        raise QuestionError("gate.rule: expected tables, each [[gate.rule]]")
    for number, rule in enumerate(rules, 1):
        _only(rule, _words(Rule), f"rule {number}: ")
        if isinstance(rule.get("when"), Mapping):
            _only(rule["when"], _words(When), f"rule {number}: when.")
    parts = tuple(_converted(rule, Rule, f"rule {n}: ") for n, rule in enumerate(rules, 1))
    rest = {word: value for word, value in gate.items() if word != "rule"}
    return replace(_converted(rest, Policy, "gate."), rule=parts)


def read_policy(path: Path) -> Policy:
    """Read a policy file; in pyproject.toml, the policy is under ``[tool.relhealth]``.

    Raises ``QuestionError``, which names the file, for any fault.
    """
    named = printable(str(path))
    document: Any = _document(path, _content(path))
    if path.name == PYPROJECT:
        tool = document.get("tool", {})
        document = tool.get("relhealth", {}) if isinstance(tool, Mapping) else {}
        if not isinstance(document, Mapping):
            raise QuestionError(f"{named}: tool.relhealth: expected a table")
    try:
        return from_document(document)
    except QuestionError as error:
        raise QuestionError(f"{named}: {error}") from None


def find_policy(folder: Path) -> Path | None:
    """Return the policy file of a folder: relhealth.toml, else pyproject.toml if it has one.

    Raises ``QuestionError`` for a file that exists but is not readable: a damaged policy
    is not the same as no policy.
    """
    own, project = folder / FILE, folder / PYPROJECT
    if os.path.lexists(own):
        return own
    if not os.path.lexists(project):
        return None
    content = _content(project)
    try:
        document = _document(project, content)
    except QuestionError:
        if b"tool.relhealth" in content:
            raise
        return None  # a matter for other tools
    tool = document.get("tool")
    return project if isinstance(tool, Mapping) and "relhealth" in tool else None


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        named = printable(str(path))
        raise QuestionError(f"{named}: cannot read the policy: {reason}") from None


def _document(path: Path, content: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise QuestionError(f"{printable(str(path))}: not TOML: {error}") from None


def _words(part: type[_Part]) -> list[str]:
    return [field.name for field in fields(part)]


def _only(given: Iterable[str], known: list[str], where: str) -> None:
    for word in given:
        if word not in known:
            raise QuestionError(
                f"{where}{printable(word)}: unknown word; known are {', '.join(known)}"
            )


def _check_words(where: str, given: Mapping[str, Any]) -> None:
    for setting, known in _WORDS.items():
        value = given.get(setting, known[0])
        if value not in known:
            told = printable(str(value))
            raise QuestionError(f"{where}{setting} {told!r}: unknown; known are {', '.join(known)}")


def _converted(given: Mapping[str, Any], part: type[_Part], where: str) -> _Part:
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
        return _converted(msgspec.to_builtins(policy, enc_hook=_plain), Policy, "policy: ")
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


def _check_rule(where: str, rule: Rule) -> None:
    def refuse(what: str) -> QuestionError:
        return QuestionError(f"{where}: {what}")

    if rule.metric not in METRICS and rule.metric != CRASH_FREE:
        known = ", ".join([*METRICS, CRASH_FREE])
        raise refuse(f"metric {printable(rule.metric)!r}: unknown; known are {known}")
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
    if rule.target is not None:
        _check_target(rule, rule.target, refuse)
    else:
        _check_baseline(rule, refuse)
    if rule.metric == "adoption" and rule.sequential:
        raise refuse(
            "adoption is of the last 24 hours, which a sequential rule cannot add up:"
            " write sequential = false for it"
        )
    if rule.metric in _OF_USERS and rule.sequential:
        raise refuse(
            f"{rule.metric} cannot be sequential, since a user counted without a crash may still"
            " have one: take a metric of sessions, with deff, or write sequential = false for it"
        )


def _check_least(rule: Rule, refuse: _Refuse) -> None:
    if rule.min_sessions < 0 or rule.min_users < 0:
        raise refuse("min_sessions and min_users: expected 0 or more")
    if not 1 <= rule.deff < float("inf"):
        raise refuse(f"deff {rule.deff:g}: expected 1 or more")
    if rule.deff > 1 and rule.metric in _OF_USERS:
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
    if duration and not 0 < target < float("inf"):
        raise refuse(f"target {target:g}: expected seconds above 0")
    if not duration and not 0 < target < 100:  # noqa: PLR2004 - percent
        raise refuse(
            f"target {target:g}: expected percent, above 0 and below 100, since no number of"
            " users shows a rate to be exactly one of these"
        )
    if rule.margin is not None or rule.same_age:
        raise refuse("margin and same_age are for a rule with a baseline")
    if rule.critical is not None:
        good = rule.metric == CRASH_FREE or METRICS[rule.metric].good
        worse = rule.critical <= target if good else rule.critical >= target
        if not worse or not 0 <= rule.critical < float("inf"):
            side = "at most" if good else "at least"
            raise refuse(f"critical {rule.critical:g}: expected {side} the target, {target:g}")


def _check_baseline(rule: Rule, refuse: _Refuse) -> None:
    if rule.metric in DURATIONS or rule.metric == "adoption":
        raise refuse(f"{rule.metric} takes a target, not a baseline")
    if not rule.baselines:
        raise refuse("baseline: expected 'previous', a release, or a list of releases")
    if rule.critical is not None:
        raise refuse("critical is for a rule with a target; a baseline takes a margin")
    if rule.margin is None or not 0 <= rule.margin < 100:  # noqa: PLR2004 - percentage points
        raise refuse("a baseline takes a margin, in percentage points, of 0 or more")
