"""A policy replayed over history: against the gate itself at each look, and bad questions."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

import rows
from command import Result, run
from rows import session

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("over")

START = datetime(2026, 3, 1, tzinfo=UTC)
END = "2026-03-05T00:00:00Z"
POLICY = ["--metric", "crash_free_sessions", "--target", "99", "--critical", "98"]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def hourly(release: str, first: int, hours: int, sessions: int, crashed: int) -> list[rows.Row]:
    """So many sessions in each of so many hours, the first so many hours after the start."""
    given = []
    for hour in range(first, first + hours):
        instant = START + timedelta(hours=hour, minutes=20)
        given.append(session(value=float(sessions), release=release, timestamp=instant))
        if crashed:
            given.append(
                session("crashed", value=float(crashed), release=release, timestamp=instant)
            )
    return given


HISTORY = [
    *hourly("shop@1.0.0", -48, 100, 40, 0),
    *hourly("shop@1.1.0", 10, 60, 40, 0),
    *hourly("shop@1.2.0", 20, 30, 40, 4),
    *hourly("shop@1.3.0", 70, 2, 5, 0),
]


def replay(*args: str, given: list[rows.Row] | None = None) -> Result:
    """Replay the policy over the history."""
    source = rows.write("sessions.parquet", HISTORY if given is None else given)
    span = ["--since", "2026-03-01", "--now", END]
    return run("gate", "test", source, *span, *POLICY, *args)


def told(*args: str, given: list[rows.Row] | None = None) -> dict[str, dict[str, Any]]:
    """Return the rows of a replay by release."""
    result = replay(*args, "-f", "json", given=given)
    assert result.code == 0, result.err
    return {row["release"]: row for row in json.loads(result.out)["data"]}


def test_past_releases_pass_fail_and_wait() -> None:
    """Those first seen since then, the first seen first, each with when."""
    found = told("--every", "1h")

    assert list(found) == ["shop@1.1.0", "shop@1.2.0", "shop@1.3.0"]
    assert [row["outcome"] for row in found.values()] == ["pass", "fail", "waited"]
    assert found["shop@1.2.0"]["first_fail"] == found["shop@1.2.0"]["decided"]
    assert found["shop@1.2.0"]["first_pass"] is None
    assert found["shop@1.3.0"]["hours"] is None


@pytest.mark.parametrize("release", ["shop@1.1.0", "shop@1.2.0"])
@pytest.mark.parametrize("sequential", [[], ["--sequential"]], ids=["one look", "sequential"])
@pytest.mark.parametrize("every", [6, pytest.param(2, marks=pytest.mark.slow)])
def test_the_gate_itself_says_the_same_at_each_look(
    every: int, release: str, sequential: list[str]
) -> None:
    """Asked look by look with only what was recorded by then, it decides first at the same one."""
    row = told("--every", f"{every}h", *sequential)[release]
    code = 3
    for look in range(every, 72, every):
        now = START + timedelta(hours=look)
        known = [one for one in HISTORY if one["timestamp"] < now]
        source = rows.write("known.parquet", known)
        args = ["-r", release, "--now", now.isoformat(), *POLICY, *sequential]
        code = run("gate", source, *args).code
        assert code in {0, 1, 3}
        if code in {0, 1}:
            break

    assert code != 3
    outcome = "pass" if code == 0 else "fail"
    assert (datetime.fromisoformat(row["decided"]), row["outcome"]) == (now, outcome)


def test_a_named_release_is_judged_though_it_is_older() -> None:
    """By --release, from the first look on."""
    assert list(told("-r", "shop@1.0.0")) == ["shop@1.0.0"]


def test_a_baseline_of_the_same_age_is_not_asked_about_its_future(tmp_path: Path) -> None:
    """A fix of the old version, out after the release, later crashes: no look knows of that yet."""
    (tmp_path / "relhealth.toml").write_text(
        '[[gate.rule]]\nmetric = "crash_free_sessions"\nbaseline = "previous"\nmargin = 1\n'
        "same_age = true\n"
    )
    given = [
        *hourly("shop@2.0.0", 1, 60, 400, 8),
        *hourly("shop@1.9.9", 20, 20, 400, 0),
        *hourly("shop@1.9.9", 40, 40, 400, 350),
    ]
    source = rows.write("sessions.parquet", given)
    ask = ["gate", "test", source, "--since", "2026-03-01", "--now", END, "-f", "json"]

    (row, _) = json.loads(run(*ask).out)["data"]

    assert (row["release"], row["outcome"], row["first_pass"]) == ("shop@2.0.0", "waited", None)
    assert "no baseline: shop@1.9.9 is younger" in row["reason"]


def test_a_release_that_paused_is_not_taken_for_new() -> None:
    """Sessions in the 90 days before the span make a release an old one."""
    given = [*hourly("shop@1.0.0", -24 * 60, 1, 10, 0), *hourly("shop@1.0.0", 5, 10, 10, 0)]

    result = replay(given=given)

    assert result.code == 0
    assert "no release to replay was first seen since then" in result.err


def test_stale_data_waits() -> None:
    """A look at data older than max_age is inconclusive."""
    given = hourly("shop@1.2.0", 20, 30, 40, 4)

    found = told("--every", "6h", "--max-age", "1h", given=given)["shop@1.2.0"]

    assert found["first_fail"] is not None
    assert found["last"] == "inconclusive"


def test_a_policy_from_a_file(tmp_path: Path) -> None:
    """As the gate reads it."""
    (tmp_path / "relhealth.toml").write_text(
        '[[gate.rule]]\nmetric = "crash_free_sessions"\ntarget = 99\n'
    )
    source = rows.write("sessions.parquet", HISTORY)

    result = run("gate", "test", source, "--since", "2026-03-01", "--now", END)

    assert result.code == 0
    assert "3 releases: 1 pass, 1 fail, 1 waited" in result.err


BAD = {
    "since": (["--since", "soon"], "'soon' is not an instant"),
    "since after now": (["--since", "2027-01-01"], "expected an instant before now"),
    "every": (["--every", "30m"], "expected full hours between looks"),
    "every word": (["--every", "often"], "is not a length of time"),
    "policy": (["--target", "101"], "target"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_replayed(case: str) -> None:
    """Each in one line, with its exit code."""
    args, what = BAD[case]

    result = replay(*args)

    assert (result.code, result.out) == (2, "")
    assert what in result.err


def test_a_folder_named_test_is_still_a_source(tmp_path: Path) -> None:
    """As ./test, since the two words are a command."""
    (tmp_path / "test").mkdir()
    rows.write("test/sessions.parquet", HISTORY)

    args = ["-r", "shop@1.1.0", "--now", "2026-03-03T00:00:00Z", *POLICY]

    assert run("gate", "./test", *args).code == 0
