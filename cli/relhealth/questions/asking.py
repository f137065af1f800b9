"""How questions are asked of opened sources: the instant, the pairs, the checks, the figures."""

import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from relhealth.core import clock
from relhealth.core.errors import DataError, QuestionError
from relhealth.core.scope import Asked, ProjectRelease, Scope, Spelled, Stat
from relhealth.core.windows import from_epoch_us, parse_instant
from relhealth.core.words import counted
from relhealth.datasets.sources import Sources
from relhealth.engines import components
from relhealth.engines.components import (
    HEALTH_DATA,
    ORGANISATIONS,
    Component,
    get_series,
    window_of,
)
from relhealth.engines.duckdb.engine import Engine
from relhealth.machine import memory
from relhealth.machine.database import Observer, Row
from relhealth.questions import merge
from relhealth.questions.newest import Newest
from relhealth.questions.overview import ReleaseOverview

if TYPE_CHECKING:
    from relhealth.engines.kernel import Found
    from relhealth.engines.rollup.reader import Rollup

Instant = datetime | str
_Item = TypeVar("_Item")
_PARTS = {
    "sessions_by_status": components.SESSIONS_BY_STATUS,
    "errored_sessions": components.ERRORED_SESSIONS,
    "users_by_status": components.USERS_BY_STATUS,
    "durations": components.DURATIONS,
    "adoption": components.ADOPTION,
}


class Limits(NamedTuple):
    """What bounds the work: bytes of values that the kernel holds at once, and threads."""

    held: int
    threads: int
    observer: Observer | None

    @classmethod
    def of(
        cls, memory_limit: str | None, threads: int | None, observer: Observer | None
    ) -> "Limits":
        """Leave what is read and counted its part of the memory."""
        cores = len(os.sched_getaffinity(0))
        return cls(*memory.of_kernel(memory_limit, threads or cores), observer)


class Asking:
    """Opened sources, and what every question over them shares."""

    def __init__(
        self,
        sources: Sources,
        engine: Engine,
        limits: Limits,
        *,
        rollup: "Rollup | None",
        org: int | None,
        strict: bool,
        warn: Callable[[str], object],
    ) -> None:
        """Take what was opened; ``org`` is the one that questions are narrowed to.

        ``rollup`` is that of the sources, fresh: it answers what it can. ``warn`` gets what a
        reader must know beside the answer.
        """
        self.sources = sources
        self.engine = engine
        self._rollup = rollup
        self._limits = limits
        self._org = org
        self._strict = strict
        self.warn = warn
        self._newest = Newest(sources, engine, rollup=rollup, org=org)

    def get(
        self,
        component: Component,
        scope: Scope,
        *,
        group_by: Collection[str] = (),
        rollup: int | None = None,
    ) -> list[Row]:
        """Answer one component; the last two are for those by group."""
        found = self._by_arrays([component], scope)
        if found is not None:
            return found[0]
        return get_series(self.engine, component, scope, group_by=group_by, rollup=rollup)

    def _by_arrays(self, asked: Sequence[Component], scope: Scope) -> list[list[Row]] | None:
        """Answer components together from the rollup, if it is there and tells all of them."""
        if self._rollup is None:
            return None
        windows = [window_of(component, scope) for component in asked]
        templates = [component.template for component in asked]
        if not self._rollup.tells(*windows) or not self._rollup.counts(templates):
            return None
        found = self._rollup.figures(
            scope,
            templates,
            org=self._org,
            threads=self._limits.threads,
            memory=self._limits.held,
        )
        return [found[name] for name in templates]

    def figures(
        self,
        scope: Scope,
        *,
        needed: Collection[str] | None = None,
        stat: Stat = "sessions",
        health_data: Sequence[Row] | None = None,
    ) -> tuple[ReleaseOverview, ...]:
        """Return one row a release: of the scope's pairs, else of those with sessions.

        ``needed`` names the components (fields of ``merge.Components``) that are asked, default
        all; figures of the others are null or 0. ``health_data`` is that component, where it was
        asked already.
        """
        parts = self._by_rollup(scope, needed, stat)
        if parts is None:
            found = self._by_kernel(scope, needed, stat)
            parts = found.components if found else self._by_templates(scope, needed, stat)
        return self._merged(parts, scope, health_data)

    def checked_figures(
        self, scope: Scope, stat: Stat
    ) -> tuple[tuple[ReleaseOverview, ...], dict[str, int]]:
        """Return the figures, and the rows that cannot count, by reason; read once if that can be.

        Raises as ``check_rows``.
        """
        self._check_organisations(scope)
        parts = self._by_rollup(scope, None, stat)
        found = None if parts else self._by_kernel(scope, None, stat)
        if found is not None:
            self.refuse_if_strict(found.invalid_rows)
            return self._merged(found.components, scope, None), found.invalid_rows
        invalid = self._invalid_rows(scope)
        parts = parts or self._by_templates(scope, None, stat)
        return self._merged(parts, scope, None), invalid

    def _by_rollup(
        self, scope: Scope, needed: Collection[str] | None, stat: Stat
    ) -> merge.Components | None:
        """Ask the rollup, if it is there and tells the windows."""
        asked = _asked(scope, needed, stat)
        found = self._by_arrays(list(asked.values()), scope)
        return None if found is None else merge.Components(**dict(zip(asked, found, strict=True)))

    def _by_kernel(
        self, scope: Scope, needed: Collection[str] | None, stat: Stat
    ) -> "Found | None":
        """Ask the kernel, if it can read all the files that matter."""
        from relhealth.engines import kernel

        files = [file for file in self.sources.files if file.overlaps(scope.read_window)]
        if not all(map(kernel.is_plain, files)):
            return None
        try:
            return kernel.answer(
                files,
                kernel.Question.of(scope, needed=needed, stat=stat, org=self._org),
                limit=self._limits.held,
                threads=self._limits.threads,
                observer=self._limits.observer,
            )
        except kernel.UnsupportedError:
            return None

    def _by_templates(
        self, scope: Scope, needed: Collection[str] | None, stat: Stat
    ) -> merge.Components:
        asked = _asked(scope, needed, stat)
        return merge.Components(
            **{field: get_series(self.engine, one, scope) for field, one in asked.items()}
        )

    def _merged(
        self, found: merge.Components, scope: Scope, health_data: Sequence[Row] | None
    ) -> tuple[ReleaseOverview, ...]:
        if health_data is None:
            health_data = self._health_data(scope, found.sessions_by_status)
        return merge.merge(found._replace(health_data=health_data), scope)

    def durations_at(self, fractions: Sequence[float | None], scope: Scope) -> list[float | None]:
        """Return the durations, in seconds, that many of the way through the sorted ones.

        The scope is of one pair, with durations; for no fraction there is no duration.
        """
        wanted = [fraction for fraction in fractions if fraction is not None]
        if not wanted:
            return [None] * len(fractions)
        rows = get_series(self.engine, components.DURATION_RANKS, scope, fractions=wanted)
        found = iter(rows[0]["durations"])
        return [None if fraction is None else next(found) for fraction in fractions]

    def instant(self, now: Instant | None) -> datetime:
        """Return the instant that is asked about; ``None`` is the clock's."""
        if now is None:
            return clock.now()
        return self._newest.latest(self.warn) if now == "latest" else parse_instant(now)

    def newest_known(self) -> datetime | None:
        """Return the newest session metric, for a hint; one outside the calendar is no help."""
        try:
            newest = self._newest.us()
            return None if newest is None else from_epoch_us(newest)
        except DataError:
            return None

    def pairs(self, asked: Iterable[Asked], scope: Scope) -> tuple[ProjectRelease, ...]:
        """Give each plain release its projects: those that had it in 90 days, else all selected.

        Without any data there is no project, and so there may be no pair.
        """
        settled = distinct(self.named(asked, scope))
        projects_of: dict[str, list[int]] = defaultdict(list)
        for project, release in self.known([one for one in settled if isinstance(one, str)], scope):
            projects_of[release].append(project)
        pairs: list[ProjectRelease] = []
        for one in settled:
            if isinstance(one, str):
                projects = projects_of.get(one) or self._selected_projects(one, scope)
                pairs.extend((project, one) for project in sorted(projects))
            elif scope.projects is not None and one[0] not in scope.projects:
                raise QuestionError(
                    f"release {one[0]}/{one[1]}: project {one[0]} is not among the selected"
                    f" projects {', '.join(map(str, scope.projects))}"
                )
            else:
                pairs.append(one)
        return distinct(pairs)

    def named(self, asked: Iterable[Asked], scope: Scope) -> list[ProjectRelease | str]:
        """Settle what was typed as ``PROJECT/RELEASE``: the release of that name, if there is one.

        Raises ``QuestionError`` where there is both.
        """
        asked = list(asked)
        spelled = [one for one in asked if isinstance(one, Spelled)]
        known = set(self.known([name for one in spelled for name in (one.text, one.pair)], scope))
        return [_settled(one, known) if isinstance(one, Spelled) else one for one in asked]

    def known(
        self, asked: Iterable[ProjectRelease | str], scope: Scope
    ) -> tuple[ProjectRelease, ...]:
        """Return the pairs among those asked about that the selected projects had in 90 days."""
        asked = set(asked)
        if not asked:
            return ()
        names = {one if isinstance(one, str) else one[1] for one in asked}
        whoever = replace(scope, releases=tuple(sorted(names)), environments=None)
        found = ((row["project_id"], row["release"]) for row in self.get(HEALTH_DATA, whoever))
        return tuple(pair for pair in found if pair in asked or pair[1] in asked)

    def _selected_projects(self, release: str, scope: Scope) -> Iterable[int]:
        if scope.projects is not None:
            return scope.projects
        known = [row["project_id"] for row in self.engine.rows("projects", {})]
        if not known and self.sources.files:
            raise QuestionError(f"release {release!r}: no project to look in; name PROJECT/RELEASE")
        return known

    def check_rows(self, scope: Scope) -> dict[str, int]:
        """Check what the answer reads; return the rows that cannot count, by reason."""
        self._check_organisations(scope)
        return self._invalid_rows(scope)

    def _invalid_rows(self, scope: Scope) -> dict[str, int]:
        """Return the rows that cannot count, by reason; refused if that was asked for."""
        rows = self.get(components.INVALID_ROWS, scope)
        invalid = {row["reason"]: row["invalid"] for row in rows}
        self.refuse_if_strict(invalid)
        return invalid

    def refuse_if_strict(self, invalid: Mapping[str, int]) -> None:
        """Raise ``DataError`` for rows that cannot count, where that was asked for."""
        if invalid and self._strict:
            raise DataError([f"{counted(n, 'invalid row')}: {why}" for why, n in invalid.items()])

    def _check_organisations(self, scope: Scope) -> None:
        """Refuse a question over several organisations: their projects are not one whole."""
        if self._org is not None or self.sources.one_organisation:
            return
        found = [row["org_id"] for row in self.get(ORGANISATIONS, scope)]
        if len(found) > 1:
            raise QuestionError(
                f"the selected projects span organisations {', '.join(map(str, found))}:"
                " name one with --org"
            )

    def _health_data(self, scope: Scope, sessions: Sequence[Mapping[str, Any]]) -> list[Row]:
        """Look 90 days back, for the asked-for releases without sessions in the window alone."""
        if scope.pairs is None:
            return []
        known = merge.by_pair(sessions)
        unknown = tuple(pair for pair in scope.pairs if pair not in known)
        if not unknown:
            return []
        return self.get(HEALTH_DATA, scope.narrowed_to(unknown))

    def with_sessions(self, scope: Scope) -> set[ProjectRelease]:
        """Return the pairs with a session counter in 90 days."""
        if self._strict:
            self.check_rows(scope)
        else:
            self._check_organisations(scope)
        rows = self.get(HEALTH_DATA, scope)
        return set(merge.by_pair([row for row in rows if row["has_sessions"]]))


def _asked(scope: Scope, needed: Collection[str] | None, stat: Stat) -> dict[str, Component]:
    """Return the components that are asked for, by their fields of ``merge.Components``."""
    asked = {
        field: component
        for field, component in _PARTS.items()
        if needed is None or field in {"sessions_by_status", *needed}
    }
    return asked | ({"health_stats": components.HEALTH_STATS[stat]} if scope.series else {})


def _settled(one: Spelled, known: Collection[ProjectRelease]) -> ProjectRelease | str:
    """Return the release of the name that was typed, if it is known, else the pair."""
    projects = sorted(project for project, release in known if release == one.text)
    if not projects:
        return one.pair
    if one.pair in known:
        project, release = one.pair
        raise QuestionError(
            f"release {one.text!r}: there is a release of that name in project"
            f" {', '.join(map(str, projects))}, and a release {release!r} in project {project};"
            f" name the one by {projects[0]}/{one.text}, the other by -p {project} -r {release}"
        )
    return one.text


def distinct(items: Iterable[_Item]) -> tuple[_Item, ...]:
    """Return each item once, in the order of the first."""
    return tuple(dict.fromkeys(items))
