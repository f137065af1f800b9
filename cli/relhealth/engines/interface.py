"""The one interface of all engines: a batch of asks in, the rows of each out."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from relhealth.core.scope import Scope
from relhealth.core.windows import EVER, Window, recent_window
from relhealth.engines.components import Component, Over
from relhealth.machine.database import Row


class Ask(NamedTuple):
    """One component, asked for a scope.

    ``group_by`` (of project, release, environment) and ``interval`` (seconds a bucket; None: no
    buckets) are for the components by group, ``fractions`` for ``DURATION_RANKS`` alone.
    """

    component: Component
    scope: Scope
    group_by: frozenset[str] = frozenset()
    interval: int | None = None
    fractions: tuple[float, ...] = ()

    @property
    def window(self) -> Window:
        """The window of the scope that the component is asked over.

        Raises ``LookupError`` where the component is a series and the scope has none.
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
                    raise LookupError("a series was asked of a scope that has none")
                return scope.series.window

    @property
    def buckets(self) -> int | None:
        """The width of a bucket in seconds; None where the answer has no buckets."""
        if self.component.over is Over.SERIES and self.scope.series is not None:
            return self.scope.series.interval
        return self.interval

    @property
    def parted_by(self) -> list[str]:
        """What tells the rows of the answer apart, as SQL; empty where they cannot be parted."""
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

    def values(self) -> dict[str, object]:
        """Return the value of each parameter that a template may name."""
        scope, window = self.scope, self.window
        return {
            "start": window.start,
            "end": window.end,
            "interval": self.buckets,
            **{f"by_{key}": key in self.group_by for key in ("project", "release", "environment")},
            "recent": recent_window(scope.now).start,
            "now": scope.now,
            "fractions": list(self.fractions),
            "projects": _listed(scope.projects),
            "releases": _listed(scope.releases),
            "environments": _listed(scope.environments),
        }


class CannotAnswerError(Exception):
    """An engine found, while it read, that it cannot answer; the text says why."""


class Engine(Protocol):
    """Computes components. All engines give the same rows, but for their order."""

    name: str

    def refuses(self, ask: Ask) -> str | None:
        """Return why the engine cannot answer an ask; None: it can."""

    def answer(self, asks: Sequence[Ask]) -> list[list[Row]]:
        """Return the rows of each ask, in one pass over the data where it can.

        An engine answers only what it does not refuse, and never with emptiness for what it does
        not know. Raises ``CannotAnswerError`` where the data show that it cannot.
        """

    def close(self) -> None:
        """Let go of what is open."""


def _listed(values: tuple[object, ...] | None) -> list[object] | None:
    return None if values is None else list(values)
