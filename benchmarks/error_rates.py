"""How often the gate errs, exactly: probabilities summed over all outcomes, no random numbers.

Trials are independent: users or sessions at one look; at many looks sessions alone, since a user is
no finished trial. Prints the tables of docs/verdicts.md: python benchmarks/error_rates.py
"""

import sys
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy.stats import binom

from relhealth.gate.intervals import Method, always_valid, clopper_pearson, difference

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


def last(holds: Callable[[int], bool], n: int) -> int:
    """Return the greatest count, of ``n``, up to which something holds; -1 if for none."""
    low, high = -1, n
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low


def limits(method: Method, n: int, rate: float) -> tuple[int, int]:
    """Return the greatest count that passes a target of that rate, the greatest that fails not."""
    return (
        last(lambda k: method(k, n, CONFIDENCE).upper <= rate, n),
        last(lambda k: method(k, n, CONFIDENCE).lower <= rate, n),
    )


def one_look(n: int, rate: float, true: float) -> tuple[float, float]:
    """Return the chances to pass and to fail a target, the true rate being another or the same."""
    most, fine = limits(clopper_pearson, n, rate)
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


def ever(method: Method, looks: int, rate: float, true: float) -> tuple[float, float]:
    """Return the chances to ever pass, and to ever fail, in so many hourly looks.

    The counts of crashes are followed hour by hour; those past a limit are taken out.
    """
    hour = binom.pmf(np.arange(HOURLY + 1), HOURLY, true)
    passing, failing = np.ones(1), np.ones(1)
    for look in range(1, looks + 1):
        most, fine = limits(method, look * HOURLY, rate)
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
    methods = (("of one look", clopper_pearson), ("`sequential`", always_valid))
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
                    ever(always_valid, WEEK, TARGET, true)[side],
                ),
            ]
            for true, side in cases
        ],
    )


def tables() -> Iterator[tuple[str, str]]:
    """Yield each table with its name."""
    yield "target", of_target()
    yield "baseline", of_baseline()
    yield "looks", of_looks()
    yield "power", power()


def main() -> None:
    """Print every table."""
    for name, text in tables():
        sys.stdout.write(f"<!-- {name} -->\n\n{text}\n\n<!-- /{name} -->\n\n")


if __name__ == "__main__":
    main()
