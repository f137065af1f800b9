"""A Sentry on loopback: its sessions API, as its documentation describes it, and its faults.

https://docs.sentry.io/api/releases/retrieve-release-health-session-statistics/: hours of sessions
by project, release, environment and status; at most 10,000 points, the smallest groups are left
out; at most 1,000 intervals. https://docs.sentry.io/api/pagination/: cursors in the header Link.
https://docs.sentry.io/api/ratelimits/: 429, and headers that say when to ask again.
"""

from __future__ import annotations

import json
import random
import ssl
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

TOKEN = "sntrys_test_0123456789abcdef"
ORG = "acme"
STATUSES = ("healthy", "errored", "crashed", "abnormal", "unhandled")
MOST_POINTS = 10_000
MOST_INTERVALS = 1_000
HOUR = timedelta(hours=1)


class Key(NamedTuple):
    """What the API groups sessions by, and their hour."""

    hour: datetime
    project: int
    release: str
    environment: str


@dataclass
class Counted:
    """Counters of one key, as Sentry stores them: all errored ones together."""

    begun: int = 0
    errored: int = 0
    crashed: int = 0
    abnormal: int = 0
    unhandled: int = 0

    def by_status(self) -> dict[str, int]:
        """Return what the API answers by status: parts, of which none is below 0."""
        worst = self.crashed + self.abnormal + self.unhandled
        return {
            "healthy": max(0, self.begun - self.errored),
            "errored": max(0, self.errored - worst),
            "crashed": self.crashed,
            "abnormal": self.abnormal,
            "unhandled": self.unhandled,
        }


class Reply(NamedTuple):
    """An answer in place of the real one."""

    code: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = MappingProxyType({})
    cut: bool = False  # close before the end of the body


@dataclass
class Sentry:
    """The state of the server: sessions, what was asked, and what to answer otherwise."""

    sessions: dict[Key, Counted] = field(default_factory=dict)
    asked: list[dict[str, list[str]]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    replies: list[Reply | None] = field(default_factory=list)  # for the next questions
    always: Callable[[dict[str, list[str]]], Reply | None] = lambda _: None
    per_page: int | None = None  # groups before their statuses; None: no pages, as without cursors
    most_points: int = MOST_POINTS
    url: str = ""

    def answer(self, asked: dict[str, list[str]]) -> Reply:
        """Answer a question as Sentry does."""
        by = asked.get("groupBy", [])
        assert asked["field"] == ["sum(session)"]
        assert asked["interval"] == ["1h"]
        start, end = (_instant(asked[name][0]) for name in ("start", "end"))
        hours = [start + n * HOUR for n in range(int((end - start) / HOUR))]
        if len(hours) > MOST_INTERVALS:
            return _refusal("Your interval and date range would create too many results.")
        projects = set(asked.get("project", []))
        environments = asked.get("environment")
        groups: dict[tuple[Any, ...], dict[datetime, Counted]] = defaultdict(dict)
        names = [name for name in by if name != "session.status"]
        for key, counted in self.sessions.items():
            if not start <= key.hour < end:
                continue
            if not projects & {"-1", str(key.project)}:
                continue
            if environments is not None and key.environment not in environments:
                continue
            group = tuple(getattr(key, name) for name in names)
            total = groups[group].setdefault(key.hour, Counted())
            for name, value in vars(counted).items():
                setattr(total, name, getattr(total, name) + value)
        ordered = sorted(
            groups.items(), key=lambda one: (-sum(each.begun for each in one[1].values()), one[0])
        )
        most = self.most_points // len(hours)
        offset = int(asked["cursor"][0].split(":")[1]) if "cursor" in asked else 0
        size = min(most, self.per_page or most)
        page = ordered[offset : offset + size]
        more = self.per_page is not None and offset + size < len(ordered)
        shown = []
        for group, counts in page:
            named = {name: each for name, each in zip(names, group, strict=True) if each != ""}
            if "session.status" not in by:
                series = [counts[hour].begun if hour in counts else 0 for hour in hours]
                shown.append(_group(named, series))
                continue
            parts = {hour: each.by_status() for hour, each in counts.items()}
            for status in STATUSES:
                series = [parts[hour][status] if hour in parts else 0 for hour in hours]
                shown.append(_group({**named, "session.status": status}, series))
        body = {
            "start": _text(start),
            "end": _text(end),
            "query": "",
            "intervals": [_text(hour) for hour in hours],
            "groups": shown,
        }
        link = ", ".join(
            f'<{self.url}/?cursor=0:{at}:{previous}>; rel="{rel}"; results="{str(has).lower()}";'
            f' cursor="0:{at}:{previous}"'
            for rel, at, previous, has in (
                ("previous", max(0, offset - size), 1, offset > 0),
                ("next", offset + size, 0, more),
            )
        )
        return Reply(body=json.dumps(body).encode(), headers={"Link": link})


def _group(by: dict[str, Any], series: list[int]) -> dict[str, Any]:
    return {
        "by": by,
        "totals": {"sum(session)": sum(series)},
        "series": {"sum(session)": series},
    }


def _refusal(detail: str) -> Reply:
    return Reply(400, json.dumps({"detail": detail}).encode())


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _text(instant: datetime) -> str:
    return f"{instant:%Y-%m-%dT%H:%M:%SZ}"


def _server(
    handler: type[BaseHTTPRequestHandler], tls: ssl.SSLContext | None
) -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    return server


@contextmanager
def serving(sentry: Sentry, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve on loopback; yield the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            sentry.paths.append(self.path)
            sentry.tokens.append(self.headers.get("Authorization", ""))
            asked = parse_qs(parts.query, keep_blank_values=True)
            sentry.asked.append(asked)
            self._send(self._reply(parts.path, asked))

        def _reply(self, path: str, asked: dict[str, list[str]]) -> Reply:
            if sentry.replies and (reply := sentry.replies.pop(0)) is not None:
                return reply
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                return Reply(401, b'{"detail": "Invalid token"}')
            if path != f"/api/0/organizations/{ORG}/sessions/":
                return Reply(404, b'{"detail": "The requested resource does not exist"}')
            return sentry.always(asked) or sentry.answer(asked)

        def _send(self, reply: Reply) -> None:
            self.send_response(reply.code)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            if "Transfer-Encoding" not in reply.headers:
                self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body[: len(reply.body) // 2] if reply.cut else reply.body)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = _server(Handler, tls)
    sentry.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield sentry.url
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def made(
    seed: int, end: datetime, hours: int, projects: int = 3, *, odd: bool = True
) -> dict[Key, Counted]:
    """Return sessions of the hours before an instant; a few are ``odd``, such as crashes alone."""
    chance = random.Random(seed)
    found = {}
    for back in range(1, hours + 1):
        hour = end - back * HOUR
        for project in range(1, projects + 1):
            for number in range(chance.randrange(4)):
                release = chance.choice(["", f"shop@{project}.{number}.{back // 200}"])
                environment = chance.choice(["", "production", "staging"])
                begun = chance.randrange(20, 400)
                worst = Counter(
                    chance.choice(["crashed", "abnormal", "unhandled"])
                    for _ in range(chance.randrange(5))
                )
                counts = Counted(begun, **worst)
                counts.errored = min(begun, worst.total() + chance.randrange(9))
                oddity = chance.random() if odd else 1
                if oddity < 0.02:
                    counts = Counted(0, 1, 1)
                elif oddity < 0.04:
                    counts.errored, counts.crashed = 1, 3
                found[Key(hour, project, release, environment)] = counts
    return found
