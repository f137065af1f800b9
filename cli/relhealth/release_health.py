"""Questions about release health, answered from session-metric Parquet files."""

import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, overload

from relhealth.core import clock
from relhealth.core.errors import QuestionError
from relhealth.core.scope import (
    Asked,
    ProjectRelease,
    Scope,
    check_all_asked,
    check_asked,
    check_environments,
    check_pair,
    check_pairs,
    check_projects,
    check_stat,
)
from relhealth.core.windows import check_period, parse_instant, to_epoch_us
from relhealth.engines import components
from relhealth.engines.interface import Ask
from relhealth.machine import memory
from relhealth.questions import merge
from relhealth.questions.asking import Instant, distinct
from relhealth.questions.opened import anew_when_changed
from relhealth.questions.overview import Overview
from relhealth.questions.service_questions import ServiceQuestions

if TYPE_CHECKING:
    from relhealth.datasets.verification import Verification
    from relhealth.gate.compare import Comparison
    from relhealth.gate.policy import Policy
    from relhealth.gate.replay import Replay
    from relhealth.gate.run import Gate
    from relhealth.questions.inspection import Inspection


class ReleaseHealth(ServiceQuestions):
    """Answers questions about sources: Parquet files, directories, glob patterns.

    ``org`` limits every question to one organisation; without it, a question whose projects belong
    to several raises an error. ``strict`` makes invalid rows an error. ``memory_limit`` (such as
    ``"1GB"``; default: half of the available) and ``threads`` limit the work; ``observer`` receives
    progress.

    The first question finds and checks the sources, once. Every method raises
    ``QuestionError`` (a ``ValueError``) for an invalid question and ``DataError`` for
    unusable data. Use an object in one thread only.
    """

    @anew_when_changed
    def overview(
        self,
        project_releases: Iterable[Asked] | None = None,
        *,
        projects: Iterable[int] | None = None,
        environments: Iterable[str] | None = None,
        summary_stats_period: str = "24h",
        health_stats_period: str | None = None,
        stat: str = "sessions",
        now: Instant | None = None,
    ) -> Overview:
        """Answer Sentry's ``get_release_health_data_overview``: one row per release.

        ``project_releases`` holds ``(project_id, release)`` pairs, each of which gets a row,
        known or not, and releases without a project, which mean every project that had them in the
        last 90 days (or each selected project if none did). Without it, the rows are all
        pairs with a session counter in the window. ``environments`` holds ``''`` for sessions
        without one. ``health_stats_period`` adds a series of ``stat`` (``sessions`` or ``users``).
        ``now`` is an instant, ISO 8601 text or ``"latest"`` (one second after the newest session
        metric); default the clock.
        """
        stat = check_stat(stat)
        periods = {"period": check_period(summary_stats_period)}
        if health_stats_period is not None:
            periods["stats_period"] = check_period(health_stats_period)
        asked = (
            None
            if project_releases is None
            else check_all_asked("project_releases", project_releases)
        )
        selected, filtered = check_projects(projects), check_environments(environments)
        asking, instant = self.asking(now)
        scope = Scope.resolve(instant, projects=selected, environments=filtered, **periods)
        if asked is not None:
            scope = scope.narrowed_to(asking.pairs(asked, scope))
        figures, invalid = asking.checked_figures(scope, stat=stat)
        rows = figures.rows
        nothing = not any(row.total_sessions for row in rows)
        return Overview(
            rows=rows,
            scope=scope,
            period=summary_stats_period,
            stat=stat,
            files=asking.sources.total,
            empty_files=asking.sources.empty,
            invalid_rows=invalid,
            newest=asking.newest_known() if nothing else None,
        ).ordered()

    @anew_when_changed
    def gate(
        self,
        releases: Sequence[Asked],
        policy: "Policy",
        *,
        now: Instant | None = None,
    ) -> "Gate":
        """Judge releases by a policy: pass, fail, or inconclusive, each rule with its reason.

        ``releases`` holds pairs, releases (each in every project that had it in 90 days) or
        ``"latest"``: the newest version of each project and package. Raises ``QuestionError`` for
        an invalid policy, ``DataError`` for data older than its ``max_age``.
        """
        from relhealth.gate.policy import check_policy
        from relhealth.gate.run import Judge, candidates

        policy = check_policy(policy)
        asked = check_all_asked("releases", releases)
        asking, instant = self.asking(now)
        judge = Judge(asking, policy, instant, projects=check_projects(policy.projects))
        pairs = candidates(asking, judge, asked)
        judge.refuse_stale(pairs)
        return judge.judge(pairs)

    @anew_when_changed
    def gate_test(
        self,
        policy: "Policy",
        *,
        since: Instant,
        every: str = "6h",
        releases: Sequence[Asked] = (),
        now: Instant | None = None,
    ) -> "Replay":
        """Replay a policy over history: which releases would have passed, failed or waited.

        The gate looks at each step of ``every`` from ``since`` to ``now``. ``releases`` are as in
        ``gate``; the default is releases first seen since then. Raises as ``gate``, but
        with data older than the policy's ``max_age`` a release waits.
        """
        from relhealth.gate.policy import check_policy
        from relhealth.gate.replay import check_every, replay

        policy = check_policy(policy)
        start = parse_instant(since, or_latest=False)
        check_every(every)
        asked = check_all_asked("releases", releases)
        asking, instant = self.asking(now)
        return replay(
            asking,
            policy,
            instant,
            since=start,
            every=every,
            projects=check_projects(policy.projects),
            releases=asked,
        )

    @anew_when_changed
    def compare(
        self,
        first: Asked,
        second: Asked,
        *,
        projects: Iterable[int] | None = None,
        environments: Iterable[str] | None = None,
        period: str = "24h",
        confidence: float = 0.95,
        now: Instant | None = None,
    ) -> "Comparison":
        """Compare two releases metric by metric, with confidence intervals of the differences.

        A release without a project means every project that had it in 90 days. relhealth compares
        the releases in projects that had both. ``confidence`` is that of each two-sided interval.
        Raises ``DataError`` for a release without sessions in 90 days.
        """
        from relhealth.gate.compare import Comparing

        first, second = check_asked(first), check_asked(second)
        selected, filtered = check_projects(projects), check_environments(environments)
        check_period(period)
        asking, instant = self.asking(now)
        scope = Scope.resolve(instant, period=period, projects=selected, environments=filtered)
        return Comparing(asking, scope, confidence=confidence).compare(first, second, period=period)

    @anew_when_changed
    def adoption(
        self,
        project_releases: Iterable[ProjectRelease],
        *,
        environments: Iterable[str] | None = None,
        now: Instant | None = None,
    ) -> dict[ProjectRelease, dict[str, Any]]:
        """Answer Sentry's ``get_release_adoption`` for the last 24 hours, in full hours.

        Returns a mapping from pair to ``adoption``, ``sessions_adoption`` (percent of the project's
        users and sessions; ``None`` where a count is 0), ``users_24h``, ``sessions_24h``,
        ``project_users_24h``, ``project_sessions_24h``. Pairs never seen in 90 days are absent.
        """
        pairs = distinct(check_pairs("project_releases", project_releases))
        asking, instant = self.asking(now)
        scope = Scope.resolve(instant, environments=check_environments(environments)).narrowed_to(
            pairs
        )
        asking.check(scope)
        asked = (components.ADOPTION, components.HEALTH_DATA)
        rows, health_data = asking.answer([Ask(one, scope) for one in asked])
        adoption, seen = merge.Adoption.of(rows), merge.by_pair(health_data)
        return {pair: adoption.figures(pair) for pair in pairs if pair in seen}

    @overload
    def check_has_health_data(
        self, projects_or_pairs: Collection[int], *, now: Instant | None = None
    ) -> set[int]: ...

    @overload
    def check_has_health_data(
        self, projects_or_pairs: Collection[ProjectRelease], *, now: Instant | None = None
    ) -> set[ProjectRelease]: ...

    @anew_when_changed
    def check_has_health_data(
        self,
        projects_or_pairs: Collection[int] | Collection[ProjectRelease],
        *,
        now: Instant | None = None,
    ) -> set[int] | set[ProjectRelease]:
        """Return which of the projects, or pairs, had a session counter in the last 90 days."""
        try:
            asked = list(projects_or_pairs)
        except TypeError:
            raise QuestionError("expected several project ids, or several pairs") from None
        asking, instant = self.asking(now)
        scope = Scope.resolve(instant)
        projects = [one for one in asked if isinstance(one, int)]
        if len(projects) == len(asked):
            if not projects:
                return set()
            found = asking.with_sessions(replace(scope, projects=check_projects(projects)))
            return {project for project, _ in found}
        pairs = distinct(check_pair(pair) for pair in asked)
        return asking.with_sessions(scope.narrowed_to(pairs)).intersection(pairs)

    @anew_when_changed
    def inspect(self, *, now: Instant | None = None) -> "Inspection":
        """Return what is in the sources, for all time: files, metrics, projects, releases."""
        from relhealth.questions.inspection import inspect_sources

        asking, instant = self.asking(now)
        found = inspect_sources(asking.sources, self.duckdb, instant, whole=self._org is None)
        present = clock.now()
        later = [
            (row.project_id, row.release, to_epoch_us(row.last))
            for row in sorted(found.releases, key=lambda row: row.last or present, reverse=True)
            if row.last is not None and row.last > present
        ]
        if later:
            self.warn(clock.warning(later, present))
        asking.refuse_if_strict(found.invalid_rows)
        return found

    def verify(self) -> "Verification":
        """Read all pages of all files, including the ledger and rollup of a data set.

        The result lists damaged files; they raise no error. Raises ``DataError`` for sources
        that do not exist.
        """
        from relhealth.datasets.verification import verify

        cores = len(os.sched_getaffinity(0))
        _, threads = memory.of_kernel(self._memory_limit, self._threads or cores)
        return verify(self._named, threads=threads, observer=self._observer)
