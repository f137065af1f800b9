"""The manifest of a rollup: what it was made of, what it holds, and whether it still fits.

    DATASET/_rollup/manifest.json       written last and renamed: the rollup is what it names
    DATASET/_rollup/lock                held while the rollup is made
    DATASET/_rollup/DAY-RUN/            a UTC day as one run made it; `undated-RUN` for other rows
    DATASET/_rollup/names-RUN/          pairs.parquet, and the members that the run was first to see

Nothing that a manifest names is ever written to again, so whoever is killed leaves the rollup of
the last whole run, and files that nothing names, which the next run removes.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from relhealth.core.errors import GoneError
from relhealth.core.printable import printable
from relhealth.core.version import __version__
from relhealth.datasets.ledger import ROLLUP

FORMAT = 1
MANIFEST = "manifest.json"
UNDATED = "undated"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FOOTER_END = 8  # bytes: the footer's length and the magic word

Day = int | None  # days since the epoch; None: rows without a timestamp, or far out


@dataclass(frozen=True, slots=True)
class RawFile:
    """A raw file as it was read, and the days that it feeds, with its session-metric rows of each.

    Two files of one ``identity`` have the same content.
    """

    size: int
    mtime_ns: int
    footer: str  # SHA-256 of its footer
    rows: int
    first_us: int | None
    last_us: int | None
    days: tuple[tuple[Day, int], ...] = ()

    @property
    def identity(self) -> tuple[int, int, str]:
        """What tells that a file is as it was."""
        return self.size, self.mtime_ns, self.footer


@dataclass(frozen=True, slots=True)
class DayFiles:
    """One day of a rollup; the numbers are of rows in its files."""

    folder: str
    files: Mapping[str, int]  # bytes by name
    unit: str  # of durations: milliseconds, or seconds where these do not do
    groups: int
    users: int
    errors: int
    durations: int
    rest: int
    newest_us: tuple[tuple[int | None, int], ...]  # newest session metric by organisation

    def path(self, name: str) -> str:
        """Return where one of its files is, below the rollup's folder."""
        return f"{self.folder}/{name}.parquet"


@dataclass(frozen=True, slots=True)
class Manifest:
    """A rollup: its raw files by path below the data set, and its days."""

    files: Mapping[str, RawFile]
    days: Mapping[Day, DayFiles]
    pairs: str  # the file of (org_id, project_id, release), below the folder
    environments: tuple[str, ...]
    codes: tuple[str, ...]  # the files of members in order of their codes
    members: int  # how many codes there are
    partitions: Mapping[str, str]  # key=value folders above the data set
    relhealth: str = __version__
    format: int = FORMAT
    names: Mapping[str, int] = field(default_factory=dict)  # bytes of the files of names

    def to_json(self) -> bytes:
        """Return the manifest as it is stored."""
        document = asdict(self)
        document["days"] = {_day_text(day): asdict(one) for day, one in self.days.items()}
        return json.dumps(document, indent=0).encode()

    def folders(self) -> set[str]:
        """Return the folders that the rollup consists of."""
        names = {str(Path(name).parent) for name in (self.pairs, *self.codes)}
        return names | {one.folder for one in self.days.values()}

    def missing(self, root: str) -> str | None:
        """Return a file that is not there as it was written, if any."""
        wanted = dict(self.names)
        for one in self.days.values():
            wanted.update({f"{one.folder}/{name}": size for name, size in one.files.items()})
        return next((name for name in wanted if not _is_of_size(root, name, wanted[name])), None)

    def bytes(self) -> int:
        """Return how many bytes the files of the rollup have."""
        return sum(self.names.values()) + sum(sum(d.files.values()) for d in self.days.values())


def _is_of_size(root: str, name: str, size: int) -> bool:
    try:
        return os.stat(os.path.join(root, ROLLUP, name)).st_size == size
    except OSError:
        return False


class Unusable(Exception):  # noqa: N818 - no error: there is the raw data
    """A manifest cannot be used; the text says why. ``newer`` tells that a later version can."""

    def __init__(self, reason: str, *, newer: bool = False) -> None:
        """Take the reason."""
        super().__init__(reason)
        self.newer = newer


def load(root: str) -> Manifest | None:
    """Return the manifest of a data set's rollup, ``None`` where there is none.

    Raises ``Unusable`` for one that is damaged or of another format.
    """
    path = os.path.join(root, ROLLUP, MANIFEST)
    try:
        content = Path(path).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Unusable(f"{printable(path)}: {(error.strerror or str(error)).lower()}") from error
    try:
        document = json.loads(content)
        found = document["format"]
        if type(found) is int and found != FORMAT:
            raise Unusable(
                f"{printable(path)}: format {found}, but this relhealth knows format {FORMAT}",
                newer=found > FORMAT,
            )
        return _manifest(document)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unusable(f"{printable(path)}: damaged ({type(error).__name__})") from error


def load_or_none(root: str) -> Manifest | None:
    """Return the manifest of a data set's rollup, ``None`` where there is none to use."""
    try:
        return load(root)
    except Unusable:
        return None


def _manifest(document: Mapping[str, Any]) -> Manifest:
    files = {
        name: RawFile(**{**one, "days": tuple((day, rows) for day, rows in one["days"])})
        for name, one in document["files"].items()
    }
    days = {
        _day_of(day): DayFiles(
            **{**one, "newest_us": tuple((org, at) for org, at in one["newest_us"])}
        )
        for day, one in document["days"].items()
    }
    kinds = {"format": int, "pairs": str, "members": int, "names": dict, "partitions": dict}
    if not all(isinstance(document[name], kind) for name, kind in kinds.items()):
        raise TypeError
    return Manifest(
        **{
            **document,
            "files": files,
            "days": days,
            "environments": tuple(document["environments"]),
            "codes": tuple(document["codes"]),
        }
    )


def _day_text(day: Day) -> str:
    return UNDATED if day is None else str(day)


def _day_of(text: str) -> Day:
    return None if text == UNDATED else int(text)


def folder_name(day: Day, run: str) -> str:
    """Return the folder of a day that a run makes."""
    return f"{UNDATED if day is None else f'{_EPOCH + timedelta(days=day):%Y-%m-%d}'}-{run}"


def identify(path: str) -> tuple[int, int, str]:
    """Return the identity of a raw file: its size, its time of change, its footer's digest.

    Raises ``ChangedError`` where it has gone.
    """
    try:
        with open(path, "rb") as stream:
            status = os.fstat(stream.fileno())
            stream.seek(max(0, status.st_size - _FOOTER_END))
            length = int.from_bytes(stream.read(4), "little")
            stream.seek(max(0, status.st_size - _FOOTER_END - length))
            footer = stream.read(length + _FOOTER_END)
    except FileNotFoundError as error:
        raise GoneError(path) from error
    return status.st_size, status.st_mtime_ns, hashlib.sha256(footer).hexdigest()


def below(root: str, path: str) -> str:
    """Return the path of a raw file below the data set."""
    return os.path.relpath(os.path.abspath(path), root)


def partitions_above(root: str) -> dict[str, str]:
    """Return the ``key=value`` folders of a data set's own path: its files have columns by them."""
    parts = (part.partition("=") for part in Path(root).parts)
    return {key: value for key, equals, value in parts if equals}


def stale(manifest: Manifest, root: str, paths: Iterable[str]) -> str | None:
    """Return why a rollup no longer is what these raw files hold, ``None`` where it is."""
    if dict(manifest.partitions) != partitions_above(root):
        return "the data set has moved"
    left = dict(manifest.files)
    for path in paths:
        name = below(root, path)
        known = left.pop(name, None)
        if known is None:
            return f"{printable(name)} is new"
        if known.identity != identify(path):
            return f"{printable(name)} has changed"
    return f"{printable(min(left))} is gone" if left else None
