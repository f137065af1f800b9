"""The outcome of a gate: what each rule found about each release."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from relhealth.core.scope import ProjectRelease
from relhealth.gate.clustering import Clustering
from relhealth.gate.metrics import Duration, Metric, Sample
from relhealth.gate.policy import Policy, Rule
from relhealth.gate.verdict import Judgement, Verdict, worst


@dataclass(frozen=True, slots=True)
class Passed:
    """A release that could have been the baseline, and why it is not."""

    release: str
    why: str


@dataclass(frozen=True, slots=True)
class Check:
    """The judgement of one rule on one release; ``baseline`` is the other sample.

    ``passed_over`` are releases that the rule names or means as baselines, and does not use.
    ``late`` is the share of the release's bad events, 0 to 1, that is assumed to be on its way.
    """

    number: int  # of the rule, from 1
    rule: Rule
    metric: Metric | Duration
    project_id: int
    sample: Sample
    baseline: Sample | None
    judgement: Judgement
    clustering: Clustering
    passed_over: tuple[Passed, ...] = ()
    late: float = 0.0

    @property
    def verdict(self) -> Verdict:
        """The verdict of the rule."""
        return self.judgement.verdict


@dataclass(frozen=True, slots=True)
class Gate:
    """The outcome of a gate: every check, in the order of releases and rules."""

    policy: Policy
    now: datetime
    until: datetime  # sessions that began from then on have not settled
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
        """The verdict, with inconclusive replaced by the setting of the policy.

        A release without data, or without a rule, never passes.
        """
        verdict, mapped = self.verdict, Verdict(self.policy.inconclusive)
        if verdict is not Verdict.INCONCLUSIVE:
            return verdict
        return verdict if mapped is Verdict.PASS and not self.has_data else mapped

    @property
    def has_any_data(self) -> bool:
        """Whether some release had something to judge."""
        return any(check.judgement.has_data for check in self.checks)

    @property
    def has_data(self) -> bool:
        """Whether each release had something to judge by each rule, and at least one rule."""
        return all(
            checks and all(check.judgement.has_data for check in checks)
            for checks in map(self.checks_of, self.releases)
        )
