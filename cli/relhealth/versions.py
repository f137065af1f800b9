"""The order of releases: by package, then version as semantic versioning has it, then text.

A release is ``package@version+build``; a version has one to four numbers and perhaps a pre-release.
Precedence of numbers and pre-releases is that of https://semver.org (item 11); beyond it, builds
of one version are ordered too (numbers before text), and what is no version comes last, as text.
"""

import re
from typing import TypeAlias

_Identifier: TypeAlias = tuple[int, int, str]
ReleaseKey: TypeAlias = tuple[
    int, str, tuple[int, ...], int, tuple[_Identifier, ...], tuple[_Identifier, ...], str
]

_VERSION = re.compile(
    r"v?(?P<numbers>[0-9]+(?:\.[0-9]+){0,3})"
    r"(?:-(?P<pre>[0-9A-Za-z.-]+))?"
    r"(?:\+(?P<build>[0-9A-Za-z.-]+))?"
)
# A longer run of digits is a hash or a timestamp gone wrong, and slow to turn into a number.
_MOST_DIGITS = 18


def release_key(release: str) -> ReleaseKey:
    """Return the key by which releases sort in version order, oldest first."""
    package, _, version = release.rpartition("@")
    match = _VERSION.fullmatch(version)
    numbers = match["numbers"].split(".") if match else []
    if match is None or any(len(number) > _MOST_DIGITS for number in numbers):
        return (1, release, (), 0, (), (), release)
    return (
        0,
        package,
        tuple(int(number) for number in [*numbers, "0", "0", "0"][:4]),
        0 if match["pre"] else 1,  # a pre-release comes before its release
        _identifiers(match["pre"]),
        _identifiers(match["build"]),
        release,
    )


def _identifiers(dotted: str | None) -> tuple[_Identifier, ...]:
    return tuple(_identifier(part) for part in dotted.split(".")) if dotted else ()


def _identifier(part: str) -> _Identifier:
    """Numeric identifiers compare as numbers and come before alphanumeric ones."""
    if part.isdecimal() and len(part) <= _MOST_DIGITS:
        return (0, int(part), "")
    return (1, 0, part)
