"""Passes envelopes on to another server; nobody waits for it, and nobody suffers from it."""

import http.client
import random
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import NamedTuple

from relhealth.receive.counting import Counts
from relhealth.receive.upstream import RateLimits, Request, Target

_WORKERS = 4
_TIMEOUT = 10.0  # seconds without a byte
_MOST_REQUEST = 30.0  # seconds for a request and its answer
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0  # seconds between two tries
_MOST_SECONDS = 600.0  # after which an envelope is dropped
_OVERHEAD = 1_000  # bytes of memory of a queued request, beside its body
_MOST_READ = 1 << 16  # bytes of an answer
_SILENT_SECONDS = 60.0  # between two lines about failures


class _Queued(NamedTuple):
    project: int
    request: Request
    until: float  # when to give up


class Forwarding:
    """A bounded queue of envelopes, and the threads that send them."""

    def __init__(
        self, target: Target, most_bytes: int, counts: Counts, tell: Callable[[str], None]
    ) -> None:
        """Start the threads; ``tell`` gets lines about failures."""
        self._target = target
        self._most_bytes = most_bytes
        self._counts = counts
        self._tell = tell
        self._told = -_SILENT_SECONDS
        self.limits = RateLimits()
        self._queue: deque[_Queued] = deque()
        self._changed = threading.Condition()
        self._ends = threading.Event()
        self.bytes = 0  # in the queue
        self._under_way = 0
        self._connections = [_Connection(target) for _ in range(_WORKERS)]
        for connection in self._connections:
            threading.Thread(target=self._work, args=[connection], daemon=True).start()
        threading.Thread(target=self._end_late, daemon=True).start()

    @property
    def waiting(self) -> int:
        """The number of envelopes that are not sent yet."""
        return len(self._queue) + self._under_way

    def offer(self, project: int, request: Request) -> None:
        """Queue an envelope; drop it if the queue is full. Never waits for upstream."""
        size = len(request.body) + _OVERHEAD
        with self._changed:
            if self.bytes + size > self._most_bytes:
                self._counts.forwarded["dropped"] += 1
                self._complain("the queue is full; envelopes are dropped")
                return
            self._queue.append(_Queued(project, request, time.monotonic() + _MOST_SECONDS))
            self.bytes += size
            self._changed.notify()

    def close(self, seconds: float) -> None:
        """Send what is queued for some seconds, then drop the rest."""
        until = time.monotonic() + seconds
        while self.waiting and time.monotonic() < until:
            time.sleep(0.05)
        self._ends.set()
        with self._changed:
            left = self.waiting
            self._queue.clear()
            self._changed.notify_all()
        if left:
            self._counts.forwarded["dropped"] += left
            self._tell(f"{left:,} envelopes were not passed on to {self._target.shown}")

    def _end_late(self) -> None:
        """End requests that take too long, though a byte comes now and then."""
        while not self._ends.wait(1.0):
            for connection in self._connections:
                connection.end_if_late()

    def _work(self, connection: "_Connection") -> None:
        while not self._ends.is_set():
            with self._changed:
                while not self._queue and not self._ends.is_set():
                    self._changed.wait()
                if self._ends.is_set():
                    return
                one = self._queue.popleft()
                self._under_way += 1
            try:
                end = self._send(connection, one)
            except Exception as error:  # noqa: BLE001 - a thread must go on
                end = "failed"
                self._complain(f"{type(error).__name__}: {error}")
            with self._changed:
                self._under_way -= 1
                self.bytes -= len(one.request.body) + _OVERHEAD
            if not self._ends.is_set():
                self._counts.forwarded[end] += 1
        connection.close()

    def _send(self, connection: "_Connection", one: _Queued) -> str:
        """Send an envelope, several times if needed; return how that ended."""
        pause = _FIRST_PAUSE
        while True:
            if self.limits.wants_nothing(one.project):
                return "refused"
            try:
                answer = connection.send(one.request)
            except (OSError, http.client.HTTPException) as error:
                reason = str(error) or type(error).__name__
            else:
                self.limits.learn(one.project, answer.limits, answer.retry_after)
                if answer.status < HTTPStatus.BAD_REQUEST:
                    return "sent"
                reason = f"it answers {answer.status}"
                if answer.status == HTTPStatus.TOO_MANY_REQUESTS and not answer.limits:
                    self.limits.rest(one.project, answer.retry_after)
                if answer.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                    self._complain(f"{reason}; what it refuses is lost")
                    return "refused"  # to send it again changes nothing
            self._complain(reason)
            # Jitter: several receivers must not come back at the same moment.
            waits = pause * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
            if time.monotonic() + waits > one.until:
                return "dropped"
            if self._ends.wait(waits):
                return "dropped"
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _complain(self, reason: str) -> None:
        now = time.monotonic()
        if now - self._told >= _SILENT_SECONDS:
            self._told = now
            self._tell(f"cannot pass on to {self._target.shown}: {reason}")


class _Answer(NamedTuple):
    status: int
    limits: str | None
    retry_after: str | None


class _Connection:
    """A connection to a server, opened when needed."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._open: http.client.HTTPConnection | None = None
        self._began: float | None = None  # when the request under way began

    def end_if_late(self) -> None:
        """End the request under way if it takes too long; for another thread."""
        began, open_one = self._began, self._open
        if began is None or open_one is None or time.monotonic() - began < _MOST_REQUEST:
            return
        with suppress(OSError, AttributeError):  # it ends by itself just now
            open_one.sock.shutdown(socket.SHUT_RDWR)

    def send(self, request: Request) -> _Answer:
        """Send a request; on a connection that the server has closed meanwhile, once more."""
        self._began = time.monotonic()
        try:
            return self._sent_once(request)
        finally:
            self._began = None

    def _sent_once(self, request: Request) -> _Answer:
        reused = self._open is not None
        try:
            return self._sent(request)
        except (ConnectionError, http.client.BadStatusLine):
            self.close()
            if not reused:
                raise
        except BaseException:
            self.close()
            raise
        try:
            return self._sent(request)
        except BaseException:
            self.close()
            raise

    def _sent(self, request: Request) -> _Answer:
        if self._open is None:
            if self._target.scheme == "https":
                context = ssl.create_default_context()
                self._open = http.client.HTTPSConnection(
                    self._target.host, timeout=_TIMEOUT, context=context
                )
            else:
                self._open = http.client.HTTPConnection(self._target.host, timeout=_TIMEOUT)
        self._open.putrequest("POST", request.path, skip_accept_encoding=True)
        for name, value in request.headers:
            self._open.putheader(name, value.encode("latin-1"))
        self._open.putheader("content-length", str(len(request.body)))
        self._open.endheaders(request.body)
        answer = self._open.getresponse()
        with suppress(OSError, http.client.HTTPException):  # the status is the answer
            answer.read(_MOST_READ)
        found = _Answer(
            answer.status, answer.getheader("x-sentry-rate-limits"), answer.getheader("retry-after")
        )
        if answer.will_close or not answer.isclosed():
            self.close()
        return found

    def close(self) -> None:
        if self._open is not None:
            with suppress(OSError):
                self._open.close()
            self._open = None
