"""The order of releases by sessions, by users, or by how crash-free they are."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from relhealth.core.errors import QuestionError
from relhealth.core.scope import ProjectRelease
from relhealth.core.windows import totals_window
from relhealth.questions.asking import Asking
from relhealth.questions.counts import Counting, Counts, counted
from relhealth.questions.selection import Selection


@dataclass(frozen=True, slots=True)
class _Order:
    """An order of releases: what it counts, its figure, and whether the most come first."""

    needed: str
    figure: Callable[[Counts], float | None]
    most_first: bool


_ORDERS = {
    "sessions": _Order("sessions", lambda one: one.sessions, most_first=True),
    "users": _Order("users", lambda one: one.users, most_first=True),
    "crash_free_sessions": _Order(
        "sessions", lambda one: one.crash_free_sessions, most_first=False
    ),
    "crash_free_users": _Order("users", lambda one: one.crash_free_users, most_first=False),
}
STABILITIES = (*_ORDERS, *(f"{name}_24h" for name in _ORDERS))


def check_stability(stability: str) -> str:
    """Return the name of an order of releases; ``QuestionError`` for an unknown one."""
    if stability not in STABILITIES:
        known = ", ".join(STABILITIES)
        raise QuestionError(f"unknown scope {stability!r}: expected one of {known}")
    return stability


def releases_by_stability(
    asking: Asking, now: datetime, stability: str, selected: Selection
) -> list[ProjectRelease]:
    """Return the pairs with data of the order's kind: most first, or worst first."""
    order = _ORDERS[stability.removesuffix("_24h")]
    window = totals_window(now, "24h" if stability.endswith("_24h") else selected.period)
    scope = asking.scope(now, selected, window)
    (found,) = counted(asking, Counting(scope, {order.needed}, {"project", "release"}))
    ranked = []
    for group, one in found.items():
        figure = order.figure(one)
        some = one.users if order.needed == "users" else one.sessions
        if group.project_id is None or not group.release or not some or figure is None:
            continue
        rank = -figure if order.most_first else figure
        ranked.append((rank, group.project_id, group.release))
    return [(project, release) for _, project, release in sorted(ranked)]
