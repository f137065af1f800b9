"""How questions are asked of opened sources: the instant, the pairs, the checks, the figures."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from relhealth import components, merge
from relhealth.components import HEALTH_DATA, ORGANISATIONS, Component, get_series
from relhealth.database import Row
from relhealth.engine import Engine
from relhealth.errors import DataError, QuestionError
from relhealth.inspection import newest_us
from relhealth.overview import ReleaseOverview
from relhealth.report import counted
from relhealth.scope import ProjectRelease, Scope, Stat
from relhealth.sources import Sources
from relhealth.windows import from_epoch_us, iso, parse_instant

Instant = datetime | str
_Item = TypeVar("_Item")


class Asking:
    """Opened sources, and what every question over them shares."""

    def __init__(self, sources: Sources, engine: Engine, *, org: int | None, strict: bool) -> None:
        """Take what was opened; ``org`` is the one that questions are narrowed to."""
        self.sources = sources
        self.engine = engine
        self._org = org
        self._strict = strict

    def get(self, component: Component, scope: Scope) -> list[Row]:
        """Answer one component."""
        return get_series(self.engine, component, scope)

    def figures(
        self, scope: Scope, *, needed: Collection[str] | None = None, stat: Stat = "sessions"
    ) -> tuple[ReleaseOverview, ...]:
        """Return one row a release: of the scope's pairs, else of those with sessions.

        ``needed`` names the components (fields of ``merge.Components``) that are asked, default
        all; figures of the others are null or 0.
        """

        def ask(name: str, component: Component) -> list[Row]:
            return self.get(component, scope) if needed is None or name in needed else []

        sessions = self.get(components.SESSIONS_BY_STATUS, scope)
        merged = merge.Components(
            sessions_by_status=sessions,
            errored_sessions=ask("errored_sessions", components.ERRORED_SESSIONS),
            users_by_status=ask("users_by_status", components.USERS_BY_STATUS),
            durations=ask("durations", components.DURATIONS),
            adoption=ask("adoption", components.ADOPTION),
            health_data=self._health_data(scope, sessions),
            health_stats=self.get(components.HEALTH_STATS[stat], scope) if scope.series else (),
        )
        return merge.merge(merged, scope)

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
            return datetime.now(UTC)
        return self._latest() if now == "latest" else parse_instant(now)

    def _latest(self) -> datetime:
        """Return one second after the newest session metric, so that windows hold it."""
        newest = self._newest()
        if newest is None:
            of_org = "" if self._org is None else f" of organisation {self._org}"
            files = counted(len(self.sources.files), "file")
            raise DataError(f"no session metric{of_org} in {files}")
        try:
            return parse_instant(newest + timedelta(seconds=1))
        except (OverflowError, QuestionError):
            raise DataError(
                f"the newest session metric is of {iso(newest)}: name another --now"
            ) from None

    def _newest(self) -> datetime | None:
        newest = newest_us(self.sources, self.engine)
        return None if newest is None else from_epoch_us(newest)

    def newest_known(self) -> datetime | None:
        """Return the newest session metric, for a hint; one outside the calendar is no help."""
        try:
            return self._newest()
        except DataError:
            return None

    def pairs(
        self, asked: Iterable[ProjectRelease | str], scope: Scope
    ) -> tuple[ProjectRelease, ...]:
        """Give each plain release its projects: those that had it in 90 days, else all selected."""
        asked = distinct(asked)
        projects_of: dict[str, list[int]] = defaultdict(list)
        for project, release in self.known([one for one in asked if isinstance(one, str)], scope):
            projects_of[release].append(project)
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
        return distinct(pairs)

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
        if not known:
            raise QuestionError(f"release {release!r}: no project to look in; name PROJECT/RELEASE")
        return known

    def check_rows(self, scope: Scope) -> dict[str, int]:
        """Check what the answer reads; return the rows that cannot count, by reason."""
        self._check_organisations(scope)
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

    def _health_data(self, scope: Scope, sessions: Sequence[Row]) -> list[Row]:
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


def distinct(items: Iterable[_Item]) -> tuple[_Item, ...]:
    """Return each item once, in the order of the first."""
    return tuple(dict.fromkeys(items))
