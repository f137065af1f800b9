"""Lines and blocks of bounded size from a stream of bytes."""

from collections.abc import Iterator
from typing import BinaryIO

MOST_BYTES = 1 << 20  # of a line or an item; Sentry accepts no larger session items
_CHUNK = 1 << 20


class TooLongError(Exception):
    """A line or item was too long; it was skipped."""

    def __init__(self, what: str, beginning: bytes) -> None:
        """Keep the beginning, to identify it."""
        super().__init__(f"{what} longer than {MOST_BYTES:,} bytes")
        self.beginning = beginning[:200]


class Lines:
    """Reads a stream by lines and by lengths, with only a few chunks in memory.

    Iteration yields lines without their newlines; it cuts a line that is too long one byte after
    ``MOST_BYTES``. Reading continues where iteration is, and the other way round.
    """

    def __init__(self, stream: BinaryIO) -> None:
        """Read from the current position of the stream."""
        self._rest: bytes | None = None  # the rest of a line after a block
        self._dropped = 0  # dropped bytes of the last line
        self._behind = -1  # bytes, minus one, of an incomplete block at the end
        self._at_hand: list[bytes] = []  # the complete lines of the last chunk
        self._taken = 0  # of these
        self.ends_a_line = True  # the last bytes were a line end
        self._pieces = self._split(stream)

    def __iter__(self) -> Iterator[bytes]:
        """Return the iterator that all methods share."""
        return self._pieces

    def read(self) -> bytes | None:
        """Return the next line without its end; ``None`` at the end of the stream.

        Raises ``TooLongError`` for a line of more than ``MOST_BYTES``; the next call continues
        behind it.
        """
        line = next(self._pieces, None)
        if line is None:
            return None
        if len(line) > MOST_BYTES:
            raise TooLongError("line", line)
        return line.removesuffix(b"\r")

    def after_each(self, line: bytes) -> list[bytes]:
        """Return the lines after each repetition of a line, as many as alternate at hand.

        That is faster than to read them one at a time.
        """
        if self._rest is not None:
            return []
        ahead = self._at_hand[self._taken :]
        repeated = ahead[: len(ahead) // 2 * 2 : 2]
        if repeated.count(line) < len(repeated):
            others = (number for number, one in enumerate(repeated) if one != line)
            repeated = repeated[: next(others)]
        self._taken += 2 * len(repeated)
        return [one.removesuffix(b"\r") for one in ahead[1 : 2 * len(repeated) : 2]]

    def exactly(self, length: int) -> bytes | None:
        """Return a block of a length, and skip the line end after it; ``None`` if incomplete.

        Raises ``TooLongError`` for a length of more than ``MOST_BYTES``; the next call continues
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
        """Skip a block of a length, or the next line if there is none.

        Returns whether it was complete.
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
        """Return the bytes of an incomplete item at the end of the stream, with its header line."""
        behind = self._behind + self.ends_a_line if self._behind >= 0 else 0
        return len(header) + (self._behind >= 0 or self.ends_a_line) + behind

    def _keep(self, line: bytes, behind: int) -> None:
        """Return the rest of a line to the next reader; a line end is no rest."""
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
                yield from self._lines_after(beginning, dropped)
                beginning, dropped = lines.pop(), 0
                self._at_hand, self._taken = lines, 0
                while self._taken < len(lines):
                    self._taken += 1
                    yield lines[self._taken - 1]
                    if self._rest is not None:
                        yield from self._lines_after()
        if beginning:
            yield from self._lines_after(beginning, dropped)

    def _lines_after(self, line: bytes | None = None, dropped: int = 0) -> Iterator[bytes]:
        """Yield a line, some bytes of which were dropped, and the rests after blocks."""
        if line is not None:
            self._dropped = dropped
            yield line
            self._dropped = 0
        while self._rest is not None:
            rest, self._rest = self._rest, None
            yield rest
