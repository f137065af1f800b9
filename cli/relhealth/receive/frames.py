"""The form of a spool file: a stream of envelopes that ``relhealth ingest`` reads as it is.

The first line is unique, so that no file has the content of another. After it come frames: a line
of headers with the project, the length and the checksum of the items that follow. A frame that a
kill or a full disk has cut is recognised and left out; nobody was told that it was received.
"""

import json
import mmap
import os
import re
import uuid
from collections.abc import Iterator
from typing import NamedTuple
from zlib import crc32

_HEADERS = re.compile(
    rb'\{"dsn":"relhealth://receiver/([0-9]{1,18})","length":([0-9]{1,10}),"crc32":([0-9]{1,10})\}\n'
)
_FIRST = re.compile(rb'\{"spool":"[0-9a-f]{32}"\}\n')


def beginning() -> bytes:
    """Return the first line of a new spool file."""
    return json.dumps({"spool": uuid.uuid4().hex}, separators=(",", ":")).encode() + b"\n"


def item(kind: str, payload: bytes) -> bytes:
    """Return an item of an envelope; without a length where its line shows its end."""
    if b"\n" not in payload:
        return b'{"type":"%s"}\n%s\n' % (kind.encode(), payload)
    return b'{"type":"%s","length":%d}\n%s\n' % (kind.encode(), len(payload), payload)


def frame(project: int, items: bytes) -> bytes:
    """Return items of one project as a frame."""
    return (
        b'{"dsn":"relhealth://receiver/%d","length":%d,"crc32":%d}\n'
        % (project, len(items), _checksum(b"%d" % project, items))
        + items
    )


class Span(NamedTuple):
    """A part of a spool file that is as it was written."""

    start: int
    end: int


def mend(descriptor: int) -> int:
    """Take damage out of a spool file; return the bytes that were taken out.

    A cut end is what a kill leaves. Damage in the middle is a disk's, and costs only its frame.
    """
    size = os.fstat(descriptor).st_size
    if not size:
        return 0
    with mmap.mmap(descriptor, size, access=mmap.ACCESS_READ) as content:
        good = list(sound(content))
        kept = sum(span.end - span.start for span in good)
        if kept == size:
            return 0
        if [span.start for span in good[:1]] != [0] or len(good) > 1:
            parts = [bytes(content[span.start : span.end]) for span in good]
            if not good or good[0].start:
                parts.insert(0, beginning())
            _rewrite(descriptor, b"".join(parts))
        else:
            os.ftruncate(descriptor, good[0].end)
    os.fsync(descriptor)
    return size - kept


def sound(content: bytes | mmap.mmap) -> Iterator[Span]:
    """Yield the sound parts of a file, as long as possible."""
    first = _FIRST.match(content)
    start = at = first.end() if first else 0
    if first:
        start = 0
    while at < len(content):
        found = _HEADERS.match(content, at)
        end = _end_of(content, found) if found else None
        if end is not None:
            at = end
            continue
        if at > start:
            yield Span(start, at)
        start = at = _next_frame(content, at + 1)
    if at > start:
        yield Span(start, at)


def _next_frame(content: bytes | mmap.mmap, at: int) -> int:
    """Return where the next sound frame begins, or the end of the content."""
    for found in _HEADERS.finditer(content, at):
        if _end_of(content, found) is not None:
            return found.start()
    return len(content)


def _end_of(content: bytes | mmap.mmap, headers: re.Match[bytes]) -> int | None:
    """Return the end of a frame; ``None`` if it is not as it was written."""
    project, length, checksum = headers.groups()
    start, end = headers.end(), headers.end() + int(length)
    if end > len(content) or _checksum(project, content[start:end]) != int(checksum):
        return None
    return end


def _checksum(project: bytes, items: bytes) -> int:
    return crc32(items, crc32(project))


def _rewrite(descriptor: int, content: bytes) -> None:
    os.ftruncate(descriptor, 0)
    at = 0
    while at < len(content):
        at += os.pwrite(descriptor, content[at:], at)
