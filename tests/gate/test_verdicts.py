"""Properties of verdicts: what must hold for any counts and any rule."""

from __future__ import annotations

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from relhealth.gate import power
from relhealth.gate.clustering import given as given_deff
from relhealth.gate.metrics import RATES
from relhealth.gate.policy import Policy, Rule
from relhealth.gate.verdict import (
    Counted,
    Judgement,
    Verdict,
    against_baseline,
    against_target,
    briefly,
    worse,
)

CRASH_FREE = RATES["crash_free_sessions"]
UNHANDLED = RATES["unhandled_session_rate"]
ORDER = list(Verdict)

totals = st.integers(1, 50_000)
shares = st.floats(0, 1)
targets = st.floats(50, 99.99)
flags = st.booleans()


def settled(rule: Rule) -> Rule:
    """Return a rule with the policy's defaults."""
    return Policy(rule=(rule,)).checked().rule[0]


def judged(bad: int, total: int, target: float, *, sequential: bool = False) -> Judgement:
    """Judge crash-free sessions by a target."""
    rule = settled(Rule(metric=CRASH_FREE.name, target=target, sequential=sequential))
    return against_target(CRASH_FREE, rule, counted(bad, total))


def counted(bad: int, total: int, deff: float = 1.0) -> Counted:
    """Return counts with a design effect."""
    return Counted(bad, total, given_deff(deff))


@given(total=totals, share=shares, target=targets, sequential=flags)
def test_what_passes_was_observed_to_be_well_and_what_fails_was_not(
    *, total: int, share: float, target: float, sequential: bool
) -> None:
    bad = int(share * total)
    observed = 100 * (1 - bad / total)
    found = judged(bad, total, target, sequential=sequential)
    assert found.lower is not None
    assert found.upper is not None
    assert found.lower <= observed + 1e-9 <= found.upper + 2e-9
    if found.verdict is Verdict.PASS:
        assert observed >= target
    if found.verdict is Verdict.FAIL:
        assert observed < target


@given(total=totals, share=shares, target=targets, sequential=flags)
def test_one_more_crash_never_makes_it_better(
    *, total: int, share: float, target: float, sequential: bool
) -> None:
    bad = int(share * (total - 1))
    fewer = judged(bad, total, target, sequential=sequential).verdict
    more = judged(bad + 1, total, target, sequential=sequential).verdict
    assert ORDER.index(more) >= ORDER.index(fewer)


@given(totals, shares, targets)
def test_sequential_bounds_decide_nothing_that_one_look_would_not(
    total: int, share: float, target: float
) -> None:
    bad = int(share * total)
    patient = judged(bad, total, target, sequential=True).verdict
    assert patient in {Verdict.INCONCLUSIVE, judged(bad, total, target).verdict}


@given(totals, st.integers(0, 20), targets)
def test_the_sessions_told_to_be_needed_are_enough_and_one_fewer_is_not(
    total: int, bad: int, target: float
) -> None:
    bad = min(bad, total)
    if judged(bad, total, target).verdict is not Verdict.INCONCLUSIVE:
        return
    rule = settled(Rule(metric=CRASH_FREE.name, target=target))
    enough = power.passing(CRASH_FREE, rule, given_deff(1.0), None)
    needed = power.more_needed(enough, counted(bad, total))
    assert needed is not None
    assert judged(bad, total + needed, target).verdict is Verdict.PASS
    assert judged(bad, total + needed - 1, target).verdict is not Verdict.PASS


@given(totals, shares, targets)
def test_good_when_low_is_the_mirror_of_good_when_high(
    total: int, share: float, target: float
) -> None:
    bad = int(share * total)
    rule = settled(Rule(metric=UNHANDLED.name, target=100 - target))
    mirrored = against_target(UNHANDLED, rule, counted(bad, total))
    assume(abs((mirrored.lower or 0) - (100 - target)) > 1e-6)
    assume(abs((mirrored.upper or 0) - (100 - target)) > 1e-6)
    assert mirrored.verdict is judged(bad, total, target).verdict


@given(
    total=totals,
    share=shares,
    base_total=totals,
    base_share=shares,
    margin=st.floats(0, 5),
    sequential=flags,
)
def test_a_release_is_never_worse_than_its_baseline_for_being_better(
    *,
    total: int,
    share: float,
    base_total: int,
    base_share: float,
    margin: float,
    sequential: bool,
) -> None:
    bad, base_bad = int(share * total), int(base_share * base_total)
    rule = settled(Rule(metric=CRASH_FREE.name, baseline="a", margin=margin, sequential=sequential))
    found = against_baseline(
        CRASH_FREE, rule, counted(bad, total), counted(base_bad, base_total), "a"
    )
    worse = 100 * (bad / total - base_bad / base_total)
    if found.verdict is Verdict.FAIL:
        assert worse > margin - 1e-9
    if found.verdict is Verdict.PASS:
        assert worse <= margin + 1e-9


@given(total=totals, share=shares, target=targets, deff=st.floats(1, 5), sequential=flags)
def test_a_verdict_is_the_same_briefly_and_by_bounds(
    *, total: int, share: float, target: float, deff: float, sequential: bool
) -> None:
    sample = counted(int(share * total), total, deff)
    rule = settled(Rule(metric=CRASH_FREE.name, target=target, sequential=sequential))
    found = against_target(CRASH_FREE, rule, sample)
    assume(abs((found.lower or 0) - target) > 1e-6)
    assume(abs((found.upper or 0) - target) > 1e-6)
    assert briefly(CRASH_FREE, rule, sample, None).verdict is found.verdict


@settings(max_examples=40)
@given(
    total=totals,
    share=st.floats(0, 0.2),
    base_total=totals,
    base_share=st.floats(0, 0.2),
    margin=st.floats(0.1, 5),
    relative=flags,
    sequential=flags,
)
def test_a_comparison_is_the_same_briefly_and_by_bounds(
    *,
    total: int,
    share: float,
    base_total: int,
    base_share: float,
    margin: float,
    relative: bool,
    sequential: bool,
) -> None:
    own, base = (
        counted(int(share * total), total),
        counted(int(base_share * base_total), base_total),
    )
    wanted: float | str = f"{100 * margin}%" if relative else margin
    rule = settled(Rule(metric=CRASH_FREE.name, baseline="a", margin=wanted, sequential=sequential))
    ends = worse(rule, own, base, rule.confidence or 0)
    assume(all(abs(end - rule.allowed.amount) > 1e-3 for end in (ends.lower, ends.upper)))
    found = against_baseline(CRASH_FREE, rule, own, base, "a")
    assert briefly(CRASH_FREE, rule, own, base).verdict is found.verdict
