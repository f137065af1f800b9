"""The interface of all engines: a batch of asks in, the rows of each out."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from relhealth.core.dimensions import Cut
from relhealth.core.errors import QuestionError
from relhealth.core.printable import printable
from relhealth.core.scope import Scope
from relhealth.core.windows import EVER, Window, recent_window
from relhealth.engines.components import Component, Over
from relhealth.machine.database import Row

MOST_GROUPS = 100_000  # by a dimension; they need some 300 MB
_BUCKETS = 10  # as many times more, if groups have buckets


class Ask(NamedTuple):
    """One component, asked for a scope.

    Components by group use ``group_by`` (of project, release, environment) and ``interval``
    (seconds per bucket; None: no buckets). Only ``DURATION_RANKS`` uses ``fractions``.
    ``USER_SESSIONS`` and ``FOLLOWED_USERS`` use ``statuses``, those of an event; only the latter
    uses ``follow_up``, in seconds.
    """

    component: Component
    scope: Scope
    group_by: frozenset[str] = frozenset()
    interval: int | None = None
    fractions: tuple[float, ...] = ()
    statuses: tuple[str, ...] = ()
    follow_up: int | None = None

    @property
    def window(self) -> Window:
        """The window of the scope that the component covers.

        Raises ``LookupError`` if the component is a series and the scope has none.
        """
        scope = self.scope
        match self.component.over:
            case Over.SUMMARY:
                return scope.summary
            case Over.ADOPTION:
                return scope.adoption
            case Over.HEALTH:
                return scope.health
            case Over.READ:
                return scope.read_window
            case Over.ALL:
                return scope.read_window.hull(scope.health)
            case Over.EVER:
                return EVER
            case Over.SERIES:
                if scope.series is None:
                    raise LookupError("the scope has no series")
                return scope.series.window

    @property
    def buckets(self) -> int | None:
        """The width of a bucket in seconds; None if the answer has no buckets."""
        if self.component.over is Over.SERIES and self.scope.series is not None:
            return self.scope.series.interval
        return self.interval

    @property
    def parted_by(self) -> list[str]:
        """The keys of the answer, as SQL, by which its rows can be split; empty if they cannot."""
        if not self.component.parted:
            return []
        if "bucket" not in self.component.keys:
            return list(self.component.keys)
        by = {
            "project": "project_id",
            "release": "coalesce(release, '')",
            "environment": "environment",
        }
        keys = [sql for key, sql in by.items() if key in self.group_by]
        if self.buckets is not None:
            keys.append(f"floor(epoch(timestamp) / {self.buckets})")
        return keys

    @property
    def most_rows(self) -> int | None:
        """The most rows that an answer may have; None: any number.

        A dimension can have as many values as there are sessions, more than memory can hold.
        """
        if not self.scope.by:
            return None
        return MOST_GROUPS if self.interval is None else MOST_GROUPS * _BUCKETS

    def refuse_more(self, rows: Sequence[Row]) -> None:
        """Raise ``QuestionError`` for an answer with too many rows."""
        if self.most_rows is not None and len(rows) > self.most_rows:
            raise QuestionError(
                f"by {', '.join(map(printable, self.scope.by))}: more than {self.most_rows:,}"
                " groups; ask about fewer with --where, --release or a shorter --period"
            )

    def values(self) -> dict[str, object]:
        """Return the values of all parameters of templates."""
        scope, window = self.scope, self.window
        return {
            "start": window.start,
            "end": window.end,
            "interval": self.buckets,
            **{f"by_{key}": key in self.group_by for key in ("project", "release", "environment")},
            "recent": recent_window(scope.now).start,
            "now": scope.now,
            "fractions": list(self.fractions),
            "statuses": list(self.statuses),
            "follow_up": self.follow_up,
            "projects": _listed(scope.projects),
            "releases": _listed(scope.releases),
            # A cut by other keys filters environments itself, before these take their place.
            "environments": None if scope.by else _listed(scope.environments),
        }


class Found(Protocol):
    """What an engine's sources are, for questions about them as a set."""

    @property
    def total(self) -> int:
        """How many files there are."""

    @property
    def empty(self) -> tuple[str, ...]:
        """The files that are known to have no row."""

    @property
    def any_rows(self) -> bool:
        """Whether there may be rows."""

    @property
    def rows(self) -> int | None:
        """How many rows there are; None if only reading them tells."""

    @property
    def size(self) -> int:
        """The bytes of the files."""

    @property
    def dimensions(self) -> Mapping[str, str]:
        """The columns beside the contract's, by their names without case."""

    @property
    def one_organisation(self) -> bool:
        """Whether it is known without reading that there is at most one organisation."""


class Reader(Protocol):
    """Runs templates over all rows of its sources."""

    def all_rows(
        self,
        asked: Sequence[tuple[str, Mapping[str, object]]],
        cut: Cut = Cut(),  # noqa: B008 - it is immutable
    ) -> list[list[Row]]:
        """Return the rows of each template, with its values, over the rows of a cut."""

    def refuse_columns(self, columns: Sequence[str]) -> None:
        """Raise ``DataError`` if a dimension has a type that is none of a dimension's."""


class CannotAnswerError(Exception):
    """An engine found during its work that it cannot answer; the text says why."""


class Engine(Protocol):
    """Computes components. All engines return the same rows, in any order."""

    name: str

    def refuses(self, ask: Ask) -> str | None:
        """Return why the engine cannot answer an ask; None if it can."""

    def answer(self, asks: Sequence[Ask]) -> list[list[Row]]:
        """Return the rows of each ask, in one pass over the data if possible.

        Asks that the engine refuses are not allowed. An empty answer means that there are no rows.
        Raises ``CannotAnswerError`` if the data turn out to be more than the engine can read.
        """

    def close(self) -> None:
        """Close what is open."""


def _listed(values: tuple[object, ...] | None) -> list[object] | None:
    return None if values is None else list(values)
