"""Completion: what an answer has, how fast it is, and what shells make of it."""

from __future__ import annotations

import json
import os
import resource
import runpy
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from typer.core import TyperArgument

import rows
from command import run
from places import ROOT
from process import command, environment
from relhealth.commands.app import commands_for
from relhealth.completion import names
from relhealth.completion.shells import SCRIPTS
from shells import SHELLS, Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MAKING = runpy.run_path(str(ROOT / "docs" / "completion.py"))
COMMANDS: dict[str, Any] = commands_for([]).commands
BREAKS = " \t\n\"'@><=;|&(:"
ODD = ["it's@1 $x", "a b@2", 'q"u@4', "semi;colon@5", "star*@6", "paren(1)@7"]
HOSTILE = "evil\x1b[31m@3"


def ask(shell: str, *arguments: str, folder: Path | None = None) -> list[str]:
    """Return the lines of an answer."""
    ended = subprocess.run(
        command(*arguments),
        env=environment(_RELHEALTH_COMPLETE=shell),
        capture_output=True,
        cwd=folder,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, b"")
    return ended.stdout.decode().splitlines()


def words(*arguments: str, folder: Path | None = None) -> list[str]:
    """Return the candidates for the last word."""
    return [line.partition("\t")[0] for line in ask("fish", *arguments, folder=folder)]


def read_names(source: Path, cache: Path) -> None:
    """Have the names of a source read, as the first question of a shell does in the background."""
    line = [sys.executable, "-m", "relhealth.completion.names", os.path.realpath(source)]
    subprocess.run(line, env=environment(XDG_CACHE_HOME=str(cache)), check=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a data set, and a cache of its own."""
    here = tmp_path_factory.mktemp("completion")
    found = [
        rows.session(
            release=name,
            environment="production",
            timestamp=datetime(2026, 11, day, tzinfo=UTC),
            os="iOS",
            score=1.5,
        )
        for name, day in {"shop@1.0.0+1": 2, "shop@1.1.0+2": 3, **dict.fromkeys(ODD, 1)}.items()
    ]
    found.append(found[0] | {"release": HOSTILE})
    (here / "my data").mkdir()
    rows.write(
        here / "my data" / "a.parquet", found, types={"os": pa.string(), "score": pa.float64()}
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_CACHE_HOME", str(here / "cache"))
        read_names(here / "my data", here / "cache")
        yield here


def test_the_table_is_made_of_the_commands() -> None:
    kept = MAKING["TABLE"].read_text(encoding="utf-8")
    assert kept == "".join(f"{line}\n" for line in MAKING["lines"]()), "run docs/completion.py"


@pytest.mark.parametrize("name", COMMANDS)
def test_each_option_completes_unless_its_value_is_of_the_user(name: str) -> None:
    kinds: dict[str, tuple[str, list[str]]] = {}
    for line in MAKING["TABLE"].read_text(encoding="utf-8").splitlines():
        row = line.split("\t")
        if row[0] == name:
            kinds |= dict.fromkeys(row[1].split(), (row[2], row[3].split()))
    number = 0
    for param in COMMANDS[name].params:
        if param.hidden:
            continue
        number += isinstance(param, TyperArgument)
        words_of = [str(number)] if isinstance(param, TyperArgument) else param.opts
        for word in words_of:
            kind, choices = kinds[word]
            if getattr(param, "is_flag", False):
                assert kind == "flag"
            elif kind == "words" and not choices:
                dates = {"--now", "--start", "--end", "--since"}
                assert str(param.metavar) in MAKING["FREE"] or word in dates, word
            else:
                assert kind in {"file", "words", "release", "project", "environment", "dimension"}


def test_commands_and_options() -> None:
    assert words("over") == ["overview"]
    assert "gate" in words("")
    assert words("--v") == ["--version"]
    assert words("gate", "te") == ["test"]
    assert words("gate", "test", "--si") == ["--since"]
    assert words("overview", "--stats") == ["--stats-period"]
    assert words("nonsense", "") == ["files"]
    about = dict(line.split("\t") for line in ask("zsh", "rollup", "--"))
    assert about["--quiet"] == "Print only errors on stderr"
    assert set(words("rollup", "-")) == set(about)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("overview --period 3", ["3d", "30d"]),
        ("overview --period=7", ["--period=7d"]),
        ("overview -f par", ["parquet"]),
        ("overview -fpar", ["-fparquet"]),
        ("overview -qf par", ["parquet"]),
        ("projects -f jun", []),
        ("overview --sort crash_free", ["crash_free_sessions", "crash_free_users"]),
        ("overview --columns release,crash_free_u", ["release,crash_free_users"]),
        ("query --interval 1", ["1m", "10m", "1h", "12h", "1d"]),
        ("query --interval 3", ["3h"]),
        ("query -F p90", ["p90(session.duration)"]),
        ("query -g rel", ["release"]),
        ("query -g session.", ["session.status"]),
        ("gate --metric crash_free", ["crash_free_sessions", "crash_free_users"]),
        ("gate --report jun", ["junit="]),
        ("gate --baseline pre", ["prevailing", "previous"]),
        ("gate -r lat", ["latest"]),
        ("adoption --stage low", ["low"]),
        ("query --status cra", ["crashed"]),
        ("overview --engine rol", ["rollup"]),
        ("overview --now lat", ["latest"]),
        ("ingest --map user", ["user_id="]),
        ("completion z", ["zsh"]),
        ("overview --policy rel", ["files"]),
        ("overview sam", ["files"]),
        ("overview -- --pe", ["files"]),
        ("overview --limit 1", []),
        ("overview --quiet=", []),
    ],
)
def test_words_that_options_know(line: str, expected: list[str]) -> None:
    assert words(*line.split()) == expected


@pytest.mark.parametrize("interval", MAKING["INTERVALS"])
def test_a_query_takes_each_interval_that_is_offered(interval: str, folder: Path) -> None:
    source = str(folder / "my data")
    ended = run("query", source, "-F", "sum(session)", "--period", "2d", "--interval", interval,
                "--now", "2026-11-03T00:00:00Z")  # fmt: skip
    assert ended.code == 0, ended.err


def test_names_of_the_data(folder: Path) -> None:
    of = ("overview", "my data")
    assert words(*of, "-r", "shop", folder=folder) == ["shop@1.1.0+2", "shop@1.0.0+1"]
    assert words(*of, "-r", "1/shop@1.1", folder=folder) == ["1/shop@1.1.0+2"]
    assert words(*of, "-r", "1/1.1", folder=folder) == ["1/shop@1.1.0+2"]
    assert len(words(*of, "-r", "1/", folder=folder)) == len(words(*of, "-r", "", folder=folder))
    assert words(*of, "-r", "2/", folder=folder) == []
    assert words(*of, "-r", "1.1", folder=folder) == ["shop@1.1.0+2"]
    assert words(*of, "-rshop@1.1", folder=folder) == ["-rshop@1.1.0+2"]
    assert words(*of, "-p", "", folder=folder) == ["1"]
    assert words(*of, "-e", "", folder=folder) == ["production"]
    assert words(*of, "--where", "", folder=folder) == ["os="]
    assert words(*of, "--by", "o", folder=folder) == ["os"]
    assert words(*of, "--by", "", folder=folder) == ["environment", "os"]  # a score is none
    assert words("query", "my data", "-g", "o", folder=folder) == ["os"]
    assert words("status", "my data", "shop@1.0", folder=folder) == ["shop@1.0.0+1"]
    assert words("compare", "my data", "shop@1.0.0+1", "shop@1.1", folder=folder) == [
        "shop@1.1.0+2"
    ]
    every = words(*of, "-r", "", folder=folder)
    assert set(ODD) < set(every)
    assert not [one for one in every if not one.isprintable()]
    assert words(*of, "-r", "evil", folder=folder) == []


def test_names_come_from_the_sources_of_the_settings(folder: Path, tmp_path: Path) -> None:
    sources = json.dumps([str(folder / "my data")])
    (tmp_path / "relhealth.toml").write_text(
        f"[defaults]\nsources = {sources}\n[projects]\nshop = 1\n"
    )
    assert words("overview", "-r", "shop@1.1", folder=tmp_path) == ["shop@1.1.0+2"]
    assert words("overview", "-p", "", folder=tmp_path) == ["shop", "1"]
    assert words("overview", "-r", "shop/1.1", folder=tmp_path) == ["shop/shop@1.1.0+2"]
    assert words("overview", "-r", "1/1.1", folder=tmp_path) == ["1/shop@1.1.0+2"]
    assert set(words("overview", "-r", "shop/", folder=tmp_path)) > {f"shop/{one}" for one in ODD}
    assert words("overview", "-r", "none/", folder=tmp_path) == []
    assert words("status", "shop@1.1", folder=tmp_path) == ["shop@1.1.0+2"]
    (tmp_path / "relhealth.toml").write_text("[defaults\n")
    assert words("overview", "-r", "", folder=tmp_path) == []
    assert run("completion", "bash").code == 0


@pytest.mark.parametrize("source", ["nowhere", "s3://bucket/data", "damaged.parquet", "empty"])
def test_what_cannot_be_read_has_no_names(source: str, tmp_path: Path) -> None:
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1 is not all PAR1")
    (tmp_path / "empty").mkdir()
    assert words("overview", source, "-r", "", folder=tmp_path) == []


def test_names_are_read_anew_when_files_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    rows.write(tmp_path / "data" / "a.parquet", [rows.session(release="shop@1")])
    line = ("overview", str(tmp_path / "data"), "-r", "")
    read_names(tmp_path / "data", tmp_path / "cache")
    assert words(*line) == ["shop@1"]
    rows.write(tmp_path / "data" / "b.parquet", [rows.session(release="shop@2")])
    until = time.monotonic() + 30
    while sorted(words(*line)) != ["shop@1", "shop@2"]:
        assert time.monotonic() < until
        time.sleep(0.2)
    (kept,) = (tmp_path / "cache" / "relhealth" / "names").iterdir()
    kept.write_bytes(b"\xff\x00damaged")
    while sorted(words(*line)) != ["shop@1", "shop@2"]:
        assert time.monotonic() < until


def test_two_do_not_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(names, "_PATIENCE", 0)
    started: list[object] = []
    monkeypatch.setattr(names, "_start", started.append)
    for _ in range(3):
        assert names.known([str(tmp_path)]).releases == []
    assert len(started) == 1


def test_an_answer_is_fast(folder: Path) -> None:
    """Less than 50 ms of processor time; less than three starts of Python on a slow machine."""
    line = ("overview", "my data", "-r", "shop")
    assert len(words(*line, folder=folder)) == 2
    answers, starts = [], []
    for _ in range(5):
        answers.append(spent(lambda: words(*line, folder=folder)))
        starts.append(spent(lambda: subprocess.run([sys.executable, "-c", ""], check=True)))
    assert min(answers) < max(0.05, 3 * min(starts))


def spent(act: Callable[[], object]) -> float:
    """Return the seconds of processor time that the processes of an act take."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    act()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_an_answer_imports_little() -> None:
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "relhealth", "overview", "data", "-r", ""],
        env=environment(_RELHEALTH_COMPLETE="fish"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "relhealth.completion.candidates" in ended.stderr
    for heavy in ("typer", "duckdb", "pyarrow", "numpy", "rich"):
        assert f" {heavy}\n" not in ended.stderr


@pytest.mark.parametrize("shell", SCRIPTS)
def test_scripts_are_printed(shell: str) -> None:
    result = run("completion", shell)
    assert (result.code, result.err) == (0, "")
    assert f"_RELHEALTH_COMPLETE={shell}" in result.out


@pytest.mark.parametrize("shell", SCRIPTS)
def test_a_process_prints_the_same_script_without_the_modules_of_commands(shell: str) -> None:
    line = [sys.executable, "-X", "importtime", "-m", "relhealth", "completion", shell]
    ended = subprocess.run(line, env=environment(), capture_output=True, text=True, check=True)
    assert ended.stdout == run("completion", shell).out
    assert "typer" not in ended.stderr


def test_an_unknown_shell_is_refused() -> None:
    result = run("completion", "tcsh")
    assert result.code == 2
    assert "shell 'tcsh': expected one of bash, zsh, fish" in result.err


def of_bash(line: str, folder: Path) -> list[str]:
    """Return what bash would put at the end of a line."""
    return ask("bash", f"relhealth {line}", BREAKS, folder=folder)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("overview 'my data' -r shop@1.1", ["@1.1.0+2"]),
        ("overview 'my data' --release=shop@1.1", ["@1.1.0+2"]),
        ("overview 'my data' --release=1.1", ["shop@1.1.0+2"]),
        ("overview 'my data' -r a", [r"a\ b@2"]),
        ("overview my\\ data -r 'a", ["a b@2"]),
        ('overview "my data" -r "q', ['q\\"u@4']),
        ("overview my\\ data -r it", [r"it\'s@1\ \$x"]),
        ("overview my\\ data -r 'it", []),  # no quoted text of bash has a '
        ("query --interval 1", ["1m", "10m", "1h", "12h", "1d"]),
        ("query --interval 3", ["3h"]),
        ("query -F p90", [r"p90\(session.duration\)"]),
        ("x; A=b relhealth overview --perio", ["--period"]),
        ("x && relhealth overview --perio", ["--period"]),
    ],
)
def test_bash_gets_what_goes_on_where_it_cuts(line: str, expected: list[str], folder: Path) -> None:
    assert of_bash(line, folder) == expected


TYPED = {
    "over": ["overview"],
    "overview my\\ data -r shop@1.1": ["overview", "my data", "-r", "shop@1.1.0+2"],
    "overview 'my data' --release=1/shop@1.1": ["overview", "my data", "--release=1/shop@1.1.0+2"],
    "overview 'my data' -r it": ["overview", "my data", "-r", ODD[0]],
    "overview 'my data' -r 'a": ["overview", "my data", "-r", ODD[1]],
    "overview 'my data' -r star": ["overview", "my data", "-r", ODD[4]],
    "overview 'my data' -r 1.1": ["overview", "my data", "-r", "shop@1.1.0+2"],
    "overview 'my data' -r 1/1.1": ["overview", "my data", "-r", "1/shop@1.1.0+2"],
    "overview 'my data' -r evil": ["overview", "my data", "-r", "evil"],
    "overview 'my data' --where o": ["overview", "my data", "--where", "os="],
    "query -F p90": ["query", "-F", "p90(session.duration)"],
}


@pytest.mark.parametrize("shell", SHELLS)
def test_in_a_real_shell(shell: str, folder: Path, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    (tmp_path / "my data").symlink_to(folder / "my data")
    terminal = Terminal(shell, command(), tmp_path)
    try:
        read_names(folder / "my data", tmp_path / "cache")
        for line, expected in TYPED.items():
            assert terminal.completed(f"relhealth {line}") == expected, line
        assert terminal.completed("relhealth overview my\\ da")[1].rstrip("/") == "my data"
    finally:
        terminal.close()
