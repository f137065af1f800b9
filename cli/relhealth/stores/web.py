"""One file of a web server, by ranges of bytes where the server has them."""

import http.client
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from email.message import Message
from email.utils import parsedate_to_datetime
from functools import cache
from typing import NamedTuple
from urllib.parse import quote

from relhealth.core.errors import DataError
from relhealth.stores.addresses import Address
from relhealth.stores.store import RETRIES, TIMEOUT, Object, changed, refused

_AGAIN = {429, 500, 502, 503, 504}
_ABSENT = {404, 410}
_DENIED = {401, 403, 407}
_PART = 206
_ANSWERS = {200, _PART, 416}
_MOST = 1 << 50  # bytes of a file
_FAULTS = 400  # and above
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class _Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    content: bytes


class Web:
    """A web server. It lists nothing, so that a source names one file."""

    def __init__(self, address: Address) -> None:
        """Ask nothing yet."""
        self._address = address
        self.identity = address.bucket

    def objects(self, prefix: str) -> Iterator[Object]:  # noqa: ARG002 - the interface's
        """Yield nothing."""
        yield from ()

    def head(self, key: str) -> Object | None:
        """Return a file; ``None`` if there is none."""
        # Many servers refuse HEAD, above all those of signed addresses: ask for a byte instead.
        found = self._asked(key, {"Range": "bytes=0-0"})
        if found.status in _ABSENT:
            return None
        span = _RANGE.match(found.headers.get("content-range", ""))
        size = int(span[3]) if span else len(found.content)
        if size > _MOST:
            raise refused(self._address.uri(key), f"a size of {size:,} bytes", "check the address")
        return Object(key, size, found.headers.get("etag", ""), _modified(found.headers))

    def read(self, one: Object, start: int, end: int) -> bytes:
        """Return a range of a file's bytes; raises ``ChangedError`` if it has changed."""
        found = self._asked(one.key, {"Range": f"bytes={start}-{end - 1}"})
        content = found.content if found.status == _PART else found.content[start:end]
        span = _RANGE.match(found.headers.get("content-range", ""))
        size = int(span[3]) if span else len(found.content)
        same = found.headers.get("etag", "") == one.etag and size == one.size
        same &= span is None or (int(span[1]), int(span[2])) == (start, end - 1)
        if found.status >= _FAULTS or not same or len(content) != end - start:
            raise changed(self._address.uri(one.key))
        return content

    def _asked(self, key: str, headers: dict[str, str]) -> _Answer:
        uri = self._address.uri(quote(key, safe="/?&=%:@+,;~!$'()*#"))
        error: DataError | None = None
        for attempt in range(RETRIES + 1):
            if attempt:
                time.sleep(0.1 * 2**attempt)
            try:
                found = _fetched(uri, headers)
            except (OSError, http.client.HTTPException, ValueError) as fault:
                reason = getattr(fault, "reason", None) or fault
                error = refused(
                    uri, f"the server does not answer ({reason})", "check address and network"
                )
                continue
            if found.status in _DENIED:
                raise refused(
                    uri, f"access denied ({found.status})", "check the address, or sign it anew"
                )
            if found.status not in _AGAIN:
                if found.status not in _ANSWERS and found.status not in _ABSENT:
                    raise refused(uri, f"the server refused ({found.status})", "check the address")
                return found
            error = refused(uri, f"the server refused ({found.status})", "try again later")
        assert error is not None
        raise error


def _fetched(uri: str, headers: dict[str, str]) -> _Answer:
    request = urllib.request.Request(uri, headers=headers)  # noqa: S310 - address_of checked it
    try:
        with _opener().open(request, timeout=TIMEOUT) as answer:
            return _Answer(answer.status, _by_name(answer.headers), answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return _Answer(error.code, _by_name(error.headers), error.read())


@cache
def _opener() -> urllib.request.OpenerDirector:
    """Return what asks servers of the web, and follows redirects to no others."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener


def _by_name(headers: Message) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _modified(headers: Mapping[str, str]) -> float:
    try:
        return parsedate_to_datetime(headers["last-modified"]).timestamp()
    except (KeyError, TypeError, ValueError):
        return 0.0
