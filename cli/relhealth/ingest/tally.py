"""The tally of an ingest: what became of its items, and how they were read, in bounded memory."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from relhealth.core.printable import excerpt

_MOST_WORDS = 200  # different words from the data that are counted by themselves
_EXAMPLES = 2
_LONGEST_WORD = 80
OTHER = "(others)"

MISSING_STATUS = "(missing)"


@dataclass(slots=True)
class Tally:
    """What became of the items of an ingest, and how they were read.

    Each item seen is in exactly one of ``accepted`` (by kind), ``passed_over`` (by what it was) and
    ``rejected`` (by reason, of which there is a bounded set). ``lost`` counts the fields, by name,
    that accepted items lost since they could not be read. ``examples`` holds at most two values a
    reason or lost field. ``statuses`` counts accepted updates and rows by status,
    ``unknown_statuses`` rejected rows by the word that is no known status. ``times`` counts, by
    field, how its instants were written, ``mixed_times`` names inputs (with their column) that mix
    such units. ``columns`` holds the columns that each field was read from, ``ignored`` those that
    no field was read from. ``without_release`` counts updates and rows that have none.
    """

    accepted: Counter[str] = field(default_factory=Counter)
    passed_over: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    statuses: Counter[str] = field(default_factory=Counter)
    unknown_statuses: Counter[str] = field(default_factory=Counter)
    times: dict[str, Counter[str]] = field(default_factory=dict)
    mixed_times: list[str] = field(default_factory=list)
    columns: dict[str, list[str]] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    without_release: int = 0

    @property
    def seen(self) -> int:
        """All items."""
        return self.accepted.total() + self.passed_over.total() + self.rejected.total()

    def pass_over(self, what: str) -> None:
        """Count an item that is about something else."""
        _count_word(self.passed_over, what)

    def lose(self, name: str, value: object) -> None:
        """Count a field that an accepted item lost."""
        self.lost[name] += 1
        self.keep_example(name, value)

    def unknown_status(self, word: str) -> None:
        """Count a row by its word for a status, which is not known."""
        _count_word(self.unknown_statuses, word)

    def written(self, name: str, how: str, count: int = 1) -> None:
        """Count how the instants of a field were written."""
        self.times.setdefault(name, Counter())[how] += count

    def mixed(self, source: str, column: str) -> None:
        """Keep that an input mixes units in a column of instants."""
        if len(self.mixed_times) < _MOST_WORDS:
            self.mixed_times.append(f"{excerpt(source, 200)}: {excerpt(column)}")

    def used(self, columns: Mapping[str, str], found: Iterable[str]) -> None:
        """Keep the columns that a table was read from, and those that it has besides."""
        for name, column in columns.items():
            _add(self.columns.setdefault(name, []), column)
        taken = {each for names in self.columns.values() for each in names}
        for column in found:
            if excerpt(column) not in taken:
                _add(self.ignored, column)

    def keep_example(self, reason: str, value: object) -> None:
        """Keep a value as an example, where there are not enough."""
        kept = self.examples.setdefault(reason, [])
        if len(kept) < _EXAMPLES:
            plain = isinstance(value, str | Decimal)
            shown = excerpt(str(value) if plain else repr(value))
            if shown not in kept:
                kept.append(shown)


def _count_word(counter: Counter[str], word: str) -> None:
    word = excerpt(word, _LONGEST_WORD)
    counter[word if word in counter or len(counter) < _MOST_WORDS else OTHER] += 1


def _add(names: list[str], name: str) -> None:
    name = excerpt(name)
    if name not in names and len(names) < _MOST_WORDS:
        names.append(name)
