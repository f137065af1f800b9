"""Plans a gate: how many sessions or users its rules need, and whether the traffic brings them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from relhealth.core.errors import DataError
from relhealth.core.scope import ProjectRelease
from relhealth.core.windows import HOUR, period_seconds
from relhealth.engines import components
from relhealth.gate import power
from relhealth.gate.baselines import Asked, Baselines
from relhealth.gate.metrics import METRICS, Duration, Metric
from relhealth.gate.policy import Policy, Rule
from relhealth.gate.reading import Plan, read
from relhealth.gate.verdict import Counted
from relhealth.questions.asking import Asking
from relhealth.questions.known import Known


@dataclass(frozen=True, slots=True)
class Planned:
    """What one rule needs in one project, and what the traffic of a release brings.

    ``least`` is the fewest trials that can pass, ``likely`` how many pass with a chance of 80 % if
    the true figure is ``rate``, in percent. ``per_hour`` is the traffic of ``release``, and
    ``holds`` what a window holds of it. ``hours`` is how long ``likely`` takes, and ``period`` the
    shortest one that holds it. ``None``: no number or no period does.
    """

    number: int
    rule: Rule
    metric: Metric
    project_id: int
    release: str
    rate: float
    deff: float
    per_hour: float
    holds: int
    least: int | None
    likely: int | None
    chance: float  # that a full window passes, 0 to 1
    period: str | None
    reachable: float | None  # the best target, in percent, that a full window can pass

    @property
    def hours(self) -> float | None:
        """How many hours of the traffic bring the likely number."""
        if self.likely is None or not self.per_hour:
            return None
        return self.likely / self.per_hour


@dataclass(frozen=True, slots=True)
class GatePlan:
    """The plan of a policy: a row for each rule and project."""

    policy: Policy
    now: datetime
    rows: tuple[Planned, ...]
    files: int
    invalid_rows: Mapping[str, int]


def plan(
    asking: Asking,
    policy: Policy,
    now: datetime,
    *,
    projects: tuple[int, ...] | None,
    releases: Sequence[ProjectRelease],
    rate: float | None,
) -> GatePlan:
    """Plan a checked policy for the traffic of releases over its period.

    Without ``releases``, it is that of each project's release with the most sessions. ``rate`` is
    the true figure to plan for, in percent; the default is the one of that release. Rules on
    durations are left out. Raises ``DataError`` if no project has sessions.
    """
    known = Known(asking, policy.until(now), policy.period, projects)
    pairs = releases or _busiest(asking, known, policy)
    if not pairs:
        raise DataError(f"no sessions in the last {policy.period}: nothing to plan by")
    window = known.scope().summary
    plans = [
        Plan(number, rule, Baselines(Asked(pair, rule.environments, window)))
        for pair in pairs
        for number, rule in enumerate(policy.rule, 1)
        if (rule.projects is None or pair[0] in rule.projects)
        and isinstance(METRICS[rule.metric], Metric)
        and rule.metric != "adoption"
    ]
    found, invalid = read(asking, known, plans, now)
    rows = []
    for one in plans:
        metric = METRICS[one.rule.metric]
        if isinstance(metric, Duration):
            continue
        sample = found.sample(one.candidate, metric, one.rule)
        clustering = found.clustering(one.candidate, metric, one.rule)
        if sample.denominator:
            late = found.late_share(one.candidate, metric)
            counts = Counted(*sample.bad(metric), clustering, late)
            rows.append(_planned(one, metric, counts, policy.period, rate))
    return GatePlan(policy, now, tuple(rows), asking.sources.total, invalid)


def _planned(
    one: Plan, metric: Metric, counts: Counted, period: str, rate: float | None
) -> Planned:
    rule, deff = one.rule, counts.clustering.deff
    hours = period_seconds(period) / HOUR
    share = counts.bad / counts.total if rate is None else metric.share_of(rate)
    baseline = counts if rule.baselines else None
    enough = power.passing(metric, rule, counts.clustering, baseline, counts.late)
    likely = power.likely(enough, share, deff)
    per_hour = counts.total / hours
    return Planned(
        number=one.number,
        rule=rule,
        metric=metric,
        project_id=one.candidate.pair[0],
        release=one.candidate.pair[1],
        rate=metric.figure_of(share),
        deff=deff,
        per_hour=per_hour,
        holds=int(counts.total),
        least=power.least(enough),
        likely=likely,
        chance=power.chance_to_pass(enough, share, int(counts.total), deff),
        period=power.period_for(likely, per_hour),
        reachable=None if rule.baselines else power.reachable(metric, rule, counts),
    )


def _busiest(asking: Asking, known: Known, policy: Policy) -> list[ProjectRelease]:
    """Return the release with the most sessions of each project."""
    best: dict[int, tuple[int, str]] = {}
    rows = asking.get(components.SESSIONS_BY_STATUS, known.scope(policy.environments))
    for row in rows:
        own = row["sessions"], row["release"]
        if own[0] and own > best.get(row["project_id"], (0, "")):
            best[row["project_id"]] = own
    return [(project, release) for project, (_, release) in sorted(best.items())]
