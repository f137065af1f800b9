"""The metrics that a rule may name, and what a release counts for each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from relhealth.core.windows import Window
from relhealth.questions.overview import ReleaseOverview


@dataclass(frozen=True, slots=True)
class Metric:
    """A rate: bad events of a whole, told as the share that had them or as the share that did not.

    ``good`` tells that high is good: the figure is then the percent without a bad event.
    ``counted`` returns the bad events and the whole; counters of one session may fall into
    different windows, so the events are kept within the whole.
    """

    name: str
    good: bool
    of_users: bool
    without: str  # what one more trial that is no bad event is
    needed: frozenset[str]  # components, beside sessions by status
    counted: Callable[[ReleaseOverview], tuple[int, int]]
    figure: Callable[[ReleaseOverview], float | None]

    @property
    def trials(self) -> str:
        """What the whole is counted in."""
        return "users" if self.of_users else "sessions"

    def figure_of(self, share: float) -> float:
        """Return the figure, in percent, for a share of bad events, 0 to 1."""
        return 100 - 100 * share if self.good else 100 * share


@dataclass(frozen=True, slots=True)
class Duration:
    """A percentile of durations, in seconds; low is good."""

    name: str
    quantile: float
    column: str  # of the component ``durations``
    of_users = False
    trials = "sessions"
    good = False


def _of(bad: int, whole: int | None) -> tuple[int, int]:
    whole = whole or 0
    return min(max(bad, 0), whole), whole


def _share(bad: int, whole: int | None) -> float | None:
    bad, whole = _of(bad, whole)
    return bad / whole * 100 if whole else None


_USERS = frozenset({"users_by_status"})

RATES = {
    rate.name: rate
    for rate in (
        Metric(
            "crash_free_sessions",
            good=True,
            of_users=False,
            without="without a crash",
            needed=frozenset(),
            counted=lambda row: _of(row.sessions_crashed, row.total_sessions),
            figure=lambda row: row.crash_free_sessions,
        ),
        Metric(
            "crash_free_users",
            good=True,
            of_users=True,
            without="without a crash",
            needed=_USERS,
            counted=lambda row: _of(row.users_crashed, row.total_users),
            figure=lambda row: row.crash_free_users,
        ),
        Metric(
            "unhandled_session_rate",
            good=False,
            of_users=False,
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
            without="without an unhandled error",
            needed=_USERS,
            counted=lambda row: _of(row.users_unhandled + row.users_crashed, row.total_users),
            figure=lambda row: row.unhandled_user_rate,
        ),
        Metric(
            "sessions_errored",
            good=False,
            of_users=False,
            without="without a handled error",
            needed=frozenset({"errored_sessions"}),
            counted=lambda row: _of(row.sessions_errored, row.total_sessions),
            figure=lambda row: _share(row.sessions_errored, row.total_sessions),
        ),
        Metric(
            "abnormal",
            good=False,
            of_users=False,
            without="without an abnormal end",
            needed=frozenset(),
            counted=lambda row: _of(row.sessions_abnormal, row.total_sessions),
            figure=lambda row: _share(row.sessions_abnormal, row.total_sessions),
        ),
        Metric(
            "adoption",
            good=True,
            of_users=True,
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

# The default of a rule: of users where the release has any, else, or if sequential, of sessions.
CRASH_FREE = "crash_free"


@dataclass(frozen=True, slots=True)
class Sample:
    """What one release counted in one window: the figure, and numerator / denominator of it."""

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
        """Take a metric from a release's figures; ``durations`` is its row of that component."""
        if isinstance(metric, Duration):
            found = durations or {}
            exited = found.get("exited", 0)
            return cls(row.release, window, found.get(metric.column), exited, exited)
        bad, whole = metric.counted(row)
        good = whole - bad if metric.good else bad
        return cls(row.release, window, metric.figure(row), good, whole)
