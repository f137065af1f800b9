"""The cache of pieces of objects: bounded, for several processes, safe at a kill.

    relhealth/objects/ab/ID.PIECE    a piece: `whole`, or the range of bytes `START-END`; ranges end
                                     with a CRC-32, that of `whole` is in `digest`
    relhealth/views/NAME/            the files of a process, which holds a lock on the folder

The ID is of the bucket, the key and the version (etag), so a piece never gets stale. Each piece is
written beside and renamed, so a piece is there completely or not at all.
"""

import fcntl
import hashlib
import os
import shutil
import tempfile
import uuid
import zlib
from collections.abc import Iterator
from contextlib import suppress

from relhealth.core.cache_folder import cache_folder
from relhealth.core.errors import OutputError
from relhealth.core.printable import printable
from relhealth.stores.limits import DEFAULT_SIZE, cache_bytes
from relhealth.stores.store import Object

_FULL = 0.9  # of the size, after the oldest pieces were removed
_NEW = ".new"
WHOLE, _OF_WHOLE = "whole", "digest"  # pieces
_DIGEST = 4  # bytes
_AT_ONCE = 1 << 20  # bytes
_ABANDONED = 86_400  # seconds after which an unfinished piece belongs to no process


class Cache:
    """Pieces of objects on this machine's disk."""

    def __init__(self, most: int) -> None:
        """Use the user's cache, of at most so many bytes after each run."""
        self._most = most
        self._root = cache_folder()
        self._grown = False
        try:
            os.makedirs(os.path.join(self._root, "objects"), mode=0o700, exist_ok=True)
            os.makedirs(os.path.join(self._root, "views"), mode=0o700, exist_ok=True)
        except OSError as error:
            raise _no_place(self._root, error) from error

    def identity(self, bucket: str, one: Object) -> str:
        """Return what tells a version of an object from all others."""
        # Without etag and time, nothing tells two versions apart: then nothing is found again.
        version = one.etag or (str(one.modified) if one.modified else uuid.uuid4().hex)
        text = "\0".join((bucket, one.key, version, str(one.size)))
        return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:40]

    def path(self, identity: str, piece: str) -> str:
        """Return where a piece is, if it is there."""
        return os.path.join(self._root, "objects", identity[:2], f"{identity}.{piece}")

    def read(self, identity: str, piece: str, size: int) -> bytes | None:
        """Return a range of bytes that is kept; ``None`` if it is not, or damaged."""
        path = self.path(identity, piece)
        try:
            with open(path, "rb") as stream:
                content = stream.read()
        except OSError:
            return None
        body = content[:-_DIGEST]
        if len(body) != size or _digest(body) != content[-_DIGEST:]:
            self.drop(identity, piece)
            return None
        self.used(path)
        return body

    def write(self, identity: str, piece: str, content: "bytes | memoryview") -> None:
        """Keep a range of bytes, with its digest."""
        descriptor, new = self.new(identity, piece)
        with open(descriptor, "wb") as stream:
            stream.write(content)
            stream.write(_digest(content))
        self.keep(new, identity, piece)

    def drop(self, identity: str, piece: str) -> None:
        """Remove a piece."""
        with suppress(OSError):
            os.unlink(self.path(identity, piece))

    def is_intact(self, identity: str) -> bool:
        """Return whether a kept object is as it was fetched."""
        digest = self.read(identity, _OF_WHOLE, _DIGEST)
        found = 0
        try:
            with open(self.path(identity, WHOLE), "rb") as stream:
                while piece := stream.read(_AT_ONCE):
                    found = zlib.crc32(piece, found)
        except OSError:
            return False
        return digest == found.to_bytes(_DIGEST, "little")

    def note_digest(self, identity: str, digest: int) -> None:
        """Keep the CRC-32 of an object, before the object itself."""
        self.write(identity, _OF_WHOLE, digest.to_bytes(_DIGEST, "little"))

    def used(self, path: str) -> None:
        """Note that a piece was used, so that others are removed before it."""
        with suppress(OSError):
            os.utime(path, ns=(_now(), os.stat(path).st_mtime_ns))

    def new(self, identity: str, piece: str) -> tuple[int, str]:
        """Return a new file for a piece, and its path; ``keep`` makes it the piece."""
        path = self.path(identity, piece)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        descriptor, new = tempfile.mkstemp(
            dir=os.path.dirname(path), prefix=f"{os.path.basename(path)}.", suffix=_NEW
        )
        return descriptor, new

    def keep(self, new: str, identity: str, piece: str) -> str:
        """Make a new file the piece; return its path."""
        path = self.path(identity, piece)
        os.replace(new, path)
        self._grown = True
        return path

    def trim(self) -> None:
        """Remove the pieces that were used longest ago, where there are too many bytes."""
        if not self._grown and self._most >= cache_bytes(DEFAULT_SIZE):
            return
        entries = []
        for entry in self._entries():
            with suppress(OSError):
                status = entry.stat()
                if not entry.name.endswith(_NEW):
                    entries.append((status.st_atime_ns, status.st_blocks * 512, entry.path))
                elif status.st_mtime_ns < _now() - _ABANDONED * 10**9:
                    os.unlink(entry.path)
        size = sum(one[1] for one in entries)
        if size <= self._most:
            return
        for _, of_piece, path in sorted(entries):
            with suppress(OSError):
                os.unlink(path)
                size -= of_piece
            if size <= self._most * _FULL:
                return

    def _entries(self) -> Iterator["os.DirEntry[str]"]:
        place = os.path.join(self._root, "objects")
        with suppress(OSError):
            for name in os.listdir(place):
                with suppress(OSError), os.scandir(os.path.join(place, name)) as found:
                    yield from found

    def view(self) -> "View":
        """Return a new folder for the files of this process."""
        return View(os.path.join(self._root, "views"))


class View:
    """A folder that belongs to one process, and goes with it."""

    def __init__(self, place: str) -> None:
        """Create it, and remove those of killed processes."""
        _sweep(place)
        try:
            self.path = tempfile.mkdtemp(dir=place)
            self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        except OSError as error:
            raise _no_place(place, error) from error

    def remove(self) -> None:
        """Remove it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def _sweep(place: str) -> None:
    """Remove the folders of processes that have ended."""
    with suppress(OSError):
        for name in os.listdir(place):
            path = os.path.join(place, name)
            with suppress(OSError):
                descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
                try:
                    # A folder that is not locked yet may be a moment old.
                    if os.fstat(descriptor).st_mtime_ns < _now() - 60 * 10**9:
                        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        shutil.rmtree(path, ignore_errors=True)
                finally:
                    os.close(descriptor)


def _digest(content: "bytes | memoryview") -> bytes:
    return zlib.crc32(content).to_bytes(_DIGEST, "little")


def _now() -> int:
    import time

    return time.time_ns()


def _no_place(path: str, error: OSError) -> OutputError:
    reason = (error.strerror or str(error)).lower()
    return OutputError(
        f"{printable(path)}: cannot keep what is fetched: {reason}; set XDG_CACHE_HOME to a folder"
        " that can be written to"
    )
