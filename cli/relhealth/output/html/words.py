"""The words of a page: how each is shown, and the word of a release by its figures alone."""

from typing import NamedTuple

from relhealth.core.numerals import percent
from relhealth.gate.intervals import clopper_pearson
from relhealth.gate.status import CRITICAL, TARGET, Word
from relhealth.gate.wording import percent_bound, percent_limit
from relhealth.output.html.content import Mark, Tone

CONFIDENCE = 0.95  # of each bound of a word
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
    """The word of a release and its crash-free percentage, with one-sided bounds."""

    word: Word
    figure: float | None = None
    lower: float | None = None
    upper: float | None = None
    total: int = 0

    @property
    def mark(self) -> Mark:
        """The word, as a page shows it."""
        return mark_of(self.word)

    def told(self, what: str) -> str:
        """Return the figure of ``what`` (sessions or users) with the bound that decides."""
        if self.figure is None or self.lower is None or self.upper is None:
            return f"no {what} in the window"
        text = f"{percent(self.figure)} crash-free {what} (of {self.total:,}),"
        least = percent_bound(self.lower, TARGET, upper=False)
        most = percent_bound(self.upper, CRITICAL, upper=True)
        match self.word:
            case Word.BAD:
                return f"{text} surely at most {most}; bad is below {percent_limit(CRITICAL)}"
            case Word.OK:
                return f"{text} surely at least {least}; the target is {percent_limit(TARGET)}"
            case _:
                return f"{text} between {least} and {most}; the target is {percent_limit(TARGET)}"


def health_of(crashed: int, total: int | None) -> Health:
    """Return the word of a release: by its crash-free figure, with bounds that are 95% sure."""
    if not total:
        return Health(Word.NO_DATA)
    bad = min(crashed, total)
    share = clopper_pearson(bad, total, CONFIDENCE)
    figure, lower, upper = (100 - 100 * one for one in (bad / total, share.upper, share.lower))
    word = Word.BAD if upper < CRITICAL else Word.OK if lower >= TARGET else Word.TOO_EARLY
    return Health(word, figure, lower, upper, total)
