"""Late crashes: the share of a release's crashes that has probably not arrived yet.

Many apps report a crash when they start the next time. The gate assumes that the delay from the
start of a session to the arrival of its crash is exponential, with a mean of ``DELAY``. So of the
crashes of the sessions that began ``a`` ago, the share ``exp(-a / DELAY)`` is still on its way, and
the share of all is the mean of that over all sessions.

What arrives of a rate ``p`` is then a rate of ``p * (1 - late)``: the trials stay independent, each
with a smaller chance. So an upper bound of what arrives, divided by ``1 - late``, is an upper bound
of ``p``. A lower bound needs no correction, since late crashes only add.

Sessions are known by the hour. Within one, they are taken to double from its start to its end. The
sessions of a release that grows more slowly began earlier, so its share is smaller. Evenly spread
sessions would make the share too small for a release that grows; if all of them began at the end of
their hour, it would be half as great again.

For users, the share of sessions is taken. Users who are followed began earlier than the last
sessions of the window, so that theirs is smaller, as a rule.
"""

import math
from collections.abc import Iterable
from datetime import datetime, timedelta

from relhealth.core.windows import HOUR, Window, floor_to

DELAY = timedelta(hours=1)
# Of a session that began so long ago, at most 1 of 10,000 crashes is still on its way.
REACH = timedelta(hours=10)
_GROWTH = math.log(2)  # an hour
_MOST = 1 - 1e-6  # of a session that begins just now


def recent(window: Window, now: datetime) -> Window | None:
    """Return the hours of a window whose crashes can be on their way; ``None`` if there are none.

    ``window`` begins at a full hour.
    """
    start = max(window.start, floor_to(now - REACH, HOUR))
    return Window(start, window.end) if start < window.end else None


def late_share(sessions: Iterable[tuple[int, int]], total: int, now: datetime) -> float:
    """Return the share, 0 to 1, of the crashes of ``total`` sessions that is on its way.

    ``sessions`` are the hours that ``recent`` returns, as (start in epoch seconds, sessions).
    """
    if not total:
        return 0.0
    waiting = math.fsum(count * _of_hour(hour, now.timestamp()) for hour, count in sessions)
    return min(waiting / total, _MOST)


def _of_hour(start: int, now: float) -> float:
    """Return the share of an hour's crashes that is on its way; the hour can be the present one."""
    end = min(start + HOUR, now)
    length = end - start
    if length <= 0:
        return 1.0
    # The mean of exp(-decay * t) over the hour, t before its end, weighted by exp(-growth * t).
    decay, growth = 1 / DELAY.total_seconds(), _GROWTH / HOUR
    both = decay + growth
    mean = growth / both * math.expm1(-both * length) / math.expm1(-growth * length)
    return math.exp(-decay * (now - end)) * mean
