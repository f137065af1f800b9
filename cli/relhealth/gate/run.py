"""A run of the gate: it applies every rule of a policy to every selected release."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from relhealth.core import clock
from relhealth.core.errors import DataError, QuestionError
from relhealth.core.nearest import nearest
from relhealth.core.printable import printable
from relhealth.core.scope import Asked as AskedRelease
from relhealth.core.scope import ProjectRelease
from relhealth.core.versions import is_prerelease, is_version
from relhealth.core.windows import (
    Window,
    adoption_window,
    iso,
    period_seconds,
    totals_window,
)
from relhealth.core.words import counted
from relhealth.gate import holm, power
from relhealth.gate.baselines import Asked, baselines, differs_from_prevailing, none_found
from relhealth.gate.beginning import too_early
from relhealth.gate.intervals import Bounds
from relhealth.gate.metrics import DURATIONS, FOLLOWED, METRICS, Duration, Metric, Sample
from relhealth.gate.outcome import Check, Gate, Passed
from relhealth.gate.policy import Policy, Rule
from relhealth.gate.reading import Found, Plan, read
from relhealth.gate.verdict import (
    Counted,
    Judgement,
    Verdict,
    against_baseline,
    against_longer,
    against_longest,
    against_target,
    briefly,
    duration_fractions,
    waiting,
)
from relhealth.gate.wording import not_arrived
from relhealth.questions.asking import Asking
from relhealth.questions.known import Environments, Known
from relhealth.questions.naming import LATEST, newest_versions
from relhealth.questions.selection import Instant

_FEW = 5  # releases that a warning names
KnownAt = Callable[[datetime], Known]


class Judge:
    """Judges releases by a checked policy at one instant."""

    def __init__(
        self,
        asking: Asking,
        policy: Policy,
        now: datetime,
        *,
        projects: tuple[int, ...] | None = None,
        known: KnownAt | None = None,
    ) -> None:
        """Start without reading; ``projects`` are the selected ones.

        ``known`` returns what is known of releases at an instant, if that was read before.
        """
        self._asking = asking
        self._policy = policy
        self.now = now

        def by_reading(until: datetime) -> Known:
            return Known(asking, until, policy.period, projects)

        known_at = known or by_reading
        self.until = policy.until(now)
        self.known = known_at(self.until)
        self.recent = known_at(now) if policy.settling else self.known  # not settled, too
        self._found = Found()
        self._advises = True

    def ruled_by(self, policy: Policy) -> "Judge":
        """Return a judge by other rules of the same settings, that knows what this one read."""
        known = {self.until: self.known, self.now: self.recent}
        return Judge(self._asking, policy, self.now, known=known.__getitem__)

    def seen(self) -> dict[ProjectRelease, tuple[datetime, datetime]]:
        """Return every release of the policy's environments with its first and last session."""
        return {
            (project, release): (one.first, one.last)
            for (project, release), one in self.known.seen(self._policy.environments).items()
            if release is not None
        }

    def latest(self) -> tuple[ProjectRelease, ...]:
        """Return the newest version per project and package; ``DataError`` if there is none."""
        seen, stable = self.seen(), self._policy.stable
        found = newest_versions(seen, stable=stable)
        if not found:
            where = "" if self._policy.environments is None else " in the environments asked about"
            which = " stable" if stable else ""
            raise DataError(
                f"no{which} release{where} has a version to be the latest by; name it with"
                " --release"
            )
        left_out = {"names that are not versions": [p for p in seen if not is_version(p[1])]}
        if stable:
            left_out["pre-releases"] = [pair for pair in seen if is_prerelease(pair[1])]
        for what, pairs in left_out.items():
            if pairs:
                self._asking.warn(f"latest ignores {what}: {_some(pairs)}")
        return found

    def refuse_stale(
        self, pairs: Sequence[ProjectRelease], asked_now: Instant | None = None
    ) -> None:
        """Raise ``DataError`` for projects whose newest data is older than ``max_age``.

        The age is that at the judge's instant; for ``"latest"`` it is that by the clock.
        """
        at = clock.now() if asked_now == "latest" else None
        faults = [fault for faults in self.stale(pairs, at).values() for fault in faults]
        if faults:
            raise DataError(faults)

    def stale(
        self, pairs: Sequence[ProjectRelease], at: datetime | None = None
    ) -> dict[int, list[str]]:
        """Return the projects whose newest data is older than ``max_age``, and its age.

        The age is that ``at`` an instant, default the judge's.
        """
        oldest = self._policy.oldest
        stale: dict[int, list[str]] = defaultdict(list)
        if oldest is None:
            return stale
        projects = {project for project, _ in pairs}
        for environments in dict.fromkeys(rule.environments for rule in self._policy.rule):
            newest = self.recent.newest(environments, projects)
            for project in sorted(projects & newest.keys()):
                age = (at or self.now) - newest[project]
                if age > oldest:
                    stale[project].append(
                        f"project {project}: the newest session{_within(environments)} is of"
                        f" {iso(newest[project])}, {_length(age)} ago; max_age is"
                        f" {self._policy.max_age}: does the feed still run?"
                    )
        return stale

    def judge(self, pairs: Sequence[ProjectRelease]) -> Gate:
        """Judge each pair by each rule that applies to it."""
        plans = self.plans(pairs)
        found, invalid = self.read(plans)
        checks = self.checks(plans, found)
        self._warn(plans, checks)
        return Gate(
            policy=self._policy,
            now=self.now,
            until=self.known.scope().summary.end,
            releases=tuple(pairs),
            checks=checks,
            files=self._asking.sources.total,
            invalid_rows=invalid,
        )

    def plans(self, pairs: Sequence[ProjectRelease]) -> list[Plan]:
        """Return what to check: each pair by each rule that applies to it."""
        return [
            self._plan(number, rule, pair)
            for pair in pairs
            for number, rule in enumerate(self._policy.rule, 1)
            if rule.applies(pair[0], None)
        ]

    def read(self, plans: Sequence[Plan]) -> tuple[Found, dict[str, int]]:
        """Read the figures of plans, and count the rows that cannot count, by reason."""
        return read(self._asking, self.known, plans, self.now)

    def checks(
        self, plans: Sequence[Plan], found: Found, *, advise: bool = True
    ) -> tuple[Check, ...]:
        """Check plans by figures that were read; without ``advise``, only rates, without words."""
        self._found, self._advises = found, advise
        checks = [self._check(plan) for plan in plans]

        def fails_at(at: int, confidence: float) -> bool:
            plan = plans[at]
            surer = replace(plan, rule=replace(plan.rule, confidence=confidence))
            return self._check(surer).verdict is Verdict.FAIL

        return tuple(holm.corrected(checks, fails_at))

    def _plan(self, number: int, rule: Rule, pair: ProjectRelease) -> Plan:
        candidate = Asked(pair, rule.environments, self._window(rule, pair))
        return Plan(number, rule, baselines(self.known, rule, candidate))

    def _window(self, rule: Rule, pair: ProjectRelease) -> Window:
        if rule.metric == "adoption":
            return adoption_window(self.until)
        window = totals_window(self.until, self._policy.period)
        began = self.known.began(rule.environments, pair) if rule.sequential else None
        return window if began is None else Window(began, window.end)

    def _check(self, plan: Plan) -> Check:
        rule, asked = plan.rule, plan.candidate
        metric = METRICS[rule.metric]
        sample = self._found.sample(asked, metric, rule)
        chosen, passed_over = self._baseline(plan)
        baseline = None if chosen is None else self._found.sample(chosen, metric, rule)
        judgement = self._cannot(rule, asked, sample, metric)
        if judgement is None and rule.baselines and chosen is None:
            where = _within(asked.environments)
            judgement = waiting(none_found(rule, plan.baselines, passed_over, where))
        if judgement is None and baseline is not None and not baseline.denominator:
            judgement = waiting(
                f"the baseline {printable(baseline.release)} has no {metric.trials} in its window"
            )
        if judgement is None:
            judgement = self._judged(rule, metric, asked, chosen)
            if judgement.verdict is Verdict.INCONCLUSIVE and self._advises:
                judgement = self._advised(rule, metric, (asked, chosen), judgement)
            early = too_early(rule, self._found.rows[asked])
            if early is not None and judgement.verdict is not Verdict.FAIL:
                judgement = replace(
                    judgement,
                    verdict=early.verdict,
                    reason=early.reason,
                    needed=early.needed,
                    is_hopeless=False,
                )
        return Check(
            plan.number,
            rule,
            metric,
            asked.pair[0],
            sample,
            baseline,
            judgement,
            self._found.clustering(asked, metric, rule),
            passed_over,
            self._found.late_share(asked, metric),
        )

    def _warn(self, planned: Sequence[Plan], checks: Sequence[Check]) -> None:
        """Warn of a previous release that is not what most users had."""
        for plan, check in zip(planned, checks, strict=True):
            if check.baseline is not None:
                told = differs_from_prevailing(
                    self.known, plan.rule, plan.candidate, check.baseline.release
                )
                if told is not None:
                    self._asking.warn(f"rule {plan.number}: {told}")

    def _advised(
        self,
        rule: Rule,
        metric: Metric | Duration,
        asked: tuple[Asked, Asked | None],
        judgement: Judgement,
    ) -> Judgement:
        """Add what it takes to pass."""
        own, base = asked
        if not isinstance(metric, Metric):
            reason = f"{judgement.reason} More sessions are needed."
            return replace(judgement, reason=reason)
        counts = self._judged_counts(metric, rule, own)
        baseline = None if base is None else self._counted(metric, rule, base)
        # What it takes at least: as if all crashes had arrived, as they will.
        enough = power.passing(metric, rule, counts.clustering, baseline)
        if counts.late and enough(counts.bad, counts.total):
            told = f"It would pass, but {not_arrived(metric, counts.late)}."
            return replace(judgement, reason=f"{judgement.reason} {told}")
        needed = power.more_needed(enough, counts)
        seen = self.known.seen_of(own.environments, own.pair)
        age = timedelta() if seen is None else own.window.end - seen.first
        told, hopeless = power.advice(metric, rule, counts, needed, self._policy.period, age)
        reason = f"{judgement.reason} {told}"
        return replace(judgement, reason=reason, needed=needed, is_hopeless=hopeless)

    def _baseline(self, plan: Plan) -> tuple[Asked | None, tuple[Passed, ...]]:
        """Return the first possible baseline with enough sessions, and what was passed over."""
        least = plan.rule.min_baseline_sessions
        passed = list(plan.baselines.passed_over)
        for asked in plan.baselines.possible:
            have = self._found.rows[asked].total_sessions or 0 if least else 0
            if have >= least:
                return asked, tuple(passed)
            passed.append(
                Passed(asked.pair[1], f"has {counted(have, 'session')} of at least {least:,}")
            )
        return None, tuple(passed)

    def _cannot(
        self, rule: Rule, asked: Asked, sample: Sample, metric: Metric | Duration
    ) -> Judgement | None:
        """Return why a rule cannot judge a release at all, or None."""
        where = _within(asked.environments)
        row = self._found.rows[asked]
        # Looking 90 days back takes longer than all else.
        if not row.total_sessions and self.known.seen_of(asked.environments, asked.pair) is None:
            return waiting(self._unknown(asked, where), has_data=False)
        if rule.sequential and self.known.is_old(asked.environments, asked.pair):
            return waiting(
                f"first seen 90 or more days ago{where}: too old for a sequential rule, which"
                " counts from the first session"
            )
        if rule.metric in FOLLOWED and rule.follow_up is None:
            told = self._unequal(asked)
            if told is not None:
                return waiting(told)
        if not sample.denominator:
            known = " of known duration" if rule.metric in DURATIONS else ""
            followed = f" followed for {rule.follow_up}" if rule.follow_up else ""
            return waiting(
                f"no {metric.trials}{known}{followed}{where} in the window", has_data=False
            )
        if rule.metric == "adoption" and not row.total_users_24h:
            return waiting(f"no users{where} in the window", has_data=False)
        return None

    def _unequal(self, asked: Asked) -> str | None:
        """Return that users had less time to crash than a period, if the release is younger."""
        seen, period = self.known.seen_of(asked.environments, asked.pair), self._policy.period
        if seen is None:
            return None
        age = asked.window.end - seen.first
        if age >= timedelta(seconds=period_seconds(period)):
            return None
        return (
            f"the release is {_length(age)} old, so its users had less time to crash than in"
            f' {self._policy.period}: write follow_up = "1h", or take crash_free_sessions'
        )

    def _unknown(self, asked: Asked, where: str) -> str:
        """Return why a release has no sessions that count."""
        project, release = asked.pair
        seen = self.recent.seen(asked.environments)
        if asked.pair in seen:
            return (
                f"its first session{where} began at {iso(seen[asked.pair].first)}, and sessions"
                f" count {self._policy.settle} after they begin"
            )
        others = [name for its, name in seen if its == project and name is not None]
        near = nearest(release, others)
        be = "is" if len(near) == 1 else "are"
        told = f" The most similar {be} {', '.join(map(printable, near))}." if near else ""
        return f"no session in 90 days{where}: check the name, or none has arrived yet.{told}"

    def _judged(
        self, rule: Rule, metric: Metric | Duration, asked: Asked, chosen: Asked | None
    ) -> Judgement:
        if isinstance(metric, Duration):
            own = self._duration(metric, rule, asked)
            if chosen is None:
                return against_longest(metric, rule, *own[1])
            base = self._duration(metric, rule, chosen)
            return against_longer(metric, rule, _both(*own), _both(*base), chosen.pair[1])
        counts = self._judged_counts(metric, rule, asked)
        other = None if chosen is None else self._counted(metric, rule, chosen)
        if not self._advises:
            return briefly(metric, rule, counts, other)
        if chosen is None or other is None:
            return against_target(metric, rule, counts)
        return against_baseline(metric, rule, counts, other, chosen.pair[1])

    def _judged_counts(self, metric: Metric, rule: Rule, asked: Asked) -> Counted:
        late = self._found.late_share(asked, metric)
        return self._counted(metric, rule, asked)._replace(late=late)

    def _counted(self, metric: Metric, rule: Rule, asked: Asked) -> Counted:
        sample = self._found.sample(asked, metric, rule)
        return Counted(*sample.bad(metric), self._found.clustering(asked, metric, rule))

    def _duration(
        self, metric: Duration, rule: Rule, asked: Asked
    ) -> tuple[float, tuple[float | None, float | None]]:
        """Return a percentile, and its bounds."""
        sample = self._found.sample(asked, metric, rule)
        deff = self._found.clustering(asked, metric, rule).deff
        fractions = duration_fractions(metric, rule, sample.denominator, deff)
        scope = replace(self.known.scope(asked.environments), summary=asked.window)
        lower, upper = self._asking.durations_at(fractions, scope.narrowed_to((asked.pair,)))
        return sample.observed or 0.0, (lower, upper)


def candidates(
    asking: Asking, judge: Judge, releases: Sequence[AskedRelease], *, strictly: bool = True
) -> tuple[ProjectRelease, ...]:
    """Return the pairs that a gate judges; ``latest`` means the newest versions.

    Raises ``DataError`` if there is no data to find them. Unless ``strictly``, raises
    ``QuestionError`` for a part of a name that several releases have.
    """
    if not releases:
        raise QuestionError("no release to judge: name one, or 'latest'")
    named = [release for release in releases if release != LATEST]
    newest = judge.latest() if LATEST in releases else ()
    # What is judged must be what was meant: of a part of a name, only the build may differ.
    asked = asking.pairs(named, judge.known.scope(), strictly=strictly) if named else ()
    pairs = tuple(dict.fromkeys((*newest, *asked)))
    if not pairs:
        raise DataError("no data yet, and so no project to judge in; name PROJECT/RELEASE")
    return pairs


def _both(observed: float, ends: tuple[float | None, float | None]) -> tuple[float, Bounds | None]:
    lower, upper = ends
    return observed, None if lower is None or upper is None else Bounds(lower, upper)


def _some(pairs: Sequence[ProjectRelease]) -> str:
    names = ", ".join(f"{project}/{printable(name)}" for project, name in sorted(pairs)[:_FEW])
    return f"{names} and {len(pairs) - _FEW:,} more" if len(pairs) > _FEW else names


def _within(environments: Environments) -> str:
    if environments is None:
        return ""
    names = ", ".join(printable(name) or "none" for name in environments)
    return f" in environment {names}"


def _length(age: timedelta) -> str:
    hours = age / timedelta(hours=1)
    return f"{hours:,.1f} h" if hours < 48 else f"{hours / 24:,.1f} days"  # noqa: PLR2004
