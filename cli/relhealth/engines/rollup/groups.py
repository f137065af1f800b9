"""The groups of a rollup's days that a question is about: whose, of which hours, which rows."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from relhealth.core.scope import Scope
from relhealth.core.windows import HOUR, Window, epoch
from relhealth.datasets.arrays import Array
from relhealth.rollup.files import columns_of, table_of
from relhealth.rollup.manifest import DayFiles, Manifest

NO_HOURS = 0
ALL_HOURS = (1 << 24) - 1


class Span(NamedTuple):
    """A window of whole hours, in epoch seconds."""

    start: int
    end: int

    @classmethod
    def of(cls, window: Window) -> "Span":
        """Take a window; raises ``LookupError`` where its ends are no whole hours."""
        span = cls(epoch(window.start), epoch(window.end))
        exact = window.start.timestamp() % HOUR == 0 and window.end.timestamp() % HOUR == 0
        if not exact:
            raise LookupError(f"{window} is not of whole hours, which are all a rollup tells apart")
        return span

    def hours(self, day: int) -> int:
        """Return the hours of a day that are in the span, as bits."""
        low, high = max(0, self.start // HOUR - day * 24), min(24, self.end // HOUR - day * 24)
        return (1 << high) - (1 << low) if high > low else NO_HOURS


class Groups(NamedTuple):
    """The groups of a day that are of the asked names, and where their rows are in flat files."""

    day: int
    files: DayFiles
    name: Array  # of each group
    asked: Array  # whether it is among the asked releases
    kind: Array
    hour: Array
    bit: Array
    n: Array
    extremes: Sequence[Array]  # first and last, where they are asked for

    def inside(self, span: Span) -> Array:
        """Tell which groups of hours are inside a span."""
        found: Array = (self.bit & span.hours(self.day)) != 0
        return found

    def rows_of(self, low: int, high: int) -> tuple[Array, Array, Array]:
        """Return the groups of some kinds, and the first and last row (excluded) of each."""
        at = np.flatnonzero((self.kind >= low) & (self.kind < high))
        ends = np.cumsum(self.n[at])
        return at, ends - self.n[at], ends


class Asked:
    """The names, as (project, release), that a scope asks about, and their groups.

    ``released`` tells which of ``names`` are of a release.
    """

    def __init__(self, manifest: Manifest, folder: str, scope: Scope, org: int | None) -> None:
        """Number the names, of any organisation or one, and choose the asked ones."""
        self._manifest, self._folder = manifest, folder
        table = table_of(folder, manifest.pairs)
        columns = (table[name].to_pylist() for name in ("org_id", "project_id", "release"))
        projects = None if scope.projects is None else set(scope.projects)
        numbers: dict[tuple[int, str | None], int] = {}
        of_pair = []
        for org_id, project, release in zip(*columns, strict=True):
            wanted = org in {None, org_id} and (projects is None or project in projects)
            name = (project, release)
            of_pair.append(numbers.setdefault(name, len(numbers)) if wanted else -1)
        self.names = list(numbers)
        self._name_of = np.array(of_pair or [-1], np.int64)
        releases = None if scope.releases is None else set(scope.releases)
        self._asked = np.array(
            [releases is None or release in releases for _, release in self.names], bool
        )
        self.released = np.array([release is not None for _, release in self.names], bool)
        environments = scope.environments
        self._inside = np.array(
            [environments is None or name in environments for name in manifest.environments], bool
        )

    def groups_of(self, day: int, *, extremes: bool) -> Groups | None:
        """Return the groups of a day, with their first and last instants if ``extremes``."""
        files = self._manifest.days[day]
        if "groups.parquet" not in files.files or not self.names:
            return None
        columns = ["pair", "environment", "kind", "hour", "n"]
        columns += ["first", "last"] if extremes else []
        pair, environment, kind, hour, n, *ends = columns_of(
            self._folder, files.path("groups"), columns
        )
        name = self._name_of[pair]
        wanted = (name >= 0) & self._inside[environment]
        name = np.where(wanted, name, -1)
        return Groups(
            day=day,
            files=files,
            name=name,
            asked=wanted & self._asked[name],
            kind=kind,
            hour=hour,
            bit=np.left_shift(1, hour.astype(np.int64)),
            n=n,
            extremes=ends,
        )
