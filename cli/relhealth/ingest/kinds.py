"""The kinds of inputs, and what to do with unknown words for a status."""

from enum import StrEnum


class InputKind(StrEnum):
    """The kind of an input; the words of ``--from``."""

    ENVELOPES = "envelopes"
    BUCKETS = "buckets"
    KAFKA = "kafka"
    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


class Unknown(StrEnum):
    """What to do with rows with an unknown word for a status; values of ``--unknown-status``."""

    STOP = "stop"
    REJECT = "reject"
