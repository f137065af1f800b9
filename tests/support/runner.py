"""A runner of composite actions: parses action.yml, and runs its steps as GitHub's runner does."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

_EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")


class Ran(NamedTuple):
    """What an action left: the first exit code that is not 0, outputs, summary and log."""

    code: int
    outputs: dict[str, str]
    summary: str
    log: str


def action(folder: Path) -> Any:
    """Return an action's document."""
    return yaml.safe_load((folder / "action.yml").read_text(encoding="utf-8"))


def run_action(
    folder: Path, workspace: Path, inputs: Mapping[str, str], env: Mapping[str, str]
) -> Ran:
    """Run an action's steps in a workspace; inputs that are not given have their defaults."""
    document = action(folder)
    assert set(inputs) <= set(document["inputs"])
    known = {f"inputs.{name}": told.get("default", "") for name, told in document["inputs"].items()}
    known |= {f"inputs.{name}": value for name, value in inputs.items()}
    temporary = workspace.parent / "runner"
    temporary.mkdir()
    summary = temporary / "summary.md"
    code, log = 0, ""
    for number, step in enumerate(document["runs"]["steps"]):
        output = temporary / f"output-{number}"
        for path in (output, summary):
            path.touch()
        ended = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(_script(step, temporary))],
            cwd=workspace,
            env=dict(env)
            | {
                "CI": "true",
                "GITHUB_ACTIONS": "true",
                "GITHUB_ACTION_PATH": str(folder),
                "GITHUB_ENV": os.devnull,
                "GITHUB_OUTPUT": str(output),
                "GITHUB_STEP_SUMMARY": str(summary),
                "GITHUB_WORKSPACE": str(workspace),
                "RUNNER_TEMP": str(temporary),
            }
            | {name: substituted(value, known) for name, value in step.get("env", {}).items()},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        log += ended.stdout
        name = step.get("id", str(number))
        known |= {f"steps.{name}.outputs.{key}": value for key, value in _outputs(output)}
        code = ended.returncode
        if code:
            break
    told = {key: substituted(one["value"], known) for key, one in document["outputs"].items()}
    return Ran(code, told, summary.read_text(encoding="utf-8"), log)


def substituted(text: str, known: Mapping[str, str]) -> str:
    """Return a text with its expressions' values; what a step did not set is empty, or its else."""

    def value(found: re.Match[str]) -> str:
        name, _, other = found[1].partition(" || ")
        assert name in known or name.startswith("steps."), name
        assert not other or re.fullmatch("'[^']*'", other), other
        return known.get(name) or other.strip("'")

    return _EXPRESSION.sub(value, text)


def _script(step: Mapping[str, Any], folder: Path) -> Path:
    assert step["shell"] == "bash"
    assert not _EXPRESSION.search(step["run"]), "an expression in a script runs as code"
    path = folder / "step.sh"
    path.write_text(step["run"], encoding="utf-8")
    return path


def _outputs(path: Path) -> list[tuple[str, str]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [(name, value) for name, _, value in (line.partition("=") for line in lines)]
