"""Sessions from Sentry's API: all that it has, once, whatever happens on the way."""

from __future__ import annotations

import json
import os
import shlex
import signal
import ssl
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import astuple
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from command import Result, run
from envelopes import rows_of
from places import ROOT
from process import PATIENCE, command, environment
from relhealth.core.errors import DataError
from relhealth.ingest.sentry import connection, windows
from relhealth.ingest.sentry.windows import Sessions, joined
from sentry_api import HOUR, ORG, TOKEN, Counted, Key, Reply, Sentry, made, serving

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
NOW = "2026-11-20T12:00:00Z"
FIGURES = ("sessions", "healthy", "errored", "crashed", "abnormal", "unhandled")


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTRY_AUTH_TOKEN", TOKEN)


@pytest.fixture
def sentry() -> Iterator[Sentry]:
    one = Sentry()
    with serving(one):
        yield one


def read(sentry: Sentry, dataset: Path, *more: str, now: str = NOW) -> Result:
    """Ingest what a server has."""
    where = ("--from-sentry", sentry.url, "--org", ORG, "--to", str(dataset))
    return run("ingest", *where, "--now", now, *more)


def fine(result: Result) -> Any:
    """Return the data of an ingest that ended well, as JSON."""
    assert result.code == 0, result.err
    return json.loads(result.out)["data"]


def plain(
    sessions: dict[Key, Counted], since: datetime, until: datetime = NOON
) -> dict[tuple[int, str], tuple[int, ...]]:
    """Return the figures of each release as Sentry counts them over a window, in a plain way."""
    sums: dict[tuple[int, str], Counted] = defaultdict(Counted)
    for key, counted in sessions.items():
        if since <= key.hour < until and key.release:
            total = sums[key.project, key.release]
            for name, value in vars(counted).items():
                setattr(total, name, getattr(total, name) + value)
    return {
        pair: (one.begun, *(one.by_status()[name] for name in FIGURES[1:]))
        for pair, one in sums.items()
    }


def answered(dataset: Path, period: str, now: str = NOW) -> dict[tuple[int, str], tuple[int, ...]]:
    """Return the figures of each release of an overview."""
    result = run("overview", str(dataset), "--now", now, "--period", period, "-f", "json")
    assert result.code == 0, result.err
    found = {}
    for row in json.loads(result.out)["data"]:
        figures = [row["total_sessions"] or 0, *(row[f"sessions_{name}"] for name in FIGURES[1:])]
        found[row["project_id"], row["release"]] = tuple(figures)
        if row["total_sessions"]:
            share = 100 - 100 * row["sessions_crashed"] / row["total_sessions"]
            assert row["crash_free_sessions"] == pytest.approx(max(0, share), abs=1e-12)
        assert row["total_users"] is row["crash_free_users"] is None
    return found


def contents(dataset: Path) -> list[tuple[Any, ...]]:
    """Return all rows of a data set, in a fixed order."""
    return sorted(rows_of(dataset).elements(), key=str)


@pytest.mark.parametrize("per_page", [None, 7])
def test_the_figures_are_those_of_sentry(
    sentry: Sentry, tmp_path: Path, per_page: int | None
) -> None:
    sentry.sessions = made(1, NOON, 72)
    sentry.per_page = per_page
    found = fine(read(sentry, tmp_path / "d", "--period", "3d", "-f", "json"))
    assert found["changed"] == ["2026-11-17", "2026-11-18", "2026-11-19", "2026-11-20"]
    assert found["has_users"] is False
    assert answered(tmp_path / "d", "3d") == plain(sentry.sessions, NOON - timedelta(days=3))
    assert answered(tmp_path / "d", "24h") == plain(sentry.sessions, NOON - timedelta(days=1))
    assert len(sentry.asked) == found["requests"] == (2 if per_page is None else 10)


@pytest.mark.slow
def test_ninety_days_in_pages_with_faults_a_kill_and_an_hour_later(tmp_path: Path) -> None:
    sentry = Sentry(made(7, NOON, 90 * 24), per_page=40)
    busy = Reply(429, b'{"detail": "slow down"}', {"Retry-After": "0"})
    sentry.replies = [None, busy, None, None, Reply(503, b"busy", {"Retry-After": "0"}), busy]
    with serving(sentry):
        killed_after(20, sentry, tmp_path / "d")
        asked = len(sentry.asked)
        assert fine(read(sentry, tmp_path / "d", "-f", "json"))["settled"] > 0
        assert len(sentry.asked) - asked < asked + 100
        assert answered(tmp_path / "d", "90d") == plain(sentry.sessions, NOON - timedelta(days=90))
        changed = made(8, NOON + HOUR, 3)
        sentry.sessions = {**sentry.sessions, **changed}
        later = "2026-11-20T13:00:00Z"
        found = fine(read(sentry, tmp_path / "d", "-f", "json", now=later))
        assert found["changed"] == ["2026-11-20"]
        assert answered(tmp_path / "d", "90d", later) == plain(
            sentry.sessions, NOON + HOUR - timedelta(days=90), NOON + HOUR
        )
        fine(
            read(
                sentry,
                tmp_path / "once",
                "--since",
                "2026-08-22T12:00:00Z",
                "-f",
                "json",
                now=later,
            )
        )
    assert contents(tmp_path / "d") == contents(tmp_path / "once")


def killed_after(requests: int, sentry: Sentry, dataset: Path, period: str = "90d") -> None:
    """Kill an ingest when the server has answered that many questions."""
    line = command("ingest", "--from-sentry", sentry.url, "--org", ORG, "--to", str(dataset))
    changes = {"SENTRY_AUTH_TOKEN": TOKEN}
    with subprocess.Popen(
        [*line, "--period", period, "--now", NOW, "-q"], env=environment(**changes)
    ) as process:
        deadline = time.monotonic() + PATIENCE
        while len(sentry.asked) < requests and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        assert process.wait(PATIENCE) == -signal.SIGKILL


def test_after_a_kill_the_next_run_goes_on(sentry: Sentry, tmp_path: Path) -> None:
    sentry.sessions = made(3, NOON, 18 * 24, projects=1)
    killed_after(5, sentry, tmp_path / "d", "18d")
    kept = fine(read(sentry, tmp_path / "d", "--period", "18d", "-f", "json"))["settled"]
    fine(read(sentry, tmp_path / "once", "--period", "18d", "-f", "json"))
    assert kept > 0
    assert contents(tmp_path / "d") == contents(tmp_path / "once")


def test_an_hour_later_only_what_changed_is_added(sentry: Sentry, tmp_path: Path) -> None:
    sentry.sessions = made(2, NOON, 8 * 24)
    fine(read(sentry, tmp_path / "d", "--period", "8d", "-f", "json"))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("d/date=*/*")}
    asked = len(sentry.asked)

    sentry.sessions |= made(9, NOON + HOUR, 4)
    late = Key(NOON - timedelta(days=3), 1, "shop@late", "")
    sentry.sessions[late] = Counted(5, 2, 1)
    later = "2026-11-20T13:00:00Z"
    found = fine(read(sentry, tmp_path / "d", "--period", "8d", "-f", "json", now=later))
    assert found["changed"] == ["2026-11-17", "2026-11-20"]
    assert found["unchanged"] == ["2026-11-15", "2026-11-16", "2026-11-18", "2026-11-19"]
    assert found["settled"] == 3
    assert len(sentry.asked) - asked == 2
    kept = [path for path, at in before.items() if path.exists() and path.stat().st_mtime_ns == at]
    assert len(kept) == len(before) - 2

    since = ("--since", "2026-11-12T12:00:00Z")
    fine(read(sentry, tmp_path / "once", *since, "-f", "json", now=later))
    assert contents(tmp_path / "d") == contents(tmp_path / "once")
    again = fine(read(sentry, tmp_path / "d", "--period", "8d", "-f", "json", now=later))
    assert (again["changed"], again["files"], again["rows"]) == ([], [], {})
    assert contents(tmp_path / "d") == contents(tmp_path / "once")


def test_a_day_that_is_known_in_part_is_read_completely(sentry: Sentry, tmp_path: Path) -> None:
    sentry.sessions = made(4, NOON, 48)
    fine(read(sentry, tmp_path / "d", "--period", "1h", "-f", "json"))
    fine(read(sentry, tmp_path / "d", "--period", "2d", "-f", "json"))
    fine(read(sentry, tmp_path / "d", "--period", "1h", "-f", "json"))
    assert answered(tmp_path / "d", "2d") == plain(sentry.sessions, NOON - timedelta(days=2))


def test_what_sentry_no_longer_has_is_kept(sentry: Sentry, tmp_path: Path) -> None:
    sentry.sessions = made(4, NOON, 48)
    fine(read(sentry, tmp_path / "d", "--period", "2d", "-f", "json"))
    known = contents(tmp_path / "d")
    sentry.sessions = {}
    fine(read(sentry, tmp_path / "d", "-f", "json", now="2027-02-18T13:00:00Z"))
    assert known
    assert contents(tmp_path / "d") == known


def test_many_releases_are_read_in_small_windows(sentry: Sentry, tmp_path: Path) -> None:
    sentry.sessions = {
        Key(NOON - back * HOUR, project, f"r{number}", ""): Counted(number + 1, 1, 1)
        for number in range(1, 120)
        for project in (1, 2)
        for back in (1, 5, 40)
    }
    found = fine(read(sentry, tmp_path / "d", "--period", "2d", "-f", "json"))
    assert answered(tmp_path / "d", "2d") == plain(sentry.sessions, NOON - timedelta(days=2))
    assert found["requests"] > 4


def test_an_hour_that_is_too_large_is_read_by_project(
    sentry: Sentry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sentry.most_points = 400
    monkeypatch.setattr(windows, "MOST_POINTS", 400)
    sentry.sessions = {
        Key(NOON - HOUR, project, f"r{number}", ""): Counted(number + 1, 1, 1)
        for number in range(130)
        for project in (1, 2)
    }
    fine(read(sentry, tmp_path / "d", "--period", "1h", "-f", "json"))
    assert answered(tmp_path / "d", "1h") == plain(sentry.sessions, NOON - HOUR)
    sentry.sessions |= {Key(NOON - HOUR, 1, f"s{number}", ""): Counted(1) for number in range(130)}
    result = read(sentry, tmp_path / "e", "--period", "1h")
    assert result.code == 4
    assert "the hour of 2026-11-20T11:00:00Z has more releases of project 1 than" in result.err


def test_a_busy_or_broken_server_is_asked_again(sentry: Sentry, tmp_path: Path) -> None:
    sentry.sessions = made(5, NOON, 24)
    now = time.time()
    sentry.replies = [
        Reply(body=b'{"groups": []' + b" " * 5000, cut=True),
        Reply(429, b'{"detail": "You are attempting to use this endpoint too frequently"}',
              {"Retry-After": "0"}),
        Reply(429, b"", {"X-Sentry-Rate-Limit-Reset": str(now - 5)}),
        Reply(502, b"<html>bad gateway</html>", {"Retry-After": "0"}),
    ]  # fmt: skip
    result = read(sentry, tmp_path / "d", "--period", "1d")
    assert result.code == 0, result.err
    assert "HTTP 429: You are attempting" in result.err
    assert "HTTP 502; asks again" in result.err
    assert answered(tmp_path / "d", "1d") == plain(sentry.sessions, NOON - timedelta(days=1))


def asking(sentry: Sentry, **more: Any) -> tuple[connection.Connection, list[float]]:
    """Return a connection that sleeps not at all, and how long it would have."""
    slept: list[float] = []
    place = connection.Place.of(sentry.url, ORG)
    token = connection.Token(TOKEN)
    return connection.Connection(place, token, sleep=slept.append, **more), slept


QUESTION = [
    ("field", "sum(session)"), ("interval", "1h"), ("project", "-1"),
    ("start", "2026-11-20T10:00:00"), ("end", "2026-11-20T12:00:00"),
]  # fmt: skip


def test_it_waits_as_long_as_sentry_says(sentry: Sentry) -> None:
    asked, slept = asking(sentry)
    http_date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 40))
    sentry.replies = [
        Reply(429, b"", {"Retry-After": "17"}),
        Reply(429, b"", {"Retry-After": http_date}),
        Reply(429, b"", {"X-Sentry-Rate-Limit-Reset": str(time.time() + 60)}),
        Reply(500, b""),
    ]
    asked.get(QUESTION)
    assert slept == [17, pytest.approx(40, abs=2), pytest.approx(60, abs=2), 8]
    slept.clear()
    none_left = {"X-Sentry-Rate-Limit-Remaining": "0"}
    none_left["X-Sentry-Rate-Limit-Reset"] = str(time.time() + 30)
    sentry.replies = [Reply(body=b"{}", headers=none_left)]
    asked.get(QUESTION)
    assert slept == []
    asked.get(QUESTION)
    assert slept == [pytest.approx(30, abs=2)]


def test_it_gives_up_with_a_remedy(sentry: Sentry) -> None:
    asked, slept = asking(sentry)
    sentry.replies = [Reply(429, b"", {"Retry-After": "7200"})]
    with pytest.raises(DataError, match=r"HTTP 429; what was read is kept: .* 7,200 sec"):
        asked.get(QUESTION)
    sentry.replies = [Reply(503, b"")] * 6
    with pytest.raises(DataError, match="HTTP 503; what was read is kept"):
        asked.get(QUESTION)
    assert slept == [1, 2, 4, 8, 16]


def test_a_slow_or_silent_server_is_given_up(
    sentry: Sentry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sleeping(_: Any) -> Reply:
        time.sleep(0.2)
        return Reply()

    monkeypatch.setattr(connection, "_TRIES", 2)
    sentry.always = sleeping
    asked, _ = asking(sentry, silence=0.05)
    with pytest.raises(DataError, match="no answer in time"):
        asked.get(QUESTION)
    hurried, _ = asking(sentry, patience=-1)
    with pytest.raises(DataError, match="no answer in time"):
        hurried.get(QUESTION)


def test_an_unreachable_server_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Sentry()) as url:
        gone = Sentry(url=url)
    monkeypatch.setattr(connection, "_TRIES", 1)
    result = read(gone, tmp_path / "d")
    assert result.code == 4
    assert f"error: {url}: connection refused; what was read is kept" in result.err


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (Reply(401, b'{"detail": "Invalid token"}'), "HTTP 401: Invalid token; Sentry does not"),
        (Reply(403, b'{"detail": "No permission"}'), "HTTP 403: No permission; the token in"),
        (Reply(404, b"<!doctype html>"), "HTTP 404; no such organisation, or no Sentry"),
        (Reply(418, b"[1]"), "HTTP 418; expected an answer of Sentry's sessions API"),
        (Reply(body=b"<html><body>Sign in</body>"), "(it is not JSON); it begins '<html>"),
        (Reply(body=b'{"intervals": ["2026-11-20T'), "(it is not JSON)"),
        (Reply(body=b"[]"), "(Expected `object`, got `array`)"),
        (Reply(body=b'{"intervals": 3, "groups": []}'), "Expected `array`"),
        (Reply(body=b'{"intervals": ["tomorrow"], "groups": []}'), "'tomorrow' is no time"),
        (Reply(body=b'{"intervals": ["2026-11-20T10:30:00Z"], "groups": []}'), "no full hour"),
        (Reply(body=b'{"intervals": [], "groups": []}'), "lacks the hour of 2026-11-20T11:00:00Z"),
        (Reply(body=b"[" * 100_000), "no answer of the sessions API"),
        (Reply(body=b'{"intervals": ["\xff"], "groups": []}'), "no answer of the sessions"),
    ],
)
def test_anything_else_than_an_answer_is_refused(
    sentry: Sentry, tmp_path: Path, reply: Reply, told: str
) -> None:
    sentry.always = lambda _: reply
    result = read(sentry, tmp_path / "d", "--period", "1h", "--debug")
    assert result.code == 4
    assert told in result.err
    assert result.err.count("error:") >= 1
    assert TOKEN not in result.err + result.out


HOURS = '"intervals": ["2026-11-20T11:00:00Z"]'


@pytest.mark.parametrize(
    ("by", "series", "told"),
    [
        (
            '{"project": 1, "session.status": "abducted"}',
            "[1]",
            "unknown session status 'abducted'",
        ),
        ('{"project": 1}', "[1]", "unknown session status None"),
        ('{"project": "shop", "session.status": "healthy"}', "[1]", "group of project 'shop'"),
        ('{"project": -1, "session.status": "healthy"}', "[1]", "a group of project -1"),
        ('{"session.status": "healthy"}', "[1]", "a group of project None"),
        ('{"project": [1], "session.status": "healthy"}', "[1]", "no answer of the sessions API"),
        ('{"project": 1, "session.status": "healthy"}', "[1, 2]", "one sum(session) for each hour"),
        ('{"project": 1, "session.status": "healthy"}', "[-1]", "-1 sessions"),
        ('{"project": 1, "session.status": "healthy"}', "[1.5]", "1.5 sessions"),
        ('{"project": 1, "session.status": "healthy"}', "[1e300]", "1e+300 sessions"),
        ('{"project": 1, "session.status": "healthy"}', '["7"]', "Expected `int | float | null`"),
    ],
)
def test_a_group_of_a_wrong_shape_stops_the_run(
    sentry: Sentry, tmp_path: Path, by: str, series: str, told: str
) -> None:
    group = f'{{"by": {by}, "series": {{"sum(session)": {series}}}}}'
    sentry.always = lambda _: Reply(body=f'{{{HOURS}, "groups": [{group}]}}'.encode())
    result = read(sentry, tmp_path / "d", "--period", "1h")
    assert result.code == 4
    assert told in result.err
    assert not list(tmp_path.glob("d/date=*"))


def test_endless_pages_and_huge_answers_end(
    sentry: Sentry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = f'{{{HOURS}, "groups": []}}'.encode()
    same = {"Link": '<http://x/>; rel="next"; results="true"; cursor="0:1:0"'}
    sentry.always = lambda _: Reply(body=body, headers=same)
    result = read(sentry, tmp_path / "d", "--period", "1h")
    assert (result.code, "the pages of an answer have no end" in result.err) == (4, True)
    monkeypatch.setattr(windows, "_MOST_PAGES", 20)

    def other(_: Any) -> Reply:
        link = f'<http://x/>; rel="next"; results="true"; cursor="0:{len(sentry.asked)}:0"'
        return Reply(body=body, headers={"Link": link})

    sentry.always = other
    result = read(sentry, tmp_path / "d", "--period", "1h")
    assert (result.code, "the pages of an answer have no end" in result.err) == (4, True)
    monkeypatch.setattr(connection, "_MOST_BYTES", 50_000)
    sentry.always = lambda _: Reply(body=b" " * 100_000)
    sentry.sessions = {Key(NOON - HOUR, 1, "a", ""): Counted(1)}
    result = read(sentry, tmp_path / "d", "--period", "2h")
    assert result.code == 4
    assert "internal" not in result.err


def test_hostile_names_of_releases(sentry: Sentry, tmp_path: Path) -> None:
    names = ["a\tb", "a\nb", "=cmd|' /C calc'!A0", "\x1b[31m", "../../etc/passwd", "ü" * 900, "❤"]
    sentry.sessions = {
        Key(NOON - HOUR, 1, name, "'; DROP TABLE x; --"): Counted(10, 1, 1) for name in names
    }
    result = read(sentry, tmp_path / "d", "--period", "1h", "--max-rejected", "100%")
    assert result.code == 0, result.err
    assert "2 items rejected: release: " in result.err
    assert {name for _, name in answered(tmp_path / "d", "1h")} == set(names[2:])
    result = read(sentry, tmp_path / "e", "--period", "1h")
    assert result.code == 4
    assert "2 of 7 hours of releases rejected" in result.err
    result = read(sentry, tmp_path / "f", "--period", "1h", "--strict")
    assert (result.code, list(tmp_path.glob("f/date=*"))) == (4, [])


def test_the_token_goes_nowhere_else(
    sentry: Sentry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Sentry()
    with serving(other) as elsewhere:
        sentry.always = lambda _: Reply(302, b"", {"Location": f"{elsewhere}/x/"})
        result = read(sentry, tmp_path / "d", "--debug")
        assert (result.code, other.asked) == (4, [])
        assert f"sends requests on to {elsewhere}, where the token must not go" in result.err
        sentry.always = lambda _: Reply(302, b"", {"Location": "file:///etc/passwd"})
        assert read(sentry, tmp_path / "d").code == 4
    echoed = json.dumps({"detail": f"bad header Bearer {TOKEN}"}).encode()
    sentry.always = lambda _: Reply(400, echoed)
    result = read(sentry, tmp_path / "d", "--period", "1h", "--debug")
    assert result.code == 4
    assert "HTTP 400: bad header Bearer [token]" in result.err
    assert TOKEN not in result.err + result.out
    sentry.always = lambda _: None
    sentry.sessions = made(1, NOON, 5)
    result = read(sentry, tmp_path / "d", "--debug")
    assert (result.code, TOKEN in result.out + result.err) == (0, False)
    assert TOKEN not in run("ingest", "--list", "--to", str(tmp_path / "d"), "-f", "json").out
    for path in (tmp_path / "d").rglob("*"):
        assert path.is_dir() or TOKEN.encode() not in path.read_bytes()
    assert all(TOKEN not in path for path in sentry.paths)
    for bad in ("", "  ", "a b", "tok\nen: x", "tökén"):
        monkeypatch.setenv("SENTRY_AUTH_TOKEN", bad)
        result = read(sentry, tmp_path / "d", "--debug")
        assert result.code == 2
        assert "SENTRY_AUTH_TOKEN" in result.err.splitlines()[-1]
        assert not bad.strip() or bad not in result.err
    monkeypatch.delenv("SENTRY_AUTH_TOKEN")
    assert read(sentry, tmp_path / "d").err == (
        "relhealth: error: SENTRY_AUTH_TOKEN is not set: make a token with the scope org:read in"
        " Sentry's settings, and export it as SENTRY_AUTH_TOKEN\n"
    )


def test_certificates_are_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"),
            *("-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-subj", "/CN=here", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    sentry = Sentry(made(1, NOON, 5))
    with serving(sentry, tls):
        result = read(sentry, tmp_path / "d", "--period", "5h")
        assert (result.code, sentry.tokens) == (4, [])
        assert "its certificate cannot be verified (self-signed certificate)" in result.err
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        fine(read(sentry, tmp_path / "d", "--period", "5h", "-f", "json"))
    assert answered(tmp_path / "d", "5h") == plain(sentry.sessions, NOON - 5 * HOUR)


def test_a_redirect_on_the_same_host_is_followed(sentry: Sentry, tmp_path: Path) -> None:
    sentry.sessions = made(1, NOON, 5)
    first = f"/api/0/organizations/{ORG}/sessions/"

    def moved(_: Any) -> Reply | None:
        if len(sentry.asked) > 1:
            return None
        query = sentry.paths[-1].partition("?")[2]
        return Reply(301, b"", {"Location": f"{first}?{query}"})

    sentry.always = moved
    fine(read(sentry, tmp_path / "d", "--period", "5h", "-f", "json"))
    assert answered(tmp_path / "d", "5h") == plain(sentry.sessions, NOON - 5 * HOUR)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["x.envelope"], "--from-sentry and an INPUT exclude each other"),
        (["--from", "csv"], "--from-sentry and --from exclude each other"),
        (["--map", "a=b"], "--from-sentry and --map exclude each other"),
        (["--dry-run"], "--from-sentry and --dry-run exclude each other"),
        (["--list"], "--from-sentry and --list exclude each other"),
        (["--period", "1d", "--since", "2026-11-01"], "--period and --since exclude each other"),
        (["--since", "2026-12-01"], "--since 2026-12-01: not before now"),
        (["--period", "91d"], "unknown period '91d'"),
        (["--org", "a/b"], "--org a/b: expected the name of an organisation"),
        (["--from-sentry", "sentry.io"], "--from-sentry sentry.io: expected the address"),
        (["--from-sentry", "ftp://sentry.io"], "expected the address of a Sentry"),
        (["--from-sentry", "http://sentry.io"], "http would send the token in the clear"),
        (["--from-sentry", "https://u:p@sentry.io"], "expected only an address"),
        (["--from-sentry", "https://x:99999"], "expected the address of a Sentry"),
    ],
)
def test_wrong_options_are_usage_errors(
    sentry: Sentry, tmp_path: Path, words: list[str], told: str
) -> None:
    result = read(sentry, tmp_path / "d", *words)
    assert result.code == 2
    assert told in result.err
    assert ("u:p" in result.err, sentry.asked) == (False, [])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--from-sentry", "https://sentry.io"], "--from-sentry needs --org"),
        (["-e", "production", "x"], "--environment is for --from-sentry only"),
        (["--since", "2026-11-01", "x"], "--since is for --from-sentry only"),
        (["--org", "acme", "x"], "--org acme: expected the id of an organisation"),
        (["-p", "1", "-p", "2", "x"], "--project: several are for --from-sentry only"),
    ],
)
def test_options_that_do_not_belong_together(tmp_path: Path, words: list[str], told: str) -> None:
    result = run("ingest", "--to", str(tmp_path / "d"), *words)
    assert (result.code, told in result.err) == (2, True), result.err


def test_a_filter_and_another_one(sentry: Sentry, tmp_path: Path) -> None:
    sentry.sessions = made(6, NOON, 24)
    chosen = ("-p", "1", "-p", "3", "-e", "production", "-e", "", "--period", "1d")
    fine(read(sentry, tmp_path / "d", *chosen, "-f", "json"))
    wanted = {
        key: one
        for key, one in sentry.sessions.items()
        if key.project in {1, 3} and key.environment in {"production", ""}
    }
    assert answered(tmp_path / "d", "1d") == plain(wanted, NOON - timedelta(days=1))
    result = read(sentry, tmp_path / "d", "--period", "1d")
    assert result.code == 4
    assert "with other options (--from-sentry" in result.err
    assert "--project 1 --project 3" in result.err
    assert answered(tmp_path / "d", "1d") == plain(wanted, NOON - timedelta(days=1))
    result = read(sentry, tmp_path / "d", "--period", "1d", "--replace")
    assert result.code == 0, result.err
    assert answered(tmp_path / "d", "1d") == plain(sentry.sessions, NOON - timedelta(days=1))


def test_a_replacement_that_fails_changes_nothing(sentry: Sentry, tmp_path: Path) -> None:
    sentry.sessions = made(6, NOON, 20 * 24, projects=1)
    fine(read(sentry, tmp_path / "d", "--period", "20d", "-f", "json"))
    before = contents(tmp_path / "d")
    sentry.sessions = {}
    sentry.replies = [None] * 4 + [Reply(401)]
    assert read(sentry, tmp_path / "d", "--period", "20d", "--replace").code == 4
    assert contents(tmp_path / "d") == before


def test_a_day_can_be_forgotten_and_read_again(sentry: Sentry, tmp_path: Path) -> None:
    sentry.sessions = made(6, NOON, 24)
    fine(read(sentry, tmp_path / "d", "--period", "1d", "-f", "json"))
    before = contents(tmp_path / "d")
    listed = run("ingest", "--list", "--to", str(tmp_path / "d"), "-f", "json")
    day = json.loads(listed.out)["data"][0]
    assert day["input"].endswith("/acme/2026-11-19")
    assert run("ingest", "--forget", day["digest"], "--to", str(tmp_path / "d")).code == 0
    assert contents(tmp_path / "d") != before
    fine(read(sentry, tmp_path / "d", "--period", "1d", "-f", "json"))
    assert contents(tmp_path / "d") == before
    assert run("compact", str(tmp_path / "d")).code == 0
    assert answered(tmp_path / "d", "1d") == plain(sentry.sessions, NOON - timedelta(days=1))


def test_the_three_commands_of_the_readme(
    sentry: Sentry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = (ROOT / "README.md").read_text().partition("\n## I have Sentry\n")[2]
    lines = section.partition("```sh\n")[2].partition("```")[0].splitlines()
    export, ingest, status = map(shlex.split, lines)
    assert (export[0], ingest[0], status[0]) == ("export", "relhealth", "relhealth")
    assert export[1].partition("=")[0] == "SENTRY_AUTH_TOKEN"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RELHEALTH_NOW", NOW)
    sentry.sessions = made(1, NOON, 24)
    result = run(*[sentry.url if word == "https://sentry.io" else word for word in ingest[1:]])
    assert result.code == 0, result.err
    assert run("ingest", *ingest[2:], "--list").code == 2
    result = run(*status[1:])
    assert result.code == 0, result.err
    assert "crash-free sessions" in result.out


# What each command says of data without users: its words, and those that its table must not have.
ASKED = {
    "overview": ["overview", "d", "--wide"],
    "status": ["status", "d"],
    "releases": ["releases", "d"],
    "projects": ["projects", "d"],
    "release": ["release", "d", "shop@1.1.0", "--stat", "users"],
    "query": ["query", "d", "-F", "count_unique(user)", "--status", "crashed"],
    "compare": ["compare", "d", "shop@1.1.0", "shop@1.2.0", "-p", "1"],
}
NO_USERS = "none of these sessions has a user: figures of users are missing, not 0"
INDEPENDENT = "bounds take each session as independent, because data without users do not say"


@pytest.mark.parametrize("name", ASKED)
def test_every_answer_says_that_there_are_no_users(
    name: str, sentry: Sentry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sentry.sessions = made(1, NOON, 24)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RELHEALTH_NOW", NOW)
    read(sentry, Path("d"), "--period", "1d")
    result = run(*ASKED[name], "-f", "json")
    assert result.code == 0, result.err
    assert NO_USERS in result.err
    assert json.loads(result.out)["meta"]["has_users"] is False
    markdown = run(*ASKED[name], "-f", "markdown").out
    if name != "status":
        header, _, *rows = [line for line in markdown.splitlines() if line.startswith("|")]
        columns = [at for at, title in enumerate(header.split("|")) if "user" in title.lower()]
        assert columns or name == "compare"
        cells = {
            row.split("|")[at].strip()
            for row in rows
            for at in columns
            if len(row.split("|")) == len(header.split("|"))
        }
        assert cells <= {"\N{EN DASH}", "", ":---", "---:"}, cells


def test_a_page_and_metrics_say_so_too(sentry: Sentry, tmp_path: Path) -> None:
    sentry.sessions = made(1, NOON, 24)
    read(sentry, tmp_path / "d", "--period", "1d")
    page = tmp_path / "page.html"
    assert run("overview", str(tmp_path / "d"), "--now", NOW, "-o", str(page)).code == 0
    assert NO_USERS in page.read_text()
    metrics = run("overview", str(tmp_path / "d"), "--now", NOW, "-f", "openmetrics").out
    assert "relhealth_sessions{" in metrics
    assert "relhealth_users" not in metrics
    inspected = run("inspect", str(tmp_path / "d"), "--now", NOW)
    assert "the data have no users: figures of users are missing in every answer" in inspected.err


def test_a_gate_judges_sessions_and_says_what_it_assumes(sentry: Sentry, tmp_path: Path) -> None:
    sentry.sessions = {
        Key(NOON - hour * HOUR, 1, "shop@1", ""): Counted(5000, 9, 3) for hour in range(2, 40)
    }
    read(sentry, tmp_path / "d", "--period", "2d")
    line = ["gate", str(tmp_path / "d"), "--now", NOW, "-r", "shop@1", "--target", "99.5"]
    result = run(*line, "-f", "json")
    assert (result.code, INDEPENDENT in result.err) == (0, True), result.err
    (check,) = json.loads(result.out)["data"]
    assert (check["numerator"], check["denominator"]) == (120_000 - 72, 120_000)
    result = run(*line, "--metric", "crash_free_users", "-f", "json")
    (check,) = json.loads(result.out)["data"]
    assert (result.code, check["reason"]) == (3, "no users in the window")
    policy = tmp_path / "policy.toml"
    policy.write_text("[[gate.rule]]\ntarget = 99.5\ndeff = 2\n")
    line = [*line[: line.index("--target")], "--policy", str(policy)]
    result = run(*line)
    assert (result.code, INDEPENDENT in result.err) == (0, False), result.err


def test_answers_about_data_with_users_say_nothing() -> None:
    sample = str(ROOT / "sample_data")
    for words in (["overview"], ["status"], ["releases"], ["query", "-F", "count_unique(user)"]):
        result = run(words[0], sample, *words[1:], "--now", "latest", "-f", "json")
        assert "has_users" not in json.loads(result.out)["meta"]
        assert "has a user" not in result.err


COUNTS = st.builds(
    Counted,
    st.integers(0, 6), st.integers(0, 6), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3),
)  # fmt: skip


@given(st.lists(COUNTS, max_size=6))
@example([Counted(0, 1, 1), Counted(5, 1, 3)])
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_hours_by_status_add_up_to_the_window_by_status(hours: list[Counted]) -> None:
    """What is stored of each hour gives Sentry's figures of any window, but for one case.

    Where an hour has neither healthy sessions nor ones with errors only, Sentry does not say how
    many had an error.
    """
    known = [one for one in hours if one.by_status()["healthy"] or one.by_status()["errored"]]
    total, stored = Counted(), Counted()
    for one in known:
        found = joined(one.begun, {k: n for k, n in one.by_status().items() if n})
        for name, value in zip(vars(total), astuple(found), strict=True):
            setattr(stored, name, getattr(stored, name) + value)
            setattr(total, name, getattr(total, name) + vars(one)[name])
    assert stored == total


def test_answers_that_contradict_each_other() -> None:
    ends = {"healthy": 5, "errored": 2, "crashed": 1}
    assert joined(9, ends) == Sessions(8, 3, 1, 0, 0)  # the hour grew between the answers
    assert joined(0, ends) == Sessions(8, 3, 1, 0, 0)
    assert joined(9, {}) == Sessions(9, 0, 0, 0, 0)
    assert joined(3, {"crashed": 1}) == Sessions(1, 1, 1, 0, 0)
    assert os.environ["SENTRY_AUTH_TOKEN"] == TOKEN
