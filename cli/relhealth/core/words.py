"""Words for messages."""


def counted(count: int, what: str) -> str:
    """Return a count with its noun: ``1 file``, ``2 files``."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"
