"""Help: what it shows, that nothing is cut, that its examples run, and messages about options."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import tomllib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from typer.core import TyperArgument, TyperOption

import brokers
import sentry_api
from command import Result, run
from envelopes import envelope, update
from places import ROOT
from process import environment
from receivers import receiving
from relhealth.commands import helping
from relhealth.commands.app import commands_for
from relhealth.commands.configuration import OPTIONS
from relhealth.commands.helping import examples_of
from relhealth.core.errors import ExitCode
from relhealth.core.settings_file import TABLES

if TYPE_CHECKING:
    from pathlib import Path

COMMANDS: dict[str, Any] = commands_for([]).commands
EXAMPLES = [(name, line) for name, one in COMMANDS.items() for line in examples_of(one.help)]
USAGE = (ROOT / "docs" / "usage.md").read_text(encoding="utf-8")
SETTINGS = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
EACH = pytest.mark.parametrize("name", COMMANDS)


def shown(name: str, flag: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a command's help at 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    result = run(*name.split(), flag)
    assert (result.code, result.err) == (0, "")
    return result.out


def visible(name: str) -> list[TyperOption]:
    """Return the options that a command shows, without that of the help."""
    return [one for one in COMMANDS[name].params if isinstance(one, TyperOption) and not one.hidden]


def words_of(text: str) -> list[str]:
    """Return the words of a text of the help as they are printed."""
    return text.replace("\\[", "[").split()


@EACH
def test_the_help_shows_every_option_and_cuts_no_word(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = shown(name, "--help", monkeypatch)
    printed = set(text.split())
    for option in visible(name):
        assert set(option.opts) <= printed
        metavar = [] if option.is_flag else [str(option.metavar)]
        assert set(metavar + words_of(option.help or "")) <= printed, option.name
    assert not re.search(r"<\w+>", text)
    assert "[default:" not in text or "│" in text
    for line in examples_of(COMMANDS[name].help):
        assert f" {line} " in text, line
    assert max(map(len, text.splitlines())) == 80


@EACH
def test_metavars_are_words(name: str) -> None:
    for param in COMMANDS[name].params:
        if not getattr(param, "is_flag", False):
            assert re.fullmatch("[A-Z]+(=[A-Z]+)?", str(param.metavar)), param.name


@EACH
def test_the_short_help_has_at_most_ten_options_and_says_where_all_are(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, complete = (shown(name, flag, monkeypatch) for flag in ("-h", "--help"))
    listed = re.findall(r"^│ (?:\*  |   )?(--[\w-]+)", text, re.MULTILINE)
    every = {one.opts[0] for one in visible(name)}
    if len(every) <= 10:
        assert text == complete
        return
    assert len(listed) == len(set(listed)) == 10
    assert set(listed) < every
    assert f" All {len(every) + 1} options: relhealth {name} --help " in text
    assert len(text.splitlines()) < len(complete.splitlines())
    assert shown(name, "-qh", monkeypatch) == text


def test_a_command_without_a_choice_shows_its_first_ten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(helping.USUAL, "overview")
    text = shown("overview", "-h", monkeypatch)
    listed = re.findall(r"^│ (?:\*  |   )?(--[\w-]+)", text, re.MULTILINE)
    assert len(listed) == 10
    assert {"--release", "--project", "--environment", "--where", "--by"} <= set(listed)


def test_both_flags_together_show_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run("overview", "-h", "--help").out == shown("overview", "--help", monkeypatch)


def test_the_list_of_commands_says_how_to_ask_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = run("--help").out
    assert text == run("-h").out == f"{run().out.rstrip()}{text[len(text.rstrip()) :]}"
    assert "relhealth COMMAND -h" in text
    assert not re.search(r"<\w+>", text)


@EACH
def test_each_option_and_argument_is_documented(name: str) -> None:
    section = USAGE.partition(f"\n$ relhealth {name} --help\n")[2].partition("```")[0]
    assert section
    for param in COMMANDS[name].params:
        if isinstance(param, TyperArgument):
            assert f" {param.metavar} " in section
        elif not param.hidden:
            assert param.help
            assert all(f"{word} " in section.replace("│", " ") for word in param.opts), param.opts


@pytest.mark.parametrize("word", OPTIONS)
def test_each_word_of_the_defaults_is_documented(word: str) -> None:
    assert re.search(rf"^\| `{word}` \| ", SETTINGS, re.MULTILINE)


@pytest.mark.parametrize("table", TABLES)
def test_each_table_of_the_settings_is_documented(table: str) -> None:
    assert re.search(rf"^## .*`\[{table}\]`", SETTINGS, re.MULTILINE)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the examples name: a data set, a policy, inputs, and a `kcat`."""
    folder = tmp_path_factory.mktemp("world")
    noon = datetime(2026, 11, 20, 12, tzinfo=UTC)
    columns = "session_id,user_id,project,environment,status,os,device,variant,release,started"
    sessions = [
        f"{number},{number % 20_000},1,production,exited,iOS,phone,beta,"
        f"shop@4.{2 - number % 2 if number < 20_000 else 1}.0,"
        f"{noon - timedelta(seconds=number * 4):%Y-%m-%dT%H:%M:%SZ}"
        for number in range(60_000)
    ]
    (folder / "ingested.csv").write_text("\n".join([columns, *sessions]))
    line = ["ingest", f"{folder / 'ingested.csv'}", "--to", f"{folder / 'data'}"]
    line += [f"--dimension={name}" for name in ("os", "device", "variant")]
    result = run(*line, "--now", noon.isoformat())
    assert result.code == ExitCode.OK, result.err
    (folder / "ingested.csv").unlink()
    (folder / "relhealth.toml").write_text("[[gate.rule]]\ntarget = 99\n")
    (folder / "envelopes").mkdir()
    (folder / "envelopes" / "one.envelope").write_bytes(
        envelope(update(started=f"{noon - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"))
    )
    (folder / "sessions.csv").write_text(
        "session_id,project,started,release,status,os,model\n"
        "a1,1,2026-11-20T11:00:00Z,shop@4.2.0,bad,iOS,phone\n"
    )
    bucket = {"org_id": 1, "project_id": 1, "name": "c:sessions/session@none", "type": "c"}
    bucket |= {"timestamp": int(noon.timestamp()), "value": 4.0, "retention_days": 90}
    bucket |= {"tags": {"session.status": "init", "release": "shop@4.2.0"}}
    message = {"topic": "ingest-metrics", "partition": 0, "offset": 1}
    (folder / ".config" / "fish" / "completions").mkdir(parents=True)
    kcat = folder / "bin" / "kcat"
    kcat.parent.mkdir()
    told = json.dumps(message | {"payload": json.dumps(bucket)})
    kcat.write_text(f"#!/bin/sh\necho {shlex.quote(told)}\n")
    kcat.chmod(0o755)
    return folder


def test_each_command_has_two_examples() -> None:
    for name, command in COMMANDS.items():
        lines = examples_of(command.help)
        assert len(lines) >= 2, name
        assert all(f"relhealth {name}" in line for line in lines)


@pytest.mark.parametrize(("name", "line"), EXAMPLES, ids=[line for _, line in EXAMPLES])
def test_the_examples_run(
    name: str, line: str, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "here"
    shutil.copytree(world, there)
    monkeypatch.chdir(there)
    now = "2026-11-20T13:30:00Z" if name == "ingest" else "latest"
    monkeypatch.setenv("RELHEALTH_NOW", now)
    if name == "ingest":
        shutil.rmtree("data")  # what an ingest makes
    if name == "receive":
        served(line, there)
        return
    if re.search("[|<>]", line):
        result = piped(line, there, now)
    elif "--from-sentry" in line:
        monkeypatch.setenv("SENTRY_AUTH_TOKEN", sentry_api.TOKEN)
        hours = sentry_api.made(1, datetime.fromisoformat("2026-11-20T13:00:00Z"), 20)
        with sentry_api.serving(sentry_api.Sentry(hours)) as url:
            result = run(*shlex.split(line.replace("https://sentry.io", url))[1:])
    elif "--from-kafka" in line:
        with brokers.mocked() as cluster:
            cluster.send([brokers.bucket(1, int(datetime.fromisoformat(now).timestamp()))])
            words = shlex.split(line)[1:]
            words[words.index("--from-kafka") + 1] = cluster.brokers
            result = run(*words, *([] if "--until-end" in line else ["--until-end"]))
    elif "--dimension" in line:  # its status column has words of its own
        result = run(*shlex.split(line)[1:], "--status", "bad=crashed")
    else:
        result = run(*shlex.split(line)[1:])
    assert result.code == ExitCode.OK, result.err
    assert result.out or re.search(" -o |[<>]", line)


def served(line: str, folder: Path) -> None:
    """Run a line that serves until it is ended, on a free port."""
    (folder / "keys.txt").write_text("0123456789abcdef\n")
    words = [one for one in shlex.split(line)[1:] if one not in {"--to", "data/", "receive"}]
    with receiving(folder / "data", *words, "--listen", "127.0.0.1:0") as receiver:
        assert receiver.send(method="GET", path="/health").status == 200


def piped(line: str, folder: Path, now: str) -> Result:
    """Run a line in a shell, as a user would."""
    import subprocess
    import sys

    variables = environment(RELHEALTH_NOW=now, HOME=str(folder))
    variables["PATH"] = f"{folder / 'bin'}:{variables['PATH']}"
    program = f'relhealth() {{ {shlex.quote(sys.executable)} -m relhealth "$@"; }}; set -o pipefail'
    done = subprocess.run(
        ["bash", "-c", f"{program}; {line}"],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


PLACE = "sample_data"


@pytest.mark.parametrize(
    ("line", "missing"),
    [
        (f"release {PLACE}", "argument 'RELEASE'"),
        ("release", "arguments 'SOURCE' and 'RELEASE'"),
        (f"compare {PLACE}", "arguments 'A' and 'B'"),
        (f"compare {PLACE} shop@1", "argument 'B'"),
        ("compare shop@1", "arguments 'SOURCE' and 'B'"),
        ("compare", "arguments 'SOURCE', 'A' and 'B'"),
        ("rollup", "argument 'DATASET'"),
        ("ingest", "option '--to'"),
        (f"gate test {PLACE}", "option '--since'"),
    ],
)
def test_the_missing_word_is_named(
    line: str, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    result = run(*line.split())
    assert result.code == ExitCode.USAGE
    assert f"error: Missing {missing}.\n" in result.err
    assert re.search(r"see 'relhealth [a-z ]+ --help'", result.err)


def test_with_sources_of_the_settings_only_names_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "relhealth.toml").write_text(f'[defaults]\nsources = ["{ROOT / PLACE}"]\n')
    monkeypatch.chdir(tmp_path)
    assert "Missing arguments 'A' and 'B'." in run("compare").err
    assert "Missing argument 'B'." in run("compare", "shop@1").err
    assert "Missing argument 'RELEASE'." in run("release").err


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        ("RELHEALTH_NOW", "noon", "overview sample_data"),
        ("RELHEALTH_NOW", "3000-13-01", "gate sample_data -r latest --target 99"),
        ("RELHEALTH_NOW", "9999-01-01", "status sample_data"),
        ("RELHEALTH_NOW", "noon", "ingest sample_data --to data"),
        ("RELHEALTH_NOW", "2026-01-01", "status sample_data --watch 60s"),
        ("RELHEALTH_NOW", "2026-01-01", "gate sample_data -r latest --target 99 --wait 1h"),
        ("RELHEALTH_CACHE_SIZE", "much", "overview sample_data"),
        ("RELHEALTH_SPARK", "host", "overview lake.metrics.sessions"),
        ("TERMINAL_WIDTH", "wide", "overview --help"),
    ],
)
def test_a_bad_variable_is_named(
    variable: str, value: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv(variable, value)
    result = run(*line.split())
    assert result.code == ExitCode.USAGE
    assert variable in result.err
    assert variable not in run(*line.split(), "--bogus").err


def test_a_bad_option_names_no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("RELHEALTH_NOW", "noon")
    result = run("overview", "sample_data", "--now", "midnight")
    assert result.code == ExitCode.USAGE
    assert "error: 'midnight' is not an instant" in result.err


@pytest.mark.parametrize("command", ["gate", "gate test --since 2026-11-01", "gate plan"])
def test_a_target_and_a_baseline_exclude_each_other(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    result = run(*command.split(), PLACE, "--target", "99", "--baseline", "previous")
    assert result.code == ExitCode.USAGE
    assert "--target and --baseline exclude each other" in result.err
    text = " ".join(shown(command.partition(" --")[0], "--help", monkeypatch).split())
    assert "Not with --baseline." in text.replace("│ │ ", "")


def test_the_settings_of_the_examples_are_settings(world: Path) -> None:
    assert "gate" in tomllib.loads((world / "relhealth.toml").read_text())
