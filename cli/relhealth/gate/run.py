"""A run of the gate: every rule of a policy on every release asked about."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache

from relhealth import components
from relhealth.asking import Asking
from relhealth.database import Row
from relhealth.errors import DataError, QuestionError
from relhealth.gate.metrics import (
    CRASH_FREE,
    DURATIONS,
    METRICS,
    RATES,
    Duration,
    Metric,
    Sample,
)
from relhealth.gate.policy import PREVIOUS, Policy, Rule
from relhealth.gate.verdict import (
    Judgement,
    Verdict,
    against_baseline,
    against_longest,
    against_target,
    duration_fractions,
    waiting,
    worst,
)
from relhealth.overview import ReleaseOverview
from relhealth.printable import printable
from relhealth.report import counted
from relhealth.scope import ProjectRelease, Scope
from relhealth.versions import release_key
from relhealth.windows import (
    HOUR,
    Window,
    adoption_window,
    floor_to,
    from_epoch_us,
    iso,
    totals_window,
)

LATEST = "latest"
_Environments = tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Check:
    """One rule judged on one release; ``baseline`` is the sample it was compared with."""

    number: int  # of the rule, from 1
    rule: Rule
    metric: Metric | Duration
    project_id: int
    sample: Sample
    baseline: Sample | None
    judgement: Judgement

    @property
    def verdict(self) -> Verdict:
        """What the rule came to."""
        return self.judgement.verdict


@dataclass(frozen=True, slots=True)
class Gate:
    """The outcome of a gate: every check, in the order of releases and rules."""

    policy: Policy
    now: datetime
    releases: tuple[ProjectRelease, ...]
    checks: tuple[Check, ...]
    files: int
    invalid_rows: Mapping[str, int]

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of all; a release that no rule applies to cannot be told of."""
        return worst(self.verdict_of(pair) for pair in self.releases)

    def verdict_of(self, pair: ProjectRelease) -> Verdict:
        """The worst verdict on one release."""
        return worst(check.verdict for check in self.checks_of(pair))

    def checks_of(self, pair: ProjectRelease) -> list[Check]:
        """The checks of one release."""
        return [one for one in self.checks if (one.project_id, one.sample.release) == pair]

    @property
    def outcome(self) -> Verdict:
        """The verdict, with inconclusive taken for what the policy says."""
        verdict = self.verdict
        mapped = verdict is Verdict.INCONCLUSIVE
        return Verdict(self.policy.inconclusive) if mapped else verdict


def newest_versions(seen: Iterable[ProjectRelease]) -> tuple[ProjectRelease, ...]:
    """Return the newest version of each project and package; what is no version is left out."""
    newest: dict[tuple[int, str], ProjectRelease] = {}
    for pair in seen:
        key = release_key(pair[1])
        package = pair[0], key[1]
        if key[0] == 0 and (package not in newest or key > release_key(newest[package][1])):
            newest[package] = pair
    return tuple(sorted(newest.values()))


@dataclass(frozen=True, slots=True)
class _Seen:
    """When a release had its first and its last session counter within 90 days."""

    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class _Asked:
    """A release's figures in one window, as a rule wants them."""

    pair: ProjectRelease
    environments: _Environments
    window: Window


class Judge:
    """Judges releases by a checked policy as of one instant."""

    def __init__(
        self,
        asking: Asking,
        policy: Policy,
        now: datetime,
        *,
        projects: tuple[int, ...] | None,
    ) -> None:
        """Nothing is read yet; ``projects`` are those that may be asked about."""
        self._asking = asking
        self._policy = policy
        self._now = now
        self._projects = projects
        self._seen = cache(self._look_for)
        self._figures: dict[_Asked, ReleaseOverview] = {}
        self._durations: dict[_Asked, Row] = {}

    def scope(self, environments: _Environments = None) -> Scope:
        """Return the scope of the policy's period."""
        return Scope.resolve(
            self._now,
            period=self._policy.period,
            projects=self._projects,
            environments=environments,
        )

    def _look_for(self, environments: _Environments) -> dict[tuple[int, str | None], _Seen]:
        scope = self.scope(environments)
        # Up to the end of what is judged: a look at the past sees nothing after it.
        known = Window(scope.health.start, scope.summary.end)
        rows = self._asking.get(components.SEEN, replace(scope, health=known))
        return {
            (row["project_id"], row["release"]): _Seen(
                from_epoch_us(row["first_seen"]), from_epoch_us(row["last_seen"])
            )
            for row in rows
        }

    def seen(self) -> dict[ProjectRelease, tuple[datetime, datetime]]:
        """Return every release of the policy's environments with its first and last session."""
        return {
            (project, release): (one.first, one.last)
            for (project, release), one in self._seen(self._policy.environments).items()
            if release is not None
        }

    def latest(self) -> tuple[ProjectRelease, ...]:
        """Return the newest version per project and package; ``DataError`` where there is none."""
        found = newest_versions(self.seen())
        if not found:
            where = "" if self._policy.environments is None else " in the environments asked about"
            raise DataError(
                f"no release{where} has a version to be the latest by; name it with --release"
            )
        return found

    def refuse_stale(self, pairs: Sequence[ProjectRelease]) -> None:
        """Raise ``DataError`` for projects whose newest data is older than the policy allows."""
        faults = [fault for faults in self.stale(pairs).values() for fault in faults]
        if faults:
            raise DataError(faults)

    def stale(self, pairs: Sequence[ProjectRelease]) -> dict[int, list[str]]:
        """Return the projects whose newest data is older than the policy allows, and how old."""
        oldest = self._policy.oldest
        stale: dict[int, list[str]] = defaultdict(list)
        if oldest is None:
            return stale
        for environments in {rule.environments for rule in self._policy.rule}:
            newest: dict[int, datetime] = {}
            for (project, _), one in self._seen(environments).items():
                newest[project] = max(one.last, newest.get(project, one.last))
            for project in sorted({project for project, _ in pairs} & newest.keys()):
                age = self._now - newest[project]
                if age > oldest:
                    stale[project].append(
                        f"project {project}: the newest session{_within(environments)} is of"
                        f" {iso(newest[project])}, {_length(age)} ago; max_age is"
                        f" {self._policy.max_age}: does the feed still run?"
                    )
        return stale

    def judge(self, pairs: Sequence[ProjectRelease]) -> Gate:
        """Judge each pair by each rule that applies to it."""
        planned = [
            self._plan(number, rule, pair)
            for pair in pairs
            for number, rule in enumerate(self._policy.rule, 1)
            if rule.projects is None or pair[0] in rule.projects
        ]
        invalid = self._read(planned)
        return Gate(
            policy=self._policy,
            now=self._now,
            releases=tuple(pairs),
            checks=tuple(self._check(plan) for plan in planned),
            files=len(self._asking.sources.files) + len(self._asking.sources.empty),
            invalid_rows=invalid,
        )

    def _plan(self, number: int, rule: Rule, pair: ProjectRelease) -> "_Plan":
        window = self._window(rule, pair)
        candidate = _Asked(pair, rule.environments, window)
        return _Plan(number, rule, candidate, tuple(self._baselines(rule, candidate)))

    def _window(self, rule: Rule, pair: ProjectRelease) -> Window:
        window = totals_window(self._now, self._policy.period)
        if rule.metric == "adoption":
            return adoption_window(self._now)
        seen = self._seen(rule.environments).get(pair)
        if rule.sequential and seen is not None:
            return Window(floor_to(seen.first, HOUR), window.end)
        return window

    def _baselines(self, rule: Rule, candidate: _Asked) -> Iterable[_Asked]:
        """Yield what the release may be compared with, best first."""
        project, release = candidate.pair
        seen = self._seen(rule.environments)
        own = seen.get(candidate.pair)
        for name in rule.baselines:
            names = self._previous(rule, candidate) if name == PREVIOUS else [name]
            for one in names:
                other = seen.get((project, one))
                if one == release or other is None:
                    continue
                window = candidate.window
                if rule.same_age and own is not None:
                    age = floor_to(own.first, HOUR) - floor_to(other.first, HOUR)
                    window = Window(window.start - age, window.end - age)
                if other.first < window.end and other.last >= window.start:
                    yield _Asked((project, one), rule.environments, window)

    def _previous(self, rule: Rule, candidate: _Asked) -> list[str]:
        """Return the releases before one, the nearest first: of its package, or by time.

        By version, only a pre-release is compared with pre-releases.
        """
        project, release = candidate.pair
        seen = {
            other: one
            for (its, other), one in self._seen(rule.environments).items()
            if its == project and other is not None
        }
        if rule.previous_by == "time":
            own = seen.get(release)
            before = [r for r, one in seen.items() if own is not None and one.first < own.first]
            return sorted(before, key=lambda r: (seen[r].first, r), reverse=True)
        key = release_key(release)
        before = [
            other
            for other in seen
            if (its := release_key(other))[:2] == key[:2] and its[3] >= key[3] and its < key
        ]
        return sorted(before, key=release_key, reverse=True) if key[0] == 0 else []

    def _read(self, planned: Sequence["_Plan"]) -> dict[str, int]:
        """Ask for the figures of all plans, a window and environment at a time."""
        groups: dict[tuple[_Environments, Window], dict[ProjectRelease, set[str]]] = {}
        for plan in planned:
            for asked in (plan.candidate, *plan.baselines[:1]):
                group = groups.setdefault((asked.environments, asked.window), defaultdict(set))
                group[asked.pair] |= _needed(plan.rule)
        if not groups:
            return {}
        invalid = self._check_rows(groups)
        for (environments, window), wanted in groups.items():
            scope = replace(self.scope(environments), summary=window).narrowed_to(tuple(wanted))
            needed = set().union(*wanted.values())
            for row in self._asking.figures(scope, needed=needed - {"durations"}):
                pair = row.project_id, row.release
                self._figures[_Asked(pair, environments, window)] = row
            if "durations" in needed:
                for found in self._asking.get(components.DURATIONS, scope):
                    pair = found["project_id"], found["release"]
                    self._durations[_Asked(pair, environments, window)] = found
        return invalid

    def _check_rows(self, groups: Iterable[tuple[_Environments, Window]]) -> dict[str, int]:
        """Check all that is read, once."""
        windows = [window for _, window in groups]
        hull = windows[0]
        for window in windows[1:]:
            hull = hull.hull(window)
        return self._asking.check_rows(replace(self.scope(), summary=hull))

    def _check(self, plan: "_Plan") -> Check:
        row = self._figures[plan.candidate]
        rule = plan.rule
        if rule.metric == CRASH_FREE:
            rule = replace(
                rule, metric="crash_free_users" if row.total_users else "crash_free_sessions"
            )
        metric = METRICS[rule.metric]
        sample = self._sample(plan.candidate, metric)
        baseline = None
        judgement = self._too_early(rule, plan.candidate, sample, row, metric.trials)
        if judgement is None and isinstance(metric, Duration):
            judgement = self._judged_duration(metric, rule, plan.candidate)
        elif judgement is None and isinstance(metric, Metric):
            if rule.target is not None:
                judgement = against_target(metric, rule, *metric.counted(row))
            else:
                baseline, judgement = self._compared(metric, rule, plan)
        if judgement is None:
            raise AssertionError("a rule was not judged")
        return Check(plan.number, rule, metric, plan.candidate.pair[0], sample, baseline, judgement)

    def _sample(self, asked: _Asked, metric: Metric | Duration) -> Sample:
        return Sample.of(metric, asked.window, self._figures[asked], self._durations.get(asked))

    def _too_early(
        self, rule: Rule, asked: _Asked, sample: Sample, row: ReleaseOverview, trials: str
    ) -> Judgement | None:
        """Return why nothing can be told of a release yet, where that is so."""
        where = _within(asked.environments)
        if asked.pair not in self._seen(asked.environments):
            return waiting(f"no session in 90 days{where}: is the name right?")
        if not sample.denominator:
            known = " of known duration" if rule.metric in DURATIONS else ""
            return waiting(f"no {trials}{known}{where} in the window")
        if rule.metric == "adoption" and not row.total_users_24h:
            return waiting(f"no users{where} in the window")
        if rule.when is not None and not _begun(rule, row):
            return waiting(_until(rule, row))
        for least, have, what in (
            (rule.min_sessions, row.total_sessions or 0, "session"),
            (rule.min_users, row.total_users or 0, "user"),
        ):
            if have < least:
                more = counted(least - have, f"more {what}")
                of_least = f"{counted(have, what)} of at least {least:,}"
                return waiting(f"{of_least}: {more} needed", needed=least - have)
        return None

    def _compared(
        self, metric: Metric, rule: Rule, plan: "_Plan"
    ) -> tuple[Sample | None, Judgement]:
        if not plan.baselines:
            return None, waiting(_no_baseline(rule, plan.candidate))
        asked = plan.baselines[0]
        other = self._sample(asked, metric)
        name = printable(other.release)
        if not other.denominator:
            return other, waiting(f"the baseline {name} has no {metric.trials} in the window")
        counts = metric.counted(self._figures[plan.candidate])
        base = metric.counted(self._figures[asked])
        return other, against_baseline(metric, rule, counts, base, name)

    def _judged_duration(self, metric: Duration, rule: Rule, asked: _Asked) -> Judgement:
        fractions = duration_fractions(metric, rule, self._durations[asked]["exited"])
        scope = replace(self.scope(asked.environments), summary=asked.window)
        bounds = self._asking.durations_at(fractions, scope.narrowed_to((asked.pair,)))
        return against_longest(rule, *bounds)


@dataclass(frozen=True, slots=True)
class _Plan:
    """A rule on a release: what to ask for."""

    number: int
    rule: Rule
    candidate: _Asked
    baselines: tuple[_Asked, ...]


def _needed(rule: Rule) -> set[str]:
    """Return the components that a rule reads, beside sessions by status."""
    needed: set[str] = set()
    if rule.metric == CRASH_FREE or rule.min_users or (rule.when and rule.when.users):
        needed.add("users_by_status")
    if rule.when and rule.when.adoption:
        needed.add("adoption")
    if rule.metric in RATES:
        needed |= RATES[rule.metric].needed
    elif rule.metric != CRASH_FREE:
        needed.add("durations")
    return needed


def _begun(rule: Rule, row: ReleaseOverview) -> bool:
    when = rule.when
    if when is None:
        return True
    reached = (
        (when.adoption, row.adoption),
        (when.users, row.total_users),
        (when.sessions, row.total_sessions),
    )
    return any(limit is not None and (have or 0) >= limit for limit, have in reached)


def _until(rule: Rule, row: ReleaseOverview) -> str:
    if rule.when is None:
        raise AssertionError("a rule without a beginning has begun")
    waits, have = [], []
    if rule.when.adoption is not None:
        waits.append(f"{rule.when.adoption:g}% adoption")
        have.append(f"{row.adoption or 0:.2f}%")
    if rule.when.users is not None:
        waits.append(counted(rule.when.users, "user"))
        have.append(counted(row.total_users or 0, "user"))
    if rule.when.sessions is not None:
        waits.append(counted(rule.when.sessions, "session"))
        have.append(counted(row.total_sessions or 0, "session"))
    return f"waits for {' or '.join(waits)}; so far {', '.join(have)}"


def _no_baseline(rule: Rule, asked: _Asked) -> str:
    where = _within(asked.environments)
    if PREVIOUS not in rule.baselines:
        names = ", ".join(printable(name) for name in rule.baselines)
        return f"no baseline has sessions{where} in the window: {names}"
    how = "seen before it" if rule.previous_by == "time" else "of its package, by version,"
    return f"no earlier release {how} has sessions{where} in the window to compare with"


def _within(environments: _Environments) -> str:
    if environments is None:
        return ""
    names = ", ".join(printable(name) or "none" for name in environments)
    return f" in environment {names}"


def _length(age: timedelta) -> str:
    hours = age / timedelta(hours=1)
    return f"{hours:,.1f} h" if hours < 48 else f"{hours / 24:,.1f} days"  # noqa: PLR2004


def candidates(
    asking: Asking, judge: Judge, releases: Sequence[ProjectRelease | str]
) -> tuple[ProjectRelease, ...]:
    """Return the pairs that a gate is asked about; ``latest`` stands for the newest versions."""
    if not releases:
        raise QuestionError("no release to judge: name one, or 'latest'")
    named = [release for release in releases if release != LATEST]
    newest = judge.latest() if LATEST in releases else ()
    asked = asking.pairs(named, judge.scope()) if named else ()
    return tuple(dict.fromkeys((*newest, *asked)))
