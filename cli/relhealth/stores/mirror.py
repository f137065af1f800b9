"""A mirror: local files with the names and sizes of a store's objects, fetched when needed."""

import glob
import os
import re
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TypeVar

from relhealth.core.data_files import is_hidden, may_be_parquet
from relhealth.core.errors import DataError
from relhealth.core.printable import printable
from relhealth.machine.database import Observer, Progress
from relhealth.machine.workers import Workers
from relhealth.stores import present
from relhealth.stores.addresses import Address, address_of, is_placeable, is_uri
from relhealth.stores.cache import WHOLE, Cache, View
from relhealth.stores.limits import cache_bytes
from relhealth.stores.present import Span
from relhealth.stores.schemes import open_store
from relhealth.stores.store import UNPLACEABLE, Object, Store, changed

TAIL = 1 << 15  # bytes at the end of a file to fetch at first; few footers are longer
_HEAD = 1 << 12  # bytes that show what a file is
_AT_ONCE = 32  # requests
_REQUEST = 1 << 23  # bytes of one request, at most
_GAP = 1 << 18  # bytes between two ranges that are fetched with them rather than by a request
_SMALL = 1 << 16  # a file of so many bytes is fetched entirely
_MOSTLY = 0.7  # of a file: then fetch all of it
_MAGIC = b"PAR1"
_LENGTH = 8  # bytes of a footer's length and the magic bytes
# Small files that describe others, which readers want entirely.
_DESCRIBING = re.compile(r"(.*/)?(_ledger/pending\.json|_rollup/manifest\.json)")
_TABLE = re.compile(r"(.*/)?(_delta_log/.*|metadata/[^/]*(\.metadata\.json(\.gz)?|version-hint.*))")

_PARTITION = re.compile("=|[*?[]")
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_SPARK = re.compile("s3[an]://")  # as Spark and Hadoop write it


class _File:
    """An object as a local file."""

    __slots__ = ("checked", "ended", "here", "identity", "lock", "object", "path", "store", "uri")

    def __init__(self, store: Store, uri: str, found: Object, path: str, identity: str) -> None:
        self.store = store
        self.uri = uri
        self.object = found
        self.path = path
        self.identity = identity
        self.here: set[Span] = set()
        self.checked = False  # whether what the cache has of it is as it was fetched
        self.ended = False  # whether its footer, or its first bytes, are here
        self.lock = threading.Lock()

    @property
    def whole(self) -> Span:
        return 0, self.object.size

    def has(self, span: Span) -> bool:
        return any(start <= span[0] and span[1] <= end for start, end in self.here)


@contextmanager
def mirrored(
    sources: Sequence[str], cache_size: str, observer: Observer | None = None
) -> Iterator[list[str]]:
    """Yield sources with local paths in place of URIs; errors name the URIs."""
    most = cache_bytes(cache_size)
    if not any(map(is_uri, sources)):
        yield list(sources)
        return
    mirror = Mirror(Cache(most), observer)
    try:
        yield [mirror.local(one) if is_uri(one) else one for one in sources]
    except DataError as error:
        error.reword(mirror.spelled)
        raise
    finally:
        mirror.close()


class Mirror:
    """The files of one question, or of several about the same state of the stores."""

    def __init__(self, cache: Cache, observer: Observer | None = None) -> None:
        """List nothing yet."""
        self._cache = cache
        self._observer = observer
        self._view: View | None = None
        self._files: dict[str, _File] = {}  # by path
        self._paths: dict[str, str] = {}  # by URI
        self._made: list[str] = []  # identities of files that were made here
        self._names: dict[str, str] = {}  # URIs of folders by their paths
        self._stores: dict[tuple[str, str], Store] = {}

    def local(self, source: str) -> str:
        """Return the local path or pattern for a URI; list what it names.

        Raises ``DataError`` if there is nothing, or the store refuses; ``QuestionError`` for a URI
        that cannot be read.
        """
        address = address_of(source)
        view = self._opened()
        store = self._store(address)
        # The folders of the URI are in the path too: they can be columns, `date=2026-03-02`.
        root = os.path.join(view, f"{len(self._names):04}")
        self._names[root] = address.uri("")
        listed = self._listed(store, address, source)
        listed += self._around(store, address)
        folders = {folder for one in listed for folder in _folders(one.key)}
        for one in listed:
            # Consoles of stores make objects without content for folders.
            if not (one.size == 0 and (one.key.endswith("/") or one.key in folders)):
                self._place(root, store, address, one)
        self._describe(root)
        if address.is_pattern:
            return os.path.join(glob.escape(root), address.key)
        return os.path.join(root, *_parts(address.name(address.key))) if address.key else root

    def made(self, version: str, spelled: str, make: Callable[[str], None]) -> str:
        """Return the path of a file that ``make`` writes, unless the cache has this version."""
        root = os.path.join(self._opened(), f"{len(self._names):04}")
        os.makedirs(root)
        path = os.path.join(root, "table.parquet")
        self._names[path] = spelled
        identity = self._cache.identity("made here", Object("table", 0, version, 0.0))
        self._made.append(identity)
        kept = self._cache.path(identity, WHOLE)
        if not os.path.exists(kept):
            descriptor, new = self._cache.new(identity, WHOLE)
            os.close(descriptor)
            try:
                make(new)
            except BaseException:
                with suppress(OSError):
                    os.unlink(new)
                raise
            self._cache.keep(new, identity, WHOLE)
        os.link(kept, path)
        self._cache.used(kept)
        return path

    def close(self) -> None:
        """Remove the files, and what the cache has too much."""
        if self._view is not None:
            present.remove(self._view.path)
            self._view.remove()
            self._view = None
            self._files.clear()
            self._paths.clear()
            self._names.clear()
            self._cache.trim()

    def path_of(self, uri: str) -> str | None:
        """Return the path of a listed object."""
        return self._paths.get(_SPARK.sub("s3://", uri))

    def spelled(self, text: str) -> str:
        """Return text with URIs in place of paths of the mirror."""
        for root, uri in self._names.items():
            text = text.replace(f"{root}/", uri).replace(root, uri.rstrip("/"))
        return text

    def _opened(self) -> str:
        if self._view is None:
            self._view = self._cache.view()
            present.add(self._view.path, self)
        return self._view.path

    def _store(self, address: Address) -> Store:
        key = (address.scheme, address.bucket)
        if key not in self._stores:
            self._stores[key] = open_store(address)
        return self._stores[key]

    def _listed(self, store: Store, address: Address, source: str) -> list[Object]:
        """Return the objects that a URI names: one, those below a prefix, those of a pattern."""

        def listing() -> list[Object]:
            key = address.key
            if address.is_pattern:
                fixed = re.split(r"[^/]*[*?[]", key, maxsplit=1)[0]
                return list(store.objects(fixed))
            folder = f"{key.rstrip('/')}/" if key else ""
            if address.scheme == "https":
                ways = [one_object]
            elif _is_file(_parts(key)[-1]):
                ways = [one_object, lambda: list(store.objects(folder))]
            else:
                ways = [lambda: list(store.objects(folder)), one_object]
            return next((found for way in ways if (found := way())), [])

        def one_object() -> list[Object]:
            key = address.key
            found = store.head(key) if key and not key.endswith("/") else None
            return [] if found is None else [found]

        (listed,) = _each(_called, [listing])  # on a thread, for Ctrl-C
        if not listed:
            raise DataError(f"{printable(source)}: no such object, and none below it")
        return listed

    def _around(self, store: Store, address: Address) -> list[Object]:
        """Return objects of the log of the table that a file, pattern or partition lies in.

        Only the log says which files count, so that a part of a table is refused.
        """
        parts = _parts(address.key)
        if address.scheme == "https" or not (_is_file(parts[-1]) or _PARTITION.search(address.key)):
            return []
        folders = ["/".join(parts[:upto]) for upto in range(len(parts) - 1, 0, -1)]
        logs = [f"{folder}/{log}/" for folder in folders for log in ("_delta_log", "metadata")]
        fixed = [log for log in logs if not glob.has_magic(log)]
        return [
            one for found in _each(lambda log: list(store.objects(log)), fixed) for one in found
        ]

    def _place(self, root: str, store: Store, address: Address, one: Object) -> None:
        """Make the local file of an object, of its size and time, without its content."""
        uri = address.uri(one.key)
        if not is_placeable(address.name(one.key)):
            raise DataError(f"{printable(uri)}: {UNPLACEABLE}; rename the object")
        path = os.path.join(root, *_parts(address.name(one.key)))
        earlier = self._paths.get(uri)
        if earlier == path:
            return
        if earlier is not None:  # named before: a link, so that it counts once
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.symlink(earlier, path)
            self._files[path] = self._files[earlier]
            return
        identity = self._cache.identity(store.identity, one)
        file = _File(store, uri, one, path, identity)
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if not self._linked(file):
                with open(path, "wb") as stream:
                    stream.truncate(one.size)
                self._dated(file)
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise DataError(
                f"{printable(uri)}: its key is also a folder of others; rename the object"
            ) from error
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise DataError(
                f"{printable(uri)}: no local file can have this name ({reason}); rename the object"
            ) from error
        self._files[path] = file
        self._paths[uri] = path

    def _dated(self, file: _File) -> None:
        stamp = int(file.object.modified * 1e9)
        os.utime(file.path, ns=(stamp, stamp))

    def _linked(self, file: _File) -> bool:
        """Let the cache's copy of an object be its file, if there is one."""
        kept = self._cache.path(file.identity, WHOLE)
        try:
            if os.stat(kept).st_size != file.object.size:
                os.unlink(kept)
                return False
            self._link(file, kept)
        except OSError:
            return False
        self._cache.used(kept)
        return True

    def _describe(self, root: str) -> None:
        """Fetch the files that say which others belong to a table or data set."""
        within = [path for path in self._files if path.startswith(f"{root}/")]
        self.entire_files([path for path in within if _DESCRIBING.fullmatch(path)])
        if any("/_delta_log/" in path or path.endswith(".metadata.json") for path in within):
            self.entire_files([path for path in within if _TABLE.fullmatch(path)])
        # What is no Parquet by its name may be one by its first bytes.
        unsure = [
            path
            for path in within
            if not may_be_parquet(path) and not any(map(is_hidden, path[len(root) :].split("/")))
        ]
        self.ends(unsure)

    def ends(self, paths: Sequence[str]) -> None:
        """Fetch footers, or the first bytes of what is no Parquet."""
        files = [self._files[path] for path in paths if path in self._files]
        files = [file for file in files if not file.ended]
        self._fetch([(file, [_tail(file)]) for file in files])
        longer, others = [], []
        for file in files:
            start = _begin_of_footer(file)
            if start is None:
                others.append((file, [(0, min(_HEAD, file.object.size))]))
            elif start < file.object.size - TAIL:
                longer.append((file, [(start, _tail(file)[0])]))
            elif not file.has((0, len(_MAGIC))):
                self._write(file, 0, _MAGIC)
        self._fetch([*longer, *others])
        for file, _ in longer:
            self._write(file, 0, _MAGIC)
        for file in files:
            file.ended = True

    def spans(self, wanted: Sequence[tuple[str, Sequence[Span]]]) -> None:
        """Fetch ranges of bytes, or the entire file where that is less work."""
        tasks = []
        for path, some in wanted:
            file = self._files.get(path)
            if file is None:
                continue
            left = [span for span in some if not file.has(span)]
            size = sum(end - start for start, end in left)
            if left and (file.object.size <= _SMALL or size >= _MOSTLY * file.object.size):
                left = [file.whole]
            tasks.append((file, left))
        self._check([file for file, _ in tasks])
        self._fetch(tasks)

    def entire_files(self, paths: Sequence[str]) -> None:
        """Fetch entire files."""
        files = [self._files[path] for path in paths if path in self._files]
        self._check(files)
        self._fetch([(file, [file.whole]) for file in files])

    def purge(self) -> bool:
        """Drop what the cache has of all files; return whether it has anything.

        What seems to be damage of an object can be damage of the cache.
        """
        known = [file for file in self._files.values() if file.here]
        for file in known:
            for piece in (WHOLE, *map(_piece, file.here)):
                self._cache.drop(file.identity, piece)
        for identity in self._made:
            self._cache.drop(identity, WHOLE)
        return bool(known or self._made)

    def _check(self, files: Sequence[_File]) -> None:
        """Check kept objects before their data are read; raise ``ChangedError`` for damage."""
        doubtful = [file for file in files if file.whole in file.here and not file.checked]
        intact = _each(lambda file: self._cache.is_intact(file.identity), doubtful)
        for file, is_intact in zip(doubtful, intact, strict=True):
            if not is_intact:
                self._cache.drop(file.identity, WHOLE)
                raise changed(file.uri)
            file.checked = True

    def _fetch(self, tasks: Iterable[tuple[_File, Sequence[Span]]]) -> None:
        """Fetch what is neither here nor in the cache, by many requests at once."""
        requests: list[tuple[_File, list[Span]]] = []
        for file, spans in tasks:
            left = [
                span for span in spans if not file.has(span) and not self._from_cache(file, span)
            ]
            requests += [(file, some) for some in _joined(left)]
        total = sum(some[-1][1] - some[0][0] for _, some in requests)
        done = 0
        for number in _each(self._request, requests):
            done += number
            if self._observer is not None:
                self._observer(Progress("fetching", done / max(total, 1)))

    def _from_cache(self, file: _File, span: Span) -> bool:
        """Take a range from the cache, if it is there."""
        if span[0] == span[1]:
            return True
        if span == file.whole:
            return self._linked(file)
        content = self._cache.read(file.identity, _piece(span), span[1] - span[0])
        if content is None:
            return False
        self._write(file, span[0], content)
        file.here.add(span)
        return True

    def _request(self, task: tuple[_File, list[Span]]) -> int:
        """Fetch neighbouring ranges of an object; keep each in the cache."""
        file, spans = task
        if spans == [file.whole]:
            return self._request_whole(file)
        start, end = spans[0][0], spans[-1][1]
        content = memoryview(file.store.read(file.object, start, end))
        for span in spans:
            piece = content[span[0] - start : span[1] - start]
            self._cache.write(file.identity, _piece(span), piece)
            self._write(file, span[0], piece)
            file.here.add(span)
        return end - start

    def _request_whole(self, file: _File) -> int:
        size = file.object.size
        descriptor, new = self._cache.new(file.identity, WHOLE)
        try:
            with open(descriptor, "wb") as stream:
                digest = 0
                for at in range(0, size, _REQUEST):
                    part = file.store.read(file.object, at, min(at + _REQUEST, size))
                    digest = zlib.crc32(part, digest)
                    stream.write(part)
            self._cache.note_digest(file.identity, digest)
            stamp = int(file.object.modified * 1e9)
            os.utime(new, ns=(stamp, stamp))
        except BaseException:
            with suppress(OSError):
                os.unlink(new)
            raise
        self._link(file, self._cache.keep(new, file.identity, WHOLE))
        file.checked = True
        return size

    def _link(self, file: _File, kept: str) -> None:
        """Let a kept object be a file."""
        link = f"{file.path}.link"
        os.link(kept, link)
        os.replace(link, file.path)
        file.here = {file.whole}

    def _write(self, file: _File, start: int, content: "bytes | memoryview") -> None:
        with file.lock:
            if file.has(file.whole):
                return
            descriptor = os.open(file.path, os.O_WRONLY)
            try:
                os.pwrite(descriptor, content, start)
            finally:
                os.close(descriptor)
            self._dated(file)


def _each(ask: Callable[[_Item], _Result], items: Sequence[_Item]) -> Iterator[_Result]:
    """Ask about many items at once, so that Ctrl-C does not wait for an answer."""
    return Workers(_AT_ONCE, leaves=True).each(ask, items)


def _called(ask: Callable[[], _Result]) -> _Result:
    return ask()


def _piece(span: Span) -> str:
    return f"{span[0]}-{span[1]}"


def _parts(key: str) -> list[str]:
    return key.rstrip("/").split("/")


def _folders(key: str) -> Iterator[str]:
    """Yield the folders above a key."""
    while "/" in key:
        key = key.rpartition("/")[0]
        yield key


def _is_file(name: str) -> bool:
    """Return whether a name is most likely that of a file or of several, and not of a folder."""
    return glob.has_magic(name) or ("." in name and "=" not in name)


def _tail(file: _File) -> Span:
    return max(0, file.object.size - TAIL), file.object.size


def _begin_of_footer(file: _File) -> int | None:
    """Return where a footer begins, whose end is here; ``None`` if there is no footer."""
    size = file.object.size
    if size < _LENGTH + len(_MAGIC):
        return None
    with open(file.path, "rb") as stream:
        stream.seek(size - _LENGTH)
        last = stream.read(_LENGTH)
    begin = size - _LENGTH - int.from_bytes(last[:4], "little")
    return begin if last.endswith(_MAGIC) and begin >= len(_MAGIC) else None


def _joined(spans: Iterable[Span]) -> list[list[Span]]:
    """Return ranges in groups, each of which one request fetches."""
    groups: list[list[Span]] = []
    for span in sorted(spans):
        last = groups[-1] if groups else None
        if last is not None and span[0] - last[-1][1] <= _GAP and span[1] - last[0][0] <= _REQUEST:
            last.append(span)
        else:
            groups.append([span])
    return groups
