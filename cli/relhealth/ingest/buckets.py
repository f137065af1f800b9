"""Metric buckets: lines of Relay's ingest-metrics messages, copied from Kafka."""

import base64
import math
import struct
from typing import Annotated, BinaryIO, Literal

import msgspec
import pyarrow as pa

from relhealth.datasets.contract import MOST_COUNT, SESSION_METRICS
from relhealth.ingest import dimensions
from relhealth.ingest.instants import read_instant
from relhealth.ingest.protocol import FaultError, check_release
from relhealth.ingest.staging import Stage

_MOST_VALUES = 1_000_000
_MEMBERS = range(2**64)


_Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Encoded(msgspec.Struct):
    """Several values in one text."""

    format: Literal["array", "base64", "zstd"]
    data: str | list[int | float]


class Bucket(msgspec.Struct):
    """One bucket of one metric; ``timestamp`` is seconds since the epoch."""

    project_id: _Id
    name: str
    type: str
    timestamp: int | float
    value: int | float | list[int | float] | Encoded
    tags: dict[str, str | int] = {}
    org_id: _Id | None = None


_bucket = msgspec.json.Decoder(Bucket).decode


def read(
    stream: BinaryIO, source: str, stage: Stage, *, project: int | None, org: int | None
) -> None:
    """Stage every bucket of a session metric; skip those of other metrics."""
    for line in stage.lines(stream, source):
        take_line(stage, line, source, project, org)


def take_line(stage: Stage, line: bytes, source: str, project: int | None, org: int | None) -> bool:
    """Stage one bucket, skip it, or reject it; return whether it was not rejected."""
    try:
        _take(stage, line, project, org)
    except FaultError as error:
        stage.reject(source, str(error), line, error.example)
        return False
    return True


def _take(stage: Stage, line: bytes, project: int | None, org: int | None) -> None:
    """Stage one bucket, or skip it; raise ``FaultError`` for an invalid one."""
    try:
        bucket = _bucket(line)
    except msgspec.ValidationError as error:
        raise FaultError("bucket: not of the form of a bucket", str(error)) from None
    except (msgspec.MsgspecError, ValueError, RecursionError):
        example = line[:200].decode(errors="backslashreplace")
        raise FaultError("bucket: not JSON", example) from None
    if bucket.name not in SESSION_METRICS:
        stage.tally.pass_over(bucket.name)
        return
    try:
        values = _values(bucket)
    except ValueError:  # an error of base64, or of text that is not ASCII
        raise FaultError("value: not base64") from None
    except OverflowError:
        raise FaultError("value: a number beyond all measure") from None
    except (pa.ArrowException, OSError):
        raise FaultError("value: not zstd data") from None
    found = read_instant(bucket.timestamp)
    if found is None:
        raise FaultError("timestamp: no readable time", bucket.timestamp)
    started_us, how = found
    fault = stage.time_fault(started_us)
    if fault is not None:
        raise FaultError(fault, bucket.timestamp)
    stage.tally.written("timestamp", how)
    tags = {key: str(value) for key, value in bucket.tags.items()}
    check_release(tags.get("release"))
    is_set = bucket.name.startswith("s:")
    packed = dimensions.read(stage.dimensions, tags, stage.tally.lose) if stage.dimensions else None
    for value in values:
        stage.metric(
            (
                bucket.org_id if bucket.org_id is not None else org,
                bucket.project_id if project is None else project,
                started_us,
                bucket.name,
                tags.get("release"),
                tags.get("environment"),
                tags.get("session.status"),
                tags.get("abnormal_mechanism"),
                None if is_set else float(value),
                int(value) if is_set else None,
                packed,
            )
        )
    stage.tally.accepted["bucket"] += 1


def _values(bucket: Bucket) -> list[int | float]:
    """Return a bucket's values; raise ``FaultError`` for values that its metric cannot have."""
    is_set = bucket.name.startswith("s:")
    given = bucket.value
    if isinstance(given, Encoded):
        found = given.data if isinstance(given.data, list) else _unpacked(given, is_set=is_set)
        if (given.format == "array") != isinstance(given.data, list):
            raise FaultError("value: data is not of its format", given.format)
    else:
        found = given if isinstance(given, list) else [given]
    if is_set:
        if not all(isinstance(value, int) and value in _MEMBERS for value in found):
            raise FaultError("value: expected members of a set, whole numbers of 64 bits")
    elif not all(math.isfinite(value) and value >= 0 for value in found):
        raise FaultError("value: expected finite numbers of 0 or more")
    elif bucket.name.startswith("c:") and not all(float(value).is_integer() for value in found):
        raise FaultError("value: expected whole numbers")
    elif bucket.name.startswith("c:") and max(found, default=0) > MOST_COUNT:
        raise FaultError("value: expected whole numbers up to 2^32")
    return list(found)


def _unpacked(encoded: Encoded, *, is_set: bool) -> list[int | float]:
    """Unpack little-endian values: 32 bits per member of a set, else 64-bit floats."""
    assert isinstance(encoded.data, str)
    packed = base64.b64decode(encoded.data + "=" * (-len(encoded.data) % 4), validate=True)
    if encoded.format == "zstd":
        stream = pa.CompressedInputStream(pa.BufferReader(packed), "zstd")
        packed = stream.read(8 * _MOST_VALUES + 1)
    size, code = (4, "I") if is_set else (8, "d")
    count, rest = divmod(len(packed), size)
    if rest or count > _MOST_VALUES:
        raise FaultError(f"value: expected at most {_MOST_VALUES:,} values of {size} bytes")
    return list(struct.unpack(f"<{count}{code}", packed))
