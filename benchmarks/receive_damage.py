"""Send thousands of damaged and hostile requests to `relhealth receive`, and watch it.

    pip install -e '.[test]'
    python benchmarks/receive_damage.py
    python benchmarks/receive_damage.py --count 500 --seed 7

Bombs in each encoding, deep nesting, wrong lengths and encodings, cut bodies, paths, header floods,
chunks, damaged requests and noise. A fault is a wrong code, a crash, an internal error, memory
without bound, or a file outside the data set. Ends with 1 if there is one.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from itertools import islice
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests" / "support"))

from hostile import GOOD, attacks, status_of
from receivers import KEY, receiving

MOST_MEMORY = 100  # megabytes more than before
OURS = ("_ledger", "_spool", "_staging", "date=")


def main() -> int:
    """Attack, and watch."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    faults: list[str] = []
    seen: Counter[str] = Counter()
    codes: Counter[int] = Counter()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="receive-damage-") as folder:
        dataset = Path(folder) / "data"
        with receiving(dataset, "--key", KEY, "--every", "5s", "--max-size", "5MB") as receiver:
            receiver.send(GOOD, f"/api/1/envelope/?sentry_key={KEY}")
            before = most = receiver.resident()
            for number, attack in enumerate(islice(attacks(given.seed), given.count)):
                status = status_of(receiver.raw(attack.sent))
                seen[attack.name] += 1
                codes[status] += 1
                if status not in attack.right:
                    faults.append(f"{number} {attack.name}: {status}, {attack.sent[:200]!r}")
                if number % 50 == 0:
                    most = max(most, receiver.resident())
            if receiver.send(GOOD, f"/api/1/envelope/?sentry_key={KEY}").status != 200:  # noqa: PLR2004
                faults.append("a good envelope is refused in the end")
            if receiver.metric('envelopes_total{status="500"}'):
                faults.append("internal errors")
        faults += [line for line in receiver.said if "internal error" in line]
        outside = [path.name for path in Path(folder).iterdir() if path.name != "data"]
        outside += [p.name for p in dataset.iterdir() if not p.name.startswith(OURS)]
        faults += [f"a file outside: {name}" for name in outside]
    if most - before > MOST_MEMORY:
        faults.append(f"{most - before} MB more memory")
    print(f"{given.count:,} requests in {time.monotonic() - began:.0f} s")
    print("kinds  ", dict(seen))
    print("answers", dict(sorted(codes.items())), "(0: closed without an answer)")
    print(f"resident {before} MB before, {most} MB at most")
    print(*receiver.said[-3:], sep="\n")
    print(f"{len(faults)} faults", *faults[:20], sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
