"""What an input of an ingest can hold."""

from enum import StrEnum


class Kind(StrEnum):
    """What an input holds; the words of ``--from``."""

    ENVELOPES = "envelopes"
    BUCKETS = "buckets"
    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"
