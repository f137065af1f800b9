"""Known names near an unknown one."""

from collections.abc import Iterable

_MOST_COMPARED = 5_000  # names, so that a hint costs no more than the answer
_NEAREST = 3


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """Return up to three known names, the most similar first."""
    import difflib

    lowered = {one.lower(): one for one in list(known)[:_MOST_COMPARED]}
    wanted = name.lower()
    found = [one for one in lowered if wanted in one][:_NEAREST]
    found += difflib.get_close_matches(wanted, lowered, _NEAREST, cutoff=0.5)
    if not found:  # as people say a release: without its build, or its package
        short = {_short(one, wanted): one for one in reversed(lowered)}
        found = [
            short[one] for one in difflib.get_close_matches(wanted, short, _NEAREST, cutoff=0.5)
        ]
    return [lowered[one] for one in dict.fromkeys(found)][:_NEAREST]


def _short(release: str, wanted: str) -> str:
    """Return a release without its build, and with as much of its package as another has."""
    package, at, version = release.partition("+")[0].rpartition("@")
    return f"{package.rpartition('.')[2]}{at}{version}" if "@" in wanted else version


def hint(name: str, known: Iterable[str]) -> str:
    """Return the nearest known names as the end of a message; '' without any."""
    found = nearest(name, known)
    be = "is" if len(found) == 1 else "are"
    return f"; the nearest {be} {', '.join(found)}" if found else ""
