"""Pages of Parquet files: checked before a reader uses their content.

relhealth reads the page headers of every file: a damaged one can request unlimited memory, or make
a reader misread its page. It verifies checksums if a file has them. Then everything that the
footer says about pages must be true, because a checksum does not cover the header of its page.
"""

import os
import struct
import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from relhealth.datasets import thrift
from relhealth.datasets.footers import Chunk, DamagedError, Footer, Group
from relhealth.datasets.thrift import Struct
from relhealth.stores import present

_DATA, _DICTIONARY, _DATA_V2 = 0, 2, 3
_DATA_KINDS = {_DATA, _DATA_V2}
# The field of a page header that depends on its kind, and the fields that it must have there.
_FIELD = {_DATA: 5, _DICTIONARY: 7, _DATA_V2: 8}
_REQUIRED = {
    _DATA: {1, 2, 3, 4},
    _DICTIONARY: {1, 2},
    _DATA_V2: {1, 2, 3, 4, 5, 6},
}
_BY_DICTIONARY = {2, 8}  # encodings
_CODECS = {0: "", 1: "snappy", 2: "gzip", 4: "brotli", 6: "zstd"}
_LENGTH = struct.Struct("<I")
_HEAD_BYTES = 128  # most are shorter; those with statistics may be longer
_MOST_HEAD_BYTES = 1 << 20
_PIECE = 1 << 20  # bytes in memory at once
_UINT32 = (1 << 32) - 1


class _Page(NamedTuple):
    kind: int
    at: int  # where its contents begin in the file
    size: int
    plain_size: int  # before compression
    head: int  # bytes
    crc: int | None
    about: Struct

    @property
    def values(self) -> int:
        return int(self.about[1])

    @property
    def encoding(self) -> int:
        return int(self.about[4 if self.kind == _DATA_V2 else 2])


@contextmanager
def checked(
    path: str, footer: Footer, groups: Sequence[int], columns: Sequence[str], **options: Any
) -> Iterator[pq.ParquetFile]:
    """Check the pages of some columns of some row groups, and open the file.

    ``options`` are those of ``pq.ParquetFile``. Raises as ``check``, and the errors of Arrow.
    """
    check(path, footer, groups, columns)
    with opened(path, footer, **options) as file:
        yield file


@contextmanager
def opened(path: str, footer: Footer, **options: Any) -> Iterator[pq.ParquetFile]:
    """Open a file whose pages were checked; raises the errors of Arrow."""
    # With a path, Arrow would first check whether it is a URI.
    with (
        pa.OSFile(path) as stored,
        pq.ParquetFile(stored, metadata=footer.metadata, **options) as file,
    ):
        yield file


def texts(path: str, footer: Footer, group: int, column: str) -> list[bytes] | None:
    """Return all texts that a column of a row group has, null aside; None: that is not known.

    It is where all pages tell their texts by a dictionary, which is read alone. Raises as
    ``check``.
    """
    chunk = footer.groups[group].chunks[column]
    codec = _CODECS.get(chunk.codec)
    of_data = {told for told in chunk.tally or () if _told_kind(told[0]) == _DATA}
    if codec is None or not of_data or any(told[1] not in _BY_DICTIONARY for told in of_data):
        return None
    fetched(path, footer, [group])
    stored = os.open(path, os.O_RDONLY)
    try:
        page = next(_pages(stored, chunk), None)
        if page is None or page.kind != _DICTIONARY:
            return None
        if footer.sealed or page.crc is not None:
            _check_checksums(stored, column, [page])
        raw = os.pread(stored, page.size, page.at)
        if codec:
            raw = pa.decompress(raw, page.plain_size, codec=codec, asbytes=True)
        return _plain_texts(raw, page.values)
    except (KeyError, TypeError, thrift.MalformedError, struct.error) as error:
        raise _damaged(column, "its dictionary cannot be parsed") from error
    finally:
        os.close(stored)


def _plain_texts(raw: bytes, count: int) -> list[bytes]:
    """Return texts that each come after their length."""
    found, at = [], 0
    for _ in range(count):
        (length,) = _LENGTH.unpack_from(raw, at)
        at += _LENGTH.size + length
        found.append(raw[at - length : at])
    return found


def fetched(path: str, footer: Footer, groups: Collection[int]) -> None:
    """Have row groups here, if the file is of an object store."""
    if present.is_mirrored(path):
        present.spans([(path, footer.spans(groups))])


def check(path: str, footer: Footer, groups: Collection[int], columns: Collection[str]) -> bool:
    """Check the pages of some columns of some row groups; return whether they have checksums.

    Ignores columns that the file does not have. Raises ``DamagedError`` for damage and
    ``OSError`` for files that cannot be opened.
    """
    fetched(path, footer, groups)
    stored = os.open(path, os.O_RDONLY)
    try:
        found = [_check_group(stored, footer, footer.groups[at], columns) for at in groups]
    finally:
        os.close(stored)
    return any(found)


def _check_group(stored: int, footer: Footer, group: Group, columns: Collection[str]) -> bool:
    chunks = [(name, group.chunks[name]) for name in columns if name in group.chunks]
    pages = {name: _listed(stored, name, chunk) for name, chunk in chunks}
    exact = footer.sealed or any(page.crc is not None for one in pages.values() for page in one)
    if exact:
        for name, chunk in chunks:
            _check_checksums(stored, name, pages[name])
            if not _is_exact(chunk, pages[name]):
                raise _damaged(name, "its pages are not as the footer says")
    return exact


def _listed(stored: int, name: str, chunk: Chunk) -> list[_Page]:
    """Return the pages of a column, after checks of their headers."""
    try:
        pages = list(_pages(stored, chunk))
        _check_heads(chunk, pages)
    except (KeyError, TypeError, thrift.MalformedError) as error:
        raise _damaged(name, "the head of a page cannot be parsed") from error
    except DamagedError as error:
        raise _damaged(name, str(error)) from error
    return pages


def _damaged(column: str, what: str) -> DamagedError:
    return DamagedError(f"column {column}: {what}")


def _pages(stored: int, chunk: Chunk) -> Iterator[_Page]:
    at, end = chunk.start, chunk.start + chunk.size
    while chunk.values and at < end:
        head, length = _head(stored, at, end)
        kind, size, plain_size = head[1], head[3], head[2]
        if size < 0 or plain_size < 0 or at + length + size > end:
            raise DamagedError("a page does not fit into its column")
        if kind in _FIELD:
            if not all(isinstance(head[_FIELD[kind]][field], int) for field in _REQUIRED[kind]):
                raise DamagedError("the head of a page lacks what each has")
            yield _Page(
                kind, at + length, size, plain_size, length, head.get(4), head[_FIELD[kind]]
            )
        at += length + size


def _head(stored: int, at: int, end: int) -> tuple[Struct, int]:
    size = _HEAD_BYTES
    while True:
        data = os.pread(stored, min(size, end - at), at)
        try:
            return thrift.parse(data)
        except thrift.MalformedError:
            if size >= min(end - at, _MOST_HEAD_BYTES):
                raise
        size *= 8


def _check_heads(chunk: Chunk, pages: list[_Page]) -> None:
    """Check the rules that every writer follows."""
    values = 0
    for number, page in enumerate(pages):
        if page.kind == _DICTIONARY:
            # A value has at least one bit before compression; a page without values can be empty.
            if number or not 0 <= page.values <= page.plain_size * 8:
                raise DamagedError("a dictionary that cannot be")
        elif page.values < 0:
            raise DamagedError("a page with less than no values")
        else:
            values += page.values
        if page.plain_size + page.head > max(chunk.plain_size, chunk.size):
            raise DamagedError("a page is greater than its column")
    if values != chunk.values:
        raise DamagedError("its pages do not add up to its values")


def _check_checksums(stored: int, name: str, pages: list[_Page]) -> None:
    for page in pages:
        if page.crc is None:
            raise _damaged(name, "a page lacks its checksum")
        crc = 0
        for at in range(page.at, page.at + page.size, _PIECE):
            crc = zlib.crc32(os.pread(stored, min(_PIECE, page.at + page.size - at), at), crc)
        if crc != page.crc & _UINT32:
            raise _damaged(name, "a page does not match its checksum")


def _is_exact(chunk: Chunk, pages: list[_Page]) -> bool:
    """Return whether pages are exactly those in the footer."""
    plain_size = sum(page.head + page.plain_size for page in pages)
    tally = Counter((_told_kind(page.kind), page.encoding) for page in pages)
    told: Counter[tuple[int, int]] = Counter()
    for (kind, encoding), count in (chunk.tally or {}).items():
        told[_told_kind(kind), encoding] += count
    first_data = next((page for page in pages if page.kind in _DATA_KINDS), None)
    levels = {page.about[at] for page in pages if page.kind == _DATA for at in (3, 4)}
    return (
        plain_size == chunk.plain_size
        and all(page.encoding in chunk.encodings for page in pages)
        and (chunk.tally is None or tally == told)
        and (first_data is None or first_data.at - first_data.head == chunk.first_data)
        and levels <= chunk.encodings
        and _is_exact_v2(chunk, [page for page in pages if page.kind == _DATA_V2])
    )


def _is_exact_v2(chunk: Chunk, pages: list[_Page]) -> bool:
    """Return whether the uncompressed levels of pages of version 2 match their headers."""
    for page in pages:
        about = page.about
        fits = about[5] + about[6] <= min(page.size, page.plain_size)
        plain = about.get(7, True) or page.size == page.plain_size
        flat = about[3] == about[1] and about[6] == 0 and (about[5] == 0) != chunk.leaf.optional
        if not fits or not plain or (chunk.leaf.flat and not flat):
            return False
    return not pages or chunk.nulls in {None, sum(page.about[2] for page in pages)}


def _told_kind(kind: int) -> int:
    """Return the kind by which footers count pages; some writers ignore versions."""
    return _DATA if kind == _DATA_V2 else kind
