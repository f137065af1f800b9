"""The simulated use is that of the real gate, and it tells a gate that errs from others."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
import pytest

from places import ROOT
from relhealth import ReleaseHealth
from relhealth.gate import late
from relhealth.gate.run import Judge
from relhealth.gate.verdict import Verdict

if TYPE_CHECKING:
    import use_memory as memory
    import use_runs as runs
    import use_scenarios as scenarios
    import use_tables as tables
    import use_world as worlds
else:
    BENCHMARKS = str(ROOT / "benchmarks")
    sys.path.insert(0, BENCHMARKS)
    import use_memory as memory
    import use_runs as runs
    import use_scenarios as scenarios
    import use_tables as tables
    import use_world as worlds

    sys.path.remove(BENCHMARKS)

if TYPE_CHECKING:
    from pathlib import Path

    from relhealth.gate.policy import Policy

SEED = 5


def look(name: str, kind: str, *policies: Policy, count: int = 30) -> list[list[runs.Outcome]]:
    """Return the outcomes of policies on the same generated worlds."""
    scenario = scenarios.SCENARIOS[name]
    found: list[list[runs.Outcome]] = [[] for _ in policies]
    for number in range(count):
        world = scenarios.world(scenario, kind, scenarios.generator(SEED, number))
        for policy, outcomes in zip(policies, found, strict=True):
            pairs = scenarios.releases(scenario)
            outcomes.append(runs.look(world, policy, pairs, [scenario.once or 24]))
    return found


def one(name: str, policy: str) -> Policy:
    """Return a policy with the settings of a scenario."""
    return scenarios.policy(scenarios.SCENARIOS[name], policy)


@pytest.mark.parametrize(
    ("name", "kind", "hour", "policies"),
    [
        ("rolled back", "bad", 9, ("target", "margin", "share")),
        ("tester", "margin", 26, ("target once", "same age")),
        ("late", "users margin", 12, ("users", "users margin")),
        ("many", "critical", 6, ("target", "users")),
    ],
)
def test_what_arrays_answer_is_what_the_gate_reads_from_files(
    name: str, kind: str, hour: int, policies: tuple[str, ...], tmp_path: Path
) -> None:
    scenario = scenarios.SCENARIOS[name]
    world = scenarios.world(scenario, kind, scenarios.generator(SEED))
    if scenario.many:
        world = {key: sessions for key, sessions in world.items() if key[1] < "shop@2.0.3"}
    else:
        world = {key: thinned(sessions) for key, sessions in world.items()}
    pairs = tuple(dict.fromkeys((1, release) for _, release in world))
    pairs = pairs if scenario.many else scenarios.releases(scenario)
    now = worlds.LAUNCH + hour * worlds.HOUR
    instant = datetime.fromtimestamp(now, UTC)
    pq.write_table(worlds.table(world, now), tmp_path / "use.parquet")
    with ReleaseHealth(str(tmp_path / "use.parquet")) as health:
        for policy in policies:
            of = scenarios.policy(scenario, policy)
            expected = health.gate(pairs, of, now=instant)
            asking = memory.Remembered(world, now)
            judge = Judge(asking, of, instant)
            plans = judge.plans(pairs)
            found = judge.checks(plans, judge.read(plans)[0])
            assert any(check.sample.denominator for check in found)
            assert found == expected.checks
            assert runs.verdict_at(world, of, pairs, hour) is expected.verdict


def thinned(sessions: worlds.Sessions) -> worlds.Sessions:
    """Return the sessions of a fifth of the users, so that their rows are soon written."""
    own, crashed = sessions.user % 5 == 0, sessions.crash_user % 5 == 0
    return replace(
        sessions,
        began=sessions.began[own],
        user=sessions.user[own],
        crash_began=sessions.crash_began[crashed],
        crash_user=sessions.crash_user[crashed],
        arrived=sessions.arrived[crashed],
    )


@pytest.mark.parametrize("kind", ["good", "bad"])
@pytest.mark.parametrize("policy", ["margin", "share", "users margin"])
def test_evidence_that_is_left_out_could_not_have_decided(policy: str, kind: str) -> None:
    scenario = scenarios.SCENARIOS["usual"]
    of, pairs = scenarios.policy(scenario, policy), scenarios.releases(scenario)
    world = scenarios.world(scenario, kind, scenarios.generator(SEED))
    hours = range(2, 49, 3 if kind == "good" else 1)
    verdicts = []
    for hour in hours:
        verdicts.append(runs.verdict_at(world, of, pairs, hour))
        assert verdicts[-1] is runs.verdict_at(world, of, pairs, hour, every=True)
        if len(set(verdicts)) > 1:
            break
    assert set(verdicts) == {
        Verdict.INCONCLUSIVE,
        Verdict.PASS if kind == "good" else Verdict.FAIL,
    }


def test_generated_users_crash_as_often_as_they_should() -> None:
    crashes = worlds.Crashes(0.05, 0.3, 1.0)
    users = worlds.Users(40_000, 20, 24, growth=3)
    found = worlds.sessions(scenarios.generator(SEED), users, crashes)
    assert len(found.crash_began) / len(found.began) == pytest.approx(0.05, abs=0.003)
    assert (found.arrived - found.crash_began).mean() == pytest.approx(worlds.HOUR, rel=0.1)
    first = np.full(users.number, np.iinfo(np.int64).max)
    np.minimum.at(first, found.user, found.began)
    near = found.crash_began < first[found.crash_user] + worlds.HOUR
    share = len(np.unique(found.crash_user[near])) / users.number
    expected = worlds.crash_in_first(1, crashes, users.daily)
    assert 0.05 < expected < 0.06
    assert share == pytest.approx(expected, abs=0.004)
    # After a third of the time, one of three doublings is over: 2 - 1 of 8 - 1.
    joined = np.sort(first - worlds.LAUNCH) / worlds.HOUR
    assert np.searchsorted(joined, 20 / 3) / users.number == pytest.approx(1 / 7, abs=0.01)


def test_the_gate_seldom_errs_in_use() -> None:
    # Were it 6 %, as many as these would be wrong in fewer than 1 of 150 sets of as many runs.
    count, most = 20, 5
    for name, kind, policies in (
        ("clustered", "target", ("target", "target once")),
        ("clustered", "critical", ("target", "target once")),
        ("tester", "margin", ("same age",)),
        ("rolled back", "margin", ("margin",)),
        ("young", "users", ("users",)),
    ):
        chosen = replace(scenarios.SCENARIOS[name], policies=policies, looks=(2, 6, 12, 18, 24))
        outcomes = [runs.run_of(chosen, kind, (SEED, number)) for number in range(count)]
        for policy in policies:
            for at, tested in enumerate(scenarios.POLICIES[policy].kinds):
                if tested == kind:
                    wrong = sum(outcome[policy][at] is not None for outcome in outcomes)
                    assert wrong < most, (name, policy, kind)


def test_the_simulation_sees_a_gate_that_errs(monkeypatch: pytest.MonkeyPatch) -> None:
    # Sessions of a user crash together: the design effect is what holds.
    policy = one("clustered", "target once")
    blind = replace(policy, rule=(replace(policy.rule[0], deff=1.0),))
    seeing, unseeing = look("clustered", "target", policy, blind, count=150)
    assert passed(seeing) <= 12 < passed(unseeing)
    # Crashes arrive late: a pass must allow for them.
    policy = replace(one("late", "target once"), settle="0")
    (allowing,) = look("late", "target", policy, count=30)
    monkeypatch.setattr(late, "DELAY", timedelta(seconds=1))
    (hasty,) = look("late", "target", policy, count=30)
    assert passed(allowing) <= 4
    assert passed(hasty) >= 12


def passed(outcomes: list[runs.Outcome]) -> int:
    """Return how many passed."""
    return sum(outcome.passed is not None for outcome in outcomes)


def test_results_are_summed_up_by_scenario_and_policy() -> None:
    names = ["usual"]
    kinds = [task.kind for task in tables.tasks(names, 5, SEED)]
    assert kinds.count("margin") == 5
    assert kinds.count("good") == 2  # one of four
    found = {
        ("usual", "target", "target"): [runs.Outcome(3, None), runs.Outcome(None, 2)],
        ("usual", "critical", "target"): [runs.Outcome(1, 4), runs.Outcome(None, 2)],
        ("usual", "good", "target"): [
            runs.Outcome(10, None),
            runs.Outcome(20, 30),
            runs.Outcome(9, 3),
            runs.Outcome(None, None),
        ],
    }
    (errors,), (power,) = tables.errors(found, names), tables.power(found, names)
    assert errors[:4] == ["nothing special", "", "**50.0** / **100.0**", ""]
    assert power[:3] == ["nothing special", "50 (15 h)", ""]
    assert (tables.fewest(found, power=False), tables.fewest(found, power=True)) == (2, 4)
