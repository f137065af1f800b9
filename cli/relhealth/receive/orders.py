"""What a receiver and the process that ingests its spool say to each other."""

from collections.abc import Mapping

import msgspec


class Order(msgspec.Struct, frozen=True):
    """What to do with a data set."""

    dataset: str
    keep_days: int
    org: int | None = None
    dimensions: Mapping[str, str] = {}
    tidy: bool = False  # compact it, and remove old days
    hurry: bool = False  # somebody waits for the end
    memory_limit: str | None = None


class Report(msgspec.Struct):
    """What was done. Files that an error names are still in the spool."""

    files: int = 0
    sessions: int = 0
    rejected: dict[str, int] = {}  # items, by reason
    torn_bytes: int = 0  # at the ends of files, of what nobody was told to be received
    errors: list[str] = []
    days_removed: int = 0
