"""The tally of an ingest: counts its items, and how they were read, in bounded memory."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from relhealth.core.printable import excerpt

_MOST_WORDS = 200  # different words from the data that are counted separately
_EXAMPLES = 2
_LONGEST_WORD = 80
OTHER = "(others)"

MISSING_STATUS = "(missing)"


@dataclass(slots=True)
class Tally:
    """The counts of an ingest's items, and how they were read.

    Each item is in exactly one of ``accepted`` (by kind), ``passed_over`` (skipped, by kind) and
    ``rejected`` (by reason, of which there is a bounded set). ``lost`` counts the fields, by name,
    that accepted items lost because they were bad. ``examples`` holds at most two values per
    reason or lost field. ``statuses`` counts accepted updates and rows by status,
    ``unknown_statuses`` rejected rows by their unknown word. ``times`` counts, by
    field, the formats of its instants, ``mixed_times`` names inputs (with their column) that mix
    units. ``columns`` holds the columns that each field used, ``ignored`` those that
    no field used. ``without_release`` counts updates and rows without a release.
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
        """Count an item about something else."""
        _count_word(self.passed_over, what)

    def lose(self, name: str, value: object) -> None:
        """Count a field that an accepted item lost."""
        self.lost[name] += 1
        self.keep_example(name, value)

    def unknown_status(self, word: str) -> None:
        """Count a row by its unknown word for a status."""
        _count_word(self.unknown_statuses, word)

    def written(self, name: str, how: str, count: int = 1) -> None:
        """Count the formats of the instants of a field."""
        self.times.setdefault(name, Counter())[how] += count

    def mixed(self, source: str, column: str) -> None:
        """Record that an input mixes units in a column of instants."""
        if len(self.mixed_times) < _MOST_WORDS:
            self.mixed_times.append(f"{excerpt(source, 200)}: {excerpt(column)}")

    def used(self, columns: Mapping[str, str], found: Iterable[str]) -> None:
        """Record the used columns of a table, and its other columns."""
        for name, column in columns.items():
            _add(self.columns.setdefault(name, []), column)
        taken = {each for names in self.columns.values() for each in names}
        for column in found:
            if excerpt(column) not in taken:
                _add(self.ignored, column)

    def keep_example(self, reason: str, value: object) -> None:
        """Keep a value as an example, if there are not enough."""
        kept = self.examples.setdefault(reason, [])
        if len(kept) < _EXAMPLES:
            plain = isinstance(value, str | Decimal)
            shown = excerpt(str(value) if plain else repr(value))
            if shown not in kept:
                kept.append(shown)

    def add(self, other: "Tally") -> None:
        """Add the counts of another ingest."""
        for counts in ("accepted", "passed_over", "rejected", "lost"):
            getattr(self, counts).update(getattr(other, counts))
        self.statuses.update(other.statuses)
        self.unknown_statuses.update(other.unknown_statuses)
        self.without_release += other.without_release
        for name, formats in other.times.items():
            self.times.setdefault(name, Counter()).update(formats)
        for reason, examples in other.examples.items():
            kept = self.examples.setdefault(reason, [])
            kept += [one for one in examples if one not in kept][: _EXAMPLES - len(kept)]


def _count_word(counter: Counter[str], word: str) -> None:
    word = excerpt(word, _LONGEST_WORD)
    counter[word if word in counter or len(counter) < _MOST_WORDS else OTHER] += 1


def _add(names: list[str], name: str) -> None:
    name = excerpt(name)
    if name not in names and len(names) < _MOST_WORDS:
        names.append(name)
