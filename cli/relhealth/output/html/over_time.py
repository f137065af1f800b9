"""The charts over time of a project: crash-free sessions, adoption, sessions and users."""

from collections.abc import Mapping, Sequence

from relhealth.core.numerals import percent
from relhealth.core.printable import printable
from relhealth.core.project_names import project_text
from relhealth.output.html import charts
from relhealth.output.html.content import Chart, Key, Mark, Section
from relhealth.output.html.history import ProjectHistory, Rollback
from relhealth.output.html.layers import LETTERS, Limit, short

_MOST = len(LETTERS)  # releases of a project
_MOST_STRIPS = 4


def sections_of(
    project: int,
    past: ProjectHistory,
    *,
    first: Sequence[str],
    marks: Mapping[str, Mark],
    only: bool = False,
    limits: Sequence[Limit] = (),
) -> Section:
    """Return a project's charts; ``first`` names releases to draw, before those most used.

    ``only`` draws the crash-free sessions of ``first`` alone, on the same axis.
    """
    releases = past.most_used(first, _MOST)
    keys = tuple(
        Key(LETTERS[number], printable(name), number) for number, name in enumerate(releases)
    )
    letters = tuple(
        key._replace(name=short(name)) for key, name in zip(keys, releases, strict=True)
    )
    shown = [name for name in releases if name in first or not only][:_MOST_STRIPS]
    values = [one.value for one in limits]
    floors = {name: charts.floor_of(past.lines[name], values) for name in shown}
    strips = []
    for name in shown:
        number = releases.index(name)
        floor = min(floors.values()) if only else floors[name]
        spec = charts.crash_free(past, past.lines[name], number, floor, limits)
        if spec is not None:
            strips.append(Chart(printable(name), spec, mark=marks.get(name), keys=(keys[number],)))
    rollbacks = past.rollbacks(releases)
    adopted = Chart(
        "Adoption: share of the project's sessions",
        charts.adoption(past, releases, rollbacks, wide=False),
        wide=charts.adoption(past, releases, rollbacks, wide=True),
        keys=keys,
    )
    counts = [Chart("Sessions", charts.sessions(past, releases), keys=letters)]
    if any(any(past.lines[name].users) for name in releases):
        counts.append(Chart("Users", charts.users(past, releases), keys=letters))
    return Section(
        f"Project {project_text(project)}",
        (*strips, adopted, *counts),
        tuple(map(_told, rollbacks)),
    )


def _told(one: Rollback) -> str:
    peak, end = one.shares
    old, new = one.older_shares
    return (
        f"▼ Rolled back: {printable(one.release)} went from {percent(100 * peak)} of the sessions"
        f" to {percent(100 * end)}, while the older {printable(one.older)} went from"
        f" {percent(100 * old)} to {percent(100 * new)}."
    )
