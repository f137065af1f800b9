"""The answers of a receiver, as SDKs and browsers expect them."""

import json
from http import HTTPStatus
from typing import NamedTuple

_FOR_BROWSERS = {
    "access-control-allow-origin": "*",
    "access-control-expose-headers": "x-sentry-error, x-sentry-rate-limits, retry-after",
    "cross-origin-resource-policy": "cross-origin",
}
PREFLIGHT = _FOR_BROWSERS | {
    "access-control-allow-methods": "POST",
    "access-control-allow-headers": "x-sentry-auth, x-requested-with, x-forwarded-for, origin,"
    " referer, accept, content-type, authentication, authorization, content-encoding,"
    " transfer-encoding, sentry-trace, baggage",
    "access-control-max-age": "3600",
}
RATE_LIMITS = "x-sentry-rate-limits"
FULL_SECONDS = 60  # for which a client must not send while the spool is full


class Answer(NamedTuple):
    """The answer to an envelope."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class RefusedError(Exception):
    """The request is refused; the message says why."""

    def __init__(
        self, status: HTTPStatus, reason: str, headers: dict[str, str] | None = None
    ) -> None:
        """Store the status, and further headers."""
        super().__init__(reason)
        self.status = status
        self.headers = headers or {}


def full(reason: str, *, limited: str) -> RefusedError:
    """Return the refusal of what finds no room; ``limited`` is the category of items."""
    headers = {
        "retry-after": str(FULL_SECONDS),
        RATE_LIMITS: f"{FULL_SECONDS}:{limited}:organization",
    }
    return RefusedError(HTTPStatus.TOO_MANY_REQUESTS, reason, headers)


def taken(event_id: str | None, limits: str | None) -> Answer:
    """Return the answer to an envelope that was taken, with the rate limits of upstream."""
    body = b'{"id":"%s"}' % event_id.encode() if event_id else b"{}"
    headers = [*_USUAL, (b"content-length", b"%d" % len(body))]
    if limits is not None:
        headers.append((RATE_LIMITS.encode(), limits.encode()))
    return Answer(HTTPStatus.OK, headers, body)


def refused(error: RefusedError) -> Answer:
    """Return the answer to a request that was refused."""
    reason = str(error)
    body = json.dumps({"detail": reason}).encode()
    further = error.headers | {"x-sentry-error": reason, "content-length": str(len(body))}
    return Answer(error.status, [*_USUAL, *_encoded(further)], body)


def _encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]


_USUAL = _encoded(_FOR_BROWSERS | {"content-type": "application/json"})
