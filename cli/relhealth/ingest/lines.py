"""Lines and blocks of bounded size from a stream of bytes."""

from collections.abc import Iterator
from typing import BinaryIO

MOST_BYTES = 1 << 20  # of a line or an item that is kept; Sentry takes no larger session items
_CHUNK = 1 << 20


class TooLongError(Exception):
    """A line or item is longer than is taken; it was skipped."""

    def __init__(self, what: str, beginning: bytes) -> None:
        """Keep the beginning, to tell which it was."""
        super().__init__(f"{what} longer than {MOST_BYTES:,} bytes")
        self.beginning = beginning[:200]


class Lines:
    """Reads a stream by lines and by lengths, and never holds more than a few chunks of it.

    Iterating yields lines without their newlines; one that is too long comes cut, a byte longer
    than ``MOST_BYTES``. Reading goes on where iterating is, and the other way round.
    """

    def __init__(self, stream: BinaryIO) -> None:
        """Read from where the stream stands."""
        self._rest: bytes | None = None  # of a line that a block ended in
        self._dropped = 0  # bytes of the line just read that are not in it
        self._behind = -1  # bytes, less one, of the block that the stream ended in
        self.ends_a_line = True  # what was read ends with a line end
        self._pieces = self._split(stream)

    def __iter__(self) -> Iterator[bytes]:
        """Return the iterator that all reading shares."""
        return self._pieces

    def read(self) -> bytes | None:
        """Return the next line without its end; ``None`` at the end of the stream.

        Raises ``TooLongError`` for a line of more than ``MOST_BYTES``; the next call goes on
        behind it.
        """
        line = next(self._pieces, None)
        if line is None:
            return None
        if len(line) > MOST_BYTES:
            raise TooLongError("line", line)
        return line.removesuffix(b"\r")

    def exactly(self, length: int) -> bytes | None:
        """Return a block of that length, past the line end behind it; ``None`` if cut short.

        Raises ``TooLongError`` for a length of more than ``MOST_BYTES``; the next call goes on
        behind the block.
        """
        parts: list[bytes] = []
        line, size, held = b"", -1, 0
        while size < length:
            try:
                line = next(self._pieces)
            except StopIteration:
                self._behind = size
                return b"" if length == 0 else None
            size += 1 + len(line) + self._dropped
            if held <= MOST_BYTES:
                parts.append(line)
                held += len(line)
        self._keep(line, size - length)
        block = b"\n".join(parts)[:length]
        if length > MOST_BYTES:
            raise TooLongError("item", block)
        return block

    def skip(self, length: int | None) -> bool:
        """Pass over a block of that length, or the next line where there is none.

        Returns whether it was all there.
        """
        if length is None:
            return next(self._pieces, None) is not None
        line, size = b"", -1
        while size < length:
            try:
                line = next(self._pieces)
            except StopIteration:
                self._behind = size
                return length == 0
            size += 1 + len(line) + self._dropped
        self._keep(line, size - length)
        return True

    def cut_bytes(self, header: bytes) -> int:
        """Return how many bytes the stream ends in of an item that is cut, with its header line."""
        behind = self._behind + self.ends_a_line if self._behind >= 0 else 0
        return len(header) + (self._behind >= 0 or self.ends_a_line) + behind

    def _keep(self, line: bytes, behind: int) -> None:
        """Give the last bytes of a line to whoever reads next; a line end is none."""
        if behind > 0:
            self._rest = line if self._dropped else line[-behind:].removesuffix(b"\r") or None

    def _split(self, stream: BinaryIO) -> Iterator[bytes]:
        beginning = b""
        dropped = 0
        while chunk := stream.read(_CHUNK):
            self.ends_a_line = chunk.endswith(b"\n")
            first, *lines = chunk.split(b"\n")
            beginning += first
            if len(beginning) > MOST_BYTES:
                dropped += len(beginning) - MOST_BYTES - 1
                beginning = beginning[: MOST_BYTES + 1]
            if lines:
                yield from self._whole(beginning, dropped)
                beginning, dropped = lines.pop(), 0
                for line in lines:
                    yield line
                    if self._rest is not None:
                        yield from self._whole()
        if beginning:
            yield from self._whole(beginning, dropped)

    def _whole(self, line: bytes | None = None, dropped: int = 0) -> Iterator[bytes]:
        """Yield a line, of which some bytes were dropped, and what blocks leave of it."""
        if line is not None:
            self._dropped = dropped
            yield line
            self._dropped = 0
        while self._rest is not None:
            rest, self._rest = self._rest, None
            yield rest
