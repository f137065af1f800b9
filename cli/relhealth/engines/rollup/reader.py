"""A rollup opened for questions."""

import os
from collections.abc import Collection, Iterable
from typing import NamedTuple

from relhealth.core.printable import printable
from relhealth.core.scope import Scope
from relhealth.core.windows import DAY, HOUR, Window, epoch
from relhealth.datasets.ledger import ROLLUP
from relhealth.engines.rollup.view import VIEWED, View, files_of, view_sql
from relhealth.machine.database import Row
from relhealth.rollup import files
from relhealth.rollup import manifest as manifests
from relhealth.rollup.manifest import Day, Manifest, Unusable

_MEMORY = 256 << 20


class Opening(NamedTuple):
    """What was found beside a data set: a rollup, or why it cannot be used, or neither."""

    rollup: "Rollup | None" = None
    reason: str | None = None
    newer: bool = False  # a later relhealth made it, and can use it


class Rollup:
    """The rollup of a data set, as its manifest stood when it was opened."""

    def __init__(self, root: str, manifest: Manifest) -> None:
        """Take a manifest; ``open`` finds it."""
        self.root = root
        self.folder = os.path.join(root, ROLLUP)
        self.manifest = manifest
        self._checked: set[str] = set()

    @classmethod
    def open(cls, dataset: str | os.PathLike[str]) -> Opening:
        """Open the rollup beside a data set, if there is one that this version can use."""
        root = os.path.abspath(os.fspath(dataset))
        try:
            manifest = manifests.load(root)
        except Unusable as error:
            return Opening(reason=str(error), newer=error.newer)
        if manifest is None:
            return Opening()
        rollup = cls(root, manifest)
        missing = rollup.missing()
        if missing is not None:
            return Opening(reason=f"{printable(missing)} is not as it was written")
        return Opening(rollup)

    def stale(self, paths: Iterable[str]) -> str | None:
        """Return why the rollup is not of just these raw files as they are; ``None``: it is.

        ``paths`` are all files that were found in the data set, those without rows too.
        """
        return manifests.stale(self.manifest, self.root, paths)

    @staticmethod
    def tells(*windows: Window) -> bool:
        """Tell whether windows are of whole hours, which are all that a rollup tells apart."""
        ends = (end for window in windows for end in (window.start, window.end))
        return all(end.microsecond == 0 and epoch(end) % HOUR == 0 for end in ends)

    def missing(self) -> str | None:
        """Return the path of a file that is not there as it was written, if any."""
        name = self.manifest.missing(self.root)
        return None if name is None else os.path.join(self.folder, name)

    @staticmethod
    def counts(templates: Collection[str]) -> bool:
        """Tell whether ``figures`` answers all of some templates."""
        from relhealth.engines.rollup.answer import TEMPLATES

        return TEMPLATES.issuperset(templates)

    def view(self, template: str, rollup: object, window: Window | None) -> View | None:
        """Return what a template is asked of, ``None`` where only the raw files tell.

        ``rollup`` is the seconds of its buckets, if it has any; no window is all time.
        """
        buckets = rollup if isinstance(rollup, int) else DAY
        if template not in VIEWED or buckets % HOUR or (window and not self.tells(window)):
            return None
        whole: tuple[Day, ...] = ()
        if template == "users_by_group" and window and buckets % DAY == 0:
            whole = self._whole_days(window)
        return View(self.days(window), whole, rest=template == "invalid_rows")

    def days(self, window: Window | None = None) -> tuple[Day, ...]:
        """Return the days with rows that a question over a window may look at (``None``: all).

        Rows without a timestamp are of no day and are told with any window.
        """
        if window is None:
            return tuple(self.manifest.days)
        first, last = epoch(window.start) // DAY, -(-epoch(window.end) // DAY)
        return tuple(day for day in self.manifest.days if day is None or first <= day < last)

    def _whole_days(self, window: Window) -> tuple[Day, ...]:
        first, last = -(-epoch(window.start) // DAY), epoch(window.end) // DAY
        return tuple(day for day in self.manifest.days if day is not None and first <= day < last)

    def has_rest(self, days: Iterable[Day]) -> bool:
        """Tell whether there are rows in these days that cannot count."""
        return any(self.manifest.days[day].rest for day in days)

    def check(self, view: View) -> None:
        """Check the pages of the files that a view reads, each once.

        Raises ``DataError`` for damage, ``ChangedError`` where a newer rollup has taken the place
        of this one.
        """
        for name in files_of(self.manifest, view):
            if name not in self._checked:
                files.check(self.folder, name)
                self._checked.add(name)

    def view_sql(self, view: View, org: int | None = None) -> str:
        """Return SQL that makes ``metric_rows`` a view, of one organisation or all."""
        return view_sql(self.manifest, self.folder, view, org)

    def newest_us(self, org: int | None = None) -> int | None:
        """Return the newest session metric's timestamp, exact, in microseconds since the epoch."""
        return max(
            (
                at
                for day in self.manifest.days.values()
                for of, at in day.newest_us
                if org is None or of == org
            ),
            default=None,
        )

    def figures(
        self,
        scope: Scope,
        templates: Collection[str],
        *,
        org: int | None = None,
        threads: int = 1,
        memory: int = _MEMORY,
    ) -> dict[str, list[Row]]:
        """Return the rows of some templates over a scope, as these give them.

        ``memory`` is how many bytes of values are held at once. Raises ``LookupError`` for
        templates other than ``answer.TEMPLATES`` and for windows that are not of whole hours,
        ``ChangedError`` where a newer rollup has taken the place of this one.
        """
        from relhealth.engines.rollup.answer import Answering

        if not self.counts(templates):
            raise LookupError(f"a rollup's arrays do not answer all of {sorted(templates)}")
        answering = Answering(
            self.manifest,
            self.folder,
            scope,
            templates,
            org=org,
            threads=threads,
            memory=memory,
        )
        return answering.rows()
