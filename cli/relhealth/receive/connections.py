"""Connections that nobody can exhaust: bounds on their number, their headers and their time."""

import asyncio
import socket
import ssl
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from relhealth.receive.counting import Counts
from relhealth.receive.limits import Limits

_SWEEP_SECONDS = 0.5
_NO_ROOM_SECONDS = 0.1  # until the next try to accept


class Bounds:
    """The bounds that all connections of a receiver share."""

    def __init__(self, limits: Limits, counts: Counts) -> None:
        """Begin without connections."""
        self.limits = limits
        self.counts = counts
        self.open: set[Bounded] = set()
        self._handshakes = 0  # connections whose TLS is not agreed yet

    async def sweep(self) -> None:
        """End connections that take too long, until cancelled."""
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            now = time.monotonic()
            for connection in list(self.open):
                connection.end_if_late(now)

    def is_full(self) -> bool:
        """Return whether there is no room for another connection, and count that."""
        if len(self.open) + self._handshakes < self.limits.connections:
            return False
        self.counts.refused_connections += 1
        return True

    def protocol(self) -> type[HttpToolsProtocol]:
        """Return the protocol for uvicorn."""
        bounds = self

        class _Bounded(Bounded):
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                self.bounds = bounds

        return _Bounded

    async def accept_tls(
        self,
        listening: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        context: ssl.SSLContext,
    ) -> None:
        """Accept connections until cancelled.

        A handshake counts as a connection: uvicorn would hear of it only when it has ended.
        """
        loop = asyncio.get_running_loop()
        listening.setblocking(False)
        agreeing: set[asyncio.Task[None]] = set()
        while True:
            try:
                accepted, _ = await loop.sock_accept(listening)
            except OSError:  # too many files are open, or the client has gone
                await asyncio.sleep(_NO_ROOM_SECONDS)
                continue
            if self.is_full():
                accepted.close()
                continue
            self._handshakes += 1
            task = loop.create_task(self._agree(accepted, protocol, context))
            agreeing.add(task)
            task.add_done_callback(agreeing.discard)

    async def _agree(
        self,
        accepted: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        context: ssl.SSLContext,
    ) -> None:
        seconds = self.limits.head_seconds
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                protocol,
                accepted,
                ssl=context,
                ssl_handshake_timeout=seconds,
                ssl_shutdown_timeout=seconds,
            )
        except OSError:  # of TLS, too: whoever connects can cause it
            accepted.close()
        finally:
            self._handshakes -= 1


class _Corked:
    """A transport that writes an answer's headers together with its body.

    uvicorn writes them one after the other: two system calls, and two packets.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""

    def write(self, data: bytes) -> None:
        if data.startswith(b"HTTP/1.1 ") and not data.startswith(b"HTTP/1.1 100 "):
            self._head = data
            return
        self._transport.write(self._head + data)
        self._head = b""

    def flush(self) -> None:
        """Write headers that no body follows."""
        if self._head:
            self.write(b"")

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Bounded(HttpToolsProtocol):
    """One connection. uvicorn bounds neither the headers nor the time of a request."""

    bounds: Bounds
    _head = 0  # bytes so far of a request whose headers are not complete
    _headers_size = 0  # of the complete ones
    _in_body = False
    _no_more = False  # comes from the client
    _began: float | None = None  # when the request began that is not answered yet

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a connection if there is room."""
        super().connection_made(transport)
        self._raw = transport
        self.transport = _Corked(transport)  # type: ignore[assignment]
        if self.scheme == "http" and self.bounds.is_full():
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections")
            return
        self.bounds.open.add(self)
        self._began = time.monotonic()

    def connection_lost(self, exc: Exception | None) -> None:
        """Make room."""
        self.bounds.open.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes, unless their headers are too many."""
        if self.transport.is_closing():
            return
        if self._began is None:
            self._began = time.monotonic()
        if not self._in_body:
            self._head += len(data)
        super().data_received(data)
        if not self._in_body and self._head > self.bounds.limits.head:
            self._too_many_headers()

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._in_body = False
        self._headers_size = 0

    def on_url(self, url: bytes) -> None:
        """Take a part of the URL."""
        super().on_url(url)
        if len(self.url) > self.bounds.limits.head:
            raise ValueError("URL too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        super().on_header(name, value)
        self._headers_size += len(name) + len(value)
        limits = self.bounds.limits
        if len(self.headers) > limits.headers or self._headers_size > limits.head:
            self._too_many_headers()
            raise ValueError("too many headers")

    def on_headers_complete(self) -> None:
        """Take the body from now on."""
        self._in_body = True
        self._head = 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Expect the next request."""
        self._in_body = False
        super().on_message_complete()
        if self.cycle.response_complete:  # it was refused before its end
            self._began = None

    def eof_received(self) -> bool:  # type: ignore[override]
        """Answer what came, though the client sends no more; TLS has no half-closed connections."""
        pending = self.cycle is not None and not self.cycle.response_complete
        self._no_more = True
        return pending and not self._in_body and self.scheme == "http"

    def on_response_complete(self) -> None:
        """Let the time of a request end, if its body has."""
        self.transport.flush()  # type: ignore[attr-defined] # a HEAD has no body
        super().on_response_complete()
        if self._no_more and self.cycle.response_complete:
            self.transport.close()
        if not self._in_body:
            idle = self.cycle.response_complete
            self._began = None if idle else time.monotonic()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP."""
        self._refuse(HTTPStatus.BAD_REQUEST, msg)

    def end_if_late(self, now: float) -> None:
        """End the connection if its request takes too long."""
        if self._began is None:
            return
        limits, waited = self.bounds.limits, now - self._began
        has_head = self._in_body or (self.cycle is not None and not self.cycle.response_complete)
        if waited <= (limits.request_seconds if has_head else limits.head_seconds):
            return
        begun = self.cycle is not None and self.cycle.response_started
        if begun and (self._in_body or not self.cycle.response_complete):
            self.transport.abort()  # the client does not take the answer, or sends on after it
        else:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "the request took too long")

    def _too_many_headers(self) -> None:
        self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "too many headers")

    def _refuse(self, status: HTTPStatus, reason: str) -> None:
        """Answer and close, whatever the client sends."""
        if self.transport.is_closing():
            return
        body = b'{"detail":"%s"}' % reason.encode()
        self._raw.write(
            b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
            b"connection: close\r\n\r\n%s" % (status, status.phrase.encode(), len(body), body)
        )
        self.transport.close()
