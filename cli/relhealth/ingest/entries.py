"""Entries of the ledger: what was ingested, when, by which options, and how to know it again."""

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

HEAD_BYTES = 512  # of an input's content, by which one is looked for among many
_FORMAT = 2  # of a line; lines without a number are of the first
_LEAST_DIGITS = 6  # of a digest that names an input


class Content(msgspec.Struct, frozen=True):
    """What an input held once, and by which name.

    ``digest`` is of its content (decompressed) as far as it was read, ``size`` bytes, and ``head``
    of its first bytes. ``resume`` is where reading goes on if the input has grown since.
    """

    name: str  # as it was named
    path: str  # absolute; '' of standard input
    digest: str
    size: int
    head: str
    resume: int


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One input that was ingested; a later entry of the same number takes its place."""

    number: int
    content: Content
    kind: str
    project: int | None  # of the envelope that the input ends in
    options: dict[str, Any]
    at: str  # when, ISO 8601
    items: int
    rejected: int
    sessions: int
    days: list[str]  # that hold something of it
    offsets: dict[str, dict[str, list[list[int]]]] = {}  # of Kafka: topic → partition → spans
    skipped: dict[str, dict[str, list[list[int]]]] = {}  # likewise; these count for other inputs
    first_at: str = ""  # when it was first ingested, if it has grown since
    earlier: list[Content] = []  # before it grew
    incomplete: bool = False  # it has messages that count no more; ingested again, they do
    rejects: str = ""  # the file of its rejected items
    format: int = _FORMAT

    @property
    def name(self) -> str:
        """Its name, as it last was."""
        return self.content.name

    @property
    def contents(self) -> list[Content]:
        """All that it held, one time after another."""
        return [*self.earlier, self.content]


class Candidate(NamedTuple):
    """Content that an input may begin with, and the input that held it."""

    content: Content
    entry: Entry


class Old(NamedTuple):
    """An input that an earlier version ingested: known by the digest of its file's bytes alone."""

    name: str


def digest_of(content: bytes) -> str:
    """Return the digest by which content is known: BLAKE2b of 16 bytes, in hex."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def read(path: Path) -> "Known":
    """Return the inputs that a ledger knows, from its lines."""
    found: dict[int, Entry] = {}
    old: dict[str, Old] = {}
    highest = 0
    for line in _lines(path):
        number = line.get("number")
        if not isinstance(number, int):
            if "digest" in line:
                old[str(line["digest"])] = Old(str(line.get("name", "")))
            continue
        highest = max(highest, number)
        if line.get("forgotten"):
            found.pop(number, None)
        else:
            line.pop("transaction", None)
            found[number] = msgspec.convert(line, Entry)
    return Known(found, old, highest)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    for text in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            line = json.loads(text)
        except ValueError:  # a line that a killed process left half is written anew
            continue
        if isinstance(line, dict):
            yield line


class Known:
    """The inputs that a data set knows."""

    def __init__(self, entries: Mapping[int, Entry], old: Mapping[str, Old], highest: int) -> None:
        """Take them by number and by digest; ``highest`` is the greatest number ever given."""
        self.entries = dict(entries)
        self.old = old
        self._highest = highest
        self._by_head: dict[tuple[int, str], list[Candidate]] = defaultdict(list)
        self._lengths: set[int] = set()  # of heads
        for entry in entries.values():
            self._index(entry)

    def _index(self, entry: Entry) -> None:
        for content in entry.contents:
            length = min(content.size, HEAD_BYTES)
            self._by_head[length, content.head].append(Candidate(content, entry))
            self._lengths.add(length)

    def new_number(self) -> int:
        """Return a number that no input had."""
        self._highest += 1
        return self._highest

    def remember(self, entry: Entry) -> None:
        """Know one more, or one that has grown."""
        self.entries[entry.number] = entry
        self._index(entry)

    def forget(self, number: int) -> None:
        """Know one no more."""
        self.entries.pop(number, None)

    def candidates(self, head: bytes) -> list[Candidate]:
        """Return the contents with which this may begin, by its first bytes."""
        found = [
            candidate
            for length in self._lengths
            if length <= len(head)
            for candidate in self._by_head.get((length, digest_of(head[:length])), ())
        ]
        return [one for one in found if self.entries.get(one.entry.number) == one.entry]

    def of_path(self, path: str) -> list[Entry]:
        """Return the inputs that came from a file of that path."""
        return [
            entry
            for entry in self.entries.values()
            if path and any(content.path == path for content in entry.contents)
        ]

    def named(self, name: str, path: str) -> list[Entry]:
        """Return the inputs that a name means: as it was named, its path or file, or its digest."""
        is_digest = len(name) >= _LEAST_DIGITS and set(name) <= set("0123456789abcdef")
        return [
            entry
            for entry in self.entries.values()
            if any(
                content.name == name
                or (path and content.path == path)
                or (content.path and os.path.basename(content.path) == name)
                or (is_digest and content.digest.startswith(name))
                for content in entry.contents
            )
        ]

    def offsets(self) -> Iterable[dict[str, dict[str, list[list[int]]]]]:
        """Return the positions of Kafka's messages that the inputs held."""
        return [entry.offsets for entry in self.entries.values() if entry.offsets]
