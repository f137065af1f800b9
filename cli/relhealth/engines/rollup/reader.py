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
from relhealth.stores import present


class Opening(NamedTuple):
    """The rollup beside a data set, or why it cannot be used, or neither."""

    rollup: "Rollup | None" = None
    reason: str | None = None
    newer: bool = False  # a later relhealth made it


class Rollup:
    """The rollup of a data set, by the manifest at the time of opening."""

    def __init__(self, root: str, manifest: Manifest) -> None:
        """Take a manifest; ``open`` finds it."""
        self.root = root
        self.folder = os.path.join(root, ROLLUP)
        self.manifest = manifest
        self._checked: set[str] = set()

    @classmethod
    def open(cls, dataset: str | os.PathLike[str]) -> Opening:
        """Open the rollup beside a data set, if this version can use it."""
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
        """Return why the rollup is stale; ``None`` if it is fresh.

        ``paths`` are all files of the data set, including those without rows.
        """
        return manifests.stale(self.manifest, self.root, paths)

    @staticmethod
    def tells(*windows: Window) -> bool:
        """Return whether windows start and end at full hours, as a rollup needs."""
        ends = (end for window in windows for end in (window.start, window.end))
        return all(end.microsecond == 0 and epoch(end) % HOUR == 0 for end in ends)

    def missing(self) -> str | None:
        """Return the path of a file that is missing or has another size, if any."""
        name = self.manifest.missing(self.root)
        return None if name is None else os.path.join(self.folder, name)

    def check(self, names: Iterable[str]) -> None:
        """Check the pages of each file once.

        Raises ``DataError`` for damage, and ``ChangedError`` if a newer rollup replaced this one.
        """
        names = list(names)
        present.entire_files([os.path.join(self.folder, name) for name in names])
        for name in names:
            if name not in self._checked:
                files.check(self.folder, name)
                self._checked.add(name)

    def newest_us(self, org: int | None = None) -> int | None:
        """Return the exact timestamp of the newest session metric, in microseconds since 1970."""
        return max(
            (
                at
                for day in self.manifest.days.values()
                for of, at in day.newest_us
                if org is None or of == org
            ),
            default=None,
        )
