"""The kinds of rows in a rollup: metric, status and mechanism as one number.

Statuses and mechanisms that no template names are all ``None``.
"""

from typing import NamedTuple

from relhealth.datasets.contract import SESSION_METRICS

SESSION, USER_SET, ERROR_SET, DURATION = SESSION_METRICS

COUNTER_STATUSES = (None, "init", "crashed", "abnormal", "unhandled", "errored_preaggr")
USER_STATUSES = (None, "crashed", "unhandled", "errored", "abnormal")
MECHANISMS = (None, "anr_foreground", "anr_background")

# The kinds, in order: counters by status, durations, errors, users by status and mechanism.
INIT = COUNTER_STATUSES.index("init")
EXITED = len(COUNTER_STATUSES)
OTHER_DURATION = EXITED + 1  # of any other status; the rollup only keeps that there was one
ERROR = OTHER_DURATION + 1
USER = ERROR + 1
NO_KIND = USER + len(USER_STATUSES) * len(MECHANISMS)


class Kind(NamedTuple):
    """One kind of row."""

    metric: str
    status: str | None
    mechanism: str | None = None


KINDS = (
    *(Kind(SESSION, status) for status in COUNTER_STATUSES),
    Kind(DURATION, "exited"),
    Kind(DURATION, None),
    Kind(ERROR_SET, None),
    *(Kind(USER_SET, status, mechanism) for status in USER_STATUSES for mechanism in MECHANISMS),
)


def kind_of(metric: str | None, status: str | None, mechanism: str | None) -> int:
    """Return the kind of a row; ``NO_KIND`` if it is no session metric."""
    if metric == SESSION:
        return COUNTER_STATUSES.index(status) if status in COUNTER_STATUSES else 0
    if metric == DURATION:
        return EXITED if status == "exited" else OTHER_DURATION
    if metric == ERROR_SET:
        return ERROR
    if metric == USER_SET:
        of_status = USER_STATUSES.index(status) if status in USER_STATUSES else 0
        of_mechanism = MECHANISMS.index(mechanism) if mechanism in MECHANISMS else 0
        return USER + of_status * len(MECHANISMS) + of_mechanism
    return NO_KIND
