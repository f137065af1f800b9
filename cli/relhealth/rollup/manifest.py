"""The manifest of a rollup: its raw files, its own files, and whether it is fresh.

    DATASET/_rollup/manifest.json       written last, and renamed; it defines the rollup
    DATASET/_rollup/lock                held by a run
    DATASET/_rollup/DAY-RUN/            a UTC day as one run made it; `undated-RUN` for other rows
    DATASET/_rollup/names-RUN/          pairs.parquet, and the members that are new in the run

No run writes to a file that a manifest names. So a killed run leaves the rollup of the last
complete run, and files that no manifest names. The next run removes these.
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
from relhealth.stores import present

FORMAT = 1
MANIFEST = "manifest.json"
UNDATED = "undated"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FOOTER_END = 8  # bytes: the footer's length and the magic word

Day = int | None  # days since the epoch; None: rows without a timestamp, or with a far-off one


@dataclass(frozen=True, slots=True)
class RawFile:
    """A raw file as it was read, and how many session-metric rows it has in each day."""

    size: int
    mtime_ns: int
    footer: str  # SHA-256 of its footer
    rows: int
    first_us: int | None
    last_us: int | None
    days: tuple[tuple[Day, int], ...] = ()

    @property
    def identity(self) -> tuple[int, int, str]:
        """What changes when the file changes."""
        return self.size, self.mtime_ns, self.footer


@dataclass(frozen=True, slots=True)
class DayFiles:
    """One day of a rollup; the numbers are of rows in its files."""

    folder: str
    files: Mapping[str, int]  # bytes by name
    unit: str  # of durations: milliseconds, or seconds if milliseconds are not exact
    groups: int
    users: int
    errors: int
    durations: int
    rest: int
    newest_us: tuple[tuple[int | None, int], ...]  # newest session metric by organisation

    def path(self, name: str) -> str:
        """Return the path of one of its files, relative to the rollup."""
        return f"{self.folder}/{name}.parquet"


@dataclass(frozen=True, slots=True)
class Manifest:
    """A rollup: its raw files by path relative to the data set, and its days."""

    files: Mapping[str, RawFile]
    days: Mapping[Day, DayFiles]
    pairs: str  # the file of (org_id, project_id, release), relative to the rollup
    environments: tuple[str, ...]
    codes: tuple[str, ...]  # the files of members, in the order of codes
    members: int  # the number of codes
    partitions: Mapping[str, str]  # key=value folders above the data set
    relhealth: str = __version__
    format: int = FORMAT
    names: Mapping[str, int] = field(default_factory=dict)  # bytes of the files of names

    def to_json(self) -> bytes:
        """Return the manifest as JSON."""
        document = asdict(self)
        document["days"] = {_day_text(day): asdict(one) for day, one in self.days.items()}
        return json.dumps(document, indent=0).encode()

    def folders(self) -> set[str]:
        """Return the folders of the rollup."""
        names = {str(Path(name).parent) for name in (self.pairs, *self.codes)}
        return names | {one.folder for one in self.days.values()}

    def missing(self, root: str) -> str | None:
        """Return a file that is missing or has another size, if any."""
        wanted = dict(self.names)
        for one in self.days.values():
            wanted.update({f"{one.folder}/{name}": size for name, size in one.files.items()})
        return next((name for name in wanted if not _is_of_size(root, name, wanted[name])), None)

    def bytes(self) -> int:
        """Return the bytes of all files of the rollup."""
        return sum(self.names.values()) + sum(sum(d.files.values()) for d in self.days.values())


def _is_of_size(root: str, name: str, size: int) -> bool:
    try:
        return os.stat(os.path.join(root, ROLLUP, name)).st_size == size
    except OSError:
        return False


class Unusable(Exception):  # noqa: N818 - no error: the raw files can answer
    """A manifest cannot be used; the text says why. ``newer``: a later version can use it."""

    def __init__(self, reason: str, *, newer: bool = False) -> None:
        """Take the reason."""
        super().__init__(reason)
        self.newer = newer


def load(root: str) -> Manifest | None:
    """Return the manifest of a data set's rollup, ``None`` if it has no rollup.

    Raises ``Unusable`` for a damaged manifest or another format.
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
    """Return the manifest of a data set's rollup, ``None`` if there is no usable one."""
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
    """Return the folder in which a run writes a day."""
    return f"{UNDATED if day is None else f'{_EPOCH + timedelta(days=day):%Y-%m-%d}'}-{run}"


def identify(path: str) -> tuple[int, int, str]:
    """Return the identity of a raw file: its size, time of change and digest of the footer.

    Raises ``GoneError`` if it is gone.
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
    """Return the path of a raw file relative to the data set."""
    return os.path.relpath(os.path.abspath(path), root)


def partitions_above(root: str) -> dict[str, str]:
    """Return the ``key=value`` folders above a data set, which are columns of its files."""
    parts = (part.partition("=") for part in Path(root).parts)
    return {key: value for key, equals, value in parts if equals}


def stale(manifest: Manifest, root: str, paths: Iterable[str]) -> str | None:
    """Return why a rollup does not fit these raw files, ``None`` if it does."""
    if dict(manifest.partitions) != partitions_above(root):
        return "the data set has moved"
    left = dict(manifest.files)
    for path in paths:
        name = below(root, path)
        known = left.pop(name, None)
        if known is None:
            return f"{printable(name)} is new"
        found = identify(path)
        if present.is_mirrored(path):  # a copy of a file has another time, and the same footer
            found = (found[0], known.mtime_ns, found[2])
        if known.identity != found:
            return f"{printable(name)} has changed"
    return f"{printable(min(left))} is gone" if left else None
