"""The first and the last hour with sessions of a release."""

from datetime import datetime

from relhealth.core.scope import ProjectRelease
from relhealth.core.windows import HOUR, floor_to, from_epoch_us
from relhealth.engines import components
from relhealth.questions.asking import Asking
from relhealth.questions.merge import by_pair
from relhealth.questions.selection import Selection

Bounds = dict[str, datetime | None]
_SEEN = {"sessions_lower_bound": "first_seen", "sessions_upper_bound": "last_seen"}


def time_bounds(
    asking: Asking, now: datetime, pair: ProjectRelease, environments: tuple[str, ...] | None
) -> Bounds:
    """Return the first and the last hour with session counters or durations in 90 days."""
    return all_time_bounds(asking, now, (pair,), environments)[pair]


def all_time_bounds(
    asking: Asking,
    now: datetime,
    pairs: tuple[ProjectRelease, ...],
    environments: tuple[str, ...] | None,
) -> dict[ProjectRelease, Bounds]:
    """Return the bounds of several releases."""
    scope = asking.scope(now, Selection(environments=environments)).narrowed_to(pairs)
    found = by_pair(asking.get(components.SESSION_BOUNDS, scope) if pairs else ())
    return {
        pair: {
            name: floor_to(from_epoch_us(found[pair][seen]), HOUR) if pair in found else None
            for name, seen in _SEEN.items()
        }
        for pair in pairs
    }
