"""The decompressed content of an input: its digest, and how much of it is known."""

import hashlib
import io
from collections.abc import Callable, Sequence
from typing import BinaryIO, NamedTuple

from relhealth.ingest.entries import HEAD_BYTES, Candidate, Entry, Old, digest_of

_CHUNK = 1 << 20
_LINE_END = 2  # bytes at most
_LINE_ENDS = (b"\n", b"\r")


class Digest:
    """Works out, piece by piece, the digest and size of content, and where its last line begins."""

    def __init__(self) -> None:
        """Start without content."""
        self._hash = hashlib.blake2b(digest_size=16)
        self._head = b""
        self._tail = b""  # the last bytes, which can be a line end
        self.size = 0
        self.last_line = 0
        self.line_before = 0  # where the line before that begins

    def update(self, piece: bytes | memoryview) -> None:
        """Add the next piece."""
        piece = bytes(piece)
        if len(piece) < _LINE_END:
            held = self._tail + piece
            self._hash.update(held[:-_LINE_END])
            self._tail = held[-_LINE_END:]
        else:
            self._hash.update(self._tail)
            self._hash.update(memoryview(piece)[:-_LINE_END])
            self._tail = piece[-_LINE_END:]
        if len(self._head) < HEAD_BYTES:
            self._head += piece[: HEAD_BYTES - len(self._head)]
        end = piece.rfind(b"\n")
        if end >= 0:
            before = piece.rfind(b"\n", 0, end)
            self.line_before = self.last_line if before < 0 else self.size + before + 1
            self.last_line = self.size + end + 1
        self.size += len(piece)

    def hexdigest(self) -> str:
        """Return the digest of the content so far."""
        return self._with(self._tail)

    def without_last_line_end(self) -> tuple[int, str]:
        """Return the size and digest of the content so far, without a line end at its end."""
        tail = self._tail
        if tail.endswith(b"\n"):
            tail = tail[:-1].removesuffix(b"\r")
        return self.size - len(self._tail) + len(tail), self._with(tail)

    def _with(self, tail: bytes) -> str:
        digest = self._hash.copy()
        digest.update(tail)
        return digest.hexdigest()

    def head(self, size: int) -> str:
        """Return the digest of the first bytes of content of that size."""
        return digest_of(self._head[:size])


class Hashing(io.RawIOBase):
    """Passes content on, and computes its digest."""

    def __init__(self, stream: BinaryIO, digest: Digest) -> None:
        """Read from where the stream is."""
        self._stream = stream
        self._digest = digest

    def readable(self) -> bool:
        """Return true."""
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        """Read, and add to the digest."""
        piece = self._stream.read(len(buffer))
        buffer[: len(piece)] = piece
        self._digest.update(piece)
        return len(piece)


class Chained(io.RawIOBase):
    """A stream whose first bytes have already been read."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        """Read the head, then the rest."""
        self._head = head
        self._rest = rest

    def readable(self) -> bool:
        """Return true."""
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        """Read."""
        piece = self._head[: len(buffer)] or self._rest.read(len(buffer))
        self._head = self._head[len(piece) :]
        buffer[: len(piece)] = piece
        return len(piece)


def digest_file(file: BinaryIO, size: int, stopped: Callable[[], bool] = lambda: False) -> Digest:
    """Return the digest of a file's first ``size`` bytes, or of fewer if stopped."""
    digest = Digest()
    while not stopped() and (piece := file.read(min(_CHUNK, size - digest.size))):
        digest.update(piece)
    return digest


class Standing(NamedTuple):
    """How much of an input is known: all (``entry``, no ``resume``), a beginning, or nothing."""

    digest: Digest | None  # of its full content, if that had to be read
    entry: Entry | Old | None
    resume: int | None = None  # where the new content begins
    cut: bool = False  # in the middle of a line


def stand(stream: BinaryIO, candidates: Sequence[Candidate]) -> Standing:
    """Find the input with this content, or that has grown to it; read the stream to its end.

    If the known content ends within a line, that line is read again.
    """
    ends: dict[int, list[Candidate]] = {}
    for candidate in candidates:
        ends.setdefault(candidate.content.size, []).append(candidate)
    digest = Digest()
    found: Candidate | None = None  # the longest known beginning
    resume: int | None = None
    cut = False
    marks = sorted(ends)
    while True:
        end = next((mark for mark in marks if mark > digest.size), None)
        piece = stream.read(_CHUNK if end is None else min(_CHUNK, end - digest.size))
        if not piece:
            return Standing(digest, found.entry if found else None, resume, cut)
        if found is not None and resume is None:  # the first piece after it
            known = found.content
            cut = known.resume < known.size and not piece.startswith(_LINE_ENDS)
            resume = known.resume if cut else known.size
        digest.update(piece)
        if digest.size in ends:
            so_far = digest.hexdigest()
            for candidate in ends[digest.size]:
                if candidate.content.digest == so_far:
                    found, resume, cut = candidate, None, False
