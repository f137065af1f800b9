"""Footers of Parquet files: read so that damage cannot crash the process, and checked.

Arrow parses a footer, and refuses what it cannot parse. But it parses a row group's columns and
their statistics only on access, in calls that do not let an exception pass to
Python, so a damaged footer crashes the process. So this module never uses Arrow for them; it reads
the bytes of the footer. If a footer states something twice, a difference is damage, too.
"""

import os
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, cached_property
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from relhealth.datasets import sealed, thrift
from relhealth.datasets.thrift import Struct
from relhealth.stores import present

MAGIC = b"PAR1"
FOOTER_BYTES = 1 << 16  # to read at once; few footers are longer
_SIGNATURE_BYTES = 28  # of a footer in a file whose columns are encrypted
_TAIL_BYTES = 8  # the footer's length, and the magic bytes

INT32, INT64, DOUBLE, TEXT = 1, 2, 5, 6  # physical types
# Fields of statistics; each writer compared the old extremes in a different way.
_OLD_HIGH, _OLD_LOW, _NULLS, _HIGH, _LOW, _EXACT_HIGH, _EXACT_LOW = 1, 2, 3, 5, 6, 7, 8
_CHILDREN = 5  # a field of a schema's element
_OF_STRING, _OF_TIMESTAMP, _OF_INTEGER = 1, 8, 10  # logical types
_CRYPTO = {8, 9}  # fields of a column
_TALLY = 13  # a field of its metadata
_INTEGERS = {INT32: 4, INT64: 8}  # and their bytes
_REPEATED = 2
_UNSIGNED = range(11, 15)  # converted types UINT_8 to UINT_64
_UTF8 = 0
# Converted types by the logical type: units of timestamps, (bits, signed) of integers.
_OF_UNITS = {1: 9, 2: 10}
_OF_INTEGERS = {
    (bits, signed): (15 if signed else 11) + at
    for at, bits in enumerate((8, 16, 32, 64))
    for signed in (True, False)
}


class DamagedError(ValueError):
    """A file is damaged; the text says why."""


class Bounds(NamedTuple):
    """The footer's statistics of the integers in a column of a row group."""

    low: int | None  # as stored; None = unknown
    high: int | None
    nulls: int | None  # None = unknown
    rows: int


class Leaf(NamedTuple):
    """A column in the schema of the footer."""

    path: tuple[bytes, ...]
    physical: int
    optional: bool
    flat: bool  # at the top level, with one value per row
    unsigned: bool
    text: bool


class Chunk(NamedTuple):
    """A column of a row group: its place, and what the footer says about it."""

    leaf: Leaf
    values: int
    start: int  # in the file
    first_data: int  # where the first data page begins
    size: int  # bytes, of all pages with their headers
    plain_size: int  # the same before compression
    codec: int
    encodings: frozenset[int]
    tally: Mapping[tuple[int, int], int] | None  # pages by their kind and encoding
    statistics: Struct

    @property
    def nulls(self) -> int | None:
        """The number of nulls; None = unknown."""
        found = self.statistics.get(_NULLS)
        return found if isinstance(found, int) else None

    def bounds(self) -> Bounds:
        """Return the statistics of the integers, all signed as they are stored."""
        low = high = None
        found = self._stored_extremes()
        if found is not None and self.leaf.physical in _INTEGERS:
            low, high = (int.from_bytes(one, "little", signed=True) for one in found)
        return Bounds(low, high, self.nulls, self.values)

    def extremes(self) -> tuple[Any, Any] | None:
        """Return the least and greatest integer or text (as bytes); None = unknown.

        For text, both must be complete.
        """
        found = self._stored_extremes()
        if found is None:
            return None
        if self.leaf.physical in _INTEGERS:
            signed = not self.leaf.unsigned
            low, high = (int.from_bytes(one, "little", signed=signed) for one in found)
            return low, high
        exact = self.statistics.get(_EXACT_LOW, True) and self.statistics.get(_EXACT_HIGH, True)
        return found if exact and self.leaf.physical == TEXT and self.leaf.text else None

    def _stored_extremes(self) -> tuple[bytes, bytes] | None:
        found = self.statistics
        low, high = found.get(_LOW), found.get(_HIGH)
        if low is None and high is None and not self.leaf.unsigned:
            low, high = found.get(_OLD_LOW), found.get(_OLD_HIGH)
            if self.leaf.physical not in _INTEGERS:
                return None
        return None if low is None or high is None else (low, high)

    @property
    def says_once(self) -> bool:
        """Whether the extremes have only one form, so that there is nothing to compare."""
        found = self.statistics
        return not (_OLD_LOW in found and _OLD_HIGH in found) and (_LOW in found or _HIGH in found)


class Group(NamedTuple):
    """A row group."""

    rows: int
    chunks: Mapping[str, Chunk]  # by the names of their columns, nested ones with dots


class Footer:
    """The footer of one file."""

    def __init__(self, raw: bytes, at: int) -> None:
        """Parse the bytes of a footer, which begin at a given place in the file.

        Raises ``DamagedError``, ``OSError`` without a number, another ``ValueError`` or
        ``pa.ArrowException`` for anything else.
        """
        self.at = at
        self._raw = raw
        self.sealed = sealed.is_sealed(raw)
        if self.sealed and not sealed.is_unbroken(raw):
            raise DamagedError("the footer does not match its seal")
        stored = pa.BufferReader(MAGIC + raw + len(raw).to_bytes(4, "little") + MAGIC)
        with pq.ParquetFile(stored) as opened:
            self.metadata: pq.FileMetaData = opened.metadata
            self.schema: pa.Schema = opened.schema_arrow

    @property
    def has_encrypted_columns(self) -> bool:
        """Whether only the footer is readable, because a signature follows it."""
        return bool(len(self._raw) == self.metadata.serialized_size + _SIGNATURE_BYTES)

    def bounds(self, column: str) -> list[Bounds]:
        """Return the statistics of an integer column at the top level, one per row group.

        This searches most footers for the column, which is ten times as fast as parsing all
        of their content. Raises ``DamagedError``.
        """
        found = _searched(self._raw, column)
        if len(found) != self.metadata.num_row_groups:
            found = [
                group.chunks[column].bounds() if column in group.chunks else _unknown(group)
                for group in self.groups
            ]
        if sum(one.rows for one in found) != self.metadata.num_rows:
            raise DamagedError("the row groups do not add up to the rows of the file")
        return found

    def spans(self, groups: Iterable[int]) -> list[tuple[int, int]]:
        """Return the ranges of bytes that readers need for row groups: pages and indexes."""
        found = [_pages(self.groups[number]) for number in groups]
        if not found:
            return []
        # Indexes and filters of all row groups are between the last of them and the footer.
        return [*found, (max(_pages(one)[1] for one in self.groups), self.at)]

    @cached_property
    def groups(self) -> Sequence[Group]:
        """The row groups, parsed and checked; raises ``DamagedError``."""
        try:
            footer, _ = thrift.parse(self._raw)
            return _groups(footer, self.at)
        except thrift.MalformedError as error:
            raise DamagedError(f"the footer cannot be parsed: {error}") from error
        except (KeyError, TypeError, AttributeError, struct.error) as error:
            raise DamagedError("the footer lacks what each has") from error


def _pages(group: Group) -> tuple[int, int]:
    chunks = group.chunks.values()
    return min(one.start for one in chunks), max(one.start + one.size for one in chunks)


def read(path: str) -> Footer:
    """Read the footer of a file; raises as ``Footer``, and ``OSError``."""
    present.ends([path])
    opened = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(opened).st_size
        start = max(0, size - FOOTER_BYTES)
        tail = os.pread(opened, size - start, start)
        if len(tail) < _TAIL_BYTES + len(MAGIC) or tail[-4:] != MAGIC:
            raise DamagedError("no Parquet footer at its end")
        length = int.from_bytes(tail[-8:-4], "little")
        at = size - _TAIL_BYTES - length
        if at < len(MAGIC):
            raise DamagedError("the footer is longer than the file")
        raw = tail[at - start : -8] if at >= start else os.pread(opened, length, at)
        return Footer(raw, at)
    finally:
        os.close(opened)


def _unknown(group: Group) -> Bounds:
    return Bounds(None, None, None, group.rows)


@cache
def _pattern(column: str) -> re.Pattern[bytes]:
    """Return a pattern for the metadata of a flat column of 64-bit integers in a footer.

    Fields are in the order of their ids. Each has a byte with its type and its step from
    the id before.
    """
    name = column.encode()
    varint = rb"[\x80-\xff]{0,9}[\x00-\x7f]"
    value = rb"\x08(.{8})"
    return re.compile(
        rb"\x15\x04"  # physical type
        rb"\x19[\x15\x25\x35\x45\x55\x65][\x00-\x1f]{1,6}"  # encodings
        + rb"\x19\x18%c%b" % (len(name), re.escape(name))
        + rb"\x15[\x00-\x1f]"  # codec
        + rb"\x16(%b)\x16%b\x16%b" % (varint, varint, varint)  # values, and sizes in bytes
        + rb"\x26%b(?:\x26%b\x1c|\x3c)" % (varint, varint)  # offsets; and then the statistics
        + rb"(?:\x18%b\x18%b\x16|\x36)(%b)" % (value, value, varint)  # their old form; nulls
        + rb"(?:(?:\x16%b\x18|\x28)%b\x18%b)?" % (varint, value, value)
        + rb"[\x11\x12]{0,2}(?:\x16%b)?\x00" % varint,
        re.DOTALL,
    )


def _searched(raw: bytes, column: str) -> list[Bounds]:
    found = []
    for match in _pattern(column).finditer(raw):
        values, old_high, old_low, nulls, high, low = match.groups()
        if old_high is not None and (high, low) != (old_high, old_low):
            return []  # the parser reports what is wrong
        found.append(
            Bounds(
                None if low is None else int.from_bytes(low, "little", signed=True),
                None if high is None else int.from_bytes(high, "little", signed=True),
                _number(nulls),
                _number(values),
            )
        )
    return found


def _number(varint: bytes) -> int:
    value = 0
    for at, byte in enumerate(varint):
        value |= (byte & 0x7F) << 7 * at
    return value >> 1 ^ -(value & 1)


def _groups(footer: Struct, end: int) -> tuple[Group, ...]:
    leaves = _leaves(footer[2])
    groups = tuple(_group(group, leaves, end) for group in footer[4])
    if sum(group.rows for group in groups) != footer[3]:
        raise DamagedError("the row groups do not add up to the rows of the file")
    return groups


def _leaves(schema: Sequence[Struct]) -> list[Leaf]:
    """Return the columns of a schema, which is a tree in depth-first order."""
    leaves: list[Leaf] = []
    elements = iter(schema[1:])

    def walk(count: int, path: tuple[bytes, ...], *, repeated: bool) -> None:
        for _ in range(count):
            element = next(elements, None)
            if element is None:
                raise DamagedError("the schema ends too early")
            here = (*path, element[4])
            again = repeated or element.get(3) == _REPEATED
            if _CHILDREN in element:
                if len(here) > len(schema):
                    raise DamagedError("the schema is too deep")
                walk(element[_CHILDREN], here, repeated=again)
            else:
                leaves.append(_leaf(element, here, repeated=again))

    walk(schema[0][_CHILDREN], (), repeated=False)
    if next(elements, None) is not None:
        raise DamagedError("the schema has more columns than it says")
    return leaves


def _leaf(element: Struct, path: tuple[bytes, ...], *, repeated: bool) -> Leaf:
    converted, logical = element.get(6), element.get(10, {})
    if converted is not None:
        expected = _converted(logical)
        if expected is not None and expected != converted:
            raise DamagedError(f"two types of column {_text(path)} differ")
    return Leaf(
        path=path,
        physical=element[1],
        optional=element.get(3) == 1,
        flat=len(path) == 1 and not repeated,
        unsigned=converted in _UNSIGNED or not logical.get(_OF_INTEGER, {}).get(2, True),
        text=converted == _UTF8 or _OF_STRING in logical,
    )


def _converted(logical: Struct) -> int | None:
    """Return the converted type that equals a logical type; None if there is none."""
    if _OF_TIMESTAMP in logical:
        (unit,) = logical[_OF_TIMESTAMP][2]
        return _OF_UNITS.get(unit)
    if _OF_INTEGER in logical:
        return _OF_INTEGERS.get((logical[_OF_INTEGER][1], logical[_OF_INTEGER][2]))
    return _UTF8 if _OF_STRING in logical else None


def _group(group: Struct, leaves: Sequence[Leaf], end: int) -> Group:
    rows, columns = group[3], group[1]
    if len(columns) != len(leaves):
        raise DamagedError("a row group has other columns than the schema")
    chunks = [_chunk(column, leaf, rows, end) for column, leaf in zip(columns, leaves, strict=True)]
    return Group(rows, {_text(chunk.leaf.path): chunk for chunk in chunks})


def _chunk(column: Struct, leaf: Leaf, rows: int, end: int) -> Chunk:
    name = _text(leaf.path)
    if _CRYPTO & column.keys():
        raise DamagedError(f"column {name} is encrypted; write it without encryption")
    found = column[3]
    if tuple(found[3]) != leaf.path or found[1] != leaf.physical:
        raise DamagedError(f"column {name} is another one in a row group")
    values, size, plain_size = found[5], found[7], found[6]
    if leaf.flat and values != rows:
        raise DamagedError(f"column {name} has not as many values as its row group has rows")
    first_data = found[9]
    start = min(first_data, found.get(11) or first_data)
    if values and (not len(MAGIC) <= start <= start + size <= end or size < 0 or plain_size < 0):
        raise DamagedError(f"column {name} lies outside of the file")
    told = found.get(_TALLY)
    chunk = Chunk(
        leaf=leaf,
        values=values,
        start=start,
        first_data=first_data,
        size=size,
        plain_size=plain_size,
        codec=found[4],
        encodings=frozenset(found[2]),
        tally=None if told is None else {(one[1], one[2]): one[3] for one in told},
        statistics=found.get(12, {}),
    )
    _check_statistics(name, chunk, found.get(16, {}).get(3))
    return chunk


def _check_statistics(name: str, chunk: Chunk, levels: list[int] | None) -> None:
    """Raise ``DamagedError`` if statistics contradict one another."""
    found = chunk.statistics
    nulls = found.get(_NULLS)
    wrong = nulls is not None and not 0 <= nulls <= chunk.values
    if levels and chunk.leaf.flat:  # the numbers of nulls and of other values
        wrong |= sum(levels) != chunk.values or nulls not in {None, levels[0]}
    for old, new in ((_OLD_HIGH, _HIGH), (_OLD_LOW, _LOW)):
        wrong |= old in found and new in found and found[old] != found[new]
    width = 8 if chunk.leaf.physical == DOUBLE else _INTEGERS.get(chunk.leaf.physical)
    stored = [found[at] for at in (_OLD_HIGH, _OLD_LOW, _HIGH, _LOW) if at in found]
    wrong |= width is not None and any(len(value) != width for value in stored)
    if not wrong and _HIGH in found and _LOW in found:
        wrong = _disordered(chunk.leaf, found[_LOW], found[_HIGH])
    if wrong:
        raise DamagedError(f"the statistics of column {name} contradict one another")


def _disordered(leaf: Leaf, low: bytes, high: bytes) -> bool:
    if leaf.physical in _INTEGERS:
        signed = not leaf.unsigned
        return int.from_bytes(low, "little", signed=signed) > int.from_bytes(
            high, "little", signed=signed
        )
    if leaf.physical == DOUBLE:
        return bool(struct.unpack("<d", low) > struct.unpack("<d", high))
    return leaf.physical == TEXT and leaf.text and low > high


def _text(path: Sequence[bytes]) -> str:
    return ".".join(part.decode(errors="replace") for part in path)
