"""The gate in the ways in which it is used: young and rolled-back releases, cron, typos, waits."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

import rows
from command import Result, run
from relhealth.core.errors import ExitCode
from rows import NOON, duration, session, user

if TYPE_CHECKING:
    from pathlib import Path

NOW = "2026-03-02T14:30:00Z"
R = rows.RELEASE
TARGET = ["--target", "99"]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def counts(sessions: int, crashed: int = 0, *, hours: float = 0, **columns: Any) -> list[rows.Row]:
    """So many sessions, some crashed, that many hours before noon."""
    at = {"timestamp": NOON - timedelta(hours=hours), **columns}
    found = [session(value=float(sessions), **at)]
    return [*found, session("crashed", value=float(crashed), **at)] if crashed else found


def gate(given: list[rows.Row], *args: str, release: str = R, now: str = NOW) -> Result:
    """Judge a release of just these rows."""
    return run("gate", rows.write("sessions.parquet", given), "--now", now, "-r", release, *args)


def check(given: list[rows.Row], *args: str, release: str = R, now: str = NOW) -> dict[str, Any]:
    """Return the one check."""
    result = gate(given, *args, "-f", "json", release=release, now=now)
    (found,) = json.loads(result.out)["data"]
    return dict(found)


# Baselines.

# A version that most have, one that was rolled back, and the fix of it.
ROLLED_BACK = [
    *counts(5_000, 15, hours=48, release="shop@3.8.1"),
    *counts(300, 30, hours=30, release="shop@3.9.0"),
    *counts(5_000, 15, hours=29, release="shop@3.8.1"),
    *counts(20, 2, hours=4, release="shop@3.9.0"),
    *counts(5_000, 15, hours=4, release="shop@3.8.1"),
    *counts(2_000, 40, hours=3, release="shop@3.9.1"),
]


def test_a_fix_is_compared_with_what_most_users_have_not_with_what_was_rolled_back() -> None:
    found = check(ROLLED_BACK, "--margin", "0.5", release="shop@3.9.1")
    assert (found["verdict"], found["baseline"]) == ("fail", "shop@3.8.1")
    previous = gate(ROLLED_BACK, "--margin", "0.5", "--baseline", "previous", release="shop@3.9.1")
    assert previous.code == ExitCode.OK  # it is better than the one that was rolled back
    assert "shop@3.9.0 is the release previous to shop@3.9.1, but most sessions" in previous.err
    assert (
        'before it were of shop@3.8.1: to compare with that, use baseline = "prevailing"'
        in previous.err
    )


def test_a_previous_release_that_prevailed_needs_no_warning() -> None:
    given = [*counts(900, hours=20, release="shop@0.9.0"), *counts(900)]
    assert "prevailing" not in gate(given, "--margin", "1", "--baseline", "previous").err


def test_the_prevailing_release_is_of_the_package_the_environment_and_the_time_before() -> None:
    given = [
        *counts(9_000, hours=9, release="api@1.0.0"),
        *counts(9_000, hours=9, release="shop@0.7.0", environment="beta"),
        *counts(500, hours=9, release="shop@0.8.0", environment="production"),
        *counts(600, hours=9, release="shop@0.9.0", environment="production"),
        *counts(9_000, environment="production"),
        *counts(9_000, release="shop@0.8.0", environment="production"),
    ]
    assert check(given, "--margin", "1", "-e", "production")["baseline"] == "shop@0.9.0"
    assert check(given, "--margin", "1")["baseline"] == "shop@0.7.0"
    alone = check(counts(900), "--margin", "1")
    assert alone["reason"] == (
        "no other release of its package had sessions before it was launched"
    )


def test_a_baseline_with_too_few_sessions_is_passed_over_and_named(tmp_path: Path) -> None:
    (tmp_path / "relhealth.toml").write_text(
        '[[gate.rule]]\nbaseline = ["shop@0.9.0", "shop@0.8.0"]\nmargin = 1\n'
        "min_baseline_sessions = 500\n"
    )
    given = [
        *counts(1_000),
        *counts(499, release="shop@0.9.0"),
        *counts(500, release="shop@0.8.0"),
    ]
    found = check(given)
    assert found["baseline"] == "shop@0.8.0"
    why = "has 499 sessions of at least 500"
    assert found["passed_over"] == [{"release": "shop@0.9.0", "why": why}]
    assert f"shop@0.9.0 {why}" in " ".join(gate(given, "--explain").out.split())
    few = check([*counts(1_000), *counts(499, release="shop@0.9.0")])
    assert few["verdict"] == "inconclusive"
    assert f"no baseline: shop@0.8.0 has no session in 90 days; shop@0.9.0 {why}" in few["reason"]


def test_age_counts_from_the_launch_not_from_a_tester(tmp_path: Path) -> None:
    (tmp_path / "relhealth.toml").write_text(
        '[[gate.rule]]\nbaseline = "shop@0.9.0"\nmargin = 1\nsame_age = true\n'
    )
    given = [
        *counts(1_000, hours=200, release="shop@0.8.0"),
        *counts(1_000, 50, hours=100, release="shop@0.9.0"),  # at once
        *counts(1_000, 0, hours=96, release="shop@0.9.0"),
        *counts(5_000, hours=3, release="shop@0.9.0"),
        *counts(1_000, 50, hours=3),
    ]
    tester = [*given, *counts(1, hours=75), *counts(4_000, hours=75, release="shop@0.9.0")]
    for some in (given, tester):
        found = check(some)
        # Four hours of each, in full hours, however much of an hour is over.
        assert found["window"] == {"start": "2026-03-02T09:00:00Z", "end": "2026-03-02T13:00:00Z"}
        assert found["baseline_window"]["start"] == "2026-02-26T08:00:00Z"
        assert found["baseline_window"]["end"] == "2026-02-26T12:00:00Z"
        assert found["baseline_denominator"] == 1_000


def test_a_history_that_begins_after_the_launch_has_no_baseline_of_an_age(tmp_path: Path) -> None:
    (tmp_path / "relhealth.toml").write_text(
        '[[gate.rule]]\nbaseline = "shop@0.9.0"\nmargin = 1\nsame_age = true\n'
    )
    given = [*counts(1_000, hours=100, release="shop@0.9.0"), *counts(1_000, hours=3)]
    assert "shop@0.9.0 was launched before the data begin" in check(given)["reason"]
    few = [*counts(1_000, hours=100, release="shop@0.9.0"), *counts(5, hours=3)]
    few += counts(1_000, hours=3, release="shop@0.9.0")
    assert "has not yet had 100 sessions, or 1% of" in check(few)["reason"]


@pytest.mark.parametrize(
    ("margin", "verdict", "told"),
    [
        ("20%", "fail", "longer than 1.2 times that of shop@0.9.0 (95% sure); the margin is 20%"),
        ("150%", "pass", "shorter than 2.5 times that of shop@0.9.0 (95% sure)"),
        ("80", "pass", "longer than that of shop@0.9.0 (95% sure); the margin is 80 s"),
    ],
)
def test_durations_are_compared_with_a_baseline(margin: str, verdict: str, told: str) -> None:
    given = [
        *counts(900),
        *counts(900, release="shop@0.9.0", hours=2),
        *(duration(100 + n / 10) for n in range(200)),
        *(
            duration(50 + n / 10, release="shop@0.9.0", timestamp=NOON - timedelta(hours=2))
            for n in range(200)
        ),
    ]
    found = check(given, "--metric", "duration_p50", "--margin", margin)
    assert (found["verdict"], found["baseline"]) == (verdict, "shop@0.9.0")
    assert told in found["reason"]


# Exposure.


def lives(users: int, crash_after: dict[int, float], began: float) -> list[rows.Row]:
    """Users with a session that many hours before noon, some with a crash some hours after it."""
    first = NOON - timedelta(hours=began)
    given = [session(value=float(users), timestamp=first)]
    given += [user(number, timestamp=first) for number in range(users)]
    for number, hours in crash_after.items():
        crashed = first + timedelta(hours=hours)
        given += [session(timestamp=crashed), session("crashed", timestamp=crashed)]
        given += [user(number, timestamp=crashed), user(number, "crashed", timestamp=crashed)]
    return given


FOLLOWED = ["--metric", "crash_free_users", "--follow-up", "1h", *TARGET]


def test_a_user_is_followed_for_as_long_as_any_other() -> None:
    # Of 1,000 users who began at 9:00, one crashed at once, two after half an hour, nine later.
    given = lives(1_000, {0: 0, 1: 0.5, 2: 0.5} | dict.fromkeys(range(10, 19), 2), 3)
    found = check(given, *FOLLOWED)
    assert (found["numerator"], found["denominator"]) == (997, 1_000)
    assert found["follow_up"] == "1h"
    # 50 more came at 12:30: 13:00, where what has settled ends, is less than an hour later.
    late = [user(number, timestamp=NOON + timedelta(minutes=30)) for number in range(5_000, 5_050)]
    found = check([*given, *late], *FOLLOWED)
    assert found["denominator"] == 1_000
    assert check([*given, *late], *FOLLOWED, "--settle", "0")["denominator"] == 1_050
    told = " ".join(gate(given, *FOLLOWED, "--explain").out.split())
    assert "3 of 1,000 users crashed within 1h of their first session." in told
    assert "1,000 users whose first session in the window began at least 1h earlier" in told


def test_users_who_were_not_followed_are_no_trials() -> None:
    given = [session(), *(user(number) for number in range(100))]
    given = [row | {"timestamp": NOON + timedelta(minutes=30)} for row in given]
    found = check(given, *FOLLOWED)
    assert (found["verdict"], found["denominator"]) == ("inconclusive", 0)
    assert found["reason"] == "no users followed for 1h in the window"


def test_the_newest_hours_do_not_count_until_they_have_settled() -> None:
    given = [*counts(1_000, 10, hours=3), *counts(9_000, hours=-1.2)]
    assert check(given, *TARGET)["denominator"] == 1_000
    assert check(given, *TARGET, "--settle", "0")["denominator"] == 10_000
    assert check(given, *TARGET, "--settle", "6h")["verdict"] == "inconclusive"
    new = check(counts(1_000, hours=-1.2), *TARGET)
    assert new["reason"] == (
        "its first session began at 2026-03-02T13:12:00Z, and sessions count 1h after they begin"
    )


# Looks.


def test_a_policy_for_one_look_warns_when_it_is_asked_again(tmp_path: Path) -> None:
    again = "this policy is for one look: it errs for up to 50% of releases at the limit"
    history = ["--history", "looks.jsonl"]
    given = counts(1_000, 5)
    assert again not in gate(given, *TARGET).err
    assert again in gate(given, *TARGET, release="latest").err
    assert again not in gate(given, *TARGET, *history).err
    second = gate(given, *TARGET, *history)
    assert f"looks.jsonl has 1 earlier look, and {again}" in second.err
    assert again not in gate(given, "--target", "98", *history).err  # another policy
    assert again not in gate(given, *TARGET, "--sequential", *history, release="latest").err
    looks = (tmp_path / "looks.jsonl").read_text().splitlines()
    assert [json.loads(line)["verdict"] for line in looks[:2]] == ["inconclusive"] * 2
    (tmp_path / "looks.jsonl").write_text('{"a": 1}\n')
    damaged = gate(given, *TARGET, *history)
    assert damaged.code == ExitCode.DATA
    assert "looks.jsonl: line 1 is no look of a gate" in damaged.err


def test_a_wait_ends_with_its_time() -> None:
    began = time.monotonic()
    args = [*TARGET, "--sequential", "--wait", "2s", "--every", "1s"]
    waited = gate(counts(9), *args, now="latest")
    assert waited.code == ExitCode.GATE_INCONCLUSIVE
    assert 2 <= time.monotonic() - began < 20
    assert waited.err.count("the next look is in") >= 1
    at_once = gate(counts(100, 90), *args, "--settle", "0", now="latest")
    assert at_once.code == ExitCode.GATE_FAILED
    assert "the next look" not in at_once.err
    past = gate(counts(9), *args)
    assert past.code == ExitCode.USAGE
    assert "--wait looks as time goes by: leave --now out" in past.err


def test_quiet_still_prints_what_does_not_pass() -> None:
    assert gate(counts(10_000), *TARGET, "--quiet").err == ""
    failed = gate(counts(10_000, 900), *TARGET, "--quiet")
    assert failed.err == "relhealth: fail: stop the rollout (1 check: 1 fail)\n"


# What is certain, and what is not there.


@pytest.mark.parametrize("release", ["shop@1.0.O", "shop@1.0"])
def test_a_release_that_no_data_knows_never_passes(release: str) -> None:
    result = gate(counts(10_000), *TARGET, "--inconclusive", "pass", release=release)
    assert result.code == ExitCode.GATE_INCONCLUSIVE
    assert f"check the name, or none has arrived yet. The most similar is {R}." in result.out
    assert "no data to judge" in result.err


def test_a_fail_that_is_certain_needs_no_minimum(tmp_path: Path) -> None:
    (tmp_path / "relhealth.toml").write_text(
        "[[gate.rule]]\ntarget = 99\nmin_users = 500\nmin_sessions = 5_000\n"
        "when = { sessions = 1_000 }\n"
    )
    assert check(counts(168, 14))["verdict"] == "fail"
    assert check(counts(168, 1))["reason"].startswith("waits for 1,000 sessions")


def test_what_a_window_cannot_hold_is_said_with_what_to_change() -> None:
    given = [session(timestamp=NOON - timedelta(days=5)), *counts(200, 0, hours=9)]
    found = check(given, "--target", "99.5")
    assert found["reason"].endswith(
        "It has 200, and needs at least 598 sessions if all further ones are without a crash. A"
        " window of 24h holds about 200 at this rate, so waiting does not help: use period ="
        ' "7d" or a target of 98.51%.'
    )


def test_latest_names_what_it_ignores_and_can_leave_out_pre_releases() -> None:
    names = ["shop@1.9.0", "shop@1.10.0rc1", "shop@1.10.0.dev1", "nightly"]
    given = [row for name in names for row in counts(9, release=name)]
    found = check(given, *TARGET, release="latest")
    assert found["release"] == "shop@1.10.0rc1"
    result = gate(given, *TARGET, "--stable", "-f", "json", release="latest")
    assert json.loads(result.out)["data"][0]["release"] == "shop@1.9.0"
    ignored = "latest ignores names that are not versions: 1/nightly, 1/shop@1.10.0.dev1"
    assert ignored in result.err
    assert "latest ignores pre-releases: 1/shop@1.10.0rc1" in result.err


# Several rules.


def test_a_fail_among_many_checks_must_be_clearer_than_one_alone(tmp_path: Path) -> None:
    # 18 of 1,000: the chance of as many, or more, is 2.7 % where 1.1 % crash.
    rule = '[[gate.rule]]\nmetric = "crash_free_sessions"\ntarget = 98.9\n'
    policy = tmp_path / "relhealth.toml"
    policy.write_text(rule)
    assert gate(counts(1_000, 18)).code == ExitCode.GATE_FAILED
    other = '[[gate.rule]]\nmetric = "abnormal"\ntarget = 5\n'
    policy.write_text(rule + other)
    among = gate(counts(1_000, 18))
    assert among.code == ExitCode.GATE_INCONCLUSIVE
    assert "Alone this is a fail. Among 2 checks it may be chance" in among.out
    assert gate(counts(1_000, 40)).code == ExitCode.GATE_FAILED


# Plans and replays.


def test_a_plan_says_what_it_takes_to_pass() -> None:
    given = [session(timestamp=NOON - timedelta(days=5)), *counts(240, 0, hours=9)]
    source = rows.write("sessions.parquet", given)
    ask = ["gate", "plan", source, "--now", NOW, "--target", "99.5", "--rate", "99.9"]
    told = run(*ask)
    assert told.code == ExitCode.OK, told.err
    (row,) = json.loads(run(*ask, "-f", "json").out)["data"]
    # 0.995^598 is below 0.05. Of 1,258 sessions two may crash, with a chance of 87 % at 0.1 %, and
    # it falls below 80 % just before three may, of 1,549: from then on it is always above.
    assert (row["holds"], row["least"]) == (240, 598)
    assert 1_545 <= row["likely"] <= 1_553
    assert row["hours"] == pytest.approx(row["likely"] / 10)
    assert row["period"] == "7d"
    assert row["reachable"] == pytest.approx(100 * 0.05 ** (1 / 240))
    assert "598 without a bad one are the least that pass" in told.out
    assert 'use period = "7d" or a target of 98.76%' in told.out
    nothing = run("gate", "plan", source, "--now", "2026-06-01", "--target", "99")
    assert nothing.code == ExitCode.DATA
    assert "no sessions in the last 24h: nothing to plan by" in nothing.err


def test_targets_are_tried_one_after_another() -> None:
    given = [
        row
        for number, crashed in enumerate((2, 12, 30))
        for row in counts(2_000, crashed, hours=20 + number, release=f"shop@1.{number}.0")
    ]
    source = rows.write("sessions.parquet", given)
    ask = ["gate", "test", source, "--now", NOW, "--since", "2026-03-01", "--every", "1h"]
    told = run(*ask, "--target", "98:99.5:0.5", "--critical", "97", "-f", "json")
    assert told.code == ExitCode.OK, told.err
    data = json.loads(told.out)
    tried = [(one["target"], one["passed"], one["failed"], one["waited"]) for one in data["data"]]
    assert tried == [(98, 2, 0, 1), (98.5, 2, 0, 1), (99, 2, 0, 1), (99.5, 1, 0, 2)]
    assert data["meta"]["recommended"] == 99
    assert "99% is the highest target" in run(*ask, "--target", "98:99.5:0.5").out
    for bad in ("98:", "99:98:0.1", "98:99:0", "1:99:0.1", "a:b:c"):
        assert run(*ask, "--target", bad).code == ExitCode.USAGE


def test_a_replay_says_that_it_sees_what_arrived_later() -> None:
    source = rows.write("sessions.parquet", counts(1_000, hours=20))
    told = run("gate", "test", source, "--now", NOW, "--since", "2026-03-01", *TARGET)
    assert "a look at the past sees what arrived until today" in told.err
    assert "a replay looks" in told.err
