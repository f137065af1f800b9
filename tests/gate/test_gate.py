"""The gate at the command line: verdicts with their reasons, exit codes, baselines, bad input."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from statsmodels.stats.proportion import proportion_confint

import rows
from command import Result, run
from relhealth.core.errors import ExitCode
from relhealth.gate import run as gate_run
from relhealth.questions.naming import newest_versions
from rows import NOON, duration, session, user

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("over")

NOW = "2026-03-02T23:30:00Z"  # so late that all crashes have arrived
R = rows.RELEASE


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def counts(sessions: int, crashed: int = 0, **columns: Any) -> list[rows.Row]:
    """So many sessions, so many of them crashed."""
    found = [session(value=float(sessions), **columns)]
    if crashed:
        found.append(session("crashed", value=float(crashed), **columns))
    return found


def people(users: int, crashed: int = 0, **columns: Any) -> list[rows.Row]:
    """So many users, so many of them with a crash, and as many sessions."""
    return [
        *counts(users, crashed, **columns),
        *(user(number, **columns) for number in range(users)),
        *(user(number, "crashed", **columns) for number in range(crashed)),
    ]


def gate(given: list[rows.Row], *args: str, release: str = R, now: str = NOW) -> Result:
    """Judge a release of just these rows."""
    source = rows.write("sessions.parquet", given)
    return run("gate", source, "--now", now, "-r", release, *args)


def checks(result: Result) -> list[dict[str, Any]]:
    """Return the checks of a gate asked for as JSON."""
    found: list[dict[str, Any]] = json.loads(result.out)["data"]
    return found


def check(given: list[rows.Row], *args: str, **options: str) -> tuple[int, dict[str, Any]]:
    """Return the exit code and the one check."""
    result = gate(given, *args, "-f", "json", **options)
    assert result.out, result.err
    (found,) = checks(result)
    return result.code, found


SESSIONS = ["--metric", "crash_free_sessions"]
USERS = ["--metric", "crash_free_users"]

# (rows, options, exit code, reason): every branch of a verdict.
# A session that makes a release older than the period of a rule on users.
LONG_AGO = [session(timestamp=NOON - timedelta(days=3))]

VERDICTS = {
    "passes": (
        counts(10_000, 10),
        [*SESSIONS, "--target", "99.5"],
        0,
        (
            "10 of 10,000 sessions crashed. The true crash-free rate is at least 99.83%"
            " (95% sure); the target is 99.5%."
        ),
    ),
    "fails the target": (
        counts(10_000, 100),
        [*SESSIONS, "--target", "99.5"],
        1,
        (
            "100 of 10,000 sessions crashed. The true crash-free rate is at most 99.16%"
            " (95% sure); the rule fails below 99.5%."
        ),
    ),
    "fails the critical value": (
        counts(10_000, 200),
        [*SESSIONS, "--target", "99.5", "--critical", "99"],
        1,
        (
            "200 of 10,000 sessions crashed. The true crash-free rate is at most 98.23%"
            " (95% sure); the rule fails below 99%."
        ),
    ),
    "between target and critical": (
        counts(10_000, 75),
        [*SESSIONS, "--target", "99.5", "--critical", "99"],
        3,
        (
            "75 of 10,000 sessions crashed. The true crash-free rate is between 99.09%"
            " and 99.39% (90% sure); the target is 99.5%. It has 10,000, and needs at"
            " least 18,170 sessions if all further ones are without a crash."
        ),
    ),
    "too few to tell": (
        counts(300),
        [*SESSIONS, "--target", "99.5"],
        3,
        (
            "0 of 300 sessions crashed. The true crash-free rate is between 99.00% and"
            " 100% (90% sure); the target is 99.5%. It has 300, and needs at least 598"
            " sessions if all further ones are without a crash."
        ),
    ),
    "one session": (
        counts(1),
        [*SESSIONS, "--target", "99.5"],
        3,
        (
            "0 of 1 session crashed. The true crash-free rate is between 5.00% and 100%"
            " (90% sure); the target is 99.5%. It has 1, and needs at least 598 sessions"
            " if all further ones are without a crash. A window of 24h holds about 2 at"
            " this rate, so waiting does not help."
        ),
    ),
    "one session that crashed": (
        counts(1, 1),
        [*SESSIONS, "--target", "99.5"],
        1,
        (
            "1 of 1 session crashed. The true crash-free rate is at most 95.00% (95%"
            " sure); the rule fails below 99.5%."
        ),
    ),
    "all crashed": (
        [*people(50, 50), *LONG_AGO],
        [*USERS, "--target", "99.5"],
        1,
        (
            "50 of 50 users crashed. The true crash-free rate is at most 5.82% (95%"
            " sure); the rule fails below 99.5%."
        ),
    ),
    "users of a release that is younger than the period": (
        people(1_000),
        [*USERS, "--target", "99"],
        3,
        (
            "the release is 10.0 h old, so its users had less time to crash than in 24h:"
            ' write follow_up = "1h", or take crash_free_sessions'
        ),
    ),
    "no users": (
        [*counts(10_000), *LONG_AGO],
        [*USERS, "--target", "99.5"],
        3,
        "no users in the window",
    ),
    "no sessions in the window": (
        counts(10_000, timestamp=NOON - timedelta(days=3)),
        [*SESSIONS, "--target", "99.5"],
        3,
        "no sessions in the window",
    ),
    "a crash without its session": (
        [session("crashed")],
        [*SESSIONS, "--target", "99.5"],
        3,
        "no sessions in the window",
    ),
    "unknown": (
        counts(10_000, release="shop@2.0.0"),
        [*SESSIONS, "--target", "99.5"],
        3,
        (
            "no session in 90 days: check the name, or none has arrived yet. The most"
            " similar is shop@2.0.0."
        ),
    ),
    "unknown in the environment": (
        counts(10_000, environment="beta"),
        [*SESSIONS, "--target", "99.5", "-e", "production"],
        3,
        (
            "no session in 90 days in environment production: check the name, or none has"
            " arrived yet."
        ),
    ),
    "fewer sessions than asked for": (
        counts(999),
        [*SESSIONS, "--target", "50", "--min-sessions", "1000"],
        3,
        "999 sessions of at least 1,000: 1 more session needed",
    ),
    "fewer users than asked for": (
        people(100),
        [*SESSIONS, "--target", "50", "--min-users", "500"],
        3,
        "100 users of at least 500: 400 more users needed",
    ),
    "a certain fail whatever is asked for": (
        people(100, 100),
        [*SESSIONS, "--target", "99", "--min-users", "500"],
        1,
        (
            "100 of 100 sessions crashed. The true crash-free rate is at most 2.96% (95%"
            " sure); the rule fails below 99%."
        ),
    ),
    "low is good, passes": (
        [*counts(10_000), session("unhandled", value=10.0)],
        ["--metric", "unhandled_session_rate", "--target", "0.5"],
        0,
        (
            "10 of 10,000 sessions crashed or had an unhandled error. The true rate of"
            " unhandled errors is at most 0.17% (95% sure); the limit is 0.5%."
        ),
    ),
    "low is good, fails": (
        [*counts(10_000), session("abnormal", value=100.0)],
        ["--metric", "abnormal", "--target", "0.5"],
        1,
        (
            "100 of 10,000 sessions ended abnormally. The true rate of abnormal ends is"
            " at least 0.84% (95% sure); the rule fails above 0.5%."
        ),
    ),
    "low is good, cannot tell": (
        [*counts(400), session("errored_preaggr", value=1.0)],
        ["--metric", "sessions_errored", "--target", "0.5"],
        3,
        (
            "1 of 400 sessions had a handled error. The true rate of handled errors is"
            " between 0.01% and 1.19% (90% sure); the limit is 0.5%. It has 400, and"
            " needs at least 947 sessions if all further ones are without a handled"
            " error."
        ),
    ),
    "a duration passes": (
        [session(), *(duration(float(n)) for n in range(100))],
        ["--metric", "duration_p90", "--target", "96"],
        0,
        (
            "The duration that 90% of sessions stay within is at most 1.59 min (95%"
            " sure); the limit is 1.6 min."
        ),
    ),
    "a duration fails": (
        [session(), *(duration(float(n)) for n in range(100))],
        ["--metric", "duration_p50", "--target", "30"],
        1,
        (
            "The duration that 50% of sessions stay within is at least 41 s (95% sure);"
            " the rule fails above 30 s."
        ),
    ),
    "a duration of too few": (
        [session(), duration(1.0)],
        ["--metric", "duration_p90", "--target", "30"],
        3,
        (
            "The duration that 90% of sessions stay within is not known: there are too"
            " few sessions for a bound; the limit is 30 s. More sessions are needed."
        ),
    ),
    "no duration": (
        [session()],
        ["--metric", "duration_p90", "--target", "30"],
        3,
        "no sessions of known duration in the window",
    ),
    "adoption passes": (
        [*people(600), *(user(n, release="shop@0.9.0") for n in range(1_000, 1_400))],
        ["--metric", "adoption", "--target", "50"],
        0,
        (
            "600 of 1,000 users are on the release. The true adoption is at least 57.38%"
            " (95% sure); the target is 50%."
        ),
    ),
    "at any number of looks, too few to tell": (
        counts(400),
        [*SESSIONS, "--target", "99.5", "--sequential"],
        3,
        (
            "0 of 400 sessions crashed. The true crash-free rate is between 98.95% and"
            " 100% (90% sure); the target is 99.5%. It has 400, and needs at least 836"
            " sessions if all further ones are without a crash."
        ),
    ),
    "at any number of looks": (
        counts(1_000),
        [*SESSIONS, "--target", "99.5", "--sequential"],
        0,
        (
            "0 of 1,000 sessions crashed. The true crash-free rate is at least 99.58%"
            " (95% sure); the target is 99.5%."
        ),
    ),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_verdict(name: str) -> None:
    given, options, code, reason = VERDICTS[name]
    found = check(given, *options)
    assert (found[0], found[1]["reason"]) == (code, reason)
    assert found[1]["verdict"] == {0: "pass", 1: "fail", 3: "inconclusive"}[code]


def test_what_is_still_needed_is_enough() -> None:
    options = [*SESSIONS, "--target", "99.5"]
    needed = check(counts(400, 1), *options)[1]["needed"]
    assert check(counts(400 + needed, 1), *options)[0] == ExitCode.OK
    assert check(counts(400 + needed - 1, 1), *options)[0] == ExitCode.GATE_INCONCLUSIVE


def test_bounds_are_the_exact_ones() -> None:
    _, found = check(counts(1_234, 7), *SESSIONS, "--target", "99", "--confidence", "0.9")
    lower, upper = proportion_confint(7, 1_234, alpha=0.2, method="beta")
    assert found["lower"] == pytest.approx(100 - 100 * upper, rel=1e-12)
    assert found["upper"] == pytest.approx(100 - 100 * lower, rel=1e-12)
    assert found["numerator"] / found["denominator"] * 100 == pytest.approx(found["observed"])
    assert (found["numerator"], found["denominator"]) == (1_227, 1_234)


def test_unrounded_values_decide() -> None:
    # The lower bound of crash_free_sessions for 597 sessions without a crash is 0.05^(1/597), which
    # is 99.4995 %: it is not 99.5 %, and is not shown as such.
    code, found = check(counts(597), *SESSIONS, "--target", "99.5")
    assert code == ExitCode.GATE_INCONCLUSIVE
    assert 99.499 < found["lower"] < 99.5
    assert "between 99.49% and 100%" in found["reason"]
    assert check(counts(598), *SESSIONS, "--target", "99.5")[0] == ExitCode.OK


def test_the_default_rate_is_of_sessions() -> None:
    for given in (people(1_000), counts(1_000)):
        assert check(given, "--target", "99")[1]["metric"] == "crash_free_sessions"


def test_a_sequential_rate_is_of_sessions_or_of_users_who_are_followed() -> None:
    """A user without a crash can still get one, unless followed for as long as the others."""
    options = ["--target", "90", "--sequential"]
    code, told = check(people(1_000), *options)
    assert (code, told["metric"], told["sequential"]) == (0, "crash_free_sessions", True)
    assert "crash_free_sessions >= 90%" in gate(people(1_000), *options, "--explain").out
    assert check(people(1_000), *USERS, *options, "--follow-up", "1h")[0] == ExitCode.OK
    refused = gate(people(1_000), *USERS, *options)
    assert refused.code == ExitCode.USAGE
    assert "crash_free_users cannot be sequential" in refused.err
    one_look = {"metric": "crash_free_users", "target": 90, "sequential": False}
    grown = [*people(1_000), *LONG_AGO]
    assert gate(grown, *written(one_look, sequential=True)).code == ExitCode.OK


def test_a_design_effect_takes_away_from_the_number() -> None:
    policy = {"metric": "crash_free_sessions", "target": 99.5, "deff": 2.0}
    _, found = check(counts(1_000), *written(policy))
    assert (found["n"], found["denominator"], found["deff"]) == (500, 1_000, 2)
    assert found["lower"] == pytest.approx(100 * 0.05 ** (1 / 500))
    assert found["verdict"] == "inconclusive"


def test_a_design_effect_is_estimated_from_the_users() -> None:
    # 100 users with 10 sessions each; of 20 of them every second one crashed: p = 0.1.
    # U/(U-1) sum (y - p m)^2 / (M p (1 - p)) = 100/99 * (20 * 16 + 80 * 1) / (1000 * 0.09) = 4.489
    given = [
        row
        for number in range(100)
        for at in range(10)
        for row in (
            session(timestamp=at_minute(at)),
            user(number, timestamp=at_minute(at)),
            *(
                (
                    session("crashed", timestamp=at_minute(at)),
                    user(number, "crashed", timestamp=at_minute(at)),
                )
                if number < 20 and at % 2
                else ()
            ),
        )
    ]
    _, found = check(given, *SESSIONS, "--target", "99")
    assert found["deff"] == pytest.approx(100 / 99 * 400 / 90)
    assert found["n"] == pytest.approx(1_000 / found["deff"])
    explained = " ".join(gate(given, *SESSIONS, "--target", "99", "--explain").out.split())
    assert "design effect 4.489, estimated from 20 users with a bad session" in explained
    _, fixed = check(given, *written({"metric": "crash_free_sessions", "target": 99, "deff": 1}))
    assert fixed["deff"] == 1
    assert fixed["lower"] > found["lower"]


def test_sessions_of_few_users_with_a_crash_count_as_if_alike() -> None:
    # 100 users with 10 sessions each, of which 9 have one crash: sum m^2 / sum m = 10.
    given = [
        row
        for number in range(100)
        for at in range(10)
        for row in (session(timestamp=at_minute(at)), user(number, timestamp=at_minute(at)))
    ]
    for number in range(9):
        given += [session("crashed"), user(number, "crashed", timestamp=at_minute(0))]
    _, found = check(given, *SESSIONS, "--target", "99")
    assert found["deff"] == pytest.approx(10)


def test_without_users_there_is_no_design_effect() -> None:
    assert check(counts(1_000), *SESSIONS, "--target", "99")[1]["deff"] == 1
    explained = gate(counts(1_000), *SESSIONS, "--target", "99", "--explain").out
    assert "1, since the data have no users" in explained


def at_minute(minute: int) -> datetime:
    """An instant in the last hour that counts."""
    return NOON + timedelta(minutes=minute)


def written(*rules: dict[str, Any], **settings: Any) -> list[str]:
    """Write a policy file; return the option that names it."""

    def toml(value: Any) -> str:
        if isinstance(value, dict):
            return "{" + ", ".join(f"{key} = {toml(one)}" for key, one in value.items()) + "}"
        return json.dumps(value)

    lines = ["[gate]", *(f"{key} = {toml(value)}" for key, value in settings.items())]
    for rule in rules:
        lines += ["[[gate.rule]]", *(f"{key} = {toml(value)}" for key, value in rule.items())]
    with open("policy.toml", "w", encoding="utf-8") as file:
        file.write("\n".join(lines))
    return ["--policy", "policy.toml"]


# Several rules, releases and projects.


def test_the_worst_verdict_wins() -> None:
    passes = {"metric": "crash_free_sessions", "target": 90}
    waits = {"metric": "crash_free_users", "target": 90}
    fails = {"metric": "abnormal", "target": 0.1}
    given = [*counts(1_000), *LONG_AGO, session("abnormal", value=100.0)]
    for rules, code in (
        ([passes], 0),
        ([passes, waits], 3),
        ([waits, passes], 3),
        ([waits, fails, passes], 1),
    ):
        assert gate(given, *written(*rules)).code == code


def test_a_rule_holds_in_its_projects_and_environments() -> None:
    given = [*counts(1_000, project_id=1), *counts(1_000, 500, project_id=2)]
    one = {"metric": "crash_free_sessions", "target": 99, "projects": [1]}
    assert gate(given, *written(one), release=f"1/{R}").code == ExitCode.OK
    other = gate(given, *written(one), release=f"2/{R}")
    assert other.code == ExitCode.GATE_INCONCLUSIVE
    assert f"inconclusive: 2/{R}: no rule of the policy is for project 2" in other.out
    assert gate(given, *written(one | {"projects": [1, 2]})).code == ExitCode.GATE_FAILED
    beta = counts(1_000, 500, environment="beta")
    given = [*counts(1_000, environment="production"), *beta]
    production = {"metric": "crash_free_sessions", "target": 99, "environments": ["production"]}
    assert gate(given, *written(production)).code == ExitCode.OK
    assert gate(given, *written(production, environments=["beta"])).code == ExitCode.OK
    del production["environments"]
    assert gate(given, *written(production, environments=["beta"])).code == ExitCode.GATE_FAILED
    mixed = gate(given, *written(production))
    assert mixed.code == ExitCode.GATE_FAILED  # 500 of 2,000


@pytest.mark.parametrize(
    ("when", "code", "reason"),
    [
        ({"users": 101}, 3, "waits for 101 users; so far 100 users"),
        ({"users": 100}, 0, None),
        ({"sessions": 5_000}, 3, "waits for 5,000 sessions; so far 100 sessions"),
        ({"adoption": 51}, 3, "waits for 51% adoption; so far 50.00%"),
        ({"adoption": 50}, 0, None),
        (
            {"adoption": 51, "users": 500},
            3,
            "waits for 51% adoption or 500 users; so far 50.00%, 100 users",
        ),
        ({"adoption": 51, "users": 100}, 0, None),
    ],
)
def test_a_rule_begins_when_it_says(when: dict[str, int], code: int, reason: str | None) -> None:
    given = [*people(100), *(user(n, release="shop@0.9.0") for n in range(1_000, 1_100))]
    rule = {"metric": "crash_free_users", "target": 90, "follow_up": "1h", "when": when}
    found = check(given, *written(rule))
    assert found[0] == code
    assert reason is None or found[1]["reason"] == reason


@pytest.mark.parametrize(
    ("adoption", "code", "so_far"), [(50, 0, None), (51, 3, "50.00% of sessions")]
)
def test_adoption_is_of_sessions_where_there_are_no_users(
    adoption: int, code: int, so_far: str | None
) -> None:
    given = [*counts(100), *counts(100, release="shop@0.9.0")]
    rule = {"metric": "crash_free_sessions", "target": 90, "when": {"adoption": adoption}}
    found = check(given, *written(rule))
    assert found[0] == code
    assert so_far is None or found[1]["reason"] == f"waits for 51% adoption; so far {so_far}"


def test_adoption_is_of_users_where_the_project_has_any() -> None:
    given = [*counts(100), *people(100, release="shop@0.9.0")]
    rule = {"metric": "crash_free_sessions", "target": 90, "when": {"adoption": 1}}
    assert check(given, *written(rule))[1]["reason"] == "waits for 1% adoption; so far 0%"


def test_latest_is_the_newest_version_of_each_project_and_package() -> None:
    names = ["shop@1.9.0", "shop@1.10.0", "shop@1.10.0-rc.1", "api@2.0.0", "zzz", "a1b2c3"]
    pairs = [(1, name) for name in names] + [(2, "shop@1.9.0"), (3, "zzz")]
    expected = ((1, "api@2.0.0"), (1, "shop@1.10.0"), (2, "shop@1.9.0"))
    assert newest_versions(pairs) == expected
    given = [row for project, name in pairs for row in counts(9, project_id=project, release=name)]
    result = gate(given, "--target", "99", "-f", "json", release="latest")
    assert tuple((one["project_id"], one["release"]) for one in checks(result)) == expected
    only = gate(given, "--target", "99", "-f", "json", "-p", "2", release="latest")
    assert [one["project_id"] for one in checks(only)] == [2]


def test_latest_without_a_version_is_a_fault_of_the_data() -> None:
    result = gate(counts(9, release="abc"), "--target", "99", release="latest")
    assert result.code == ExitCode.DATA
    assert "no release has a version" in result.err


# Baselines.

BASELINE = [*SESSIONS, "--baseline", "previous", "--margin"]


@pytest.mark.parametrize(
    ("crashed", "margin", "code", "reason"),
    [
        (5, "0.6", 0, "at most 0.56 points worse than that of shop@0.9.0 (95% sure)"),
        (
            5,
            "0.2",
            3,
            "from at most 0.32 points better to at most 0.56 points worse than that of shop@0.9.0",
        ),
        (50, "0.2", 1, "at least 3.41 points worse than that of shop@0.9.0 (95% sure)"),
        (5, "150%", 0, "at most 115% more than that of shop@0.9.0 (95% sure)"),
        (5, "20%", 3, "to at most 115% more than that of shop@0.9.0 (90% sure)"),
        (50, "20%", 1, "at least 645% more than that of shop@0.9.0 (95% sure)"),
    ],
)
def test_a_release_is_not_worse_than_the_one_before(
    crashed: int, margin: str, code: int, reason: str
) -> None:
    given = [*counts(1_000, crashed), *counts(20_000, 100, release="shop@0.9.0")]
    found, told = check(given, *BASELINE, margin)
    assert found == code
    assert reason in told["reason"]
    assert told["baseline"] == "shop@0.9.0"
    assert told["difference"] == pytest.approx(0.5 - crashed / 10)
    assert told["difference_lower"] < told["difference"] < told["difference_upper"]


def test_previous_by_version_and_by_time() -> None:
    def at(hours: int, release: str) -> list[rows.Row]:
        return counts(1_000, timestamp=NOON - timedelta(hours=hours), release=release)

    given = [
        *at(9, "shop@0.8.0"),
        *at(8, "shop@0.9.0"),
        *at(7, "shop@1.0.0-rc.1"),
        *at(6, "app@0.9.5"),
        *at(3, R),
        *at(4, "shop@0.8.1"),  # a fix of an old version
        *at(2, "shop@1.1.0"),
        *at(40, "shop@0.9.9"),  # no session in the window
    ]
    rule = {"metric": "crash_free_sessions", "baseline": "previous", "margin": 1}

    def baseline(release: str = R, **settings: Any) -> Any:
        return check(given, *written(rule | settings), release=release)[1]["baseline"]

    assert baseline() == "shop@0.9.0"
    assert baseline(previous_by="time") == "shop@0.8.1"
    assert baseline("shop@1.0.0-rc.1") == "shop@0.9.0"
    assert baseline(baseline="shop@0.8.0") == "shop@0.8.0"
    assert baseline(baseline=["shop@0.9.9", R, "shop@1.1.0", "shop@0.8.0"]) == "shop@1.1.0"
    first = check(given, *written(rule), release="shop@0.8.0")
    assert first[0] == ExitCode.GATE_INCONCLUSIVE
    assert "no earlier release of its package, by version, has sessions" in first[1]["reason"]
    gone = check(given, *written(rule | {"baseline": "shop@0.9.9"}))
    assert gone[1]["reason"] == (
        "no baseline: shop@0.9.9 has no session from 2026-03-01T22:00:00Z to 2026-03-02T22:00:00Z"
    )


def test_a_baseline_is_of_the_same_project_and_environment() -> None:
    given = [
        *counts(1_000, environment="production"),
        *counts(1_000, 900, release="shop@0.9.0", environment="beta"),
        *counts(1_000, 900, release="shop@0.9.0", project_id=2, environment="production"),
    ]
    code, told = check(given, *BASELINE, "1", "-e", "production", "-p", "1")
    assert code == ExitCode.GATE_INCONCLUSIVE
    assert told["baseline"] is None
    assert "in environment production" in told["reason"]


def test_at_the_same_age() -> None:
    # At 22:00, where what has settled ends, the release is 13 hours old, the other 40; at that age,
    # 27 hours ago, it had crashed in 100 of 1,000 sessions, in the hours since in none of 100,000.
    old: dict[str, Any] = {"release": "shop@0.9.0"}
    given = [
        *counts(9, timestamp=NOON - timedelta(hours=60), release="shop@0.8.0"),
        *counts(1_000, 100, timestamp=NOON - timedelta(hours=3)),
        *counts(1_000, 100, timestamp=NOON - timedelta(hours=30), **old),
        *counts(100_000, timestamp=NOON - timedelta(hours=1), **old),
    ]
    rule = {"metric": "crash_free_sessions", "baseline": "previous", "margin": 5}
    code, told = check(given, *written(rule))
    assert (code, told["baseline_denominator"]) == (ExitCode.GATE_FAILED, 100_000)
    code, told = check(given, *written(rule | {"same_age": True}))
    assert (code, told["baseline_denominator"]) == (ExitCode.OK, 1_000)
    assert told["baseline_window"]["end"] == "2026-03-01T19:00:00Z"


def test_at_the_same_age_as_one_that_is_older_than_90_days() -> None:
    # It is looked for by its very first session, not by the first of the last 90 days.
    old: dict[str, Any] = {"release": "shop@0.9.0"}
    given = [
        *counts(9, timestamp=NOON - timedelta(days=150), release="shop@0.8.0"),
        *counts(1_000, timestamp=NOON - timedelta(hours=3)),
        *counts(1_000, 500, timestamp=NOON - timedelta(days=140), **old),
        *(
            row
            for days in range(0, 80, 20)
            for row in counts(1_000, timestamp=NOON - timedelta(days=days, hours=1), **old)
        ),
    ]
    rule = {"metric": "crash_free_sessions", "baseline": "previous", "margin": 5}
    code, told = check(given, *written(rule | {"same_age": True}))
    assert (code, told["baseline_observed"]) == (ExitCode.OK, 50)
    assert told["baseline_window"]["end"] == "2025-10-14T01:00:00Z"


def test_at_the_same_age_nothing_later_than_now_is_used() -> None:
    # The fix of the old version came out 5 hours after the release: it has not been as old yet.
    def at(hours: int, crashed: int, release: str) -> list[rows.Row]:
        return counts(1_000, crashed, timestamp=NOON - timedelta(hours=hours), release=release)

    given = [
        *counts(9, timestamp=NOON - timedelta(hours=60), release="shop@0.8.0"),
        *at(8, 0, R),
        *at(3, 0, "shop@0.9.1"),
        *at(-3, 900, "shop@0.9.1"),
    ]
    rule = {"metric": "crash_free_sessions", "margin": 5, "same_age": True}
    for baseline in ("previous", "shop@0.9.1"):
        code, found = check(given, *written(rule | {"baseline": baseline}))
        assert (code, found["baseline"]) == (ExitCode.GATE_INCONCLUSIVE, None)
        assert "shop@0.9.1 is younger" in found["reason"]
    older = [*given, *at(30, 0, "shop@0.9.0")]
    assert check(older, *written(rule | {"baseline": "previous"}))[1]["baseline"] == "shop@0.9.0"


def test_by_time_releases_come_in_the_order_of_their_very_first_sessions() -> None:
    given = [
        *counts(1_000),
        *counts(1_000, timestamp=NOON - timedelta(days=200), release="shop@0.8.0"),
        *counts(1_000, timestamp=NOON - timedelta(hours=2), release="shop@0.8.0"),
        *counts(1_000, timestamp=NOON - timedelta(hours=4), release="shop@0.9.0"),
    ]
    rule = {"metric": "crash_free_sessions", "baseline": "previous", "margin": 5}
    assert check(given, *written(rule, previous_by="time"))[1]["baseline"] == "shop@0.9.0"


def test_a_sequential_rule_judges_all_since_the_release_was_first_seen() -> None:
    given = [
        *counts(1_000, timestamp=NOON - timedelta(days=10)),
        *counts(1_000),
        *counts(5_000, timestamp=NOON - timedelta(days=20), release="shop@0.9.0"),
        *counts(3_000, timestamp=NOON - timedelta(days=9), release="shop@0.9.0"),
    ]
    _, told = check(given, *SESSIONS, "--target", "99", "--sequential")
    assert (told["denominator"], told["sequential"]) == (2_000, True)
    assert told["window"] == {"start": "2026-02-20T12:00:00Z", "end": "2026-03-02T22:00:00Z"}
    _, told = check(given, *BASELINE, "1", "--sequential")
    assert (told["denominator"], told["baseline_denominator"]) == (2_000, 3_000)


@pytest.mark.parametrize("silent", [False, True], ids=["in the 90 days too", "silent since"])
def test_a_sequential_rule_is_not_for_a_release_of_more_than_90_days(*, silent: bool) -> None:
    """What it counts would not begin with the first session."""
    given = [*counts(1_000, 900, timestamp=NOON - timedelta(days=95)), *counts(10_000)]
    if not silent:
        given += counts(10_000, timestamp=NOON - timedelta(days=89))
    code, told = check(given, *SESSIONS, "--target", "99", "--sequential")
    assert code == ExitCode.GATE_INCONCLUSIVE
    assert told["reason"] == (
        "first seen 90 or more days ago: too old for a sequential rule, which counts from the first"
        " session"
    )
    assert gate(given, *SESSIONS, "--target", "99").code == ExitCode.OK


# Old data, bad policies, faults: never a pass, never exit code 1.


def test_stale_data_is_a_data_error() -> None:
    given = counts(10_000, timestamp=NOON - timedelta(hours=5))
    options = [*SESSIONS, "--target", "99"]
    assert gate(given, *options, "--max-age", "17h").code == ExitCode.OK
    stale = gate(given, *options, "--max-age", "16h")
    assert stale.code == ExitCode.DATA
    assert "project 1: the newest session is of 2026-03-02T07:00:00Z, 16.5 h ago" in stale.err
    assert "max_age is 16h" in stale.err


@pytest.mark.parametrize("days", [10, 95])
def test_a_feed_that_has_stopped_is_a_data_error_however_long(days: int) -> None:
    given = [
        *counts(10_000, timestamp=NOON - timedelta(days=days)),
        *counts(10_000, project_id=2),
    ]
    options = [*SESSIONS, "--target", "99", "--max-age", "1d"]
    stale = gate(given, *options, release=f"1/{R}")
    assert stale.code == ExitCode.DATA
    assert f", {days}.5 days ago" in stale.err
    assert gate(given, *options, release=f"2/{R}").code == ExitCode.OK
    unheard_of = gate(given, *options, release=f"3/{R}")
    assert unheard_of.code == ExitCode.GATE_INCONCLUSIVE


def test_no_data_yet_never_pass() -> None:
    result = gate([], "--target", "99", release=f"1/{R}")
    assert result.code == ExitCode.GATE_INCONCLUSIVE
    assert "no data yet: 1 file and no row" in result.err
    for release in (R, "latest"):
        assert gate([], "--target", "99", release=release).code == ExitCode.DATA


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ("[gate", "not TOML"),
        ("[gates]", "gates: unknown word; known are gate"),
        ("gate = 3", "gate: expected a table"),
        ("[gate]\nperod = '24h'", "gate.perod: unknown word; known are rule, period,"),
        ("[gate]\nperiod = '25x'\n[[gate.rule]]\ntarget = 9", "unknown period '25x'"),
        ("[gate]\nconfidence = 95\n[[gate.rule]]\ntarget = 9", "confidence: 95: expected"),
        ("[gate]\nmax_age = 'soon'\n[[gate.rule]]\ntarget = 9", "'soon' is not a length of time"),
        (
            "[gate]\ninconclusive = 'maybe'",
            "bad.toml: gate.inconclusive 'maybe': unknown; known are inconclusive, pass, fail",
        ),
        (
            "[[gate.rule]]\ntarget = 9\nprevious_by = 'age'",
            "bad.toml: rule 1: previous_by 'age': unknown; known are version, time",
        ),
        ("[gate]", "nothing to judge by"),
        ("gate.rule = 3", "gate.rule: expected tables"),
        ("[[gate.rule]]\ntarget = '99'", "rule 1: target: expected `float | null`, got `str`"),
        ("[[gate.rule]]\ntarget = true", "rule 1: target: expected `float | null`, got `bool`"),
        ("[[gate.rule]]\ntarget = nan", "rule 1: target nan: expected percent"),
        ("[[gate.rule]]\ntarget = 100", "rule 1: target 100: expected percent, above 0 and below"),
        ("[[gate.rule]]\ntargt = 9", "rule 1: targt: unknown word; known are metric, target,"),
        ("[[gate.rule]]\nmetric = 'x'\ntarget = 9", "metric 'x': unknown; known are crash_free_s"),
        ("[[gate.rule]]\nmetric = 'abnormal'", "rule 1: expected either a target or a baseline"),
        ("[[gate.rule]]\ntarget = 9\nbaseline = 'previous'\nmargin = 1", "either a target or"),
        ("[[gate.rule]]\nbaseline = 'previous'", "a baseline takes a margin"),
        (
            "[[gate.rule]]\nbaseline = []\nmargin = 1",
            "baseline: expected 'prevailing', 'previous', a rel",
        ),
        ("[[gate.rule]]\nbaseline = 'previous'\nmargin = -1", "margin -1: expected 0 or more"),
        ("[[gate.rule]]\nmargin = 100", "margin 100: expected less than 100 percentage points"),
        ("[[gate.rule]]\nmargin = '-20%'", "margin -20%: expected 0 or more"),
        ("[[gate.rule]]\nmargin = '20'", "margin '20': a baseline takes a margin: a number of"),
        ("[[gate.rule]]\nmargin = 'a%'", "margin 'a%': a baseline takes a margin: a number of"),
        ("[[gate.rule]]\ntarget = 0.99", "rule 1: target 0.99: expected percent; did you mean 99?"),
        ("[[gate.rule]]\ntarget = 1", "rule 1: target 1: expected percent; did you mean 99?"),
        (
            "[[gate.rule]]\ntarget = 99\ncritical = 0.985",
            "rule 1: critical 0.985: expected percent; did you mean 98.5?",
        ),
        (
            "[[gate.rule]]\nmetric = 'crash_free'\ntarget = 99",
            'write metric = "crash_free_sessions", or metric = "crash_free_users" with follow_up',
        ),
        (
            "[[gate.rule]]\ntarget = 99\nfollow_up = '1h'",
            "follow_up is for crash_free_users and unhandled_user_rate",
        ),
        (
            "[[gate.rule]]\nmetric = 'crash_free_users'\ntarget = 99\nfollow_up = '90m'",
            "follow_up '90m': expected whole hours",
        ),
        (
            "[[gate.rule]]\nmetric = 'crash_free_users'\ntarget = 99\nfollow_up = '24h'",
            "follow_up '24h': expected less than the period",
        ),
        ("[gate]\nsettle = 'soon'\n[[gate.rule]]\ntarget = 99", "settle: 'soon' is not a length"),
        ("[gate]\nsettle = '8d'\n[[gate.rule]]\ntarget = 99", "settle 8d: expected at most 7 days"),
        ("[[gate.rule]]\ntarget = 9\nmargin = 1", "margin, same_age and min_baseline_sessions are"),
        ("[[gate.rule]]\ntarget = 99\ncritical = 99.5", "critical 99.5: expected at most the targ"),
        (
            "[[gate.rule]]\nmetric = 'abnormal'\ntarget = 1\ncritical = 0.5",
            "critical 0.5: expected at least the target, 1",
        ),
        ("[[gate.rule]]\ntarget = 99\nmin_users = -1", "min_baseline_sessions: expected 0 or more"),
        ("[[gate.rule]]\ntarget = 99\ndeff = 0.5", 'deff 0.5: expected "auto", or 1 or more'),
        ("[[gate.rule]]\ntarget = 99\nwhen = {}", "when: expected adoption, users or sessions"),
        (
            "[[gate.rule]]\ntarget = 99\nwhen = {user = 3}",
            "when.user: unknown word; known are",
        ),
        ("[[gate.rule]]\ntarget = 99\nprojects = []", "projects: none named"),
        ("[[gate.rule]]\ntarget = 99\nenvironments = []", "environments: none named"),
        (
            "[[gate.rule]]\nmetric = 'adoption'\ntarget = 9\nsequential = true",
            "which a sequential rule cannot add up",
        ),
        (
            "[gate]\nsequential = true\n[[gate.rule]]\nmetric = 'crash_free_users'\ntarget = 9",
            "bad.toml: rule 1: crash_free_users cannot be sequential",
        ),
        (
            "[[gate.rule]]\nmetric = 'unhandled_user_rate'\ntarget = 9\nsequential = true",
            'write follow_up = "1h", take a metric of sessions, or write sequential = false for it',
        ),
        (
            "[[gate.rule]]\nmetric = 'adoption'\nbaseline = 'previous'\nmargin = 1",
            "adoption takes a target, not a baseline",
        ),
    ],
)
def test_a_bad_policy_is_told_and_never_passes(policy: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text(policy)
    result = gate(counts(10_000), "--policy", "bad.toml")
    assert result.code == ExitCode.USAGE
    assert told in result.err
    assert result.err.count("\n") == 1
    assert result.out == ""


@pytest.mark.parametrize(("typed", "near"), [("tst", "test"), ("plna", "plan"), ("plans", "plan")])
def test_a_mistyped_command_of_the_gate(typed: str, near: str, tmp_path: Path) -> None:
    result = run("gate", typed, "data")
    assert (result.code, result.out) == (ExitCode.USAGE, "")
    assert f"did you mean 'relhealth gate {near}'?" in result.err
    (tmp_path / typed).mkdir()
    assert "nothing to judge by" in run("gate", typed, "data").err
    assert "nothing to judge by" in run("gate", "data").err


def test_a_policy_is_found_where_the_command_runs(tmp_path: Path) -> None:
    given = counts(1_000, 100)
    nothing = gate(given)
    assert nothing.code == ExitCode.USAGE
    assert "nothing to judge by" in nothing.err
    rule = "gate.rule]]\nmetric = 'crash_free_sessions'\ntarget = "
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'")
    assert gate(given).code == ExitCode.USAGE
    (tmp_path / "pyproject.toml").write_text(f"[[tool.relhealth.{rule}80")
    assert gate(given).code == ExitCode.OK
    (tmp_path / "relhealth.toml").write_text(f"[[{rule}95")
    assert gate(given).code == ExitCode.GATE_FAILED
    assert gate(given, "--policy", "pyproject.toml").code == ExitCode.OK
    missing = gate(given, "--policy", "no.toml")
    assert missing.code == ExitCode.USAGE
    assert "no.toml: cannot read the policy: no such file" in missing.err


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pyproject.toml", "[tool.relhealth.gate]\nperiod = '24h'\n[broken"),
        ("relhealth.toml", "[gate"),
    ],
)
def test_a_damaged_policy_is_not_taken_for_none(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    damaged = gate(counts(1_000), *SESSIONS, "--target", "80")
    assert damaged.code == ExitCode.USAGE
    assert f"error: {name}: not TOML" in damaged.err


@pytest.mark.parametrize("name", ["relhealth.toml", "pyproject.toml"])
def test_a_policy_that_cannot_be_read_is_not_taken_for_none(name: str, tmp_path: Path) -> None:
    (tmp_path / name).symlink_to("gone.toml")
    dangling = gate(counts(1_000), *SESSIONS, "--target", "80")
    assert dangling.code == ExitCode.USAGE
    assert f"error: {name}: cannot read the settings: no such file" in dangling.err
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    assert gate(counts(1_000), *SESSIONS, "--target", "80").code == ExitCode.USAGE


def test_a_pyproject_of_other_tools_alone_is_their_affair(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.other]\n[broken")
    assert gate(counts(1_000), *SESSIONS, "--target", "80").code == ExitCode.OK


def test_a_fault_is_told_of_the_file_or_of_the_options() -> None:
    policy = written({"metric": "crash_free_sessions", "target": 200})
    assert "error: policy.toml: rule 1: target 200" in gate(counts(9), *policy).err
    policy = written({"metric": "crash_free_sessions", "target": 20})
    assert "error: rule 2: target 200" in gate(counts(9), *policy, "--target", "200").err
    assert "error: confidence: 95:" in gate(counts(9), *policy, "--confidence", "95").err


def test_options_come_on_top_of_the_policy() -> None:
    given = [*counts(1_000), *counts(1_000, 500, environment="beta")]
    policy = written({"metric": "crash_free_sessions", "target": 99}, environments=["beta"])
    assert gate(given, *policy).code == ExitCode.GATE_FAILED
    assert gate(given, *policy, "-e", "").code == ExitCode.OK
    added = gate(given, *policy, "-e", "", "--metric", "abnormal", "--target", "1", "-f", "json")
    assert [one["rule"] for one in checks(added)] == [1, 2]


def test_inconclusive_may_be_taken_for_either() -> None:
    given, options = counts(10), [*SESSIONS, "--target", "99"]
    assert gate(given, *options).code == ExitCode.GATE_INCONCLUSIVE
    assert gate(given, *options, "--inconclusive", "pass").code == ExitCode.OK
    failed = gate(given, *options, "--inconclusive", "fail")
    assert failed.code == ExitCode.GATE_FAILED
    told = "inconclusive (counted as fail): stop the rollout (1 check: 1 inconclusive)"
    assert told in failed.err
    assert gate(counts(10, 10), *options, "--inconclusive", "pass").code == ExitCode.GATE_FAILED


def test_what_passes_or_fails_by_little_is_not_printed_like_its_target() -> None:
    # 99.998% of 10,000 sessions at a limit as near as its sixth digit.
    _, found = check(counts(10_000, 10), *SESSIONS, "--target", "50")
    target = f"{found['lower'] - 1e-5:.6f}"
    code, told = check(counts(10_000, 10), *SESSIONS, "--target", target)
    assert code == ExitCode.OK
    printed = told["reason"].partition("at least ")[2].partition("%")[0]
    assert float(target) <= float(printed) <= found["lower"]
    assert told["reason"].endswith(f"the target is {float(target):.12g}%.")


@pytest.mark.parametrize(
    ("given", "options", "code"),
    [
        (counts(10_000), ["--target", "99"], 0),
        (counts(10_000, 9_000), ["--target", "99"], 1),
        (counts(10), ["--target", "99"], 3),
        (counts(10), ["--target", "200"], 2),
        (counts(10), ["--target", "99", "--max-age", "1m"], 4),
    ],
)
def test_a_dry_run_ends_with_0_and_tells(
    given: list[rows.Row], options: list[str], code: int
) -> None:
    assert gate(given, *options).code == code
    result = gate(given, *options, "--dry-run")
    assert result.code == ExitCode.OK
    assert f"dry run: without it the exit code would be {code}" in result.err


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (["--report", "junit=no/such/gate.xml"], 4, "no directory no/such"),
        (["--report", "bogus=gate.xml"], 2, "expected FORMAT=FILE"),
    ],
)
def test_a_dry_run_of_outputs_that_cannot_be(options: list[str], code: int, told: str) -> None:
    result = gate(counts(10_000), "--target", "99", "--dry-run", *options)
    assert result.code == ExitCode.OK
    assert told in result.err
    assert f"would be {code}" in result.err


def test_a_dry_run_does_not_hide_what_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gate(counts(10), "--target", "x", "--dry-run").code == ExitCode.USAGE

    def broken(*_: object) -> None:
        raise ZeroDivisionError("broken")

    monkeypatch.setattr(gate_run.Judge, "judge", broken)
    assert gate(counts(10), "--target", "99", "--dry-run").code == ExitCode.INTERNAL


def test_a_dry_run_of_a_full_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "/tmp/x")

    monkeypatch.setattr(gate_run.Judge, "judge", full)
    assert gate(counts(10), "--target", "99").code == ExitCode.DATA
    result = gate(counts(10), "--target", "99", "--dry-run")
    assert result.code == ExitCode.OK
    assert "error: /tmp/x: no space left on device" in result.err


def test_a_fault_of_the_gate_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("broken")

    monkeypatch.setattr(gate_run.Judge, "judge", broken)
    result = gate(counts(10_000), "--target", "99")
    assert result.code == ExitCode.INTERNAL
    assert result.out == ""


def test_no_file_no_release_no_verdict(tmp_path: Path) -> None:
    assert run("gate", "no.parquet", "-r", R, "--target", "99").code == ExitCode.DATA
    (tmp_path / "torn.parquet").write_bytes(b"PAR1")
    assert run("gate", "torn.parquet", "-r", R, "--target", "99").code == ExitCode.DATA
    source = rows.write("sessions.parquet", counts(10))
    nobody = run("gate", source, "--target", "99")
    assert nobody.code == ExitCode.USAGE
    assert "no release to judge" in nobody.err


def test_what_cannot_count_is_told_and_refused_when_strict() -> None:
    given = [*counts(10_000), session(value=0.5)]
    lenient = gate(given, *SESSIONS, "--target", "99")
    assert lenient.code == ExitCode.OK
    assert "warning: 1 invalid row left out" in lenient.err
    assert gate(given, *SESSIONS, "--target", "99", "--strict").code == ExitCode.DATA


def test_figures_agree_with_the_overview() -> None:
    given = [
        *people(40, 3),
        *LONG_AGO,
        session("abnormal"),
        session("unhandled", value=2.0),
        user(3, "unhandled"),
        rows.error(1),
        *(duration(float(n)) for n in range(7)),
        *(user(n, release="shop@0.9.0") for n in range(100, 150)),
    ]
    source = rows.write("sessions.parquet", given)
    settled = "2026-03-02T13:00:00Z"
    overview = json.loads(run("overview", source, "--now", settled, "-f", "json").out)["data"][0]
    for metric in (
        "crash_free_sessions",
        "crash_free_users",
        "unhandled_session_rate",
        "unhandled_user_rate",
        "adoption",
        "duration_p50",
        "duration_p90",
    ):
        _, found = check(given, "--metric", metric, "--target", "50")
        assert found["observed"] == overview[metric], metric
    for metric, count in (
        ("sessions_errored", "sessions_errored"),
        ("abnormal", "sessions_abnormal"),
    ):
        _, found = check(given, "--metric", metric, "--target", "50")
        assert found["numerator"] == overview[count]


def test_explain_shows_what_a_verdict_rests_on() -> None:
    result = gate(counts(1_000, 3), *SESSIONS, "--target", "99", "--explain")
    shown = dict(line.split("  ", 1) for line in result.out.splitlines() if "  " in line.strip())
    told = {what.strip(): value.strip() for what, value in shown.items()}
    assert told["numerator"] == "997 without a crash"
    assert told["denominator"] == "1,000 sessions"
    assert told["could be"] == "99.22% to 99.92%"
    assert told["method"] == "Clopper-Pearson, one-sided, for one look at the data"
    assert told["confidence"] == "95% for each bound, 90% for both together"
    assert told["window"] == "2026-03-01T22:00:00Z to 2026-03-02T22:00:00Z"
    assert told["settled"] == "sessions count 1h after they begin, up to the last full hour"
