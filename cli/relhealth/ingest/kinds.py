"""What an input of an ingest can hold, and what becomes of words that are unknown."""

from enum import StrEnum


class Kind(StrEnum):
    """What an input holds; the words of ``--from``."""

    ENVELOPES = "envelopes"
    BUCKETS = "buckets"
    KAFKA = "kafka"
    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


class Unknown(StrEnum):
    """What becomes of rows of an unknown word for a status; values of ``--unknown-status``."""

    STOP = "stop"
    REJECT = "reject"
