"""`relhealth status`: a word for each release that matters, and what is going on with it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

import rows
from command import run
from places import ROOT
from relhealth import ReleaseHealth
from relhealth.gate.glance import Word
from relhealth.gate.policy import Policy, Rule
from rows import NOON, session, user

if TYPE_CHECKING:
    from pathlib import Path

SAMPLE = str(ROOT / "sample_data")
NOW = ("--now", "2026-03-03T11:30:00Z")
OLD, BAD, NEW, FEW = "shop@1.0.0", "shop@1.1.0", "shop@1.2.0", "shop@0.9.0"


def of(
    release: str, count: int, crashed: int, hours: float = 0, project: int = 1
) -> list[rows.Row]:
    """Sessions of a release, each of its own user, some hours after noon."""
    at = NOON + timedelta(hours=hours)
    made = []
    for number in range(count):
        mine: dict[str, Any] = {"release": release, "timestamp": at, "project_id": project}
        member = hash((release, number, hours)) % 2**62
        made += [session(**mine), user(member, **mine)]
        if number < crashed:
            made += [session("crashed", **mine), user(member, "crashed", **mine)]
    return made


@pytest.fixture
def source(tmp_path: Path) -> str:
    """A release that most had, a bad one, a new one, and one that hardly anybody has."""
    given = [
        *of(OLD, 900, 0, -12),
        *of(OLD, 2_000, 1, 19),
        *of(BAD, 300, 30, 2),
        *of(NEW, 40, 0, 20),
        *of(FEW, 10, 5),
        *of("api@2.0.0", 1_000, 0, project=2),
    ]
    path = tmp_path / "rows.parquet"
    pq.write_table(rows.table(given), path)
    return str(path)


def found(source: str, *more: str) -> dict[str, dict[str, Any]]:
    """Return the rows of the JSON by release."""
    result = run("status", source, *more, *NOW, "-f", "json")
    assert result.code == 0, result.err
    return {row["release"]: row for row in json.loads(result.out)["data"]}


def test_each_release_that_matters_has_its_word(source: str) -> None:
    words = {name: row["status"] for name, row in found(source).items()}
    assert words == {BAD: "bad", NEW: "too early", OLD: "ok", "api@2.0.0": "ok"}
    assert next(iter(words)) == BAD, "the bad one is first"


def test_the_figures_are_those_of_gate_and_overview(source: str) -> None:
    row = found(source)[BAD]
    assert row["figure"] == row["crash_free_sessions"] == pytest.approx(90)
    assert row["upper"] < 98
    assert (row["target"], row["critical"], row["metric"]) == (99.5, 98, "crash_free_sessions")
    assert row["prevailing"] == OLD
    assert row["change"] == pytest.approx(90 - 99.95)
    assert (row["total_sessions"], row["total_users"]) == (300, 300)
    assert row["newest"] == "2026-03-03T08:00:00Z"
    assert row["age"] == 3.5 * 3_600


def test_a_sentence_says_what_is_going_on(source: str) -> None:
    result = run("status", source, BAD, *NOW, "-f", "markdown")
    assert result.code == 0
    assert " BAD** | `shop@1.1.0` |" in result.out
    assert "90.00% crash-free sessions, at most 92." in result.out
    assert r"\(bad below 98%\); 9.95 points worse than 1.0.0" in result.out
    assert "300 sessions of 300 users, newest 3.5 h ago" in result.out


@pytest.mark.parametrize(
    ("more", "code"),
    [((), 0), (("--check",), 1), ((OLD, "--check"), 0), ((NEW, "--check"), 3)],
)
def test_check_ends_as_a_gate(source: str, more: tuple[str, ...], code: int) -> None:
    assert run("status", source, *more, *NOW).code == code


def test_a_release_can_be_named_by_a_part(source: str) -> None:
    assert list(found(source, "1.1.0")) == [BAD]
    assert list(found(source, "-r", "1/shop@1.1.0")) == [BAD]
    unknown = found(source, "shop@7.0.0")
    assert {row["status"] for row in unknown.values()} == {"no data"}


def test_the_limits_are_those_of_the_policy(source: str, tmp_path: Path) -> None:
    policy = tmp_path / "relhealth.toml"
    policy.write_text("[[gate.rule]]\ntarget = 80\n")
    row = found(source, BAD, "--policy", str(policy))[BAD]
    assert (row["status"], row["target"], row["critical"]) == ("ok", 80, None)
    with ReleaseHealth(source) as health:
        listing = health.status([BAD], Policy(rule=(Rule(target=80.0),)), now=NOW[1])
    assert [one.status for one in listing] == [Word.OK]


def test_filters_and_nothing(source: str) -> None:
    assert list(found(source, "-p", "2")) == ["api@2.0.0"]
    result = run("status", source, "-p", "9", *NOW)
    assert result.code == 0
    assert "no release found" in result.err
    assert run("status", source, "-p", "9", "--check", *NOW).code == 3


def test_watching_is_of_the_clock(source: str) -> None:
    result = run("status", source, *NOW, "--watch", "60s")
    assert (result.code, "--watch looks as time goes by" in result.err) == (2, True)


def test_watching_marks_what_changed(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) > 1:
            raise KeyboardInterrupt
        given = [*of(OLD, 400, 390, 20.5), *of("shop@1.3.0", 50, 0, 21)]
        pq.write_table(rows.table(given), source.replace("rows.parquet", "more.parquet"))

    monkeypatch.setattr("relhealth.commands.status.time.sleep", sleep)
    folder = source.rpartition("/")[0]
    result = run("status", folder, "--now", "latest", "--watch", "60s")
    assert (result.code, looks) == (130, [60.0, 60.0])
    _, second = result.out.split("24h · ")[1:]
    assert "OK         shop@1.0.0\n             was TOO EARLY: 99.95%" in second
    assert "shop@1.3.0\n             new: its first session began" in second


def test_watching_goes_on_after_a_fault(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is damaged for a moment, say."""
    other = source.replace("rows.parquet", "more.parquet")
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            raise KeyboardInterrupt
        with open(other, "w", encoding="ascii") as file:
            file.write("no Parquet" if len(looks) == 1 else "")
        if len(looks) > 1:
            pq.write_table(rows.table(of("shop@1.3.0", 50, 0, 21)), other)

    monkeypatch.setattr("relhealth.commands.status.time.sleep", sleep)
    result = run("status", source.rpartition("/")[0], "--now", "latest", "--watch", "60s")
    assert (result.code, len(looks)) == (130, 3)
    assert "more.parquet: not a Parquet file" in result.err
    assert "new: its first session began" in result.out


def test_a_fail_that_may_be_chance_says_so(tmp_path: Path) -> None:
    """Among many checks, one fails by chance: the line says why it is not BAD."""
    given = [row for number in range(40) for row in of(f"shop-{number}@1.0.0", 200, 0, 2)]
    path = tmp_path / "rows.parquet"
    pq.write_table(rows.table([*given, *of("cart@1.0.0", 200, 10, 2)]), path)
    row = found(str(path))["cart@1.0.0"]
    assert (row["status"], row["upper"] < 98) == ("too early", True)
    result = run("status", str(path), *NOW)
    line = next(one for one in result.out.split("TOO EARLY") if "cart@1.0.0" in one)
    told = "bad below 98%), but by chance, perhaps, among so many checks"
    assert told in " ".join(line.split())
    alone = run("status", str(path), *NOW, "-r", "cart@1.0.0")
    assert " BAD " in alone.out


def test_the_sample_has_one_bad_release() -> None:
    result = run("status", SAMPLE, "--now", "latest", "-f", "csv")
    assert result.code == 0
    bad = [line for line in result.out.splitlines() if ",bad," in line]
    assert len(bad) == 1
    assert "com.example.shop@3.9.0+4296" in bad[0]


def test_a_project_without_a_rule_has_the_default_limits(source: str, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("[[gate.rule]]\ntarget = 80\nprojects = [2]\n")
    rows = found(source, "--policy", str(policy))
    assert {name: row["status"] for name, row in rows.items()} == {
        BAD: "bad", NEW: "too early", OLD: "ok", "api@2.0.0": "ok"
    }  # fmt: skip
    assert {name: (row["target"], row["critical"]) for name, row in rows.items()} == {
        BAD: (99.5, 98), NEW: (99.5, 98), OLD: (99.5, 98), "api@2.0.0": (80, None)
    }  # fmt: skip
    policy.write_text("[gate]\nprojects = [2]\n[[gate.rule]]\ntarget = 80\n")
    assert set(found(source, "--policy", str(policy))) == {"api@2.0.0"}
