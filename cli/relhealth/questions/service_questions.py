"""Release health's service questions: counts, bounds, stability, breakdowns, queries.

The methods are those of Sentry's release-health backend, asked of files.
"""

from collections.abc import Iterable, Sized
from datetime import datetime
from typing import TYPE_CHECKING, Any

from relhealth.core.errors import QuestionError
from relhealth.core.scope import (
    Asked,
    ProjectRelease,
    Scope,
    check_all_asked,
    check_asked,
    check_environments,
    check_limit,
    check_offset,
    check_pair,
    check_pairs,
    check_projects,
    check_release,
    check_several,
    check_stat,
)
from relhealth.core.windows import (
    Series,
    Window,
    check_period,
    parse_instant,
    parse_window,
    recent_window,
    whole_window,
)
from relhealth.questions.asking import Instant, distinct
from relhealth.questions.listing import Listing
from relhealth.questions.opened import Opened, anew_when_changed, interval_was_rollup

if TYPE_CHECKING:
    from relhealth.questions.adoption_stages import ReleaseStage
    from relhealth.questions.project_list import ListedProject
    from relhealth.questions.release_detail import ReleaseDetails
    from relhealth.questions.release_list import ListedRelease
    from relhealth.questions.sessions_query import SessionsAnswer


class ServiceQuestions(Opened):
    """What else is asked of release health, beside the overview and verdicts."""

    @anew_when_changed
    def check_releases_have_health_data(
        self,
        project_ids: Iterable[int],
        releases: Iterable[str],
        *,
        start: Instant,
        end: Instant,
    ) -> set[str]:
        """Return those of the releases with session counters in the window, in whole hours."""
        from relhealth.questions.service import Service

        span = parse_window(start, end)
        names = _names(releases)
        projects = _projects(project_ids)
        asking, instant = self.asking(span.end)
        if not names or not projects:
            return set()
        return Service(asking, instant).with_health_data(projects, names, span.start, span.end)

    @anew_when_changed
    def changed_project_releases(
        self, project_ids: Iterable[int], *, now: Instant | None = None
    ) -> set[ProjectRelease]:
        """Return the pairs with session counters in the last 72 hours."""
        from relhealth.questions.service import Service

        projects = _projects(project_ids)
        asking, instant = self.asking(now)
        return Service(asking, instant).changed(projects) if projects else set()

    @anew_when_changed
    def oldest_health_data(
        self, pairs: Iterable[ProjectRelease], *, now: Instant | None = None
    ) -> dict[ProjectRelease, datetime]:
        """Return the first hour with session counters in 90 days of each pair that has any."""
        from relhealth.questions.service import Service

        asked = distinct(check_pairs("pairs", pairs))
        asking, instant = self.asking(now)
        return Service(asking, instant).oldest(asked)

    @anew_when_changed
    def session_time_bounds(
        self,
        project_id: int,
        release: str,
        *,
        environments: Iterable[str] | None = None,
        now: Instant | None = None,
    ) -> dict[str, datetime | None]:
        """Return the first and last hour with session counters or durations in 90 days.

        The keys are ``sessions_lower_bound`` and ``sessions_upper_bound``; both are ``None`` where
        there are none.
        """
        from relhealth.questions.service import Service

        pair, filtered = check_pair((project_id, release)), check_environments(environments)
        asking, instant = self.asking(now)
        return Service(asking, instant).bounds(pair, filtered)

    @anew_when_changed
    def crash_free_breakdown(
        self,
        project_id: int,
        release: str,
        *,
        start: Instant,
        environments: Iterable[str] | None = None,
        now: Instant | None = None,
    ) -> list[dict[str, Any]]:
        """Return crash-free figures from ``start`` to 1, 2, 7, 14 and 30 days after it.

        Each point has ``date``, ``total_users``, ``crash_free_users``, ``total_sessions`` and
        ``crash_free_sessions`` (percent; ``None`` without any), over all from the start on. The
        first point beyond now is now, and the last; it is left out where its age is but a day more
        than the one before, or where that was now.
        """
        from relhealth.questions.service import Service

        pair, filtered = check_pair((project_id, release)), check_environments(environments)
        begin = parse_instant(start, or_latest=False)
        asking, instant = self.asking(now)
        return Service(asking, instant).breakdown(pair, begin, filtered)

    @interval_was_rollup
    @anew_when_changed
    def crash_free_rates(
        self,
        project_ids: Iterable[int],
        *,
        current: tuple[Instant, Instant],
        previous: tuple[Instant, Instant],
        interval: int = 3_600,
    ) -> dict[int, dict[str, float | None]]:
        """Return each project's percent of crash-free sessions, ``current`` and ``previous``.

        Both are windows (start, end) in whole steps of ``interval`` seconds; ``None``: no sessions.
        """
        from relhealth.questions.service import Service, check_interval

        check_interval(interval)
        now, before = (
            whole_window(one.start, one.end, interval)
            for one in (_given("current", current), _given("previous", previous))
        )
        projects = _projects(project_ids)
        asking, instant = self.asking(now.end)
        return Service(asking, instant).crash_free_rates(projects, now, before) if projects else {}

    @interval_was_rollup
    def sessions_count(
        self,
        project_id: int,
        *,
        start: Instant,
        end: Instant,
        interval: int = 3_600,
        environments: Iterable[str] | None = None,
    ) -> int:
        """Return the sessions of a project in a window, in whole steps of ``interval`` seconds."""
        found = self.sessions_per_project(
            [project_id], start=start, end=end, interval=interval, environments=environments
        )
        return found.get(project_id, 0)

    @interval_was_rollup
    @anew_when_changed
    def sessions_per_project(
        self,
        project_ids: Iterable[int],
        *,
        start: Instant,
        end: Instant,
        interval: int = 3_600,
        environments: Iterable[str] | None = None,
    ) -> dict[int, int]:
        """Return the sessions of each project with any, in whole steps of ``interval`` seconds."""
        from relhealth.questions.service import Service, check_interval

        span, filtered = parse_window(start, end), check_environments(environments)
        window = whole_window(span.start, span.end, check_interval(interval))
        projects = _projects(project_ids)
        asking, instant = self.asking(window.end)
        if not projects:
            return {}
        found = Service(asking, instant).per_project(projects, window, filtered)
        return {project: one.sessions for project, one in found.items()}

    @anew_when_changed
    def releases_by_stability(
        self,
        project_ids: Iterable[int] | None = None,
        *,
        scope: str = "sessions",
        period: str = "24h",
        environments: Iterable[str] | None = None,
        offset: int = 0,
        limit: int | None = None,
        now: Instant | None = None,
    ) -> list[ProjectRelease]:
        """Return the pairs by ``sessions`` or ``users`` (most first) or crash-free (worst first).

        ``scope`` is one of ``sessions``, ``users``, ``crash_free_sessions``, ``crash_free_users``,
        or one of these with ``_24h``, whatever the period. A release without data of the scope's
        kind is absent. Ties come by project, then release.
        """
        from relhealth.questions.service import Service, check_stability

        check_stability(scope)
        check_period(period)
        check_limit(limit)
        check_offset(offset)
        selected, filtered = check_projects(project_ids), check_environments(environments)
        asking, instant = self.asking(now)
        found = Service(asking, instant).by_stability(selected, scope, period, filtered)
        return found[offset : None if limit is None else offset + limit]

    def releases_count(
        self,
        project_ids: Iterable[int] | None = None,
        *,
        scope: str = "sessions",
        period: str = "24h",
        environments: Iterable[str] | None = None,
        now: Instant | None = None,
    ) -> int:
        """Return how many pairs ``releases_by_stability`` has."""
        return len(
            self.releases_by_stability(
                project_ids, scope=scope, period=period, environments=environments, now=now
            )
        )

    @interval_was_rollup
    @anew_when_changed
    def release_stats(
        self,
        project_id: int,
        release: str,
        *,
        stat: str = "sessions",
        interval: int = 3_600,
        start: Instant,
        end: Instant,
        environments: Iterable[str] | None = None,
    ) -> tuple[list[tuple[int, dict[str, Any]]], dict[str, Any]]:
        """Return one release over time: ``(series, totals)``.

        The series has ``(epoch seconds, figures)`` for every bucket of ``interval`` seconds from
        the one after ``start`` to ``end``: ``sessions``, ``sessions_healthy`` … (or ``users`` …)
        and ``duration_p50``, ``duration_p90`` in seconds; the totals, over the same window, are
        without durations. Raises ``QuestionError`` for more than 10,000 buckets.
        """
        from relhealth.questions.service import Service, check_interval, series_window

        pair, filtered = check_pair((project_id, release)), check_environments(environments)
        checked, span = check_stat(stat), parse_window(start, end)
        window = series_window(span.start, span.end, check_interval(interval))
        asking, instant = self.asking(span.end)
        return Service(asking, instant).release_stats(pair, checked, window, interval, filtered)

    @anew_when_changed
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
        statuses: Iterable[str] | None = None,
        order_by: str | Iterable[str] | None = None,
        limit: int | None = None,
        offset: int = 0,
        now: Instant | None = None,
    ) -> "SessionsAnswer":
        """Answer Sentry's sessions API: fields, by groups, in totals and per interval.

        ``fields``: ``sum(session)``, ``count_unique(user)``; ``avg``, ``p50``, ``p75``, ``p90``,
        ``p95``, ``p99``, ``max`` ``(session.duration)`` in seconds, of exited sessions;
        ``crash_rate``, ``crash_free_rate``, ``unhandled_rate``, ``errored_rate``, ``abnormal_rate``
        ``(session)`` or ``(user)``, ``anr_rate()``, ``foreground_anr_rate()``, 0 to 1.
        ``group_by``: ``project``, ``release``, ``environment``, ``session.status``. The window is a
        ``period`` (such as ``30m``, ``7d``; default 24h) up to now, or ``start`` to ``end``, in
        whole intervals (``10s`` to ``1d``). Filters: ``''`` is no release, no environment;
        ``statuses`` that no session has match nothing. Groups come by ``order_by`` (a field, with
        ``-`` most first), default by ``sum(session)``, else the first field, most first.

        Raises ``QuestionError`` for what the sessions API refuses too: unknown words, an order by
        what was not asked for, rates by status, users of several statuses in one, intervals that do
        not divide a day, too many points.
        """
        from relhealth.questions.sessions_query import ask, check_question

        question = check_question(
            fields,
            group_by=group_by,
            period=period,
            start=start,
            end=end,
            interval=interval,
            projects=check_projects(projects),
            releases=_releases(releases),
            environments=check_environments(environments),
            statuses=statuses,
            order_by=order_by,
            limit=limit,
            offset=offset,
        )
        asking, instant = self.asking(now)
        return ask(asking, question, instant)

    @anew_when_changed
    def releases(  # noqa: PLR0913 - the question has that many parts
        self,
        projects: Iterable[int] | None = None,
        *,
        environments: Iterable[str] | None = None,
        period: str = "24h",
        since: Instant | None = None,
        sort: str = "sessions",
        reverse: bool = False,
        limit: int | None = None,
        now: Instant | None = None,
    ) -> "Listing[ListedRelease]":
        """List every release of the last 90 days, or only those first seen ``since`` then.

        Figures are of ``period``. ``sort``: ``sessions``, ``users``, ``adoption``, ``first_seen``,
        ``last_seen`` (most, newest first), ``crash_free_sessions``, ``crash_free_users`` (worst
        first), ``release`` (by version).
        """
        from relhealth.questions.release_list import (
            ListedRelease,
            check_release_sort,
            listed_releases,
            sorted_releases,
        )

        check_release_sort(sort)
        check_limit(limit)
        check_period(period)
        begin = None if since is None else parse_instant(since, or_latest=False)
        selected, filtered = check_projects(projects), check_environments(environments)
        asking, instant = self.asking(now)
        scope = Scope.resolve(instant, period=period, projects=selected, environments=filtered)
        listed, invalid = listed_releases(asking, scope, since=begin)
        rows = sorted_releases(listed, sort, reverse=reverse)
        return Listing(
            kind=ListedRelease,
            rows=rows[:limit],
            scope=scope,
            period=period,
            window=scope.summary,
            files=asking.sources.total,
            invalid_rows=invalid,
            left_out=len(rows) - len(rows[:limit]),
        )

    @anew_when_changed
    def projects(
        self,
        projects: Iterable[int] | None = None,
        *,
        environments: Iterable[str] | None = None,
        period: str = "24h",
        now: Instant | None = None,
    ) -> "Listing[ListedProject]":
        """List the projects with sessions in ``period``, or in the one of that length before."""
        from relhealth.questions.project_list import ListedProject, listed_projects

        check_period(period)
        selected, filtered = check_projects(projects), check_environments(environments)
        asking, instant = self.asking(now)
        scope = Scope.resolve(instant, period=period, projects=selected, environments=filtered)
        scope = scope.over(scope.summary)
        rows, invalid = listed_projects(asking, scope)
        return Listing(
            kind=ListedProject,
            rows=rows,
            scope=scope,
            period=period,
            window=scope.summary,
            files=asking.sources.total,
            invalid_rows=invalid,
        )

    @anew_when_changed
    def adoption_stages(
        self,
        releases: Iterable[Asked] | None = None,
        *,
        projects: Iterable[int] | None = None,
        environments: Iterable[str] | None = None,
        now: Instant | None = None,
    ) -> "Listing[ReleaseStage]":
        """Tell how far each release has come in each environment, by its last 6 hours there.

        ``releases`` holds pairs and plain releases, as in ``overview``; without it, every release
        with sessions in the last 90 days is told of.
        """
        from relhealth.questions.adoption_stages import (
            ReleaseStage,
            release_stages,
            stages_ask,
            stages_scope,
        )

        asked = None if releases is None else check_all_asked("releases", releases)
        selected, filtered = check_projects(projects), check_environments(environments)
        asking, instant = self.asking(now)
        scope = Scope.resolve(instant, projects=selected, environments=filtered)
        if asked is not None:
            scope = scope.narrowed_to(asking.pairs(asked, scope))
        scope = stages_scope(scope)
        (found,), invalid = asking.checked([stages_ask(scope, by_environment=True)], scope)
        return Listing(
            kind=ReleaseStage,
            rows=release_stages(found, scope),
            scope=scope,
            period="6h",
            window=recent_window(instant),
            files=asking.sources.total,
            invalid_rows=invalid,
        )

    @anew_when_changed
    def release(
        self,
        release: Asked,
        *,
        projects: Iterable[int] | None = None,
        environments: Iterable[str] | None = None,
        period: str = "24h",
        stat: str = "sessions",
        now: Instant | None = None,
    ) -> "ReleaseDetails":
        """Tell of one release: when it was seen, how it did at each age, its figures over time.

        A plain release is told of in each project that had it in 90 days (of the selected ones
        where none did). ``period`` is that of the totals and of the series of ``stat``.
        """
        from relhealth.questions.release_detail import ReleaseDetails, details
        from relhealth.questions.service import Service

        asked, checked = check_asked(release), check_stat(stat)
        check_period(period)
        selected, filtered = check_projects(projects), check_environments(environments)
        asking, instant = self.asking(now)
        scope = Scope.resolve(instant, period=period, projects=selected, environments=filtered)
        scope = scope.narrowed_to(asking.pairs([asked], scope))
        series = Series.back_from(instant, period)
        found, invalid = details(Service(asking, instant), scope, series=series, stat=checked)
        return ReleaseDetails(
            details=found,
            scope=scope,
            series=series,
            period=period,
            stat=checked,
            files=asking.sources.total,
            invalid_rows=invalid,
        )


def _releases(releases: Iterable[str] | None) -> tuple[str, ...] | None:
    """Return the names of a filter, among which ``''`` is none."""
    if releases is None:
        return None
    names = _names(releases, none="")
    if not names:
        raise QuestionError("releases: none named; leave the filter out to ask for all")
    return names


def _names(releases: Iterable[str], none: str | None = None) -> tuple[str, ...]:
    names = check_several("releases", releases)
    return tuple(sorted({name if name == none else check_release(name) for name in names}))


def _given(what: str, window: tuple[Instant, Instant]) -> Window:
    if not isinstance(window, tuple | list) or len(window) != 2:  # noqa: PLR2004 - its ends
        raise QuestionError(f"{what} {window!r}: expected a window (start, end)")
    return parse_window(*window)


def _projects(project_ids: Iterable[int]) -> tuple[int, ...]:
    """Return the ids; unlike a filter there may be none, and then there is nothing to answer."""
    if isinstance(project_ids, Sized) and not project_ids:
        return ()
    return check_projects(project_ids) or ()
