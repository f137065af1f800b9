"""The status of the releases that matter: a word for each, and the figures behind it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import ClassVar, NamedTuple

from relhealth.core.scope import Asked, ProjectRelease, Scope
from relhealth.core.units import Unit
from relhealth.gate.glance import CRITICAL, TARGET, Word, rank
from relhealth.gate.outcome import Check, Gate
from relhealth.gate.policy import Policy, Rule
from relhealth.gate.run import Judge, candidates
from relhealth.gate.verdict import Verdict
from relhealth.questions.adoption_stages import Stage, release_stages, stages_ask, stages_scope
from relhealth.questions.asking import Asking, Figures
from relhealth.questions.known import Known
from relhealth.questions.listing import ListedRow, Listing
from relhealth.questions.naming import newest_versions
from relhealth.questions.overview import ReleaseOverview
from relhealth.questions.selection import Instant

PERIOD = "24h"
_NOTABLE = 0.01  # share of its project's sessions from which a release can be bad for many


@dataclass(frozen=True, slots=True)
class ReleaseStatus(ListedRow):
    """The status of one release; the check that decided is that of ``metric``.

    ``figure`` is what the check saw, with one-sided bounds, in the unit of the metric: percent, or
    seconds, in the policy's period. ``target`` and ``critical`` are its limits. ``change`` is by
    how many percentage points the crash-free sessions differ from those of ``prevailing``, what
    most users had before. Sessions, users and adoption are of the last 24 hours. ``newest`` is the
    start of the newest session of the project, ``age`` the seconds from it to now.
    """

    UNITS: ClassVar[Mapping[str, Unit]] = {
        "project_id": Unit.PROJECT,
        "release": Unit.RELEASE,
        "status": Unit.TEXT,
        "metric": Unit.TEXT,
        "figure": Unit.PERCENT,
        "lower": Unit.PERCENT,
        "upper": Unit.PERCENT,
        "target": Unit.PERCENT,
        "critical": Unit.PERCENT,
        "crash_free_sessions": Unit.CRASH_FREE,
        "crash_free_users": Unit.CRASH_FREE,
        "prevailing": Unit.RELEASE,
        "change": Unit.CHANGE,
        "adoption_stage": Unit.TEXT,
        "adoption": Unit.SHARE,
        "sessions_adoption": Unit.SHARE,
        "total_sessions": Unit.COUNT,
        "total_users": Unit.COUNT,
        "newest": Unit.INSTANT,
        "age": Unit.SECONDS,
        "reason": Unit.TEXT,
    }

    project_id: int
    release: str
    status: Word
    metric: str | None
    figure: float | None
    lower: float | None
    upper: float | None
    target: float | None
    critical: float | None
    crash_free_sessions: float | None
    crash_free_users: float | None
    prevailing: str | None
    change: float | None
    adoption_stage: Stage | None
    adoption: float | None
    sessions_adoption: float | None
    total_sessions: int | None
    total_users: int | None
    newest: datetime | None
    age: float | None
    reason: str
    judged_period: str = PERIOD  # of ``figure``


class _Seen(NamedTuple):
    """What the last day has of every release."""

    scope: Scope
    figures: Mapping[ProjectRelease, ReleaseOverview]
    stages: Mapping[ProjectRelease, Stage]
    invalid: Mapping[str, int]


def status(
    asking: Asking,
    now: datetime,
    asked: Sequence[Asked] | None,
    policy: Policy,
    asked_now: Instant | None = None,
) -> Listing[ReleaseStatus]:
    """Return the status of the asked releases, else of those that matter.

    These are the newest version of each package, every release that a tenth of the newest sessions
    are of, and every bad one that a hundredth of the sessions of a day are of. ``asked_now`` is
    the instant as it was asked for.
    """
    judge = Judge(asking, policy, now, projects=policy.projects)
    seen = _seen(asking, now, policy)
    if asked is None:
        newest, shared = _matter(seen)
        pairs = tuple(dict.fromkeys((*newest, *shared)))
    else:
        newest = pairs = candidates(asking, judge, asked, strictly=False)
    judge = judge.ruled_by(_ruling({project for project, _ in pairs}, policy))
    gate = judge.judge(pairs)
    judge.refuse_stale(pairs, asked_now)
    # The figures are of a day, and so is what they are compared with, whatever the policy's period.
    of_day = judge.known
    if policy.period != PERIOD:
        of_day = Known(asking, judge.until, PERIOD, policy.projects)
    rows = [_row(gate, judge, of_day, pair, seen, now) for pair in pairs]
    kept = [
        row
        for row in rows
        if (row.project_id, row.release) in newest
        or row.adoption_stage is Stage.ADOPTED
        or row.status is Word.BAD
    ]
    return Listing(
        kind=ReleaseStatus,
        rows=tuple(sorted(kept, key=lambda row: rank(row.project_id, row.release, row.status))),
        scope=seen.scope,
        period=PERIOD,
        window=seen.scope.summary,
        files=asking.sources.total,
        invalid_rows=seen.invalid,
    )


def verdict_of(rows: Iterable[ReleaseStatus]) -> Verdict:
    """Return the verdict of a gate on all rows: fail for a bad one, pass if all are fine."""
    words = {row.status for row in rows}
    if Word.BAD in words:
        return Verdict.FAIL
    return Verdict.PASS if words == {Word.OK} else Verdict.INCONCLUSIVE


def _seen(asking: Asking, now: datetime, policy: Policy) -> _Seen:
    scope = Scope.resolve(
        now,
        period=PERIOD,
        projects=policy.projects,
        environments=policy.environments,
        where=asking.where,
    )
    asks = asking.asks(scope)
    staged = stages_scope(scope)
    (*rows, stages), invalid = asking.checked(
        [*asks, stages_ask(staged, by_environment=False)], scope
    )
    figures: Figures = asking.figures_of(asks, rows)
    return _Seen(
        scope=scope,
        figures={(row.project_id, row.release): row for row in figures.rows},
        stages={
            (one.project_id, one.release): one.adoption_stage
            for one in release_stages(stages, staged)
        },
        invalid=invalid,
    )


def _ruling(projects: Iterable[int], policy: Policy) -> Policy:
    """Return the policy, with a rule of the default limits for projects that it has none for."""
    others = [one for one in projects if not any(rule.applies(one, None) for rule in policy.rule)]
    if not others:
        return policy
    rule = Rule(target=TARGET, critical=CRITICAL, projects=tuple(sorted(others)))
    return replace(policy, rule=(*policy.rule, rule)).settled()


def _matter(seen: _Seen) -> tuple[tuple[ProjectRelease, ...], list[ProjectRelease]]:
    """Return the newest version of each package, and the releases with enough sessions."""
    shared = [
        pair
        for pair, row in seen.figures.items()
        if seen.stages.get(pair) is Stage.ADOPTED
        or (row.total_sessions or 0) >= _NOTABLE * (row.total_project_sessions_24h or 0)
    ]
    known = {*seen.figures, *(pair for pair in seen.stages if pair[1])}
    return newest_versions(known), shared


def _row(
    gate: Gate, judge: Judge, of_day: Known, pair: ProjectRelease, seen: _Seen, now: datetime
) -> ReleaseStatus:
    environments = gate.policy.environments
    check = _deciding(gate, pair)
    own = seen.figures.get(pair)
    before = of_day.prevailing(environments, pair)
    other = None if before is None else seen.figures.get((pair[0], before))
    newest = judge.recent.newest(environments, {pair[0]}).get(pair[0])
    rates = [None if one is None else one.crash_free_sessions for one in (own, other)]
    return ReleaseStatus(
        project_id=pair[0],
        release=pair[1],
        status=_word(gate, pair, own),
        metric=check.metric.name,
        figure=check.sample.observed,
        lower=check.judgement.lower,
        upper=check.judgement.upper,
        target=check.rule.target,
        critical=check.rule.critical,
        crash_free_sessions=rates[0],
        crash_free_users=None if own is None else own.crash_free_users,
        prevailing=before,
        change=None if None in rates else rates[0] - rates[1],  # type: ignore[operator]
        adoption_stage=seen.stages.get(pair),
        adoption=None if own is None else own.adoption,
        sessions_adoption=None if own is None else own.sessions_adoption,
        total_sessions=None if own is None else own.total_sessions,
        total_users=None if own is None else own.total_users,
        newest=newest,
        age=None if newest is None else (now - newest).total_seconds(),
        reason=check.judgement.reason,
        judged_period=gate.policy.period,
    )


def _deciding(gate: Gate, pair: ProjectRelease) -> Check:
    """Return the first check with the worst verdict."""
    verdict = gate.verdict_of(pair)
    return next(one for one in gate.checks_of(pair) if one.verdict is verdict)


def _word(gate: Gate, pair: ProjectRelease, own: ReleaseOverview | None) -> Word:
    match gate.verdict_of(pair):
        case Verdict.FAIL:
            return Word.BAD
        case Verdict.PASS:
            return Word.OK
        case _:
            return Word.TOO_EARLY if own is not None and own.total_sessions else Word.NO_DATA
