"""The metrics for rules, and how to count each for a release."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from relhealth.core.windows import Window
from relhealth.questions.overview import ReleaseOverview


@dataclass(frozen=True, slots=True)
class Metric:
    """A rate: the share of a total with bad events, or the share without them.

    ``good`` means that high is good: the figure is then the percent without a bad event.
    ``counted`` returns the bad events and the total. Counters of one session can fall into
    different windows, so the events are limited to the total.
    """

    name: str
    good: bool
    of_users: bool
    statuses: tuple[str, ...]  # of the rows of users with a bad event; of adoption, none
    happened: str  # what a trial with the event did: "crashed"
    rate: str  # the name of the figure in a sentence
    without: str  # words for a further trial without a bad event
    needed: frozenset[str]  # components, beside sessions by status
    counted: Callable[[ReleaseOverview], tuple[int, int]]
    figure: Callable[[ReleaseOverview], float | None]

    @property
    def trials(self) -> str:
        """What the total counts."""
        return "users" if self.of_users else "sessions"

    def figure_of(self, share: float) -> float:
        """Return the figure, in percent, for a share of bad events, 0 to 1."""
        return 100 - 100 * share if self.good else 100 * share

    def share_of(self, figure: float) -> float:
        """Return the share of bad events, 0 to 1, for a figure in percent."""
        return (100 - figure) / 100 if self.good else figure / 100


@dataclass(frozen=True, slots=True)
class Duration:
    """A percentile of durations, in seconds; low is good."""

    name: str
    quantile: float
    column: str  # of the component ``durations``
    of_users = False
    trials = "sessions"
    good = False


def _of(bad: int, total: int | None) -> tuple[int, int]:
    total = total or 0
    return min(max(bad, 0), total), total


def _share(bad: int, total: int | None) -> float | None:
    bad, total = _of(bad, total)
    return bad / total * 100 if total else None


_USERS = frozenset({"users_by_status"})

RATES = {
    rate.name: rate
    for rate in (
        Metric(
            "crash_free_sessions",
            good=True,
            of_users=False,
            statuses=("crashed",),
            happened="crashed",
            rate="crash-free rate",
            without="without a crash",
            needed=frozenset(),
            counted=lambda row: _of(row.sessions_crashed, row.total_sessions),
            figure=lambda row: row.crash_free_sessions,
        ),
        Metric(
            "crash_free_users",
            good=True,
            of_users=True,
            statuses=("crashed",),
            happened="crashed",
            rate="crash-free rate",
            without="without a crash",
            needed=_USERS,
            counted=lambda row: _of(row.users_crashed, row.total_users),
            figure=lambda row: row.crash_free_users,
        ),
        Metric(
            "unhandled_session_rate",
            good=False,
            of_users=False,
            statuses=("unhandled", "crashed"),
            happened="crashed or had an unhandled error",
            rate="rate of unhandled errors",
            without="without an unhandled error",
            needed=frozenset(),
            counted=lambda row: _of(
                row.sessions_unhandled + row.sessions_crashed, row.total_sessions
            ),
            figure=lambda row: row.unhandled_session_rate,
        ),
        Metric(
            "unhandled_user_rate",
            good=False,
            of_users=True,
            statuses=("unhandled", "crashed"),
            happened="crashed or had an unhandled error",
            rate="rate of unhandled errors",
            without="without an unhandled error",
            needed=_USERS,
            counted=lambda row: _of(row.users_unhandled + row.users_crashed, row.total_users),
            figure=lambda row: row.unhandled_user_rate,
        ),
        Metric(
            "sessions_errored",
            good=False,
            of_users=False,
            statuses=("errored",),
            happened="had a handled error",
            rate="rate of handled errors",
            without="without a handled error",
            needed=frozenset({"errored_sessions"}),
            counted=lambda row: _of(row.sessions_errored, row.total_sessions),
            figure=lambda row: _share(row.sessions_errored, row.total_sessions),
        ),
        Metric(
            "abnormal",
            good=False,
            of_users=False,
            statuses=("abnormal",),
            happened="ended abnormally",
            rate="rate of abnormal ends",
            without="without an abnormal end",
            needed=frozenset(),
            counted=lambda row: _of(row.sessions_abnormal, row.total_sessions),
            figure=lambda row: _share(row.sessions_abnormal, row.total_sessions),
        ),
        Metric(
            "adoption",
            good=True,
            of_users=True,
            statuses=(),
            happened="are on the release",
            rate="adoption",
            without="on the release",
            needed=frozenset({"adoption"}),
            counted=lambda row: _of(
                (row.total_project_users_24h or 0) - (row.total_users_24h or 0),
                row.total_project_users_24h,
            ),
            figure=lambda row: row.adoption,
        ),
    )
}
DURATIONS = {
    "duration_p50": Duration("duration_p50", 0.5, "p50"),
    "duration_p90": Duration("duration_p90", 0.9, "p90"),
}
METRICS: Mapping[str, Metric | Duration] = {**RATES, **DURATIONS}

CRASH_FREE_SESSIONS = "crash_free_sessions"  # the default of a rule
FOLLOWED = ("crash_free_users", "unhandled_user_rate")  # the metrics of users who can be followed


@dataclass(frozen=True, slots=True)
class Sample:
    """A figure of one release in one window, with numerator and denominator."""

    release: str
    window: Window
    observed: float | None
    numerator: int
    denominator: int

    @classmethod
    def of(
        cls,
        metric: Metric | Duration,
        window: Window,
        row: ReleaseOverview,
        durations: Mapping[str, Any] | None,
    ) -> "Sample":
        """Read a metric from a release's figures; ``durations`` is the row of that component."""
        if isinstance(metric, Duration):
            found = durations or {}
            exited = found.get("exited", 0)
            return cls(row.release, window, found.get(metric.column), exited, exited)
        bad, total = metric.counted(row)
        good = total - bad if metric.good else bad
        return cls(row.release, window, metric.figure(row), good, total)

    @classmethod
    def of_followed(
        cls, metric: Metric, window: Window, release: str, followed: Mapping[str, Any] | None
    ) -> "Sample":
        """Read a metric of users who were followed; ``followed`` is the row of that component."""
        total = followed["users"] if followed else 0
        bad = followed["affected"] if followed else 0
        good = total - bad if metric.good else bad
        return cls(release, window, good / total * 100 if total else None, good, total)

    def bad(self, metric: Metric) -> tuple[int, int]:
        """Return the bad events and the total."""
        good = metric.good
        return self.denominator - self.numerator if good else self.numerator, self.denominator
