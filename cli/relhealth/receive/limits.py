"""The bounds on what a receiver takes from anybody."""

from dataclasses import dataclass

MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds; sizes are in bytes, times in seconds."""

    body: int = 32 * MEBIBYTE  # of an envelope, before and after its encoding is undone
    bodies: int = 128 * MEBIBYTE  # of all bodies that are being received
    items: int = 1_000  # in an envelope
    head: int = 1 << 15  # of the request line and the headers
    headers: int = 100
    head_seconds: float = 10.0  # until all headers are there
    request_seconds: float = 60.0  # until a request is there and answered
    connections: int = 1_000
    decoding: int = 2  # large bodies decoded at the same time
