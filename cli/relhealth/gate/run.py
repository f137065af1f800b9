"""A run of the gate: it applies every rule of a policy to every selected release."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache

from relhealth.core.errors import DataError, QuestionError
from relhealth.core.numerals import percent
from relhealth.core.printable import printable
from relhealth.core.scope import Asked, ProjectRelease, Scope
from relhealth.core.versions import is_version, release_key
from relhealth.core.windows import (
    HOUR,
    Window,
    adoption_window,
    floor_to,
    from_epoch_us,
    hull,
    iso,
    totals_window,
)
from relhealth.core.words import counted
from relhealth.engines import components
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
from relhealth.machine.database import Row
from relhealth.questions.asking import Asking
from relhealth.questions.overview import ReleaseOverview

LATEST = "latest"
_FEW = 5  # releases that a warning names
_TOO_OLD = "too old for a sequential rule"
_EVER = datetime(1971, 1, 1, tzinfo=UTC)  # earlier than any possible window
_Environments = tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Check:
    """The judgement of one rule on one release; ``baseline`` is the other sample."""

    number: int  # of the rule, from 1
    rule: Rule
    metric: Metric | Duration
    project_id: int
    sample: Sample
    baseline: Sample | None
    judgement: Judgement

    @property
    def verdict(self) -> Verdict:
        """The verdict of the rule."""
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
        """The worst verdict of all; a release without a rule is inconclusive."""
        return worst(self.verdict_of(pair) for pair in self.releases)

    def verdict_of(self, pair: ProjectRelease) -> Verdict:
        """The worst verdict on one release."""
        return worst(check.verdict for check in self.checks_of(pair))

    def checks_of(self, pair: ProjectRelease) -> list[Check]:
        """The checks of one release."""
        return [one for one in self.checks if (one.project_id, one.sample.release) == pair]

    @property
    def outcome(self) -> Verdict:
        """The verdict, with inconclusive replaced by the setting of the policy."""
        verdict = self.verdict
        mapped = verdict is Verdict.INCONCLUSIVE
        return Verdict(self.policy.inconclusive) if mapped else verdict


def newest_versions(seen: Iterable[ProjectRelease]) -> tuple[ProjectRelease, ...]:
    """Return the newest version of each project and package; ignore other names."""
    newest: dict[tuple[int, str], ProjectRelease] = {}
    for pair in seen:
        key = release_key(pair[1])
        package = pair[0], key[1]
        if key[0] == 0 and (package not in newest or key > release_key(newest[package][1])):
            newest[package] = pair
    return tuple(sorted(newest.values()))


@dataclass(frozen=True, slots=True)
class _Seen:
    """The first and last session counter of a release, within the window of the search."""

    first: datetime
    last: datetime


_Known = Mapping[tuple[int, str | None], _Seen]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A release's figures in one window, as a rule needs them."""

    pair: ProjectRelease
    environments: _Environments
    window: Window


class Judge:
    """Judges releases by a checked policy at one instant."""

    def __init__(
        self,
        asking: Asking,
        policy: Policy,
        now: datetime,
        *,
        projects: tuple[int, ...] | None,
    ) -> None:
        """Start without reading; ``projects`` are the selected ones."""
        self._asking = asking
        self._policy = policy
        self._now = now
        self._projects = projects
        self._seen = cache(self._look_90_days_back)
        self._ever = cache(self._look_all_the_way_back)
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

    def _look_90_days_back(self, environments: _Environments) -> _Known:
        return self._look_since(self.scope().health.start, environments)

    def _look_all_the_way_back(self, environments: _Environments) -> _Known:
        return self._look_since(_EVER, environments)

    def _look_since(self, start: datetime, environments: _Environments) -> _Known:
        scope = self.scope(environments)
        # Up to the end of the judged window: a look at the past sees nothing after it.
        known = Window(start, scope.summary.end)
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
        """Return the newest version per project and package; ``DataError`` if there is none."""
        seen = self.seen()
        found = newest_versions(seen)
        if not found:
            where = "" if self._policy.environments is None else " in the environments asked about"
            raise DataError(
                f"no release{where} has a version to be the latest by; name it with --release"
            )
        unversioned = sorted(pair for pair in seen if not is_version(pair[1]))
        if unversioned:
            names = ", ".join(
                f"{project}/{printable(name)}" for project, name in unversioned[:_FEW]
            )
            more = f" and {len(unversioned) - _FEW:,} more" if len(unversioned) > _FEW else ""
            self._asking.warn(f"latest ignores names that are not versions: {names}{more}")
        return found

    def refuse_stale(self, pairs: Sequence[ProjectRelease]) -> None:
        """Raise ``DataError`` for projects whose newest data is older than ``max_age``."""
        faults = [fault for faults in self.stale(pairs).values() for fault in faults]
        if faults:
            raise DataError(faults)

    def stale(self, pairs: Sequence[ProjectRelease]) -> dict[int, list[str]]:
        """Return the projects whose newest data is older than ``max_age``, and its age."""
        oldest = self._policy.oldest
        stale: dict[int, list[str]] = defaultdict(list)
        if oldest is None:
            return stale
        projects = {project for project, _ in pairs}
        for environments in dict.fromkeys(rule.environments for rule in self._policy.rule):
            newest = _newest(self._seen(environments))
            if not projects <= newest.keys():  # older than the search, or unknown
                newest = _newest(self._ever(environments))
            for project in sorted(projects & newest.keys()):
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
            files=self._asking.sources.total,
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
        if rule.sequential and pair in self._seen(rule.environments):
            first = floor_to(self._ever(rule.environments)[pair].first, HOUR)
            return Window(max(first, self.scope().health.start), window.end)
        return window

    def _baselines(self, rule: Rule, candidate: _Asked) -> Iterable[_Asked]:
        """Yield the possible baselines of a release, best first."""
        project, release = candidate.pair
        if not rule.baselines:
            return  # and so nobody need look 90 days back
        seen = self._seen(rule.environments)
        for name in rule.baselines:
            names = self._previous(rule, candidate) if name == PREVIOUS else [name]
            for one in names:
                other = seen.get((project, one))
                if one == release or other is None:
                    continue
                window = candidate.window
                begun = other.first < window.end
                if rule.same_age and candidate.pair in seen:
                    window = self._as_old(rule, candidate, one)
                    begun = window.end <= candidate.window.end  # else it has not reached that age
                if begun and other.last >= window.start:
                    yield _Asked((project, one), rule.environments, window)

    def _as_old(self, rule: Rule, candidate: _Asked, other: str) -> Window:
        """Return the candidate's window, moved to when the other release had the same age."""
        ever, window = self._ever(rule.environments), candidate.window
        own, its = ever[candidate.pair].first, ever[candidate.pair[0], other].first
        younger = floor_to(own, HOUR) - floor_to(its, HOUR)
        return Window(window.start - younger, window.end - younger)

    def _previous(self, rule: Rule, candidate: _Asked) -> list[str]:
        """Return earlier releases, nearest first, by version of the same package or by time.

        By version, only a pre-release has pre-releases as baselines.
        """
        project, release = candidate.pair
        seen = [
            other
            for its, other in self._seen(rule.environments)
            if its == project and other is not None
        ]
        if rule.previous_by == "time":
            ever = self._ever(rule.environments)
            first = {other: ever[project, other].first for other in seen}
            before = [r for r in seen if release in first and first[r] < first[release]]
            return sorted(before, key=lambda r: (first[r], r), reverse=True)
        key = release_key(release)
        before = [
            other
            for other in seen
            if (its := release_key(other))[:2] == key[:2] and its[3] >= key[3] and its < key
        ]
        return sorted(before, key=release_key, reverse=True) if key[0] == 0 else []

    def _read(self, planned: Sequence["_Plan"]) -> dict[str, int]:
        """Request the figures of all plans, one window and environment at a time."""
        groups: dict[tuple[_Environments, Window], dict[ProjectRelease, set[str]]] = {}
        for plan in planned:
            for asked in (plan.candidate, *plan.baselines[:1]):
                group = groups.setdefault((asked.environments, asked.window), defaultdict(set))
                group[asked.pair] |= _needed(plan.rule)
        if not groups:
            return {}
        asks = [
            self._asking.asks(
                replace(self.scope(environments), summary=window).narrowed_to(tuple(wanted)),
                needed=set().union(*wanted.values()),
            )
            for (environments, window), wanted in groups.items()
        ]
        answers, invalid = self._asking.checked(
            [one for some in asks for one in some],
            replace(self.scope(), summary=hull([window for _, window in groups])),
        )
        rows = iter(answers)
        for (environments, window), some in zip(groups, asks, strict=True):
            figures = self._asking.figures_of(some, [next(rows) for _ in some])
            for row in figures.rows:
                pair = row.project_id, row.release
                self._figures[_Asked(pair, environments, window)] = row
            for found in figures.found.get(components.DURATIONS, ()):
                pair = found["project_id"], found["release"]
                self._durations[_Asked(pair, environments, window)] = found
        return invalid

    def _check(self, plan: "_Plan") -> Check:
        row = self._figures[plan.candidate]
        rule = plan.rule
        if rule.metric == CRASH_FREE:
            rule = _of_users_or_sessions(rule, row)
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
        """Return why a release is inconclusive before any bounds, or None."""
        where = _within(asked.environments)
        if not row.total_sessions and asked.pair not in self._seen(asked.environments):
            return waiting(f"no session in 90 days{where}: is the name right?")
        if rule.sequential:
            first = self._ever(asked.environments)[asked.pair].first
            if first < self.scope().health.start:
                return waiting(f"first seen {iso(first)}, 90 or more days ago: {_TOO_OLD}")
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
            when = "from when it was as old" if rule.same_age else "in the window"
            return other, waiting(f"the baseline {name} has no {metric.trials} {when}")
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
    """A rule on a release: the figures to request."""

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


def _of_users_or_sessions(rule: Rule, row: ReleaseOverview) -> Rule:
    """Choose the default metric: of users if there are any and the rule can judge them."""
    if row.total_users and not rule.sequential:
        return replace(rule, metric="crash_free_users", deff=1.0)
    return replace(rule, metric="crash_free_sessions")


def _newest(known: _Known) -> dict[int, datetime]:
    """Return the last session of each project."""
    newest: dict[int, datetime] = {}
    for (project, _), one in known.items():
        newest[project] = max(one.last, newest.get(project, one.last))
    return newest


def _adoption(row: ReleaseOverview) -> tuple[float, str]:
    """Return the release's adoption: of users, or of sessions if the project has no users."""
    if row.total_project_users_24h:
        return row.adoption or 0, ""
    return row.sessions_adoption or 0, " of sessions"


def _begun(rule: Rule, row: ReleaseOverview) -> bool:
    when = rule.when
    if when is None:
        return True
    reached = (
        (when.adoption, _adoption(row)[0]),
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
        adoption, of_what = _adoption(row)
        have.append(f"{percent(adoption)}{of_what}")
    if rule.when.users is not None:
        waits.append(counted(rule.when.users, "user"))
        have.append(counted(row.total_users or 0, "user"))
    if rule.when.sessions is not None:
        waits.append(counted(rule.when.sessions, "session"))
        have.append(counted(row.total_sessions or 0, "session"))
    return f"waits for {' or '.join(waits)}; so far {', '.join(have)}"


def _no_baseline(rule: Rule, asked: _Asked) -> str:
    where = _within(asked.environments)
    when = "from when it was as old" if rule.same_age else "in the window"
    if PREVIOUS not in rule.baselines:
        names = ", ".join(printable(name) for name in rule.baselines)
        return f"no baseline has sessions{where} {when}: {names}"
    how = "seen before it" if rule.previous_by == "time" else "of its package, by version,"
    return f"no earlier release {how} has sessions{where} {when} to compare with"


def _within(environments: _Environments) -> str:
    if environments is None:
        return ""
    names = ", ".join(printable(name) or "none" for name in environments)
    return f" in environment {names}"


def _length(age: timedelta) -> str:
    hours = age / timedelta(hours=1)
    return f"{hours:,.1f} h" if hours < 48 else f"{hours / 24:,.1f} days"  # noqa: PLR2004


def candidates(
    asking: Asking, judge: Judge, releases: Sequence[Asked]
) -> tuple[ProjectRelease, ...]:
    """Return the pairs that a gate judges; ``latest`` means the newest versions.

    Raises ``DataError`` if there is no data to find them.
    """
    if not releases:
        raise QuestionError("no release to judge: name one, or 'latest'")
    named = [release for release in releases if release != LATEST]
    newest = judge.latest() if LATEST in releases else ()
    asked = asking.pairs(named, judge.scope()) if named else ()
    pairs = tuple(dict.fromkeys((*newest, *asked)))
    if not pairs:
        raise DataError("no data yet, and so no project to judge in; name PROJECT/RELEASE")
    return pairs
