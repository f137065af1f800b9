"""Envelopes are passed on untouched, and no upstream delays or fails an SDK."""

from __future__ import annotations

import gzip
import json
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, NamedTuple

import pytest

from envelopes import iso, update
from receivers import AUTH, KEY, counted, receiving
from relhealth.receive import forward
from relhealth.receive.counting import Counts
from relhealth.receive.forward import Forwarding
from relhealth.receive.upstream import RateLimits, Request, target_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OTHER = "f" * 32
EVENT = b'{"event_id":"9ec79c33ec9942ab8353589fcb2e04dc"}\n{"type":"event","length":2}\n{}'
SESSION = (
    b'{}\n{"type":"session"}\n'
    + json.dumps(
        update(started=iso(datetime.now(UTC).replace(microsecond=0)), status="exited")
    ).encode()
)


class Passed(NamedTuple):
    """A request that came upstream."""

    path: str
    headers: dict[str, str]
    body: bytes


class Upstream:
    """A server in the place of Sentry; ``answers`` are statuses, the last one for ever."""

    def __init__(self) -> None:
        """Serve on a free port."""
        self.passed: list[Passed] = []
        self.answers: list[int] = [200]
        self.headers: dict[str, str] = {}
        self.slow = 0.0
        self.drips = 0.0  # seconds between two bytes of an answer without an end
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                time.sleep(upstream.slow)
                upstream.passed.append(Passed(self.path, headers, body))
                answers = upstream.answers
                self.send_response(answers.pop(0) if len(answers) > 1 else answers[0])
                for name, value in upstream.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", "1000" if upstream.drips else "2")
                self.end_headers()
                with suppress(OSError):
                    while upstream.drips:
                        self.wfile.write(b" ")
                        time.sleep(upstream.drips)
                    self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def wait(self, count: int) -> list[Passed]:
        """Return the requests once there are so many."""
        until = time.monotonic() + 30
        while len(self.passed) < count:
            assert time.monotonic() < until, self.passed
            time.sleep(0.02)
        return self.passed

    def close(self) -> None:
        """End."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    server = Upstream()
    yield server
    server.close()


def test_the_url_of_a_server_keeps_everything(upstream: Upstream, tmp_path: Path) -> None:
    body = gzip.compress(SESSION)
    own = {"User-Agent": "sentry.test/1.0", "Content-Encoding": "gzip", "Content-Type": "x/y"}
    to = f"http://127.0.0.1:{upstream.port}"
    with receiving(tmp_path / "data", "--forward", to) as receiver:
        query = f"/api/1/envelope/?sentry_key={KEY}&sentry_version=7"
        assert receiver.send(body, query, **own, X_Forwarded_For="10.1.1.1").status == 200
        (passed,) = upstream.wait(1)
        assert receiver.metric('forwarded_total{end="sent"}') == 1
    assert passed.path == query
    assert passed.body == body
    assert own.items() <= {name.title(): value for name, value in passed.headers.items()}.items()
    assert passed.headers["host"] == f"127.0.0.1:{upstream.port}"
    assert passed.headers["x-forwarded-for"] == "10.1.1.1, 127.0.0.1"
    assert counted(tmp_path / "data").sessions == 1


def test_a_dsn_replaces_project_and_key(upstream: Upstream, tmp_path: Path) -> None:
    dsn = f"http://{OTHER}@127.0.0.1:{upstream.port}/sentry/42"
    with receiving(tmp_path / "data", "--forward", dsn) as receiver:
        until = time.monotonic() + 30
        while not any("passing on to http://127.0.0.1" in line for line in receiver.said):
            assert time.monotonic() < until
            time.sleep(0.02)
        assert receiver.send(EVENT, **AUTH).status == 200
        assert receiver.send(EVENT, f"/api/1/envelope/?sentry_key={KEY}&a=b").status == 200
        inside = b'{"dsn":"http://%s@h/1","a":[1]}\n{"type":"event"}\n{}' % KEY.encode()
        assert (
            receiver.send(gzip.compress(inside), "/tunnel", Content_Encoding="gzip").status == 200
        )
        first, second, third = sorted(upstream.wait(3), key=lambda one: (len(one.path), one.path))
    assert first.path == "/sentry/api/42/envelope/"
    assert f"sentry_key={OTHER}, sentry_version=7" in first.headers["x-sentry-auth"]
    assert first.body == second.body == EVENT
    assert second.path == f"/sentry/api/42/envelope/?sentry_key={OTHER}&a=b"
    assert third.path == f"/sentry/api/42/envelope/?sentry_key={OTHER}&sentry_version=7"
    header, _, rest = third.body.partition(b"\n")
    assert json.loads(header) == {"dsn": dsn, "a": [1]}
    assert rest == inside.partition(b"\n")[2]
    assert "content-encoding" not in third.headers
    assert KEY not in str(upstream.passed)
    assert OTHER not in "".join(receiver.said)


def test_it_tries_again_until_it_succeeds(upstream: Upstream, tmp_path: Path) -> None:
    upstream.answers = [500, 503, 200]
    to = f"http://127.0.0.1:{upstream.port}"
    with receiving(tmp_path / "data", "--forward", to) as receiver:
        assert receiver.send(EVENT, **AUTH).status == 200
        assert [one.body for one in upstream.wait(3)] == [EVENT] * 3
    assert any("cannot pass on to" in line and "it answers 500" in line for line in receiver.said)


@pytest.mark.parametrize("status", [400, 403, 413, 429])
def test_what_is_refused_is_not_sent_again(status: int, upstream: Upstream, tmp_path: Path) -> None:
    upstream.answers = [status, 200]
    to = f"http://127.0.0.1:{upstream.port}"
    with receiving(tmp_path / "data", "--forward", to) as receiver:
        assert receiver.send(EVENT, **AUTH).status == 200
        upstream.wait(1)
        assert receiver.send(SESSION, **AUTH).status == 200
        upstream.wait(2)
        assert receiver.metric('forwarded_total{end="refused"}') == 1
    assert [one.body for one in upstream.passed] == [EVENT, SESSION]


def test_an_upstream_that_drips_is_ended(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A byte of its answer now and then keeps no thread."""
    monkeypatch.setattr(forward, "_MOST_REQUEST", 1.0)
    monkeypatch.setattr(forward, "_FIRST_PAUSE", 0.01)
    upstream.drips = 0.1
    told: list[str] = []
    counts = Counts()
    forwarding = Forwarding(
        target_of(f"http://127.0.0.1:{upstream.port}"), 10**6, counts, told.append
    )
    for _ in range(8):  # twice as many as threads
        forwarding.offer(1, Request("/api/1/envelope/", [], EVENT))
    upstream.wait(8)
    until = time.monotonic() + 20
    while counts.forwarded["sent"] < 8:  # the status has arrived, the body need not
        assert time.monotonic() < until, (counts.forwarded, told)
        time.sleep(0.05)
    forwarding.close(0)


def test_an_upstream_that_wants_nothing_for_a_while(upstream: Upstream, tmp_path: Path) -> None:
    upstream.answers = [429, 200]
    upstream.headers = {"Retry-After": "60"}
    to = f"http://127.0.0.1:{upstream.port}"
    with receiving(tmp_path / "data", "--forward", to) as receiver:
        assert receiver.send(EVENT, **AUTH).status == 200
        upstream.wait(1)
        assert receiver.send(EVENT, **AUTH).status == 200
        until = time.monotonic() + 20
        while receiver.metric('forwarded_total{end="refused"}') < 2:
            assert time.monotonic() < until
            time.sleep(0.05)
        assert any("it answers 429; what it refuses is lost" in line for line in receiver.said)
    assert len(upstream.passed) == 1


@pytest.mark.parametrize("away", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_nobody_waits_for_an_upstream(
    away: bool,  # noqa: FBT001 - of two cases
    upstream: Upstream,
    tmp_path: Path,
) -> None:
    """Neither for one that is away, nor for one that is slow, and the queue is bounded."""
    upstream.slow = 60
    to = f"http://127.0.0.1:{9 if away else upstream.port}"
    with receiving(tmp_path / "data", "--forward", to, "--forward-queue", "50kB") as receiver:
        began = time.monotonic()
        for _ in range(100):
            assert receiver.send(EVENT + b"\n" * 1_000, **AUTH).status == 200
        assert time.monotonic() - began < 10
        assert receiver.metric("forward_bytes") <= 50_000
        assert receiver.metric('forwarded_total{end="dropped"}') > 50
        began = time.monotonic()
        assert receiver.end() == 0
        assert time.monotonic() - began < 20
    assert any("were not passed on" in line for line in receiver.said)


def test_an_envelope_without_its_key_is_not_passed_on(upstream: Upstream, tmp_path: Path) -> None:
    line = ("--forward", f"http://127.0.0.1:{upstream.port}", "--key", OTHER)
    with receiving(tmp_path / "data", *line) as receiver:
        assert receiver.send(EVENT, **AUTH).status == 403
        assert receiver.send(b"no envelope", f"/api/1/envelope/?sentry_key={OTHER}").status == 400
    assert not upstream.passed


def test_limits_of_upstream_reach_the_sdk(upstream: Upstream, tmp_path: Path) -> None:
    upstream.headers = {
        "X-Sentry-Rate-Limits": "600:error;session:organization, 30:replay:key:quota"
    }
    line = ("--forward", f"http://127.0.0.1:{upstream.port}")
    with receiving(tmp_path / "data", *line, "--forward-limits") as receiver:
        assert "x-sentry-rate-limits" not in receiver.send(EVENT, **AUTH).headers
        upstream.wait(1)
        time.sleep(0.3)
        limits = receiver.send(SESSION, **AUTH).headers["x-sentry-rate-limits"]
        assert limits == "600:error:organization, 30:replay:key:quota"
        other = receiver.send(EVENT, f"/api/2/envelope/?sentry_key={KEY}")
        assert "x-sentry-rate-limits" not in other.headers
    with receiving(tmp_path / "data", *line) as receiver:
        receiver.send(EVENT, **AUTH)
        upstream.wait(4)
        time.sleep(0.3)
        assert "x-sentry-rate-limits" not in receiver.send(SESSION, **AUTH).headers


@pytest.mark.parametrize(
    ("header", "retry_after", "told"),
    [
        ("60:error:key", None, "60:error:key"),
        ("60:session:key", None, None),
        ("60::organization", None, "60:default;error;"),
        (None, "30", "30:default;error;"),
        ("x:error:key", None, "60:error:key"),
        ("nan:error:key", None, "60:error:key"),
        ("inf:error:key", None, "86400:error:key"),
        ("-5:error:key", None, None),
        ("60:error\x00:key", None, None),
        ("", None, None),
        (",,:", None, "60:default;"),
    ],
)
def test_limits_as_they_are_told(
    header: str | None, retry_after: str | None, told: str | None
) -> None:
    limits = RateLimits()
    limits.learn(1, header, retry_after)
    found = limits.header(1)
    assert (found is None) if told is None else (found or "").startswith(told)
    assert "session" not in (found or "")


def test_a_target_is_shown_without_its_key() -> None:
    target = target_of(f"https://{KEY}@o1.ingest.sentry.io/42")
    assert target.shown == "https://o1.ingest.sentry.io, project 42"
