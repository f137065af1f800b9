"""The word of a release at first sight: in the overview, by its figures alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rows
from command import run
from places import ROOT
from relhealth import ReleaseHealth
from relhealth.core.errors import ExitCode
from relhealth.gate import glance
from relhealth.gate.glance import Limit, Limits, Word, rank, word_of
from relhealth.gate.intervals import clopper_pearson
from relhealth.gate.policy import Policy, Rule, When
from relhealth.output.formats.text import SIGNS
from relhealth.questions.overview import UNITS, ReleaseOverview

if TYPE_CHECKING:
    from collections.abc import Iterable

SAMPLE = str(ROOT / "sample_data")
NAME = "shop@1.0.0"


def release(sessions: int | None, crashed: int, users: int = 0, affected: int = 0) -> Any:
    """Return the figures of a release that a word needs."""
    given = dict.fromkeys(UNITS) | {"project_id": 1, "release": NAME, "total_sessions": sessions}
    given |= {"sessions_crashed": crashed, "total_users": users, "users_crashed": affected}
    return ReleaseOverview(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("figures", "word"),
    [
        ((None, 0), Word.NO_DATA),
        ((12, 0), Word.TOO_EARLY),  # 100 % of little
        ((597, 0), Word.TOO_EARLY),  # 0.995 ** 597 is above 5 %
        ((598, 0), Word.OK),
        ((10_000, 30), Word.OK),
        ((10_000, 60), Word.TOO_EARLY),  # 99.4 %
        ((10_000, 150), Word.TOO_EARLY),  # below the target for sure, but not below critical
        ((10_000, 300), Word.BAD),
        ((20, 0, 20), Word.TOO_EARLY),
        ((221, 14, 168, 14), Word.BAD),
        ((221, 14, 168, 1), Word.TOO_EARLY),  # one user crashed 14 times
        ((2_000, 0, 20), Word.TOO_EARLY),  # 100 sessions of each of 20 users
        ((2_000, 0, 1_900), Word.OK),
        ((5, 9), Word.BAD),  # crashes of sessions that began before the window
        ((2**63 - 1, 2**55), Word.OK),
        ((2**63 - 1, 2**60), Word.BAD),
    ],
)
def test_the_word_is_that_of_the_bounds(figures: tuple[Any, ...], word: Word) -> None:
    assert word_of(release(*figures), [Limit()]) is word


@given(st.data(), st.integers(1, 30_000), st.sampled_from([0.0001, 0.005, 0.02, 0.5, 0.98]))
def test_a_tail_is_on_the_side_of_the_exact_bound(data: Any, n: int, share: float) -> None:
    near = max(0, int(n * share - 3 * (n * share) ** 0.5)), min(n, int(n * share) + 1)
    k = data.draw(st.integers(*near) | st.integers(0, n))
    upper = clopper_pearson(k, n, 0.95).upper
    if abs(upper - share) > 1e-9:
        assert glance.at_most(k, n, share, 0.05) == (upper < share)


def words(source: str, *more: str) -> dict[str, str]:
    """Return the words of the overview by release."""
    asked = ("--columns", "release,status", "-f", "json", *more)
    result = run("overview", source, "--now", "latest", *asked)
    assert result.code == 0, result.err
    return {row["release"]: row["status"] for row in json.loads(result.out)["data"]}


def test_overview_and_status_say_the_same_of_the_sample() -> None:
    told = json.loads(run("status", SAMPLE, "--now", "latest", "-f", "json").out)["data"]
    status = {row["release"]: row["status"] for row in told}
    found = words(SAMPLE)
    assert len(status) == 7
    assert {name: found[name] for name in status} == status
    assert [name for name, word in found.items() if word == "bad"] == [
        "com.example.shop@3.9.0+4296"
    ]


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder with data of one release: 1,000 sessions of so many users, 10 crashed."""
    monkeypatch.chdir(tmp_path)
    given = [rows.session(value=1_000.0), rows.session("crashed", value=10.0)]
    given += [rows.user(number) for number in range(1_000)]
    given += [rows.user(number, "crashed") for number in range(10)]
    return rows.write(tmp_path / "rows.parquet", given)


def write(*lines: str) -> None:
    """Write the policy of the folder."""
    Path("relhealth.toml").write_text("\n".join(lines))


@pytest.mark.parametrize(
    ("policy", "word"),
    [
        ([], "too early"),  # 99 % of 1,000, by 99.5 and 98
        (["[gate]", 'period = "7d"'], "too early"),  # no rule
        (["[[gate.rule]]", "target = 90"], "ok"),
        (["[[gate.rule]]", "target = 99.9"], "bad"),
        (["[[gate.rule]]", "target = 99.9", "critical = 90"], "too early"),
        (["[[gate.rule]]", "target = 90", "min_sessions = 5000"], "too early"),
        (["[[gate.rule]]", "target = 90", "when = { sessions = 900 }"], "ok"),
        (["[[gate.rule]]", "target = 90", "when = { adoption = 100, users = 5000 }"], "ok"),
        (["[[gate.rule]]", "target = 98", "deff = 20"], "too early"),
        (["[[gate.rule]]", "target = 98"], "ok"),
        (["[[gate.rule]]", "target = 98", "confidence = 0.9999"], "too early"),
        # The worst of all; environments of others do not matter.
        (["[[gate.rule]]", "target = 90", "[[gate.rule]]", "target = 99.9"], "bad"),
        (["[gate]", "projects = [1]", "[[gate.rule]]", "target = 90"], "ok"),
        # A policy for other projects or environments: the default limits.
        (["[gate]", "projects = [2]", "[[gate.rule]]", "target = 90"], "too early"),
        (["[[gate.rule]]", "target = 90", "projects = [2]"], "too early"),
        (["[[gate.rule]]", 'baseline = "previous"', "margin = 1"], None),
    ],
)
def test_the_limits_are_those_of_the_policy(
    policy: list[str], word: str | None, source: str
) -> None:
    if policy:
        write(*policy)
    assert words(source) == {rows.RELEASE: word}


def test_a_policy_can_be_named_or_in_pyproject(source: str) -> None:
    Path("pyproject.toml").write_text(
        "[tool.relhealth.gate]\n[[tool.relhealth.gate.rule]]\ntarget=90\n"
    )
    assert words(source) == {rows.RELEASE: "ok"}
    Path("pyproject.toml").write_text("[tool]\nrelhealth.gate.rule = [{ target = 99.9 }]\n")
    assert words(source) == {rows.RELEASE: "bad"}
    Path("other.toml").write_text("[[gate.rule]]\ntarget = 99.9\n")
    assert words(source, "--policy", "other.toml") == {rows.RELEASE: "bad"}
    Path("relhealth.toml").write_text("[gate")
    result = run("overview", source, "--now", "latest")
    assert (result.code, "relhealth.toml: not TOML" in result.err) == (ExitCode.USAGE, True)


def test_rules_of_environments_apply_to_these() -> None:
    strict, lenient = Rule(target=99.9), Rule(target=90.0, environments=("staging",))
    limits = Limits.of(Policy(rule=(strict, lenient)).checked())

    def targets(environments: Iterable[str] | None) -> list[float]:
        its = None if environments is None else list(environments)
        return [one.target for one in limits.of_project(1, its)]

    assert targets(None) == targets(["staging", "x"]) == [99.9, 90.0]
    assert targets(["production"]) == [99.9]


def test_rules_that_need_more_are_named(source: str) -> None:
    write("[[gate.rule]]", "target = 90", "[[gate.rule]]", 'metric = "duration_p50"', "target = 1")
    told = run("overview", source, "--now", "latest").out
    assert "● OK" in told
    assert "the status leaves out 1 further rule of the policy" in told


def test_a_rule_that_waits_needs_no_scipy_to_say_so() -> None:
    rule = Rule(target=90.0, when=When(users=5))
    (limit,) = Limits.of(Policy(rule=(rule,)).checked()).of_project(1, None)
    assert word_of(release(1_000, 0), [limit]) is Word.TOO_EARLY
    assert word_of(release(1_000, 0, 900), [limit]) is Word.OK


def test_bad_releases_come_first_then_the_newest() -> None:
    names = ["a@1.9.0", "a@1.10.0", "a@1.10.0-rc.2", "a@1.10.0-rc.10", "a@1.10.0+2", "b@1.0.0", "x"]
    found = sorted(names, key=lambda name: rank(1, name, Word.BAD if name == "x" else Word.OK))
    assert found == [
        "x", "a@1.10.0", "a@1.10.0+2", "a@1.10.0-rc.10", "a@1.10.0-rc.2", "a@1.9.0", "b@1.0.0"
    ]  # fmt: skip
    assert rank(1, "x", Word.OK) < rank(2, "a@1.0.0", Word.BAD)


def test_release_begins_with_its_word(source: str) -> None:
    result = run("release", source, rows.RELEASE, "--now", "latest", "--policy", "none.toml")
    assert (result.code, "none.toml: cannot read the policy" in result.err) == (2, True)
    out = run("release", source, rows.RELEASE, "--now", "latest").out
    assert out.startswith(
        f"? TOO EARLY  {rows.RELEASE}: 99.00% crash-free sessions, 99.00% crash-free users,"
        " 1,000 sessions of 1,000 users in 24h, 100% of users in 24h\n"
    )
    write("[[gate.rule]]", "target = 90")
    assert run("release", source, rows.RELEASE, "--now", "latest").out.startswith("● OK  ")
    write("[[gate.rule]]", "target = 99.9")
    asked = ("release", source, rows.RELEASE, "--now", "latest")
    assert run(*asked, "-f", "markdown").out.startswith(f"**{SIGNS['BAD']} BAD** ")
    write("[[gate.rule]]", 'baseline = "previous"', "margin = 1")  # no limit, and so no word
    assert run(*asked).out.startswith(f"{rows.RELEASE}: 99.00% crash-free sessions")
    assert run(*asked, "-f", "markdown").out.startswith("shop")


def test_python_has_the_stages_when_asked() -> None:
    with ReleaseHealth(SAMPLE) as health:
        assert health.overview(now="latest").stages is None
        found = health.overview(now="latest", adoption_stages=True)
        listed = health.releases(now="latest")
    stages = {(row.project_id, row.release): row.adoption_stage for row in listed}
    assert found.stages is not None
    assert {pair: found.stages[pair] for pair in found} == {pair: stages[pair] for pair in found}
