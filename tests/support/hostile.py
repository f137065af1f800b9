"""Damaged and hostile requests: what each is, its bytes, and the codes that answer it."""

from __future__ import annotations

import gzip
import json
import random
import zlib
from typing import TYPE_CHECKING, NamedTuple

import brotli
import zstandard

from receivers import KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GOOD = (
    b'{}\n{"type":"session"}\n'
    + json.dumps(
        {"sid": "a" * 32, "init": True, "started": "2026-11-20T10:00:00Z", "status": "exited"}
    ).encode()
)
NOTHING = 0  # the connection is closed without an answer
PACKERS: dict[bytes, Callable[[bytes], bytes]] = {
    b"gzip": gzip.compress,
    b"deflate": zlib.compress,
    b"br": lambda body: bytes(brotli.compress(body, quality=1)),
    b"zstd": lambda body: zstandard.ZstdCompressor().compress(body),
}


class Attack(NamedTuple):
    """A request as bytes, and the statuses that are right answers."""

    name: str
    sent: bytes
    right: frozenset[int]


def request(
    body: bytes,
    *headers: bytes,
    path: bytes = b"/api/1/envelope/",
    method: bytes = b"POST",
    length: bytes | None = None,
) -> bytes:
    """Return a request with the key, unless the path is another's."""
    length = b"%d" % len(body) if length is None else length
    lines = [b"%s %s HTTP/1.1" % (method, path), b"Host: a", *headers]
    lines += [b"X-Sentry-Auth: Sentry sentry_key=%s" % KEY.encode(), b"Connection: close"]
    if length:
        lines.append(b"Content-Length: " + length)
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def flipped(chance: random.Random, body: bytes) -> bytes:
    """Return bytes with some of them changed, cut, repeated or taken out."""
    made = bytearray(body)
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(made) + 1)
        match chance.randrange(4):
            case 0:
                del made[at : at + chance.randint(1, 20)]
            case 1:
                made[at:at] = chance.randbytes(chance.randint(1, 20))
            case 2:
                made[at : at + 1] = bytes([chance.randrange(256)])
            case 3:
                made[at:at] = made[max(0, at - 30) : at]
    return bytes(made)


def attacks(seed: int) -> Iterator[Attack]:  # noqa: C901, PLR0912, PLR0915 - kinds
    """Yield one attack after another, without an end."""
    chance = random.Random(seed)
    any_code = frozenset({200, 400, 401, 403, 404, 405, 408, 413, 415, 431, NOTHING})

    def taken(*codes: int) -> frozenset[int]:
        return frozenset(codes)

    bombs = {name: pack(b"{}\n" + b"\n" * 8_000_000) for name, pack in PACKERS.items()}
    paths = [
        b"/api/../../../../etc/passwd", b"/api/1/envelope/../../../etc/passwd",
        b"/api/..%2f..%2fetc/envelope/", b"/api/%00/envelope/", b"/api/1%00/envelope/",
        b"/api/_spool/envelope/", b"//etc/passwd", b"/api/" + b"1" * 30 + b"/envelope/",
        b"/api/1/envelope/%2e%2e/%2e%2e/x", b"/\xff\xfe", b"/api/\xd9\xa1/envelope/", b"*",
        b"http://elsewhere/api/x/envelope/", b"/api/1;/envelope/", b"/api/1 2/envelope/",
    ]  # fmt: skip
    while True:
        kind = chance.randrange(19)
        encoding = chance.choice(list(PACKERS))
        packed = PACKERS[encoding](GOOD)
        head = b"Content-Encoding: " + encoding
        match kind:
            case 0:
                yield Attack("bomb", request(bombs[encoding], head), taken(413))
            case 1:
                yield Attack("damaged packing", request(flipped(chance, packed), head), any_code)
            case 2:
                wrong = chance.choice([one for one in PACKERS if one != encoding])
                sent = request(packed, b"Content-Encoding: " + wrong)
                yield Attack("wrong encoding", sent, taken(400))
            case 3:
                depth = chance.choice([10, 1_000, 20_000, 400_000])
                opened = chance.choice([b"[", b'{"a":'])
                body = b'{}\n{"type":"session"}\n' + opened * depth
                yield Attack("deep nesting", request(body), taken(200))
            case 4:
                body = b'{"a":' + b"[" * chance.randint(1, 60_000)
                yield Attack("deep headers", request(body), taken(400))
            case 5:
                short = b"%d" % (len(GOOD) + chance.randint(1, 10**6))
                yield Attack("cut body", request(GOOD, length=short), taken(NOTHING, 400, 408))
            case 6:
                length = chance.choice([b"-1", b"1e3", b"0x10", b"1,2", b"9" * 30, b"abc"])
                yield Attack("bad length", request(GOOD, length=length), taken(400, 413))
            case 7:
                length = b"%d" % chance.randint(10**7, 2**62)
                yield Attack("huge length", request(GOOD, length=length), taken(413))
            case 8:
                path = chance.choice(paths)
                yield Attack("path", request(GOOD, path=path), taken(400, 404))
            case 9:
                flood = [b"X-%d: %s" % (n, b"a" * chance.randint(0, 300)) for n in range(300)]
                yield Attack("header flood", request(GOOD, *flood), taken(431))
            case 10:
                yield Attack("long header", request(GOOD, b"X: " + b"a" * 100_000), taken(431))
            case 11:
                yield Attack("long path", request(GOOD, path=b"/" + b"a" * 50_000), taken(431, 400))
            case 12:
                chunks = b"".join(b"%x\r\n%s\r\n" % (1, GOOD[n : n + 1]) for n in range(len(GOOD)))
                end = chance.choice([b"0\r\n\r\n", b"zz\r\n", b"fffffffffffffffff\r\n", b""])
                sent = request(chunks + end, b"Transfer-Encoding: chunked", length=b"")
                right = taken(200) if end == b"0\r\n\r\n" else taken(400, NOTHING)
                yield Attack("chunks", sent, right)
            case 13:
                yield Attack("damaged envelope", request(flipped(chance, GOOD)), any_code)
            case 14:
                yield Attack("noise", chance.randbytes(chance.randint(1, 3_000)), any_code)
            case 15:
                yield Attack("damaged request", flipped(chance, request(GOOD)), any_code)
            case 16:
                several = chance.choice([b"gzip", b"zstd"])
                body = PACKERS[several](b"") * chance.choice([20, 1_000, 100_000])
                sent = request(body, b"Content-Encoding: " + several)
                yield Attack("many parts", sent, taken(400))
            case 17:
                sent = request(b"{}" + b"\n" * chance.randint(1_002, 4_000_000))
                yield Attack("empty lines", sent, taken(413))
            case 18:
                path = chance.choice([b"/health", b"/metrics", b"/api/1/envelope/"])
                sent = request(b"", path=path, method=b"HEAD")
                yield Attack("HEAD", sent, taken(200, 405))


def status_of(answer: bytes) -> int:
    """Return the status of an answer; 0 if there is none."""
    return int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else NOTHING
