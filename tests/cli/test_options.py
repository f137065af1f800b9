"""Every option of `overview` and `inspect`, end to end, on a few rows counted by hand."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

import rows
from command import run
from relhealth.questions.overview import SORT_ALIASES, SORT_KEYS
from rows import NOON, duration, error, session, user

if TYPE_CHECKING:
    from pathlib import Path

NOW = "2026-03-02T12:30:00Z"
DAY = timedelta(days=1)
OLD: rows.Row = {"release": "shop@1.0.0", "environment": "production", "org_id": 5}
NEW: rows.Row = {"release": "shop@1.10.0", "environment": "staging", "org_id": 5}
API: rows.Row = {"release": "api@2.0.0", "project_id": 2, "org_id": 5}
ROWS = [
    # shop@1.0.0: 10 sessions an hour ago, 2 crashed; 3 users, 1 crashed; 100 sessions before
    session(value=10.0, timestamp=NOON - timedelta(hours=1), **OLD),
    session("crashed", value=2.0, **OLD),
    *(user(member, **OLD) for member in (1, 2, 3)),
    user(3, "crashed", **OLD),
    error(100, **OLD),
    error(101, **OLD),
    duration(4.0, **OLD),
    session(value=100.0, timestamp=NOON - 3 * DAY, **OLD),
    # shop@1.10.0: 30 sessions at noon, users 3 and 4
    session(value=30.0, **NEW),
    *(user(member, **NEW) for member in (3, 4)),
    duration(2.0, **NEW),
    # api@2.0.0: 5 sessions without an environment
    session(value=5.0, **API),
    # shop@0.9.0: sessions 40 days ago alone
    session(value=7.0, timestamp=NOON - 40 * DAY, **OLD | {"release": "shop@0.9.0"}),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file of these rows."""
    return rows.write(tmp_path_factory.mktemp("options") / "data.parquet", ROWS)


def document(data: str, *options: str, command: str = "overview") -> dict[str, Any]:
    """Return the JSON document of an answer at the usual now."""
    result = run(command, data, "--now", NOW, "-f", "json", *options)
    assert result.code == 0, result.err
    found: dict[str, Any] = json.loads(result.out)
    return found


def sessions(data: str, *options: str) -> dict[str, int | None]:
    """Return the sessions of each release, in the order of the answer."""
    answer = document(data, *options)["data"]
    return {f"{row['project_id']}/{row['release']}": row["total_sessions"] for row in answer}


ALL = {"1/shop@1.10.0": 30, "1/shop@1.0.0": 10, "2/api@2.0.0": 5}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ALL),
        (["--period", "1h"], {"1/shop@1.10.0": 30, "1/shop@1.0.0": 10, "2/api@2.0.0": 5}),
        (["--period", "7d"], {"1/shop@1.0.0": 110, "1/shop@1.10.0": 30, "2/api@2.0.0": 5}),
        (["--project", "2"], {"2/api@2.0.0": 5}),
        (["-p", "1", "-p", "2"], ALL),
        (["-p", "9"], {}),
        (["--environment", "staging"], {"1/shop@1.10.0": 30}),
        (["-e", "staging", "-e", ""], {"1/shop@1.10.0": 30, "2/api@2.0.0": 5}),
        (["-e", ""], {"2/api@2.0.0": 5}),
        (["--release", "shop@1.0.0"], {"1/shop@1.0.0": 10}),
        (["-r", "2/api@2.0.0", "-r", "shop@1.0.0"], {"1/shop@1.0.0": 10, "2/api@2.0.0": 5}),
        (["-r", "shop@0.9.0"], {"1/shop@0.9.0": None}),
        (["-r", "1/api@2.0.0"], {"1/api@2.0.0": None}),
        (["-r", "ghost@1"], {"1/ghost@1": None, "2/ghost@1": None}),
        (["-r", "ghost@1", "-p", "2"], {"2/ghost@1": None}),
        (["-r", "shop@1.0.0", "-e", "staging"], {"1/shop@1.0.0": None}),
        (["--org", "5"], ALL),
        (["--org", "6"], {}),
        (["--limit", "2"], {"1/shop@1.10.0": 30, "1/shop@1.0.0": 10}),
        (["--sort", "release"], {"2/api@2.0.0": 5, "1/shop@1.0.0": 10, "1/shop@1.10.0": 30}),
        (["--threads", "1", "--memory-limit", "100MB", "--strict"], ALL),
    ],
    ids=" ".join,
)
def test_who_and_when(data: str, options: list[str], expected: dict[str, int | None]) -> None:
    found = sessions(data, *options)
    assert found == expected
    if "--release" not in options and "-r" not in options:
        assert list(found) == list(expected)


def test_the_figures_of_one_release(data: str) -> None:
    (row,) = document(data, "-r", "1/shop@1.0.0")["data"]
    assert row["crash_free_sessions"] == 80
    assert row["crash_free_users"] == pytest.approx(200 / 3)
    assert row["adoption"] == 75  # 3 of the project's 4 users
    assert row["sessions_adoption"] == 25  # 10 of the project's 40 sessions
    assert (row["sessions_errored"], row["sessions_healthy"]) == (0, 8)
    assert (row["duration_p50"], row["duration_p90"]) == (4, 4)


@pytest.mark.parametrize("name", [*SORT_KEYS, *SORT_ALIASES])
def test_every_figure_sorts_both_ways(data: str, name: str) -> None:
    key = SORT_ALIASES.get(name, name)
    there = document(data, "--sort", name)["data"]
    back = document(data, "--sort", name, "--reverse")["data"]
    if key == "release":
        assert [row["release"] for row in there] == ["api@2.0.0", "shop@1.0.0", "shop@1.10.0"]
        assert back == there[::-1]
        return
    worst_is_least = key in {"crash_free_sessions", "crash_free_users"}
    for answer, turned in ((there, False), (back, True)):
        values = [row[key] for row in answer]
        known = [value for value in values if value is not None]
        assert known == sorted(known, reverse=worst_is_least == turned)
        assert values[: len(known)] == known  # what is absent comes last, either way


def test_series_of_sessions_and_users(data: str) -> None:
    found = document(data, "-p", "1", "--stats-period", "24h")
    assert (found["meta"]["stats_period"], found["meta"]["stats_interval"]) == ("24h", 3_600)
    new, old = (row["stats"]["24h"] for row in found["data"])
    assert len(new) == len(old) == 25
    assert [count for _, count in new] == [0] * 24 + [30]
    assert [count for _, count in old] == [0] * 23 + [10, 0]
    assert new[-1][0] == int(NOON.timestamp())
    users = document(data, "-p", "1", "--stats-period", "24h", "--stat", "users")["data"]
    assert [row["stats"]["24h"][-1][1] for row in users] == [2, 3]
    week = document(data, "-p", "1", "--stats-period", "7d")["data"]
    assert sorted(sum(count for _, count in row["stats"]["7d"]) for row in week) == [30, 110]


def test_now_by_option_variable_and_data(data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def now(*options: str) -> str:
        result = run("overview", data, "-f", "json", *options)
        return str(json.loads(result.out)["meta"]["now"])

    assert now("--now", "2026-03-02T13:30:00+01:00") == NOW
    assert now("--now", "latest") == "2026-03-02T12:00:01Z"
    monkeypatch.setenv("RELHEALTH_NOW", "latest")
    assert now() == "2026-03-02T12:00:01Z"
    assert now("--now", NOW) == NOW


def test_talk(data: str) -> None:
    line = ("overview", data, "--now", NOW, "-f", "csv")
    window = "window 2026-03-01T12:00:00Z to 2026-03-02T13:00:00Z"
    told = f"relhealth: 3 releases, 2 projects, 1 file, {window}\n"
    assert run(*line).err == told
    assert run(*line, "--quiet") == run(*line)._replace(err="")
    assert run(*line, "-q").err == ""
    cut = run(*line, "--limit", "1").err
    assert "2 releases left out by --limit" in cut
    assert document(data, "--limit", "1")["meta"]["left_out"] == 2
    late = run("overview", data, "--now", "2026-06-01T00:00:00Z").err
    assert "the newest session metric is from 2026-03-02T12:00:00Z" in late
    assert "--now latest" in late
    unseen = run(*line, "-r", "1/ghost@1", "-e", "staging").err
    assert "not seen in 90 days in environment staging: 1/ghost@1" in unseen


def test_the_meta_data_say_what_was_asked(data: str) -> None:
    meta = document(data, "-p", "1", "-e", "", "-r", "shop@1.0.0", "--period", "48h")["meta"]
    assert (meta["format"], meta["command"], meta["now"]) == (1, "overview", NOW)
    assert (meta["projects"], meta["environments"]) == ([1], [""])
    assert (meta["releases"], meta["period"]) == (["shop@1.0.0"], "48h")
    assert meta["window"] == {"start": "2026-02-28T12:00:00Z", "end": "2026-03-02T13:00:00Z"}
    assert (meta["sources"]["files"], meta["invalid_rows"]) == (1, 0)


def test_inspect(data: str, tmp_path: Path) -> None:
    found = document(data, command="inspect")["data"]
    assert (found["files"], found["rows"], found["organisations"]) == (1, len(ROWS), [5])
    assert (found["first"], found["last"]) == ("2026-01-21T12:00:00Z", "2026-03-02T12:00:00Z")
    assert found["freshness"] == 1_800
    assert {row["project_id"]: row["sessions"] for row in found["projects"]} == {1: 147, 2: 5}
    assert [row["release"] for row in found["releases"]] == [
        "shop@0.9.0", "shop@1.0.0", "shop@1.10.0", "api@2.0.0",
    ]  # fmt: skip
    by_environment = {row["environment"]: row["sessions"] for row in found["environments"]}
    assert by_environment == {"production": 117, "staging": 30, "": 5}
    mixed = rows.write(tmp_path / "two.parquet", [session(org_id=1), session(org_id=2)])
    assert document(mixed, command="inspect")["data"]["rows"] == 2
    assert document(mixed, "--org", "2", command="inspect")["data"]["rows"] == 1
