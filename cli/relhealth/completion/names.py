"""The names that some sources have, kept for completion beside what was fetched from stores.

    relhealth/names/ID    a line each, with tabs: `state`, then `release PROJECT NAME` and so on

The ID is of the sources' paths. The names are read anew, by a process of its own, when files of the
sources are new or gone. Sources in stores and on clusters are left alone.
"""

import os
import sys
import time
import zlib
from collections.abc import Sequence
from contextlib import suppress

from relhealth.core.cache_folder import cache_folder

_PATIENCE = 1.0  # seconds, where nothing is kept yet
_TICK = 0.02
_MOST = 2_000  # entries of a folder, to see whether it changed
_ABANDONED = 600  # seconds


class Names:
    """Names, in order."""

    def __init__(self) -> None:
        """Begin with none."""
        self.state = ""
        self.releases: list[tuple[str, str]] = []  # project and name, the newest first
        self.projects: list[str] = []
        self.environments: list[str] = []
        self.dimensions: list[str] = []


def known(sources: Sequence[str]) -> Names:
    """Return the kept names of sources; let another process read them, if they are not of now."""
    paths = [
        os.path.realpath(os.path.expanduser(one))
        for one in sources
        if "://" not in one and "::" not in one
    ]
    if not paths or len(paths) < len(sources):
        return Names()
    state = _state(paths)
    file = _file(paths)
    found = _read(file)
    if found is not None and found.state == state:
        return found
    if state and _begin(file):
        _start(paths)
        until = time.monotonic() + _PATIENCE
        while found is None and time.monotonic() < until:
            time.sleep(_TICK)
            found = _read(file)
    return found or Names()


def _file(paths: Sequence[str]) -> str:
    text = "\0".join(sorted(paths)).encode(errors="surrogateescape")
    identity = f"{zlib.crc32(text):08x}{zlib.adler32(text):08x}"
    return os.path.join(cache_folder(), "names", identity)


def _state(paths: Sequence[str]) -> str:
    """Return what changes when files are added or removed; '' if a source is not there."""
    times: list[int] = []
    for path in paths:
        try:
            newest = os.stat(path).st_mtime_ns
            if os.path.isdir(path):
                with os.scandir(path) as entries:
                    for _, entry in zip(range(_MOST), entries, strict=False):
                        newest = max(newest, entry.stat().st_mtime_ns)
        except OSError:
            return ""
        times.append(newest)
    return " ".join(map(str, times))


def _read(file: str) -> Names | None:
    try:
        with open(file, encoding="utf-8") as lines:
            rows = [line.rstrip("\n").split("\t") for line in lines]
    except (OSError, ValueError):
        return None
    found = Names()
    for row in rows:
        match row:
            case ["state", state]:
                found.state = state
            case ["release", project, name]:
                found.releases.append((project, name))
            case ["project", name]:
                found.projects.append(name)
            case ["environment", name]:
                found.environments.append(name)
            case ["dimension", name]:
                found.dimensions.append(name)
    return found


def _begin(file: str) -> bool:
    """Return whether no other process reads these names now; if so, this one does."""
    mark = f"{file}.new"
    try:
        _make_folder(file)
        with suppress(OSError):
            if time.time() - os.stat(mark).st_mtime > _ABANDONED:
                os.unlink(mark)
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError:
        return False
    return True


def _make_folder(file: str) -> None:
    os.makedirs(os.path.dirname(file), mode=0o700, exist_ok=True)


def _start(paths: Sequence[str]) -> None:
    """Start a process that reads the names; it goes on when the shell has its answer."""
    own = {name: value for name, value in os.environ.items() if name != "_RELHEALTH_COMPLETE"}
    nothing = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)]
    with suppress(OSError):
        os.posix_spawn(
            sys.executable,
            [sys.executable, "-P", "-m", "relhealth.completion.names", *paths],
            own,
            file_actions=nothing,
            setsid=True,
        )


def keep(paths: Sequence[str]) -> None:
    """Read the names of paths, and keep them; of what cannot be read, that there are none."""
    file, state = _file(paths), _state(paths)
    lines = [["state", state]]
    try:
        with suppress(Exception):  # what is wrong, the next question says
            lines += _names(paths)
        text = "".join(
            "\t".join(line) + "\n" for line in lines if all(word.isprintable() for word in line)
        )
        _make_folder(file)
        with open(f"{file}.new", "w", encoding="utf-8") as stream:
            stream.write(text)
        os.replace(f"{file}.new", file)
    except OSError:
        with suppress(OSError):
            os.unlink(f"{file}.new")


def _names(paths: Sequence[str]) -> list[list[str]]:
    from relhealth.release_health import ReleaseHealth

    with ReleaseHealth(list(paths), threads=1) as health:
        found = health.inspect(now="latest")
    releases = sorted(found.releases, key=lambda one: (one.last, one.release), reverse=True)
    environments = sorted({one.environment for one in found.environments if one.environment})
    return [
        *(["release", str(one.project_id), one.release] for one in releases if one.release),
        *(["project", str(one.project_id)] for one in found.projects),
        *(["environment", one] for one in environments),
        *(["dimension", one.dimension] for one in found.dimensions),
    ]


if __name__ == "__main__":
    os.nice(10)
    keep(sys.argv[1:])
