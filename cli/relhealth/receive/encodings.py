"""Content encodings, undone with a bound on what comes out."""

import zlib
from collections.abc import Callable, Iterator

PIECE = 1 << 16
_ZSTD_WINDOW = 1 << 23  # what browsers take at most, too
_ZSTD_PIECE = 256  # of the input: its decoder has no bound on what comes out, up to 8 MiB of this


class TooLargeError(Exception):
    """There is more than the bound."""


class BadEncodingError(Exception):
    """The content is not what its encoding says."""


def plain(body: bytes, encoding: str, most: int) -> bytes:
    """Return a body without its encoding.

    Raises ``TooLargeError`` above ``most`` bytes, ``BadEncodingError`` for damage, and ``KeyError``
    for an unknown encoding.
    """
    decode = DECODERS[encoding]
    pieces, size = [], 0
    for piece in decode(body):
        size += len(piece)
        if size > most:
            raise TooLargeError
        pieces.append(piece)
    return b"".join(pieces)


def _gzip(body: bytes) -> Iterator[bytes]:
    while body:  # there can be several members
        decoder = zlib.decompressobj(zlib.MAX_WBITS | 16)
        yield from _inflated(decoder, body)
        body = decoder.unused_data


def _deflate(body: bytes) -> Iterator[bytes]:
    # With the header of zlib, as it should be, or without, as some write it.
    is_zlib = len(body) > 1 and body[0] & 15 == 8 and not int.from_bytes(body[:2]) % 31  # noqa: PLR2004
    yield from _inflated(zlib.decompressobj(zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS), body)


def _inflated(decoder: "zlib._Decompress", body: bytes) -> Iterator[bytes]:
    try:
        while not decoder.eof:
            piece = decoder.decompress(body, PIECE)
            body = decoder.unconsumed_tail
            if piece:
                yield piece
            elif not body and not decoder.eof:
                raise BadEncodingError
    except zlib.error as error:
        raise BadEncodingError from error


def _brotli(body: bytes) -> Iterator[bytes]:
    import brotli

    decoder = brotli.Decompressor()
    try:
        piece = decoder.process(body, output_buffer_limit=PIECE)
        while piece or not decoder.is_finished():
            yield piece
            more = decoder.process(b"", output_buffer_limit=PIECE)
            if not more and not decoder.is_finished():
                raise BadEncodingError
            piece = more
    except brotli.error as error:
        raise BadEncodingError from error


def _zstd(body: bytes) -> Iterator[bytes]:
    import zstandard

    try:
        while True:  # there can be several frames
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
