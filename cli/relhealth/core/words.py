"""Words for messages."""


class Unmatched(str):  # noqa: SLOT000 - of a few warnings
    """A warning that nothing matches a filter: an answer without it must replace no file."""


def counted(count: int, what: str) -> str:
    """Return a count with its noun: ``1 file``, ``2 files``."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"
