"""A filter that nothing matches, typed to every command: what there is, and no file replaced."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import rows
from command import run

NOW = ("--now", "2026-03-02T13:30:00Z")
DATA = (
    ("shop@3.10.0+3", 48, 3, "false"),
    ("deadbeef12345678", 20, 0, "false"),
    ("shop@3.9.0+4", 30, 1, "true"),
)


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions of three releases of a named project, with two further columns, and a good file."""
    monkeypatch.chdir(tmp_path)
    made: list[rows.Row] = []
    betas: list[str] = []
    for release, count, crashed, beta in DATA:
        more = {"release": release, "environment": "production"}
        made += [rows.session(value=float(count), **more)]
        made += [rows.session("crashed", value=float(crashed), **more)] if crashed else []
        betas += [beta] * (len(made) - len(betas))
    table = rows.table(made).append_column("beta", pa.array(betas))
    table = table.append_column("os", pa.array(["iOS"] * len(made)))
    pq.write_table(table, "data.parquet")
    Path("relhealth.toml").write_text("[projects]\nshop = 1\n")
    Path("good.csv").write_text("good")


SINCE = ("--since", "2026-02-20", "--target", "99")
COMMANDS = {
    "overview": ("overview", "data.parquet"),
    "overview of one": ("overview", "data.parquet", "-r", "3.10.0"),
    "status": ("status", "data.parquet"),
    "status of one": ("status", "data.parquet", "-r", "shop@3.10.0+3"),
    "releases": ("releases", "data.parquet"),
    "release": ("release", "data.parquet", "shop@3.10.0+3"),
    "projects": ("projects", "data.parquet"),
    "adoption": ("adoption", "data.parquet"),
    "compare": ("compare", "data.parquet", "3.9.0", "3.10.0"),
    "query": ("query", "data.parquet", "-F", "sum(session)"),
    "gate test": ("gate", "test", "data.parquet", *SINCE),
    "gate plan": ("gate", "plan", "data.parquet", "--target", "99"),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("filter_", "told"),
    [
        (("-e", "prodcution"), "in environment prodcution in 90 days; there are: production"),
        (("-p", "77"), "no session of project 77 in 90 days; there are: shop (1)"),
        (("--where", "os=ios"), "no session with os=ios in 90 days; values of os: iOS"),
    ],
    ids=["environment", "project", "where"],
)
def test_a_file_stays_as_it_is(command: str, filter_: tuple[str, ...], told: str) -> None:
    result = run(*COMMANDS[command], *NOW, *filter_, "-o", "good.csv")
    assert (result.code, told in result.err) == (4, True), result.err
    assert Path("good.csv").read_text() == "good"


@pytest.mark.parametrize("filter_", [("-e", "prodcution"), ("--where", "os=ios")])
def test_a_gate_waits_and_says_what_there_is(filter_: tuple[str, ...]) -> None:
    """It may be the first hour of an environment: the verdict is that of no data."""
    result = run("gate", "data.parquet", "-r", "3.10.0", "--target", "99", *NOW, *filter_)
    assert result.code == 3
    assert "production" in result.err or "values of os: iOS" in result.err
    latest = run("gate", "data.parquet", "-r", "latest", "--target", "99", *NOW, "-p", "3")
    assert (latest.code, "there are: shop (1)" in latest.err) == (4, True)


def test_a_stage_that_no_release_is_in() -> None:
    result = run("adoption", "data.parquet", *NOW, "--stage", "replaced", "-o", "good.csv")
    assert (result.code, "--stage replaced: no release is in it" in result.err) == (4, True)
    assert Path("good.csv").read_text() == "good"


def test_nothing_that_a_replay_could_begin_with() -> None:
    since = ("--since", "2026-03-02T13:00:00Z", "--target", "99")
    result = run("gate", "test", "data.parquet", *NOW, *since, "-o", "good.csv")
    assert (result.code, "no release to replay was first seen since" in result.err) == (4, True)
    assert Path("good.csv").read_text() == "good"


@pytest.mark.parametrize("line", [("overview", "data.parquet", "-r"), ("release", "data.parquet")])
def test_a_condition_changes_no_meaning_of_a_name(line: tuple[str, ...]) -> None:
    """A part of a name means a release of all sessions; a condition that empties it is named."""
    found = run(*line, "deadbee", *NOW, "--where", "beta=false").err
    assert "this is deadbeef12345678" in found
    result = run(*line, "deadbee", *NOW, "--where", "beta=true", "-o", "good.csv")
    assert result.code == 4
    assert "no session of release deadbeef12345678 with beta=true in 90 days" in result.err
    assert Path("good.csv").read_text() == "good"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (("query", "-F", "sum(session)", "-g", "relase"), "; there is release"),
        (("query", "-F", "sum(session)", "-g", "os,beta"), "; name one at a time, and repeat"),
        (("overview", "--by", "environmnt"), "; there is environment"),
    ],
)
def test_words_beside_columns_are_named_too(line: tuple[str, ...], told: str) -> None:
    result = run(line[0], "data.parquet", *line[1:], *NOW)
    assert (result.code, told in result.err) == (2, True), result.err


def test_a_mistyped_project_before_a_release() -> None:
    assert "; is the project shop?" in run("status", "data.parquet", *NOW, "-r", "shpo/3.9.9").err
    assert "nosuch/: no such file or directory" in run("status", "data.parquet", "nosuch/").err


def test_a_comparison_of_nothing() -> None:
    result = run("compare", "data.parquet", "3.9.0", "3.10.0", *NOW, "--where", "beta=x")
    assert result.out.startswith("- NO DATA  nothing to compare shop@3.10.0+3 with shop@3.9.0+4 by")


def test_old_data_replaces_no_replay_in_a_file() -> None:
    old = (
        "gate",
        "test",
        "data.parquet",
        *SINCE,
        "--now",
        "2026-03-04T00:00:00Z",
        "--max-age",
        "1h",
    )
    result = run(*old, "-o", "good.csv")
    assert (result.code, "--max-age is 1h: does the feed still run?" in result.err) == (4, True)
    assert Path("good.csv").read_text() == "good"
