"""`ReleaseHealth`: questions in Python, their answers, and what is refused."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import rows
from relhealth import DataError, QuestionError, ReleaseHealth
from relhealth.gate.policy import Policy, Rule
from relhealth.machine.database import Database
from rows import NOON, session, user

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = "2026-03-02T12:30:00Z"
OLD, NEW, API = (1, "shop@1.0.0"), (1, "shop@1.1.0"), (2, "api@2.0.0")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three releases of two projects; one has only users."""
    given = [
        session(value=6.0),
        user(1),
        session(release="shop@1.1.0", value=2.0, environment="beta"),
        user(2, release="shop@1.1.0", environment="beta"),
        user(3, project_id=2, release="api@2.0.0"),
        session(project_id=3, release="late@1", timestamp=NOON - timedelta(days=80)),
    ]
    return rows.write(tmp_path_factory.mktemp("python") / "data.parquet", given)


def test_an_overview_is_a_mapping(data: str) -> None:
    with ReleaseHealth(data) as health:
        found = health.overview(now=NOW)
    assert list(found) == [OLD, NEW]
    assert len(found) == 2
    assert found[OLD].total_sessions == 6
    assert found.get((1, "ghost")) is None
    assert OLD in found
    assert [row.release for row in found.values()] == ["shop@1.0.0", "shop@1.1.0"]
    table = found.to_arrow()
    assert table.num_rows == 2
    assert table["total_sessions"].to_pylist() == [6, 2]


def test_pairs_and_plain_releases(data: str) -> None:
    with ReleaseHealth([data]) as health:
        asked = health.overview([API, "late@1", (9, "ghost@1")], now=NOW)
        assert set(asked) == {API, (3, "late@1"), (9, "ghost@1")}
        assert asked[3, "late@1"].has_health_data
        assert not asked[API].has_health_data  # users are no session counter
        assert asked[API].total_users == 1
        assert asked[9, "ghost@1"].total_sessions_24h is None
        assert list(health.overview([], now=NOW)) == []


def test_adoption(data: str) -> None:
    with ReleaseHealth(Path(data)) as health:
        found = health.adoption([OLD, NEW, API, (1, "ghost@1")], now=NOW)
        assert set(found) == {OLD, NEW, API}
        assert found[OLD] == {
            "adoption": 50,
            "sessions_adoption": 75,
            "users_24h": 1,
            "sessions_24h": 6,
            "project_users_24h": 2,
            "project_sessions_24h": 8,
        }
        assert found[API]["sessions_adoption"] is None
        (beta,) = health.adoption([NEW], environments=["beta"], now=NOW).values()
        assert (beta["adoption"], beta["project_sessions_24h"]) == (100, 2)


def test_health_data(data: str) -> None:
    with ReleaseHealth(data) as health:
        assert health.check_has_health_data([1, 2, 3, 4], now=NOW) == {1, 3}
        assert health.check_has_health_data([OLD, API, (2, "shop@1.0.0")], now=NOW) == {OLD}
        assert health.check_has_health_data([], now=NOW) == set()
        assert health.check_has_health_data({3}, now="2026-06-01") == set()


def test_inspect(data: str) -> None:
    with ReleaseHealth(data) as health:
        found = health.inspect(now=NOW)
    assert (found.rows, found.freshness) == (6, 1_800)
    assert [project.sessions for project in found.projects] == [8, 0, 1]


def test_now_is_an_instant_text_or_latest(data: str) -> None:
    with ReleaseHealth(data) as health:
        instant = datetime(2026, 3, 2, 18, tzinfo=timezone(timedelta(hours=5, minutes=30)))
        assert health.overview(now=instant).scope.now == NOON + timedelta(minutes=30)
        assert health.overview(now="latest").scope.now == NOON + timedelta(seconds=1)
        before = datetime.now(tz=NOON.tzinfo)
        assert health.overview().scope.now >= before


POLICY = Policy(rule=(Rule(target=99.0),))
REFUSED: dict[str, Callable[[ReleaseHealth], Any]] = {
    "unknown period": lambda h: h.overview(summary_stats_period="2x"),
    "unknown period ['24h']": lambda h: h.overview(summary_stats_period=["24h"]),  # type: ignore[arg-type]
    "unknown period '1w'": lambda h: h.overview(health_stats_period="1w"),
    "unknown stat": lambda h: h.overview(stat="crashes"),
    "several releases, not one text": lambda h: h.overview("ab"),
    "several names, not one text": lambda h: h.overview(environments="beta"),
    "expected several ids": lambda h: h.overview(projects=1),  # type: ignore[arg-type]
    "whole number of 64 bits": lambda h: h.overview(projects=[2**63]),
    "none named": lambda h: h.overview(environments=[]),
    "not an instant": lambda h: h.overview(now="soon"),
    "out of range": lambda h: h.overview(now="1066-10-14"),
    "expected a pair": lambda h: h.adoption(["shop@1.0.0"]),  # type: ignore[list-item]
    "not empty": lambda h: h.adoption([(1, "")]),
    "several project ids": lambda h: h.check_has_health_data(5),  # type: ignore[call-overload]
    "project_releases 5": lambda h: h.overview(5),  # type: ignore[arg-type]
    "release ['a']: expected text": lambda h: h.overview([(1, ["a"])]),  # type: ignore[list-item]
    "environments 5: expected several": lambda h: h.overview(environments=5),  # type: ignore[arg-type]
    "project_releases: expected several pairs": lambda h: h.adoption("ab"),  # type: ignore[arg-type]
    "project_releases None": lambda h: h.adoption(None),  # type: ignore[arg-type]
    "releases: expected several releases, not one": lambda h: h.adoption_stages("ab"),
    "releases 5: expected several releases": lambda h: h.gate(5, POLICY),  # type: ignore[arg-type]
    "releases: expected several releases": lambda h: h.gate("ab", POLICY),
    "policy 99: expected a Policy": lambda h: h.gate(["a"], 99),  # type: ignore[arg-type]
    "policy None: expected": lambda h: h.gate_test(None, since=NOW),  # type: ignore[arg-type]
    "b'a': expected a pair": lambda h: h.gate_test(POLICY, since=NOW, releases=[b"a"]),  # type: ignore[list-item]
    "'latest' is not an instant": lambda h: h.gate_test(POLICY, since="latest"),
    "limit '1'": lambda h: h.releases(limit="1"),  # type: ignore[arg-type]
    "limit 0": lambda h: h.overview(now=NOW).ordered(limit=0),
    "limit 1.5": lambda h: h.overview(now=NOW).ordered(limit=1.5),  # type: ignore[arg-type]
    "cannot sort by ['users']": lambda h: h.overview(now=NOW).ordered(["users"]),  # type: ignore[arg-type]
    "confidence 'high': expected a number": lambda h: h.compare("a", "b", confidence="high"),  # type: ignore[arg-type]
    "not among the selected": lambda h: h.overview([(1, "a")], projects=[2]),
}


@pytest.mark.parametrize("told", REFUSED)
def test_a_question_that_cannot_be_asked_is_a_value_error(told: str, data: str) -> None:
    assert issubclass(QuestionError, ValueError)
    with ReleaseHealth(data) as health, pytest.raises(QuestionError, match=re.escape(told)):
        REFUSED[told](health)


@pytest.mark.parametrize(
    "options",
    [{"threads": 0}, {"threads": "2"}, {"memory_limit": 5}, {"memory_limit": "x"}, {"org": "x"}],
    ids=str,
)
def test_limits_that_cannot_be(options: dict[str, Any], data: str) -> None:
    with pytest.raises(QuestionError):
        ReleaseHealth(data, **options)


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"target": "99"}, "policy: rule[0].target: expected `float | null`, got `str`"),
        ({"target": 99.0, "metric": 5}, "policy: rule[0].metric: expected `str`, got `int`"),
        ({"target": 99.0, "min_users": None}, "policy: rule[0].min_users: expected `int`"),
        ({"target": 99.0, "when": 5}, "policy: rule[0].when: expected"),
        (
            {"target": QuestionError},
            "policy: <class 'relhealth.core.errors.QuestionError'>: expected a",
        ),
        ({"target": 99.0, "confidence": "\ud800"}, "policy: a text is not UTF-8"),
    ],
    ids=str,
)
def test_a_policy_made_of_what_no_file_can_hold(rule: dict[str, Any], told: str, data: str) -> None:
    policy = Policy(rule=(Rule(**rule),))
    for ask in (
        lambda health: health.gate(["shop@1.0.0"], policy),
        lambda health: health.gate_test(policy, since=NOW),
        lambda _: policy.checked(),
    ):
        with ReleaseHealth(data) as health, pytest.raises(QuestionError, match=re.escape(told)):
            ask(health)


def test_a_policy_of_numpy_s_numbers_and_lists(data: str) -> None:
    policy = Policy(
        rule=(Rule(target=np.float64(50), min_users=np.int64(1), environments=["beta"]),)  # type: ignore[arg-type]
    )
    with ReleaseHealth(data) as health:
        (check,) = health.gate(["shop@1.1.0"], policy, now=NOW).checks
    assert check.rule.target == 50
    assert check.rule.environments == ("beta",)


def test_strict_refuses_rows_that_cannot_count(tmp_path: Path) -> None:
    file = rows.write(tmp_path / "bad.parquet", [session(), session(value=0.5)])
    with ReleaseHealth(file) as health:
        assert health.overview(now=NOW).invalid_rows == {"session counter not a whole number": 1}
    questions: list[Callable[[ReleaseHealth], object]] = [
        lambda h: h.overview(now=NOW),
        lambda h: h.adoption([OLD], now=NOW),
        lambda h: h.check_has_health_data([1], now=NOW),
        lambda h: h.inspect(now=NOW),
    ]
    for ask in questions:
        with ReleaseHealth(file, strict=True) as health, pytest.raises(DataError, match="1 inv"):
            ask(health)


def test_sources_are_opened_at_the_first_question_and_again_after_close(tmp_path: Path) -> None:
    health = ReleaseHealth(tmp_path / "*.parquet")
    with pytest.raises(DataError, match="no file matches"):
        health.overview(now=NOW)
    rows.write(tmp_path / "a.parquet", [session()])
    assert health.overview(now=NOW)[OLD].total_sessions == 1
    rows.write(tmp_path / "b.parquet", [session()])
    assert health.overview(now=NOW)[OLD].total_sessions == 1  # found once
    health.close()
    assert health.overview(now=NOW)[OLD].total_sessions == 2
    (tmp_path / "b.parquet").unlink()
    assert health.overview(now=NOW)[OLD].total_sessions == 1  # gone, so found anew
    health.close()
    health.close()


@pytest.mark.parametrize("engine", ["duckdb", "kernel"])
def test_a_question_from_a_generator_survives_a_change_of_the_files(
    engine: str, tmp_path: Path
) -> None:
    """The sources are opened again, and the pairs must not be lost."""
    rows.write(tmp_path / "a.parquet", [session()])
    gone = rows.write(tmp_path / "b.parquet", [session()])
    with ReleaseHealth(tmp_path, engine=engine) as health:
        assert health.overview((one for one in [OLD]), now=NOW)[OLD].total_sessions == 2
        Path(gone).unlink()
        assert health.overview((one for one in [OLD]), now=NOW)[OLD].total_sessions == 1


def test_close_closes_the_database_of_an_inspection(
    data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The inspection uses DuckDB directly, without the choice between engines."""
    closed = []
    close = Database.close

    def closing(database: Database) -> None:
        closed.append(database)
        close(database)

    monkeypatch.setattr(Database, "close", closing)
    with ReleaseHealth(data) as health:
        health.inspect(now=NOW)
        assert not closed
    assert closed


def test_the_observer_is_told_of_progress(data: str) -> None:
    told: list[float] = []
    with ReleaseHealth(data, observer=lambda progress: told.append(progress.done)) as health:
        health.overview(now=NOW)
    assert all(0 <= done <= 1 for done in told)
