"""How often the gate errs: prints the tables of docs/verdicts.md.

    python benchmarks/error_rates.py [--runs N] [--minutes M] [--only SCENARIO] [--seed S]

The first tables are of the bounds, and exact: probabilities summed over all outcomes, without
random numbers. Their trials are independent. The last are of the gate in use: it judges generated
worlds, of users with many sessions and crashes that arrive late (``use_scenarios.py``).
"""

import argparse
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy.stats import binom

from relhealth.gate.intervals import Bounds, clopper_pearson, difference
from relhealth.gate.sequential import evidence_above, evidence_below

CONFIDENCE = 0.95
SIZES = (100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000)
RATES = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05)
CANDIDATES = (100, 500, 2_000)
BASELINE = 20_000
MARGINS = (0.0, 0.002, 0.005)
HOURLY = 50  # sessions
DAY, WEEK = 24, 168
TARGET = 0.005  # share of crashes
POWERED = (1_000, 2_000, 5_000, 20_000)
Limits = Callable[[int, float], tuple[int, int]]


def last(holds: Callable[[int], bool], n: int) -> int:
    """Return the greatest count, of ``n``, up to which something holds; -1 if for none."""
    low, high = -1, n
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low


def limits(n: int, rate: float) -> tuple[int, int]:
    """Return the greatest count that passes a target of that rate, the greatest that fails not."""

    def bounds(k: int) -> Bounds:
        return clopper_pearson(k, n, CONFIDENCE)

    return (
        last(lambda k: bounds(k).upper <= rate, n),
        last(lambda k: bounds(k).lower <= rate, n),
    )


def sequential_limits(n: int, rate: float) -> tuple[int, int]:
    """Return the same for a sequential rule: its bounds are where the evidence reaches this."""
    needed = -math.log1p(-CONFIDENCE)
    return (
        last(lambda k: k < rate * n and evidence_below(k, n, rate) >= needed, n),
        last(lambda k: k <= rate * n or evidence_above(k, n, rate) < needed, n),
    )


def one_look(n: int, rate: float, true: float) -> tuple[float, float]:
    """Return the chances to pass and to fail a target, the true rate being another or the same."""
    most, fine = limits(n, rate)
    return float(binom.cdf(most, n, true)), float(binom.sf(fine, n, true))


def compared(n: int, base: tuple[float, float], margin: float) -> tuple[int, int]:
    """Return the limits of a release's count next to a baseline's (count, whole)."""
    return (
        last(lambda k: difference((k, n), base, CONFIDENCE).upper <= margin, n),
        last(lambda k: difference((k, n), base, CONFIDENCE).lower <= margin, n),
    )


def against_baseline(n: int, rate: float, margin: float) -> tuple[float, float]:
    """Return the chances to pass and to fail for a release that is worse by just the margin."""
    mean, spread = BASELINE * rate, 7 * (BASELINE * rate) ** 0.5 + 10
    passed = failed = 0.0
    for count in range(max(0, int(mean - spread)), int(mean + spread)):
        weight = float(binom.pmf(count, BASELINE, rate))
        most, fine = compared(n, (count, BASELINE), margin)
        passed += weight * float(binom.cdf(most, n, rate + margin))
        failed += weight * float(binom.sf(fine, n, rate + margin))
    return passed, failed


def ever(method: Limits, looks: int, rate: float, true: float) -> tuple[float, float]:
    """Return the chances to ever pass, and to ever fail, in so many hourly looks.

    The counts of crashes are followed hour by hour; those past a limit are taken out.
    """
    hour = binom.pmf(np.arange(HOURLY + 1), HOURLY, true)
    passing, failing = np.ones(1), np.ones(1)
    for look in range(1, looks + 1):
        most, fine = method(look * HOURLY, rate)
        passing = np.convolve(passing, hour)
        passing[: most + 1] = 0
        failing = np.convolve(failing, hour)
        failing[fine + 1 :] = 0
    return 1 - float(passing.sum()), 1 - float(failing.sum())


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def percents(*shares: float) -> list[str]:
    """Return shares in percent, to two decimals."""
    return [f"{100 * share:.2f}" for share in shares]


def worst(chances: Sequence[tuple[float, float]]) -> list[str]:
    """Return the greatest chance of each kind, in percent."""
    return percents(max(one[0] for one in chances), max(one[1] for one in chances))


def of_target() -> str:
    """Return the greatest errors of the rates tested at one look, the true rate at the target."""
    return table(
        ["users", "false pass, %", "false fail, %"],
        [[f"{n:,}", *worst([one_look(n, rate, rate) for rate in RATES])] for n in SIZES],
    )


def of_baseline() -> str:
    """Return the greatest errors of the rates tested, for a release worse by just the margin."""
    return table(
        ["users of the release", "false pass, %", "false fail, %"],
        [
            [f"{n:,}", *worst([against_baseline(n, r, m) for r in RATES for m in MARGINS])]
            for n in CANDIDATES
        ],
    )


def of_looks() -> str:
    """Return the greatest errors of three rates at many looks, for a true rate at the target."""
    methods = (("of one look", limits), ("`sequential`", sequential_limits))
    return table(
        ["hourly looks", "bounds", "false pass, %", "false fail, %"],
        [
            [
                str(looks),
                name,
                *worst([ever(method, looks, rate, rate) for rate in (TARGET, 0.01, 0.05)]),
            ]
            for looks in (DAY, WEEK)
            for name, method in methods
        ],
    )


def power() -> str:
    """Return how often the verdict is the right one, away from the target."""
    cases = ((0.001, 0), (0.002, 0), (0.003, 0), (0.008, 1), (0.01, 1), (0.02, 1))
    return table(
        [
            "true crash-free, and to",
            *(f"{n:,} users" for n in POWERED),
            "a week of sessions, `sequential`",
        ],
        [
            [
                f"{100 - 100 * true:.1f} %, {('pass', 'fail')[side]}",
                *percents(
                    *(one_look(n, TARGET, true)[side] for n in POWERED),
                    ever(sequential_limits, WEEK, TARGET, true)[side],
                ),
            ]
            for true, side in cases
        ],
    )


def tables() -> Iterator[tuple[str, str]]:
    """Yield each exact table with its name."""
    yield "target", of_target()
    yield "baseline", of_baseline()
    yield "looks", of_looks()
    yield "power", power()


def of_use(chosen: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """Yield each simulated table with its name."""
    import use_tables as use
    from use_scenarios import SCENARIOS

    names = [chosen.only] if chosen.only else list(SCENARIOS)
    found = use.simulated(names, chosen.runs, chosen.seed, chosen.processes, chosen.minutes)
    least, of_power = (use.fewest(found, power=power) for power in (False, True))
    sys.stdout.write(f"{least} runs or more of each true rate, {of_power} of good and bad ones\n\n")
    yield "use", table(use.headings("scenario", "before"), use.errors(found, names))
    yield "use-power", table(use.headings("scenario"), use.power(found, names))


def main() -> None:
    """Print every table."""
    from use_scenarios import SCENARIOS

    parser = argparse.ArgumentParser(description="How often the gate errs.")
    parser.add_argument("--runs", type=int, default=400, help="generated worlds of each cell")
    parser.add_argument("--minutes", type=float, default=math.inf, help="end the runs after these")
    parser.add_argument("--only", choices=SCENARIOS, help="one scenario, no exact tables")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args()
    if not chosen.only:
        write(tables())
    write(of_use(chosen))


def write(named: Iterator[tuple[str, str]]) -> None:
    """Print tables between the marks of the page."""
    for name, text in named:
        sys.stdout.write(f"<!-- {name} -->\n\n{text}\n\n<!-- /{name} -->\n\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
