"""Reads compressed inputs, recognised by their first bytes, and UTF-16 as UTF-8."""

import codecs
import io
import lzma
import zlib
from collections.abc import Callable
from typing import BinaryIO, Protocol, cast

import pyarrow as pa

_CHUNK = 1 << 16
HEAD = 1 << 16  # bytes of a stream that can be peeked into
# Text as repetitive as sessions shrinks to a twentieth; much smaller data is a bomb.
_BOMB_BYTES, _BOMB_RATIO = 1 << 26, 200
_XZ_MEMORY = 1 << 28

_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ\x00": "xz",
    b"BZh": "bzip2",
    b"\x04\x22\x4d\x18": "lz4",
}
_ARROW_NAMES = {"zstd": "zstd", "bzip2": "bz2", "lz4": "lz4"}


class InputError(Exception):
    """An input cannot be read to its end: damaged, or a decompression bomb."""


def compression_of(head: bytes) -> str | None:
    """Return the compression of a stream, by its first bytes; else None."""
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)


def buffered(stream: BinaryIO | io.RawIOBase) -> io.BufferedReader:
    """Return a stream that can be peeked into."""
    return io.BufferedReader(cast("io.RawIOBase", stream), HEAD)


def plain(stream: io.BufferedReader) -> io.BufferedReader:
    """Return the stream, decompressed, and as UTF-8 if it is marked as UTF-16."""
    name = compression_of(stream.peek(HEAD))
    if name is not None:
        stream = buffered(_Decompressed(stream, name))
    head = stream.peek(HEAD)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and head[2:4] != b"\0\0":
        stream = buffered(_Transcoded(stream))
    elif head.startswith(codecs.BOM_UTF8):
        stream.read(len(codecs.BOM_UTF8))
    return stream


class _Decompressed(io.RawIOBase):
    """Decompresses, piece by piece, and stops at a decompression bomb."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._name = name
        self._given = 0
        self._taken = 0
        self._stream = stream
        self._piece = _PIECES[name](self._read, name)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        try:
            piece = self._piece(len(buffer))
        except (zlib.error, lzma.LZMAError, pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # an error of the disk
            cut = "truncated" in str(error).lower()
            raise InputError(f"{self._name} data: {'cut short' if cut else 'damaged'}") from error
        except EOFError:
            raise InputError(f"{self._name} data: cut short") from None
        self._given += len(piece)
        if self._given > _BOMB_BYTES and self._given > _BOMB_RATIO * self._taken:
            raise InputError(
                f"{self._name} data: a bomb, it grows more than {_BOMB_RATIO} times;"
                " decompress it yourself if you trust it"
            )
        buffer[: len(piece)] = piece
        return len(piece)

    def _read(self, size: int = _CHUNK) -> bytes:
        piece = self._stream.read(size)
        self._taken += len(piece)
        return piece


# Reads at most so many compressed bytes; returns none at the end.
_Read = Callable[[int], bytes]


class _Engine(Protocol):
    """Decompresses one member, like objects of zlib and lzma."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def _members(read: _Read, name: str) -> Callable[[int], bytes]:
    """Return a reader of one or more members of gzip or xz, padded by zeros."""
    engine = _engine(name)
    rest = b""

    def piece(most: int) -> bytes:
        nonlocal engine, rest
        while True:
            if engine.eof:
                rest = _behind(engine.unused_data, read)
                if not rest:
                    return b""
                engine = _engine(name)
            elif not rest:
                rest = getattr(engine, "unconsumed_tail", b"")
                if not rest and getattr(engine, "needs_input", True):
                    rest = read(_CHUNK)
                    if not rest:
                        raise EOFError
            given = engine.decompress(rest, most)
            rest = b""
            if given:
                return given

    return piece


def _behind(rest: bytes, read: _Read) -> bytes:
    """Return the bytes after a member and its padding; nothing at the end."""
    rest = rest.lstrip(b"\0")
    while not rest:
        more = read(_CHUNK)
        if not more:
            return b""
        rest = more.lstrip(b"\0")
    return rest


def _engine(name: str) -> _Engine:
    if name == "gzip":
        return zlib.decompressobj(wbits=31)
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)


def _arrow(read: _Read, name: str) -> Callable[[int], bytes]:
    """Return a reader of the bytes that Arrow decompresses, of one or more frames."""
    source = pa.PythonFile(_Source(read), mode="r")
    return cast("Callable[[int], bytes]", pa.CompressedInputStream(source, _ARROW_NAMES[name]).read)


class _Source(io.RawIOBase):
    """The stream that Arrow reads."""

    def __init__(self, read: _Read) -> None:
        self._pull = read

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._pull(size if size >= 0 else _CHUNK)


_PIECES = {
    "gzip": _members,
    "xz": _members,
    "zstd": _arrow,
    "bzip2": _arrow,
    "lz4": _arrow,
}


class _Transcoded(io.RawIOBase):
    """Reads UTF-16 with a byte order mark as UTF-8."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._decode = codecs.getincrementaldecoder("utf-16")().decode
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        while not self._rest:
            given = self._stream.read(_CHUNK)
            try:
                self._rest = self._decode(given, not given).encode()
            except UnicodeError:
                raise InputError("UTF-16 text: damaged or cut short") from None
            if not given:
                break
        piece, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)
