"""Looks: a policy for one look errs more often if it is asked again and again.

A history file has a line of JSON for each look of a gate, the oldest first.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from relhealth.core.dimensions import Condition
from relhealth.core.errors import DataError, OutputError
from relhealth.core.printable import printable
from relhealth.core.scope import Asked as AskedRelease
from relhealth.core.windows import iso
from relhealth.core.words import counted
from relhealth.gate.outcome import Gate
from relhealth.gate.policy import Policy
from relhealth.questions.naming import LATEST

# Simulated: docs/verdicts.md, "The gate in use".
ERRORS = "up to 50% of releases at the limit, asked every hour for a week, and not 5%"
_REMEDY = "write sequential = true in the policy, or give --sequential"


def is_for_one_look(policy: Policy) -> bool:
    """Tell whether a rule of a checked policy is only right the first time it is asked."""
    return any(not rule.sequential for rule in policy.rule if rule.metric != "adoption")


def warning(why: str) -> str:
    """Return the warning to a policy for one look; ``why`` says what means several looks."""
    return f"{why}, and this policy is for one look: it errs for {ERRORS}; {_REMEDY}"


def told(
    gate: Gate,
    asked: Sequence[AskedRelease],
    history: Path | None,
    where: tuple[Condition, ...] = (),
) -> str | None:
    """Return the warning to a policy for one look that is asked again, and record this look.

    ``latest`` means several looks, since it is for gates that run again and again. A look at rows
    that meet other conditions, ``where``, is not the same.
    """
    before = 0
    if history is not None:
        before = earlier(history, gate, where)
        record(history, gate, where)
    if not is_for_one_look(gate.policy):
        return None
    if before:
        return warning(f"{history} has {counted(before, 'earlier look')}")
    return warning("'latest' is asked again and again") if LATEST in asked else None


def earlier(path: Path, gate: Gate, where: tuple[Condition, ...] = ()) -> int:
    """Return how many earlier looks of this policy at these releases a history file has.

    Raises ``DataError`` for a file that cannot be read or is no history.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return 0
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise DataError(f"{printable(str(path))}: cannot read the history: {reason}") from None
    policy, releases = _digest(gate.policy, where), set(_names(gate))
    return sum(
        look["policy"] == policy and bool(releases & set(look["releases"]))
        for look in (_look(path, number, line) for number, line in enumerate(lines, 1))
    )


def record(path: Path, gate: Gate, where: tuple[Condition, ...] = ()) -> None:
    """Append a look to a history file, and sync it; ``OutputError`` if that cannot be done."""
    line = json.dumps(
        {
            "looked": iso(gate.now),
            "policy": _digest(gate.policy, where),
            "releases": _names(gate),
            "verdict": gate.verdict.value,
        },
        ensure_ascii=False,
    )
    try:
        with open(path, "ab", buffering=0) as file:
            file.write(f"{line}\n".encode())
            os.fsync(file.fileno())
    except OSError as error:
        raise OutputError(
            f"{printable(str(path))}: cannot write the history: {(error.strerror or '').lower()}"
        ) from None


def _look(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        look = json.loads(line)
        if isinstance(look["policy"], str) and isinstance(look["releases"], list):
            return dict(look)
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    raise DataError(
        f"{printable(str(path))}: line {number} is no look of a gate; name a file that --history"
        " wrote, or a new one"
    )


def _digest(policy: Policy, where: tuple[Condition, ...]) -> str:
    told = repr((policy, where) if where else policy)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _names(gate: Gate) -> list[str]:
    return [f"{project}/{release}" for project, release in gate.releases]
