"""The clock: the only place that reads the time, and warns of data later than now."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

from relhealth.core.errors import DataError
from relhealth.core.printable import printable
from relhealth.core.windows import from_epoch_us, iso

_FEW = 3  # releases that a warning names

# Project, release, and microseconds since the epoch; None: later than any number.
Later = tuple[int | None, str | None, int | None]


def now() -> datetime:
    """Return the present instant, in UTC."""
    return datetime.now(UTC)


def warning(later: Sequence[Later], present: datetime) -> str:
    """Return a warning of releases, newest first, with session metrics later than now."""
    named = ", ".join(map(_shown, later[:_FEW]))
    more = f" and of {len(later) - _FEW:,} more" if len(later) > _FEW else ""
    return (
        f"session metrics later than the clock, {iso(present.replace(microsecond=0))}:"
        f" {named}{more}; --now latest ignores them; is a clock wrong?"
    )


def _shown(one: Later) -> str:
    project, release, at = one
    when = "after the year 9999"
    with suppress(DataError):
        when = when if at is None else iso(from_epoch_us(at))
    of_release = "without a release" if release is None else f"release {printable(release)}"
    return f"the newest of project {project}, {of_release}, is of {when}"
