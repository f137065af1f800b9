"""Where envelopes are passed on to, and the rate limits that come back."""

import re
import time
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

from relhealth.core.errors import QuestionError
from relhealth.core.printable import printable
from relhealth.receive.keys import Dsn, read_dsn

_MOST_PROJECTS = 10_000  # whose limits are kept
_MOST_LIMITS = 50  # of a project
_MOST_SECONDS = 86_400
# What an upstream's limit of everything means here: everything but sessions.
_BUT_SESSIONS = (
    "default;error;security;transaction;attachment;profile;replay;span;monitor;feedback;user_report;"
    "statsd;metric_bucket;log_item;log_byte;trace_metric;profile_chunk"
)
_AUTH_KEY = re.compile(r"(sentry_key\s*=\s*)[^,\s&]+", re.IGNORECASE)


class Target(NamedTuple):
    """The server that envelopes go to; with a DSN, its project and key, too."""

    scheme: str
    host: str
    path: str  # before /api
    dsn: Dsn | None

    @property
    def shown(self) -> str:
        """The target without its key."""
        project = f", project {self.dsn.project}" if self.dsn else ""
        return f"{self.scheme}://{self.host}{self.path}{project}"


class Request(NamedTuple):
    """A request to pass on."""

    path: str
    headers: list[tuple[str, str]]
    body: bytes


def target_of(text: str) -> Target:
    """Return the target of ``--forward``: a DSN, or the URL of a server.

    Raises ``QuestionError`` for anything else, whose message does not contain a key.
    """
    dsn = read_dsn(text)
    if dsn is not None and dsn.scheme in {"http", "https"}:
        return Target(dsn.scheme, dsn.host, dsn.path, dsn)
    try:
        parts = urlsplit(text)
        known = parts.scheme in {"http", "https"} and parts.hostname and not parts.username
        _ = parts.port
    except ValueError:
        known = None
    if not known or parts.query or parts.fragment:
        shown = printable(text.rpartition("@")[2])
        raise QuestionError(
            f"--forward {shown}: expected a DSN such as https://KEY@o1.ingest.sentry.io/42, or the"
            " URL of a server such as https://o1.ingest.sentry.io"
        )
    return Target(parts.scheme, parts.netloc, parts.path.rstrip("/"), None)


_WITH_KEY = frozenset({"x-sentry-auth", "authorization"})
# Headers of one connection, and what is set anew.
_NOT_PASSED = frozenset(
    {
        "connection", "content-length", "expect", "forwarded", "host", "keep-alive",
        "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
        "transfer-encoding", "upgrade", "x-forwarded-for", "cookie",
    }
)  # fmt: skip


def request_for(
    target: Target,
    *,
    project: int,
    key: str | None,
    query: str,
    headers: list[tuple[str, str]],
    body: bytes,
    client: str,
) -> Request:
    """Return the request that passes an envelope on, with the key of the target if it has one.

    ``key`` is that of a DSN inside the envelope, for a request without another.
    """
    passed = [(name, value) for name, value in headers if name not in _NOT_PASSED]
    before = next((value for name, value in headers if name == "x-forwarded-for"), "")
    passed.append(("x-forwarded-for", f"{before}, {client}" if before else client))
    has_auth = "sentry_key" in query or any("sentry_key" in value for _, value in passed)
    if target.dsn is not None:
        project, key = target.dsn.project, target.dsn.key
        query = _with_key(query, key)
        passed = [
            (name, _with_key(value, key) if name in _WITH_KEY else value) for name, value in passed
        ]
    if not has_auth and key:
        query = f"sentry_key={key}&sentry_version=7"
    path = f"{target.path}/api/{project}/envelope/" + (f"?{query}" if query else "")
    return Request(path, passed, body)


def _with_key(text: str, key: str) -> str:
    return _AUTH_KEY.sub(lambda found: f"{found[1]}{key}", text)


def with_dsn(body: bytes, dsn: Dsn) -> bytes:
    """Return a plain envelope whose headers have another DSN; upstream refuses two that differ."""
    line, _, rest = body.partition(b"\n")
    headers = msgspec.json.decode(line)
    headers["dsn"] = f"{dsn.scheme}://{dsn.key}@{dsn.host}{dsn.path}/{dsn.project}"
    return msgspec.json.encode(headers) + b"\n" + rest


class RateLimits:
    """The rate limits of an upstream, by project; sessions are never limited by them."""

    def __init__(self) -> None:
        """Begin without limits."""
        self._of: dict[int, list[tuple[float, str]]] = {}
        self._rests: dict[int, float] = {}  # until when nothing of a project is wanted

    def rest(self, project: int, retry_after: str | None) -> None:
        """Remember that the upstream wants nothing of a project for some seconds, if it says so."""
        if retry_after:
            if len(self._rests) >= _MOST_PROJECTS:
                self._rests.clear()
            self._rests[project] = time.monotonic() + _seconds(retry_after)

    def wants_nothing(self, project: int) -> bool:
        """Return whether the upstream wants nothing of a project now."""
        return self._rests.get(project, 0.0) > time.monotonic()

    def learn(self, project: int, header: str | None, retry_after: str | None) -> None:
        """Remember the limits of an answer, to tell the SDKs of the project."""
        found = list(_limits(header)) if header else []
        if not header and retry_after:
            found = [(_seconds(retry_after), f"{_BUT_SESSIONS}:organization")]
        if not found:
            return
        if project not in self._of and len(self._of) >= _MOST_PROJECTS:
            self._of.pop(next(iter(self._of)))
        now = time.monotonic()
        kept = [one for one in self._of.get(project, ()) if one[0] > now]
        known = {rest for _, rest in found}
        kept = [one for one in kept if one[1] not in known]
        kept += [(now + seconds, rest) for seconds, rest in found]
        self._of[project] = kept[-_MOST_LIMITS:]

    def header(self, project: int) -> str | None:
        """Return the header with the limits that are still in force."""
        limits = self._of.get(project)
        if limits is None:
            return None
        now = time.monotonic()
        left = [f"{int(until - now) + 1}:{rest}" for until, rest in limits if until > now]
        if not left:
            del self._of[project]
            return None
        return ", ".join(left)


def _limits(header: str) -> list[tuple[float, str]]:
    """Return the limits of a header without those of sessions: seconds, and the rest."""
    found = []
    for one in header.split(",")[:_MOST_LIMITS]:
        seconds, _, rest = one.strip().partition(":")
        categories, _, scope = rest.partition(":")
        if not categories:
            categories = _BUT_SESSIONS
        kept = ";".join(each for each in categories.split(";") if each and each != "session")
        if kept and (f"{kept}{scope}").isascii() and f"{kept}{scope}".isprintable():
            found.append((_seconds(seconds), f"{kept}:{scope}"))
    return found


def _seconds(text: str) -> float:
    """Return the seconds of a header; 60, as SDKs do, where it has no number."""
    try:
        seconds = float(text)
    except ValueError:
        return 60.0
    return min(max(seconds, 0.0), _MOST_SECONDS) if seconds == seconds else 60.0  # noqa: PLR0124
