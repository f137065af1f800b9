"""Content encodings, undone in a time that grows with the size, with a bound on what comes out."""

import zlib
from collections.abc import Callable, Generator, Iterator

PIECE = 1 << 16
_ZSTD_WINDOW = 1 << 23  # what browsers take at most, too
_ZSTD_PIECE = 256  # of the input: its decoder has no bound on what comes out, up to 8 MiB of this
_MOST_PARTS = 16  # members of gzip, or frames of zstd; encoders make one


class TooLargeError(Exception):
    """There is more than the bound."""


class BadEncodingError(Exception):
    """The content is not what its encoding says."""


def plain(body: bytes, encoding: str, most: int) -> bytes:
    """Return a body without its encoding.

    Raises ``TooLargeError`` above ``most`` bytes, ``BadEncodingError`` for damage, and ``KeyError``
    for an unknown encoding.
    """
    pieces, size = [], 0
    for piece in DECODERS[encoding](body):
        size += len(piece)
        if size > most:
            raise TooLargeError
        pieces.append(piece)
    return b"".join(pieces)


def first_line(body: bytes, encoding: str, most: int) -> bytes:
    """Return the beginning of a body: its first line, or more; raises as ``plain``."""
    found = b""
    for piece in DECODERS[encoding](body):
        found += piece
        if b"\n" in piece or len(found) > most:
            break
    return found


def _gzip(body: bytes) -> Iterator[bytes]:
    for _ in range(_MOST_PARTS):
        body = yield from _inflated(zlib.decompressobj(zlib.MAX_WBITS | 16), body)
        if not body:
            return
    raise BadEncodingError


def _deflate(body: bytes) -> Iterator[bytes]:
    # With the header of zlib, as it should be, or without, as some write it.
    is_zlib = len(body) > 1 and body[0] & 15 == 8 and not int.from_bytes(body[:2]) % 31  # noqa: PLR2004
    yield from _inflated(zlib.decompressobj(zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS), body)


def _inflated(decoder: "zlib._Decompress", body: bytes) -> Generator[bytes, None, bytes]:
    """Yield what a decoder makes of a body; return what is behind its end."""
    at, rest = 0, b""
    try:
        while not decoder.eof:
            if not rest:
                rest = body[at : at + PIECE]
                at += len(rest)
            is_last = not rest
            piece = decoder.decompress(rest, PIECE)
            rest = decoder.unconsumed_tail
            if piece:
                yield piece
            elif is_last and not decoder.eof:
                raise BadEncodingError
    except zlib.error as error:
        raise BadEncodingError from error
    return decoder.unused_data + body[at:]


def _brotli(body: bytes) -> Iterator[bytes]:
    import brotli

    decoder = brotli.Decompressor()
    try:
        for at in range(0, len(body), PIECE):
            piece = decoder.process(body[at : at + PIECE], output_buffer_limit=PIECE)
            while piece:
                yield piece
                piece = decoder.process(b"", output_buffer_limit=PIECE)
    except brotli.error as error:
        raise BadEncodingError from error
    if not decoder.is_finished():
        raise BadEncodingError


def _zstd(body: bytes) -> Iterator[bytes]:
    import zstandard

    try:
        for _ in range(_MOST_PARTS):
            decoder = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()
            for at in range(0, len(body), _ZSTD_PIECE):
                if piece := decoder.decompress(body[at : at + _ZSTD_PIECE]):
                    yield piece
                if decoder.eof:
                    body = decoder.unused_data + body[at + _ZSTD_PIECE :]
                    break
            else:
                raise BadEncodingError
            if not body:
                return
    except zstandard.ZstdError as error:
        raise BadEncodingError from error
    raise BadEncodingError


def _identity(body: bytes) -> Iterator[bytes]:
    yield body


DECODERS: dict[str, Callable[[bytes], Iterator[bytes]]] = {
    "": _identity,
    "identity": _identity,
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
