"""Data sets in S3, asked as if they were folders: answers, requests, bytes, faults."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import rows
from command import run
from object_stores import BUCKET, Disturbed
from places import ROOT
from process import command, environment
from relhealth import DataError, ReleaseHealth
from relhealth.rollup.build import make

if TYPE_CHECKING:
    from object_stores import S3

SAMPLE = ROOT / "sample_data"
URI = f"s3://{BUCKET}"
NOW = ("--now", "latest")
DAYS = 90


def made(folder: Path, days: int, size: int = 2_000) -> Path:
    """Write a folder of one file a day, as big as asked, with random members."""
    chance = np.random.default_rng(1)
    for number in range(days):
        at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number)
        some = [
            rows.user(int(chance.integers(2**62)), timestamp=at + timedelta(seconds=20 * n))
            for n in range(size)
        ] + [rows.session(timestamp=at + timedelta(seconds=20 * n)) for n in range(size)]
        place = folder / f"date={at:%Y-%m-%d}"
        place.mkdir(parents=True)
        pq.write_table(rows.table(some), place / "part-0.parquet", compression="none")
    return folder


@pytest.fixture(scope="session")
def ninety(tmp_path_factory: pytest.TempPathFactory, s3_process: S3) -> Path:
    """Ninety files, which are in the store too, under `ninety`."""
    folder = made(tmp_path_factory.mktemp("ninety"), DAYS)
    s3_process.put(folder, "ninety")
    return folder


@pytest.fixture(scope="session")
def sample(s3_process: S3) -> None:
    """The sample data, under `sample`."""
    s3_process.put(SAMPLE, "sample")


def answers(*line: str) -> Any:
    """Return the JSON of a command, and check that it succeeds."""
    result = run(*line, *NOW, "-f", "json")
    assert result.code == 0, result.err
    return json.loads(result.out)


@pytest.mark.usefixtures("sample")
@pytest.mark.parametrize(
    "line",
    [
        ("overview",),
        ("overview", "--period", "90d", "--stats-period", "7d", "--stat", "users"),
        ("overview", "--engine", "kernel", "--period", "14d"),
        ("inspect",),
        ("query", "-F", "crash_free_rate(user)", "-g", "release", "--period", "7d"),
        pytest.param(("overview", "-e", "production", "-p", "1"), marks=pytest.mark.slow),
        pytest.param(("releases",), marks=pytest.mark.slow),
        pytest.param(("projects",), marks=pytest.mark.slow),
        pytest.param(("adoption",), marks=pytest.mark.slow),
    ],
    ids=" ".join,
)
def test_answers_are_those_of_the_folder(s3: S3, line: tuple[str, ...]) -> None:  # noqa: ARG001
    name, *more = line
    assert answers(name, f"{URI}/sample", *more) == answers(name, str(SAMPLE), *more)


@pytest.mark.usefixtures("sample")
def test_a_pattern_and_one_object_are_sources(s3: S3) -> None:  # noqa: ARG001
    days = sorted(path.name for path in SAMPLE.glob("date=*"))[-2:]
    local = [str(SAMPLE / day) for day in days]
    found = answers("overview", *(f"{URI}/sample/{day}" for day in days))
    assert found["data"] == answers("overview", *local)["data"]
    pattern = f"{URI}/sample/{days[0][:-1]}*/*.parquet"
    files = list(SAMPLE.glob(f"{days[0][:-1]}*/*.parquet"))
    assert answers("inspect", pattern)["data"]["files"] == len(files)
    one = files[0].relative_to(SAMPLE)
    assert answers("inspect", f"{URI}/sample/{one}")["data"]["files"] == 1


@pytest.mark.usefixtures("ninety")
def test_a_question_about_a_day_fetches_footers_and_that_day(s3: S3) -> None:
    first = answers("overview", f"{URI}/ninety")
    assert len(s3.proxy.lists()) == 1
    assert len(s3.proxy.asked) <= DAYS + 5
    assert s3.proxy.size <= 8_000_000
    s3.proxy.reset()
    assert answers("overview", f"{URI}/ninety") == first
    assert s3.proxy.asked == s3.proxy.lists()
    assert len(s3.proxy.asked) == 1
    assert s3.proxy.size < 30_000


def test_only_row_groups_of_the_window_are_fetched(s3: S3, tmp_path: Path) -> None:
    folder = made(tmp_path / "days", 30)
    tables = [pq.read_table(path) for path in sorted(folder.rglob("*.parquet"))]
    big = tmp_path / "big"
    big.mkdir()
    with pq.ParquetWriter(big / "all.parquet", tables[0].schema, compression="none") as writer:
        for one in tables:
            writer.write_table(one)
    s3.put(big, "big")
    for engine in ("kernel", "duckdb"):
        s3.proxy.reset()
        found = answers("overview", f"{URI}/big/all.parquet", "--engine", engine)
        assert found["data"] == answers("overview", str(big), "--engine", engine)["data"]
        assert s3.proxy.size < (big / "all.parquet").stat().st_size / 5


def test_a_rollup_beside_the_files_is_used(s3: S3, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    shutil.copytree(SAMPLE, folder)
    make(folder)
    s3.put(folder, "rolled")
    for line in (("overview", "--period", "90d"), ("releases", "--period", "90d")):
        name, *more = line
        result = run(name, f"{URI}/rolled", *more, *NOW, "-f", "json", "--debug")
        assert "engine rollup" in result.err
        expected = answers(name, str(SAMPLE), *more)["data"]
        assert json.loads(result.out)["data"] == expected
    pages = [one for one in s3.proxy.asked if "_rollup" in one.path]
    assert pages
    newer = folder / "date=2030-01-01"
    newer.mkdir()
    pq.write_table(rows.table([rows.session()]), newer / "part-0.parquet")
    s3.put(newer, "rolled/date=2030-01-01")
    result = run("overview", f"{URI}/rolled", *NOW)
    assert "the rollup is not used: date=2030-01-01/part-0.parquet is new" in result.err
    s3.delete("rolled/date=2030-01-01/part-0.parquet")


@pytest.mark.usefixtures("sample")
def test_python_takes_uris(s3: S3) -> None:  # noqa: ARG001
    with ReleaseHealth(f"{URI}/sample") as remote, ReleaseHealth(SAMPLE) as local:
        assert remote.overview(now="latest") == local.overview(now="latest")


@pytest.mark.usefixtures("sample")
def test_a_change_between_listing_and_reading_is_noticed(s3: S3) -> None:
    s3.put(SAMPLE, "changing")
    newest = max(SAMPLE.glob("date=*/*.parquet"))
    key = f"changing/{newest.relative_to(SAMPLE)}"
    other = min(SAMPLE.glob("date=*/*.parquet")).read_bytes()

    with ReleaseHealth(f"{URI}/changing") as health:
        before = health.overview(now="latest")  # the footers are here, and the newest day
        assert before.rows
    s3.proxy.reset()
    changed: list[str] = []

    def change(method: str, path: str) -> Disturbed | None:
        if method == "GET" and "list-type" in path and not changed:
            changed.append(path)  # after this listing
            return None
        if len(changed) == 1 and method == "GET":
            s3.put_object(key, other)
            changed.append(path)
        return None

    shutil.rmtree(os.environ["XDG_CACHE_HOME"])
    s3.proxy.disturb = change
    with ReleaseHealth(f"{URI}/changing") as health:
        after = health.inspect(now="latest")
    assert len(s3.proxy.lists()) > 1, "it listed anew"
    assert after.last is not None
    s3.proxy.reset()
    with ReleaseHealth(f"{URI}/changing") as health:
        assert health.inspect(now="latest") == after


def test_a_deleted_object_is_noticed(s3: S3, tmp_path: Path) -> None:
    folder = made(tmp_path / "gone", 3, 50)
    s3.put(folder, "gone")
    gone: list[str] = []

    def disturb(method: str, path: str) -> Disturbed | None:
        if method == "GET" and "date%3D2026-01-02/part-0" in path.replace("=", "%3D") and not gone:
            gone.append(path)
            s3.delete("gone/date=2026-01-02/part-0.parquet")
        return None

    s3.proxy.disturb = disturb
    assert answers("inspect", f"{URI}/gone")["data"]["files"] == 2


FAULTS = {
    "no bucket": (f"s3://nothing/{'x' * 3}", None, "no such bucket"),
    "nothing": (f"{URI}/nothing", None, "no such object, and none below it"),
    "no object": (f"{URI}/nothing.parquet", None, "no such object, and none below it"),
    "no match": (f"{URI}/sample/nix*.parquet", None, "no file matches"),
    "denied": (
        f"{URI}/sample",
        Disturbed(403, b"<Error><Code>AccessDenied</Code></Error>"),
        "access denied (AccessDenied); check rights and time",
    ),
    "wrong key": (
        f"{URI}/sample",
        Disturbed(403, b"<Error><Code>InvalidAccessKeyId</Code></Error>"),
        "access denied (InvalidAccessKeyId)",
    ),
    "throttled": (
        f"{URI}/sample",
        Disturbed(503, b"<Error><Code>SlowDown</Code></Error>"),
        "the store asks for fewer requests; try again later",
    ),
}


@pytest.mark.usefixtures("sample")
@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_is_one_line_with_a_remedy(s3: S3, kind: str) -> None:
    uri, answer, told = FAULTS[kind]
    if answer is not None:
        s3.proxy.disturb = lambda _method, _path: answer
    result = run("overview", uri, *NOW)
    assert result.code == 4
    assert result.out == ""
    (line,) = result.err.splitlines()
    assert line.startswith("relhealth: error: s3://")
    assert told in line


@pytest.mark.usefixtures("sample")
def test_throttling_that_ends_is_no_fault(s3: S3) -> None:
    expected = answers("overview", str(SAMPLE))
    seen: dict[str, int] = {}

    def disturb(_method: str, path: str) -> Disturbed | None:
        seen[path] = seen.get(path, 0) + 1
        return Disturbed(503, b"<Error><Code>SlowDown</Code></Error>") if seen[path] == 1 else None

    s3.proxy.disturb = disturb
    assert answers("overview", f"{URI}/sample") == expected


@pytest.mark.usefixtures("sample")
def test_a_truncated_answer_is_never_taken(s3: S3) -> None:
    expected = answers("overview", str(SAMPLE))
    cut: list[str] = []

    def disturb(method: str, path: str) -> Disturbed | None:
        if method == "GET" and "part" in path and len(cut) < 5:
            cut.append(path)
            return Disturbed(206, b"PAR1")
        return None

    s3.proxy.disturb = disturb
    result = run("overview", f"{URI}/sample", *NOW, "-f", "json")
    assert cut
    if result.code == 0:
        assert json.loads(result.out) == expected
    else:
        assert (result.code, result.out) == (4, "")


def test_nobody_answers(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    result = run("overview", f"{URI}/sample", *NOW)
    assert (result.code, result.out) == (4, "")
    assert "the store does not answer (HTTP error: error sending request); check" in result.err


def test_no_credentials(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")
    result = run("overview", f"{URI}/sample", *NOW)
    assert (result.code, result.out) == (4, "")
    assert "no credentials; set AWS_PROFILE" in result.err


@pytest.mark.usefixtures("sample")
def test_a_profile_has_keys_region_and_endpoint(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name)
    config, credentials = tmp_path / "config", tmp_path / "credentials"
    endpoint = s3.proxy.endpoint
    config.write_text(
        f"[profile lake]\nregion = eu-west-1\nendpoint_url = {endpoint}\n"
        "[profile signed]\nsso_session = x\nrole_arn = y\n"
    )
    credentials.write_text("[lake]\naws_access_key_id = a\naws_secret_access_key = b\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    monkeypatch.setenv("AWS_PROFILE", "lake")
    assert answers("overview", f"{URI}/sample") == answers("overview", str(SAMPLE))
    monkeypatch.setenv("AWS_PROFILE", "nothing")
    result = run("overview", f"{URI}/sample", *NOW)
    assert (result.code, "AWS_PROFILE nothing: no such profile" in result.err) == (4, True)
    monkeypatch.setitem(__import__("sys").modules, "boto3", None)
    monkeypatch.setenv("AWS_PROFILE", "signed")
    result = run("overview", f"{URI}/sample", *NOW)
    assert (result.code, "needs boto3; pip install boto3" in result.err) == (4, True)


def test_bad_uris_are_usage_errors(s3: S3) -> None:  # noqa: ARG001
    for uri, told in {
        "s3://": "no bucket; write s3://BUCKET/PATH",
        "s3:///key": "no bucket",
        "ftp://host/x": "unknown scheme; known are s3://, gs://, az://, https://",
        "https://host": "name one file",
    }.items():
        result = run("overview", uri, *NOW)
        assert (result.code, told in result.err) == (2, True), result.err


@pytest.mark.usefixtures("sample")
def test_ctrl_c_ends_within_a_second(s3: S3) -> None:
    s3.proxy.disturb = lambda _method, _path: Disturbed(200, b"", 20)
    with subprocess.Popen(
        command("overview", f"{URI}/sample", *NOW),
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        time.sleep(3)
        assert process.poll() is None
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
        assert time.monotonic() - began < 1.5
    assert (process.returncode, err) == (130, "relhealth: interrupted\n")


WRITES = {
    "ingest": ("ingest", str(SAMPLE), "--to", f"{URI}/new"),
    "forget": ("ingest", "--forget", "x", "--to", f"{URI}/new"),
    "compact": ("compact", f"{URI}/new"),
    "rollup": ("rollup", f"{URI}/new"),
    "output": ("overview", str(SAMPLE), *NOW, "-o", f"{URI}/new.json"),
    "report": (
        *("gate", str(SAMPLE), *NOW, "-r", "latest", "--target", "99"),
        *("--report", f"json={URI}/new.json"),
    ),
    "history": (
        *("gate", str(SAMPLE), *NOW, "-r", "latest", "--target", "99"),
        *("--history", f"{URI}/new.jsonl"),
    ),
}


@pytest.mark.parametrize("kind", WRITES)
def test_writing_is_refused_before_anything_is_written(
    s3: S3, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*WRITES[kind])
    assert result.code == 2
    assert "relhealth does not write to stores; " in result.err
    assert list(tmp_path.iterdir()) == []
    assert s3.proxy.asked == []


def test_inputs_of_ingest_come_from_a_store(s3: S3, tmp_path: Path) -> None:
    s3.put_object(
        "raw/sessions.csv",
        b"session_id,started,project_id,status,release\n"
        b"a,2026-11-20T10:00:00Z,1,crashed,shop@1.0.0\n",
    )
    to = str(tmp_path / "data")
    line = ("ingest", f"{URI}/raw", "--to", to, "-f", "json", "--now", "2026-11-21T00:00:00Z")
    assert json.loads(run(*line).out)["data"]["sessions"] == 1
    again = run(*line)
    assert f"{URI}/raw/sessions.csv: ingested before, adds nothing" in again.err
    assert f"{URI}/raw/sessions.csv" in run("ingest", "--list", "--to", to).out
    result = run("overview", f"{URI}/raw", *NOW)
    assert result.code == 4
    assert "no Parquet file in this directory, but CSV" in result.err
    assert str(tmp_path) not in result.err


def test_a_replay_knows_when_rows_arrived(s3: S3, tmp_path: Path) -> None:
    to = tmp_path / "ingested"
    head = "session_id,started,project_id,status,release\n"
    for hour in (1, 3):
        source = tmp_path / f"{hour}.csv"
        lines = [f"{hour}-{n},2026-11-20T0{hour}:00:0{n}Z,1,exited,shop@1.0.0\n" for n in range(9)]
        source.write_text(head + "".join(lines))
        done = run(
            "ingest", str(source), "--to", str(to), "--now", f"2026-11-20T0{hour + 1}:00:00Z"
        )
        assert done.code == 0, done.err
    s3.put(to, "ingested")
    line = ("--since", "2026-11-20T00:00:00Z", "--target", "90", "-f", "json")
    now = ("--now", "2030-01-01T00:00:00Z")
    found = run("gate", "test", f"{URI}/ingested", *line, *now)
    expected = run("gate", "test", str(to), *line, *now)
    assert (found.code, found.out) == (expected.code, expected.out)
    assert found.err.replace(f"{URI}/ingested", str(to)) == expected.err
    assert json.loads(found.out)["meta"]["as_arrived"] is not None


def test_damage_names_the_uri(s3: S3) -> None:
    s3.put_object("bad/a.parquet", b"PAR1" + bytes(100) + b"PAR1")
    s3.put_object("bad/b.parquet", b"no parquet at all")
    s3.put_object("bad/c.parquet", b"")
    result = run("overview", f"{URI}/bad", *NOW)
    assert result.code == 4
    assert [line.split(": ")[2] for line in result.err.splitlines()] == [
        f"{URI}/bad/{name}.parquet" for name in "abc"
    ]
    result = run("inspect", f"{URI}/bad/a.parquet", "--verify")
    assert (result.code, f"{URI}/bad/a.parquet: damaged" in result.err) == (4, True)


@pytest.mark.slow
@pytest.mark.usefixtures("ninety")
def test_the_cache_is_bounded(s3: S3, cache: Path) -> None:
    answers("overview", f"{URI}/ninety", "--period", "90d", "--cache-size", "1MB")
    assert 0 < _size(cache) <= 1_000_000
    answers("overview", f"{URI}/ninety", "--period", "90d", "--cache-size", "0")
    assert _size(cache) == 0
    answers("overview", f"{URI}/ninety", "--period", "90d")
    assert _size(cache) > 1_000_000
    answers("overview", f"{URI}/ninety", "--period", "90d", "--cache-size", "0")
    assert _size(cache) == 0, "also where nothing was fetched"
    assert list((cache / "views").iterdir()) == []
    assert s3.proxy.asked
    result = run("overview", f"{URI}/ninety", *NOW, "--cache-size", "much")
    assert (result.code, "cache size 'much': expected a size" in result.err) == (2, True)


@pytest.mark.slow
@pytest.mark.usefixtures("ninety")
def test_the_cache_survives_kills_and_serves_several_processes(s3: S3, cache: Path) -> None:
    expected = answers("overview", f"{URI}/ninety", "--period", "90d")["data"]
    shutil.rmtree(cache)
    line = command("overview", f"{URI}/ninety", "--period", "90d", *NOW, "-f", "json")
    for after in (0.6, 0.8, 1.0, 1.2):
        with subprocess.Popen(line, env=environment(), stdout=subprocess.DEVNULL) as process:
            time.sleep(after)
            process.kill()
    several = [
        subprocess.Popen(line, env=environment(), stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for one in several:
        out, _ = one.communicate(timeout=100)
        assert json.loads(out)["data"] == expected
    s3.proxy.reset()
    assert answers("overview", f"{URI}/ninety", "--period", "90d")["data"] == expected
    assert len(s3.proxy.asked) == 1


def test_an_object_named_twice_counts_once(s3: S3, tmp_path: Path) -> None:
    s3.put(made(tmp_path / "twice", 3, 50), "twice")
    one = f"{URI}/twice/date=2026-01-02/part-0.parquet"
    for cold in (True, False):
        for sources in ((f"{URI}/twice", one), (one, f"{URI}/twice"), (f"{URI}/twice",) * 2):
            found = answers("inspect", *sources)["data"]
            assert (found["files"], found["rows"]) == (3, 300), (cold, sources)
            if cold:
                shutil.rmtree(os.environ["XDG_CACHE_HOME"])


@pytest.mark.usefixtures("ninety")
@pytest.mark.parametrize("period", ["24h", pytest.param("90d", marks=pytest.mark.slow)])
def test_a_damaged_cache_gives_no_other_answer(s3: S3, cache: Path, period: str) -> None:
    expected = answers("overview", f"{URI}/ninety", "--period", period)
    chance = random.Random(1)
    kept = sorted(path for path in (cache / "objects").rglob("*") if path.is_file())
    for path in kept:
        content = bytearray(path.read_bytes())
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        path.write_bytes(content)
    assert answers("overview", f"{URI}/ninety", "--period", period) == expected
    s3.proxy.reset()
    assert answers("overview", f"{URI}/ninety", "--period", period) == expected
    assert len(s3.proxy.asked) == 1, "the cache is mended"


def test_markers_of_folders_are_no_files(s3: S3) -> None:
    for key in ("marked/", "marked/date=2026-03-02", "marked/date=2026-03-02/"):
        s3.put_object(key, b"")
    s3.put_object("marked/date=2026-03-02/a.parquet", _parquet([rows.session()]))
    for uri in (f"{URI}/marked", f"{URI}/marked/", f"{URI}/marked/date=2026-03-02"):
        assert answers("inspect", uri)["data"]["files"] == 1


def _parquet(given: list[rows.Row]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(rows.table(given), sink)
    return bytes(sink.getvalue())


ODD = {
    "a bucket": ("s3://odd bucket/x", 2, "no name of a bucket"),
    "an empty part": (f"{URI}/a//b", 2, "the path has an empty part"),
    "dots": (f"{URI}/a/../b", 2, "one of dots"),
    "a control character": (f"{URI}/a\x01b", 2, "a control character"),
    "not UTF-8": (f"{URI}/\udcff", 2, "a control character"),
    "a bad host": ("http://[::1/x.parquet", 2, "no address of a file"),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_uris_are_refused(s3: S3, kind: str) -> None:  # noqa: ARG001
    uri, code, told = ODD[kind]
    result = run("overview", uri, *NOW)
    assert (result.code, told in result.err, result.out) == (code, True, ""), result.err


def test_a_name_that_no_file_can_have(s3: S3, cache: Path) -> None:
    s3.put_object(f"long/{'x' * 300}.parquet", _parquet([rows.session()]))
    result = run("overview", f"{URI}/long", *NOW)
    assert result.code == 4
    assert "no local file can have this name (file name too long); rename" in result.err
    assert str(cache) not in result.err
    s3.delete(f"long/{'x' * 300}.parquet")


def test_keys_that_have_no_place_are_refused(s3: S3) -> None:
    s3.put_object("odd//x.parquet", b"PAR1")
    with (
        ReleaseHealth(f"{URI}/odd") as health,
        pytest.raises(DataError, match=r"odd//x\.parquet: the key has an empty"),
    ):
        health.overview(now="latest")


def _size(cache: Path) -> int:
    return sum(path.stat().st_size for path in (cache / "objects").rglob("*") if path.is_file())
