"""How much of object stores may be kept on this machine."""

from relhealth.machine.memory import size_in_bytes

DEFAULT_SIZE = "4GB"


def cache_bytes(size: str) -> int:
    """Return the size of the cache in bytes; raises ``QuestionError``."""
    return 0 if size == "0" else size_in_bytes("cache size", size)
