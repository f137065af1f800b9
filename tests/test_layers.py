"""The rooms of the house: who may import whom, for types and in functions too."""

from __future__ import annotations

import ast
import re
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import relhealth
from relhealth.engines.components import COMPONENTS
from relhealth.machine import queries

ROOT = Path(relhealth.__file__).parent
CASES = Path(__file__).parent / "queries"
MODULES = sorted(
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in ROOT.rglob("*.py")
)
# The rooms, each with what it may import: itself and those before it.
ROOMS = (
    "core",
    "machine",
    "stores",
    "datasets",
    "ingest",
    "receive",
    "rollup",
    "engines",
    "questions",
    "gate",
    "release_health",
    "completion",
    "output",
    "commands",
)
# Templates that are asked by a command of their own, and tested by it.
OF_COMMANDS = {
    "compact_metric_rows",
    "compact_marks",
    "ingest_marked_updates",
    "ingest_metric_rows",
    "ingest_repeats",
    "ingest_marks",
}


def tree_of(module: str) -> ast.Module:
    """Parse a module."""
    path = ROOT.parent.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text(encoding="utf-8"))


@cache
def imported(module: str) -> frozenset[str]:
    """Return the modules that a module imports: at its top, in its functions, for its types."""
    found = set()
    for node in ast.walk(tree_of(module)):
        match node:
            case ast.Import(names=names):
                found |= {name.name for name in names}
            case ast.ImportFrom(module=str(home), names=names):
                for name in names:
                    full = f"{home}.{name.name}"
                    found.add(full if full in MODULES else home)
    return frozenset(found)


def room_of(module: str) -> str | None:
    """Return the room of a module; None of the package and its entry point."""
    name = module.partition(".")[2].partition(".")[0]
    return name if name in ROOMS else None


def importers(library: str) -> set[str]:
    """Return the modules that import a library."""
    return {
        module
        for module in MODULES
        if any(name.split(".")[0] == library for name in imported(module))
    }


def test_only_the_engine_knows_duckdb() -> None:
    assert importers("duckdb") == {
        "relhealth.machine.attached",
        "relhealth.machine.database",
        "relhealth.engines.duckdb.engine",
        "relhealth.engines.rollup.engine",
        "relhealth.engines.templates",
    }


def test_only_the_command_line_knows_typer() -> None:
    allowed = {
        "relhealth.commands.app",
        "relhealth.commands.options",
        "relhealth.commands.boundary",
    }
    found = importers("typer")
    assert found >= {"relhealth.commands.app", "relhealth.commands.options"}
    assert all(name in allowed or name.startswith("relhealth.commands.") for name in found)


def test_only_rendering_knows_rich() -> None:
    found = importers("rich")
    assert found
    assert all(name.startswith("relhealth.output.") for name in found)


def test_commands_ask_questions_and_no_engine() -> None:
    below = {
        "relhealth.engines.duckdb.engine",
        "relhealth.machine.database",
        "relhealth.machine.queries",
        "relhealth.engines.components",
    }
    for module in MODULES:
        if module.startswith("relhealth.commands."):
            assert not imported(module) & below, module


@pytest.mark.parametrize("module", [name for name in MODULES if room_of(name)])
def test_no_arrow_points_up(module: str) -> None:
    above = ROOMS[ROOMS.index(str(room_of(module))) + 1 :]
    assert not [name for name in imported(module) if room_of(name) in above]


def test_every_module_has_a_room() -> None:
    assert {name for name in MODULES if not room_of(name)} == {"relhealth", "relhealth.__main__"}


def test_no_module_imports_itself_in_a_circle() -> None:
    edges = {module: imported(module) & set(MODULES) for module in MODULES}
    assert list(TopologicalSorter(edges).static_order())  # raises CycleError


TEMPLATES = sorted(path.stem for path in queries.folder().glob("*.sql"))


def test_every_template_has_cases() -> None:
    portable = {one.portable for one in COMPONENTS.values()}  # these have the cases of another
    for name in set(TEMPLATES) - OF_COMMANDS - portable:
        assert list((CASES / name).glob("*.toml")), name
    assert {path.name for path in CASES.iterdir() if path.is_dir()} <= set(TEMPLATES)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_is_one_plain_statement(name: str) -> None:
    template = queries.load(name)
    code = re.sub(r"--.*", "", template.sql)
    assert not set("{};") & set(re.sub(r"'[^']*'", "", code))
    words = set(re.findall(r"\w+", code.lower()))
    assert not words & {"time_bucket", "hash", "enum", "asof", "approx_count_distinct"}
    assert template.parameters <= {
        "start", "end", "now", "recent", "interval", "fractions", "projects", "releases",
        "environments", "by_project", "by_release", "by_environment", "statuses", "follow_up",
    }  # fmt: skip
