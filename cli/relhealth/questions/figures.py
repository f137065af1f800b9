"""The formulas of release health: pure functions of counts.

Rates are percent, 0 to 100, unrounded, and ``None`` if the total is 0. The formulas are those of
Sentry's release health (``sentry.release_health.metrics``).
"""


def share(part: int, whole: int) -> float | None:
    """Return ``part`` of ``whole`` in percent; ``None`` if either is 0, which is no adoption."""
    return part / whole * 100 if part and whole else None


def rate(part: int, whole: int) -> float | None:
    """Return ``part`` of ``whole`` in percent."""
    return _clamped(part / whole * 100) if whole else None


def crash_free(crashed: int, total: int) -> float | None:
    """Return the percent of ``total`` that did not crash."""
    return _clamped(100 - crashed / total * 100) if total else None


def unhandled_rate(unhandled: int, crashed: int, total: int) -> float | None:
    """Return the percent of ``total`` with an unhandled error; every crash is one."""
    return rate(unhandled + crashed, total)


def _clamped(percent: float) -> float:
    """Limit a rate to 0 to 100.

    A part can exceed its total, because counters of one session can be in two windows.
    """
    return min(100.0, max(0.0, percent))


def errored_sessions(
    errored: int, errored_preaggr: int, crashed: int, unhandled: int, abnormal: int
) -> int:
    """Return the sessions with handled errors only.

    ``errored`` counts distinct sessions with any error, ``errored_preaggr`` those of SDKs that send
    aggregates. Both include crashed, unhandled and abnormal sessions, so these are subtracted.
    """
    return max(0, errored + errored_preaggr - crashed - unhandled - abnormal)


def healthy_sessions(sessions: int, errored: int, errored_preaggr: int) -> int:
    """Return the sessions without any error."""
    return max(0, sessions - errored - errored_preaggr)
