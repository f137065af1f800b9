"""relhealth.toml: what it sets, what beats it, what is wrong with it, and `relhealth config`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import rows
from command import run
from relhealth.commands.app import commands_for
from relhealth.commands.configuration import OPTIONS
from rows import session, user

NOW = "2026-03-02T14:30:00Z"
ROWS = [
    session(value=90.0, release="shop@1.0.0", environment="production"),
    session(value=30.0, release="shop@1.1.0", environment="staging"),
    user(1, release="shop@1.0.0", environment="production"),
    session(value=5.0, release="api@2.0.0", project_id=2, environment="production"),
    session(value=2.0, release="shop/api@2.0.0", project_id=2, environment="production"),
]
BASE = f'[defaults]\nsources = ["data"]\nnow = "{NOW}"\n'
NAMES = "[projects]\nshop = 1\nback-end = 2\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with data, in which the command runs."""
    (tmp_path / "data").mkdir()
    rows.write(tmp_path / "data" / "sessions.parquet", ROWS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(text: str, name: str = "relhealth.toml") -> None:
    """Write the settings."""
    Path(name).write_text(text, encoding="utf-8")


def document(*line: str) -> dict[str, Any]:
    """Return the JSON document of an answer."""
    result = run(*line, "-f", "json")
    assert result.code == 0, result.err
    found: dict[str, Any] = json.loads(result.out)
    return found


def sessions(*options: str) -> dict[str, int]:
    """Return the sessions of each release of an overview without sources."""
    answer = document("overview", *options)["data"]
    return {f"{row['project_id']}/{row['release']}": row["total_sessions"] for row in answer}


def refused(*line: str, code: int = 2) -> str:
    """Return the one line with which a command refuses."""
    result = run(*line)
    assert (result.code, result.out, result.err.count("\n")) == (code, "", 1), result.err
    return result.err.removeprefix("relhealth: error: ").rstrip("\n")


ALL = {"1/shop@1.0.0": 90, "1/shop@1.1.0": 30, "2/api@2.0.0": 5, "2/shop/api@2.0.0": 2}


@pytest.mark.parametrize("below", ["", "a/b"], ids=["here", "above"])
@pytest.mark.parametrize("name", ["relhealth.toml", "pyproject.toml"])
def test_an_overview_needs_no_source(
    name: str, below: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(BASE if name == "relhealth.toml" else BASE.replace("[", "[tool.relhealth.", 1), name)
    (folder / below).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(folder / below)
    assert sessions() == ALL


def test_a_file_of_this_folder_is_nearer_than_one_above(monkeypatch: pytest.MonkeyPatch) -> None:
    write(BASE)
    Path("below").mkdir()
    monkeypatch.chdir("below")
    write("[tool.other]\nx = 1\n", "pyproject.toml")  # of other tools alone: no settings
    assert sessions() == ALL
    write('[tool.relhealth.defaults]\nsources = ["../data"]\nprojects = [2]\n', "pyproject.toml")
    assert sessions("--now", NOW) == {"2/api@2.0.0": 5, "2/shop/api@2.0.0": 2}
    write('[defaults]\nsources = ["../data"]\nprojects = [1]\n')
    assert sessions("--now", NOW) == {"1/shop@1.0.0": 90, "1/shop@1.1.0": 30}


def test_every_word_sets_its_option_in_the_commands_that_have_it() -> None:
    write(
        BASE + 'projects = [1]\nenvironments = ["production"]\norg = 1\nperiod = "48h"\n'
        'max_age = "3h"\nengine = "kernel"\nthreads = 1\nmemory_limit = "600MB"\n'
        'cache_size = "1GB"\n'
    )
    rows.write(Path("data") / "sessions.parquet", [one | {"org_id": 1} for one in ROWS])
    found = document("overview")
    meta = found["meta"]
    assert (meta["projects"], meta["environments"]) == ([1], ["production"])
    assert (meta["period"], meta["now"]) == ("48h", NOW)
    assert [one["name"] for one in meta["engine"]] == ["kernel"]
    assert [row["release"] for row in found["data"]] == ["shop@1.0.0"]
    for command in ("releases", "projects", "adoption", "inspect"):
        assert document(command)["meta"]["command"] == command
    assert document("release", "shop@1.0.0")["meta"]["period"] == "48h"
    assert document("compare", "shop@1.0.0", "shop@1.1.0")["meta"]["period"] == "48h"
    assert document("query", "-F", "sum(session)")["data"]["groups"][0]["totals"] == {
        "sum(session)": 90
    }
    late = refused("releases", "--now", "2026-03-02T16:00:00Z", code=4)
    assert "the newest session" in late


def test_the_words_are_options_of_commands() -> None:
    """So that no word sets nothing."""
    commands = commands_for([]).commands.values()
    known = {parameter.name for command in commands for parameter in command.params}
    assert known.issuperset(OPTIONS.values())


def test_a_window_in_the_command_line_replaces_the_period_of_the_settings() -> None:
    write(BASE + 'period = "48h"\n')
    line = ["query", "-F", "sum(session)", "--start", "2026-03-02", "--end", "2026-03-03"]
    assert document(*line)["data"]["groups"][0]["totals"] == {"sum(session)": 127}


def test_an_option_beats_a_variable_beats_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    write(BASE + 'projects = [2]\nperiod = "7d"\n')
    assert sessions("-p", "1") == {"1/shop@1.0.0": 90, "1/shop@1.1.0": 30}
    assert document("overview", "--period", "1h")["meta"]["period"] == "1h"
    monkeypatch.setenv("RELHEALTH_NOW", "2026-03-02T13:00:00Z")
    assert document("overview")["meta"]["now"] == "2026-03-02T13:00:00Z"
    assert document("overview", "--now", NOW)["meta"]["now"] == NOW
    other = rows.write(Path("other.parquet"), [session(project_id=2)])
    assert sessions(other, "--now", NOW) == {f"2/{rows.RELEASE}": 1}


def test_status_takes_a_release_alone_where_the_settings_have_sources() -> None:
    assert "no such file" in run("status", "shop@1.0.0", "--now", NOW).err.lower()
    write(BASE)
    assert [row["release"] for row in document("status", "1.0.0")["data"]] == ["shop@1.0.0"]
    assert len(document("status")["data"]) == 4
    assert len(document("status", "data")["data"]) == 4


def test_the_policy_goes_before_the_defaults() -> None:
    rule = "[[gate.rule]]\ntarget = 1.5\n"
    write(BASE + 'period = "48h"\nenvironments = ["staging"]\n' + rule)
    meta = document("gate", "-r", "shop@1.1.0")
    assert meta["meta"]["period"] == "48h"
    assert meta["data"][0]["environments"] == ["staging"]
    write(BASE + 'period = "48h"\nenvironments = ["staging"]\n[gate]\nperiod = "7d"\n' + rule)
    assert document("gate", "-r", "shop@1.1.0")["meta"]["period"] == "7d"
    line = ["gate", "-r", "shop@1.0.0", "-e", "production", "--period", "24h"]
    found = document(*line)
    assert (found["meta"]["period"], found["data"][0]["environments"]) == ("24h", ["production"])


def test_settings_without_a_policy_are_no_policy() -> None:
    write(BASE)
    assert document("status")["meta"]["policy"] is None
    assert "nothing to judge by" in refused("gate", "-r", "shop@1.0.0")
    assert document("gate", "-r", "shop@1.0.0", "--target", "1.5")["meta"]["policy"] is None


# Names of projects.


def test_a_name_is_as_good_as_an_id() -> None:
    write(BASE + NAMES)
    assert sessions("-p", "back-end") == {"2/api@2.0.0": 5, "2/shop/api@2.0.0": 2}
    assert sessions("--project", "shop", "-p", "2") == ALL
    assert sessions("-r", "shop/shop@1.0.0") == {"1/shop@1.0.0": 90}
    assert sessions("-r", "back-end/api@2.0.0") == {"2/api@2.0.0": 5}
    assert document("release", "shop/shop@1.0.0")["meta"]["command"] == "release"
    for command in ("releases", "projects", "adoption"):
        found = document(command, "-p", "shop")["data"]
        assert {row["project_id"] for row in found} == {1}
    write(BASE + 'projects = ["back-end"]\n' + NAMES)
    assert sessions() == {"2/api@2.0.0": 5, "2/shop/api@2.0.0": 2}


def test_a_release_of_a_name_with_a_slash_stays_that_release() -> None:
    """The data decide, as for 7/2."""
    write(BASE + NAMES)
    assert sessions("-r", "shop/api@2.0.0") == {"2/shop/api@2.0.0": 2}
    assert sessions("-r", "shop/shop@1.1.0") == {"1/shop@1.1.0": 30}


def test_policies_name_projects() -> None:
    rule = '[[gate.rule]]\ntarget = 1.5\nprojects = ["back-end"]\n'
    write(BASE + NAMES + rule)
    found = run("gate", "-r", "1/shop@1.0.0", "-f", "json")
    assert "no rule of the policy is for project 1" in run("gate", "-r", "1/shop@1.0.0").out
    assert (found.code, json.loads(found.out)["data"]) == (3, [])
    assert len(document("gate", "-r", "back-end/api@2.0.0")["data"]) == 1
    write(BASE + '[gate]\nprojects = ["shop"]\n' + NAMES + "[[gate.rule]]\ntarget = 1.5\n")
    judged = document("gate", "-r", "latest")["meta"]["releases"]
    assert judged == [{"project_id": 1, "release": "shop@1.1.0"}]
    # A policy of its own file has its own names.
    write(rule + "[projects]\nback-end = 1\n", "policy.toml")
    named = document("gate", "-r", "1/shop@1.0.0", "--policy", "policy.toml")
    assert len(named["data"]) == 1


def test_an_unknown_name_brings_the_nearest_ones() -> None:
    write(BASE + NAMES)
    told = run("overview", "-p", "back-and")
    assert told.code == 2
    assert "'--project' / '-p': project 'back-and': unknown; the nearest is back-end" in told.err
    write(BASE + NAMES + '[[gate.rule]]\ntarget = 9\nprojects = ["shp"]\n')
    assert refused("gate", "-r", "shop@1.0.0") == (
        "relhealth.toml: rule 1: projects: project 'shp': unknown; the nearest is shop"
    )
    write("[defaults]\nprojects = ['zzz']\n" + NAMES)
    assert refused("overview") == (
        "relhealth.toml: project 'zzz': unknown: expected an id, or a name of [projects] in"
        " relhealth.toml; known are shop, back-end"
    )


def test_tables_show_names_and_machines_get_ids() -> None:
    write(BASE + NAMES)
    for chosen in ("table", "markdown"):
        out = run("overview", "-f", chosen).out
        assert "back-end" in out
    for chosen in ("csv", "json", "jsonl", "prometheus"):
        out = run("overview", "-f", chosen).out
        assert "back-end" not in out
    assert "back-end" not in run("overview", "data", "--now", NOW, "-f", "csv").out


def test_ingest_takes_its_project_by_name() -> None:
    write(NAMES + '[ingest]\nproject = "shop"\n')
    Path("in.csv").write_text(
        f"session_id,started,release,status\na,{NOW},shop@1.0.0,ok\nb,{NOW},shop@1.0.0,ok\n"
    )
    for to, options, project in (("one", [], 1), ("two", ["-p", "back-end"], 2)):
        line = ["ingest", "in.csv", "--to", to, "--now", "2026-03-03", *options]
        assert run(*line).code == 0
        found = document("overview", to, "--now", NOW)["data"]
        assert {row["project_id"] for row in found} == {project}


# What is wrong with a file.


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[defalts]\n", "defalts: unknown word; known are gate, ingest, defaults, projects;"),
        ("[defaults]\nperod = '1h'\n", "defaults.perod: unknown word; known are sources,"),
        ("[defaults]\nperod = '1h'\n", "cache_size; the nearest is period"),
        ("defaults = 3\n", "defaults: expected a table, [defaults]"),
        ("projects = 3\n", "projects: expected a table, [projects]"),
        ("[defaults]\nsources = 'data'\n", "defaults.sources: expected a list of text"),
        ("[defaults]\nsources = []\n", "defaults.sources: expected a list of text"),
        ("[defaults]\nprojects = 1\n", "defaults.projects: expected a list of projects"),
        ("[defaults]\nprojects = [true]\n", "defaults.projects: expected a list of projects"),
        ("[defaults]\nenvironments = [1]\n", "defaults.environments: expected a list of text"),
        ("[defaults]\norg = 'a'\n", "defaults.org: expected a whole number"),
        ("[defaults]\nperiod = 24\n", "defaults.period: expected text"),
        ("[defaults]\nperiod = '25x'\n", "defaults.period: unknown period '25x'"),
        ("[defaults]\nnow = 'soon'\n", "defaults.now: "),
        ("[defaults]\nnow = 12:00:00\n", "defaults.now: "),
        ("[defaults]\nmax_age = 'old'\n", "defaults.max_age: 'old' is not a length of time"),
        ("[defaults]\nengine = 'duck'\n", "defaults.engine: 'duck': expected one of auto, duckdb,"),
        ("[defaults]\nmemory_limit = 'big'\n", "defaults.memory_limit: memory limit 'big'"),
        ("[defaults]\nthreads = 0\n", "defaults.threads: 0: expected 1 or more"),
        ("[defaults]\ncache_size = 'big'\n", "defaults.cache_size: cache size 'big'"),
        ("[projects]\nshop = 'x'\n", "projects.shop: expected the id of a project"),
        ("[projects]\n1 = 2\n", "projects.'1': a name must have letters, and no /"),
        ("[projects]\n'a/b' = 2\n", "projects.'a/b': a name must have letters, and no /"),
        ("[defaults\n", "not TOML: "),
    ],
)
def test_a_bad_file_is_refused_by_every_command(text: str, told: str) -> None:
    write(text)
    for line in (["overview", "data"], ["gate", "data", "-r", "x", "--target", "9"], ["config"]):
        found = refused(*line)
        assert found.startswith("relhealth.toml: ")
        assert told in found
    assert run("overview", "--help").code == 0


def test_a_gate_writes_a_fault_of_the_settings_to_its_reports() -> None:
    write("[defaults\n")
    line = ["gate", "data", "-r", "shop@1.0.0", "--target", "9", "-o", "gate.json"]
    assert refused(*line).startswith("relhealth.toml: not TOML")
    assert json.loads(Path("gate.json").read_text())["meta"]["verdict"] == "error"


@pytest.mark.parametrize("text", ["[tool.relhealth]\nx = 1\n", "[tool]\nrelhealth.x = 1\n"])
def test_settings_of_pyproject_are_checked_too(text: str) -> None:
    write(text, "pyproject.toml")
    assert refused("overview", "data").startswith("pyproject.toml: x: unknown word; known are gate")


# `relhealth config`.


def of_config() -> dict[str, dict[str, Any]]:
    """Return the settings by their words."""
    return {row["word"]: row for row in document("config")["data"]}


def test_config_tells_where_each_setting_is_from(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = '[[gate.rule]]\ntarget = 99\nprojects = ["shop"]\n[gate.rule.when]\nusers = 9\n'
    write(
        BASE + 'period = "7d"\n[ingest]\nretention = "30d"\n[gate]\nsettle = "2h"\n' + NAMES + rule
    )
    monkeypatch.setenv("RELHEALTH_NOW", "latest")
    file = str(folder / "relhealth.toml")
    found = of_config()

    def told(word: str) -> tuple[Any, ...]:
        return tuple(found[word][name] for name in ("value", "origin", "where"))

    assert told("defaults.sources") == (["data"], "file", file)
    assert told("defaults.period") == ("7d", "file", file)
    assert told("defaults.now") == ("latest", "environment", "RELHEALTH_NOW")
    assert told("defaults.engine") == ("auto", "built-in", None)
    assert told("defaults.org") == (None, "built-in", None)
    assert told("projects.back-end") == (2, "file", file)
    assert told("ingest.retention") == ("30d", "file", file)
    assert told("gate.settle") == ("2h", "file", file)
    assert told("gate.period") == ("7d", "file", file)  # of [defaults]
    assert told("gate.confidence") == (0.95, "built-in", None)
    assert told("gate.rule 1")[0] == {"target": 99, "projects": ["shop"], "when": {"users": 9}}
    assert {f"defaults.{word}" for word in OPTIONS} <= found.keys()
    meta = document("config")["meta"]
    assert meta["file"] == file
    assert meta["searched"] == [file, str(folder / "pyproject.toml")]

    table = run("config")
    assert table.out.startswith(f"{file}\n")
    lines = [line.split() for line in table.out.splitlines()]
    assert ["defaults.now", "latest", "RELHEALTH_NOW"] in lines
    assert ["defaults.period", "7d", "file"] in lines
    assert "settings, 8 from the file" in table.err
    csv = run("config", "-f", "csv").out.splitlines()
    assert csv[0] == "word,value,origin,where"
    assert f"defaults.period,7d,file,{file}" in csv


def test_config_without_a_file_tells_what_it_looked_for(folder: Path) -> None:
    found = document("config")
    assert found["meta"]["file"] is None
    assert found["meta"]["searched"][:2] == [
        str(folder / "relhealth.toml"),
        str(folder / "pyproject.toml"),
    ]
    assert found["meta"]["searched"][-1] == "/pyproject.toml"
    assert {row["origin"] for row in found["data"]} == {"built-in"}
    out = run("config").out
    assert out.startswith(f"no file of settings: looked for {folder / 'relhealth.toml'}, ")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[gate]\nconfidence = 95\n[[gate.rule]]\ntarget = 9\n", "confidence: 95: expected"),
        ("[ingest]\nfrom = 'xml'\n", "from: unknown word 'xml'"),
        ("[ingest]\nretention = 'x'\n", "'x'"),
    ],
)
def test_config_checks_every_table(text: str, told: str) -> None:
    write(text)
    assert told in refused("config")


def test_a_folder_that_is_gone_has_no_settings(folder: Path) -> None:
    gone = folder / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    assert run("overview", str(folder / "data"), "--now", NOW).code == 0
    os.chdir(folder)
