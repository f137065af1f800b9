"""The layers: who may import whom (design: commands, questions, engine, queries)."""

from __future__ import annotations

import ast
import re
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import relhealth
from relhealth.machine import queries

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(relhealth.__file__).parent
CASES = Path(__file__).parent / "queries"
MODULES = sorted(
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in ROOT.rglob("*.py")
)
# What stands above the questions: the command line and what it shows.
UPPER = (
    "relhealth.commands",
    "relhealth.output.formats",
    "relhealth.commands.app",
    "relhealth.commands.options",
    "relhealth.commands.conversion",
    "relhealth.output.answer",
    "relhealth.commands.boundary",
    "relhealth.output.github",
    "relhealth.__main__",
)
# Templates that are asked by a command of their own, and tested by it.
OF_COMMANDS = {
    "compact_metric_rows",
    "compact_sessions",
    "ingest_marked_updates",
    "ingest_metric_rows",
    "ingest_repeats",
    "ingest_sessions",
}


def tree_of(module: str) -> ast.Module:
    """Parse a module."""
    path = ROOT.parent.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text(encoding="utf-8"))


def imports(body: list[ast.stmt], *, deep: bool) -> Iterator[str]:
    """Yield the modules that some statements import, for their types alone left aside."""
    for node in body:
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=str(module), names=names):
                for name in names:
                    full = f"{module}.{name.name}"
                    yield full if full in MODULES else module
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                continue
            case ast.FunctionDef() | ast.AsyncFunctionDef() if not deep:
                continue
            case _:
                blocks = (getattr(node, name, []) for name in ("body", "orelse", "finalbody"))
                inner = [each for block in blocks if isinstance(block, list) for each in block] + [
                    each for one in getattr(node, "handlers", []) for each in one.body
                ]
                yield from imports(inner, deep=deep)


@cache
def imported(module: str, *, deep: bool = True) -> frozenset[str]:
    """Return the modules that a module imports, in its functions too if ``deep``."""
    return frozenset(imports(tree_of(module).body, deep=deep))


def importers(library: str) -> set[str]:
    """Return the modules that import a library."""
    return {
        module
        for module in MODULES
        if any(name.split(".")[0] == library for name in imported(module))
    }


def test_only_the_engine_knows_duckdb() -> None:
    assert importers("duckdb") == {"relhealth.machine.database", "relhealth.engines.duckdb.engine"}


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
    assert all(name.startswith("relhealth.output.formats.") for name in found)


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


@pytest.mark.parametrize("module", [name for name in MODULES if not name.startswith(UPPER)])
def test_what_answers_knows_nothing_of_who_asks(module: str) -> None:
    assert not [name for name in imported(module) if name.startswith(UPPER)]


def test_no_module_imports_itself_in_a_circle() -> None:
    edges = {module: imported(module, deep=False) & set(MODULES) for module in MODULES}
    assert list(TopologicalSorter(edges).static_order())  # raises CycleError


TEMPLATES = sorted(path.stem for path in queries.folder().glob("*.sql"))


def test_every_template_has_cases() -> None:
    for name in set(TEMPLATES) - OF_COMMANDS:
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
        "start", "end", "now", "recent", "rollup", "fractions", "projects", "releases",
        "environments", "by_project", "by_release", "by_environment",
    }  # fmt: skip
