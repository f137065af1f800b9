"""Old data and filters that match nothing: no question ends with 0 and replaces a good file."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest

import rows
from command import run
from paths import by
from process import finish, script
from rows import NOON, session

NOW = "2026-03-02T14:00:00Z"  # the newest session of project 1 is 2 hours old, of project 2 5 days
ROWS = [
    session(release="shop@0.9.0"),
    *(session(value=9.0, timestamp=NOON - timedelta(minutes=one)) for one in (0, 600)),
    session(environment="staging", timestamp=NOON - timedelta(days=3)),
    session(project_id=2, timestamp=NOON - timedelta(days=5), environment="production"),
]
QUESTIONS = {
    "status": [],
    "overview": [],
    "releases": [],
    "release": [rows.RELEASE],
    "projects": [],
    "adoption": [],
    "query": ["-F", "sum(session)"],
    "compare": [rows.RELEASE, "shop@0.9.0"],
    "inspect": [],
    "gate": ["-r", rows.RELEASE, "-p", "1", "--target", "1.5"],
    "gate plan": ["-r", rows.RELEASE, "-p", "1", "--target", "1.5"],
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in a folder with data."""
    monkeypatch.chdir(tmp_path)
    rows.write(tmp_path / "data.parquet", ROWS)


def asked(name: str, *options: str, now: str = NOW) -> list[str]:
    """Return the command line of a question."""
    return [*name.split(), "data.parquet", *QUESTIONS[name], "--now", now, *options]


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_question_refuses_old_data_and_keeps_the_file(name: str) -> None:
    good = Path("answer.json")
    only = ["-p", "1"] if name == "status" else []  # it asks about each project
    assert run(*asked(name, *only, "--max-age", "121m", "-o", "answer.json")).code in {0, 3}
    kept = good.read_bytes()
    old = run(*asked(name, *only, "--max-age", "119m", "-o", "answer.json"))
    assert old.code == 4
    told = "the newest session is (from|of) 2026-03-02T12:00:00Z, 2.0 h ago"
    assert re.search(told, old.err), old.err
    assert "does the feed still run?" in old.err
    assert all(line.startswith("relhealth: error: ") for line in old.err.splitlines())
    if name == "gate":  # an old file would look like a verdict
        assert json.loads(good.read_text())["meta"]["verdict"] == "error"
    else:
        assert good.read_bytes() == kept


@pytest.mark.parametrize("engine", ["kernel", "duckdb", "rollup"])
def test_the_age_is_that_of_what_was_asked_about(engine: str) -> None:
    def code(*options: str, now: str = NOW) -> int:
        return run(*asked("overview", *options, now=now)).code

    with by(engine):
        assert code("--max-age", "3h") == 0
        assert code("--max-age", "3h", "-p", "1") == 0
        assert code("--max-age", "3h", "-p", "2") == 4
        assert code("--max-age", "3h", "-p", "1", "-p", "2") == 4
        assert code("--max-age", "6d", "-p", "1", "-p", "2") == 0
        assert code("--max-age", "3h", "-e", "staging") == 4
        assert code("--max-age", "4d", "-e", "staging") == 0
        assert code("--max-age", "2h") == 0
        assert code("--max-age", "90d", "-p", "9") == 4
        assert code("--max-age", "2d", now="2026-08-01") == 4  # more than 90 days later


def test_the_message_names_the_project_and_the_environment() -> None:
    Path("relhealth.toml").write_text("[projects]\nshop = 2\n")
    told = run(*asked("overview", "--max-age", "3h", "-p", "shop", "-e", "production")).err
    assert told == (
        "relhealth: error: project shop (2): the newest session in environment production is from"
        " 2026-02-25T12:00:00Z, 5.1 days ago; --max-age is 3h: does the feed still run?\n"
    )


@pytest.mark.parametrize("name", ["overview", "status", "gate"])
def test_the_age_of_the_latest_data_is_by_the_clock(name: str) -> None:
    """Else the latest data would never be old."""
    found = run(*asked(name, "--max-age", "2h", now="latest"))
    assert found.code == 4
    assert "days ago" in found.err
    assert run(*asked(name, "--max-age", "520w", now="latest")).code in {0, 3}


@pytest.mark.parametrize("age", ["soon", "0h", "-3h", ""])
def test_an_age_is_a_length_of_time(age: str) -> None:
    found = run(*asked("overview", f"--max-age={age}"))
    assert found.code == 2
    assert "is not a length of time" in found.err


def test_data_without_any_session_are_old() -> None:
    rows.write(Path("data.parquet"), [])
    found = run(*asked("overview", "--max-age", "3h"))
    assert found.code == 4
    assert "the newest session: there is none; --max-age is 3h" in found.err


# Filters that match nothing.

UNMATCHED = {
    ("-p", "9"): "no session of project 9 in 90 days; there are: 1, 2",
    ("-e", "prod"): (
        "no session in environment prod in 90 days; there are: production, none, staging"
    ),
    ("-p", "2", "-e", "staging"): (
        "no session of project 2 in environment staging in 90 days; there are: production"
    ),
    ("-p", "8", "-p", "9"): "no session of project 8 or 9 in 90 days; there are: 1, 2",
}


@pytest.mark.parametrize("filters", UNMATCHED, ids=" ".join)
@pytest.mark.parametrize(
    "name", ["overview", "releases", "projects", "adoption", "query", "release"]
)
def test_a_filter_that_matches_nothing_does_not_replace_a_file(
    name: str, filters: tuple[str, ...]
) -> None:
    told = UNMATCHED[filters]
    line = asked(name, *filters)
    shown = run(*line)
    assert shown.code == 0
    assert f"relhealth: warning: {told}\n" in shown.err
    Path("answer.json").write_text("good")
    refused = run(*line, "-o", "answer.json")
    assert (refused.code, refused.err) == (4, f"relhealth: error: {told}\n")
    assert Path("answer.json").read_text() == "good"
    assert run(*line, "--strict").code == 4
    assert run(*line, "--quiet").err == ""


@pytest.mark.parametrize("filters", UNMATCHED, ids=" ".join)
def test_a_comparison_of_nothing_is_refused(filters: tuple[str, ...]) -> None:
    told = UNMATCHED[filters]
    refused = run(*asked("compare", *filters, "-o", "answer.csv"))
    assert (refused.code, refused.err) == (4, f"relhealth: error: {told}\n")


def test_a_report_is_a_file_too() -> None:
    Path("report.csv").write_text("good")
    assert run(*asked("overview", "-p", "9", "--report", "csv=report.csv")).code == 4
    assert Path("report.csv").read_text() == "good"


def test_a_status_of_nothing_does_not_replace_a_file() -> None:
    Path("answer.json").write_text("good")
    assert run(*asked("status", "-p", "9", "-o", "answer.json")).code == 4
    assert Path("answer.json").read_text() == "good"


def test_a_period_that_emptied_the_answer_is_named() -> None:
    """The filter matches sessions of other days: that is an answer, and goes to the file."""
    found = run(*asked("releases", "-p", "2", "-o", "answer.csv"))
    assert found.code == 0
    overview = run(*asked("overview", "-p", "2", "-o", "answer.csv"))
    assert overview.code == 0
    assert (
        "warning: no session in the window; the newest that the filters match is from"
        " 2026-02-25T12:00:00Z\n"
    ) in overview.err
    assert Path("answer.csv").read_text().count("\n") == 1


def test_an_answer_with_sessions_is_not_explained() -> None:
    for name in ("overview", "query", "releases"):
        assert "no session" not in run(*asked(name, "-e", "", "-e", "nowhere")).err
    rate = ["query", "data.parquet", "-F", "crash_rate(session)", "-e", "", "--now", NOW]
    assert "no session" not in run(*rate).err


# The age as a metric.


@pytest.mark.parametrize("chosen", ["prometheus", "openmetrics"])
def test_metrics_have_the_age_of_each_project(chosen: str) -> None:
    overview = run(*asked("overview", "-f", chosen)).out
    assert "# TYPE relhealth_data_age_seconds gauge\n" in overview
    labels = 'command="overview",project="{}",period="24h"'
    assert f"relhealth_data_age_seconds{{{labels.format(1)}}} 7200\n" in overview
    assert f"relhealth_data_age_seconds{{{labels.format(2)}}} 439200\n" in overview
    narrow = run(*asked("overview", "-f", chosen, "-e", "staging", "-p", "1")).out
    sample = 'command="overview",project="1",period="24h",environment="staging"'
    assert f"relhealth_data_age_seconds{{{sample}}} 266400\n" in narrow
    gate = run(*asked("gate", "-f", chosen)).out
    assert 'relhealth_data_age_seconds{command="gate",project="1"} 7200\n' in gate
    assert 'command="gate",project="2"' not in gate


def test_a_report_of_metrics_has_the_age_too() -> None:
    assert run(*asked("overview", "--report", "prometheus=age.prom")).code == 0
    assert "relhealth_data_age_seconds" in Path("age.prom").read_text()
    assert run(*asked("overview", "-o", "answer.json")).code == 0


def test_an_overview_without_the_option_reads_no_age() -> None:
    """A start and an overview take no longer for it."""
    code = (
        "import sys; from relhealth.__main__ import main; main(sys.argv[1:]);"
        " print('relhealth.questions.freshness' in sys.modules)"
    )
    line = script(code, *asked("overview"))
    assert finish(line).out.endswith(b"False\n")
    assert finish([*line, "--max-age", "3h"]).out.endswith(b"True\n")
