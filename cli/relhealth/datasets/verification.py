"""Verification: read every page of every file, and check those with checksums."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from relhealth.core.printable import printable
from relhealth.datasets import footers, parquet_pages
from relhealth.datasets.checking import UNREADABLE
from relhealth.datasets.finding import find
from relhealth.datasets.ledger import LEDGER, STAGING, SUFFIXES
from relhealth.machine.database import Observer, Progress
from relhealth.machine.workers import Workers
from relhealth.stores import present

_BATCH = 122_880  # rows
_ENCRYPTED = b"PARE"  # the magic bytes of a file whose footer is encrypted
_State = Literal["sealed", "checksums", "unverified", "gone"]


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of a verification; ``damaged`` has a line for each damaged file.

    Of the others, ``sealed`` files have a seal over the footer and checksums of all pages,
    ``checksums`` files only page checksums; ``unverified`` files have none, and were only decoded.
    """

    files: int
    bytes: int
    sealed: int
    checksums: int
    unverified: int
    damaged: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def verify(
    named: Sequence[str | os.PathLike[str]], *, threads: int, observer: Observer | None = None
) -> Verification:
    """Read all pages of all columns, including the other files of a data set beside its data.

    Raises ``DataError`` for sources that do not exist.
    """
    found = find(named)
    paths = sorted({*(os.path.abspath(path) for path in found), *_beside(named)})
    present.entire_files(paths)
    states: Counter[str] = Counter()
    damaged: list[str] = []
    size = 0
    outcomes = Workers(threads).each(_verified, paths)
    for done, (state, fault, of_file) in enumerate(outcomes, 1):
        size += of_file
        if fault is not None:
            damaged.append(fault)
        else:
            states[state] += 1
        if observer is not None:
            observer(Progress("verifying", done / len(paths)))
    return Verification(
        files=len(paths) - states["gone"],
        bytes=size,
        sealed=states["sealed"],
        checksums=states["checksums"],
        unverified=states["unverified"],
        damaged=tuple(damaged),
    )


def _beside(named: Sequence[str | os.PathLike[str]]) -> Iterator[str]:
    """Yield the Parquet files of data sets that are not data, such as those of a rollup."""
    for root in (os.fspath(one) for one in named):
        if not os.path.isdir(os.path.join(root, LEDGER)):
            continue
        for folder, folders, files in os.walk(root):
            folders[:] = [name for name in folders if name != STAGING]
            for name in files:
                if name.lower().endswith(SUFFIXES):
                    yield os.path.abspath(os.path.join(folder, name))


def _verified(path: str) -> tuple[_State, str | None, int]:
    try:
        size = os.path.getsize(path)
        return _read(path), None, size
    except FileNotFoundError:  # removed by a change of the data set
        return "gone", None, 0
    except UNREADABLE as error:
        reason = printable(str(error).splitlines()[0]) if str(error) else type(error).__name__
        named = printable(present.spelled(path))
        return "unverified", f"{named}: damaged; write it again ({reason})", size


def _read(path: str) -> _State:
    with open(path, "rb") as stream:
        if stream.read(len(_ENCRYPTED)) == _ENCRYPTED:
            raise footers.DamagedError("encrypted, so that nothing in it can be verified")
    footer = footers.read(path)
    if footer.has_encrypted_columns:
        raise footers.DamagedError("columns are encrypted, so that they cannot be verified")
    columns = sorted({name for group in footer.groups for name in group.chunks})
    groups = range(len(footer.groups))
    checksums = parquet_pages.check(path, footer, groups, columns)
    with parquet_pages.opened(path, footer) as file:
        for group in groups:
            rows = 0
            for batch in file.iter_batches(_BATCH, row_groups=[group], use_threads=False):
                batch.validate(full=True)
                rows += batch.num_rows
            if rows != footer.groups[group].rows:
                raise footers.DamagedError("a row group has not as many rows as its footer says")
    if footer.sealed:
        return "sealed"
    return "checksums" if checksums else "unverified"
