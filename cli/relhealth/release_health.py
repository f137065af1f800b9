"""Questions about release health, answered from session-metric Parquet files."""

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, overload

from relhealth.core.dimensions import Where
from relhealth.core.errors import DataError, QuestionError
from relhealth.core.scope import (
    Asked,
    ProjectRelease,
    check_all_asked,
    check_asked,
    check_environments,
    check_limit,
    check_offset,
    check_pair,
    check_pairs,
    check_projects,
    check_stat,
)
from relhealth.core.windows import (
    check_period,
    parse_instant,
    parse_length,
    parse_window,
    whole_window,
)
from relhealth.datasets.sources import Sources
from relhealth.engines import AUTO
from relhealth.engines.choose import Choice
from relhealth.machine import memory
from relhealth.machine.database import Observer
from relhealth.questions.asking import Asking, distinct
from relhealth.questions.opened import Opened, Reading, Source
from relhealth.questions.overview import Overview, check_by
from relhealth.questions.renamed import interval_was_rollup
from relhealth.questions.selection import (
    Instant,
    Selection,
    check_ids,
    check_name_filter,
    check_names,
    check_window,
)
from relhealth.stores import present
from relhealth.stores.addresses import refuse_to_write
from relhealth.stores.limits import DEFAULT_SIZE

if TYPE_CHECKING:
    from relhealth.datasets.verification import Verification
    from relhealth.gate.compare import Comparison
    from relhealth.gate.outcome import Gate
    from relhealth.gate.plan import GatePlan
    from relhealth.gate.policy import Policy
    from relhealth.gate.replay import Replay
    from relhealth.gate.status import ReleaseStatus
    from relhealth.questions.adoption_stages import ReleaseStage
    from relhealth.questions.inspection import Inspection
    from relhealth.questions.listing import Listing
    from relhealth.questions.project_list import ListedProject
    from relhealth.questions.release_detail import ReleaseDetails
    from relhealth.questions.release_list import ListedRelease
    from relhealth.questions.sessions_query import SessionsAnswer


class ReleaseHealth:
    """Answers questions about sources: Parquet files, directories, glob patterns, and places.

    A place is a URI such as ``s3://BUCKET/PATH``, or a table as ``FILE.duckdb::TABLE``.

    The first question finds and checks the sources, once. Every method raises
    ``QuestionError`` (a ``ValueError``) for an invalid question and ``DataError`` for
    unusable data. Use an object in one thread only.

    In every question, ``now`` is an instant, ISO 8601 text or ``"latest"`` (one second after the
    newest session metric), default the clock. In ``environments``, ``''`` means sessions without
    one. ``where`` selects by dimensions, further columns of the data: values by column, such as
    ``{"os": ["iOS", "iPadOS"]}``, or texts as on the command line, such as ``["os!=iOS"]``. A row
    counts if each column has one of its values, and none of those of ``!=``; ``''`` means none.
    """

    def __init__(  # noqa: PLR0913 - how sources are read has that many sides
        self,
        sources: Source | Sequence[Source],
        *,
        org: int | None = None,
        strict: bool = False,
        memory_limit: str | None = None,
        threads: int | None = None,
        observer: Observer | None = None,
        warn: Callable[[str], object] | None = None,
        engine: str = AUTO,
        cache_size: str = DEFAULT_SIZE,
        spark: object | None = None,
    ) -> None:
        """Name the sources; read nothing yet.

        ``org`` limits every question to one organisation; without it, a question whose projects
        belong to several raises an error. ``strict`` makes invalid rows an error. ``memory_limit``
        (such as ``"1GB"``; default: half of the available) and ``threads`` limit the work.
        ``observer`` receives progress. ``warn`` receives messages beside the answers: why the
        rollup of the sources is not used, that there are no data yet, which sessions are later
        than the clock. ``engine`` is ``duckdb``, ``kernel``, ``rollup`` or ``spark``; default:
        the best for each question. ``cache_size`` limits what is kept of object stores on this
        machine. ``spark`` is a cluster: a session of PySpark, or the address of a Spark Connect
        server, ``sc://host:port``. Sources that only a cluster can read, such as
        ``s3a://bucket/sessions/`` or the table ``lake.metrics.sessions``, are read by it; with a
        session, all are. Raises ``QuestionError`` for invalid values.
        """
        reading = Reading(org, strict, memory_limit, threads, observer, engine, cache_size, spark)
        self._opened = Opened(sources, reading, warn=warn)

    def close(self) -> None:
        """Close the sources; a later question opens them again."""
        self._opened.close()

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

    @property
    def engines(self) -> tuple[Choice, ...]:
        """The engines that have answered, each with the reason for its choice."""
        return self._opened.engines

    def overview(  # noqa: PLR0913 - options of one question
        self,
        project_releases: Iterable[Asked] | None = None,
        *,
        projects: Iterable[int] | None = None,
        environments: Iterable[str] | None = None,
        where: Where | None = None,
        summary_stats_period: str = "24h",
        health_stats_period: str | None = None,
        stat: str = "sessions",
        by: str | None = None,
        adoption_stages: bool = False,
        now: Instant | None = None,
    ) -> Overview:
        """Answer Sentry's ``get_release_health_data_overview``: one row per release.

        ``project_releases`` has ``(project_id, release)`` pairs, and releases without a project.
        Each pair gets a row, known or not. A release without a project means every project that
        had it in the last 90 days, or each selected project if none did. Without
        ``project_releases``, the rows are all pairs with a session counter in the window.
        ``health_stats_period`` adds a series of ``stat`` (``sessions`` or ``users``), and
        ``adoption_stages`` the ``stages`` of the answer, which take a look at 90 days.

        ``by`` is a dimension, or ``environment``: each release then has a row for each of its
        values with a session counter in the window, ``''`` for none. Users are distinct within a
        row, so they do not add up. Adoption is the share of the project's sessions and users with
        the same value. An asked-for pair without such a row has one whose value is ``None``. Such
        an answer has no ``stages``.
        """
        from relhealth.questions.overview_question import overview

        asked = None
        if project_releases is not None:
            asked = check_all_asked("project_releases", project_releases)
        if health_stats_period is not None:
            check_period(health_stats_period)
        selected = Selection.of(projects, environments, summary_stats_period)
        counted = check_stat(stat)
        return self._opened.only(where).ask(
            now,
            overview,
            asked,
            selected,
            counted,
            health_stats_period,
            check_by(by),
            staged=adoption_stages,
        )

    def gate(
        self,
        releases: Sequence[Asked],
        policy: "Policy",
        *,
        where: Where | None = None,
        now: Instant | None = None,
        history: str | Path | None = None,
    ) -> "Gate":
        """Judge releases by a policy: pass, fail, or inconclusive, each rule with its reason.

        ``releases`` holds pairs, releases (each in every project that had it in 90 days) or
        ``"latest"``: the newest version of each project and package. ``history`` is a file that
        gets a line for each look; a policy for one look is warned of when it is asked again.
        Raises ``QuestionError`` for an invalid policy, ``DataError`` for data older than its
        ``max_age``.
        """
        from relhealth.gate import looks
        from relhealth.gate.policy import check_policy
        from relhealth.gate.run import Judge, candidates

        if history is not None:
            refuse_to_write(history, "name a file on this machine, and copy it")
        policy = check_policy(policy)
        asked = check_all_asked("releases", releases)
        projects = check_projects(policy.projects)

        def judged(asking: Asking, instant: datetime) -> "Gate":
            judge = Judge(asking, policy, instant, projects=projects)
            pairs = candidates(asking, judge, asked)
            judge.refuse_stale(pairs, now)
            gate = judge.judge(pairs)
            told = looks.told(gate, asked, None if history is None else Path(history), asking.where)
            if told is not None:
                asking.warn(told)
            return gate

        return self._opened.only(where).ask(now, judged)

    def status(
        self,
        releases: Sequence[Asked] | None,
        policy: "Policy",
        *,
        where: Where | None = None,
        now: Instant | None = None,
    ) -> "Listing[ReleaseStatus]":
        """Return a word for each release that matters, or each asked one, with its figures.

        Raises ``QuestionError`` for an invalid policy, ``DataError`` for data older than its
        ``max_age``.
        """
        from relhealth.gate.policy import check_policy
        from relhealth.gate.status import status

        asked = None if releases is None else check_all_asked("releases", releases)
        return self._opened.only(where).ask(now, status, asked, check_policy(policy), now)

    def gate_test(
        self,
        policy: "Policy",
        *,
        since: Instant,
        every: str = "6h",
        releases: Sequence[Asked] = (),
        targets: Sequence[float] = (),
        where: Where | None = None,
        now: Instant | None = None,
    ) -> "Replay":
        """Replay a policy over history: which releases would have passed, failed or waited.

        The gate looks at each step of ``every`` from ``since`` to ``now``. ``releases`` are as in
        ``gate``; the default is releases first seen since then. A look sees only what had been
        ingested by then, where ``relhealth ingest`` made the sources. Raises as ``gate``, but
        with data older than the policy's ``max_age`` a release waits. ``targets``, in percent, are
        tried in place of that of the policy's last rule, and summed up in a row each.
        """
        from relhealth.gate.arrivals import Arrivals
        from relhealth.gate.policy import check_policy
        from relhealth.gate.replay import check_every, replay

        policy = check_policy(policy)
        start = parse_instant(since, or_latest=False)
        check_every(every)
        asked = check_all_asked("releases", releases)

        def replayed(asking: Asking, instant: datetime) -> "Replay":
            return replay(
                asking,
                policy,
                instant,
                since=start,
                every=every,
                releases=asked,
                targets=targets,
                arrivals=Arrivals.of(self._opened.places(), asking.sources, self._opened.reading)
                if isinstance(asking.sources, Sources)
                else None,
            )

        return self._opened.only(where).ask(now, replayed)

    def gate_plan(
        self,
        policy: "Policy",
        *,
        releases: Sequence[Asked] = (),
        rate: float | None = None,
        where: Where | None = None,
        now: Instant | None = None,
    ) -> "GatePlan":
        """Plan a policy: what its rules need to pass, and how long the traffic takes to bring it.

        The traffic is that of ``releases`` over the policy's period; the default is each project's
        release with the most sessions. ``rate`` is the true figure to plan for, in percent; the
        default is the one of the release. Raises ``DataError`` if there are no sessions.
        """
        from relhealth.gate.plan import plan
        from relhealth.gate.policy import check_policy

        policy = check_policy(policy)
        asked = check_all_asked("releases", releases)
        if rate is not None and not 0 <= rate <= 100:  # noqa: PLR2004 - percent
            raise QuestionError(f"rate {rate:g}: expected percent, 0 to 100")
        projects = check_projects(policy.projects)

        def planned(asking: Asking, instant: datetime) -> "GatePlan":
            scope = Selection(projects, period=policy.period).scope(instant)
            pairs = asking.pairs(asked, scope)
            return plan(asking, policy, instant, projects=projects, releases=pairs, rate=rate)

        return self._opened.only(where).ask(now, planned)

    def compare(  # noqa: PLR0913 - the question has that many parts
        self,
        first: Asked,
        second: Asked,
        *,
        projects: Iterable[int] | None = None,
        environments: Iterable[str] | None = None,
        where: Where | None = None,
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

        one, other = check_asked(first), check_asked(second)
        selected = Selection.of(projects, environments, period)

        def compared(asking: Asking, instant: datetime) -> "Comparison":
            comparing = Comparing(
                asking, selected.scope(instant, where=asking.where), confidence=confidence
            )
            return comparing.compare(one, other, period=period)

        return self._opened.only(where).ask(now, compared)

    def adoption(
        self,
        project_releases: Iterable[ProjectRelease],
        *,
        environments: Iterable[str] | None = None,
        where: Where | None = None,
        now: Instant | None = None,
    ) -> dict[ProjectRelease, dict[str, Any]]:
        """Answer Sentry's ``get_release_adoption`` for the last 24 hours, in full hours.

        Returns a mapping from pair to ``adoption``, ``sessions_adoption`` (percent of the project's
        users and sessions; ``None`` where a count is 0), ``users_24h``, ``sessions_24h``,
        ``project_users_24h``, ``project_sessions_24h``. Pairs never seen in 90 days are absent.
        """
        from relhealth.questions.adoption import adoption

        pairs = distinct(check_pairs("project_releases", project_releases))
        return self._opened.only(where).ask(now, adoption, pairs, check_environments(environments))

    @overload
    def check_has_health_data(
        self, projects_or_pairs: Collection[int], *, now: Instant | None = None
    ) -> set[int]: ...

    @overload
    def check_has_health_data(
        self, projects_or_pairs: Collection[ProjectRelease], *, now: Instant | None = None
    ) -> set[ProjectRelease]: ...

    def check_has_health_data(
        self,
        projects_or_pairs: Collection[int] | Collection[ProjectRelease],
        *,
        now: Instant | None = None,
    ) -> set[int] | set[ProjectRelease]:
        """Return which of the projects, or pairs, had a session counter in the last 90 days."""
        from relhealth.questions.health_data import check_projects_or_pairs, have_health_data

        return self._opened.ask(now, have_health_data, check_projects_or_pairs(projects_or_pairs))

    def check_releases_have_health_data(
        self, project_ids: Iterable[int], releases: Iterable[str], *, start: Instant, end: Instant
    ) -> set[str]:
        """Return those of the releases with session counters in the window, in full hours."""
        from relhealth.questions.health_data import releases_with_health_data

        span, names = parse_window(start, end), check_names(releases)
        projects = check_ids(project_ids)
        return self._opened.ask(span.end, releases_with_health_data, span, names, projects)

    def changed_project_releases(
        self, project_ids: Iterable[int], *, now: Instant | None = None
    ) -> set[ProjectRelease]:
        """Return the pairs with session counters in the last 72 hours."""
        from relhealth.questions.health_data import changed

        return self._opened.ask(now, changed, check_ids(project_ids))

    def oldest_health_data(
        self, pairs: Iterable[ProjectRelease], *, now: Instant | None = None
    ) -> dict[ProjectRelease, datetime]:
        """Return, for each pair that has any, the first hour with session counters in 90 days."""
        from relhealth.questions.health_data import oldest

        return self._opened.ask(now, oldest, distinct(check_pairs("pairs", pairs)))

    def session_time_bounds(
        self,
        project_id: int,
        release: str,
        *,
        environments: Iterable[str] | None = None,
        where: Where | None = None,
        now: Instant | None = None,
    ) -> dict[str, datetime | None]:
        """Return the first and the last hour with session counters or durations in 90 days.

        The keys are ``sessions_lower_bound`` and ``sessions_upper_bound``. Both are ``None`` if
        there is no such hour.
        """
        from relhealth.questions.time_bounds import time_bounds

        pair = check_pair((project_id, release))
        return self._opened.only(where).ask(
            now, time_bounds, pair, check_environments(environments)
        )

    def crash_free_breakdown(
        self,
        project_id: int,
        release: str,
        *,
        start: Instant,
        environments: Iterable[str] | None = None,
        where: Where | None = None,
        now: Instant | None = None,
    ) -> list[dict[str, Any]]:
        """Return crash-free figures from ``start`` to 1, 2, 7, 14 and 30 days after it.

        Each point has ``date``, ``total_users``, ``crash_free_users``, ``total_sessions`` and
        ``crash_free_sessions``, all of the time from ``start`` to ``date``. Rates are percent,
        ``None`` without any users or sessions. If an age is later than now, the last point is of
        now instead; there is no such point if that age is only a day after the one before.
        """
        from relhealth.questions.breakdown import breakdown

        pair, filtered = check_pair((project_id, release)), check_environments(environments)
        begin = parse_instant(start, or_latest=False)
        return self._opened.only(where).ask(now, breakdown, pair, begin, filtered)

    @interval_was_rollup
    def crash_free_rates(
        self,
        project_ids: Iterable[int],
        *,
        current: tuple[Instant, Instant],
        previous: tuple[Instant, Instant],
        interval: int = 3_600,
    ) -> dict[int, dict[str, float | None]]:
        """Return each project's percent of crash-free sessions, ``current`` and ``previous``.

        Both are windows (start, end), widened to multiples of ``interval`` seconds. A percentage
        is ``None`` without sessions.
        """
        from relhealth.questions.project_sessions import crash_free_rates
        from relhealth.questions.release_stats import check_interval

        check_interval(interval)
        spans = check_window("current", current), check_window("previous", previous)
        latter, former = (whole_window(span.start, span.end, interval) for span in spans)
        projects = check_ids(project_ids)
        return self._opened.ask(latter.end, crash_free_rates, latter, former, projects)

    @interval_was_rollup
    def sessions_count(
        self,
        project_id: int,
        *,
        start: Instant,
        end: Instant,
        interval: int = 3_600,
        environments: Iterable[str] | None = None,
        where: Where | None = None,
    ) -> int:
        """Return the sessions of a project in a window, as ``sessions_per_project``."""
        found = self.sessions_per_project(
            [project_id],
            start=start,
            end=end,
            interval=interval,
            environments=environments,
            where=where,
        )
        return found.get(project_id, 0)

    @interval_was_rollup
    def sessions_per_project(
        self,
        project_ids: Iterable[int],
        *,
        start: Instant,
        end: Instant,
        interval: int = 3_600,
        environments: Iterable[str] | None = None,
        where: Where | None = None,
    ) -> dict[int, int]:
        """Return the sessions of each project that has any, in a window.

        The window is widened to multiples of ``interval`` seconds.
        """
        from relhealth.questions.project_sessions import sessions_per_project
        from relhealth.questions.release_stats import check_interval

        span, filtered = parse_window(start, end), check_environments(environments)
        window = whole_window(span.start, span.end, check_interval(interval))
        projects = check_ids(project_ids)
        return self._opened.only(where).ask(
            window.end, sessions_per_project, window, filtered, projects
        )

    def releases_by_stability(  # noqa: PLR0913 - the question has that many parts
        self,
        project_ids: Iterable[int] | None = None,
        *,
        scope: str = "sessions",
        period: str = "24h",
        environments: Iterable[str] | None = None,
        where: Where | None = None,
        offset: int = 0,
        limit: int | None = None,
        now: Instant | None = None,
    ) -> list[ProjectRelease]:
        """Return pairs, sorted by sessions or users (most first) or crash-free (worst first).

        ``scope`` is one of ``sessions``, ``users``, ``crash_free_sessions``, ``crash_free_users``,
        or one of these with ``_24h``, whatever the period. Releases without such data are absent.
        Ties are sorted by project, then release.
        """
        from relhealth.questions.stability import check_stability, releases_by_stability

        check_stability(scope)
        check_limit(limit)
        check_offset(offset)
        selected = Selection.of(project_ids, environments, period)
        found = self._opened.only(where).ask(now, releases_by_stability, scope, selected)
        return found[offset : None if limit is None else offset + limit]

    def releases_count(
        self,
        project_ids: Iterable[int] | None = None,
        *,
        scope: str = "sessions",
        period: str = "24h",
        environments: Iterable[str] | None = None,
        where: Where | None = None,
        now: Instant | None = None,
    ) -> int:
        """Return how many pairs ``releases_by_stability`` has."""
        found = self.releases_by_stability(
            project_ids,
            scope=scope,
            period=period,
            environments=environments,
            where=where,
            now=now,
        )
        return len(found)

    @interval_was_rollup
    def release_stats(  # noqa: PLR0913 - the question has that many parts
        self,
        project_id: int,
        release: str,
        *,
        stat: str = "sessions",
        interval: int = 3_600,
        start: Instant,
        end: Instant,
        environments: Iterable[str] | None = None,
        where: Where | None = None,
    ) -> tuple[list[tuple[int, dict[str, Any]]], dict[str, Any]]:
        """Return one release over time: ``(series, totals)``.

        The series has ``(epoch seconds, figures)`` for every bucket of ``interval`` seconds, from
        the bucket after ``start`` to ``end``. The figures are ``sessions``, ``sessions_healthy`` …
        (or ``users`` …), and ``duration_p50`` and ``duration_p90`` in seconds. The totals are of
        the same window, without durations. Raises ``QuestionError`` for more than 10,000 buckets.
        """
        from relhealth.questions.release_stats import check_interval, release_stats, series_window

        pair, filtered = check_pair((project_id, release)), check_environments(environments)
        counted, span = check_stat(stat), parse_window(start, end)
        window = series_window(span, check_interval(interval))
        return self._opened.only(where).ask(
            span.end, release_stats, pair, filtered, counted, window, interval
        )

    def query(  # noqa: PLR0913 - the question has that many parts
        self,
        fields: Iterable[str],
        *,
        group_by: Iterable[str] = (),
        period: str | None = None,
        start: Instant | None = None,
        end: Instant | None = None,
        interval: str = "1h",
        projects: Iterable[int] | None = None,
        releases: Iterable[str] | None = None,
        environments: Iterable[str] | None = None,
        where: Where | None = None,
        statuses: Iterable[str] | None = None,
        order_by: str | Iterable[str] | None = None,
        limit: int | None = None,
        offset: int = 0,
        now: Instant | None = None,
    ) -> "SessionsAnswer":
        """Answer Sentry's sessions API: fields, by groups, in totals and per interval.

        ``fields`` are ``sum(session)`` and ``count_unique(user)``; ``avg``, ``p50``, ``p75``,
        ``p90``, ``p95``, ``p99`` and ``max`` of ``(session.duration)``, in seconds, of exited
        sessions; ``crash_rate``, ``crash_free_rate``, ``unhandled_rate``, ``errored_rate`` and
        ``abnormal_rate`` of ``(session)`` or ``(user)``, ``anr_rate()`` and
        ``foreground_anr_rate()``, from 0 to 1. ``group_by``: ``project``, ``release``,
        ``environment``, ``session.status``, and dimensions. The window is a ``period`` (such as
        ``30m`` or ``7d``; default 24h) up to now, or ``start`` to ``end``, in full intervals
        (``10s`` to ``1d``).
        In ``releases``, ``''`` means sessions without one. Unknown ``statuses`` match nothing.
        ``order_by`` is a field, with ``-`` for largest first. By default, groups are sorted by
        ``sum(session)``, else by the first field, largest first.

        Raises ``QuestionError`` for what the sessions API refuses too: unknown words, an order by
        a field that is not among ``fields``, rates by status, users of several statuses as one
        figure, intervals that do not divide a day, too many points.
        """
        from relhealth.questions.sessions_query import sessions_query
        from relhealth.questions.sessions_question import check_question

        question = check_question(
            fields,
            group_by=group_by,
            period=period,
            start=start,
            end=end,
            interval=interval,
            projects=check_projects(projects),
            releases=check_name_filter(releases),
            environments=check_environments(environments),
            statuses=statuses,
            order_by=order_by,
            limit=limit,
            offset=offset,
        )
        return self._opened.only(where).ask(now, sessions_query, question)

    def releases(  # noqa: PLR0913 - the question has that many parts
        self,
        projects: Iterable[int] | None = None,
        *,
        environments: Iterable[str] | None = None,
        where: Where | None = None,
        period: str = "24h",
        since: Instant | None = None,
        sort: str = "sessions",
        reverse: bool = False,
        limit: int | None = None,
        now: Instant | None = None,
    ) -> "Listing[ListedRelease]":
        """List every release of the last 90 days, or only those first seen since an instant.

        Figures are of ``period``. ``sort`` is one of ``sessions``, ``users``, ``adoption`` (most
        first), ``first_seen``, ``last_seen`` (newest first), ``crash_free_sessions``,
        ``crash_free_users`` (worst first) and ``release`` (by version).
        """
        from relhealth.questions.release_list import Order, release_list

        order = Order.of(sort, limit, reverse=reverse)
        begin = None if since is None else parse_instant(since, or_latest=False)
        selected = Selection.of(projects, environments, period)
        return self._opened.only(where).ask(now, release_list, selected, order, begin)

    def projects(
        self,
        projects: Iterable[int] | None = None,
        *,
        environments: Iterable[str] | None = None,
        where: Where | None = None,
        period: str = "24h",
        now: Instant | None = None,
    ) -> "Listing[ListedProject]":
        """List the projects with sessions in ``period``, or in the period of that length before."""
        from relhealth.questions.project_list import project_list

        return self._opened.only(where).ask(
            now, project_list, Selection.of(projects, environments, period)
        )

    def adoption_stages(  # noqa: PLR0913 - options of one question
        self,
        releases: Iterable[Asked] | None = None,
        *,
        projects: Iterable[int] | None = None,
        environments: Iterable[str] | None = None,
        where: Where | None = None,
        stages: Iterable[str] | None = None,
        sort: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
        now: Instant | None = None,
    ) -> "Listing[ReleaseStage]":
        """Return the adoption stage of each release in each environment, by its last 6 hours.

        ``releases`` has pairs and releases without a project, as in ``overview``. The default is
        every release with sessions in the last 90 days. ``stages`` keeps these stages, ``adopted``,
        ``low`` (or ``low_adoption``) and ``replaced``. ``sort`` is ``sessions``, ``adoption``,
        ``first_adopted``, ``last_adopted`` (most, newest first) or ``release``; the default is by
        project, environment and version. ``limit`` keeps the first rows.
        """
        from relhealth.questions.adoption_stages import StageOrder, adoption_stages

        order = StageOrder.of(stages, sort, limit, reverse=reverse)
        asked = None if releases is None else check_all_asked("releases", releases)
        selected = Selection.of(projects, environments)
        return self._opened.only(where).ask(now, adoption_stages, asked, selected, order)

    def release(
        self,
        release: Asked,
        *,
        projects: Iterable[int] | None = None,
        environments: Iterable[str] | None = None,
        where: Where | None = None,
        period: str = "24h",
        stat: str = "sessions",
        now: Instant | None = None,
    ) -> "ReleaseDetails":
        """Return one release in detail: when it was seen, its figures at each age and over time.

        A release without a project means every project that had it in 90 days, or each selected
        project if none did. ``period`` is that of the totals and of the series of ``stat``.
        """
        from relhealth.questions.release_detail import release_details

        asked, counted = check_asked(release), check_stat(stat)
        selected = Selection.of(projects, environments, period)
        return self._opened.only(where).ask(now, release_details, asked, selected, counted)

    def session_ages(
        self,
        projects: Iterable[int] | None = None,
        *,
        environments: Iterable[str] | None = None,
        now: Instant | None = None,
    ) -> dict[int, float]:
        """Return how many seconds ago the newest session of each project began.

        Projects without a session in 90 days are absent. The age is that at ``now``. For
        ``"latest"`` it is that by the clock.
        """
        from relhealth.questions.freshness import session_ages

        selected = Selection.of(projects, environments)
        return self._opened.ask(None if now == "latest" else now, session_ages, selected)

    def refuse_stale(
        self,
        max_age: str,
        *,
        projects: Iterable[int] | None = None,
        environments: Iterable[str] | None = None,
        now: Instant | None = None,
    ) -> None:
        """Raise ``DataError`` if the newest session is older than ``max_age``, such as ``"3h"``.

        With ``projects``, each of them must have a session that is newer; else any project. The
        age is that at ``now``. For ``"latest"`` it is that by the clock.
        """
        from relhealth.questions.freshness import refuse_stale

        parse_length(max_age)
        selected = Selection.of(projects, environments)
        at = None if now == "latest" else now
        self._opened.ask(at, refuse_stale, selected, max_age)

    def explain_empty(
        self,
        *,
        projects: Iterable[int] | None = None,
        environments: Iterable[str] | None = None,
        where: Where | None = None,
        releases: Iterable[str] = (),
        since: Instant,
        now: Instant | None = None,
    ) -> str | None:
        """Return that the period emptied an answer, which began at ``since``, if it did.

        ``releases`` are names of those that it is about, if only of some. Returns ``None`` without
        any filter. Raises ``DataError`` if the filters match no session of 90 days, with what there
        is.
        """
        from relhealth.questions.freshness import explain_empty

        selected, start = Selection.of(projects, environments), parse_instant(since)
        return self._opened.only(where).ask(now, explain_empty, selected, start, tuple(releases))

    def inspect(self, *, now: Instant | None = None) -> "Inspection":
        """Return what is in the sources, for all time: files, metrics, projects, releases."""
        from relhealth.questions.inspection import inspection

        return self._opened.ask(now, inspection)

    def verify(self) -> "Verification":
        """Read all pages of all files, including the ledger and rollup of a data set.

        The result lists damaged files; they raise no error. Raises ``DataError`` for sources
        that do not exist.
        """
        from relhealth.datasets.verification import verify

        if self._opened.on_cluster:
            raise QuestionError("verify: it reads the pages of files on this machine; leave it out")
        reading = self._opened.reading
        cores = reading.threads or len(os.sched_getaffinity(0))
        _, threads = memory.of_kernel(reading.memory_limit, cores)
        try:
            return verify(self._opened.places(), threads=threads, observer=reading.observer)
        except DataError as error:
            error.reword(present.spelled)
            raise
