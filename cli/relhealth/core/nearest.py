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
    return [lowered[one] for one in dict.fromkeys(found)][:_NEAREST]


def hint(name: str, known: Iterable[str]) -> str:
    """Return the nearest known names as the end of a message; '' without any."""
    found = nearest(name, known)
    be = "is" if len(found) == 1 else "are"
    return f"; the nearest {be} {', '.join(found)}" if found else ""
