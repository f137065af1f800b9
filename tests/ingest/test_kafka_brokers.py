"""``ingest --from-kafka`` with Tansu, a broker: each message counts once, whoever takes over."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from brokers import TOPIC, Cluster, bucket, tansu
from command import Result, run
from envelopes import rows_of
from process import PATIENCE, command, environment, script

NOW = "2026-11-20T12:00:00Z"
AT = int(datetime.fromisoformat(NOW).timestamp())
KILLS = int(os.environ.get("RELHEALTH_KAFKA_KILLS", "8"))


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with tansu() as one:
        yield one


def words(cluster: Cluster, dataset: Path, *more: str, group: str = "g") -> list[str]:
    """Return the words of a command that consumes."""
    source = ["--from-kafka", cluster.brokers, "--topic", TOPIC, "--group", group]
    return ["ingest", *source, "--to", str(dataset), "--now", NOW, *more]


def until_end(cluster: Cluster, dataset: Path, *more: str, group: str = "g") -> Any:
    """Consume up to the end; return the data."""
    result = run(*words(cluster, dataset, "--until-end", "-f", "json", *more, group=group))
    assert result.code == 0, result.err
    return json.loads(result.out)["data"]


def releases(dataset: Path) -> list[int]:
    """Return the numbers of the buckets in a data set, each as often as it is there."""
    return sorted(int(row[4].partition("@")[2]) for row in rows_of(dataset).elements())


def test_the_data_are_those_of_the_messages(cluster: Cluster, tmp_path: Path) -> None:
    odd = [b"no bucket", None, bucket(9, AT, name="c:transactions/count@none")]
    payloads = [*(bucket(number, AT) for number in range(200)), *odd]
    cluster.send(payloads)
    found = until_end(cluster, tmp_path / "d")
    assert (found["items"], found["accepted"]) == (203, {"bucket": 200})
    assert found["rejected"] == {"bucket: not JSON": 1}
    assert found["passed_over"] == {"message without a payload": 1, "c:transactions/count@none": 1}
    file = tmp_path / "buckets.jsonl"
    file.write_bytes(b"\n".join(one for one in payloads if one))
    assert run("ingest", str(file), "--to", str(tmp_path / "e"), "--now", NOW).code == 0
    assert rows_of(tmp_path / "d") == rows_of(tmp_path / "e")

    assert until_end(cluster, tmp_path / "d")["items"] == 0
    cluster.send([bucket(number, AT) for number in range(200, 210)])
    assert until_end(cluster, tmp_path / "d")["sessions"] == 10
    assert releases(tmp_path / "d") == list(range(210))
    again = until_end(cluster, tmp_path / "d", group="other")
    assert again["passed_over"]["message read before"] == 212
    assert releases(tmp_path / "d") == list(range(210))


# Ends between the data set's transaction and the commit of the group's offsets.
_KILLED = """
import os, signal, sys
from command import run
from relhealth.ingest.kafka_service import _Consumer

_Consumer.commit = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
run(*sys.argv[1:])
"""


def test_a_kill_before_the_commit_of_offsets(cluster: Cluster, tmp_path: Path) -> None:
    cluster.send([bucket(number, AT) for number in range(50)])
    line = script(_KILLED, *words(cluster, tmp_path / "d", "--until-end"))
    killed = subprocess.run(line, env=environment(), timeout=PATIENCE, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert releases(tmp_path / "d") == list(range(50))
    found = until_end(cluster, tmp_path / "d")
    assert found["passed_over"] == {"message read before": 50}
    assert until_end(cluster, tmp_path / "d")["items"] == 0
    assert releases(tmp_path / "d") == list(range(50))


@pytest.mark.slow
def test_kills_at_any_moment(cluster: Cluster, tmp_path: Path) -> None:
    count, chance = 20_000, random.Random(4)
    cluster.send([bucket(number, AT) for number in range(count)])
    line = command(*words(cluster, tmp_path / "d", "--until-end", "-q"))
    for _ in range(KILLS):
        with subprocess.Popen(line, env=environment()) as process:
            time.sleep(chance.uniform(0.5, 4))
            process.kill()
            process.wait(PATIENCE)
    until_end(cluster, tmp_path / "d")
    assert releases(tmp_path / "d") == list(range(count))


class Service:
    """A process that consumes until it is told to stop."""

    def __init__(self, cluster: Cluster, dataset: Path, folder: Path) -> None:
        """Start it."""
        config = folder / "kafka.properties"
        config.write_text("session.timeout.ms=6000\nheartbeat.interval.ms=500\n")
        more = ("--every", "1s", "--kafka-config", str(config), "-f", "json")
        self._process = subprocess.Popen(
            command(*words(cluster, dataset, *more)),
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def stop(self, number: signal.Signals) -> Result:
        """Send a signal; return what it printed."""
        self._process.send_signal(number)
        out, err = self._process.communicate(timeout=PATIENCE)
        return Result(self._process.returncode, out, err)

    def end(self) -> None:
        """Kill it, if it still runs."""
        self._process.kill()
        self._process.communicate()


def wait_for(dataset: Path, count: int) -> None:
    """Wait until a data set has so many buckets."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if dataset.exists() and len(settled(dataset)) >= count:
            return
        time.sleep(0.1)
    raise AssertionError(f"{len(settled(dataset))} of {count}")


def settled(dataset: Path) -> list[int]:
    """Return the numbers of the buckets, while a service changes the data set."""
    found = run("releases", str(dataset), "--now", NOW, "--period", "48h", "-f", "json")
    if found.code:
        return []
    rows = json.loads(found.out)["data"]
    return [
        int(one["release"].partition("@")[2])
        for one in rows
        for _ in range(one["total_sessions"] or 0)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_service_well(
    cluster: Cluster, tmp_path: Path, number: signal.Signals
) -> None:
    cluster.send([bucket(one, AT) for one in range(30)])
    service = Service(cluster, tmp_path / "d", tmp_path)
    try:
        wait_for(tmp_path / "d", 30)
        cluster.send([bucket(one, AT) for one in range(30, 60)])
        wait_for(tmp_path / "d", 60)
        result = service.stop(number)
    finally:
        service.end()
    assert result.code == 0, result.err
    assert json.loads(result.out)["data"]["sessions"] == 60
    assert "30 messages, 30 sessions" in result.err
    assert until_end(cluster, tmp_path / "d")["items"] == 0
    assert releases(tmp_path / "d") == list(range(60))


@pytest.mark.slow
def test_consumers_that_take_over(cluster: Cluster, tmp_path: Path) -> None:
    with ExitStack() as stack:
        services = []
        for number in range(3):
            (tmp_path / str(number)).mkdir()
            services.append(Service(cluster, tmp_path / "d", tmp_path / str(number)))
            stack.callback(services[-1].end)
            cluster.send([bucket(300 * number + one, AT) for one in range(300)])
            wait_for(tmp_path / "d", 300 * (number + 1))
        assert services[0].stop(signal.SIGTERM).code == 0
        services[1].end()
        cluster.send([bucket(one, AT) for one in range(900, 1200)])
        wait_for(tmp_path / "d", 1200)
        assert services[2].stop(signal.SIGTERM).code == 0
    assert releases(tmp_path / "d") == list(range(1200))


@pytest.mark.parametrize(
    "text", ["session.timeout.ms=s3cret", "security.protocol=s3cret", "sasl.pasword=s3cret"]
)
def test_a_bad_setting_is_named_but_not_its_value(tmp_path: Path, text: str) -> None:
    file = tmp_path / "kafka.properties"
    file.write_text(text)
    config = ("--kafka-config", str(file), "--debug")
    result = run(*words(Cluster("127.0.0.1:1", None), tmp_path / "d", *config))
    assert result.code == 2
    assert text.partition("=")[0] in result.err
    assert "s3cret" not in result.err
