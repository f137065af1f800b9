"""Releases by word (``latest``) and by a part of the name."""

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

from relhealth.core.scope import ProjectRelease
from relhealth.core.versions import is_prerelease, release_key

LATEST = "latest"
PREVIOUS = "previous"
PREVAILING = "prevailing"
WORDS = (LATEST, PREVIOUS, PREVAILING)
_PATTERN = re.compile(r"[*?[]")
_HASH = re.compile(r"[0-9a-f]{7,}")  # of a commit, abbreviated


def package_of(release: str) -> str:
    """Return the package of a release, ``''`` if its name has none."""
    return release.rpartition("@")[0]


def newest_versions(
    seen: Iterable[ProjectRelease], *, stable: bool = False
) -> tuple[ProjectRelease, ...]:
    """Return the newest version of each project and package; ignore other names.

    With ``stable``, ignore pre-releases too.
    """
    newest: dict[tuple[int, str], ProjectRelease] = {}
    for pair in seen:
        key = release_key(pair[1])
        if key[0] or (stable and is_prerelease(pair[1])):
            continue
        package = pair[0], key[1]
        if package not in newest or key > release_key(newest[package][1]):
            newest[package] = pair
    return tuple(sorted(newest.values()))


def _fits(name: str, pattern: str) -> bool:
    """Tell whether a pattern fits a name, also without the front of its package, or its version."""
    forms = [name, name.rpartition("@")[2]]
    forms += [name[found.end() :] for found in re.finditer("[./]", name.partition("@")[0])]
    return any(fnmatchcase(one, pattern) for one in forms)


def matching(text: str, known: Iterable[str], *, strictly: bool = False) -> list[str]:
    """Return the known names that a part of a name, or a pattern, means.

    A part is a version without its build or package. Unless ``strictly``, it can also lack last
    numbers, or be the beginning of a hash.
    """
    if _PATTERN.search(text):
        return sorted(name for name in known if _fits(name, text))
    package, _, version = text.rpartition("@")
    ends = f".{package}", f"/{package}"
    same, within = [], []
    for name in known:
        its, _, full = name.rpartition("@")
        if package and its != package and not its.endswith(ends):
            continue
        if full == version or full.startswith(f"{version}+"):
            same.append(name)
        elif full.startswith(f"{version}.") or (_HASH.fullmatch(text) and name.startswith(text)):
            within.append(name)
    return sorted(same or ([] if strictly else within))
