"""Entries of the ledger: the inputs, when they came, their options, and how to recognise them."""

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

HEAD_BYTES = 512  # of an input's content, to find one among many
_FORMAT = 2  # of a line; lines without a number have the first version
_LEAST_DIGITS = 6  # the fewest digits of a digest that name an input


class Content(msgspec.Struct, frozen=True):
    """The content of an input at one time, and its name.

    ``digest`` is of its content (decompressed) as far as it was read, ``size`` bytes, and ``head``
    of its first bytes. ``resume`` is where to read on if the input has grown since.
    """

    name: str  # the name that the user gave
    path: str  # absolute; '' of standard input
    digest: str
    size: int
    head: str
    resume: int


class Span(msgspec.Struct, frozen=True):
    """The hours that an input of a service was read for, and when; all ISO 8601."""

    start: str
    end: str
    at: str


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One ingested input; a later entry with the same number replaces it."""

    number: int
    content: Content
    kind: str
    project: int | None  # of the envelope at the end of the input
    options: dict[str, Any]
    at: str  # when, ISO 8601
    items: int
    rejected: int
    sessions: int
    days: list[str]  # with data from it
    offsets: dict[str, dict[str, list[list[int]]]] = {}  # of Kafka: topic → partition → spans
    skipped: dict[str, dict[str, list[list[int]]]] = {}  # the same; these count for other inputs
    first_at: str = ""  # the time of its first ingest, if it has grown since
    earlier: list[Content] = []  # before it grew
    incomplete: bool = False  # it has messages that no longer count; if ingested again, they do
    rejects: str = ""  # the file of its rejected items
    span: Span | None = None  # of a day that was read from Sentry
    format: int = _FORMAT

    @property
    def name(self) -> str:
        """Its latest name."""
        return self.content.name

    @property
    def contents(self) -> list[Content]:
        """All of its contents, one time after another."""
        return [*self.earlier, self.content]


class Candidate(NamedTuple):
    """Content with which an input can begin, and the input that had it."""

    content: Content
    entry: Entry


class Old(NamedTuple):
    """An input of an earlier version, known only by the digest of its file's bytes."""

    name: str


def digest_of(content: bytes) -> str:
    """Return the digest of content: BLAKE2b of 16 bytes, in hex."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def read(path: Path) -> "Known":
    """Return the inputs of a ledger, from its lines."""
    found: dict[int, Entry] = {}
    old: dict[str, Old] = {}
    highest = 0
    for line in lines_of(path):
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


def latest_lines(content: bytes) -> list[bytes]:
    """Return the lines of a ledger that no later line replaces, in order; the highest number stays.

    An incomplete line of a killed process says nothing.
    """
    found: dict[object, bytes] = {}
    for text in content.split(b"\n"):
        try:
            line = json.loads(text)
        except ValueError:
            continue
        key = line.get("number", line.get("digest")) if isinstance(line, dict) else None
        found.pop(key, None)  # its place is that of its last line
        found[key] = text
    highest = max((key for key in found if isinstance(key, int)), default=0)
    return [
        text
        for key, text in found.items()
        if key is not None and (key == highest or not json.loads(text).get("forgotten"))
    ]


def lines_of(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a ledger that are complete."""
    if not path.exists():
        return
    for text in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            line = json.loads(text)
        except ValueError:  # an incomplete line of a killed process is written again
            continue
        if isinstance(line, dict):
            yield line


class Known:
    """The known inputs of a data set."""

    def __init__(self, entries: Mapping[int, Entry], old: Mapping[str, Old], highest: int) -> None:
        """Store them by number and by digest; ``highest`` is the highest number ever used."""
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
        """Return a new number."""
        self._highest += 1
        return self._highest

    def remember(self, entry: Entry) -> None:
        """Add an input, or one that has grown."""
        self.entries[entry.number] = entry
        self._index(entry)

    def forget(self, number: int) -> None:
        """Remove an input."""
        self.entries.pop(number, None)

    def candidates(self, head: bytes) -> list[Candidate]:
        """Return the known contents with the same first bytes."""
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
        """Return the inputs for a name, a path, a file name or a digest."""
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
