"""Clusters that tests ask: Sail, a Spark Connect server without Java, in this process."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import rows
from relhealth.core.errors import DataError
from relhealth.core.windows import to_epoch_us
from relhealth.engines.spark.engine import SparkEngine
from relhealth.engines.spark.session import Session

# What Sail does otherwise than Spark, by the case of tests/queries; a test fails when one works.
SAIL_GAPS = {
    "health_data/nan_among_counts": (
        "Sail decides conditions by the statistics of a file, which leave NaN out"
    ),
    "sessions_by_group/where_dictionary": "Sail has no dictionaries of Arrow",
    "overflow": "a sum beyond 64 bits wraps around, also with spark.sql.ansi.enabled",
    "nanoseconds": "Sail does not read timestamps in nanoseconds",
}


# For small data: few tasks, and no code that is made for each statement.
_SMALL = {
    "spark.ui.enabled": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
}
_SERVER = "org.apache.spark.sql.connect.service.SparkConnectServer"
_PATIENCE = 120  # seconds for the start of a process


def no_spark() -> str | None:
    """Return why there is no Spark to test with; None if there is."""
    home = os.environ.get("SPARK_HOME")
    if home is None or not Path(home, "bin", "spark-class").exists():
        return "SPARK_HOME names no Spark: pip install pyspark, in an environment of its own"
    if shutil.which("java") is None:
        return "there is no Java"
    return None


class Process:
    """A process of Spark that a test started, with its log."""

    def __init__(self, log: Path, *args: str) -> None:
        """Start a command of Spark's ``bin``."""
        self.log = log
        with log.open("wb") as stream:
            self._process = subprocess.Popen(
                [os.path.join(os.environ["SPARK_HOME"], "bin", args[0]), *args[1:]],
                stdout=stream,
                stderr=stream,
                start_new_session=True,
                env={**os.environ, "SPARK_NO_DAEMONIZE": "1", "SPARK_LOCAL_IP": "127.0.0.1"},
            )

    def wait_for(self, sign: str) -> None:
        """Wait until the log has a sign; fail if the process ends before."""
        until = time.monotonic() + _PATIENCE
        while sign not in self.log.read_text(errors="replace"):
            assert self._process.poll() is None, self.log.read_text(errors="replace")[-2000:]
            assert time.monotonic() < until, f"no {sign!r} in {self.log}"
            time.sleep(0.1)

    def kill(self) -> None:
        """End it, and what it started, with no time to clean up."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class Server(Process):
    """A Spark Connect server."""

    def __init__(self, folder: Path, *, master: str = "local[2]", **settings: str) -> None:
        """Start it; ``folder`` gets its files."""
        port = free_port()
        token = settings.get("spark.connect.authenticate.token")
        self.address = f"sc://localhost:{port}" + (f"/;token={token}" if token else "")
        own = {
            "spark.connect.grpc.binding.port": str(port),
            "spark.driver.memory": "1g",
            "spark.sql.warehouse.dir": str(folder / "warehouse"),
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.host": "127.0.0.1",
            **_SMALL,
            **settings,
        }
        options = [word for key, value in own.items() for word in ("--conf", f"{key}={value}")]
        log = folder / f"server-{port}.log"
        super().__init__(
            log, "spark-submit", "--class", _SERVER, "--master", master, *options, "relhealth"
        )

    def wait(self) -> None:
        """Wait until it takes questions."""
        self.wait_for("Spark Connect server started at")


def free_port() -> int:
    """Return a port that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@cache
def _sail() -> Any:
    from pysail.spark import SparkConnectServer

    server = SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    return server  # it ends when nothing refers to it


def sail() -> str:
    """Start Sail, once a process; return its address."""
    _, port = _sail().listening_address
    return f"sc://127.0.0.1:{port}"


def spark_over(server: str, *folders: Path, org: int | None = None) -> SparkEngine:
    """Return the engine of a server, over folders that it reads from this machine."""
    return SparkEngine(Session(server), [f"file://{folder}" for folder in folders], org=org)


def check_overflow(server: str) -> None:
    """Check that a sum beyond 64 bits is an error, and no negative number."""
    session = Session(server)
    try:
        sql = f"SELECT SUM(x) AS n FROM VALUES ({2**63 - 1}), (1) AS t(x)"
        with pytest.raises(DataError, match=r"(?i)overflow"):
            session.rows([("sum", sql, {})])
    finally:
        session.stop()


def check_nanoseconds(server: str, folder: Path) -> None:
    """Check that timestamps in nanoseconds are cut to microseconds, and not rounded."""
    last = rows.NOON.replace(minute=59, second=59, microsecond=999_999)
    nanoseconds = pa.scalar(last).cast(pa.timestamp("ns", "UTC")).value + 999
    row = {**rows.session(), "timestamp": nanoseconds}
    rows.write(folder / "a.parquet", [row], types={"timestamp": pa.timestamp("ns", "UTC")})
    with closing(spark_over(server, folder)) as engine:
        ((found,),) = engine.all_rows([("newest", {})])
    assert found == {"newest_us": to_epoch_us(last)}
