"""Reads the figures that the rules of a gate need, each window once."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from relhealth.core.scope import ProjectRelease
from relhealth.core.windows import HOUR, Window, hull
from relhealth.engines import components
from relhealth.engines.interface import Ask
from relhealth.gate import late
from relhealth.gate.baselines import Asked, Baselines
from relhealth.gate.clustering import Clustering, Sums, alike, design_effect, given
from relhealth.gate.metrics import FOLLOWED, METRICS, RATES, Duration, Metric, Sample
from relhealth.gate.policy import AUTO, Rule
from relhealth.machine.database import Row
from relhealth.questions.asking import Asking
from relhealth.questions.known import Environments, Known
from relhealth.questions.merge import by_pair
from relhealth.questions.overview import ReleaseOverview

Figures = Mapping[str, Any]  # a row of a component
Statuses = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A rule on a release, with the releases that can be its baseline."""

    number: int
    rule: Rule
    baselines: Baselines

    @property
    def candidate(self) -> Asked:
        """The judged release."""
        return self.baselines.candidate

    @property
    def read(self) -> tuple[Asked, ...]:
        """What to read: the second possible baseline only where the first may have too little."""
        possible = self.baselines.possible
        return (self.candidate, *(possible if self.rule.min_baseline_sessions else possible[:1]))


@dataclass(frozen=True, slots=True)
class Found:
    """The figures that were read."""

    rows: dict[Asked, ReleaseOverview] = field(default_factory=dict)
    durations: dict[Asked, Figures] = field(default_factory=dict)
    spread: dict[tuple[Asked, Statuses], Figures] = field(default_factory=dict)
    followed: dict[tuple[Asked, Statuses, int], Figures] = field(default_factory=dict)
    late: dict[Asked, float] = field(default_factory=dict)  # of judged releases

    def sample(self, asked: Asked, metric: Metric | Duration, rule: Rule) -> Sample:
        """Return what a rule counts of a release."""
        row = self.rows[asked]
        if isinstance(metric, Metric) and rule.followed is not None:
            followed = self.followed.get((asked, metric.statuses, rule.followed))
            return Sample.of_followed(metric, asked.window, row.release, followed)
        return Sample.of(metric, asked.window, row, self.durations.get(asked))

    def clustering(self, asked: Asked, metric: Metric | Duration, rule: Rule) -> Clustering:
        """Return how far the sessions of a user depend on each other."""
        if rule.deff != AUTO:
            return given(float(rule.deff))
        spread = self.spread.get((asked, statuses_of(metric)))
        if metric.of_users or spread is None:
            return given(1.0)
        sums = Sums(**{name: spread[name] for name in Sums._fields})
        return alike(sums) if isinstance(metric, Duration) else design_effect(sums)

    def late_share(self, asked: Asked, metric: Metric | Duration) -> float:
        """Return the share, 0 to 1, of a judged release's bad events that is on its way."""
        return self.late.get(asked, 0.0) if statuses_of(metric) else 0.0

    def count_late(self, asked: Asked, hours: Iterable[tuple[int, int]], now: datetime) -> None:
        """Take the share from the hours that ``late.recent`` returns; see ``late.late_share``."""
        total = self.rows[asked].total_sessions or 0
        self.late[asked] = late.late_share(hours, total, now)


@dataclass(slots=True)
class _Wanted:
    """What is wanted of one window and selection of environments."""

    components: dict[ProjectRelease, set[str]] = field(default_factory=lambda: defaultdict(set))
    spread: dict[Statuses, set[ProjectRelease]] = field(default_factory=lambda: defaultdict(set))
    followed: dict[tuple[Statuses, int], set[ProjectRelease]] = field(
        default_factory=lambda: defaultdict(set)
    )
    late: set[ProjectRelease] = field(default_factory=set)


def read(
    asking: Asking, known: Known, plans: Sequence[Plan], now: datetime
) -> tuple[Found, dict[str, int]]:
    """Read the figures of all plans together, and count the rows that cannot count, by reason.

    ``now`` is the instant of the look, by which late crashes have arrived or not.
    """
    wanted: dict[tuple[Environments, Window], _Wanted] = defaultdict(_Wanted)
    for plan in plans:
        for asked in plan.read:
            group = wanted[asked.environments, asked.window]
            statuses = statuses_of(METRICS[plan.rule.metric])
            group.components[asked.pair] |= _needed(plan.rule)
            if plan.rule.deff == AUTO and not _of_users(plan.rule):
                group.spread[statuses].add(asked.pair)
            if plan.rule.followed is not None:
                group.followed[statuses, plan.rule.followed].add(asked.pair)
            if statuses and asked == plan.candidate:
                group.late.add(asked.pair)
    if not wanted:
        return Found(), {}
    parts = [_Part.of(known, *key, group, now) for key, group in wanted.items()]
    answers, invalid = asking.checked(
        [ask for part in parts for ask in part.asks],
        replace(known.scope(), summary=hull([window for _, window in wanted])),
    )
    found, rows = Found(), iter(answers)
    for part in parts:
        part.take(asking, found, [next(rows) for _ in part.asks], now)
    return found, invalid


@dataclass(frozen=True, slots=True)
class _Part:
    """The asks of one window and selection of environments."""

    environments: Environments
    window: Window
    overview: list[Ask]
    spread: list[Ask]
    followed: list[Ask]
    recent: list[Ask]

    @classmethod
    def of(
        cls,
        known: Known,
        environments: Environments,
        window: Window,
        wanted: _Wanted,
        now: datetime,
    ) -> "_Part":
        scope = replace(known.scope(environments), summary=window)
        recent = late.recent(window, now) if wanted.late else None
        return cls(
            environments,
            window,
            Asking.asks(
                scope.narrowed_to(tuple(wanted.components)),
                needed=set().union(*wanted.components.values()),
            ),
            [
                Ask(components.USER_SESSIONS, scope.narrowed_to(tuple(pairs)), statuses=statuses)
                for statuses, pairs in wanted.spread.items()
            ],
            [
                Ask(
                    components.FOLLOWED_USERS,
                    scope.narrowed_to(tuple(pairs)),
                    statuses=statuses,
                    follow_up=seconds,
                )
                for (statuses, seconds), pairs in wanted.followed.items()
            ],
            []
            if recent is None
            else [
                Ask(
                    components.SESSIONS_BY_GROUP,
                    scope.over(recent).narrowed_to(tuple(wanted.late)),
                    frozenset({"project", "release"}),
                    HOUR,
                )
            ],
        )

    @property
    def asks(self) -> list[Ask]:
        return [*self.overview, *self.spread, *self.followed, *self.recent]

    def take(
        self, asking: Asking, found: Found, answers: Sequence[list[Row]], now: datetime
    ) -> None:
        figures = asking.figures_of(self.overview, answers[: len(self.overview)])
        for row in figures.rows:
            found.rows[self._asked((row.project_id, row.release))] = row
        found.durations.update(self._by_asked(figures.found.get(components.DURATIONS, ())))
        others = iter(answers[len(self.overview) :])
        for ask in self.spread:
            for asked, spread in self._by_asked(next(others)).items():
                found.spread[asked, ask.statuses] = spread
        for ask in self.followed:
            for asked, followed in self._by_asked(next(others)).items():
                found.followed[asked, ask.statuses, ask.follow_up or 0] = followed
        hours: dict[Asked, list[tuple[int, int]]] = defaultdict(list)
        for _ in self.recent:
            for counters in next(others):
                pair = counters["project_id"], counters["release"]
                hours[self._asked(pair)].append((counters["bucket"], counters["sessions"]))
        for one in found.rows.keys() & hours.keys():
            found.count_late(one, hours[one], now)

    def _by_asked(self, rows: Sequence[Row]) -> Mapping[Asked, Figures]:
        return {self._asked(pair): row for pair, row in by_pair(rows).items()}

    def _asked(self, pair: ProjectRelease) -> Asked:
        return Asked(pair, self.environments, self.window)


def statuses_of(metric: Metric | Duration) -> Statuses:
    """Return the statuses of bad events; of durations, none."""
    return metric.statuses if isinstance(metric, Metric) else ()


def _of_users(rule: Rule) -> bool:
    return rule.metric in RATES and RATES[rule.metric].of_users


def _needed(rule: Rule) -> set[str]:
    """Return the components that a rule reads, beside sessions by status."""
    needed: set[str] = set()
    if rule.min_users or (rule.when and rule.when.users):
        needed.add("users_by_status")
    if rule.when and rule.when.adoption:
        needed.add("adoption")
    if rule.metric in FOLLOWED and rule.follow_up is not None:
        return needed
    return needed | (RATES[rule.metric].needed if rule.metric in RATES else {"durations"})
