"""Files that Apache Spark wrote, of metrics and of sessions: answers equal those of plain files."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import rows
from command import run
from envelopes import member_of, rows_of
from paths import by
from places import TESTS
from relhealth import ReleaseHealth
from relhealth.gate.policy import Policy, Rule
from tables import write_lines

if TYPE_CHECKING:
    from collections import Counter

SPARK = TESTS / "data" / "spark"
NOW = "2026-11-20T12:30:00Z"
CRASHING = "shop@1.0.0"
PATHS = ("files", "templates", "rollup")


def kinds(table: str) -> list[str]:
    """Return the kinds of file that there are of a table, but for the one of no rows."""
    return sorted(folder.name for folder in (SPARK / table).iterdir() if folder.name != "empty")


def given(table: str) -> list[dict[str, Any]]:
    """Return the rows that Spark wrote."""
    return list(map(json.loads, (SPARK / f"{table}.jsonl").read_text("utf-8").splitlines()))


def answers(source: Path, path: str) -> list[Any]:
    """Return what the questions answer by one path."""
    policy = Policy(rule=(Rule(target=99.0),))
    with by(path), ReleaseHealth(source) as health:
        inspected = replace(
            health.inspect(now=NOW), bytes=0, files=0, empty_files=(), invalid_rows={}
        )
        return [
            health.overview(now=NOW, health_stats_period="24h").rows,
            health.overview(now=NOW, environments=["stage é"]).rows,
            health.releases(now=NOW).rows,
            health.gate([CRASHING], policy, now=NOW).verdict,
            inspected,
        ]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """Return the answers over the same metrics in a plain file."""
    file = tmp_path_factory.mktemp("plain") / "a.parquet"
    read = [
        row | {"timestamp": datetime.fromisoformat(row["timestamp"])} for row in given("metrics")
    ]
    rows.write(file, read)
    found = answers(file, "files")
    assert found == answers(file, "templates")
    figures = {(row.project_id, row.release): row for row in found[0]}
    assert len(figures) == 4
    crashing = figures[1, CRASHING]
    assert (crashing.total_sessions, crashing.crash_free_sessions) == (8, 75.0)
    assert (crashing.total_users, crashing.crash_free_users) == (5, 80.0)
    return found


@pytest.mark.parametrize(
    ("kind", "path"),
    [  # each kind by one of the paths, and by the others as slow tests
        pytest.param(
            kind, path, marks=[] if (number + turn) % len(PATHS) == 0 else pytest.mark.slow
        )
        for number, kind in enumerate(kinds("metrics"))
        for turn, path in enumerate(PATHS)
    ],
)
def test_metrics(kind: str, path: str, plain: list[Any]) -> None:
    assert answers(SPARK / "metrics" / kind, path) == plain


def test_the_gate_fails_the_crashing_release() -> None:
    for kind in kinds("metrics"):
        source = str(SPARK / "metrics" / kind)
        line = ("gate", source, "--now", NOW, "-r", CRASHING, "--target", "99", "-p", "1")
        assert run(*line).code in {1, 3}


def test_metrics_of_no_rows() -> None:
    ended = run("overview", str(SPARK / "metrics" / "empty"), "--now", NOW, "-f", "json")
    assert (ended.code, json.loads(ended.out)["data"]) == (0, [])
    assert "no rows" in ended.err


def ingested(source: Path, dataset: Path) -> Counter[tuple[Any, ...]]:
    """Return the rows of a data set of one input, checking that nothing was lost."""
    ended = run("ingest", str(source), "--to", str(dataset), "--now", NOW, "-f", "json")
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)["data"]
    assert (told["accepted"], told["lost"], told["rejected"]) == ({"row": 13}, {}, {})
    assert told["statuses"]["crashed"] == 3
    return rows_of(dataset)


@pytest.mark.parametrize("kind", kinds("sessions"))
def test_sessions(kind: str, tmp_path: Path) -> None:
    wanted = ingested(write_lines(tmp_path / "a.jsonl", given("sessions")), tmp_path / "plain")
    assert member_of("9007199254740995") in {row[9] for row in wanted}
    assert ingested(SPARK / "sessions" / kind, tmp_path / "data") == wanted
    line = ("gate", str(tmp_path / "data"), "--now", NOW, "-r", CRASHING, "--target", "99")
    assert run(*line, "-p", "1").code in {1, 3}


def test_sessions_of_no_rows(tmp_path: Path) -> None:
    source = str(SPARK / "sessions" / "empty")
    ended = run("ingest", source, "--to", str(tmp_path / "data"), "--now", NOW)
    assert ended.code == 4
    assert "nothing was ingested" in ended.err


def test_sessions_that_are_asked_directly_name_ingest() -> None:
    for kind in kinds("sessions"):
        ended = run("overview", str(SPARK / "sessions" / kind), "--now", NOW)
        assert (ended.code, ended.out) == (4, ""), kind
        assert "relhealth ingest" in ended.err, kind


def test_metrics_that_are_ingested_name_the_questions(tmp_path: Path) -> None:
    for kind in [*kinds("metrics"), "empty"]:
        ended = run("ingest", str(SPARK / "metrics" / kind), "--to", str(tmp_path), "--now", NOW)
        assert (ended.code, ended.out) == (4, ""), kind
        assert "metric" in ended.err, kind
