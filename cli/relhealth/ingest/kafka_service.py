"""Reads a topic of Kafka as a service: a batch of messages at a time becomes part of a data set.

A batch is written to a file in the form of ``kcat -J``, ingested as one stream, which goes on
for ever, and only then committed to Kafka. The ledger has the offset of each message that counts,
so that what Kafka gives again after a kill or a rebalance counts once.
"""

import json
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, Self

from relhealth.core.errors import DataError, QuestionError
from relhealth.core.printable import printable
from relhealth.ingest.reading import STREAM

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

MISSING = "this needs the client of Kafka: pip install 'relhealth[kafka]'"
MOST_BYTES = 64 << 20  # of the messages of a batch
_POLL = 0.5  # seconds
_MOST_AT_ONCE = 1_000  # messages of a poll
_START = 15.0  # seconds in which brokers must answer first
# What this module sets; a file of settings cannot.
_OWN = {
    "bootstrap.servers": "--from-kafka",
    "group.id": "--group",
    "enable.auto.commit": "",
    "enable.auto.offset.store": "",
    "enable.partition.eof": "",
    "auto.offset.reset": "",
}


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic, whom to ask for it, and further settings of the client."""

    brokers: str
    name: str
    group: str
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def stream(self) -> str:
        """The name of its messages among the inputs of a data set."""
        return f"{STREAM}{self.brokers}/{self.name}"


def settings_of(path: Path) -> dict[str, str]:
    """Return the settings in a file of properties, a ``key=value`` a line.

    Raises ``QuestionError``, which never has a value, for a file that cannot be read, a line
    without ``=``, and what options set.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise QuestionError(f"{printable(str(path))}: {reason.lower()}") from None
    found = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith(("#", "!")):
            continue
        key, equals, value = line.partition("=")
        key = key.strip()
        if not equals or not key:
            raise QuestionError(f"{printable(str(path))}: line {number}: expected KEY=VALUE")
        if key in _OWN:
            other = f"; use {_OWN[key]}" if _OWN[key] else ""
            raise QuestionError(f"{printable(str(path))}: {key} is set by relhealth{other}")
        found[key] = value.strip()
    return found


def consume(
    topic: Topic,
    take: Callable[[str], None],
    *,
    every: float,
    until_end: bool = False,
    warn: Callable[[str], None],
) -> None:
    """Read a topic, and call ``take`` with the path of each batch; then commit its offsets.

    A batch has the messages of ``every`` seconds, or fewer if they are many. Returns at the end of
    all partitions if ``until_end``, else at SIGTERM or Ctrl-C, after the last batch. Raises
    ``QuestionError`` for invalid settings, ``DataError`` for brokers that do not answer and for a
    topic that is not there.
    """
    with (
        _Consumer(topic, warn, joins=not until_end) as consumer,
        tempfile.TemporaryDirectory(prefix="relhealth-") as at,
    ):
        _Service(consumer, Path(at), take, every, until_end=until_end).run()


class _Service:
    """The loop of a consumer."""

    def __init__(
        self,
        consumer: "_Consumer",
        folder: Path,
        take: Callable[[str], None],
        every: float,
        *,
        until_end: bool,
    ) -> None:
        self._consumer = consumer
        self._file = folder / "messages.jsonl"
        self._take = take
        self._every = every
        self._until_end = until_end
        self._bytes = 0
        self._messages = 0
        self._stream = self._file.open("wb")
        self._ended: set[int] = set()  # partitions
        consumer.on_revoke = self._flush  # before others read on

    def run(self) -> None:
        """Read until the end, or a signal."""
        began = time.monotonic()
        with _stopped() as stopped, self._stream:
            while not stopped.is_set():
                for message in self._consumer.poll():
                    self._add(message)
                is_due = time.monotonic() - began >= self._every
                if is_due or self._bytes >= MOST_BYTES:
                    self._flush()
                    began = time.monotonic()
                if self._until_end and self._consumer.is_at_end(self._ended):
                    break
            self._flush()

    def _add(self, message: "Message") -> None:
        error = message.error()
        partition = message.partition() or 0
        if error is not None:
            if self._consumer.is_end(error):
                self._ended.add(partition)
                return
            self._consumer.refuse(error)
        self._ended.discard(partition)
        value = message.value()
        line = {
            "topic": message.topic(),
            "partition": partition,
            "offset": message.offset(),
            "payload": None if value is None else value.decode(errors="backslashreplace"),
        }
        self._bytes += self._stream.write(json.dumps(line).encode() + b"\n")
        self._messages += 1

    def _flush(self) -> None:
        """Hand the batch on, and commit it."""
        if not self._messages:
            return
        self._stream.flush()
        self._take(str(self._file))
        self._consumer.commit()
        self._stream.seek(0)
        self._stream.truncate()
        self._bytes = self._messages = 0


class _Consumer:
    """A consumer of a topic, with errors in words of a user.

    If it ``joins`` its group, it shares the partitions with other members. If not, it reads all
    from where the group is: joining and leaving take brokers many seconds, and a run up to the end
    has nothing to share. What two runs read at once counts once.
    """

    def __init__(self, topic: Topic, warn: Callable[[str], None], *, joins: bool) -> None:
        try:
            import confluent_kafka
        except ImportError as error:
            raise QuestionError(MISSING) from error
        self._kafka = confluent_kafka
        self._topic = topic
        self._warn = warn
        self._joins = joins
        self._warned: set[str] = set()
        self.on_revoke: Callable[[], None] = lambda: None
        try:
            self._client: Consumer = confluent_kafka.Consumer(
                {
                    **topic.settings,
                    "bootstrap.servers": topic.brokers,
                    "group.id": topic.group,
                    "enable.auto.commit": False,
                    "enable.partition.eof": True,
                    "auto.offset.reset": "earliest",
                    "error_cb": self._note,
                    "log_level": 0,
                }
            )
        except confluent_kafka.KafkaException as error:
            raise QuestionError(f"--kafka-config: {_without_values(error, topic)}") from None

    def __enter__(self) -> Self:
        try:
            found = self._client.list_topics(self._topic.name, timeout=_START)
        except self._kafka.KafkaException as error:
            self._client.close()
            self.refuse(error.args[0])
        fault = found.topics[self._topic.name].error
        if fault is not None:
            self._client.close()
            self.refuse(fault)
        if self._joins:
            self._client.subscribe([self._topic.name], on_revoke=self._revoke, on_lost=self._lose)
        else:
            stored = self._kafka.OFFSET_STORED
            name, partitions = self._topic.name, found.topics[self._topic.name].partitions
            self._client.assign(
                [self._kafka.TopicPartition(name, one, stored) for one in partitions]
            )
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.on_revoke = lambda: None  # the batch is not in the data set
        self._client.close()

    def poll(self) -> Iterator["Message"]:
        """Yield the next messages."""
        yield from self._client.consume(_MOST_AT_ONCE, _POLL)

    def is_end(self, error: "KafkaError") -> bool:
        """Tell whether an error is the end of a partition."""
        return bool(error.code() == self._kafka.KafkaError._PARTITION_EOF)  # noqa: SLF001 - its name

    def is_at_end(self, ended: set[int]) -> bool:
        """Tell whether all partitions of this consumer are at their end."""
        own = {one.partition for one in self._client.assignment()}
        return bool(own) and own <= ended

    def commit(self) -> None:
        """Commit what was read; if that fails, the messages come again, and count once."""
        try:
            self._client.commit(asynchronous=False)
        except self._kafka.KafkaException as error:
            self._warn(f"{self._topic.stream}: offsets not committed: {_told(error.args[0])}")

    def refuse(self, error: "KafkaError") -> NoReturn:
        """Raise the error of a broker."""
        kinds = self._kafka.KafkaError
        remedy = {
            kinds._TRANSPORT: "check the address and the network",  # noqa: SLF001
            kinds._ALL_BROKERS_DOWN: "check the address and the network",  # noqa: SLF001
            kinds._TIMED_OUT: "check the address and the network",  # noqa: SLF001
            kinds._UNKNOWN_TOPIC: "check --topic",  # noqa: SLF001
            kinds.UNKNOWN_TOPIC_OR_PART: "check --topic",
            kinds.TOPIC_AUTHORIZATION_FAILED: "check the rights in --kafka-config",
            kinds.GROUP_AUTHORIZATION_FAILED: "check the rights in --kafka-config",
            kinds._AUTHENTICATION: "check the user and password in --kafka-config",  # noqa: SLF001
        }.get(error.code(), "see the log of the brokers")
        raise DataError(f"{printable(self._topic.stream)}: {_told(error)}; {remedy}")

    def _note(self, error: "KafkaError") -> None:
        """Warn once of each fault that the client tries to overcome."""
        text = _told(error)
        if text not in self._warned:
            self._warned.add(text)
            self._warn(f"{printable(self._topic.stream)}: {text}; trying again")

    def _revoke(self, _client: "Consumer", _partitions: "Sequence[TopicPartition]") -> None:
        self.on_revoke()

    def _lose(self, _client: "Consumer", _partitions: "Sequence[TopicPartition]") -> None:
        """Let others read on: what this one has read counts once, whoever is first."""


def _without_values(error: Exception, topic: Topic) -> str:
    """Return what is wrong with a setting; of a value, which can be secret, nothing."""
    text = _told(error.args[0])
    named = [name for name in topic.settings if f'"{name}"' in text]
    if named and not text.startswith("No such"):
        return f"{printable(named[0])}: the client does not accept this value"
    for value in sorted(filter(None, topic.settings.values()), key=len, reverse=True):
        text = text.replace(value, "…")
    return text


def _told(error: object) -> str:
    text = str(getattr(error, "str", lambda: error)())
    return printable(text[:300])


@contextmanager
def _stopped() -> Iterator[threading.Event]:
    """Yield an event that the first signal to end sets; a second one ends the process."""
    stopped = threading.Event()
    before: dict[signal.Signals, Any] = {}

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopped.set()
        for name, handler in before.items():
            signal.signal(name, handler)

    if threading.current_thread() is threading.main_thread():
        for name in (signal.SIGINT, signal.SIGTERM):
            before[name] = signal.signal(name, stop)
    try:
        yield stopped
    finally:
        for name, handler in before.items():
            with suppress(ValueError):
                signal.signal(name, handler)
