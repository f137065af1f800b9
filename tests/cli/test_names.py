"""Names as people remember them, in every command, and what names that match nothing do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from command import run
from places import ROOT

if TYPE_CHECKING:
    from pathlib import Path

SAMPLE = str(ROOT / "sample_data")
NOW = ("--now", "latest")
BAD = "com.example.shop@3.9.0+4296"
FORMER = "com.example.shop@3.8.1+4282"


def sessions(*options: str) -> int:
    """Return the sessions of a query."""
    result = run("query", SAMPLE, "-F", "sum(session)", *options, *NOW, "-f", "json")
    assert result.code == 0, result.err
    return sum(
        group["totals"]["sum(session)"] for group in json.loads(result.out)["data"]["groups"]
    )


@pytest.mark.parametrize("name", [BAD, "com.example.shop@3.9.0", "1/com.example.shop@3.9.0"])
def test_a_query_takes_a_part_of_a_name(name: str) -> None:
    assert sessions("-r", name) == 221


def test_a_query_takes_a_version_in_one_project() -> None:
    assert sessions("-r", "3.9.0", "-p", "1") == 221
    assert sessions("-r", f"1/{BAD}", "-r", f"1/{FORMER}") > 221


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["-r", f"1/{BAD}", "-r", "2/example-api@3.9.1"], "all must be of one project"),
        (["-r", f"1/{BAD}", "-p", "2"], "another project than --project"),
        (["-r", "shop@3.9"], "3 releases match"),
        (["--status", "crashd"], "the nearest is crashed"),
        (["-F", "sum(sesion)"], "the nearest are sum(session)"),
    ],
)
def test_a_query_refuses_what_it_cannot_mean(options: list[str], told: str) -> None:
    result = run("query", SAMPLE, "-F", "sum(session)", *options, *NOW)
    assert (result.code, told in result.err) == (2, True), result.err


NOTHING = {
    "query": ["query", "-F", "sum(session)", "-r", "nonsense"],
    "overview": ["overview", "-r", "nonsense"],
    "release": ["release", "nonsense"],
    "adoption": ["adoption", "-r", "nonsense"],
    "releases": ["releases", "--since", "2027-01-01"],
    "gate plan": ["gate", "plan", "-r", "nonsense", "--target", "99"],
    "gate test": ["gate", "test", "-r", "nonsense", "--target", "99", "--since", "2026-11-01"],
}


@pytest.mark.parametrize("name", NOTHING)
def test_what_matches_nothing_replaces_no_file(name: str, tmp_path: Path) -> None:
    kept = tmp_path / "kept.csv"
    kept.write_text("good")
    words = NOTHING[name]
    at = len(name.split())
    line = [*words[:at], SAMPLE, *words[at:], *NOW]
    result = run(*line, "-o", str(kept))
    assert (result.code, kept.read_text()) == (4, "good")
    assert result.err.splitlines()[-1].endswith("; the file stays as it is")
    shown = run(*line)
    assert shown.code in {0, 4}
    assert "warning: " in shown.err or shown.code == 4


def test_one_release_of_several_is_enough_for_a_file(tmp_path: Path) -> None:
    file = tmp_path / "both.csv"
    result = run("overview", SAMPLE, "-r", BAD, "-r", "nonsense", *NOW, "-o", str(file))
    assert result.code == 0, result.err
    assert BAD in file.read_text()


@pytest.mark.parametrize("pattern", ["shop@3.9.0+*", "3.9.0+*", "com.example.shop@3.9.0+*"])
def test_a_pattern_need_not_have_the_front_of_a_package(pattern: str) -> None:
    found = run("release", SAMPLE, pattern, *NOW, "-f", "json")
    assert found.code == 0, found.err
    assert f"this is {BAD}" in found.err


@pytest.mark.parametrize("command", ["overview", "status", "release", "adoption"])
@pytest.mark.parametrize("name", ["shop@3.9", "shop@3.9.*"])
def test_several_that_match_are_listed(command: str, name: str) -> None:
    words = [name] if command in {"status", "release"} else ["-r", name]
    result = run(command, SAMPLE, *words, *NOW)
    assert result.code == 2
    assert "3 releases match" in result.err
    assert BAD in result.err


@pytest.mark.parametrize("path", ["./sample_datax", "sample_data/x.parquet", "/nowhere/at/all"])
def test_a_mistyped_path_is_no_release(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    result = run("status", "sample_data", path, *NOW)
    assert (result.code, f"{path}: no such file" in result.err) == (4, True), result.err


def test_a_misspelt_version_has_a_nearest() -> None:
    assert BAD in run("overview", SAMPLE, "-r", "shpo@3.9.0", *NOW).err


def test_a_baseline_can_lack_its_build() -> None:
    line = ["gate", SAMPLE, "-r", BAD, "--margin", "0.2", *NOW, "-f", "json"]
    (short, full) = (run(*line, "--baseline", one) for one in ("3.8.1", FORMER))
    assert short.code == full.code == 1
    assert json.loads(short.out)["data"] == json.loads(full.out)["data"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (["overview", "--sort", "crash_free_sesions"], "crash_free_sessions"),
        (["releases", "--sort", "last_sen"], "the nearest are last_seen"),
        (["adoption", "--sort", "adopton"], "adoption"),
        (["gate", "-r", "latest", "--metric", "crash_free_sesions", "--target", "99"], "nearest"),
        (["overview", "--by", "status"], "the answer has a column of that name"),
    ],
)
def test_unknown_words_come_with_the_nearest(line: list[str], told: str) -> None:
    result = run(line[0], SAMPLE, *line[1:], *NOW)
    assert (result.code, told in result.err) == (2, True), result.err


def test_the_age_of_a_status_is_that_of_the_data() -> None:
    rows = json.loads(run("status", SAMPLE, *NOW, "-f", "json").out)["data"]
    newest = json.loads(run("inspect", SAMPLE, *NOW, "-f", "json").out)["data"]["projects"]
    last = {one["project_id"]: one["last"] for one in newest}
    assert rows
    assert all(row["newest"] == last[row["project_id"]] for row in rows)


def test_a_dimension_has_one_column(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("session_id,started,release,status,os,device\n")
    words = ["--dimension", "os=os", "--dimension", "os=device"]
    result = run("ingest", str(tmp_path / "a.csv"), "--to", str(tmp_path / "data"), *words)
    assert (result.code, "--dimension os: given twice" in result.err) == (2, True)


def test_the_variable_of_questions_does_not_stop_an_ingest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELHEALTH_NOW", "latest")
    result = run("ingest", str(tmp_path / "nothing.csv"), "--to", str(tmp_path / "data"))
    assert (result.code, "no such file" in result.err) == (4, True)
    refused = run(
        "ingest", str(tmp_path / "nothing.csv"), "--to", str(tmp_path / "data"), "--now", "latest"
    )
    assert refused.code == 2


def test_an_unknown_word_names_its_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "relhealth.toml").write_text("[ingest]\nbogus = 1\n")
    monkeypatch.chdir(tmp_path)
    assert "ingest.bogus: unknown word" in run("config").err


def test_a_status_names_the_period_of_what_it_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "relhealth.toml").write_text('[gate]\nperiod = "30d"\n[[gate.rule]]\ntarget = 99\n')
    monkeypatch.chdir(tmp_path)
    line = ("status", SAMPLE, "3.9.0+4296", *NOW)
    assert " crash-free sessions in 30d, " in " ".join(run(*line).out.split())
    (row,) = json.loads(run(*line, "-f", "json").out)["data"]
    assert row["prevailing"] == FORMER
    assert row["change"] == pytest.approx(-5.99, abs=0.01)


def test_an_unknown_stage_comes_with_the_nearest() -> None:
    assert "the nearest is adopted" in run("adoption", SAMPLE, "--stage", "adoptd", *NOW).err
