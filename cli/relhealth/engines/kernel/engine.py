"""The kernel as an engine: which asks it answers, and its pass over the files for a batch."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from relhealth.core.scope import Scope, Stat
from relhealth.core.windows import hull
from relhealth.datasets.dictionaries import UnsupportedError
from relhealth.datasets.sources import Sources
from relhealth.engines.components import (
    ADOPTION,
    DURATIONS,
    ERRORED_SESSIONS,
    HEALTH_STATS,
    INVALID_ROWS,
    SESSIONS_BY_STATUS,
    USERS_BY_STATUS,
)
from relhealth.engines.interface import Ask, CannotAnswerError
from relhealth.engines.kernel.question import Question
from relhealth.engines.kernel.rows import is_plain
from relhealth.engines.kernel.scanning import Found, answer
from relhealth.machine import memory
from relhealth.machine.database import Observer, Row

_NAMES = {
    SESSIONS_BY_STATUS: "sessions_by_status",
    ERRORED_SESSIONS: "errored_sessions",
    USERS_BY_STATUS: "users_by_status",
    DURATIONS: "durations",
    ADOPTION: "adoption",
    HEALTH_STATS["sessions"]: "health_stats",
    HEALTH_STATS["users"]: "health_stats",
}


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
        """Return why the kernel cannot answer an ask; None: it can."""
        if ask.component not in _NAMES and ask.component != INVALID_ROWS:
            return f"it does not know {ask.component.name}"
        for file in self._sources.files:
            if file.overlaps(ask.window) and not is_plain(file):
                return f"it does not read the columns of {file.path} as they are"
        return None

    def answer(self, asks: Sequence[Ask]) -> list[list[Row]]:
        """Return the rows of each ask: one pass for all of one scope."""
        scopes: dict[Scope, list[int]] = defaultdict(list)
        for number, ask in enumerate(asks):
            scopes[ask.scope].append(number)
        rows: list[list[Row]] = [[] for _ in asks]
        for scope, numbers in scopes.items():
            for stat, some in _by_series(asks, numbers):
                found = self._pass(scope, stat, [asks[number] for number in some])
                for number in some:
                    rows[number] = _rows(asks[number], found)
        return rows

    def _pass(self, scope: Scope, stat: Stat, asks: Sequence[Ask]) -> Found:
        window = hull([ask.window for ask in asks])
        try:
            return answer(
                [file for file in self._sources.files if file.overlaps(window)],
                Question.of(scope, [ask.component for ask in asks], stat=stat, org=self._org),
                limit=self._held,
                threads=self._threads,
                observer=self._observer,
            )
        except UnsupportedError as error:
            raise CannotAnswerError(f"Arrow cannot read a file ({error})") from error

    def close(self) -> None:
        """Do nothing: no file stays open."""


def _by_series(asks: Sequence[Ask], numbers: Sequence[int]) -> Iterator[tuple[Stat, Sequence[int]]]:
    """Yield what one pass can answer: all of a scope, but of the two series just one."""
    of_users = [n for n in numbers if asks[n].component == HEALTH_STATS["users"]]
    of_sessions = [n for n in numbers if asks[n].component == HEALTH_STATS["sessions"]]
    if of_users and of_sessions:
        yield "users", of_users
        numbers = [n for n in numbers if n not in of_users]
    yield "users" if of_users and not of_sessions else "sessions", numbers


def _rows(ask: Ask, found: Found) -> list[Row]:
    if ask.component == INVALID_ROWS:
        return [{"reason": why, "invalid": n} for why, n in found.invalid_rows.items()]
    return list(found.rows.get(_NAMES[ask.component], ()))
