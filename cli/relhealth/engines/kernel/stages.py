"""Adoption stages from the sessions of each hour, as in ``adoption_stages.sql``."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from relhealth.machine.database import Row

_HOUR = 3_600
_HOURS = 6  # of a look
_TENTH = 10

Hours = Mapping[int, int]  # sessions by the hour since the epoch


def stages(
    hours: Mapping[tuple[Any, ...], Hours], start: int, *, recent: int, now: int
) -> list[Row]:
    """Return a row for each (project, release, environment) with sessions.

    ``start`` (of the window), ``recent`` and ``now`` are in epoch seconds.
    """
    of_environment: dict[tuple[int, str], dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for (project, _, environment), some in hours.items():
        total = of_environment[project, environment]
        for hour, sessions in some.items():
            total[hour] += sessions
    looks = {key: _looks(some, start, now) for key, some in of_environment.items()}
    rows = []
    for (project, release, environment), some in hours.items():
        if not release or not any(some.values()):
            continue
        total = looks[project, environment]
        adopted = [
            look
            for look, sessions in _looks(some, start, now).items()
            if sessions > 0 and sessions * _TENTH >= total[look]
        ]
        rows.append(
            {
                "project_id": project,
                "release": release,
                "environment": environment,
                "sessions": _since(recent, some),
                "environment_sessions": _since(recent, of_environment[project, environment]),
                "first_adopted": min(adopted) * _HOUR if adopted else None,
                "last_adopted": max(adopted) * _HOUR if adopted else None,
            }
        )
    return rows


def _looks(hours: Hours, start: int, now: int) -> dict[int, int]:
    """Return the sessions of the six hours up to each look, a full hour."""
    found: dict[int, int] = defaultdict(int)
    first, last = start + _HOURS * _HOUR, now
    for hour, sessions in hours.items():
        for look in range(hour + 1, hour + _HOURS + 1):
            if first <= look * _HOUR <= last:
                found[look] += sessions
    return found


def _since(recent: int, hours: Hours) -> int:
    return sum(sessions for hour, sessions in hours.items() if hour * _HOUR >= recent)
