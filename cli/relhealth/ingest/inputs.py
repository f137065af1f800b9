"""Inputs: which files there are to ingest, and what is in each."""

import hashlib
import io
import os
import threading
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from relhealth.errors import DataError, QuestionError
from relhealth.ingest.kinds import Kind
from relhealth.printable import printable

STDIN = "-"

_HEAD = 1 << 16  # bytes that tell what an input is
_CHUNK = 1 << 16
_DIGESTED = 1 << 20  # bytes at once
# Text as repetitive as sessions shrinks to a twentieth; what shrinks to less is made to explode.
_BOMB_BYTES, _BOMB_RATIO = 1 << 26, 200


class InputError(Exception):
    """An input cannot be read to its end: damaged, or a decompression bomb."""


def find(named: Sequence[str]) -> list[str]:
    """Return the files of the named inputs, each once, directories read recursively.

    ``-`` is standard input, and stands alone. Raises ``DataError`` with a line for each that
    cannot be found, ``QuestionError`` where none is named.
    """
    if not named:
        raise QuestionError("no input: name files or directories, or - for standard input")
    if STDIN in named:
        if len(named) > 1:
            raise QuestionError("- (standard input) stands alone: ingest files by another call")
        return [STDIN]
    found: dict[str, None] = {}
    faults = []
    for name in named:
        if os.path.isdir(name):
            files = [
                os.path.join(folder, file)
                for folder, folders, files in os.walk(name)
                for file in sorted(files)
                if not file.startswith(".") and not _drop_hidden(folders)
            ]
            if not files:
                faults.append(f"{printable(name)}: no file in this directory")
            found.update(dict.fromkeys(files))
        elif os.path.exists(name):
            found[name] = None
        else:
            faults.append(f"{printable(name)}: no such file or directory")
    if faults:
        raise DataError(faults)
    return list(found)


def _drop_hidden(folders: list[str]) -> bool:
    folders[:] = sorted(folder for folder in folders if not folder.startswith("."))
    return False


def digest_of(path: str, stopped: threading.Event) -> str:
    """Return the digest of a file's bytes: BLAKE2b of 16 bytes, in hex; of a part once stopped."""
    digest = hashlib.blake2b(digest_size=16)
    with Path(path).open("rb", buffering=0) as stream:
        while not stopped.is_set() and (piece := stream.read(_DIGESTED)):
            digest.update(piece)
    return digest.hexdigest()


class Watched(io.RawIOBase):
    """Passes a stream on, and tells how many bytes of it were read."""

    def __init__(self, stream: BinaryIO, watch: Callable[[int], None]) -> None:
        """Read from where the stream stands; ``watch`` is called at every read."""
        self._stream = stream
        self._watch = watch
        self.size = 0  # bytes read

    def readable(self) -> bool:
        """Return true."""
        return True

    def seekable(self) -> bool:
        """Tell whether the stream is; tables of Parquet must be."""
        return self._stream.seekable()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move in the stream."""
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        """Return where the stream stands."""
        return self._stream.tell()

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        """Read, and tell of it."""
        piece = self._stream.read(len(buffer))
        buffer[: len(piece)] = piece
        self.size += len(piece)
        self._watch(self.size)
        return len(piece)


class Hashing(Watched):
    """A watched stream that takes the digest of what is read; it cannot be moved in."""

    def __init__(self, stream: BinaryIO, watch: Callable[[int], None]) -> None:
        """Read from where the stream stands."""
        super().__init__(stream, watch)
        self._digest = hashlib.blake2b(digest_size=16)

    def seekable(self) -> bool:
        """Return false."""
        return False

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        """Read, and take the digest of what was read."""
        count = super().readinto(buffer)
        self._digest.update(buffer[:count])
        return count

    def hexdigest(self) -> str:
        """Return the digest of all that was read."""
        return self._digest.hexdigest()


def buffered(stream: BinaryIO | io.RawIOBase) -> io.BufferedReader:
    """Return a stream that can be peeked into."""
    return io.BufferedReader(cast("io.RawIOBase", stream), _HEAD)


def plain(stream: io.BufferedReader) -> io.BufferedReader:
    """Return the stream, decompressed if it is gzip."""
    return buffered(_Gunzip(stream)) if stream.peek(2)[:2] == b"\x1f\x8b" else stream


class _Gunzip(io.RawIOBase):
    """Decompresses, piece by piece, and stops at a decompression bomb."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._engine = zlib.decompressobj(wbits=31)
        self._taken = 0
        self._given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        while True:
            piece = self._piece(len(buffer))
            if piece is not None:
                buffer[: len(piece)] = piece
                return len(piece)

    def _piece(self, most: int) -> bytes | None:
        """Return some bytes, none at the end, ``None`` to be asked again."""
        if self._engine.eof:
            rest = self._engine.unused_data.lstrip(b"\0") or self._stream.read(_CHUNK).lstrip(b"\0")
            if not rest:
                return b""
            self._engine = zlib.decompressobj(wbits=31)
        else:
            rest = self._engine.unconsumed_tail
            if not rest:
                rest = self._stream.read(_CHUNK)
                if not rest:
                    raise InputError("gzip data: cut short")
                self._taken += len(rest)
        try:
            piece = self._engine.decompress(rest, most)
        except zlib.error as error:
            raise InputError(f"gzip data: {error}") from error
        self._given += len(piece)
        if self._given > _BOMB_BYTES and self._given > _BOMB_RATIO * self._taken:
            raise InputError(f"gzip data: a bomb, it grows more than {_BOMB_RATIO} times")
        return piece or None


def recognise(stream: io.BufferedReader) -> Kind | None:
    """Tell from the beginning of a stream what it holds; ``None`` for what is none of the kinds.

    The stream is left where what it holds begins.
    """
    head = stream.peek(_HEAD)
    while head.isspace():
        stream.read(len(head))
        head = stream.peek(_HEAD)
    if head.startswith(b"PAR1"):
        return Kind.PARQUET
    lines = [line for line in head.split(b"\n")[:50] if line.strip()]
    if not lines:
        return None
    first = _object(lines[0])
    if first is None:
        looks_like_csv = b"," in lines[0] and not lines[0].lstrip().startswith((b"{", b"["))
        return Kind.CSV if looks_like_csv else None
    if {"name", "type", "value"} <= first.keys():
        return Kind.BUCKETS
    second = (_object(lines[1]) if len(lines) > 1 else None) or {}
    of_envelope = {"type", "dsn", "sent_at", "event_id", "sdk"} & first.keys()
    if not first or of_envelope or "type" in second:
        return Kind.ENVELOPES
    return Kind.JSONL


def _object(line: bytes) -> dict[str, object] | None:
    try:
        found = msgspec.json.decode(line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
