"""The formulas of release health: pure functions of counts.

Rates are percent, 0 to 100, unrounded, and ``None`` where there is nothing to divide by. The
formulas are those of Sentry's release health (``sentry.release_health.metrics``).
"""


def share(part: int, whole: int) -> float | None:
    """Return ``part`` of ``whole`` in percent; ``None`` where either is 0: nothing was adopted."""
    return part / whole * 100 if part and whole else None


def rate(part: int, whole: int) -> float | None:
    """Return ``part`` of ``whole`` in percent."""
    return _clamped(part / whole * 100) if whole else None


def crash_free(crashed: int, total: int) -> float | None:
    """Return the percent of ``total`` that did not crash."""
    return _clamped(100 - crashed / total * 100) if total else None


def unhandled_rate(unhandled: int, crashed: int, total: int) -> float | None:
    """Return the percent of ``total`` with an unhandled error; a crash is one."""
    return rate(unhandled + crashed, total)


def _clamped(percent: float) -> float:
    """Counters of one session may fall into different windows, so a part may exceed its whole."""
    return min(100.0, max(0.0, percent))


def errored_sessions(
    errored: int, errored_preaggr: int, crashed: int, unhandled: int, abnormal: int
) -> int:
    """Return the sessions with handled errors only.

    ``errored`` counts distinct sessions with any error, ``errored_preaggr`` those that came
    aggregated; both hold the crashed, unhandled and abnormal ones, which are taken off.
    """
    return max(0, errored + errored_preaggr - crashed - unhandled - abnormal)


def healthy_sessions(sessions: int, errored: int, errored_preaggr: int) -> int:
    """Return the sessions without any error."""
    return max(0, sessions - errored - errored_preaggr)
