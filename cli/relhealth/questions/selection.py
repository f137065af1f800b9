"""What questions select, checked before relhealth opens any source."""

from collections.abc import Iterable, Sized
from datetime import datetime
from typing import NamedTuple

from relhealth.core.dimensions import Condition
from relhealth.core.errors import QuestionError
from relhealth.core.scope import (
    Scope,
    check_environments,
    check_projects,
    check_release,
    check_several,
)
from relhealth.core.windows import Window, check_period, parse_window

Instant = datetime | str


class Selection(NamedTuple):
    """The projects and environments of a question (``None``: all), and the period of its totals."""

    projects: tuple[int, ...] | None = None
    environments: tuple[str, ...] | None = None
    period: str = "24h"

    @classmethod
    def of(
        cls,
        projects: Iterable[int] | None = None,
        environments: Iterable[str] | None = None,
        period: str = "24h",
    ) -> "Selection":
        """Check the parameters of a question."""
        checked = check_period(period)
        return cls(check_projects(projects), check_environments(environments), checked)

    def scope(
        self,
        now: datetime,
        *,
        stats_period: str | None = None,
        where: tuple[Condition, ...] = (),
    ) -> Scope:
        """Return the scope of a question about ``now``, and rows that meet conditions."""
        return Scope.resolve(
            now,
            period=self.period,
            stats_period=stats_period,
            projects=self.projects,
            environments=self.environments,
            where=where,
        )


def check_ids(project_ids: Iterable[int]) -> tuple[int, ...]:
    """Return project ids, sorted, each once. Unlike a filter, they can be none."""
    if isinstance(project_ids, Sized) and not project_ids:
        return ()
    return check_projects(project_ids) or ()


def check_names(releases: Iterable[str], none: str | None = None) -> tuple[str, ...]:
    """Return names of releases, sorted, each once; ``none`` is a further name that is valid."""
    names = check_several("releases", releases)
    return tuple(sorted({name if name == none else check_release(name) for name in names}))


def check_name_filter(releases: Iterable[str] | None) -> tuple[str, ...] | None:
    """Return the names of a filter; ``''`` means sessions without a release."""
    if releases is None:
        return None
    names = check_names(releases, none="")
    if not names:
        raise QuestionError("releases: none named; leave the filter out to ask for all")
    return names


def check_window(what: str, window: tuple[Instant, Instant]) -> Window:
    """Return the window of a ``(start, end)`` pair."""
    if not isinstance(window, tuple | list) or len(window) != 2:  # noqa: PLR2004 - its ends
        raise QuestionError(f"{what} {window!r}: expected a window (start, end)")
    return parse_window(*window)
