"""What a start costs: nothing heavy is imported before it is needed."""

from __future__ import annotations

import json
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

import rows
from places import ROOT
from process import command, finish, script
from relhealth import __version__
from relhealth.core.errors import ExitCode

ENGINES = {"duckdb", "pyarrow", "numpy", "msgspec", "scipy"}
HEAVY = ENGINES | {"rich", "typer", "asyncio", "concurrent.futures"}

IMPORTED = """
import json, os, sys
from contextlib import redirect_stdout, redirect_stderr

with open(os.devnull, "w") as null, redirect_stdout(null), redirect_stderr(null):
    {code}
json.dump(sorted(sys.modules), sys.stdout)
"""


def imported_by(code: str, *args: str) -> set[str]:
    """Return the modules that a fresh interpreter has after some code."""
    ended = finish(script(IMPORTED.format(code=code), *args))
    assert ended.code == 0, ended.err
    return set(json.loads(ended.out))


def imported_by_command(*line: str) -> set[str]:
    """Return the modules that a fresh interpreter has after a command line."""
    return imported_by("from relhealth.__main__ import main; main(sys.argv[1:])", *line)


def test_the_version_imports_nothing() -> None:
    program = "from relhealth.__main__ import run; sys.argv[1:] = ['--version']; run()"
    added = imported_by(program) - imported_by("pass")
    core = {"relhealth.core", "relhealth.core.version"}
    assert added == {"relhealth", "relhealth.__main__", *core}
    # Beside other words it goes through Typer, and where it is called as a function, the boundary.
    assert "typer" in imported_by_command("--version", "--help")
    assert not imported_by_command("--version") & HEAVY


@pytest.mark.parametrize(
    "line",
    [
        ["--help"],
        ["overview", "--help"],
        ["inspect", "--help"],
        ["gate", "--help"],
        ["overview", "x.parquet", "--sort", "nonsense"],
        ["overview", "x.parquet", "--bogus"],
        ["overview", "x.parquet", "-o", "answer.zip"],
        [],
    ],
    ids=" ".join,
)
def test_help_and_bad_lines_import_no_engine(line: list[str]) -> None:
    found = imported_by_command(*line)
    assert "typer" in found  # so that this does look at a command line that ran
    assert not found & ENGINES


def test_only_what_judges_imports_scipy(tmp_path: Path) -> None:
    source = rows.write(tmp_path / "sessions.parquet", [rows.session()])
    line = [source, "--now", "latest"]
    assert "scipy" not in imported_by_command("overview", *line)
    assert "scipy" not in imported_by_command("inspect", *line)
    judging = imported_by_command("gate", *line, "-r", rows.RELEASE, "--target", "99")
    assert "scipy.special" in judging
    assert not judging & {"scipy.stats", "statsmodels"}


def test_the_package_imports_no_engine() -> None:
    assert not imported_by("import relhealth") & ENGINES
    assert "pyarrow" in imported_by("from relhealth import ReleaseHealth")


@pytest.mark.parametrize("engine", ["duckdb", "kernel", "rollup"])
def test_an_overview_imports_no_more_than_its_engine_needs(tmp_path: Path, engine: str) -> None:
    far = 10_000  # ids that are not looked up by their distance
    found = [rows.session(), rows.session(project_id=far), rows.user(1)]
    rows.write(tmp_path / "sessions.parquet", found)
    if engine == "rollup":
        assert finish(command("rollup", str(tmp_path))).code == 0
    unneeded = {"pandas", "pydantic", "relhealth.questions.inspection"}
    unneeded |= {"numpy.ma", "relhealth.commands.gate"}
    for now in ("latest", "2026-03-02T12:30:00Z"):
        line = ["overview", str(tmp_path), "--now", now, "--engine", engine]
        imported = imported_by_command(*line)
        assert not imported & unneeded
        assert ("duckdb" in imported) == (engine == "duckdb")
        assert ("relhealth.engines.rollup.arrays" in imported) == (engine == "rollup")


LIGHT = """
import gc, json, os, sys
from contextlib import suppress
from relhealth.__main__ import run

collected, ended = [], []
os._exit = ended.append
gc.callbacks.append(lambda phase, about: collected.append(about))
sys.argv[1:] = ["overview", "--help"]
with suppress(SystemExit):
    run()
told = {"blas": os.environ["OPENBLAS_NUM_THREADS"], "numpy": "numpy" in sys.modules}
told |= {"collected": len(collected), "ended": ended}
json.dump(told, sys.stderr)
"""


def test_a_process_of_its_own_starts_and_ends_lightly() -> None:
    # Before NumPy is there, which reads it once; what a user has set stays.
    told = {"blas": "1", "numpy": False, "collected": 0, "ended": [0]}
    assert json.loads(finish(script(LIGHT)).err) == told
    theirs = finish(script(LIGHT), OPENBLAS_NUM_THREADS="3")
    assert json.loads(theirs.err) == told | {"blas": "3"}


def test_a_profile_of_a_process_is_told_at_its_end() -> None:
    ended = finish([sys.executable, "-m", "cProfile", "-m", "relhealth", "overview", "--help"])
    assert ended.code == 0
    assert b"function calls" in ended.out


def test_all_ways_to_start_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    module, _, function = project["project"]["scripts"]["relhealth"].partition(":")
    told = f"relhealth {__version__}\n".encode()
    for start in (["-m", "relhealth"], ["-c", f"from {module} import {function}; {function}()"]):
        assert finish([sys.executable, *start, "--version"]) == (0, told, "")
        assert finish([sys.executable, *start, "overview", "x", "--bogus"]).code == ExitCode.USAGE


def test_the_version_is_that_of_the_metadata() -> None:
    assert version("relhealth") == __version__
