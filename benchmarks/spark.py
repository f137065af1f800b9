"""Measure `relhealth overview` on a cluster of this machine and from a store, beside local files.

    SPARK_HOME=…/site-packages/pyspark python benchmarks/spark.py --sizes 2_000_000 20_000_000

Each size is asked of the single machine, also with the files in a store (moto, with a cache that is
empty at first), of Sail, of Spark on `local[1]`, and of a master with one and with two workers of
one core, twice: the second time is the one that counts, because the first compiles code or fetches.
The answers must be the same to the last byte. `--places` selects some of them. Figures of Spark are
those of its own REST interface: what executors took of a processor, what was written for a shuffle,
and stages. What moto and Sail take of a processor is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
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

from clusters import Process, Server, free_port, sail  # noqa: E402 - after its folder is known
from object_stores import BUCKET, KEYS, s3_server  # noqa: E402

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


CLUSTERS = ("local[1]", "1 worker", "2 workers")


class Measured(NamedTuple):
    """One question: seconds, seconds of processors, and of a cluster its shuffle and stages."""

    place: str
    rows: int
    seconds: float
    cpu: float | None
    shuffle: int | None = None
    stages: int | None = None


def main() -> int:
    """Measure each size in each place; print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--sizes", nargs="+", type=int, default=[2_000_000, 20_000_000, 104_000_000]
    )
    parser.add_argument("--data", type=Path, help="keep the data here, for another time")
    parser.add_argument("--places", nargs="+", choices=[*ELSEWHERE, *CLUSTERS], help="default: all")
    asked = parser.parse_args()
    places = asked.places or [*ELSEWHERE, *CLUSTERS]
    found: list[Measured] = []
    with tempfile.TemporaryDirectory() as folder:
        data = {size: generated(asked.data or Path(folder), size) for size in asked.sizes}
        answers: dict[int, str] = {}
        for size, source in data.items():
            answers[size], measured = alone(source, size)
            found.append(measured)
            print(measured, flush=True)
        for place in places:
            if place in CLUSTERS:
                with_cluster(place, Path(folder), data, answers, found)
            else:
                ELSEWHERE[place](data, answers, found)
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


def from_store(data: dict[int, Path], answers: dict[int, str], found: list[Measured]) -> None:
    """Ask the single machine with the files in a store."""
    with s3_server() as store, tempfile.TemporaryDirectory() as cache:
        os.environ.update(KEYS, XDG_CACHE_HOME=cache, AWS_ENDPOINT_URL=store.proxy.endpoint)
        for size, source in data.items():
            store.put(source, source.name)
            for turn in (1, 2):
                store.proxy.reset()
                answer, seconds, cpu = ask(f"s3://{BUCKET}/{source.name}")
                check("a store", size, answer, answers)
                measured = Measured("single machine, a store", size, seconds, cpu)
                about = f"{len(store.proxy.asked)} requests, {store.proxy.size / 1e6:.1f} MB"
                print(f"turn {turn}:", measured, about, flush=True)
            found.append(measured)


def from_sail(data: dict[int, Path], answers: dict[int, str], found: list[Measured]) -> None:
    """Ask Sail."""
    there = ["--engine", "spark", "--spark", sail()]
    for size, source in data.items():
        for turn in (1, 2):
            answer, seconds, _ = ask(f"file://{source.resolve()}", *there)
            check("Sail", size, answer, answers)
            measured = Measured("Sail", size, seconds, None)
            print(f"turn {turn}:", measured, flush=True)
        found.append(measured)


ELSEWHERE = {"store": from_store, "sail": from_sail}


def check(place: str, size: int, answer: str, answers: dict[int, str]) -> None:
    """Exit unless an answer is that of the single machine."""
    if answer != answers[size]:
        raise SystemExit(f"{place}, {size:,} rows: the answers differ")


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
                check(place, size, answer, answers)
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
        cpu = "" if one.cpu is None else f"{one.cpu:.1f} s"
        per_row = "" if one.cpu is None else f"{one.cpu / one.rows * 1e6:.2f} µs"
        shuffle = "" if one.shuffle is None else f"{one.shuffle / 1e6:,.0f} MB"
        lines.append(
            f"| {one.rows:,} | {one.place} | {one.seconds:.1f} | {cpu} | {per_row} | {shuffle} |"
            f" {one.stages or ''} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
