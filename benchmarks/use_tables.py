"""Tables of how often the gate errs in use, and how soon it decides, from many runs."""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing import get_context
from statistics import median
from typing import NamedTuple

from relhealth.gate.verdict import Verdict
from use_runs import Outcome, run
from use_scenarios import POLICIES, SCENARIOS, concerns

POWER = ("good", "bad")
MOST = 6  # percent; what is above it is bold
RARER = 4  # of so many runs, one is also made with a good and with a bad release


class Task(NamedTuple):
    """One generated world."""

    scenario: str
    kind: str
    number: int
    seed: int


Results = Mapping[tuple[str, str, str], Sequence[Outcome]]  # by scenario, truth, policy


def tasks(names: Sequence[str], runs: int, seed: int) -> Iterator[Task]:
    """Yield what to run: a world of each scenario and truth, and then the next of each."""
    for number in range(runs):
        for name in names:
            for kind in SCENARIOS[name].kinds:
                if not _is_tested(name, kind):
                    continue
                if kind not in POWER or number % RARER == 0:
                    yield Task(name, kind, number, seed)


def _is_tested(name: str, kind: str) -> bool:
    return any(concerns(policy, kind) for policy in SCENARIOS[name].policies)


def simulated(
    names: Sequence[str], runs: int, seed: int, processes: int, minutes: float
) -> Results:
    """Return the outcomes of so many runs, or of as many as the minutes allow."""
    found: dict[tuple[str, str, str], list[Outcome]] = defaultdict(list)
    ends = time.monotonic() + 60 * minutes
    with get_context("spawn").Pool(processes) as pool:
        for task, outcomes in pool.imap_unordered(_run, tasks(names, runs, seed), 4):
            for policy, outcome in outcomes.items():
                found[task.scenario, task.kind, policy].append(outcome)
            if time.monotonic() > ends:
                pool.terminate()
                break
    return found


def _run(task: Task) -> tuple[Task, dict[str, Outcome]]:
    return task, run(*task)


def errors(found: Results, names: Sequence[str]) -> list[list[str]]:
    """Return how often each policy ever passed, and ever failed, falsely; a row a scenario."""
    return [
        [
            SCENARIOS[name].text,
            SCENARIOS[name].before,
            *(_errors(found, name, policy) for policy in POLICIES),
        ]
        for name in names
    ]


def _errors(found: Results, name: str, policy: str) -> str:
    cells = []
    for kind, verdict in zip(POLICIES[policy].kinds, Outcome._fields, strict=True):
        outcomes = found.get((name, kind, policy))
        if outcomes is None:
            cells.append("-")
            continue
        share = _percent([getattr(one, verdict) is not None for one in outcomes])
        cells.append(f"**{share}**" if float(share) > MOST else share)
    return " / ".join(cells) if set(cells) != {"-"} else ""


def power(found: Results, names: Sequence[str]) -> list[list[str]]:
    """Return how often, and after how many hours, each policy was right; a row a scenario."""
    return [
        [SCENARIOS[name].text, *(_power(found, name, policy) for policy in POLICIES)]
        for name in names
        if set(POWER) & set(SCENARIOS[name].kinds)
    ]


def _power(found: Results, name: str, policy: str) -> str:
    told = []
    for kind, right in zip(POWER, (Verdict.PASS, Verdict.FAIL), strict=True):
        first = [one.first for one in found.get((name, kind, policy), ())]
        hours = [hour for verdict, hour in first if verdict is right and hour is not None]
        if first:
            share = _percent([verdict is right for verdict, _ in first], digits=0)
            told.append(f"{share} ({median(hours):g} h)" if hours else share)
    return " / ".join(told)


def fewest(found: Results, *, power: bool) -> int:
    """Return the fewest runs of a cell, of the right verdicts or of the false ones."""
    numbers = [len(runs) for (_, kind, _), runs in found.items() if (kind in POWER) == power]
    return min(numbers, default=0)


def headings(*first: str) -> list[str]:
    """Return the headings of a table with a column for each policy."""
    return [*first, *(one.text for one in POLICIES.values())]


def _percent(held: Sequence[bool], digits: int = 1) -> str:
    return f"{100 * sum(held) / len(held):.{digits}f}"
