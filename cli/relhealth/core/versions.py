"""The order of releases: by package, then by semantic version, then as text.

A release is ``package@version+build``. A version has one to four numbers and maybe a pre-release,
after a dash or, as in Sentry's grammar, from a lower-case letter on: ``1.10.0rc1``, ``1.1b2``.
The order of numbers and pre-releases is that of https://semver.org (item 11). In addition, builds
of one version have an order (numbers before text), and other names come last, as text.
"""

import re
from typing import TypeAlias

_Identifier: TypeAlias = tuple[int, int, str]
ReleaseKey: TypeAlias = tuple[
    int, str, tuple[int, ...], int, tuple[_Identifier, ...], tuple[_Identifier, ...], str
]

_VERSION = re.compile(
    r"v?(?P<numbers>[0-9]+(?:\.[0-9]+){0,3})"
    r"(?:-(?P<pre>[0-9A-Za-z.-]+)|(?P<letters>[a-z][0-9A-Za-z-]*(?:\.[0-9A-Za-z-]+)*))?"
    r"(?:\+(?P<build>[0-9A-Za-z.-]+))?"
)
# A longer run of digits is probably a hash or a timestamp, and slow to convert to a number.
_MOST_DIGITS = 18
_HASH = re.compile(r"[0-9a-f]{7,}(?:\+.*)?")  # of a commit, full or abbreviated
_LETTERED = re.compile(r"([A-Za-z]+)([0-9]+)")


def release_key(release: str) -> ReleaseKey:
    """Return the sort key of a release: version order, oldest first."""
    package, _, version = release.rpartition("@")
    match = _VERSION.fullmatch(version)
    numbers = match["numbers"].split(".") if match else []
    if (
        match is None
        or any(len(number) > _MOST_DIGITS for number in numbers)
        or (match["letters"] and not _is_told_by_letters(package, numbers, version))
    ):
        return (1, release, (), 0, (), (), release)
    return (
        0,
        package,
        tuple(int(number) for number in [*numbers, "0", "0", "0"][:4]),
        # A pre-release comes before its release.
        0 if match["pre"] or match["letters"] else 1,
        _identifiers(match["pre"]) or _lettered(match["letters"]),
        _identifiers(match["build"]),
        release,
    )


def is_version(release: str) -> bool:
    """Return whether a release has a version."""
    return release_key(release)[0] == 0


def is_prerelease(release: str) -> bool:
    """Return whether a release has the version of a pre-release."""
    key = release_key(release)
    return key[0] == 0 and key[3] == 0


def _is_told_by_letters(package: str, numbers: list[str], version: str) -> bool:
    """Return whether a text is a version, not a commit hash or a name with a number first."""
    return len(numbers) > 1 or bool(package and not _HASH.fullmatch(version))


def _lettered(dotted: str | None) -> tuple[_Identifier, ...]:
    """Return the identifiers of a pre-release without a dash, so that ``rc10`` > ``rc9``."""
    if not dotted:
        return ()
    return _identifiers(_LETTERED.sub(r"\1.\2", dotted, count=1))


def _identifiers(dotted: str | None) -> tuple[_Identifier, ...]:
    return tuple(_identifier(part) for part in dotted.split(".")) if dotted else ()


def _identifier(part: str) -> _Identifier:
    """Numeric identifiers compare as numbers and come before alphanumeric ones."""
    if part.isdecimal() and len(part) <= _MOST_DIGITS:
        return (0, int(part), "")
    return (1, 0, part)
