"""Replays a policy over history: what it would have said about past releases, and when."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from statistics import median

from relhealth.core.errors import QuestionError
from relhealth.core.scope import Asked, ProjectRelease, Scope, check_projects
from relhealth.core.windows import (
    DAY,
    HEALTH_DAYS,
    HOUR,
    Window,
    ceil_to,
    floor_to,
    iso,
    parse_length,
    totals_window,
)
from relhealth.engines import components
from relhealth.engines.interface import Ask
from relhealth.gate import late
from relhealth.gate.arrivals import Arrivals, warnings
from relhealth.gate.arrived import arrived_rows
from relhealth.gate.baselines import Asked as AskedFigures
from relhealth.gate.hours import HourlyKnown, Hours, View, row_of_sessions, views
from relhealth.gate.looks import is_for_one_look, warning
from relhealth.gate.metrics import METRICS
from relhealth.gate.outcome import Check
from relhealth.gate.policy import AUTO, Policy, Rule
from relhealth.gate.reading import Figures, Found, Plan, Statuses, statuses_of
from relhealth.gate.run import Judge, candidates
from relhealth.gate.verdict import Verdict, worst
from relhealth.questions.asking import Asking
from relhealth.questions.known import EVER, Known
from relhealth.questions.merge import by_pair

_OF_SESSIONS = {"crash_free_sessions", "unhandled_session_rate", "abnormal"}
_HEALTH = timedelta(days=HEALTH_DAYS)


@dataclass(slots=True)
class Replayed:
    """What the gate would have said about one release, look by look.

    The outcome is the first verdict that is not inconclusive, at ``decided``. ``reason`` is that of
    the worst check. A release without such a verdict has waited.
    """

    project_id: int
    release: str
    first_seen: datetime
    last_seen: datetime
    looks: int = 0
    outcome: Verdict = Verdict.INCONCLUSIVE
    decided: datetime | None = None
    reason: str | None = None
    first_pass: datetime | None = None
    first_fail: datetime | None = None
    last: Verdict | None = field(default=None)

    @property
    def hours(self) -> float | None:
        """How many hours it took from the first session to the decision."""
        if self.decided is None:
            return None
        return (self.decided - self.first_seen) / timedelta(hours=1)

    @classmethod
    def of(cls, other: "Replayed") -> "Replayed":
        """Return the same release, before any look."""
        return cls(other.project_id, other.release, other.first_seen, other.last_seen)

    def take(self, look: datetime, verdict: Verdict, reason: str) -> None:
        """Record the verdict of one look."""
        self.looks += 1
        self.last = verdict
        if verdict is Verdict.PASS:
            self.first_pass = self.first_pass or look
        elif verdict is Verdict.FAIL:
            self.first_fail = self.first_fail or look
        if self.decided is None:
            self.reason = reason
            if verdict is not Verdict.INCONCLUSIVE:
                self.outcome, self.decided = verdict, look


@dataclass(frozen=True, slots=True)
class OfTarget:
    """What a replay with one target, in percent, came to: numbers of releases, median hours."""

    target: float
    passed: int
    failed: int
    waited: int
    hours: float | None  # from the first session to the decision

    @classmethod
    def of(cls, target: float, rows: Sequence[Replayed]) -> "OfTarget":
        """Sum up the rows of a replay."""
        outcomes = [row.outcome for row in rows]
        hours = [row.hours for row in rows if row.hours is not None]
        return cls(
            target,
            outcomes.count(Verdict.PASS),
            outcomes.count(Verdict.FAIL),
            outcomes.count(Verdict.INCONCLUSIVE),
            median(hours) if hours else None,
        )


@dataclass(frozen=True, slots=True)
class Replay:
    """A replay: one row per release, in the order in which they were first seen.

    ``targets`` has a row for each target that was tried, if several were. With ``as_arrived``,
    each look saw only what had arrived by then.
    """

    policy: Policy
    since: datetime
    now: datetime
    every: str
    as_arrived: bool
    rows: tuple[Replayed, ...]
    targets: tuple[OfTarget, ...]
    files: int
    invalid_rows: dict[str, int]

    @property
    def recommended(self) -> float | None:
        """The highest target at which as many releases pass as at the lowest."""
        most = max((one.passed for one in self.targets), default=0)
        best = [one.target for one in self.targets if one.passed == most]
        return max(best) if most else None


def check_every(every: str) -> timedelta:
    """Return the time between looks: full hours, like windows."""
    step = parse_length(every)
    if step % timedelta(hours=1):
        raise QuestionError(f"{every!r}: expected full hours between looks, such as 1h or 6h")
    return step


def replay(  # noqa: PLR0913 - a replay has that many sides
    asking: Asking,
    policy: Policy,
    now: datetime,
    *,
    since: datetime,
    every: str,
    releases: Sequence[Asked],
    targets: Sequence[float] = (),
    arrivals: Arrivals | None = None,
) -> Replay:
    """Judge, at each look from ``since`` to ``now``, every release that existed by then.

    ``releases`` are the ones to judge; the default is those first seen within the span and not
    in the 90 days before it. A look uses the sessions that began before it, and of these, where
    ``arrivals`` are known, only what had arrived. It judges a release while it has sessions in the
    policy's period. With data older than ``max_age``, the release waits.
    ``targets`` are tried one after another in place of that of the policy's last rule.
    """
    step, projects = check_every(every), check_projects(policy.projects)
    if since >= now:
        raise QuestionError(f"since {iso(since)}: expected an instant before now, {iso(now)}")
    scope = Scope.resolve(
        now, period=policy.period, projects=projects, environments=policy.environments
    )
    span = Window(floor_to(since, HOUR), scope.summary.end)
    _, invalid = asking.checked([], replace(scope, summary=span.hull(scope.summary)))
    looks = list(_looks(span.start, now, step))
    tried = []
    with arrived_rows(arrivals, looks, projects, asking.where) as arrived:
        selections = {policy.environments, *(rule.environments for rule in policy.rule)}
        view = views(asking, arrived, scope, selections, Window(EVER, span.end))
        rows = _released(view(len(looks)).hours[policy.environments], span)
        if releases:
            latest = Judge(asking, policy, now, projects=projects)
            wanted = set(candidates(asking, latest, releases))
            rows = [row for row in rows if (row.project_id, row.release) in wanted]
        else:
            rows = [row for row in rows if row.first_seen >= span.start]
        past = _Past(view, projects)
        for target in targets:
            each = [Replayed.of(row) for row in rows]
            past.look(with_target(policy, target), looks, each)
            tried.append(OfTarget.of(target, each))
        if not targets:
            past.look(policy, looks, rows)
    for told in warnings(arrivals, looks, policy.settle):
        asking.warn(told)
    if len(looks) > 1 and is_for_one_look(policy):
        asking.warn(warning(f"a replay looks {len(looks):,} times"))
    return Replay(
        policy=policy,
        since=since,
        now=now,
        every=every,
        as_arrived=arrived is not None,
        rows=() if targets else tuple(rows),
        targets=tuple(tried),
        files=asking.sources.total,
        invalid_rows=invalid,
    )


def with_target(policy: Policy, target: float) -> Policy:
    """Return a checked policy with another target of its last rule, and no critical above it."""
    *others, last = policy.rule
    if last.target is None:
        raise QuestionError("several targets: the last rule of the policy has no target")
    critical = None if last.critical is None else min(last.critical, target)
    return replace(
        policy, rule=(*others, replace(last, target=target, critical=critical))
    ).checked()


def _released(hours: Hours, span: Window) -> list[Replayed]:
    """Return when each release of the span and the 90 days before it was seen."""
    reached = floor_to(span.start - _HEALTH, DAY)
    rows = [
        Replayed(project, release, seen.first, seen.last)
        for (project, release), seen in hours.seen.items()
        if release is not None and seen.last >= reached
    ]
    return sorted(rows, key=lambda row: (row.first_seen, row.project_id, row.release))


def _looks(start: datetime, now: datetime, step: timedelta) -> Iterator[datetime]:
    """Yield the looks, on full hours, so that the windows of a look end at it."""
    look = ceil_to(start, int(step.total_seconds()))
    last = floor_to(now, HOUR)
    while look < last:
        yield look
        look += step
    if last >= start:
        yield last


class _Past:
    """The past, to look at from any hour; what was read once is kept for other policies."""

    def __init__(self, view: Callable[[int], View], projects: tuple[int, ...] | None) -> None:
        self._view = view
        self._projects = projects
        self._spread: dict[tuple[int | None, AskedFigures, Statuses], Figures | None] = {}

    def look(self, policy: Policy, looks: Sequence[datetime], rows: Sequence[Replayed]) -> None:
        """Record the verdict on each release at each look."""
        for number, look in enumerate(looks):
            period = totals_window(look, policy.period)
            view = self._view(number)
            there = view.hours[policy.environments].releases
            alive = {
                (row.project_id, row.release): row
                for row in rows
                if row.first_seen < look
                and row.last_seen >= period.start
                and (row.project_id, row.release) in there
            }
            if alive:
                self._take(policy, look, view, alive, is_last=look == looks[-1])

    def _take(
        self,
        policy: Policy,
        look: datetime,
        view: View,
        alive: Mapping[ProjectRelease, Replayed],
        *,
        is_last: bool,
    ) -> None:
        def known(until: datetime) -> Known:
            return HourlyKnown(view.asking, until, policy.period, view.hours)

        judge = Judge(view.asking, policy, look, projects=self._projects, known=known)
        stale = judge.stale(tuple(alive))
        for pair, row in alive.items():
            if pair[0] in stale:
                row.take(look, Verdict.INCONCLUSIVE, "; ".join(stale[pair[0]]))
                continue
            plans = judge.plans([pair])
            if all(_is_of_sessions(plan.rule) for plan in plans):
                checks = self._by_hours(view, judge, plans, row, is_last=is_last)
            else:
                found, _ = judge.read(plans)
                checks = judge.checks(plans, found)
            row.take(look, _worst(checks), _reason(checks))

    def _by_hours(
        self, view: View, judge: Judge, plans: Sequence[Plan], row: Replayed, *, is_last: bool
    ) -> tuple[Check, ...]:
        """Check by the hours, first as if sessions were independent.

        That they depend on each other widens the bounds: what is inconclusive as if they were
        independent is so anyway, and only news about a release need be exact.
        """
        found = Found()
        for plan in plans:
            for asked in plan.read:
                sums = view.hours[asked.environments].sums(asked.pair, asked.window)
                scope = replace(judge.known.scope(asked.environments), summary=asked.window)
                found.rows[asked] = row_of_sessions(asked.pair, sums, scope)
            own = plan.candidate
            recent = late.recent(own.window, judge.now)
            if recent is not None:
                hours = view.hours[own.environments].each(own.pair, recent)
                found.count_late(own, hours, judge.now)
        checks = judge.checks(plans, found, advise=False)
        if not is_last and not _is_news(row, _worst(checks)):
            return checks
        for plan in plans:
            for asked in plan.read if plan.rule.deff == AUTO else ():
                statuses = statuses_of(METRICS[plan.rule.metric])
                spread = self._spread_of(view, judge, asked, statuses)
                if spread is not None:
                    found.spread[asked, statuses] = spread
        return judge.checks(plans, found)

    def _spread_of(
        self, view: View, judge: Judge, asked: AskedFigures, statuses: Statuses
    ) -> Figures | None:
        """Return how a release's sessions are spread over its users, read once a window."""
        key = view.arrived, asked, statuses
        if key not in self._spread:
            scope = replace(judge.known.scope(asked.environments), summary=asked.window)
            ask = Ask(components.USER_SESSIONS, scope.narrowed_to((asked.pair,)), statuses=statuses)
            (rows,) = view.asking.answer([ask])
            self._spread[key] = by_pair(rows).get(asked.pair)
        return self._spread[key]


def _is_news(row: Replayed, verdict: Verdict) -> bool:
    """Tell whether a verdict is news about a release, so that it must be exact."""
    match verdict:
        case Verdict.PASS:
            return row.first_pass is None
        case Verdict.FAIL:
            return row.first_fail is None
        case _:
            return False


def _is_of_sessions(rule: Rule) -> bool:
    """Tell whether a rule needs nothing but session counters and the design effect."""
    starts = rule.when
    return (
        rule.metric in _OF_SESSIONS
        and not rule.min_users
        and (starts is None or (starts.users is None and starts.adoption is None))
    )


def _worst(checks: Sequence[Check]) -> Verdict:
    return worst(check.verdict for check in checks)


def _reason(checks: Sequence[Check]) -> str:
    verdict = _worst(checks)
    reasons = [
        f"{check.metric.name}: {check.judgement.reason}"
        for check in checks
        if check.verdict is verdict
    ]
    return reasons[0] if reasons else "no rule is for its project"
