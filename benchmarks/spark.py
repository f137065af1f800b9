"""Measure `relhealth overview` on a cluster of this machine, beside the single machine.

    SPARK_HOME=…/site-packages/pyspark python benchmarks/spark.py --sizes 2_000_000 20_000_000

Each size is asked on `local[1]`, and on a master with one and with two workers of one core, twice:
the second time is the one that counts, because the first compiles code. The answer must be that of
the single machine. Figures of the cluster are those of Spark's own REST interface: what executors
took of a processor, what was written for a shuffle, and stages.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import urlopen

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "tests" / "support"))

from clusters import Process, Server, free_port  # noqa: E402 - after its folder is known

SHAPE = ("--days", "90", "--projects", "3", "--releases", "135")
QUESTION = ("--now", "latest", "--period", "90d", "--stats-period", "90d", "-f", "json")
# What a server of a cluster has by itself, in place of the settings for tests.
USUAL = {
    "spark.sql.adaptive.enabled": "true",
    "spark.sql.codegen.wholeStage": "true",
    "spark.sql.codegen.factoryMode": "FALLBACK",
    "spark.sql.shuffle.partitions": "8",
    "spark.driver.extraJavaOptions": "-XX:+UseParallelGC",
    "spark.ui.enabled": "true",
}


class Measured(NamedTuple):
    """One question: seconds, seconds of processors, and of a cluster its shuffle and stages."""

    place: str
    rows: int
    seconds: float
    cpu: float
    shuffle: int | None = None
    stages: int | None = None


def main() -> int:
    """Measure each size in each place; print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--sizes", nargs="+", type=int, default=[2_000_000, 20_000_000, 104_000_000]
    )
    parser.add_argument("--data", type=Path, help="keep the data here, for another time")
    asked = parser.parse_args()
    found: list[Measured] = []
    with tempfile.TemporaryDirectory() as folder:
        data = {size: generated(asked.data or Path(folder), size) for size in asked.sizes}
        answers: dict[int, str] = {}
        for size, source in data.items():
            answers[size], measured = alone(source, size)
            found.append(measured)
            print(measured, flush=True)
        for place in ("local[1]", "1 worker", "2 workers"):
            with_cluster(place, Path(folder), data, answers, found)
    print(table(found))
    return 0


def generated(folder: Path, size: int) -> Path:
    """Make the data of a size, unless they are there."""
    source = folder / f"rows-{size}"
    if not source.exists():
        script = [sys.executable, str(HERE / "generate.py"), str(size), str(source), *SHAPE]
        subprocess.run(script, check=True)  # noqa: S603 - our own
    return source


def ask(source: str, *options: str) -> tuple[str, float, float]:
    """Ask the overview in a process; return the data of the answer, seconds, and its processor."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(  # noqa: S603 - our own
        [sys.executable, "-m", "relhealth", "overview", source, *QUESTION, *options],
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - started
    if done.returncode:
        raise SystemExit(done.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.stdout.partition('"data":')[2], seconds, cpu


def alone(source: Path, size: int) -> tuple[str, Measured]:
    """Ask the single machine, twice."""
    ask(str(source))
    answer, seconds, cpu = ask(str(source))
    return answer, Measured("single machine", size, seconds, cpu)


def with_cluster(
    place: str,
    folder: Path,
    data: dict[int, Path],
    answers: dict[int, str],
    found: list[Measured],
) -> None:
    """Measure all sizes on one cluster."""
    processes: list[Process] = []
    try:
        master = place if place.startswith("local") else deployed(folder, place, processes)
        server = Server(
            folder,
            master=master,
            **USUAL,
            **{"spark.executor.memory": "2g", "spark.ui.port": str(port := free_port())},
        )
        processes.append(server)
        server.wait()
        for size, source in data.items():
            for turn in (1, 2):
                before = totals(port)
                there = ["--engine", "spark", "--spark", server.address]
                answer, seconds, _ = ask(f"file://{source.resolve()}", *there)
                if answer != answers[size]:
                    raise SystemExit(f"{place}, {size:,} rows: the answers differ")
                cpu, shuffle, stages = (b - a for a, b in zip(before, totals(port), strict=True))
                measured = Measured(place, size, seconds, cpu / 1e9, shuffle, stages)
                print(f"turn {turn}:", measured, flush=True)
            found.append(measured)
    finally:
        for process in reversed(processes):
            process.kill()


def deployed(folder: Path, place: str, processes: list[Process]) -> str:
    """Start a master and workers of one core; return the master's address."""
    port, deploy = free_port(), "org.apache.spark.deploy"
    host = ["--host", "127.0.0.1", "--webui-port", "0"]
    master = [f"{deploy}.master.Master", *host, "--port", str(port)]
    processes.append(Process(folder / f"master-{port}.log", "spark-class", *master))
    processes[0].wait_for("I have been elected leader")
    address = f"spark://127.0.0.1:{port}"
    for number in range(int(place.split(maxsplit=1)[0])):
        worker = [f"{deploy}.worker.Worker", *host, "--cores", "1", "--memory", "3g"]
        work = ["--work-dir", str(folder / f"work-{port}-{number}")]
        log = folder / f"worker-{port}-{number}.log"
        processes.append(Process(log, "spark-class", *worker, *work, address))
        processes[-1].wait_for("Successfully registered with master")
    return address


def totals(port: int) -> tuple[int, int, int]:
    """Return executors' nanoseconds of a processor, bytes written for shuffles, and stages."""
    api = f"http://127.0.0.1:{port}/api/v1/applications"
    time.sleep(1)  # the interface is a moment late
    (application,) = read(api)
    stages = [one for one in read(f"{api}/{application['id']}/stages") if one["numCompleteTasks"]]
    return (
        sum(one["executorCpuTime"] for one in stages),
        sum(one["shuffleWriteBytes"] for one in stages),
        len(stages),
    )


def read(url: str) -> Any:
    """Read a document of Spark's REST interface."""
    with urlopen(url, timeout=60) as response:  # noqa: S310 - of this machine
        return json.load(response)


def table(found: list[Measured]) -> str:
    """Return the measures as Markdown."""
    lines = [
        "| rows | place | seconds | processor | a row | shuffle | stages |",
        "| ---: | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for one in sorted(found, key=lambda one: one.rows):
        shuffle = "" if one.shuffle is None else f"{one.shuffle / 1e6:,.0f} MB"
        lines.append(
            f"| {one.rows:,} | {one.place} | {one.seconds:.1f} | {one.cpu:.1f} s |"
            f" {one.cpu / one.rows * 1e6:.2f} µs | {shuffle} | {one.stages or ''} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
