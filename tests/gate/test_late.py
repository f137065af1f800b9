"""Late crashes: what a pass allows for those that have probably not arrived yet."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from statsmodels.stats.proportion import proportion_confint

import rows
from command import Result, run
from relhealth.core.errors import ExitCode
from relhealth.core.windows import HOUR, Window
from relhealth.gate.clustering import given as given_deff
from relhealth.gate.late import late_share, recent
from relhealth.gate.metrics import RATES
from relhealth.gate.policy import Policy, Rule
from relhealth.gate.verdict import Counted, Verdict, against_baseline, against_target
from rows import session, user

if TYPE_CHECKING:
    from pathlib import Path

CRASH_FREE = RATES["crash_free_sessions"]
NOW = datetime(2026, 3, 2, 14, tzinfo=UTC)
AT = int(NOW.timestamp())
DAY = timedelta(days=1)
R = rows.RELEASE


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# The share.


@pytest.mark.parametrize("minutes", [60, 75, 119, 600])
@pytest.mark.parametrize("length", [60, 12], ids=["a full hour", "the present hour"])
def test_the_share_of_an_hour_is_the_mean_of_what_is_left_of_its_crashes(
    minutes: int, length: int
) -> None:
    """Its sessions double in an hour; each crash arrives an hour later, on average."""
    age, span = (0.0, length / 60) if length < 60 else (minutes / 60 - 1, 1.0)
    weight, _ = quad(lambda t: 2**-t, 0, span)
    expected, _ = quad(lambda t: 2**-t * np.exp(-age - t), 0, span)
    now = NOW + timedelta(hours=age + span)
    assert late_share([(AT, 7)], 7, now) == pytest.approx(expected / weight)
    assert late_share([(AT, 7)], 28, now) == pytest.approx(expected / weight / 4)


@pytest.mark.parametrize("growth", [1.0, 1.1, 2 ** (1 / 3), 2.0])
def test_the_share_is_not_too_small_for_what_grows_by_up_to_double_an_hour(growth: float) -> None:
    """Against the sum over single sessions, up to an hour before now."""
    back = np.arange(1, 25, 1 / 360) + 1 / 720  # hours
    sessions = growth**-back
    true = np.sum(sessions * np.exp(-back)) / np.sum(sessions)
    hours = [(AT - (n + 1) * HOUR, sessions[(n - 1) * 360 : n * 360].sum()) for n in range(1, 25)]
    found = late_share(hours, sessions.sum(), NOW)
    assert true <= found * (1 + 1e-5)
    assert found < true * 1.07


def test_the_share_is_below_one_and_none_of_nothing() -> None:
    assert late_share([], 0, NOW) == 0
    assert late_share([], 9, NOW) == 0
    assert 0.99 < late_share([(AT, 5)], 5, NOW + timedelta(microseconds=1)) < 1
    assert late_share([(AT, 5)], 5, NOW) < 1


def test_only_hours_whose_crashes_can_be_late_are_read() -> None:
    day = Window(NOW - DAY, NOW - timedelta(hours=1))
    assert recent(day, NOW) == Window(NOW - timedelta(hours=10), day.end)
    young = Window(NOW - timedelta(hours=3), day.end)
    assert recent(young, NOW) == young
    assert recent(Window(NOW - 2 * DAY, NOW - DAY), NOW) is None


# The verdict.


def settled(**given: Any) -> Rule:
    """Return a rule with the policy's defaults."""
    return Policy(rule=(Rule(**given),)).checked().rule[0]


def counted(bad: int, total: int, late: float = 0.0) -> Counted:
    """Return counts of independent sessions."""
    return Counted(bad, total, given_deff(1.0), late)


counts = st.tuples(st.integers(0, 60), st.integers(60, 20_000))
lates = st.floats(0, 0.9)
flags = st.booleans()


@given(own=counts, late=lates, target=st.floats(90, 99.9), sequential=flags)
def test_a_target_is_passed_by_the_bound_divided_by_what_has_arrived(
    *, own: tuple[int, int], late: float, target: float, sequential: bool
) -> None:
    rule = settled(target=target, sequential=sequential)
    plain, told = (against_target(CRASH_FREE, rule, counted(*own, one)) for one in (0.0, late))
    assert plain.lower is not None
    assert told.lower is not None
    assert told.lower == pytest.approx(max(100 - (100 - plain.lower) / (1 - late), 0))
    assert told.upper == plain.upper
    assert (told.verdict is Verdict.PASS) == (told.lower >= target)
    assert (told.verdict is Verdict.FAIL) == (plain.verdict is Verdict.FAIL)


@given(
    own=counts,
    base=counts,
    late=lates,
    margin=st.sampled_from([0.0, 0.2, 5.0, "20%", "200%"]),
    sequential=flags,
)
def test_late_crashes_count_against_a_pass_and_not_for_a_fail(
    *,
    own: tuple[int, int],
    base: tuple[int, int],
    late: float,
    margin: float | str,
    sequential: bool,
) -> None:
    rule = settled(baseline="previous", margin=margin, sequential=sequential)
    plain, told = (
        against_baseline(CRASH_FREE, rule, counted(*own, one), counted(*base), "shop@0.9.0")
        for one in (0.0, late)
    )
    assert plain.difference_lower is not None
    assert told.difference_lower is not None
    assert told.difference_lower <= plain.difference_lower + 1e-6  # more is better
    assert told.difference_upper == pytest.approx(plain.difference_upper)
    assert (told.verdict is Verdict.FAIL) == (plain.verdict is Verdict.FAIL)
    if told.verdict is Verdict.PASS:
        assert plain.verdict is Verdict.PASS


@given(own=counts, late=lates)
def test_next_to_a_baseline_without_a_crash_the_bound_is_that_of_a_release_alone(
    own: tuple[int, int], late: float
) -> None:
    """Then the interval of the difference is that of the release."""
    rule = settled(baseline="previous", margin=1.0)
    found = against_baseline(CRASH_FREE, rule, counted(*own, late), counted(0, 10**9), "shop@0.9.0")
    _, upper = proportion_confint(*own, alpha=0.1, method="beta")
    worst = min(100 * upper / (1 - late), 100.0)
    assert found.difference_lower == pytest.approx(-worst, abs=1e-5)


# The gate.


def hour(ago: int, sessions: int, crashed: int, **columns: Any) -> list[rows.Row]:
    """So many sessions, all in the middle of the hour that ended so many hours ago."""
    at = {"timestamp": NOW - timedelta(hours=ago, minutes=30), **columns}
    return [session(value=float(sessions), **at), session("crashed", value=float(crashed), **at)]


def growing(**columns: Any) -> list[rows.Row]:
    """Sessions that double every 3 hours, with what has arrived of a crash rate of 0.46 %."""
    given = []
    for ago in range(26):
        sessions = int(8_000 * 2 ** (-ago / 3))
        arrived = 1 - np.exp(-ago) * (1 - np.exp(-1))
        given += hour(ago, sessions, round(0.0046 * sessions * arrived), **columns)
    return given


def steady(sessions: int, crashed: int, **columns: Any) -> list[rows.Row]:
    """Two days with as many sessions and crashes in each hour."""
    return [row for ago in range(48) for row in hour(ago, sessions, crashed, **columns)]


def gate(given: list[rows.Row], *args: str) -> Result:
    """Judge a release of just these rows."""
    source = rows.write("sessions.parquet", given)
    return run("gate", source, "--now", NOW.isoformat(), "-r", R, *args)


def check(given: list[rows.Row], *args: str) -> dict[str, Any]:
    """Return the one check."""
    (found,) = json.loads(gate(given, *args, "-f", "json").out)["data"]
    return dict(found)


TARGET = ["--target", "99.5"]


@pytest.mark.usefixtures("over")
def test_a_release_that_grows_does_not_pass_by_crashes_that_are_late() -> None:
    found = check(growing(), *TARGET)
    bad = found["denominator"] - found["numerator"]
    _, upper = proportion_confint(bad, found["denominator"], alpha=0.1, method="beta")
    assert 100 * upper < 0.5  # so that it would pass by what has arrived
    assert found["verdict"] == "inconclusive"
    assert found["late"] == pytest.approx(7, abs=0.5)
    assert found["lower"] == pytest.approx(100 - 100 * upper / (1 - found["late"] / 100))
    assert found["needed"] is None
    assert found["reason"].endswith(
        f" It would pass, but {int(100 * found['late']) / 100:.2f}% of the sessions that crashed"
        " are probably not known yet."
    )
    explained = " ".join(gate(growing(), *TARGET, "--explain").out.split())
    assert (
        "% of the sessions that crashed are probably not known yet, if they arrive an hour after"
        " the session began, on average; the bound that a pass needs allows for them" in explained
    )


def test_a_release_with_as_many_sessions_in_each_hour_of_a_day_passes() -> None:
    found = check(steady(1_000, 4), *TARGET)
    assert (found["verdict"], found["denominator"]) == ("pass", 24_000)
    assert 1.4 < found["late"] < 1.8


def test_the_longer_crashes_settle_the_smaller_is_the_share_that_is_late() -> None:
    shares = [check(growing(), *TARGET, "--settle", one)["late"] for one in ("0", "1h", "4h")]
    assert shares[0] > 18
    assert 0.3 < shares[2] < 0.4
    assert check(growing(), *TARGET, "--settle", "11h")["late"] == 0


@pytest.mark.parametrize(
    "options", [TARGET, ["--margin", "0.2"], ["--margin", "20%"]], ids=["target", "points", "share"]
)
@pytest.mark.parametrize("looks", [[], ["--sequential"]], ids=["one look", "sequential"])
def test_a_fail_needs_no_correction(options: list[str], looks: list[str]) -> None:
    given = [row for ago in (20, 2) for row in hour(ago, 20_000, 100, release="shop@0.9.0")]
    given += hour(2, 9_000, 200)
    found = check(given, *options, *looks)
    assert (found["verdict"], found["late"] > 9) == ("fail", True)


def test_a_release_is_compared_as_if_its_late_crashes_had_arrived_and_the_baseline_as_it_is() -> (
    None
):
    given = [*hour(20, 20_000, 100, release="shop@0.9.0"), *hour(2, 20_000, 75)]
    found = check(given, "--margin", "0.01")
    (k, n), (base_k, base_n) = (75, 20_000), (100, 20_000)
    kept = 1 - found["late"] / 100
    _, upper = proportion_confint(k, n, alpha=0.1, method="beta")
    base_lower, _ = proportion_confint(base_k, base_n, alpha=0.1, method="beta")
    base = base_k / base_n
    arrived, told = (
        k / n / share - base + np.hypot((upper - k / n) / share, base - base_lower)
        for share in (1, kept)
    )
    assert arrived < 0.0001  # so that it would pass by what has arrived
    assert found["difference_lower"] == pytest.approx(-100 * told)
    assert found["verdict"] == "inconclusive"


@pytest.mark.usefixtures("over")
def test_users_who_are_followed_have_late_crashes_too() -> None:
    at = NOW - timedelta(hours=3)
    given = [
        *(user(number, timestamp=at) for number in range(1_000)),
        *(user(number, "crashed", timestamp=at) for number in range(4)),
        *hour(2, 1_000, 4),
    ]
    options = ["--metric", "crash_free_users", "--follow-up", "1h", "--target", "99"]
    found = check(given, *options)
    _, upper = proportion_confint(4, 1_000, alpha=0.1, method="beta")
    assert found["late"] > 9
    assert found["lower"] == pytest.approx(100 - 100 * upper / (1 - found["late"] / 100))


def test_what_has_no_crashes_has_no_late_ones() -> None:
    given = [*steady(10, 1), user(1, timestamp=NOW - timedelta(hours=3))]
    assert check(given, "--metric", "adoption", "--target", "50")["late"] == 0


@pytest.mark.usefixtures("over")
def test_a_replay_judges_as_the_gate_at_that_hour(tmp_path: Path) -> None:
    source = rows.write("sessions.parquet", growing())
    now = ["--now", NOW.isoformat()]
    since = ["--since", (NOW - timedelta(hours=1)).isoformat()]
    for deff in ('"auto"', "1"):
        (tmp_path / "relhealth.toml").write_text(f"[[gate.rule]]\ntarget = 99.5\ndeff = {deff}\n")
        replayed = run("gate", "test", source, *now, *since, "-r", R, "-f", "json")
        (found,) = json.loads(replayed.out)["data"]
        (once,) = json.loads(run("gate", source, *now, "-r", R, "-f", "json").out)["data"]
        assert (found["outcome"], once["verdict"]) == ("waited", "inconclusive")
        assert found["reason"] == f"crash_free_sessions: {once['reason']}"


def test_a_plan_allows_for_crashes_that_are_late() -> None:
    source = rows.write("sessions.parquet", steady(1_000, 4))
    ask = ["gate", "plan", source, "--now", NOW.isoformat(), *TARGET, "-f", "json"]
    late, settled_ = (
        json.loads(run(*ask, "--settle", settle).out)["data"][0] for settle in ("1h", "11h")
    )
    assert late["reachable"] < settled_["reachable"]
    assert settled_["least"] < late["least"] < settled_["least"] * 1.02


@pytest.mark.usefixtures("over")
def test_two_releases_each_have_their_own_share() -> None:
    given = [*steady(1_000, 4), *growing(release="shop@1.1.0")]
    result = run(
        "gate",
        rows.write("sessions.parquet", given),
        *("--now", NOW.isoformat(), "-r", R, "-r", "shop@1.1.0", *TARGET, "-f", "json"),
    )
    assert result.code == ExitCode.GATE_INCONCLUSIVE
    first, second = (one["late"] for one in json.loads(result.out)["data"])
    assert first < 2
    assert second > 6
