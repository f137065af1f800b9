"""Two releases side by side: differences, intervals, words, and questions that cannot be asked."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from statsmodels.stats.proportion import proportion_confint

import rows
from command import Result, run
from relhealth import ReleaseHealth
from rows import duration, session, user

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("over")

NOW = "2026-03-02T12:30:00Z"
A, B = "shop@1.0.0", "shop@1.1.0"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def of(release: str, sessions: int, crashed: int, **columns: Any) -> list[rows.Row]:
    """So many sessions of a release, so many of them crashed."""
    return [
        session(value=float(sessions), release=release, **columns),
        session("crashed", value=float(crashed), release=release, **columns),
    ]


def compare(given: list[rows.Row], *args: str) -> Result:
    """Compare A and B in just these rows."""
    source = rows.write("sessions.parquet", given)
    return run("compare", source, A, B, "--now", NOW, *args)


def found(given: list[rows.Row], *args: str) -> dict[str, dict[str, Any]]:
    """Return the rows of a comparison by metric."""
    result = compare(given, *args, "-f", "json")
    assert result.code == 0, result.err
    return {row["metric"]: row for row in json.loads(result.out)["data"]}


def test_a_clear_difference_is_told_with_its_interval() -> None:
    """The interval is MOVER's, with Clopper-Pearson's own two-sided ones as statsmodels has."""
    given = [*of(A, 10_000, 50), *of(B, 4_000, 80)]

    row = found(given)["crash_free_sessions"]

    (low_a, up_a), (low_b, up_b) = (
        proportion_confint(good, n, alpha=0.05, method="beta")
        for good, n in ((9_950, 10_000), (3_920, 4_000))
    )
    lower = 0.98 - 0.995 - math.hypot(0.98 - low_b, up_a - 0.995)
    upper = 0.98 - 0.995 + math.hypot(up_b - 0.98, 0.995 - low_a)
    assert row["finding"] == "worse"
    assert row["difference"] == pytest.approx(-1.5)
    assert row["difference_lower"] == pytest.approx(100 * lower, rel=1e-9)
    assert row["difference_upper"] == pytest.approx(100 * upper, rel=1e-9)


def test_the_other_way_round_is_better() -> None:
    """Good and bad metrics both describe the second release."""
    given = [*of(B, 10_000, 50), *of(A, 4_000, 80)]

    told = found(given)

    assert told["crash_free_sessions"]["finding"] == "better"
    assert told["unhandled_session_rate"]["finding"] == "better"
    assert told["unhandled_session_rate"]["difference"] == pytest.approx(-1.5)


def test_a_small_sample_tells_no_clear_difference() -> None:
    """One crash in thirty sessions is none to speak of."""
    told = found([*of(A, 10_000, 50), *of(B, 30, 1)])

    assert told["crash_free_sessions"]["finding"] == "unclear"
    assert told["crash_free_users"]["finding"] == "no data"


def test_confidence_widens_the_interval() -> None:
    """What is clear at 90 percent need not be at 99.9."""
    given = [*of(A, 10_000, 50), *of(B, 4_000, 32)]

    usual = found(given, "--confidence", "0.9")["crash_free_sessions"]
    strict = found(given, "--confidence", "0.999")["crash_free_sessions"]

    assert usual["finding"] == "worse"
    assert strict["finding"] == "unclear"


def test_durations_are_compared_by_their_ranks() -> None:
    """Durations twice as long are worse; three of them are too few."""
    many = [
        duration(float(seconds), release=release)
        for release, factor in ((A, 1), (B, 2))
        for seconds in range(100 * factor, 300 * factor, factor)
    ]
    few = [duration(float(seconds), release=release) for release in (A, B) for seconds in (1, 2, 3)]
    base = [*of(A, 1_000, 0), *of(B, 1_000, 0)]

    told = found([*base, *many])["duration_p50"]
    untold = found([*base, *few])["duration_p50"]

    assert told["finding"] == "worse"
    assert told["difference_lower"] < told["difference"] < told["difference_upper"]
    assert told["unit"] == "seconds"
    assert untold["finding"] == "unclear"
    assert untold["difference_lower"] is None


def test_adoption_is_shown_and_not_compared() -> None:
    """Releases share the users of a project: less adoption is no fault."""
    given = [*of(A, 10, 0), *of(B, 10, 0)]
    given += [user(number, release=A if number < 30 else B) for number in range(40)]

    row = found(given)["adoption"]

    assert row["finding"] == "shared"
    assert row["difference"] == pytest.approx(-50)


def test_each_project_that_has_both_is_compared() -> None:
    """A release means all of its projects; -p and PROJECT/RELEASE choose among them."""
    given = [
        *of(A, 100, 0),
        *of(B, 100, 0),
        *of(A, 100, 0, project_id=2),
        *of(B, 100, 50, project_id=2),
        *of(A, 100, 0, project_id=3),
    ]
    source = rows.write("sessions.parquet", given)

    def projects(*args: str) -> set[int]:
        result = run("compare", source, *args, "--now", NOW, "-f", "json")
        assert result.code == 0, result.err
        return {row["project_id"] for row in json.loads(result.out)["data"]}

    assert projects(A, B) == {1, 2}
    assert projects(A, B, "-p", "2") == {2}
    assert projects(A, f"2/{B}") == {2}


def test_the_table_says_it_in_words() -> None:
    """Without a terminal: no colour, every column, a sentence for what is clear."""
    result = compare([*of(A, 10_000, 50), *of(B, 4_000, 80)])

    assert "\x1b" not in result.out
    assert (
        "worse: crash_free_sessions is 98.00% in shop@1.1.0 and 99.50% in shop@1.0.0" in result.out
    )
    assert "2 worse" in result.err


@pytest.mark.parametrize("name", ["csv", "markdown", "jsonl"])
def test_other_formats(name: str) -> None:
    """Each names the metrics."""
    result = compare([*of(A, 10, 0), *of(B, 10, 0)], "-f", name)

    assert result.code == 0
    assert "crash" in result.out


BAD: dict[str, tuple[list[rows.Row], list[str], int, str]] = {
    "unknown": (
        [*of(A, 10, 0)],
        [],
        4,
        "shop@1.1.0: no session in 90 days; the most similar is shop@1.0.0",
    ),
    "of two projects": (
        [*of(A, 10, 0), *of(B, 10, 0, project_id=2)],
        [],
        2,
        "no project has both: shop@1.0.0 is of project 1 and shop@1.1.0 is of project 2",
    ),
    "confidence": (
        [*of(A, 10, 0), *of(B, 10, 0)],
        ["--confidence", "1"],
        2,
        "confidence: 1: expected at least 0.5, and less than 1",
    ),
    "period": ([*of(A, 10, 0)], ["--period", "3x"], 2, "unknown period '3x'"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_compared(case: str) -> None:
    """Each in one line, with its exit code, and nothing on stdout."""
    given, args, code, told = BAD[case]

    result = compare(given, *args)

    assert (result.code, result.out) == (code, "")
    assert told in result.err
    assert result.err.count("\n") == 1


def test_one_release_twice() -> None:
    """Nothing differs from itself."""
    result = run("compare", rows.write("sessions.parquet", of(A, 1, 0)), A, A, "--now", NOW)

    assert result.code == 2
    assert "name two releases" in result.err


def test_no_session_in_the_window_is_a_warning() -> None:
    """A release of last month is shown empty, and where to look is said."""
    given = [*of(A, 10, 0, timestamp=rows.NOON.replace(month=2)), *of(B, 10, 0)]

    result = compare(given, "-f", "json")

    assert result.code == 0
    assert "shop@1.0.0: no session in the window" in result.err


def test_from_python() -> None:
    """The same by the Python API."""
    source = rows.write("sessions.parquet", [*of(A, 10_000, 50), *of(B, 4_000, 80)])

    with ReleaseHealth(source) as health:
        told = health.compare(A, (1, B), now=NOW)

    assert [row.finding.value for row in told.rows[:1]] == ["worse"]
