"""Sessions of real SDKs: the overview has the figures that their envelopes give by hand.

`data/sdk_sessions.parquet` holds what a relay emits for the envelopes that Sentry's SDKs for Python
and Node.js sent on 2026-11-23 between 20:38 and 20:40 UTC. Their updates, by release:

web@3.1.0 (production)     aggregates: exited 3, errored 1, crashed 1, no user
                           fe22 first, exited after 0.010971784591674805 s, js-user-1
                           548e later, exited after 0.00902700424194336 s, js-user-1
                           c5fb first, exited after 0.005379676818847656 s, js-user-1
                           e0ad later, exited after 0.010564804077148438 s, js-user-1
                           5138 first, ok, js-user-1; then crashed, js-user-1
web@3.0.0 (production)     d112, 4cbf, d7cf first, ok, js-user-1
                           (ok is no end: their durations do not count)
shop@1.0.0 (staging)       a51d exited after 0.010266 s, user-16240
                           8408 exited after 0.012362 s with an error, user-20562
                           5099 exited after 0.000029 s, user-31003
                           fa56 abnormal, user-25725
                           aggregates: exited 5, errored 1, crashed 2, no user
shop@1.0.0 (production)    fb4d exited after 0.010229 s, no user
shop@1.1.0+42 (staging)    07ac exited after 0.010206 s, user-10669
                           b2fa exited after 0.019255 s with an error, user-3739
                           8a60 exited after 0.000027 s, user-24993
                           afb3 abnormal, user-16681
com.acme.app@2.0.0-rc.1+1234 (staging)
                           e660 exited after 0.010199 s, user-11888
                           3a6e exited after 0.012017 s with an error, user-26075
                           cc7e exited after 0.000029 s, user-9738
                           cc3b abnormal, user-8366
5f3c9a1 (staging)          8149 exited after 0.010219 s, user-13163
                           47a8 exited after 0.014192 s with an error, user-32389
                           2a23 exited after 0.000029 s, user-30147
                           a4d2 abnormal, user-16895
shop@1.2.0 (staging)       aggregates: exited 5, errored 1, crashed 2, no user

A session counts by its first update. Python's sessions have one update, which is the first, and
last from `started` to `timestamp`. Aggregates hold no session twice: 5 + 1 + 2 are 8 sessions.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest

from command import run
from places import TESTS

pytestmark = pytest.mark.usefixtures("over_clusters_too")

FILE = TESTS / "data" / "sdk_sessions.parquet"
NEWEST = "2026-11-23T20:39:50Z"
PROJECT_SESSIONS = 8 + 3 + 13 + 4 + 4 + 4 + 8
PROJECT_USERS = 4 + 4 + 4 + 4 + 1  # js-user-1 used two releases and is one user


class Counted(NamedTuple):
    """The figures of one release, as the updates give them."""

    sessions: int
    crashed: int
    abnormal: int
    errored: int
    healthy: int
    users: int
    users_crashed: int
    p50: float | None
    p90: float | None


BY_HAND = {
    # 5 aggregated + fe22, c5fb, 5138; 548e and e0ad came without their first update.
    # Crashed: 1 aggregated + 5138. With errors: 1 + 1 aggregated + 5138, of which 2 crashed.
    # Durations 5.379…, 9.027…, 10.564…, 10.971… ms: the half is between the two in the middle, nine
    # tenths are 0.7 of the way from the third to the fourth.
    "web@3.1.0": Counted(
        sessions=8,
        crashed=2,
        abnormal=0,
        errored=1,
        healthy=5,
        users=1,
        users_crashed=1,
        p50=(0.00902700424194336 + 0.010564804077148438) / 2,
        p90=0.010564804077148438 + 0.7 * (0.010971784591674805 - 0.010564804077148438),
    ),
    # d112, 4cbf, d7cf; none has ended.
    "web@3.0.0": Counted(
        sessions=3,
        crashed=0,
        abnormal=0,
        errored=0,
        healthy=3,
        users=1,
        users_crashed=0,
        p50=None,
        p90=None,
    ),
    # a51d, 8408, 5099, fa56, fb4d + 8 aggregated. With errors: 8408, fa56 + 3 aggregated = 5, of
    # which 2 crashed and fa56 is abnormal. fb4d has no user.
    # Durations 0.029, 10.229, 10.266, 12.362 ms.
    "shop@1.0.0": Counted(
        sessions=13,
        crashed=2,
        abnormal=1,
        errored=2,
        healthy=8,
        users=4,
        users_crashed=0,
        p50=0.0102475,
        p90=0.0117332,  # 10.266 + 0.7 * 2.096 ms
    ),
    # 07ac, b2fa, 8a60, afb3. With errors: b2fa, afb3, of which afb3 is abnormal.
    # Durations 0.027, 10.206, 19.255 ms: nine tenths are 0.8 of the way from the second to the
    # third.
    "shop@1.1.0+42": Counted(
        sessions=4,
        crashed=0,
        abnormal=1,
        errored=1,
        healthy=2,
        users=4,
        users_crashed=0,
        p50=0.010206,
        p90=0.0174452,  # 10.206 + 0.8 * 9.049 ms
    ),
    # e660, 3a6e, cc7e, cc3b. With errors: 3a6e, cc3b, of which cc3b is abnormal.
    # Durations 0.029, 10.199, 12.017 ms.
    "com.acme.app@2.0.0-rc.1+1234": Counted(
        sessions=4,
        crashed=0,
        abnormal=1,
        errored=1,
        healthy=2,
        users=4,
        users_crashed=0,
        p50=0.010199,
        p90=0.0116534,  # 10.199 + 0.8 * 1.818 ms
    ),
    # 8149, 47a8, 2a23, a4d2. With errors: 47a8, a4d2, of which a4d2 is abnormal.
    # Durations 0.029, 10.219, 14.192 ms.
    "5f3c9a1": Counted(
        sessions=4,
        crashed=0,
        abnormal=1,
        errored=1,
        healthy=2,
        users=4,
        users_crashed=0,
        p50=0.010219,
        p90=0.0133974,  # 10.219 + 0.8 * 3.973 ms
    ),
    # 8 aggregated, of which 3 with errors, of which 2 crashed.
    "shop@1.2.0": Counted(
        sessions=8,
        crashed=2,
        abnormal=0,
        errored=1,
        healthy=5,
        users=0,
        users_crashed=0,
        p50=None,
        p90=None,
    ),
}


def rows(*options: str) -> dict[str, dict[str, Any]]:
    """The overview's rows about the newest data, by release."""
    result = run("overview", str(FILE), "--now", "latest", "-f", "json", *options)
    assert result.code == 0, result.err
    document = json.loads(result.out)
    assert all(row["project_id"] == 1 for row in document["data"])
    return {row["release"]: row for row in document["data"]}


def near(value: float | None) -> object:
    """A float of the answer: exact but for the last bits."""
    return value if value is None else pytest.approx(value, rel=1e-12)


def test_the_releases_are_those_of_the_envelopes() -> None:
    assert set(rows()) == set(BY_HAND)


@pytest.mark.parametrize("release", BY_HAND)
def test_figures_are_those_counted_by_hand(release: str) -> None:
    counted = BY_HAND[release]
    sessions, users = counted.sessions, counted.users
    assert rows()[release] == {
        "project_id": 1,
        "release": release,
        # All sessions began within the last 24 hours.
        "adoption": near(users / PROJECT_USERS * 100) if users else None,
        "sessions_adoption": near(sessions / PROJECT_SESSIONS * 100),
        "total_users_24h": users,
        "total_project_users_24h": PROJECT_USERS,
        "total_sessions_24h": sessions,
        "total_project_sessions_24h": PROJECT_SESSIONS,
        "total_sessions": sessions,
        "total_users": users or None,
        "has_health_data": True,
        "sessions_crashed": counted.crashed,
        "sessions_abnormal": counted.abnormal,
        "sessions_unhandled": 0,
        "sessions_errored": counted.errored,
        "sessions_healthy": counted.healthy,
        "users_crashed": counted.users_crashed,
        "users_unhandled": 0,
        "crash_free_sessions": near((sessions - counted.crashed) / sessions * 100),
        "crash_free_users": near((users - counted.users_crashed) / users * 100) if users else None,
        "unhandled_session_rate": near(counted.crashed / sessions * 100),
        "unhandled_user_rate": near(counted.users_crashed / users * 100) if users else None,
        "duration_p50": near(counted.p50),
        "duration_p90": near(counted.p90),
        "stats": None,
    }


def test_every_session_is_in_one_status() -> None:
    for release, row in rows().items():
        parts = ("crashed", "abnormal", "unhandled", "errored", "healthy")
        total = sum(row[f"sessions_{part}"] for part in parts)
        # 548e and e0ad exited without an error, so the sum is right without them too.
        assert total == BY_HAND[release].sessions, release


def test_environments_split_the_sessions() -> None:
    production, staging = rows("-e", "production"), rows("-e", "staging")
    # In production of shop@1.0.0 there is fb4d alone, without a user.
    assert {release: row["total_sessions"] for release, row in production.items()} == {
        "web@3.1.0": 8,
        "web@3.0.0": 3,
        "shop@1.0.0": 1,
    }
    assert production["shop@1.0.0"]["duration_p50"] == pytest.approx(0.010229, rel=1e-12)
    assert production["shop@1.0.0"]["total_users"] is None
    assert production["shop@1.0.0"]["total_project_sessions_24h"] == 12
    assert production["shop@1.0.0"]["total_project_users_24h"] == 1
    assert {release: row["total_sessions"] for release, row in staging.items()} == {
        "shop@1.0.0": 12,
        "shop@1.1.0+42": 4,
        "com.acme.app@2.0.0-rc.1+1234": 4,
        "5f3c9a1": 4,
        "shop@1.2.0": 8,
    }
    assert staging["shop@1.0.0"]["total_project_users_24h"] == 16
    assert rows("-e", "") == {}


def test_the_series_has_all_sessions_in_the_last_hour() -> None:
    nineteen, twenty = 1_795_460_400, 1_795_464_000  # 2026-11-23T19:00Z and 20:00Z
    found = rows("--stats-period", "1h")
    assert {release: row["stats"] for release, row in found.items()} == {
        release: {"1h": [[nineteen, 0], [twenty, counted.sessions]]}
        for release, counted in BY_HAND.items()
    }


def test_the_series_of_users_counts_each_once() -> None:
    found = rows("--stats-period", "1h", "--stat", "users")
    in_last_hour = {release: row["stats"]["1h"][1][1] for release, row in found.items()}
    assert in_last_hour == {release: counted.users for release, counted in BY_HAND.items()}


def test_inspect_tells_what_the_envelopes_emitted() -> None:
    result = run("inspect", str(FILE), "--now", NEWEST, "-f", "json")
    data = json.loads(result.out)["data"]
    # Session counters: 3 of each of 3 aggregates; a first update of 3 web@3.1.0, 3 web@3.0.0 and
    # 17 of Python; 4 abnormal, 1 crashed.
    # Errors: 2 in each of 4 Python releases, 1 crash. Durations: 4 of Node.js, 3 in each of 4
    # Python releases, 1 in production.
    # Users: one an update but for fb4d (9 of Node.js, 16 of Python), one more for each of the 4
    # abnormal sessions and the crash.
    assert {metric["metric"]: metric["rows"] for metric in data["metrics"]} == {
        "c:sessions/session@none": 3 * 3 + 3 + 3 + 17 + 4 + 1,
        "s:sessions/error@none": 2 * 4 + 1,
        "d:sessions/duration@second": 4 + 3 * 4 + 1,
        "s:sessions/user@none": 9 + 16 + 4 + 1,
    }
    assert data["last"] == NEWEST
    assert data["freshness"] == 0
    assert data["rows"] == pq.read_metadata(FILE).num_rows
    assert data["projects"] == [
        {
            "project_id": 1,
            "releases": 7,
            "sessions": PROJECT_SESSIONS,
            "rows": data["rows"],
            "first": "2026-11-23T20:38:00Z",
            "last": NEWEST,
        }
    ]
