"""Apache Spark itself: one server for many cases, then a master with two workers.

``SPARK_HOME`` names Spark, as the package ``pyspark`` has it; without it or Java, all are skipped.
They take long: every twelfth case of a template and every ninth question runs, and all with
``SPARK_CASES=all``.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest

import rows
from clusters import (
    Process,
    Server,
    check_nanoseconds,
    check_overflow,
    free_port,
    no_spark,
    spark_over,
)
from command import run
from engines import ask_for
from paths import by
from places import ROOT
from process import command, environment
from relhealth.engines.components import COMPONENTS
from test_queries import CASES, QUESTIONS, check_answer, prepared
from test_reference import check_adoption_and_health_data, check_overview, random_case
from test_spark import QUESTIONS as COMMANDS
from test_spark import asked

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(no_spark() is not None, reason=str(no_spark())),
]

SAMPLE = ROOT / "sample_data"
ALL = os.environ.get("SPARK_CASES") == "all"
TOKEN = "spark.connect.authenticate.token"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two threads of one process, for many small cases."""
    started = Server(tmp_path_factory.mktemp("spark"), **{TOKEN: "right"})
    started.wait()
    yield started
    started.kill()


@pytest.mark.parametrize("name", QUESTIONS)
def test_cases(name: str, server: Server, tmp_path: Path) -> None:
    for path in sorted((CASES / name).glob("*.toml"))[:: 1 if ALL else 12]:
        folder = tmp_path / path.stem
        folder.mkdir()
        values, expected = prepared(path, folder)
        with closing(spark_over(server.address, folder)) as engine:
            if name in COMPONENTS:
                (answer,) = engine.answer([ask_for(name, values)])
            else:
                (answer,) = engine.all_rows([(name, values)])
        check_answer(name, answer, expected)


@pytest.mark.parametrize("seed", range(6 if ALL else 1))
def test_overview_of_random_cases(seed: int, server: Server) -> None:
    with by(server.address):
        check_overview(random_case(Random(seed), 300))


def test_adoption_and_health_data(server: Server) -> None:
    with by(server.address):
        check_adoption_and_health_data(random_case(Random(7), 300))


def test_an_overflow_is_an_error(server: Server) -> None:
    check_overflow(server.address)


def test_nanoseconds(server: Server, tmp_path: Path) -> None:
    check_nanoseconds(server.address, tmp_path)


@pytest.mark.parametrize("token", ["", ";token=wrong"])
def test_a_wrong_token(token: str, server: Server) -> None:
    bare = server.address.partition("/;")[0]
    result = run("overview", "file:///x", "--engine", "spark", "--spark", f"{bare}{token}")
    assert result.code == 4
    assert result.err == (
        f"relhealth: error: {bare}: the server refused this user: check the token"
        " (UNAUTHENTICATED)\n"
    )


def test_missing_sources(server: Server) -> None:
    for source, told in (
        ("file:///no/such/place", "Path does not exist: file:/no/such/place"),
        ("metrics.no_such_table", "`metrics`.`no_such_table` cannot be found"),
        ("s3a://bucket/x", "the cluster lacks the library for paths of this scheme"),
    ):
        result = run("overview", source, "--engine", "spark", "--spark", server.address)
        assert (result.code, result.out, result.err.count("\n")) == (4, "", 1)
        assert told in result.err


def test_a_damaged_file_is_named(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    rows.write(path, [rows.session() for _ in range(1000)])
    content = bytearray(path.read_bytes())
    content[100:140] = bytes(40)
    path.write_bytes(content)
    result = run(
        "overview", f"file://{tmp_path}", "--engine", "spark", "--spark", server.address,
        "--now", "2026-03-02T12:30:00Z",
    )  # fmt: skip
    assert (result.code, result.out, result.err.count("\n")) == (4, "", 1)
    assert "a.parquet" in result.err


class Cluster:
    """A master, two workers and a server, each a process."""

    def __init__(self, folder: Path) -> None:
        """Start them."""
        port = free_port()
        self.folder = folder
        self.master = f"spark://127.0.0.1:{port}"
        deploy = "org.apache.spark.deploy"
        ports = ["--host", "127.0.0.1", "--port", str(port), "--webui-port", "0"]
        self.processes = [
            Process(folder / "master.log", "spark-class", f"{deploy}.master.Master", *ports)
        ]
        self.processes[0].wait_for("I have been elected leader")
        for number in (1, 2):
            self.worker(number)
        for process in self.processes[1:]:
            process.wait_for("Successfully registered with master")

    def worker(self, number: int) -> None:
        """Start a worker with one core."""
        work = str(self.folder / f"work-{number}")
        options = ["--cores", "1", "--memory", "1g", "--work-dir", work, "--webui-port", "0"]
        worker = "org.apache.spark.deploy.worker.Worker"
        log = self.folder / f"worker-{number}.log"
        self.processes.append(
            Process(log, "spark-class", worker, "--host", "127.0.0.1", *options, self.master)
        )

    def server(self, **settings: str) -> Server:
        """Start a server that has both workers."""
        started = Server(
            self.folder, master=self.master, **{"spark.executor.memory": "700m", **settings}
        )
        self.processes.append(started)
        started.wait()
        return started

    def stop(self) -> None:
        """End all."""
        for process in reversed(self.processes):
            process.kill()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A master with two workers on this machine."""
    started = Cluster(tmp_path_factory.mktemp("cluster"))
    yield started
    started.stop()


@pytest.fixture(scope="module")
def of_workers(cluster: Cluster) -> Server:
    """A server with two workers, and Spark's own settings for code and partitions."""
    return cluster.server(
        **{
            "spark.sql.adaptive.enabled": "true",
            "spark.sql.codegen.wholeStage": "true",
            "spark.sql.codegen.factoryMode": "FALLBACK",
        }
    )


@pytest.mark.parametrize("question", COMMANDS[:: 1 if ALL else 9], ids=" ".join)
def test_every_question_has_the_same_bytes(question: list[str], of_workers: Server) -> None:
    there = ["--engine", "spark", "--spark", of_workers.address]
    assert asked(question, f"file://{SAMPLE}", *there) == asked(question, str(SAMPLE))


ASK = ["overview", f"file://{SAMPLE}", "--engine", "spark", "--now", "latest", "-f", "json"]


def begun(server: Server, *args: str, after: int = 2) -> subprocess.Popen[bytes]:
    """Start a question; return it when a cluster has begun to compute so many jobs."""
    jobs = server.log.read_text(errors="replace").count("Got job")
    asking = subprocess.Popen(
        command(*ASK, "--spark", server.address, *args),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    until = time.monotonic() + 60
    while server.log.read_text(errors="replace").count("Got job") < jobs + after:
        assert time.monotonic() < until
        assert asking.poll() is None, asking.communicate()
        time.sleep(0.02)
    return asking


@contextmanager
def frozen_executors() -> Iterator[None]:
    """Let no executor do anything, so that no question is answered before a signal arrives."""
    executors = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has just ended
            if b"CoarseGrainedExecutorBackend" in path.read_bytes():
                executors.append(int(path.parent.name))
    assert executors
    for each in executors:
        os.kill(each, signal.SIGSTOP)
    try:
        yield
    finally:
        for each in executors:
            os.kill(each, signal.SIGCONT)


def test_an_interrupt(of_workers: Server) -> None:
    with frozen_executors():
        asking = begun(of_workers, "--period", "90d", "--stats-period", "90d", after=1)
        started = time.monotonic()
        os.kill(asking.pid, signal.SIGINT)
        out, err = asking.communicate(timeout=60)
        seconds = time.monotonic() - started
    assert (asking.returncode, out, err) == (130, b"", b"relhealth: interrupted\n")
    assert seconds < 5  # a second, on a machine that does nothing else


def test_a_worker_that_is_killed(cluster: Cluster, of_workers: Server) -> None:
    expected = asked(["overview"], str(SAMPLE))
    asking = begun(of_workers)
    cluster.processes[2].kill()
    out, err = asking.communicate(timeout=120)
    if asking.returncode:  # Spark gave up: in a line, and with no figure
        assert (asking.returncode, out, err.count(b"\n")) == (4, b"", 1)
    again = ["--engine", "spark", "--spark", of_workers.address]
    assert asked(["overview"], f"file://{SAMPLE}", *again) == expected


def test_a_server_that_is_killed(cluster: Cluster, of_workers: Server) -> None:
    asking = begun(of_workers)
    of_workers.kill()
    out, err = asking.communicate(timeout=60)
    cluster.stop()
    if not asking.returncode:  # it was done before
        assert b'"data"' in out
        return
    assert (asking.returncode, out, err.count(b"\n")) == (4, b"", 1)
    assert b"no connection, or it was lost" in err
