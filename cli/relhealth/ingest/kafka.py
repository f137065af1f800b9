"""Messages of Kafka with their positions, from ``kcat -J``; each counts once."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Annotated, BinaryIO, NamedTuple

import msgspec

from relhealth.ingest import buckets
from relhealth.ingest.staging import Stage

READ_BEFORE = "message read before"
WITHOUT_PAYLOAD = "message without a payload"

Saved = Mapping[str, Mapping[str, list[list[int]]]]  # topic → partition → spans of offsets


_Position = Annotated[int, msgspec.Meta(ge=0)]


class Message(msgspec.Struct):
    """One message: a metric bucket as JSON text or as an object."""

    topic: str
    partition: _Position
    offset: _Position
    payload: msgspec.Raw = msgspec.Raw(b"null")


_message = msgspec.json.Decoder(Message).decode
_text = msgspec.json.Decoder(str).decode


class Offsets:
    """Offsets of messages, as ranges without gaps, by topic and partition."""

    def __init__(self, saved: Iterable[Saved] = ()) -> None:
        """Start with saved positions."""
        self._spans: dict[tuple[str, int], list[list[int]]] = defaultdict(list)
        for one in saved:
            self.update(one)

    def __contains__(self, position: tuple[str, int, int]) -> bool:
        """Return whether a message, by topic, partition and offset, is included."""
        topic, partition, offset = position
        spans = self._spans.get((topic, partition), [])
        at = bisect_right(spans, offset, key=lambda span: span[0]) - 1
        return at >= 0 and offset <= spans[at][1]

    def add(self, topic: str, partition: int, offset: int) -> None:
        """Add a message that is not included."""
        spans = self._spans[topic, partition]
        at = bisect_right(spans, offset, key=lambda span: span[0])
        if at and spans[at - 1][1] == offset - 1:
            spans[at - 1][1] = offset
        else:
            spans.insert(at, [offset, offset])

    def update(self, saved: Saved) -> None:
        """Add all saved positions of another."""
        for topic, partitions in saved.items():
            for partition, spans in partitions.items():
                key = topic, int(partition)
                self._spans[key] = _merged([*self._spans[key], *map(list, spans)])

    def meets(self, saved: Saved) -> bool:
        """Return whether any is among the saved positions of another."""
        return any(
            first <= own_last and own_first <= last
            for topic, partitions in saved.items()
            for partition, spans in partitions.items()
            for first, last in spans
            for own_first, own_last in self._spans.get((topic, int(partition)), ())
        )

    def saved(self) -> dict[str, dict[str, list[list[int]]]]:
        """Return them in the form in which they are saved."""
        found: dict[str, dict[str, list[list[int]]]] = defaultdict(dict)
        for (topic, partition), spans in sorted(self._spans.items()):
            found[topic][str(partition)] = _merged(spans)
        return dict(found)


class Positions(NamedTuple):
    """The known messages while an input is read."""

    of_others: Offsets  # that count for other inputs
    taken: Offsets  # that count for this
    skipped: Offsets  # in this input, but counted for others


def _merged(spans: Iterable[list[int]]) -> list[list[int]]:
    merged: list[list[int]] = []
    for first, last in sorted(spans):
        if merged and first <= merged[-1][1] + 1:
            merged[-1][1] = max(merged[-1][1], last)
        else:
            merged.append([first, last])
    return merged


def read(
    stream: BinaryIO,
    source: str,
    stage: Stage,
    *,
    positions: Positions,
    project: int | None,
    org: int | None,
) -> None:
    """Stage the bucket of every message that was not read before.

    Skip messages without a payload. A rejected message does not count as read.
    """
    for line in stage.lines(stream, source):
        try:
            message = _message(line)
            payload = _bytes_of(message.payload)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            stage.reject(source, "message: expected topic, partition, offset and payload", line)
            continue
        position = message.topic, message.partition, message.offset
        if position in positions.taken:
            stage.tally.pass_over(READ_BEFORE)
            continue
        if position in positions.of_others:
            stage.tally.pass_over(READ_BEFORE)
            if position not in positions.skipped:
                positions.skipped.add(*position)
            continue
        if payload is None:
            stage.tally.pass_over(WITHOUT_PAYLOAD)
        elif not buckets.take_line(stage, payload, source, project, org):
            continue
        positions.taken.add(*position)


def _bytes_of(payload: msgspec.Raw) -> bytes | None:
    found = bytes(payload)
    if found.startswith(b'"'):
        found = _text(found).encode()
    return None if not found or found == b"null" else found
