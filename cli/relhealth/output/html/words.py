"""The words of a page: how each is shown, and the word of a release by its figures alone."""

from collections.abc import Sequence
from typing import NamedTuple

from relhealth.core.numerals import percent
from relhealth.gate.glance import Limit, Word, evidence, word_of
from relhealth.gate.intervals import clopper_pearson
from relhealth.gate.wording import percent_bound, percent_limit
from relhealth.output.html.content import Mark, Tone
from relhealth.questions.overview import ReleaseOverview

_TONES = {
    "bad": Tone.BAD,
    "fail": Tone.BAD,
    "error": Tone.BAD,
    "worse": Tone.BAD,
    "ok": Tone.GOOD,
    "pass": Tone.GOOD,
    "better": Tone.GOOD,
    "no data": Tone.NONE,
    "shared": Tone.NONE,
}
SIGNS = {Tone.GOOD: "✓", Tone.BAD: "✕", Tone.WAIT: "…", Tone.NONE: "–"}  # noqa: RUF001 - a dash


def mark_of(word: str) -> Mark:
    """Return a word in capitals with its tone; a word that says neither good nor bad waits."""
    return Mark(word.upper(), _TONES.get(word.lower(), Tone.WAIT))


class Health(NamedTuple):
    """The word of a release and its crash-free sessions, with one-sided bounds, in percent."""

    word: Word | None
    figure: float | None = None
    lower: float | None = None
    upper: float | None = None
    total: int = 0
    limit: Limit = Limit()

    @property
    def mark(self) -> Mark:
        """The word, as a page shows it."""
        return mark_of(self.word or "no rule")

    def told(self) -> str:
        """Return the figure, with the bound that decides."""
        if self.figure is None or self.lower is None or self.upper is None:
            return "no sessions in the window"
        text = f"{percent(self.figure)} crash-free sessions (of {self.total:,})"
        target, critical = self.limit.target, self.limit.critical
        least = percent_bound(self.lower, target, upper=False)
        most = percent_bound(self.upper, critical, upper=True)
        match self.word:
            case None:
                return f"{text}; the policy's rules need more than these"
            case Word.BAD:
                return f"{text}, surely at most {most}; bad is below {percent_limit(critical)}"
            case Word.OK:
                return f"{text}, surely at least {least}; the target is {percent_limit(target)}"
            case _:
                return f"{text}, between {least} and {most}; the target is {percent_limit(target)}"


def health_of(row: ReleaseOverview, limits: Sequence[Limit]) -> Health:
    """Return the word of a release by limits, as the overview's table, with the bounds of it."""
    word = word_of(row, limits)
    if not row.total_sessions:
        return Health(Word.NO_DATA)
    limit = next((one for one in limits if word_of(row, [one]) is word), Limit())
    seen = evidence(row, limit)
    upper = clopper_pearson(seen.fails, seen.least, limit.confidence).lower
    lower = clopper_pearson(seen.passes, seen.most, limit.confidence).upper if seen.most else 1.0
    return Health(
        word,
        row.crash_free_sessions,
        100 - 100 * lower,
        100 - 100 * upper,
        row.total_sessions,
        limit,
    )
