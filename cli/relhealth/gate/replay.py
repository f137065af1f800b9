"""Replays a policy over history: what it would have said about past releases, and when."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from relhealth.core.errors import QuestionError
from relhealth.core.scope import Asked, ProjectRelease, Scope
from relhealth.core.windows import (
    DAY,
    HEALTH_DAYS,
    HOUR,
    Window,
    ceil_to,
    floor_to,
    from_epoch_us,
    iso,
    parse_length,
    totals_window,
)
from relhealth.engines import components
from relhealth.gate.policy import Policy
from relhealth.gate.run import Judge, candidates
from relhealth.gate.verdict import Verdict
from relhealth.questions.asking import Asking

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
class Replay:
    """A replay: one row per release, in the order in which they were first seen."""

    policy: Policy
    since: datetime
    now: datetime
    every: str
    rows: tuple[Replayed, ...]
    files: int
    invalid_rows: dict[str, int]


def check_every(every: str) -> timedelta:
    """Return the time between looks: full hours, like windows."""
    step = parse_length(every)
    if step % timedelta(hours=1):
        raise QuestionError(f"{every!r}: expected full hours between looks, such as 1h or 6h")
    return step


def replay(
    asking: Asking,
    policy: Policy,
    now: datetime,
    *,
    since: datetime,
    every: str,
    projects: tuple[int, ...] | None,
    releases: Sequence[Asked],
) -> Replay:
    """Judge, at each look from ``since`` to ``now``, every release that existed by then.

    ``releases`` are the ones to judge; the default is those first seen within the span and not
    in the 90 days before it. A look uses the data recorded up to it, and judges a release while it
    has sessions in the policy's period. With data older than ``max_age``, the release waits.
    """
    step = check_every(every)
    if since >= now:
        raise QuestionError(f"since {iso(since)}: expected an instant before now, {iso(now)}")
    scope = Scope.resolve(
        now, period=policy.period, projects=projects, environments=policy.environments
    )
    span = Window(floor_to(since, HOUR), scope.summary.end)
    _, invalid = asking.checked([], replace(scope, summary=span.hull(scope.summary)))
    found = _released(asking, scope, span)
    if releases:
        latest = Judge(asking, policy, now, projects=projects)
        wanted = set(candidates(asking, latest, releases))
        rows = [row for row in found if (row.project_id, row.release) in wanted]
    else:
        rows = [row for row in found if row.first_seen >= span.start]
    for look in _looks(span.start, now, step):
        period = totals_window(look, policy.period)
        alive = {
            (row.project_id, row.release): row
            for row in rows
            if row.first_seen < look and row.last_seen >= period.start
        }
        if alive:
            _look(Judge(asking, policy, look, projects=projects), look, alive)
    return Replay(
        policy=policy,
        since=since,
        now=now,
        every=every,
        rows=tuple(rows),
        files=asking.sources.total,
        invalid_rows=invalid,
    )


def _released(asking: Asking, scope: Scope, span: Window) -> list[Replayed]:
    """Return when each release of the span and the 90 days before it was seen."""
    reached = Window(floor_to(span.start - _HEALTH, DAY), span.end)
    rows = [
        Replayed(
            row["project_id"],
            row["release"],
            from_epoch_us(row["first_seen"]),
            from_epoch_us(row["last_seen"]),
        )
        for row in asking.get(components.SEEN, replace(scope, health=reached))
        if row["release"] is not None
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


def _look(judge: Judge, look: datetime, alive: dict[ProjectRelease, Replayed]) -> None:
    stale = judge.stale(tuple(alive))
    fresh = tuple(pair for pair in alive if pair[0] not in stale)
    gate = judge.judge(fresh)
    for pair, row in alive.items():
        if pair[0] in stale:
            row.take(look, Verdict.INCONCLUSIVE, "; ".join(stale[pair[0]]))
            continue
        verdict = gate.verdict_of(pair)
        reasons = [
            f"{check.metric.name}: {check.judgement.reason}"
            for check in gate.checks_of(pair)
            if check.verdict is verdict
        ]
        row.take(look, verdict, reasons[0] if reasons else "no rule is for its project")
