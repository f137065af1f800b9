"""``ingest --from-kafka``: a topic becomes a data set, and each message counts once.

The broker is the mock of librdkafka. It lets a group go on only when the session of an earlier
consumer is over, so most tests use a group a run.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from command import Result, run
from process import command, environment
from relhealth.ingest import kafka_service
from relhealth.ingest.kafka_service import settings_of
from relhealth.ingest.run import ingested_inputs

if TYPE_CHECKING:
    from pathlib import Path

NOW = "2026-03-02T12:30:00Z"
NOON = int(datetime(2026, 3, 2, 12, tzinfo=UTC).timestamp())
MOCK = {"bootstrap.servers": "mock", "test.mock.num.brokers": 1, "log_level": 0}


class Broker:
    """A broker in this process, which others can ask."""

    def __init__(self) -> None:
        """Start it; it ends with its producer."""
        self.producer = Producer(MOCK)
        (one,) = self.producer.list_topics(timeout=10).brokers.values()
        self.address = f"{one.host}:{one.port}"

    def send(self, topic: str, *messages: bytes | None) -> None:
        """Send messages, and wait until the broker has them."""
        for message in messages:
            self.producer.produce(topic, value=message)
        assert self.producer.flush(10) == 0


@pytest.fixture(scope="module")
def broker() -> Broker:
    return Broker()


@pytest.fixture
def topic(request: pytest.FixtureRequest) -> str:
    """A topic of this test alone."""
    return "".join(char if char.isalnum() else "-" for char in request.node.name)


def bucket(number: int, name: str = "c:sessions/session@none", value: float = 2.0) -> bytes:
    """Return a bucket of sessions that began, of a release by number."""
    return json.dumps(
        {
            "org_id": 1,
            "project_id": 1,
            "name": name,
            "type": "c",
            "timestamp": NOON + number % 600,
            "value": value,
            "retention_days": 90,
            "tags": {"session.status": "init", "release": f"shop@{number % 3}"},
        }
    ).encode()


def line(broker: Broker, topic: str, to: Path, *more: str, group: str = "") -> list[str]:
    words = ["ingest", "--from-kafka", broker.address, "--topic", topic]
    words += ["--group", group or uuid.uuid4().hex]
    return [*words, "--to", str(to), "--now", NOW, *more]


def read(broker: Broker, topic: str, to: Path, *more: str, group: str = "") -> Result:
    return run(*line(broker, topic, to, "--until-end", *more, group=group))


def sessions(to: Path) -> int:
    """Return the sessions of a data set."""
    result = run("query", str(to), "-F", "sum(session)", "--now", NOW, "-f", "json")
    assert result.code == 0, result.err
    return sum(
        group["totals"]["sum(session)"] for group in json.loads(result.out)["data"]["groups"]
    )


def committed(broker: Broker, topic: str, group: str) -> int:
    """Return how many messages a group has committed."""
    client = Consumer({"bootstrap.servers": broker.address, "group.id": group, "log_level": 0})
    found = client.committed([TopicPartition(topic, one) for one in range(4)], timeout=10)
    client.close()
    return sum(max(0, one.offset) for one in found)


@pytest.mark.slow
def test_a_group_goes_on_where_it_was(broker: Broker, topic: str, tmp_path: Path) -> None:
    to = tmp_path / "data"
    (tmp_path / "settings").write_text("session.timeout.ms=6000\n")
    more = ("--kafka-config", str(tmp_path / "settings"))
    broker.send(topic, *map(bucket, range(100)), None, bucket(0, "c:spans/usage@none"))
    first = read(broker, topic, to, *more, group=topic)
    assert first.code == 0, first.err
    assert "102 messages, 200 sessions" in first.err
    assert committed(broker, topic, topic) == 102
    again = read(broker, topic, to, "-f", "json", *more, group=topic)
    assert again.code == 0
    assert json.loads(again.out)["data"]["items"] == 0
    broker.send(topic, *map(bucket, range(50)))
    last = read(broker, topic, to, *more, group=topic)
    assert "50 messages, 100 sessions" in last.err
    assert sessions(to) == 300


def test_messages_that_come_again_count_once(broker: Broker, topic: str, tmp_path: Path) -> None:
    """As after a kill between the data set and Kafka: another group begins at the beginning."""
    to = tmp_path / "data"
    broker.send(topic, *map(bucket, range(40)), None, bucket(0, "c:spans/usage@none"))
    first = read(broker, topic, to, group=topic)
    assert first.code == 0, first.err
    assert "42 messages, 80 sessions" in first.err
    assert committed(broker, topic, topic) == 42
    broker.send(topic, *map(bucket, range(10)))
    result = read(broker, topic, to)
    assert result.code == 0, result.err
    assert sessions(to) == 100
    (entry,) = ingested_inputs(to)
    assert entry.name == f"kafka://{broker.address}/{topic}"
    assert entry.sessions == 100
    assert not entry.earlier
    piped = [
        {"topic": topic, "partition": part, "offset": 0, "payload": bucket(0).decode()}
        for part in map(int, entry.offsets[topic])
    ]
    (tmp_path / "kcat.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in piped))
    run("ingest", str(tmp_path / "kcat.jsonl"), "--to", str(to), "--now", NOW)
    assert sessions(to) == 100


def test_bad_messages_are_kept_and_told(broker: Broker, topic: str, tmp_path: Path) -> None:
    to = tmp_path / "data"
    broker.send(topic, *map(bucket, range(60)), b"\xff\x00", b"{}", b"[1]")
    result = read(broker, topic, to, group=topic)
    assert result.code == 0, result.err
    assert "3 rejected items" in result.err
    assert len(list((to / "_rejected").iterdir())) == 1
    assert committed(broker, topic, topic) == 63
    assert sessions(to) == 120
    other = f"{topic}-bad"
    broker.send(other, b"{}")
    assert read(broker, other, to).code == 4  # all that came is bad
    assert sessions(to) == 120


def started(broker: Broker, topic: str, to: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*line(broker, topic, to, *more, group=topic)),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM])
def test_a_signal_ends_it_after_the_batch(
    number: signal.Signals, broker: Broker, topic: str, tmp_path: Path
) -> None:
    to = tmp_path / "data"
    broker.send(topic, *map(bucket, range(30)))
    with started(broker, topic, to, "--every", "1h") as process:
        time.sleep(9)  # it has joined the group, and read
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, "30 messages, 60 sessions" in err) == (0, True), err
    assert "c:sessions/session@none" in out
    assert sessions(to) == 60
    assert committed(broker, topic, topic) == 30


@pytest.mark.slow
def test_killed_at_any_moment_it_counts_each_message_once(
    broker: Broker, topic: str, tmp_path: Path
) -> None:
    to = tmp_path / "data"
    chance = random.Random(1)
    sent = 0
    for _ in range(3):
        broker.send(topic, *map(bucket, range(200)))
        sent += 200
        words = line(broker, topic, to, "--every", "1s")
        with subprocess.Popen(command(*words), env=environment()) as process:
            time.sleep(1 + chance.random() * 8)
            process.kill()
    assert read(broker, topic, to).code == 0
    assert sessions(to) == 2 * sent


def test_brokers_that_do_not_answer_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_service, "_START", 1.0)
    result = run(
        *["ingest", "--from-kafka", "127.0.0.1:9", "--group", "g", "--to", str(tmp_path / "data")]
    )
    assert result.code == 4
    assert result.err.splitlines()[-1].startswith(
        "relhealth: error: kafka://127.0.0.1:9/ingest-metrics: "
    )
    assert "check the address and the network" in result.err
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--from-kafka", "host:1"], "--from-kafka needs --group"),
        (["--group", "g"], "need --from-kafka"),
        (["--from-kafka", "host:1", "--group", "g", "x.csv"], "exclude each other"),
        (["--from-kafka", "host:1", "--group", "g", "--replace"], "exclude each other"),
        (["--from-kafka", "host:1", "--group", "g", "--every", "soon"], "not a length of time"),
    ],
)
def test_wrong_options_are_refused(more: list[str], told: str, tmp_path: Path) -> None:
    result = run("ingest", "--to", str(tmp_path / "data"), *more)
    assert (result.code, told in result.err) == (2, True), result.err


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nonsense", "line 1: expected KEY=VALUE"),
        ("# of TLS\n=x", "line 2: expected KEY=VALUE"),
        ("group.id=x", "group.id is set by relhealth; use --group"),
        ("enable.auto.commit=true", "enable.auto.commit is set by relhealth"),
        ("sasl.pasword=secret", "No such configuration property"),
    ],
)
def test_wrong_settings_are_refused_without_their_values(
    text: str, told: str, broker: Broker, tmp_path: Path
) -> None:
    file = tmp_path / "kafka.properties"
    file.write_text(text)
    result = read(broker, "any", tmp_path / "data", "--kafka-config", str(file))
    assert (result.code, told in result.err) == (2, True), result.err
    assert "secret" not in result.err


def test_settings_are_read(broker: Broker, topic: str, tmp_path: Path) -> None:
    file = tmp_path / "kafka.properties"
    file.write_text("# of the client\n\nclient.id = me\nsasl.password=a=b\n")
    assert settings_of(file) == {"client.id": "me", "sasl.password": "a=b"}
    broker.send(topic, bucket(1))
    file.write_text("client.id=me\n")
    assert read(broker, topic, tmp_path / "data", "--kafka-config", str(file)).code == 0


def test_without_the_client_the_remedy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    words: list[Any] = ["ingest", "--from-kafka", "h:1", "--group", "g", "--to", tmp_path / "data"]
    result = run(*map(str, words))
    assert result.code == 2
    assert "pip install 'relhealth[kafka]'" in result.err
