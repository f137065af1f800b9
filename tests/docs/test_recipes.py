"""A recipe of CONTRIBUTING, followed in a copy of the package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import relhealth
from pages import SAMPLE

FORMULA = '''
def ended_well(crashed: int, abnormal: int, sessions: int) -> float | None:
    """Return the percentage of sessions that neither crashed nor ended abnormally."""
    return 100 * (sessions - crashed - abnormal) / sessions if sessions else None


def '''
VALUE = """            sessions_ended_well=figures.ended_well(
                counts["crashed"], counts["abnormal"], counts["sessions"]
            ),
"""
# Each edit: the module of questions/, what stands there, and what takes its place.
EDITS = (
    ("overview", "    sessions_healthy: int\n", "{}    sessions_ended_well: float | None\n"),
    (
        "overview",
        '    "sessions_healthy": Unit.COUNT,\n',
        '{}    "sessions_ended_well": Unit.PERCENT,\n',
    ),
    ("figures", "\ndef ", FORMULA),
    ("merge", "            users_crashed=", VALUE + "{}"),
)


def test_a_figure_needs_three_modules(tmp_path: Path) -> None:
    """Its field and unit, its formula and its value: then every format has it."""
    package = tmp_path / "relhealth"
    shutil.copytree(Path(relhealth.__file__).parent, package)
    shutil.copytree(Path(__file__).parents[2] / "queries", package / "queries")
    for module, old, new in EDITS:
        path = package / "questions" / f"{module}.py"
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new.format(old), 1), encoding="utf-8")

    def asked(*options: str) -> list[str]:
        line = ["overview", SAMPLE, "--now", "latest", "-p", "1", *options]
        return subprocess.run(
            [sys.executable, "-m", "relhealth", *line],
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            cwd=tmp_path,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.splitlines()

    header, *lines = asked("-f", "csv")
    at = header.split(",").index("sessions_ended_well")
    assert [round(float(line.split(",")[at]), 2) for line in lines] == [
        99.65, 92.31, 99.43, 97.78, 100.0
    ]  # fmt: skip
    name = "relhealth_sessions_ended_well_ratio"
    metrics = asked("-f", "prometheus")
    assert f"# HELP {name} Sessions ended well." in metrics
    assert sum(line.startswith(name + "{") for line in metrics) == 5
    table = asked("--columns", "release,sessions_ended_well", "--sort", "sessions_ended_well")
    assert "Sessions ended well" in table[1]
    assert table[-1].split() == ["com.example.shop@3.9.0+4296", "92.30%"]
