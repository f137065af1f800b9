"""Reports that other machines read: each by its format's own parser, all from one judgement."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import junitparser
import pyarrow.parquet as pq
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_fd_to_metric_families as read
from prometheus_client.parser import text_string_to_metric_families as prometheus

import rows
from command import Result, run
from process import Ended, command, finish
from relhealth.core.errors import ExitCode
from relhealth.core.printable import printable
from relhealth.gate import run as gate_run
from rows import duration, session, user

if TYPE_CHECKING:
    from collections.abc import Iterable

NOW = "2026-03-02T14:30:00Z"
HOSTILE = 'a"b\\c|<img src=x>`[x](y)@1.0.0 %0A::error::x \u202e'
POLICY = """
[[gate.rule]]
metric = "crash_free_sessions"
target = 99.0
[[gate.rule]]
metric = "crash_free_users"
target = 99.9
[[gate.rule]]
metric = "abnormal"
target = 1.0
[[gate.rule]]
metric = "duration_p50"
target = 10.0
"""
REPORTS = {
    "table": "gate.txt",
    "csv": "gate.csv",
    "json": "gate.json",
    "jsonl": "gate.jsonl",
    "markdown": "gate.md",
    "parquet": "gate.parquet",
    "junit": "gate.xml",
    "gitlab": "gate-quality.json",
    "prometheus": "gate.prom",
    "openmetrics": "gate.openmetrics",
}
VERDICTS = ["pass", "inconclusive", "fail"]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    Path("relhealth.toml").write_text(POLICY)


def given(release: str = rows.RELEASE) -> list[rows.Row]:
    """Rows that pass rule 1, leave 2 open, fail 3, pass 4."""
    return [
        session(value=1_000.0, release=release),
        session("abnormal", value=100.0, release=release),
        *(user(number, release=release) for number in range(50)),
        *(duration(5.0, release=release) for _ in range(50)),
    ]


def gate(*args: str, release: str = rows.RELEASE) -> Result:
    """Judge the release of a file, whose other project has a hostile name."""
    source = rows.write("sessions.parquet", [*given(), *given(HOSTILE)])
    return run("gate", source, "--now", NOW, "-r", release, *args)


def every() -> list[str]:
    """Return the options for a report of every format."""
    return [part for name, file in REPORTS.items() for part in ("--report", f"{name}={file}")]


def verdicts_of_metrics(families: Iterable[Any]) -> list[str]:
    """Return the verdict of each rule, by the metrics."""
    (family,) = (one for one in families if one.name == "relhealth_gate_check")
    told = {one.labels["rule"]: one.labels["verdict"] for one in family.samples if one.value == 1}
    assert len(family.samples) == len(told) * len(VERDICTS)
    return [told[rule] for rule in sorted(told)]


@pytest.mark.parametrize("release", [rows.RELEASE, HOSTILE])
def test_reports_of_one_run_agree(release: str) -> None:
    result = gate(*every(), "-f", "json", release=release)
    assert result.code == ExitCode.GATE_FAILED, result.err
    document = json.loads(result.out)
    expected = [check["verdict"] for check in document["data"]]
    assert expected == ["pass", "inconclusive", "fail", "pass"]
    assert document["meta"]["verdict"] == "fail"
    assert document["meta"]["exit_code"] == 1

    assert Path("gate.json").read_text() == result.out
    lines = [json.loads(line) for line in Path("gate.jsonl").read_text().splitlines()]
    assert [line["verdict"] for line in lines] == expected
    table = pq.read_table("gate.parquet").to_pylist()
    for key in ("verdict", "reason", "lower", "upper", "numerator", "denominator", "release"):
        told = [check[key] for check in document["data"]]
        assert [row[key] for row in table] == told
        assert [line[key] for line in lines] == told
    assert [row["verdict"] for row in table] == expected

    quality = json.loads(Path("gate-quality.json").read_text())
    assert [entry["severity"] for entry in quality] == ["minor", "blocker"]
    assert len({entry["fingerprint"] for entry in quality}) == 2

    assert verdicts_of_metrics(prometheus(Path("gate.prom").read_text())) == expected
    assert verdicts_of_metrics(openmetrics(Path("gate.openmetrics").read_text())) == expected


def test_junit_by_its_parser() -> None:
    gate(*every())
    (suite,) = junitparser.JUnitXml.fromfile("gate.xml")
    cases = list(suite)
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (4, 1, 0, 1)
    kinds = [[type(one).__name__ for one in case.result] for case in cases]
    assert kinds == [[], ["Skipped"], ["Failure"], []]
    assert cases[2].name == "rule 3: abnormal <= 1%"
    assert cases[2].classname == f"1/{rows.RELEASE}"
    assert cases[2].result[0].message.startswith("100 of 1,000 sessions ended")


def test_junit_counts_a_mapped_verdict_as_a_failure() -> None:
    gate("--report", "junit=gate.xml", "--inconclusive", "fail")
    (suite,) = junitparser.JUnitXml.fromfile("gate.xml")
    assert (suite.failures, suite.skipped) == (2, 0)


UNJUDGED = """
[gate]
inconclusive = "fail"
[[gate.rule]]
metric = "crash_free_sessions"
target = 99.0
projects = [99]
"""


def test_a_release_that_no_rule_is_for_fails_in_the_reports_where_the_gate_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("relhealth.toml").write_text(UNJUDGED)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    options = ["--report", "junit=gate.xml", "--report", "gitlab=quality.json"]
    failed = gate(*options)
    assert failed.code == ExitCode.GATE_FAILED
    (suite,) = junitparser.JUnitXml.fromfile("gate.xml")
    assert (suite.tests, suite.failures, suite.skipped) == (1, 1, 0)
    assert [one["severity"] for one in json.loads(Path("quality.json").read_text())] == ["blocker"]
    assert "::error title=" in failed.err
    waits = gate(*options, "--inconclusive", "inconclusive")
    assert waits.code == ExitCode.GATE_INCONCLUSIVE
    (suite,) = junitparser.JUnitXml.fromfile("gate.xml")
    assert (suite.failures, suite.skipped) == (0, 1)
    assert "::warning title=" in waits.err


def test_gates_of_two_policies_share_a_folder_of_metrics() -> None:
    """The collector refuses a series that two files have."""
    Path("other.toml").write_text(POLICY)
    gate("--report", "prometheus=one.prom")
    gate("--report", "prometheus=two.prom", "--policy", "other.toml")
    gate("--report", "prometheus=three.prom", "--policy", "gone.toml")
    series = [
        (one.name, tuple(sorted(one.labels.items())))
        for file in ("one.prom", "two.prom", "three.prom")
        for family in prometheus(Path(file).read_text())
        for one in family.samples
    ]
    assert len(series) == len(set(series))
    named = {dict(labels)["policy"] for _, labels in series}
    assert named == {"relhealth.toml", "other.toml", "gone.toml"}


def test_metrics_have_no_control_character() -> None:
    name = "a\rb\x1b[31m@1.0.0"
    source = rows.write("sessions.parquet", given(name))
    run("gate", source, "--now", NOW, "-r", name, "--report", "prometheus=gate.prom")
    written = Path("gate.prom").read_bytes()
    assert b"\r" not in written
    assert b"\x1b" not in written
    with Path("gate.prom").open() as file:
        (check,) = (one for one in read(file) if one.name == "relhealth_gate_check")
    assert {one.labels["release"] for one in check.samples} == {printable(name)}


def test_gitlab_is_told_a_path_of_the_repository(tmp_path: Path) -> None:
    def path(*options: str) -> str:
        gate("--report", "gitlab=quality.json", *options)
        (found,) = {one["location"]["path"] for one in json.loads(Path("quality.json").read_text())}
        return str(found)

    (tmp_path / "ci").mkdir()
    (tmp_path / "ci" / "gate.toml").write_text(POLICY)
    assert path() == "relhealth.toml"
    assert path("--policy", "ci/gate.toml") == "ci/gate.toml"
    assert path("--policy", str(tmp_path / "ci" / "gate.toml")) == "ci/gate.toml"
    assert path("--policy", f"../{tmp_path.name}/ci/gate.toml") == "gate.toml"
    assert path("--policy", "/etc/no/such.toml") == "such.toml"


@pytest.mark.parametrize("name", ["prometheus", "openmetrics"])
def test_metrics_are_in_base_units_and_without_timestamps(name: str) -> None:
    before = int(time.time())
    gate(*every())
    text = Path(REPORTS[name]).read_text()
    families = list((prometheus if name == "prometheus" else openmetrics)(text))
    assert len({family.name for family in families}) == len(families)
    for family in families:
        assert family.type == "gauge"
        assert family.documentation
        assert text.count(f"# TYPE {family.name} ") == 1
        assert text.count(f"# HELP {family.name} ") == 1
        for sample in family.samples:
            assert sample.timestamp is None
            if family.name.endswith("_ratio"):
                assert 0 <= sample.value <= 1
        assert {one.labels["policy"] for one in family.samples} == {"relhealth.toml"}
    values = {
        (one.name, one.labels.get("rule"), one.labels.get("verdict")): one.value
        for family in families
        for one in family.samples
    }
    assert values["relhealth_gate_observed_ratio", "3", None] == 0.1
    assert values["relhealth_gate_target_ratio", "1", None] == 0.99
    assert values["relhealth_gate_observed_seconds", "4", None] == 5
    assert values["relhealth_gate_verdict", None, "fail"] == 1
    assert values["relhealth_gate_verdict", None, "error"] == 0
    assert values["relhealth_gate_last_run_timestamp_seconds", None, None] >= before
    assert text.endswith("# EOF\n") == (name == "openmetrics")


def test_an_overview_as_metrics() -> None:
    source = rows.write("sessions.parquet", [*given(), *given(HOSTILE)])
    ask = ["overview", source, "--now", NOW, "--period", "7d"]
    result = run(*ask, "-f", "prometheus", "--report", "openmetrics=o.txt", "--report", "csv=o.csv")
    overview = json.loads(run(*ask, "-f", "json").out)["data"]
    for families in (prometheus(result.out), openmetrics(Path("o.txt").read_text())):
        found = {
            (one.name, one.labels["release"]): one.value
            for family in families
            for one in family.samples
            if "release" in one.labels
        }
        for row in overview:
            name = printable(row["release"])
            assert found["relhealth_sessions", name] == row["total_sessions"]
            assert found["relhealth_users", name] == row["total_users"]
            assert found["relhealth_duration_p50_seconds", name] == row["duration_p50"]
            ratio = found["relhealth_crash_free_sessions_ratio", name]
            assert ratio == row["crash_free_sessions"] / 100
    assert Path("o.csv").read_text() == run(*ask, "-f", "csv").out


@pytest.mark.parametrize(
    ("options", "labels"),
    [
        ([], {"period": "24h"}),
        (["--period", "7d", "-p", "3", "-p", "1"], {"project": "1,3", "period": "7d"}),
        (["-e", "beta", "-e", ""], {"period": "24h", "environment": ",beta"}),
    ],
    ids=str,
)
def test_overviews_that_share_a_folder_are_told_apart(
    options: list[str], labels: dict[str, str]
) -> None:
    """Also by the time of the last run: a name with the same labels can appear only once."""
    source = rows.write("sessions.parquet", given())
    result = run("overview", source, "--now", NOW, "-f", "prometheus", *options)
    (last,) = [one for one in prometheus(result.out) if "last_run" in one.name]
    assert [sample.labels for sample in last.samples] == [labels]


def test_a_metric_without_a_value_is_left_out() -> None:
    source = rows.write("sessions.parquet", [session()])
    result = run("overview", source, "--now", NOW, "-f", "prometheus")
    assert "relhealth_sessions{" in result.out
    assert "users_ratio" not in result.out
    assert "NaN" not in result.out


# When nothing can be judged.


def test_reports_say_that_the_gate_could_not_be_evaluated() -> None:
    assert gate(*every()).code == ExitCode.GATE_FAILED
    stale = gate(*every(), "--max-age", "1m")
    assert stale.code == ExitCode.DATA
    assert stale.out == ""
    (suite,) = junitparser.JUnitXml.fromfile("gate.xml")
    assert (suite.tests, suite.errors) == (1, 1)
    ((error,),) = (case.result for case in suite)
    assert isinstance(error, junitparser.Error)
    assert "max_age is 1m" in error.message
    document = json.loads(Path("gate.json").read_text())
    assert document["meta"]["verdict"] == "error"
    assert "max_age is 1m" in document["data"][0]["error"]
    families = list(prometheus(Path("gate.prom").read_text()))
    verdict = {one.labels["verdict"]: one.value for one in families[0].samples}
    assert verdict == {"pass": 0, "inconclusive": 0, "fail": 0, "error": 1}
    assert [entry["severity"] for entry in json.loads(Path("gate-quality.json").read_text())] == [
        "critical"
    ]
    assert "max_age is 1m" in Path("gate.csv").read_text()


@pytest.mark.parametrize("fault", [ZeroDivisionError("broken"), MemoryError()])
def test_a_crash_is_an_error_in_the_reports(
    fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise fault

    monkeypatch.setattr(gate_run.Judge, "judge", broken)
    assert gate("--report", "junit=gate.xml").code == ExitCode.INTERNAL
    (suite,) = junitparser.JUnitXml.fromfile("gate.xml")
    assert suite.errors == 1


def test_a_bad_policy_is_an_error_in_the_reports() -> None:
    Path("relhealth.toml").write_text("[gate]\nbogus = 1")
    assert gate("--report", "junit=gate.xml").code == ExitCode.USAGE
    (suite,) = junitparser.JUnitXml.fromfile("gate.xml")
    assert suite.errors == 1


@pytest.mark.parametrize(
    ("reports", "told"),
    [
        (["junit"], "--report junit: expected FORMAT=FILE"),
        (["xml=a.xml"], "--report xml=a.xml: expected FORMAT=FILE, the format one of table,"),
        (["junit="], "--report junit=: expected FORMAT=FILE"),
        (["junit=-"], "a report is a file"),
    ],
)
def test_a_report_that_cannot_be_is_refused_before_any_work(reports: list[str], told: str) -> None:
    result = gate(*(part for one in reports for part in ("--report", one)))
    assert result.code == ExitCode.USAGE
    assert told in result.err


@pytest.mark.parametrize("file", ["a", "./a"])
def test_two_outputs_in_one_file_are_an_error_there_too(file: str) -> None:
    result = gate("--report", "junit=a", "--report", f"json={file}")
    assert result.code == ExitCode.USAGE
    assert "a: named for two outputs" in result.err
    assert "named for two outputs" in Path("a").read_text()


def test_a_report_that_cannot_be_written_is_refused_before_any_work() -> None:
    result = gate("--report", "junit=no/such/gate.xml", "--report", "json=gate.json")
    assert result.code == ExitCode.DATA
    assert "no directory no/such" in result.err
    assert "no directory no/such" in Path("gate.json").read_text()
    before = Path("sessions.parquet").read_bytes()
    assert gate("--report", "parquet=sessions.parquet").code == ExitCode.DATA
    assert Path("sessions.parquet").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--max-age", "1m"], 4),
        (["--target", "200"], 2),
        (["--period", "25x"], 2),
        (["--policy", "no.toml"], 2),
        (["--report", "junit=no/such/gate.xml"], 4),
        (["--report", "bogus=gate.bogus"], 2),
        (["-r", "1/a\tb"], 2),
    ],
)
@pytest.mark.parametrize("file", ["gate.json", "gate.xml", "gate.prom", "gate.csv"])
def test_the_answer_s_file_says_so_when_nothing_could_be_judged(
    file: str, options: list[str], code: int
) -> None:
    """Else it would keep the last verdict, which may be a pass."""
    assert gate("-o", file, "--report", "markdown=beside.md").code == ExitCode.GATE_FAILED
    before = Path(file).read_bytes()
    assert gate("-o", file, "--report", "markdown=beside.md", *options).code == code
    after = Path(file).read_text()
    assert after != before.decode()
    assert "error" in after
    assert Path("beside.md").read_text().startswith("| Error |")
    if file == "gate.json":
        assert json.loads(after)["meta"]["verdict"] == "error"


def test_a_file_that_fails_while_it_is_written_makes_the_others_errors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replace = os.replace

    def full(old: str, new: str) -> None:
        if Path(new).name == "gate.json":
            raise OSError(28, "No space left on device")
        replace(old, new)

    monkeypatch.setattr(os, "replace", full)
    options = ["--report", "junit=gate.xml", "--report", "json=gate.json", "-o", "gate.md"]
    assert gate(*options).code == ExitCode.DATA
    (suite,) = junitparser.JUnitXml.fromfile("gate.xml")
    assert (suite.tests, suite.errors) == (1, 1)
    assert "no space left on device" in Path("gate.md").read_text()


def test_a_gate_that_is_ended_leaves_no_old_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(gate_run.Judge, "judge", ended)
    assert gate("-o", "gate.xml").code == ExitCode.INTERRUPTED
    (suite,) = junitparser.JUnitXml.fromfile("gate.xml")
    assert suite.errors == 1
    assert "ended before there was a verdict" in Path("gate.xml").read_text()


def test_killed_while_writing_leaves_old_or_new() -> None:
    source = rows.write("sessions.parquet", given())
    gate(*every())
    line = command("gate", source, "--now", NOW, "-r", rows.RELEASE, "-q", *every())
    whole = {name: _stable(Path(file).read_bytes()) for name, file in REPORTS.items()}
    ended = 0
    for step in range(12):
        with subprocess.Popen(
            line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            time.sleep(0.05 * step)
            process.send_signal(signal.SIGKILL)
            ended += process.wait() == -signal.SIGKILL
        found = {name: _stable(Path(file).read_bytes()) for name, file in REPORTS.items()}
        assert found == whole
    assert ended


def _stable(content: bytes) -> bytes:
    """Return a report without the moment of the run."""
    return re.sub(rb"(?m)^(relhealth_gate_last_run_timestamp_seconds\S*) \d+$", rb"\1", content)


# A step of GitHub Actions, without the container.


def as_on_github(*args: str, summary: str) -> Ended:
    """Run a command line as a step of GitHub Actions has it."""
    step = {"GITHUB_ACTIONS": "true", "CI": "true", "GITHUB_STEP_SUMMARY": summary}
    return finish(command(*args), **step)


@pytest.mark.parametrize("release", [rows.RELEASE, HOSTILE])
def test_a_step_of_github_actions(release: str) -> None:
    source = rows.write("sessions.parquet", [*given(), *given(HOSTILE)])
    summary = Path("summary.md")
    summary.write_text("before\n")
    line = ["gate", source, "--now", NOW, "-r", release]
    ended = as_on_github(*line, summary=str(summary.resolve()))
    assert ended.code == ExitCode.GATE_FAILED
    for text in (ended.out, ended.err.encode(), summary.read_bytes()):
        assert b"\x1b" not in text
        assert "\u202e".encode() not in text

    told = summary.read_text()
    assert told.startswith("before\n### relhealth gate: fail: stop the rollout (4 checks")
    assert told.count("\n| fail |") == 1
    assert not re.search(r"(?<!\\)<img", re.sub(r"\| `+ ?[^\n]*?`+ \|", "", told))

    commands = [one for one in ended.err.splitlines() if one.startswith("::")]
    assert [one.split(" ")[0] for one in commands] == ["::error", "::warning"]
    assert commands[0].startswith("::error title=relhealth gate::1/")
    if release == HOSTILE:
        assert "%250A::error::x" in commands[0]  # a percent sign in a name is no line end
    assert not [one for one in ended.out.decode().splitlines() if one.startswith("::")]


def test_nothing_of_github_elsewhere() -> None:
    result = gate()
    assert "::" not in result.err
    assert list(Path().glob("*.md")) == []


def test_a_summary_that_cannot_be_written_is_a_warning() -> None:
    source = rows.write("sessions.parquet", given())
    line = ["gate", source, "--now", NOW, "-r", rows.RELEASE]
    ended = as_on_github(*line, summary="/no/such/summary.md")
    assert ended.code == ExitCode.GATE_FAILED
    assert "warning: /no/such/summary.md: cannot write the step's summary" in ended.err


def test_a_summary_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    many = [row for n in range(300) for row in given(f"shop@1.0.{n}")[:2]]
    source = rows.write("sessions.parquet", many)
    names = [part for n in range(300) for part in ("-r", f"shop@1.0.{n}")]
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
    monkeypatch.setattr("relhealth.output.github._MOST_BYTES", 20_000)
    result = run("gate", source, "--now", NOW, *names)
    assert result.code == ExitCode.GATE_FAILED
    summary = Path("summary.md").read_bytes()
    assert 19_000 < len(summary) < 20_200
    assert summary.endswith(b"|\n\nCut here: the reports have all of it.\n\n")
    commands = [one.split(" ")[0] for one in result.err.splitlines() if one.startswith("::")]
    assert commands == ["::error"] * 10 + ["::warning"] * 10
