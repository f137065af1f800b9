"""Properties of verdicts: what must hold for any counts and any rule."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from relhealth.gate.metrics import RATES
from relhealth.gate.policy import Policy, Rule
from relhealth.gate.verdict import Judgement, Verdict, against_baseline, against_target

CRASH_FREE = RATES["crash_free_sessions"]
UNHANDLED = RATES["unhandled_session_rate"]
ORDER = list(Verdict)

wholes = st.integers(1, 50_000)
shares = st.floats(0, 1)
targets = st.floats(50, 99.99)
flags = st.booleans()


def settled(rule: Rule) -> Rule:
    """Return a rule with the policy's defaults."""
    return Policy(rule=(rule,)).checked().rule[0]


def judged(bad: int, whole: int, target: float, *, sequential: bool = False) -> Judgement:
    """Judge crash-free sessions by a target."""
    rule = settled(Rule(metric=CRASH_FREE.name, target=target, sequential=sequential))
    return against_target(CRASH_FREE, rule, bad, whole)


@given(whole=wholes, share=shares, target=targets, sequential=flags)
def test_what_passes_was_observed_to_be_well_and_what_fails_was_not(
    *, whole: int, share: float, target: float, sequential: bool
) -> None:
    bad = int(share * whole)
    observed = 100 * (1 - bad / whole)
    found = judged(bad, whole, target, sequential=sequential)
    assert found.lower is not None
    assert found.upper is not None
    assert found.lower <= observed + 1e-9 <= found.upper + 2e-9
    if found.verdict is Verdict.PASS:
        assert observed >= target
    if found.verdict is Verdict.FAIL:
        assert observed < target


@given(whole=wholes, share=shares, target=targets, sequential=flags)
def test_one_more_crash_never_makes_it_better(
    *, whole: int, share: float, target: float, sequential: bool
) -> None:
    bad = int(share * (whole - 1))
    fewer = judged(bad, whole, target, sequential=sequential).verdict
    more = judged(bad + 1, whole, target, sequential=sequential).verdict
    assert ORDER.index(more) >= ORDER.index(fewer)


@given(wholes, shares, targets)
def test_sequential_bounds_decide_nothing_that_one_look_would_not(
    whole: int, share: float, target: float
) -> None:
    bad = int(share * whole)
    patient = judged(bad, whole, target, sequential=True).verdict
    assert patient in {Verdict.INCONCLUSIVE, judged(bad, whole, target).verdict}


@given(wholes, st.integers(0, 20), targets)
def test_the_sessions_told_to_be_needed_are_enough_and_one_fewer_is_not(
    whole: int, bad: int, target: float
) -> None:
    bad = min(bad, whole)
    found = judged(bad, whole, target)
    if found.verdict is not Verdict.INCONCLUSIVE:
        assert found.needed is None
        return
    assert found.needed is not None
    assert judged(bad, whole + found.needed, target).verdict is Verdict.PASS
    assert judged(bad, whole + found.needed - 1, target).verdict is not Verdict.PASS


@given(wholes, shares, targets)
def test_good_when_low_is_the_mirror_of_good_when_high(
    whole: int, share: float, target: float
) -> None:
    bad = int(share * whole)
    rule = settled(Rule(metric=UNHANDLED.name, target=100 - target))
    mirrored = against_target(UNHANDLED, rule, bad, whole)
    assume(abs((mirrored.lower or 0) - (100 - target)) > 1e-6)
    assume(abs((mirrored.upper or 0) - (100 - target)) > 1e-6)
    assert mirrored.verdict is judged(bad, whole, target).verdict


@given(
    whole=wholes,
    share=shares,
    base_whole=wholes,
    base_share=shares,
    margin=st.floats(0, 5),
    sequential=flags,
)
def test_a_release_is_never_worse_than_its_baseline_for_being_better(
    *,
    whole: int,
    share: float,
    base_whole: int,
    base_share: float,
    margin: float,
    sequential: bool,
) -> None:
    bad, base_bad = int(share * whole), int(base_share * base_whole)
    rule = settled(Rule(metric=CRASH_FREE.name, baseline="a", margin=margin, sequential=sequential))
    found = against_baseline(CRASH_FREE, rule, (bad, whole), (base_bad, base_whole), "a")
    worse = 100 * (bad / whole - base_bad / base_whole)
    if found.verdict is Verdict.FAIL:
        assert worse > margin - 1e-9
    if found.verdict is Verdict.PASS:
        assert worse <= margin + 1e-9
