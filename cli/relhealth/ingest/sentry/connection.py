"""Requests to Sentry's API: with a token, within limits, and again if Sentry is busy.

The standard library's client is enough: one request at a time, none of them large. It brings TLS
with verified certificates and proxies, and adds no dependency.
"""

import math
import os
import re
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPMessage
from typing import IO, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

import msgspec

from relhealth.core.errors import DataError, QuestionError
from relhealth.core.printable import excerpt, printable
from relhealth.core.version import __version__

TOKEN = "SENTRY_AUTH_TOKEN"  # noqa: S105 - the variable's name

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_ORG = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_SILENCE = 60.0  # seconds without a byte, after which a request has failed
_PATIENCE = 300.0  # seconds for one answer
_MOST_BYTES = 64 << 20  # of one answer
_MOST_OF_FAULT = 1 << 16  # bytes that are read of an answer that is a fault
_CHUNK = 1 << 16
_TRIES = 6
_LONGEST_WAIT = 900.0  # seconds
_BUSY = {429, 500, 502, 503, 504}
_REMEDIES = {
    401: f"Sentry does not accept the token in {TOKEN}; make one with the scope org:read",
    403: f"the token in {TOKEN} may not read the sessions; it needs the scope org:read, and its"
    " owner must see the projects",
    404: "no such organisation, or no Sentry at this URL; --org is the name in the address of its"
    " pages",
}
_LINK = re.compile(r'<[^<>]*>((?:\s*;\s*[a-z]+="[^"]*")*)')
_PARAMETER = re.compile(r';\s*([a-z]+)="([^"]*)"')

Parameters = Sequence[tuple[str, str]]


class RefusedError(DataError):
    """Sentry refused the question itself, with 400."""


class TooLargeError(Exception):
    """An answer is larger than the limit: a smaller question has a smaller one."""


class Page(NamedTuple):
    """An answer, and where the next page is, if there is one."""

    body: bytes
    cursor: str | None


class _Fault(msgspec.Struct):
    """How Sentry says what is wrong."""

    detail: str | dict[str, object] = ""


@dataclass(frozen=True, slots=True)
class Place:
    """An organisation of a Sentry: the address, without a slash at its end, and the name."""

    url: str
    org: str

    @classmethod
    def of(cls, url: str, org: str) -> "Place":
        """Check both; raises ``QuestionError``."""
        shown = printable(url)
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host = port = None
            parts = urlsplit("")
        if not host or parts.scheme not in {"https", "http"} or not _is_plain(url):
            raise QuestionError(
                f"--from-sentry {shown}: expected the address of a Sentry, such as"
                " https://sentry.io"
            )
        if parts.username is not None or parts.query or parts.fragment:
            raise QuestionError(
                f"--from-sentry: expected only an address, such as https://{host}; the token"
                f" belongs into {TOKEN}"
            )
        if parts.scheme == "http" and host not in _LOOPBACK:
            raise QuestionError(
                f"--from-sentry {shown}: http would send the token in the clear; use https, or a"
                " tunnel to this machine"
            )
        if not _ORG.fullmatch(org):
            raise QuestionError(
                f"--org {printable(org)}: expected the name of an organisation, as in the address"
                " of its pages"
            )
        named = f"[{host}]" if ":" in host else host
        beside = "" if port is None else f":{port}"
        path = re.sub(r"(/api(/0)?)?/*$", "", parts.path)
        return cls(f"{parts.scheme}://{named}{beside}{path}", org)

    @property
    def sessions(self) -> str:
        """The address of the sessions API."""
        return f"{self.url}/api/0/organizations/{self.org}/sessions/"


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text


class Token:
    """A secret that shows itself in no message and no traceback."""

    __slots__ = ("_secret",)

    def __init__(self, secret: str) -> None:
        """Check that it can be sent; raises ``QuestionError``, without the secret."""
        self._secret = secret.strip()
        if not self._secret:
            raise QuestionError(
                f"{TOKEN} is not set: make a token with the scope org:read in Sentry's settings,"
                f" and export it as {TOKEN}"
            )
        if not _is_plain(self._secret):
            raise QuestionError(f"{TOKEN} is no token: it has blanks or unusual characters")

    @classmethod
    def of_environment(cls) -> "Token":
        """Return the token of the environment; raises ``QuestionError`` if there is none."""
        return cls(os.environ.get(TOKEN, ""))

    def header(self) -> str:
        """Return the value of the header that sends it."""
        return f"Bearer {self._secret}"

    def without(self, text: str) -> str:
        """Return a text of the server, without the token."""
        return text.replace(self._secret, "[token]")

    def __repr__(self) -> str:
        """Return nothing of the secret."""
        return "Token(…)"


class _SameHost(HTTPRedirectHandler):
    """Follows redirects on the same host only, since the token goes along."""

    def redirect_request(
        self,
        req: Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> Request | None:
        if urlsplit(newurl)[:2] != urlsplit(req.full_url)[:2]:
            other = urlsplit(newurl)
            raise DataError(
                f"{req.host}: sends requests on to {printable(f'{other.scheme}://{other.netloc}')},"
                " where the token must not go; if that is your Sentry, name it in --from-sentry"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class Connection:
    """Asks one address, and asks again if Sentry is busy or out of reach."""

    def __init__(
        self,
        place: Place,
        token: Token,
        *,
        say: Callable[[str], None] = lambda _: None,
        sleep: Callable[[float], None] = time.sleep,
        silence: float = _SILENCE,
        patience: float = _PATIENCE,
    ) -> None:
        """Prepare; ``say`` hears of waits, ``silence`` and ``patience`` are limits in seconds."""
        self.place = place
        self.requests = 0
        self._token = token
        self._say = say
        self._sleep = sleep
        self._silence = silence
        self._patience = patience
        self._until = 0.0  # when Sentry allows the next request, if it has said so
        self._opener = OpenerDirector()
        secure = place.url.startswith("https:")
        for handler in (
            ProxyHandler(None if secure else {}),
            HTTPSHandler(context=ssl.create_default_context()) if secure else HTTPHandler(),
            _SameHost(),
            HTTPDefaultErrorHandler(),
            HTTPErrorProcessor(),
        ):
            self._opener.add_handler(handler)

    def get(self, parameters: Parameters) -> Page:
        """Return the answer to a question.

        Raises ``RefusedError`` if Sentry refuses the question, ``TooLargeError`` if the answer is
        too large, and ``DataError`` with a remedy for all else.
        """
        request = Request(  # noqa: S310 - the scheme was checked
            f"{self.place.sessions}?{urlencode(parameters)}",
            headers={"Accept": "application/json", "User-Agent": f"relhealth/{__version__}"},
        )
        request.add_header("Authorization", self._token.header())
        for attempt in range(1, _TRIES + 1):
            self._wait(self._until - time.time())
            wait = float(2**attempt) / 2
            try:
                return self._answer(request)
            except HTTPError as error:
                reason = self._fault(error)
                if error.code not in _BUSY:
                    raise self._refusal(error.code, reason) from None
                told = _told_wait(error.headers)
                wait = told if told is not None else wait
            except (OSError, HTTPException) as error:
                if isinstance(getattr(error, "reason", None), ssl.SSLCertVerificationError):
                    raise DataError(
                        f"{self.place.url}: its certificate cannot be verified"
                        f" ({_reason(error)}); set SSL_CERT_FILE to the certificate of its issuer"
                    ) from None
                reason = _reason(error)
            if attempt < _TRIES and wait <= _LONGEST_WAIT:
                self._say(f"{self.place.url}: {self._token.without(reason)}; asks again")
                self._wait(wait)
                continue
            raise DataError(
                f"{self.place.url}: {self._token.without(reason)}; what was read is kept: repeat"
                f" the command {'later' if wait <= _LONGEST_WAIT else f'in {wait:,.0f} seconds'}"
            )
        raise AssertionError("the last try returns or raises")

    def _answer(self, request: Request) -> Page:
        self.requests += 1
        ends = time.monotonic() + self._patience
        with self._opener.open(request, timeout=self._silence) as response:
            self._heed(response.headers)
            pieces, size = [], 0
            while piece := response.read1(_CHUNK):
                size += len(piece)
                if size > _MOST_BYTES:
                    raise TooLargeError
                if time.monotonic() > ends:
                    raise TimeoutError("the answer takes too long")
                pieces.append(piece)
            missing = response.length
            if missing:
                raise ConnectionError("the answer is cut off")
            return Page(b"".join(pieces), _next_cursor(response.headers.get("Link", "")))

    def _heed(self, headers: Message) -> None:
        """Note when the next request may come, if none is left until then."""
        if headers.get("X-Sentry-Rate-Limit-Remaining", "").strip() == "0":
            wait = _until_reset(headers)
            if wait is not None:
                self._until = time.time() + min(wait, _LONGEST_WAIT)

    def _wait(self, seconds: float) -> None:
        if seconds > 0:
            self._sleep(seconds)

    def _fault(self, error: HTTPError) -> str:
        """Return what Sentry says is wrong, and how it says it."""
        try:
            with error:
                body = error.read(_MOST_OF_FAULT)
        except (OSError, HTTPException):
            body = b""
        detail: object = ""
        with suppress(msgspec.MsgspecError, ValueError, RecursionError):  # a page, as of a proxy
            detail = msgspec.json.decode(body, type=_Fault).detail
        if isinstance(detail, dict):
            detail = detail.get("message", "")
        told = excerpt(self._token.without(str(detail)), 300)
        return f"HTTP {error.code}{f': {told}' if told else ''}"

    def _refusal(self, code: int, reason: str) -> DataError:
        where = f"{self.place.url}, --org {self.place.org}"
        if code == 400:  # noqa: PLR2004 - HTTP
            return RefusedError(f"{where}: {reason}")
        remedy = _REMEDIES.get(code, "expected an answer of Sentry's sessions API")
        return DataError(f"{where}: {reason}; {remedy}")


def _reason(error: BaseException) -> str:
    """Return why a request failed, in words."""
    if isinstance(error, URLError) and isinstance(error.reason, BaseException):
        error = error.reason
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return printable(error.verify_message)
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return excerpt(str(text).lower(), 200)


def _told_wait(headers: Message) -> float | None:
    """Return how many seconds an answer says to wait."""
    told = headers.get("Retry-After", "").strip()
    if told:
        seconds = _number(told)
        if seconds is not None:
            return seconds
        try:
            return max(0.0, parsedate_to_datetime(told).timestamp() - time.time())
        except (ValueError, OverflowError):
            pass
    return _until_reset(headers)


def _until_reset(headers: Message) -> float | None:
    reset = _number(headers.get("X-Sentry-Rate-Limit-Reset", ""))
    return None if reset is None else max(0.0, reset - time.time())


def _number(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if math.isfinite(found) and found >= 0 else None


def _next_cursor(link: str) -> str | None:
    """Return the cursor of the next page, if the header names one with results."""
    for found in _LINK.finditer(link):
        named = dict(_PARAMETER.findall(found[1]))
        if named.get("rel") == "next" and named.get("results") == "true":
            return named.get("cursor")
    return None
