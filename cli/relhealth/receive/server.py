"""Runs a receiver until a signal ends it."""

import asyncio
import logging
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import NamedTuple

import msgspec
import uvicorn
import uvloop
from starlette.types import ASGIApp

from relhealth.core.errors import QuestionError
from relhealth.core.printable import printable
from relhealth.receive.app import Receiver, application
from relhealth.receive.connections import Bounds
from relhealth.receive.counting import Counts, Minute
from relhealth.receive.draining import Draining
from relhealth.receive.forward import Forwarding
from relhealth.receive.orders import Order
from relhealth.receive.settings import Address, Settings
from relhealth.receive.spool import Spool

_KEEP_ALIVE = 75  # seconds, more than the 60 of usual proxies, which must close first
_GRACE = 10  # seconds for requests that are under way at the end
_FLUSH = 5.0  # seconds for envelopes that wait for upstream at the end
_BACKLOG = 2048
_MINUTE = 60.0

Tell = Callable[[str], None]


def run(settings: Settings, tell: Tell) -> None:
    """Receive until SIGTERM or SIGINT; then answer, sync, and ingest what was received.

    ``tell`` gets the lines for whoever runs it. Raises ``QuestionError`` for bad settings,
    ``OutputError`` if the data set cannot be written.
    """
    settings.check()
    context = _tls(settings)
    with ExitStack() as stack:
        own = stack.enter_context(_listening("--listen", settings.listen))
        other = None
        if settings.metrics_listen is not None:
            other = stack.enter_context(_listening("--metrics-listen", settings.metrics_listen))
        runner = stack.enter_context(asyncio.Runner(loop_factory=uvloop.new_event_loop))
        runner.run(_serve(settings, tell, own, other, context))


class _Parts(NamedTuple):
    """The parts of a running receiver."""

    receiver: Receiver
    spool: Spool
    forwarding: Forwarding | None
    draining: Draining
    bounds: Bounds
    log: "_AccessLog | None"


def _parts(settings: Settings, tell: Tell) -> _Parts:
    counts = Counts()
    spool = Spool(settings.dataset, settings.spool_bytes)
    forwarding = None
    if settings.forward is not None:
        forwarding = Forwarding(settings.forward, settings.forward_bytes, counts, tell)
    log = _AccessLog() if settings.access_log else None
    receiver = Receiver(settings, spool, forwarding, counts, tell, None if log is None else log.add)
    order = Order(
        dataset=str(settings.dataset),
        keep_days=settings.keep_days,
        org=settings.org,
        dimensions=dict(settings.dimensions),
        memory_limit=settings.memory_limit,
    )
    draining = Draining(spool, order, settings.every, counts, tell)
    return _Parts(receiver, spool, forwarding, draining, Bounds(settings.limits, counts), log)


async def _serve(
    settings: Settings,
    tell: Tell,
    own: socket.socket,
    other: socket.socket | None,
    context: ssl.SSLContext | None,
) -> None:
    parts = _parts(settings, tell)
    servers = [(_server(parts.receiver, parts.bounds, context), own)]
    if other is not None:
        own_application = application(parts.receiver.own_routes(), tell)
        servers.append((_server(own_application, parts.bounds, None), other))
    tasks = [asyncio.create_task(parts.bounds.sweep())]
    tasks.append(asyncio.create_task(_each_minute(parts.receiver, tell)))
    if parts.log is not None:
        tasks.append(asyncio.create_task(parts.log.flush_often()))
    with _signals() as ends:
        drained = asyncio.create_task(parts.draining.run(ends))
        serving = [asyncio.create_task(each.serve([sock])) for each, sock in servers]
        _introduce(settings, tell, own, other, context)
        await ends.wait()
        for each, _ in servers:
            each.should_exit = True
        await asyncio.gather(*serving)
        tell("ending: what was received is ingested")
        await drained
        await parts.spool.close()
        await parts.draining.once(hurry=True)
        if parts.forwarding is not None:
            await asyncio.to_thread(parts.forwarding.close, _FLUSH)
    for task in tasks:
        task.cancel()
    if parts.log is not None:
        parts.log.flush()


@contextmanager
def _signals() -> Iterator[asyncio.Event]:
    """Yield an event that the first signal to end sets."""
    ends = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ends.set)
    try:
        yield ends
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _introduce(
    settings: Settings,
    tell: Tell,
    own: socket.socket,
    other: socket.socket | None,
    context: ssl.SSLContext | None,
) -> None:
    """Say where the receiver listens, with the port that a free one became."""
    scheme = "http" if context is None else "https"
    at = settings.listen._replace(port=own.getsockname()[1])
    tell(f"listening on {scheme}://{at}, for the data set {settings.dataset}")
    if other is not None and settings.metrics_listen is not None:
        at = settings.metrics_listen._replace(port=other.getsockname()[1])
        tell(f"metrics on http://{at}/metrics")
    if settings.forward is not None:
        tell(f"passing on to {settings.forward.shown}")


class _Server(uvicorn.Server):
    """A server that leaves the signals to its receiver, and accepts TLS itself."""

    def __init__(
        self, config: uvicorn.Config, bounds: Bounds, context: ssl.SSLContext | None
    ) -> None:
        super().__init__(config)
        self._bounds, self._context = bounds, context
        self._accepting: list[asyncio.Task[None]] = []

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if self._context is None:
            await super().startup(sockets)
            return
        protocol = partial(
            self._bounds.protocol(),
            config=self.config,
            server_state=self.server_state,
            app_state={},
        )
        self.servers = []
        self._accepting = [
            asyncio.create_task(self._bounds.accept_tls(sock, protocol, self._context))
            for sock in sockets or ()
        ]
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for task in self._accepting:
            task.cancel()
        await super().shutdown(sockets)


def _server(answers: ASGIApp, bounds: Bounds, context: ssl.SSLContext | None) -> uvicorn.Server:
    logging.getLogger("uvicorn.error").propagate = False
    logging.getLogger("uvicorn.error").handlers = [logging.NullHandler()]
    config = uvicorn.Config(
        answers,
        http=bounds.protocol(),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=_GRACE,
        backlog=_BACKLOG,
    )
    config.load()
    return _Server(config, bounds, context)


async def _each_minute(receiver: Receiver, tell: Tell) -> None:
    while True:
        await asyncio.sleep(_MINUTE)
        minute, receiver.minute = receiver.minute, Minute()
        line = minute.line()
        if line is not None:
            tell(line)


class _AccessLog:
    """The log of requests on stderr: a line of JSON each, written some together."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []

    def add(self, line: dict[str, object]) -> None:
        self._lines.append(msgspec.json.encode(line) + b"\n")

    async def flush_often(self) -> None:
        while True:
            await asyncio.sleep(0.25)
            self.flush()

    def flush(self) -> None:
        lines, self._lines = self._lines, []
        with suppress(OSError, ValueError):
            if lines:
                sys.stderr.buffer.write(b"".join(lines))
                sys.stderr.flush()


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.tls_cert is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or str(error)
        raise QuestionError(
            f"--tls-cert {printable(str(settings.tls_cert))}: {reason.lower()}"
        ) from error
    return context


def _listening(option: str, address: Address) -> socket.socket:
    """Return the socket of an address; raises ``QuestionError`` if it cannot be had."""
    try:
        family = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((address.host, address.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise QuestionError(f"{option} {address}: {reason}; listen elsewhere") from error
