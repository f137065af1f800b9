"""Questions about release health, asked of session-metric Parquet files."""

import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import wraps
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, overload

from relhealth import components, merge
from relhealth.components import HEALTH_DATA, ORGANISATIONS, Component, get_series
from relhealth.database import Observer, Row, check_limits
from relhealth.engine import Engine
from relhealth.errors import ChangedError, DataError, QuestionError
from relhealth.inspection import Inspection, inspect_sources, newest_us
from relhealth.overview import Overview
from relhealth.printable import printable
from relhealth.report import counted
from relhealth.scope import (
    ProjectRelease,
    Scope,
    check_environments,
    check_org,
    check_pair,
    check_projects,
    check_release,
    check_stat,
)
from relhealth.sources import Sources, open_sources
from relhealth.windows import check_period, from_epoch_us, iso, parse_instant

Instant = datetime | str
Source = str | os.PathLike[str]
_PATIENCE = 10  # times that changing sources are found anew
_Item = TypeVar("_Item")
_Asked = ParamSpec("_Asked")
_Answer = TypeVar("_Answer")


def _anew_when_changed(ask: Callable[_Asked, _Answer]) -> Callable[_Asked, _Answer]:
    """Find the sources anew when files of theirs went while a question was answered."""

    @wraps(ask)
    def asked(*args: _Asked.args, **kwargs: _Asked.kwargs) -> _Answer:
        for _ in range(_PATIENCE):
            try:
                return ask(*args, **kwargs)
            except ChangedError:
                (health,) = (one for one in args if isinstance(one, ReleaseHealth))
                health.close()
        return ask(*args, **kwargs)

    return asked


class ReleaseHealth:
    """Release health of some sources: Parquet files, directories, glob patterns.

    ``org`` narrows every question to one organisation; without it, a question whose projects span
    several is refused. ``strict`` makes rows that cannot count an error. ``memory_limit`` (such as
    ``"1GB"``) and ``threads`` bound the work; ``observer`` is told of progress.

    Sources are found and checked when the first question is asked, once. Every method raises
    ``QuestionError`` (a ``ValueError``) for a question that cannot be asked and ``DataError`` for
    data that cannot be used. One object serves one thread.
    """

    def __init__(
        self,
        sources: Source | Sequence[Source],
        *,
        org: int | None = None,
        strict: bool = False,
        memory_limit: str | None = None,
        threads: int | None = None,
        observer: Observer | None = None,
    ) -> None:
        """Name the sources; nothing is read yet.

        Raises ``QuestionError`` for limits that cannot be.
        """
        check_limits(memory_limit, threads)
        check_org(org)
        self._named = [sources] if isinstance(sources, str | os.PathLike) else list(sources)
        self._org = org
        self._strict = strict
        self._memory_limit = memory_limit
        self._threads = threads
        self._observer = observer
        self._opened: tuple[Sources, Engine] | None = None

    def close(self) -> None:
        """Let go of the sources; a later question opens them anew."""
        if self._opened is not None:
            self._opened[1].close()
            self._opened = None

    def __enter__(self) -> Self:
        """Return the object itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    @_anew_when_changed
    def overview(
        self,
        project_releases: Iterable[ProjectRelease | str] | None = None,
        *,
        projects: Iterable[int] | None = None,
        environments: Iterable[str] | None = None,
        summary_stats_period: str = "24h",
        health_stats_period: str | None = None,
        stat: str = "sessions",
        now: Instant | None = None,
    ) -> Overview:
        """Answer Sentry's ``get_release_health_data_overview``: one row a release.

        ``project_releases`` holds ``(project_id, release)`` pairs, each of which gets its row,
        known or not, and plain releases, which stand for every project that had them in the last
        90 days (for each of the selected projects where none did). Without it the rows are all
        pairs with a session counter in the window. ``environments`` holds ``''`` for sessions
        without one. ``health_stats_period`` adds a series of ``stat`` (``sessions`` or ``users``).
        ``now`` is an instant, ISO 8601 text or ``"latest"`` (one second after the newest session
        metric); default the clock.
        """
        stat = check_stat(stat)
        periods = {"period": check_period(summary_stats_period)}
        if health_stats_period is not None:
            periods["stats_period"] = check_period(health_stats_period)
        if isinstance(project_releases, str):
            raise QuestionError("project_releases: expected several releases, not one text")
        asked = None if project_releases is None else [_asked(one) for one in project_releases]
        selected, filtered = check_projects(projects), check_environments(environments)
        scope = Scope.resolve(
            self._instant(now), projects=selected, environments=filtered, **periods
        )
        if asked is not None:
            scope = scope.narrowed_to(self._pairs(asked, scope))
        invalid = self._check_rows(scope)
        ask = self._asker(scope)
        sessions = ask(components.SESSIONS_BY_STATUS)
        merged = merge.Components(
            sessions_by_status=sessions,
            errored_sessions=ask(components.ERRORED_SESSIONS),
            users_by_status=ask(components.USERS_BY_STATUS),
            durations=ask(components.DURATIONS),
            adoption=ask(components.ADOPTION),
            health_data=self._health_data(scope, sessions),
            health_stats=ask(components.HEALTH_STATS[stat]) if scope.series else (),
        )
        rows = merge.merge(merged, scope)
        nothing = not any(row.total_sessions for row in rows)
        return Overview(
            rows=rows,
            scope=scope,
            period=summary_stats_period,
            stat=stat,
            files=len(self._sources.files) + len(self._sources.empty),
            empty_files=self._sources.empty,
            invalid_rows=invalid,
            newest=self._newest_known() if nothing else None,
        ).ordered()

    @_anew_when_changed
    def adoption(
        self,
        project_releases: Iterable[ProjectRelease],
        *,
        environments: Iterable[str] | None = None,
        now: Instant | None = None,
    ) -> dict[ProjectRelease, dict[str, Any]]:
        """Answer Sentry's ``get_release_adoption`` for the last 24 hours, in whole hours.

        Returns a mapping from pair to ``adoption``, ``sessions_adoption`` (percent of the project's
        users and sessions; ``None`` where a count is 0), ``users_24h``, ``sessions_24h``,
        ``project_users_24h``, ``project_sessions_24h``. Pairs never seen in 90 days are absent.
        """
        pairs = _distinct(check_pair(pair) for pair in project_releases)
        scope = Scope.resolve(
            self._instant(now), environments=check_environments(environments)
        ).narrowed_to(pairs)
        self._check_rows(scope)
        ask = self._asker(scope)
        adoption = merge.Adoption.of(ask(components.ADOPTION))
        seen = merge.by_pair(ask(components.HEALTH_DATA))
        return {pair: adoption.figures(pair) for pair in pairs if pair in seen}

    @overload
    def check_has_health_data(
        self, projects_or_pairs: Collection[int], *, now: Instant | None = None
    ) -> set[int]: ...

    @overload
    def check_has_health_data(
        self, projects_or_pairs: Collection[ProjectRelease], *, now: Instant | None = None
    ) -> set[ProjectRelease]: ...

    @_anew_when_changed
    def check_has_health_data(
        self,
        projects_or_pairs: Collection[int] | Collection[ProjectRelease],
        *,
        now: Instant | None = None,
    ) -> set[int] | set[ProjectRelease]:
        """Return which of the projects, or of the pairs, had a session counter in 90 whole days."""
        try:
            asked = list(projects_or_pairs)
        except TypeError:
            raise QuestionError("expected several project ids, or several pairs") from None
        scope = Scope.resolve(self._instant(now))
        projects = [one for one in asked if isinstance(one, int)]
        if len(projects) == len(asked):
            if not projects:
                return set()
            found = self._with_sessions(replace(scope, projects=check_projects(projects)))
            return {project for project, _ in found}
        pairs = _distinct(check_pair(pair) for pair in asked)
        return self._with_sessions(scope.narrowed_to(pairs)).intersection(pairs)

    @_anew_when_changed
    def inspect(self, *, now: Instant | None = None) -> Inspection:
        """Tell what is in the sources, of all time: files, metrics, projects, releases, faults."""
        found = inspect_sources(
            self._sources, self._engine, self._instant(now), whole=self._org is None
        )
        self._refuse_if_strict(found.invalid_rows)
        return found

    @property
    def _sources(self) -> Sources:
        return self._open()[0]

    @property
    def _engine(self) -> Engine:
        return self._open()[1]

    def _open(self) -> tuple[Sources, Engine]:
        if self._opened is None:
            sources = open_sources(self._named)
            if self._strict and sources.empty:
                raise DataError([f"{printable(p)}: the file has no rows" for p in sources.empty])
            engine = Engine(
                sources,
                org=self._org,
                memory_limit=self._memory_limit,
                threads=self._threads,
                observer=self._observer,
            )
            self._opened = sources, engine
        return self._opened

    def _instant(self, now: Instant | None) -> datetime:
        if now is None:
            return datetime.now(UTC)
        return self._latest() if now == "latest" else parse_instant(now)

    def _latest(self) -> datetime:
        """Return one second after the newest session metric, so that windows hold it."""
        newest = self._newest()
        if newest is None:
            of_org = "" if self._org is None else f" of organisation {self._org}"
            files = counted(len(self._sources.files), "file")
            raise DataError(f"no session metric{of_org} in {files}")
        try:
            return parse_instant(newest + timedelta(seconds=1))
        except (OverflowError, QuestionError):
            raise DataError(
                f"the newest session metric is of {iso(newest)}: name another --now"
            ) from None

    def _newest(self) -> datetime | None:
        newest = newest_us(self._sources, self._engine)
        return None if newest is None else from_epoch_us(newest)

    def _newest_known(self) -> datetime | None:
        """Return the newest session metric, for a hint; one outside the calendar is no help."""
        try:
            return self._newest()
        except DataError:
            return None

    def _asker(self, scope: Scope) -> Callable[[Component], list[Row]]:
        return lambda component: get_series(self._engine, component, scope)

    def _pairs(
        self, asked: Iterable[ProjectRelease | str], scope: Scope
    ) -> tuple[ProjectRelease, ...]:
        """Give each plain release its projects: those that had it in 90 days, else all selected."""
        asked = _distinct(asked)
        plain = tuple(one for one in asked if isinstance(one, str))
        projects_of: dict[str, list[int]] = defaultdict(list)
        if plain:
            whoever = replace(scope, releases=plain, environments=None)
            for row in get_series(self._engine, HEALTH_DATA, whoever):
                projects_of[row["release"]].append(row["project_id"])
        pairs: list[ProjectRelease] = []
        for one in asked:
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
        return _distinct(pairs)

    def _selected_projects(self, release: str, scope: Scope) -> Iterable[int]:
        if scope.projects is not None:
            return scope.projects
        known = [row["project_id"] for row in self._engine.rows("projects", {})]
        if not known:
            raise QuestionError(f"release {release!r}: no project to look in; name PROJECT/RELEASE")
        return known

    def _check_rows(self, scope: Scope) -> dict[str, int]:
        """Check what the answer reads; return the rows that cannot count, by reason."""
        self._check_organisations(scope)
        rows = get_series(self._engine, components.INVALID_ROWS, scope)
        invalid = {row["reason"]: row["invalid"] for row in rows}
        self._refuse_if_strict(invalid)
        return invalid

    def _refuse_if_strict(self, invalid: Mapping[str, int]) -> None:
        if invalid and self._strict:
            raise DataError([f"{counted(n, 'invalid row')}: {why}" for why, n in invalid.items()])

    def _check_organisations(self, scope: Scope) -> None:
        """Refuse a question over several organisations: their projects are not one whole."""
        if self._org is not None or self._sources.one_organisation:
            return
        found = [row["org_id"] for row in get_series(self._engine, ORGANISATIONS, scope)]
        if len(found) > 1:
            raise QuestionError(
                f"the selected projects span organisations {', '.join(map(str, found))}:"
                " name one with --org"
            )

    def _health_data(self, scope: Scope, sessions: Sequence[Row]) -> list[Row]:
        """Look 90 days back, for the asked-for releases without sessions in the window alone."""
        if scope.pairs is None:
            return []
        known = merge.by_pair(sessions)
        unknown = tuple(pair for pair in scope.pairs if pair not in known)
        if not unknown:
            return []
        return get_series(self._engine, HEALTH_DATA, scope.narrowed_to(unknown))

    def _with_sessions(self, scope: Scope) -> set[ProjectRelease]:
        if self._strict:
            self._check_rows(scope)
        else:
            self._check_organisations(scope)
        rows = get_series(self._engine, HEALTH_DATA, scope)
        return set(merge.by_pair([row for row in rows if row["has_sessions"]]))


def _asked(one: ProjectRelease | str) -> ProjectRelease | str:
    return check_release(one) if isinstance(one, str) else check_pair(one)


def _distinct(items: Iterable[_Item]) -> tuple[_Item, ...]:
    return tuple(dict.fromkeys(items))
