"""The application: what a receiver answers to each request.

Envelopes are taken by plain ASGI, thousands a second; Starlette answers everything else.
"""

import asyncio
import re
import time
from collections.abc import Callable
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from relhealth.receive import answers, encodings, frames, upstream
from relhealth.receive.answers import Answer, RefusedError
from relhealth.receive.counting import CONTENT_TYPE, Counts, Minute
from relhealth.receive.envelope import (
    MOST_LINE,
    Envelope,
    EnvelopeError,
    Headers,
    TooManyItemsError,
    read_headers,
    read_items,
)
from relhealth.receive.forward import Forwarding
from relhealth.receive.keys import PROJECT, sent_key
from relhealth.receive.settings import Settings
from relhealth.receive.spool import FullError, Spool

_PATH = re.compile(r"/api/([^/]{1,100})/envelope/?|/tunnel/?")
_SMALL = 1 << 16  # bytes of a body that is decoded and read at once, while all others wait
_GONE = 499  # what logs call a client that went away
_LOG_LONGEST = 200

# Gets the line of an access log.
Log = Callable[[dict[str, object]], None]
Tell = Callable[[str], None]


class GoneError(Exception):
    """The client went away before its request was complete."""


class Receiver:
    """What the requests of a receiver share; an ASGI application itself."""

    def __init__(
        self,
        settings: Settings,
        spool: Spool,
        forwarding: Forwarding | None,
        counts: Counts,
        tell: Tell,
        log: Log | None,
    ) -> None:
        """Take envelopes; ``tell`` gets lines about faults, ``log`` one for each request."""
        self._settings = settings
        self._limits = settings.limits
        self._spool = spool
        self._forwarding = forwarding
        self._counts = counts
        self._tell = tell
        self._log = log
        self._decoding = asyncio.Semaphore(settings.limits.decoding)
        self._held = 0  # bytes of bodies being received
        self._refusing = False  # sessions, as the last line about it said
        self.minute = Minute()
        routes = [] if settings.metrics_listen else self.own_routes()
        self._others = application(routes, tell, envelopes=_PATH)

    def own_routes(self) -> list[Route]:
        """Return the routes for who runs the receiver."""
        return [Route("/health", self._health), Route("/metrics", self._metrics)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        found = _PATH.fullmatch(scope["path"])
        if found is None or scope["method"] != "POST":
            await self._others(scope, receive, send)
            return
        began = time.perf_counter()
        status: int = _GONE
        seen: dict[str, object] = {}
        try:
            answer = await self._answer(scope, receive, found[1], seen)
            await send(
                {
                    "type": "http.response.start",
                    "status": answer.status,
                    "headers": answer.headers,
                }
            )
            await send({"type": "http.response.body", "body": answer.body})
            status = answer.status
        except GoneError:
            pass
        finally:
            seconds = time.perf_counter() - began
            self._counts.answered(status, seconds)
            if self._log is not None:
                self._log(_logged(scope, status, seconds) | seen)

    async def _answer(
        self, scope: Scope, receive: Receive, project: str | None, seen: dict[str, object]
    ) -> Answer:
        try:
            return await self._take(scope, receive, project, seen)
        except RefusedError as error:
            seen["reason"] = str(error)
            return answers.refused(error)
        except GoneError:
            raise
        except Exception as error:  # noqa: BLE001 - of one request, not of the receiver
            self._tell(f"internal error: {type(error).__name__}: {error}")
            return answers.refused(RefusedError(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error"))

    async def _take(
        self, scope: Scope, receive: Receive, named: str | None, seen: dict[str, object]
    ) -> Answer:
        """Take an envelope: check it, pass it on, and have its sessions on disk."""
        project = None if named is None else _project(named)
        headers: dict[bytes, bytes] = dict(scope["headers"])
        auth = headers.get(b"x-sentry-auth") or headers.get(b"authorization")
        key = sent_key(auth, scope["query_string"])
        if project is not None and key is not None:  # before reading what it sends
            self._check_key(project, key)
        size = 0
        try:
            pieces: list[bytes] = []
            self._check_length(headers.get(b"content-length", b""))
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise GoneError
                piece = message.get("body", b"")
                size += len(piece)
                self._held += len(piece)
                self._check_size(size)
                pieces.append(piece)
                if not message.get("more_body"):
                    break
            body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            seen["bytes"] = size
            self._counts.body_bytes += size
            encoding = headers.get(b"content-encoding", b"").decode("latin-1").strip().lower()
            if encoding not in encodings.DECODERS:
                raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported encoding")
            found, envelope, plain = await self._read(body, encoding, project, key)
            project = _agreed(project, found)
            seen["project"] = project
            if self._forwarding is not None:
                self._forward(scope, project, found, body, plain)
        finally:
            self._held -= size
        await self._keep(project, envelope)
        seen["sessions"] = len(envelope.sessions)
        limits = None
        if self._forwarding is not None and self._settings.forward_limits:
            limits = self._forwarding.limits.header(project)
        return answers.taken(found.event_id, limits)

    def _check_key(self, project: int, key: str | None) -> None:
        if not self._settings.keys:
            return
        if key is None:
            raise RefusedError(HTTPStatus.UNAUTHORIZED, "missing authorization information")
        if not self._settings.keys.allow(project, key):
            raise RefusedError(HTTPStatus.FORBIDDEN, "this key cannot send to this project")

    def _check_length(self, length: bytes) -> None:
        if length.isdigit() and int(length) > self._limits.body:
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "envelope too large")

    def _check_size(self, size: int) -> None:
        if size > self._limits.body:
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "envelope too large")
        if self._held > self._limits.bodies and size > _SMALL:
            raise answers.full("too many large envelopes at once", limited="")

    async def _read(
        self, body: bytes, encoding: str, project: int | None, key: str | None
    ) -> tuple[Headers, Envelope, bytes]:
        """Decode and read a body: a small one at once, another in a thread."""
        if len(body) <= _SMALL:
            try:
                most = min(_SMALL * 4, self._limits.body)
                return self._decoded(body, encoding, most, project, key)
            except encodings.TooLargeError:  # large after all
                pass
        async with self._decoding:
            try:
                most = self._limits.body
                return await asyncio.to_thread(self._decoded, body, encoding, most, project, key)
            except encodings.TooLargeError:
                raise RefusedError(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "envelope too large"
                ) from None

    def _decoded(
        self, body: bytes, encoding: str, most: int, project: int | None, key: str | None
    ) -> tuple[Headers, Envelope, bytes]:
        """Decode and read a body, after a look at its key if the request has not been let in."""
        try:
            if project is None or key is None:
                found = read_headers(encodings.first_line(body, encoding, MOST_LINE))
                self._check_key(_agreed(project, found), key or (found.dsn and found.dsn.key))
            plain = encodings.plain(body, encoding, most)
            return read_headers(plain), read_items(plain, self._limits.items), plain
        except encodings.BadEncodingError:
            reason = "the body does not have its content-encoding"
            raise RefusedError(HTTPStatus.BAD_REQUEST, reason) from None
        except TooManyItemsError as error:
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error)) from None
        except EnvelopeError as error:
            raise RefusedError(HTTPStatus.BAD_REQUEST, f"invalid envelope: {error}") from None

    async def _keep(self, project: int, envelope: Envelope) -> None:
        """Return when the sessions are on disk."""
        items = self._counts.items
        for reason in envelope.rejected:
            self._counts.rejected[reason] += 1
        items["other"] += envelope.others
        if not envelope.sessions:
            return
        content = b"".join(frames.item(one.kind, one.payload) for one in envelope.sessions)
        try:
            await self._spool.add(project, content)
        except FullError as error:
            if not self._refusing:
                self._tell(f"sessions are refused with 429: {error}")
            self._refusing = True
            raise answers.full("no room for sessions", limited="session") from None
        if self._refusing:
            self._tell("sessions are taken again")
        self._refusing = False
        items["session"] += len(envelope.sessions)
        self.minute.add(project, envelope.sessions)

    def _forward(
        self, scope: Scope, project: int, found: Headers, body: bytes, plain: bytes
    ) -> None:
        """Queue the envelope for upstream, even if there is no room for its sessions here."""
        target = self._settings.forward
        assert target is not None
        assert self._forwarding is not None
        headers = [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]
        ]
        if target.dsn is not None and found.dsn is not None:
            body = upstream.with_dsn(plain, target.dsn)
            headers = [one for one in headers if one[0] != "content-encoding"]
        self._forwarding.offer(
            project,
            upstream.request_for(
                target,
                project=project,
                key=found.dsn.key if found.dsn else None,
                query=scope["query_string"].decode("latin-1"),
                headers=headers,
                body=body,
                client=_client(scope) or "",
            ),
        )

    async def _health(self, _: Request) -> Response:
        """Answer whether sessions can be taken now."""
        well = not self._spool.is_full and self._spool.failed is None
        status = HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE
        word = "ok" if well else "no room for sessions"
        return JSONResponse({"status": word, "spool_bytes": self._spool.size}, status)

    async def _metrics(self, _: Request) -> Response:
        return Response(self._counts.text(self._gauges()), media_type=CONTENT_TYPE)

    def _gauges(self) -> dict[str, tuple[str, float]]:
        found = {
            "spool_bytes": ("Bytes that wait for an ingest.", float(self._spool.size)),
            "syncs": ("Syncs of the spool to disk since the start.", float(self._spool.syncs)),
            "last_ingest_seconds": (
                "When the last ingest ended, in seconds since 1970; 0 before the first.",
                self._counts.last_ingest,
            ),
        }
        if self._forwarding is not None:
            waiting = float(self._forwarding.waiting)
            found["forward_waiting"] = ("Envelopes that wait for upstream.", waiting)
            held = float(self._forwarding.bytes)
            found["forward_bytes"] = ("Bytes that wait for upstream.", held)
        return found


def _agreed(project: int | None, found: Headers) -> int:
    """Return the project of a request, in its path or in the DSN of its envelope."""
    if found.dsn is None:
        if project is None:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "no dsn in the envelope header")
        return project
    if project is not None and found.dsn.project != project:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "the project of the path is not that of the dsn")
    return _project(str(found.dsn.project))


def _project(text: str) -> int:
    if not PROJECT.fullmatch(text) or not int(text):
        raise RefusedError(HTTPStatus.BAD_REQUEST, "invalid project id")
    return int(text)


def _client(scope: Scope) -> str | None:
    return scope["client"][0] if scope["client"] else None


def _logged(scope: Scope, status: int, seconds: float) -> dict[str, object]:
    return {
        "time": time.time(),
        "client": _client(scope),
        "method": scope["method"],
        "path": scope["path"][:_LOG_LONGEST],  # and no query, which can have a key
        "status": int(status),
        "ms": round(1000 * seconds, 2),
    }


def application(
    routes: list[Route], tell: Tell, envelopes: re.Pattern[str] | None = None
) -> ASGIApp:
    """Return the application of some routes; ``tell`` gets a line for an error of its own.

    It refuses everything else. ``envelopes`` are paths that SDKs send to.
    """

    async def failed(_: Request, error: Exception) -> Response:
        tell(f"internal error: {type(error).__name__}: {error}")
        return _refused(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error")

    async def otherwise(request: Request) -> Response:
        if envelopes is None or not envelopes.fullmatch(request.url.path):
            return _refused(HTTPStatus.NOT_FOUND, "no such path")
        if request.method == "OPTIONS":
            return Response(headers=answers.PREFLIGHT)
        return _refused(
            HTTPStatus.METHOD_NOT_ALLOWED, "method not allowed", {"allow": "POST, OPTIONS"}
        )

    every = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"]
    return Starlette(
        routes=[*routes, Route("/{path:path}", otherwise, methods=every)],
        exception_handlers={Exception: failed},
    )


def _refused(status: HTTPStatus, reason: str, headers: dict[str, str] | None = None) -> Response:
    answer = answers.refused(RefusedError(status, reason, headers))
    response = Response(answer.body, answer.status)
    response.raw_headers = answer.headers
    return response
