"""The kernel as an engine: the asks that it answers, and one pass over the files per batch."""

from collections.abc import Sequence

from relhealth.core.windows import hull
from relhealth.datasets.dictionaries import UnsupportedError
from relhealth.datasets.fetching import fetch
from relhealth.datasets.labels import STATUSES
from relhealth.datasets.plain_parquet import is_plain
from relhealth.datasets.sources import Sources
from relhealth.engines.components import USERS_BY_GROUP
from relhealth.engines.interface import Ask, CannotAnswerError
from relhealth.engines.kernel.question import KNOWN, Question, in_whole_seconds
from relhealth.engines.kernel.scanning import answer
from relhealth.machine import memory
from relhealth.machine.database import Observer, Row

_MOST_BUCKETS = 10_000  # with more, arrays are too small to be fast


class KernelEngine:
    """One pass over plain Parquet files, in bounded memory."""

    name = "kernel"

    def __init__(
        self,
        sources: Sources,
        *,
        org: int | None,
        memory_limit: str | None,
        threads: int,
        observer: Observer | None,
    ) -> None:
        """Read nothing yet; ``org`` narrows every question to one organisation."""
        self._sources = sources
        self._org = org
        self._held, self._threads = memory.of_kernel(memory_limit, threads)
        self._observer = observer

    def refuses(self, ask: Ask) -> str | None:
        """Return why the kernel cannot answer an ask; None if it can."""
        if ask.component not in KNOWN:
            return f"it does not know {ask.component.name}"
        window = ask.window
        if not in_whole_seconds(window):
            return "it answers only for whole seconds"
        for status in ask.statuses:
            if status not in STATUSES[1:]:
                return f"it does not distinguish the status {status!r}"
        length = window.end - window.start
        if ask.buckets is not None and length.total_seconds() > ask.buckets * _MOST_BUCKETS:
            return f"it answers at most {_MOST_BUCKETS:,} buckets"
        mechanisms = ask.component == USERS_BY_GROUP
        for file in self._sources.files:
            if file.overlaps(window) and not is_plain(file, mechanisms=mechanisms):
                return f"the columns of {file.path} need a cast"
        return None

    def answer(self, asks: Sequence[Ask]) -> list[list[Row]]:
        """Return the rows of each ask, in one pass."""
        window = hull([ask.window for ask in asks])
        files = [file for file in self._sources.files if file.overlaps(window)]
        fetch(files, window)
        try:
            return answer(
                files,
                Question.of(asks, org=self._org),
                limit=self._held,
                threads=self._threads,
                observer=self._observer,
            )
        except UnsupportedError as error:
            raise CannotAnswerError(f"Arrow cannot read a file ({error})") from error

    def close(self) -> None:
        """Do nothing: no file stays open."""
