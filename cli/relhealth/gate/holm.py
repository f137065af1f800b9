"""Holm's correction: several rules in one gate do not fail a good release more often than one."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from relhealth.core.words import counted
from relhealth.gate.outcome import Check
from relhealth.gate.verdict import Verdict


def corrected(checks: Sequence[Check], fails_at: Callable[[int, float], bool]) -> Iterator[Check]:
    """Yield each check; a fail that is due to the number of checks becomes inconclusive.

    One fail must hold at an error of alpha / m, where m is the number of checks that were judged,
    the next at alpha / (m - 1), and so on; where none is left that does, the others are no fails.
    A pass needs no correction, since a gate passes only if all checks do. ``fails_at`` returns
    whether a check, by its position, fails at a confidence. Source: S. Holm, Scandinavian Journal
    of Statistics 6 (1979).
    """
    judged = sum(check.judgement.is_judged for check in checks)
    left = [at for at, check in enumerate(checks) if check.verdict is Verdict.FAIL]
    divisor = judged
    while divisor > 1 and left:
        holds = [at for at in left if fails_at(at, 1 - (1 - _confidence(checks[at])) / divisor)]
        if not holds:
            break
        left.remove(holds[0])
        divisor -= 1
    lost = set(left) if divisor > 1 else set()
    for at, check in enumerate(checks):
        yield _softened(check, judged) if at in lost else check


def _softened(check: Check, judged: int) -> Check:
    told = check.judgement
    reason = (
        f"{told.reason} Alone this is a fail. Among {counted(judged, 'check')} it may be chance,"
        " so it does not count as one."
    )
    return replace(check, judgement=replace(told, verdict=Verdict.INCONCLUSIVE, reason=reason))


def _confidence(check: Check) -> float:
    if check.rule.confidence is None:
        raise LookupError("the policy of the rule was not checked")
    return check.rule.confidence
