"""Chooses the baseline of a rule: which releases it means, in which window, and why not others."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from relhealth.core.printable import printable
from relhealth.core.scope import ProjectRelease
from relhealth.core.windows import Window, iso
from relhealth.gate.outcome import Passed
from relhealth.gate.policy import Rule
from relhealth.questions.known import Environments, Known
from relhealth.questions.naming import PREVAILING, PREVIOUS, matching

_NAMED = 3  # releases that a reason names
_A_LAUNCH = "100 sessions, or 1% of its project's, in an hour"
_NOT_LAUNCHED = f"the release has not yet had {_A_LAUNCH}"


@dataclass(frozen=True, slots=True)
class Asked:
    """A release's figures in one window, as a rule needs them."""

    pair: ProjectRelease
    environments: Environments
    window: Window


@dataclass(frozen=True, slots=True)
class Baselines:
    """The possible baselines, best first, and those that are out of the question.

    ``candidate`` is the judged release, in the window that is compared with theirs.
    """

    candidate: Asked
    possible: tuple[Asked, ...] = ()
    passed_over: tuple[Passed, ...] = ()
    why_none: str | None = None  # why there can be none, whatever the others are


def baselines(known: Known, rule: Rule, candidate: Asked) -> Baselines:
    """Return the baselines of a rule for a release, in the windows to compare."""
    if not rule.baselines:
        return Baselines(candidate)  # and so nobody need look 90 days back
    launched = None
    if rule.same_age:
        launched = known.launched(rule.environments, candidate.pair, ever=True)
        if launched is None or launched >= candidate.window.end:
            return Baselines(candidate, why_none=_NOT_LAUNCHED)
        window = Window(max(candidate.window.start, launched), candidate.window.end)
        candidate = Asked(candidate.pair, candidate.environments, window)
    possible: list[Asked] = []
    passed: list[Passed] = []
    for name in dict.fromkeys(_names(known, rule, candidate)):
        if name == candidate.pair[1]:
            continue
        asked = Asked((candidate.pair[0], name), rule.environments, candidate.window)
        found = asked if launched is None else _as_old(known, asked, launched)
        why = found if isinstance(found, str) else _absent(known, found, ever=rule.same_age)
        if isinstance(found, str) or why is not None:
            passed.append(Passed(name, str(why)))
        else:
            possible.append(found)
    return Baselines(candidate, tuple(possible), tuple(passed))


def differs_from_prevailing(known: Known, rule: Rule, candidate: Asked, chosen: str) -> str | None:
    """Return the warning where ``previous`` is not what most users had before the release."""
    if PREVIOUS not in rule.baselines:
        return None
    prevailing = known.prevailing(rule.environments, candidate.pair)
    if prevailing in {None, chosen}:
        return None
    return (
        f"{printable(chosen)} is the release previous to {printable(candidate.pair[1])}, but most"
        f" sessions before it were of {printable(str(prevailing))}: to compare with that, use"
        ' baseline = "prevailing"'
    )


def none_found(rule: Rule, found: Baselines, passed_over: tuple[Passed, ...], where: str) -> str:
    """Return why a rule has no baseline."""
    if found.why_none is not None:
        return f"no baseline of its age{where}: {found.why_none}"
    if passed_over:
        told = "; ".join(f"{printable(one.release)} {one.why}" for one in passed_over[:_NAMED])
        more = len(passed_over) - _NAMED
        return f"no baseline{where}: {told}{f'; and {more:,} more' if more > 0 else ''}"
    if PREVAILING in rule.baselines:
        return f"no other release of its package had sessions{where} before it was launched"
    if PREVIOUS in rule.baselines:
        how = "seen before it" if rule.previous_by == "time" else "of its package, by version,"
        return f"no earlier release {how} has sessions{where} to compare with"
    names = ", ".join(printable(name) for name in rule.baselines)
    return f"no baseline has sessions{where}: {names}"


def _names(known: Known, rule: Rule, candidate: Asked) -> Iterator[str]:
    for name in rule.baselines:
        if name == PREVIOUS:
            yield from known.previous(rule.environments, candidate.pair, by=rule.previous_by)
        elif name == PREVAILING:
            found = known.prevailing(rule.environments, candidate.pair)
            if found is not None:
                yield found
        else:
            yield _meant(known, rule, candidate, name)


def _meant(known: Known, rule: Rule, candidate: Asked, name: str) -> str:
    """Return the release of the project that a name without its build or package means."""
    names = {
        release
        for project, release in known.seen(rule.environments)
        if project == candidate.pair[0] and release is not None
    }
    found = [] if name in names else matching(name, names, strictly=True)
    return found[0] if len(found) == 1 else name


def _absent(known: Known, asked: Asked, *, ever: bool) -> str | None:
    """Return why a release has no sessions in a window, or None."""
    seen = known.seen_of(asked.environments, asked.pair, ever=ever)
    if seen is None:
        return "has no session in 90 days"
    if seen.first >= asked.window.end or seen.last < asked.window.start:
        return f"has no session from {iso(asked.window.start)} to {iso(asked.window.end)}"
    return None


def _as_old(known: Known, asked: Asked, launched: datetime) -> Asked | str:
    """Return the window in which the other release was as old as the candidate is now, or why not.

    Age counts in full hours from the launch; ``launched`` is the candidate's, ``asked`` the other
    release in the candidate's window.
    """
    its = known.launched(asked.environments, asked.pair, ever=True)
    if its is None:
        return f"has not had {_A_LAUNCH}"
    if its <= (known.history_began(asked.environments, asked.pair[0]) or its):
        return "was launched before the data begin"
    younger = launched - its
    if younger < timedelta():
        return "is younger"
    window = Window(asked.window.start - younger, asked.window.end - younger)
    return Asked(asked.pair, asked.environments, window)
