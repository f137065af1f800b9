"""The spool: what was received, on disk before anybody is told so.

Each receiver appends to a file of its own, which it holds by a lock that ends with the process.
Requests that wait at the same time share one sync to disk. ``DATASET/_spool`` is for its owner
only, since it has the items as they were sent, with their users, until the next ingest.
"""

import asyncio
import errno
import fcntl
import os
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from relhealth.core.errors import OutputError
from relhealth.core.printable import printable
from relhealth.datasets.ledger import SPOOL
from relhealth.machine import durable
from relhealth.receive import frames

SUFFIX = ".envelopes"
_NEW = ".new"
_GROUP_SECONDS = 0.02  # between two syncs, while requests wait


class FullError(Exception):
    """The spool cannot take more; the message says why."""


class _Waiting(NamedTuple):
    project: int
    items: bytes
    written: "asyncio.Future[None]"


class Spool:
    """The spool of one receiver. All methods are for the thread of its event loop."""

    def __init__(self, dataset: Path, most_bytes: int) -> None:
        """Create the folder; raises ``OutputError`` if that is not possible."""
        self.folder = dataset / SPOOL
        self._most_bytes = most_bytes
        try:
            self._make_folder()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise OutputError(f"{printable(str(self.folder))}: {reason}") from error
        self._loop = asyncio.get_running_loop()
        self._waiting: list[_Waiting] = []
        self._awake = threading.Condition()
        self._ends = False
        self._file: _File | None = None
        self._writing = threading.Lock()  # held while the file is written or changed
        self._others = 0  # bytes of files other than the current one
        self.syncs = 0
        self.failed: OSError | None = None  # the last write, if it failed
        self.measure()
        self._thread = threading.Thread(target=self._write_groups, name="spool", daemon=True)
        self._thread.start()

    @property
    def size(self) -> int:
        """The bytes on disk, as known since the last ``measure``."""
        file = self._file
        return self._others + (file.size if file else 0)

    @property
    def is_full(self) -> bool:
        """Whether the limit is reached."""
        return self.size >= self._most_bytes

    def _make_folder(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        durable.sync(self.folder.parent)

    def measure(self) -> None:
        """Measure the files of all receivers."""
        own = self._file.path.name if self._file else None
        sizes = 0
        try:
            entries = list(os.scandir(self.folder))
        except FileNotFoundError:  # somebody removed the data set
            entries = []
        for entry in entries:
            if entry.name != own:
                with suppress(FileNotFoundError):  # ingested meanwhile
                    sizes += entry.stat().st_size
        self._others = sizes

    async def add(self, project: int, items: bytes) -> None:
        """Return when items are on disk; raises ``FullError`` if they cannot be."""
        if self.is_full:
            raise FullError(
                f"{self.folder}: {self.size:,} bytes wait for an ingest, and --max-spool is"
                f" {self._most_bytes:,}"
            )
        written = self._loop.create_future()
        with self._awake:
            self._waiting.append(_Waiting(project, items, written))
            self._awake.notify()
        await written

    async def rotate(self) -> None:
        """End the current file, so that it can be ingested."""
        await self._loop.run_in_executor(None, self._end_file)
        self.measure()

    async def close(self) -> None:
        """End the current file, and write no more."""
        with self._awake:
            self._ends = True
            self._awake.notify()
        await self._loop.run_in_executor(None, self._thread.join)
        await self.rotate()

    def _end_file(self) -> None:
        with self._writing:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _write_groups(self) -> None:
        last = 0.0
        while True:
            with self._awake:
                while not self._waiting and not self._ends:
                    self._awake.wait()
                if not self._waiting:
                    return
            time.sleep(max(0.0, last + _GROUP_SECONDS - time.monotonic()))
            last = time.monotonic()
            with self._awake:
                group, self._waiting = self._waiting, []
            try:
                with self._writing:
                    self._write(group)
                error = None
            except OSError as caught:
                error = caught
            self.failed = error
            with suppress(RuntimeError):  # the loop has ended, and nobody waits
                self._loop.call_soon_threadsafe(_tell, group, error, self.folder)

    def _write(self, group: Sequence[_Waiting]) -> None:
        by_project = defaultdict(list)
        for one in group:
            by_project[one.project].append(one.items)
        content = b"".join(
            frames.frame(each, b"".join(items)) for each, items in by_project.items()
        )
        if self._file is not None and self._file.is_removed:
            self._file.close()
            self._file = None
        if self._file is None:
            self._make_folder()
            self._file = _File(self.folder)
        try:
            self._file.append(content)
            if self._file.is_removed:  # before anybody is told that it is on disk
                raise FileNotFoundError(errno.ENOENT, "somebody removed it", str(self.folder))
        except OSError:
            self._file.close()  # what a failed sync has left in it is not known
            self._others += self._file.size
            self._file = None
            raise
        self.syncs += 1


def _tell(group: Sequence[_Waiting], error: OSError | None, folder: Path) -> None:
    for one in group:
        if one.written.done():  # its client has gone
            continue
        if error is None:
            one.written.set_result(None)
        else:
            reason = (error.strerror or str(error)).lower()
            one.written.set_exception(FullError(f"{error.filename or folder}: {reason}"))


class _File:
    """The file to which a receiver appends, with its lock."""

    def __init__(self, folder: Path) -> None:
        name = f"{time.time_ns()}-{uuid.uuid4().hex}"
        self.path = folder / f"{name}{SUFFIX}"
        new = folder / f"{name}{_NEW}"
        self._descriptor = os.open(
            new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        self.size = 0
        try:
            # Before it has a name that others look for, or they could take it for a dead one's.
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            os.rename(new, self.path)
            self.append(frames.beginning())
            durable.sync(folder)
        except OSError:
            os.close(self._descriptor)
            for path in (new, self.path):
                path.unlink(missing_ok=True)
            raise

    def append(self, content: bytes) -> None:
        """Append and sync, or leave the file as it was; raises ``OSError``."""
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
            os.fdatasync(self._descriptor)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self.size)
            raise
        self.size += len(content)

    @property
    def is_removed(self) -> bool:
        """Whether somebody removed the file, with all that it has."""
        return os.fstat(self._descriptor).st_nlink == 0

    def close(self) -> None:
        os.close(self._descriptor)


@contextmanager
def taken_over(folder: Path) -> Iterator[list[tuple[Path, int]]]:
    """Yield the files that no living receiver writes, oldest first, each with its descriptor.

    Nobody else can take them until the end of the block.
    """
    descriptors: list[int] = []
    found = []
    try:
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            descriptors.append(descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.stat(path).st_ino == os.fstat(descriptor).st_ino:
                    found.append((path, descriptor))
            except (BlockingIOError, FileNotFoundError):
                continue
        yield found
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
