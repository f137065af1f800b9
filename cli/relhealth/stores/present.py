"""Makes sure that the content of mirrored files is here before it is read.

Readers call this with paths. For a path that is not in a mirror, and so for all files of a run
without a URI, it does nothing.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

Span = tuple[int, int]  # a range of bytes


class Fetching(Protocol):
    """What a mirror does for readers."""

    def ends(self, paths: Sequence[str]) -> None:
        """Fetch footers, or the first bytes of what is no Parquet."""

    def spans(self, wanted: Sequence[tuple[str, Sequence[Span]]]) -> None:
        """Fetch ranges of bytes."""

    def entire_files(self, paths: Sequence[str]) -> None:
        """Fetch entire files."""

    def path_of(self, uri: str) -> str | None:
        """Return the path of a listed object."""

    def spelled(self, text: str) -> str:
        """Return text with URIs in place of paths of the mirror."""


_mirrors: dict[str, Fetching] = {}  # by the folder of their files


def add(folder: str, mirror: Fetching) -> None:
    """Let readers of paths in a folder use a mirror."""
    _mirrors[folder] = mirror


def remove(folder: str) -> None:
    """Forget a mirror."""
    _mirrors.pop(folder, None)


def is_mirrored(path: str) -> bool:
    """Return whether a path is in a mirror."""
    return bool(_mirrors) and _of(path) is not None


def is_top(folder: str) -> bool:
    """Return whether a folder is that of a mirror, above which nothing belongs to it."""
    return folder in _mirrors


def ends(paths: Iterable[str]) -> None:
    """Have the footers of files here, or the first bytes of what is no Parquet."""
    for mirror, some in _by_mirror(paths):
        mirror.ends(some)


def entire_files(paths: Iterable[str]) -> None:
    """Have entire files here."""
    for mirror, some in _by_mirror(paths):
        mirror.entire_files(some)


def spans(wanted: Sequence[tuple[str, Sequence[Span]]]) -> None:
    """Have ranges of bytes of files here."""
    for mirror, some in _by_mirror(path for path, _ in wanted):
        known = set(some)
        mirror.spans([one for one in wanted if one[0] in known])


def path_of(uri: str) -> str | None:
    """Return the path of an object that a mirror has listed; ``None`` for any other text."""
    found = (mirror.path_of(uri) for mirror in _mirrors.values())
    return next((path for path in found if path is not None), None)


def spelled(text: str) -> str:
    """Return text with URIs in place of paths of mirrors."""
    for mirror in _mirrors.values():
        text = mirror.spelled(text)
    return text


def _by_mirror(paths: Iterable[str]) -> list[tuple[Fetching, list[str]]]:
    if not _mirrors:
        return []
    found: dict[int, tuple[Fetching, list[str]]] = {}
    for path in paths:
        mirror = _of(path)
        if mirror is not None:
            found.setdefault(id(mirror), (mirror, []))[1].append(path)
    return list(found.values())


def _of(path: str) -> Fetching | None:
    return next((one for folder, one in _mirrors.items() if path.startswith(f"{folder}/")), None)
