"""`releases`, `release`, `projects`, `adoption`: rows counted by hand, stages by brute force."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

import rows
from command import run
from relhealth import ReleaseHealth
from rows import NOON, duration, error, session, user

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("over_clusters_too")

NOW = "2026-03-02T12:30:00Z"
DAY = timedelta(days=1)
OLD: rows.Row = {"release": "shop@1.9.0", "environment": "production"}
NEW: rows.Row = {"release": "shop@1.10.0", "environment": "production"}
API: rows.Row = {"release": "api@2.0.0", "project_id": 2}
ROWS = [
    # shop@1.9.0: 90 sessions now, 9 crashed, of users 1 to 4, 1 crashed; 100 a week ago, 1 crashed
    session(value=90.0, **OLD),
    session("crashed", value=9.0, **OLD),
    *(user(member, **OLD) for member in (1, 2, 3, 4)),
    user(4, "crashed", **OLD),
    session(value=100.0, timestamp=NOON - 7 * DAY, **OLD),
    session("crashed", timestamp=NOON - 7 * DAY, **OLD),
    user(9, timestamp=NOON - 7 * DAY, **OLD),
    # shop@1.10.0: 10 sessions an hour ago, of users 4 and 5; it first came then
    session(value=10.0, timestamp=NOON - timedelta(hours=1), **NEW),
    *(user(member, **NEW) for member in (4, 5)),
    error(7, timestamp=NOON - timedelta(hours=1), **NEW),
    duration(3.0, timestamp=NOON - timedelta(hours=1), **NEW),
    # shop@1.8.0: 50 sessions 40 days ago alone; shop@1.7.0: a user 50 days ago, and no session
    session(value=50.0, timestamp=NOON - 40 * DAY, **OLD | {"release": "shop@1.8.0"}),
    user(1, timestamp=NOON - 50 * DAY, **OLD | {"release": "shop@1.7.0"}),
    # api@2.0.0: 5 sessions without users, and 5 without a release
    session(value=5.0, **API),
    session(value=5.0, **API | {"release": None}),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file of these rows."""
    return rows.write(tmp_path_factory.mktemp("listings") / "data.parquet", ROWS)


def document(*line: str) -> dict[str, Any]:
    """Return the JSON document of an answer at the usual now."""
    result = run(*line, "--now", NOW, "-f", "json")
    assert result.code == 0, result.err
    found: dict[str, Any] = json.loads(result.out)
    return found


def names(data: str, *options: str) -> list[str]:
    """Return the releases of an answer, in order."""
    return [row["release"] for row in document("releases", data, *options)["data"]]


def test_a_release_has_its_figures(data: str) -> None:
    by_name = {row["release"]: row for row in document("releases", data)["data"]}
    assert by_name["shop@1.9.0"] == {
        "project_id": 1,
        "release": "shop@1.9.0",
        "total_sessions": 90,
        "total_users": 4,
        "crash_free_sessions": 90.0,
        "crash_free_users": 75.0,
        "adoption": 80.0,  # 4 of the 5 users of the last 24 hours
        "adoption_stage": "adopted",
        "first_seen": "2026-02-23T12:00:00Z",
        "last_seen": "2026-03-02T12:00:00Z",
        "has_health_data": True,
    }
    assert by_name["shop@1.7.0"] == {
        "project_id": 1,
        "release": "shop@1.7.0",
        "total_sessions": None,
        "total_users": None,
        "crash_free_sessions": None,
        "crash_free_users": None,
        "adoption": None,
        "adoption_stage": None,
        "first_seen": None,
        "last_seen": None,
        "has_health_data": False,
    }
    assert by_name["shop@1.8.0"]["adoption_stage"] == "replaced"
    assert by_name["api@2.0.0"]["adoption_stage"] == "adopted"  # half of project 2's sessions


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ["shop@1.9.0", "shop@1.10.0", "api@2.0.0", "shop@1.7.0", "shop@1.8.0"]),
        (["--reverse"], ["api@2.0.0", "shop@1.10.0", "shop@1.9.0", "shop@1.7.0", "shop@1.8.0"]),
        (["--sort", "users", "-p", "1", "--limit", "2"], ["shop@1.9.0", "shop@1.10.0"]),
        (["--sort", "crash_free_sessions", "--limit", "1"], ["shop@1.9.0"]),
        (["--sort", "crash_free_users", "--limit", "2"], ["shop@1.9.0", "shop@1.10.0"]),
        (["--sort", "adoption", "--limit", "2"], ["shop@1.9.0", "shop@1.10.0"]),
        (["--sort", "first_seen", "--limit", "2", "-p", "1"], ["shop@1.10.0", "shop@1.9.0"]),
        (["--sort", "last_seen", "--limit", "1", "-p", "1"], ["shop@1.9.0"]),
        (
            ["--sort", "release", "-p", "1"],
            ["shop@1.7.0", "shop@1.8.0", "shop@1.9.0", "shop@1.10.0"],
        ),
        (["--since", "2026-03-01"], ["shop@1.10.0", "api@2.0.0"]),
        (["--since", "2026-03-03"], []),
        (["-e", "production"], ["shop@1.9.0", "shop@1.10.0", "shop@1.7.0", "shop@1.8.0"]),
        (["-p", "3"], []),
        (["--period", "90d", "--limit", "3"], ["shop@1.9.0", "shop@1.8.0", "shop@1.10.0"]),
    ],
)
def test_releases_come_in_order(data: str, options: list[str], expected: list[str]) -> None:
    assert names(data, *options) == expected


def test_a_limit_says_what_it_left_out(data: str) -> None:
    result = run("releases", data, "--now", NOW, "--limit", "2")
    assert "warning: 3 releases left out by --limit" in result.err
    assert document("releases", data, "--limit", "2")["meta"]["left_out"] == 3


def test_projects_tell_the_change(data: str) -> None:
    first, second = document("projects", data, "--period", "7d")["data"]
    # The 7 days and a half hour from 12:00 to 13:00 hold the week-old session; those before, none.
    assert first["total_sessions"] == 200
    assert first["crash_free_sessions"] == 95.0
    assert first["previous_crash_free_sessions"] is None
    assert first["crash_free_sessions_change"] is None
    assert second["total_sessions"] == 10  # those without a release too
    assert second["total_users"] is None
    later = ["projects", data, "--period", "7d"]
    found = json.loads(run(*later, "--now", "2026-03-08T12:30:00Z", "-f", "json").out)["data"][0]
    # Now: 90 + 10 sessions, 9 crashed; before, a week earlier: 100, 1 crashed: 91 % after 99 %.
    assert found["crash_free_sessions"] == 91.0
    assert found["previous_crash_free_sessions"] == 99.0
    assert found["crash_free_sessions_change"] == -8.0
    assert found["crash_free_users"] == pytest.approx(80.0)
    assert found["crash_free_users_change"] == pytest.approx(-20.0)
    assert "-8.00" in run(*later, "--now", "2026-03-08T12:30:00Z").out


def test_a_release_in_detail(data: str) -> None:
    (found,) = document("release", data, "shop@1.9.0", "--period", "7d")["data"]
    assert found["sessions_lower_bound"] == "2026-02-23T12:00:00Z"
    assert found["sessions_upper_bound"] == "2026-03-02T12:00:00Z"
    assert [point["date"] for point in found["breakdown"]] == [
        "2026-02-24T12:00:00Z",
        "2026-02-25T12:00:00Z",
        "2026-03-02T12:00:00Z",
        "2026-03-02T12:30:00Z",  # 14 days are not over
    ]
    assert [point["total_sessions"] for point in found["breakdown"]] == [100, 100, 100, 190]
    assert found["breakdown"][0]["crash_free_sessions"] == 99.0
    assert found["totals"]["sessions"] == 190
    assert found["totals"]["sessions_crashed"] == 10
    assert [point["sessions"] for _, point in found["series"]] == [100, 0, 0, 0, 0, 0, 0, 90]


def test_a_release_of_users(data: str) -> None:
    (found,) = document("release", data, "1/shop@1.10.0", "--stat", "users")["data"]
    assert found["totals"] == {
        "users": 2,
        "users_healthy": 2,
        "users_errored": 0,
        "users_crashed": 0,
        "users_abnormal": 0,
        "users_unhandled": 0,
    }
    durations = [point["duration_p50"] for _, point in found["series"]]
    assert [one for one in durations if one is not None] == [3.0]


def test_a_release_has_bars_over_time_only_for_several_buckets(tmp_path: Path) -> None:
    one = [rows.session(value=5.0), rows.session("crashed")]
    line = (rows.RELEASE, "--now", "2026-03-02T12:30:00Z")
    source = rows.write(tmp_path / "one.parquet", one)
    assert "over time  " not in run("release", source, *line).out
    two = [*one, rows.session(value=5.0, timestamp=rows.NOON - timedelta(hours=1))]
    source = rows.write(tmp_path / "two.parquet", two)
    assert "over time  " in run("release", source, *line).out


def test_a_release_of_several_projects_is_told_of_in_each(tmp_path: Path) -> None:
    both = [session(**NEW), session(value=2.0, **NEW | {"project_id": 2})]
    path = rows.write(tmp_path / "data.parquet", both)
    found = document("release", path, "shop@1.10.0")["data"]
    assert [(one["project_id"], one["totals"]["sessions"]) for one in found] == [(1, 1), (2, 2)]
    with ReleaseHealth(path) as health:
        details = health.release("shop@1.10.0", now=NOW)
    assert list(details) == [(1, "shop@1.10.0"), (2, "shop@1.10.0")]
    assert details[2, "shop@1.10.0"].totals["sessions"] == 2


def test_an_unknown_release_is_told_to_be_unknown(data: str) -> None:
    result = run("release", data, "1/shop@9.9.9", "--now", NOW)
    assert result.code == 0
    assert "not seen in 90 days: 1/shop@9.9.9" in result.err


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (["releases", "--sort", "name"], "cannot sort by 'name'"),
        (["releases", "--limit", "0"], "limit 0: expected 1 or more"),
        (["releases", "--since", "soon"], "'soon' is not an instant"),
        (["releases", "--since", "latest"], "'latest' is not an instant: expected ISO 8601"),
        (["releases", "--period", "91d"], "unknown period '91d'"),
        (["projects", "--period", "91d"], "unknown period '91d'"),
        (["release", "a\tb"], "release 'a\\tb'"),
        (["release", "shop@1.0.0", "--stat", "crashes"], "unknown stat 'crashes'"),
        (["adoption", "-r", "a\tb"], "release 'a\\tb'"),
        (["query", "-F", "sum(session)", "--limit", "0"], "limit 0: expected 1 or more"),
        (["query", "-F", "sum(session)", "--offset", "-1"], "offset -1: expected 0 or more"),
        (["query"], "no field: expected some of sum(session)"),
        (["query", "-F", "sum(sessions)"], "unknown field 'sum(sessions)'"),
        (["query", "-F", "sum(session)", "-g", "status"], "cannot group by 'status'"),
        (["query", "-F", "sum(session)", "--interval", "5h"], "interval '5h'"),
        (["query", "-F", "sum(session)", "--start", "2026-03-01"], "a start and an end"),
    ],
)
def test_a_question_that_cannot_be_asked(line: list[str], told: str) -> None:
    """The error comes before the search for sources."""
    command, *options = line
    result = run(command, "nowhere.parquet", *options)
    assert result.code == 2
    assert told in result.err
    assert result.out == ""


def test_a_query_tells_its_order_and_why_it_has_no_groups(data: str) -> None:
    line = ["query", data, "--now", NOW, "-F", "p50(session.duration)", "-g", "release"]
    for order in ("p50(session.duration)", "-p50(session.duration)"):
        found = json.loads(run(*line, f"--order-by={order}", "-f", "json").out)
        assert found["meta"]["order_by"] == order
    assert json.loads(run(*line, "-f", "json").out)["meta"]["order_by"] is None
    result = run(*line, "--status", "crashed")
    assert result.code == 0
    assert "warning: only healthy sessions have durations" in result.err
    assert result.err.count("warning: ") == 1
    unknown = run(*line, "--status", "exited")
    assert (unknown.code, "--status exited: expected one of" in unknown.err) == (2, True)
    nowhere = run(*line, "-e", "nowhere")
    assert nowhere.code == 0
    assert "warning: no session in environment nowhere in 90 days; there are: " in nowhere.err


@pytest.mark.parametrize(
    "line",
    [
        ["releases"],
        ["projects"],
        ["adoption"],
        ["release", "shop@1.9.0"],
        ["query", "-F", "sum(session)"],
    ],
)
def test_data_that_cannot_be_used(line: list[str], tmp_path: Path) -> None:
    command, *options = line
    result = run(command, str(tmp_path / "none"), *options)
    assert result.code == 4
    assert "none: no such " in result.err  # file or directory; a cluster says it otherwise
    bad = rows.write(tmp_path / "bad.parquet", [*ROWS, session(value=-1.0)])
    warned = run(command, bad, *options, "--now", NOW)
    assert warned.code == 0
    assert "warning: 1 invalid row left out: session counter" in warned.err
    strict = run(command, bad, *options, "--now", NOW, "--strict")
    assert strict.code == 4
    assert "1 invalid row: session counter" in strict.err


def stage_by_brute_force(
    hours: dict[tuple[str, str], dict[int, int]], release: str, environment: str, now: datetime
) -> str | None:
    """Work out a stage from sessions per (release, environment) and hour, one look at a time."""
    last = -(-int(now.timestamp()) // 3600)
    first = int(now.timestamp() - 6 * 3600) // 3600
    begin = int(now.timestamp() - 90 * 86400) // 86400 * 24

    def sessions(names: list[str], start: int, end: int) -> int:
        own = (hours[name, environment] for name in names if (name, environment) in hours)
        return sum(count for one in own for hour, count in one.items() if start <= hour < end)

    everyone = sorted({name for name, _ in hours})

    def adopted(start: int, end: int) -> bool:
        own, total = sessions([release], start, end), sessions(everyone, start, end)
        return own > 0 and own * 10 >= total

    if not sessions([release], begin, last):
        return None
    if adopted(first, last):
        return "adopted"
    looks = range(begin + 6, int(now.timestamp()) // 3600 + 1)
    return "replaced" if any(adopted(look - 6, look) for look in looks) else "low_adoption"


@pytest.mark.parametrize("seed", range(12))
def test_stages_are_those_of_every_look(seed: int, tmp_path: Path) -> None:
    random = Random(seed)
    now = datetime(2026, 3, 2, 12, random.choice([0, 30]), tzinfo=UTC)
    hours: dict[tuple[str, str], dict[int, int]] = defaultdict(dict)
    data = []
    for _ in range(60):
        name, environment = random.choice("abc"), random.choice(["", "production"])
        back = random.choice([0, 1, 5, 6, 7, 12, 24 * 89, 24 * 90 + 12, 24 * 90 + 13, -1])
        at = datetime(2026, 3, 2, 12, tzinfo=UTC) - timedelta(hours=back)
        count = random.choice([1, 1, 2, 9, 10, 90])
        hour = int(at.timestamp()) // 3600
        hours[name, environment][hour] = hours[name, environment].get(hour, 0) + count
        data.append(
            session(value=float(count), timestamp=at, release=name, environment=environment)
        )
    path = rows.write(tmp_path / "data.parquet", data)
    with ReleaseHealth(path) as health:
        found = {
            (one.release, one.environment): one.adoption_stage.value
            for one in health.adoption_stages(now=now)
        }
    expected = {
        (name, environment): stage
        for name, environment in hours
        if (stage := stage_by_brute_force(hours, name, environment, now)) is not None
    }
    assert found == expected
    assert len(found) >= 3


def test_adoption_of_asked_for_releases(data: str) -> None:
    found = document("adoption", data, "-r", "shop@1.10.0")
    (row,) = found["data"]
    assert row["adoption_stage"] == "adopted"
    assert row["sessions_adoption"] == 10.0  # 10 of production's 100
    assert found["meta"]["window"] == {
        "start": "2026-03-02T06:00:00Z",
        "end": "2026-03-02T13:00:00Z",
    }


def test_listings_in_python(data: str) -> None:
    with ReleaseHealth(data) as health:
        listing = health.releases([1], now=NOW)
        assert listing[0].release == "shop@1.9.0"
        assert len(listing) == len(list(listing)) == 4
        table = listing.to_arrow()
        assert table.column_names == list(type(listing[0]).UNITS)
        assert table.column("first_seen")[0].as_py() == datetime(2026, 2, 23, 12, tzinfo=UTC)
        assert health.projects(now=NOW).to_arrow().num_rows == 2
