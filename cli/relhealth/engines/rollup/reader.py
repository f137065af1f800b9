"""A rollup opened for questions."""

import os
from collections.abc import Iterable
from typing import NamedTuple

from relhealth.core.printable import printable
from relhealth.core.windows import HOUR, Window, epoch
from relhealth.datasets.ledger import ROLLUP
from relhealth.rollup import files
from relhealth.rollup import manifest as manifests
from relhealth.rollup.manifest import Manifest, Unusable


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
            return Opening(reason=f"{printable(missing)} has changed since it was written")
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

    def check(self, names: Iterable[str]) -> None:
        """Check the pages of files, each once.

        Raises ``DataError`` for damage, ``ChangedError`` where a newer rollup has taken the place
        of this one.
        """
        for name in names:
            if name not in self._checked:
                files.check(self.folder, name)
                self._checked.add(name)

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
