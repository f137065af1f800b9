"""The action: its steps, run as a runner does, on the sample data and on hostile inputs."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import ZipFile

import pytest
import yaml

from places import ROOT
from process import environment
from runner import Ran, action, run_action

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = ROOT / "action"
SAMPLE = str(ROOT / "sample_data")
BAD = "1/com.example.shop@3.9.0+4296"
FORMER = "1/com.example.shop@3.8.1+4282"
NOW = "--now=latest"
PASS = {"release": FORMER, "args": f"{NOW}\n--target=98"}
FAIL = {"release": BAD, "args": f"{NOW}\n--target=99\n--critical=98"}
UNDECIDED = {"release": FORMER, "args": f"{NOW}\n--target=99.5\n--critical=98"}
BEFORE = {"sources": SAMPLE, "install": "none", "report": "out/gate.json", "python": sys.executable}


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    made = tmp_path / "workspace"
    made.mkdir()
    return made


def acted(workspace: Path, **inputs: str) -> Ran:
    """Run the action with the relhealth of these tests, and no constraints of who runs them."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return run_action(FOLDER, workspace, BEFORE | inputs, environment(PATH=path, PIP_CONSTRAINT=""))


@pytest.mark.parametrize(
    ("inputs", "inconclusive", "verdict", "gate", "code"),
    [
        (PASS, "fail", "pass", 0, 0),
        (FAIL, "warn", "fail", 1, 1),
        (UNDECIDED, "fail", "inconclusive", 3, 3),
        (UNDECIDED, "warn", "inconclusive", 3, 0),
        (UNDECIDED, "pass", "inconclusive", 3, 0),
    ],
)
def test_a_verdict_is_output_summary_report_and_exit_code(
    inputs: Mapping[str, str],
    inconclusive: str,
    verdict: str,
    gate: int,
    code: int,
    workspace: Path,
) -> None:
    ran = acted(workspace, **inputs, inconclusive=inconclusive)
    assert ran.code == code, ran.log
    report = "out/gate.json"
    assert ran.outputs == {"verdict": verdict, "exit-code": str(gate), "report": report}
    told = json.loads((workspace / report).read_text(encoding="utf-8"))
    assert told["meta"]["verdict"] == verdict
    assert ran.summary.startswith(f"### relhealth gate: {verdict}")
    assert "| Verdict | " in ran.summary
    assert ("::error title=relhealth gate::" in ran.log) == (verdict == "fail")
    undecided = "::warning title=relhealth::the gate cannot decide yet" in ran.log
    assert undecided == (inconclusive == "warn" and gate == 3)


def test_a_dry_run_is_no_pass(workspace: Path) -> None:
    ran = acted(workspace, release=BAD, args=f"{FAIL['args']}\n--dry-run")
    assert (ran.code, ran.outputs["verdict"], ran.outputs["exit-code"]) == (0, "fail", "0")


@pytest.mark.parametrize(
    ("inputs", "code", "message"),
    [
        ({"inconclusive": "perhaps"}, 2, "the input inconclusive is to be fail, warn or pass"),
        ({"report": "gate.exe"}, 2, "the input report is to end in .html"),
        ({"report": "a.json\nverdict=pass"}, 2, "the input report is to be one file"),
        ({"args": "--no-such-option"}, 2, "the gate ended with 2 and without a verdict"),
        ({"args": f"{NOW}\n--target=many"}, 2, "the gate ended with 2 and without a verdict"),
        ({"policy": "none.toml"}, 2, "none.toml: cannot read the policy"),
        ({"sources": "no/data"}, 4, "no/data: no such file or directory"),
    ],
)
def test_a_bad_input_is_an_error(
    inputs: Mapping[str, str], code: int, message: str, workspace: Path
) -> None:
    stale = workspace / "out" / "gate.json"
    stale.parent.mkdir()
    stale.write_text('{"meta": {"verdict": "pass"}}', encoding="utf-8")
    ran = acted(workspace, **{**PASS, "inconclusive": "pass", **inputs})
    assert ran.code == code, ran.log
    assert (ran.outputs["verdict"], ran.outputs["exit-code"]) == ("error", str(code))
    assert re.search(r"^::error title=relhealth", ran.log, re.MULTILINE)
    assert message in ran.log
    assert "error" in ran.summary
    if ran.outputs["report"]:
        assert json.loads(stale.read_text(encoding="utf-8"))["meta"]["verdict"] == "error"


def test_an_end_without_a_verdict_is_no_pass(workspace: Path) -> None:
    """Help ends with 0, and judges nothing."""
    ran = acted(workspace, args="--help", inconclusive="pass")
    assert ran.code == 2, ran.log
    assert ran.outputs == {"verdict": "error", "exit-code": "0", "report": ""}
    assert "::error title=relhealth::the gate ended with 0 and without a verdict" in ran.log
    assert "error" in ran.summary


HOSTILE_LINES = [
    '\'; touch ran1; echo "$(touch ran2)" `touch ran3` ${IFS} "; touch ran4 #',
    "$(touch ran5)",
    "--output=ran6",
    "\\",
    "* | touch ran7 && exit 0",
]
HOSTILE = "\n".join(HOSTILE_LINES)


@pytest.mark.parametrize("names", ["inconclusive", "report", "sources policy release"])
def test_inputs_are_never_run(names: str, workspace: Path) -> None:
    ran = acted(workspace, **PASS | dict.fromkeys(names.split(), HOSTILE))
    assert (ran.code, ran.outputs["verdict"]) == (2, "error"), ran.log
    assert list(workspace.glob("ran*")) == []


def test_further_options_are_words_and_never_run(workspace: Path) -> None:
    words = HOSTILE.replace("--output=ran6", "")
    ran = acted(workspace, **PASS | {"args": f"{PASS['args']}\n{words}"})
    assert (ran.code, ran.outputs["verdict"]) == (4, "error"), ran.log  # sources without a file
    assert list(workspace.glob("ran*")) == []


def test_several_sources_and_releases_are_lines(workspace: Path) -> None:
    days = sorted(Path(SAMPLE).glob("*/"))
    ran = acted(
        workspace,
        sources="\n".join(map(str, days)) + "\r\n\n",
        release=f"{FORMER}\n{BAD}\n",
        args=f"{NOW}\n\n--target=98",
    )
    assert ran.outputs["verdict"] == "fail"
    assert FORMER.partition("/")[2] in ran.summary
    assert BAD.partition("/")[2] in ran.summary


def test_the_page_is_the_report_by_default(workspace: Path) -> None:
    (workspace / "relhealth.toml").write_text(
        f'[defaults]\nsources = ["{SAMPLE}"]\nnow = "latest"\n\n[[gate.rule]]\ntarget = 98\n'
    )
    default = action(FOLDER)["inputs"]["report"]["default"]
    ran = acted(workspace, sources="", report=default, release=BAD)
    assert (ran.code, ran.outputs["report"]) == (1, "relhealth-gate.html"), ran.log
    assert "<html" in (workspace / "relhealth-gate.html").read_text(encoding="utf-8")


def fake_python(folder: Path) -> Path:
    """Return a Python that makes environments whose Python writes down what it is asked."""
    python = folder / "python"
    python.write_text(
        "#!/bin/sh\n"
        'case "$1" in\n'
        "  -c) exit 0 ;;\n"
        f'  -m) mkdir -p "$3/bin" && ln -s {folder}/pip "$3/bin/python" ;;\n'
        "esac\n"
    )
    pip = folder / "pip"
    pip.write_text(f'#!/bin/sh\nprintf "%s\\n" "$PIP_CONSTRAINT" "$@" > {folder}/asked\nexit 3\n')
    for path in (python, pip):
        path.chmod(0o755)
    return python


@pytest.mark.parametrize(
    ("install", "report", "wanted", "pinned"),
    [
        ("", "gate.html", f"{ROOT}[report]", f"{ROOT}/constraints.txt"),
        ("", "gate.xml", f"{ROOT}", f"{ROOT}/constraints.txt"),
        ("tool", "gate.html", "{workspace}/tool[report]", ""),
        ("relhealth @ git+https://git.example.com/x", "gate.html", None, ""),
        ("--index-url=https://bad.example.com", "gate.xml", None, ""),
        ("$(touch ran)'\n`touch ran`", "gate.xml", None, ""),
    ],
)
def test_what_is_installed(
    install: str, report: str, wanted: str | None, pinned: str, workspace: Path
) -> None:
    (workspace / "tool").mkdir()
    python = fake_python(workspace.parent)
    ran = acted(workspace, install=install, report=report, python=str(python))
    assert (ran.code, ran.outputs["verdict"]) == (3, "error")  # pip failed, so no gate ran
    constraint, *asked = (workspace.parent / "asked").read_text(encoding="utf-8").split("\n")
    assert constraint == pinned
    assert asked[:2] == ["-m", "pip"]
    expected = (wanted or install).format(workspace=workspace)
    assert "\n".join(asked[asked.index("--") + 1 :]) == f"{expected}\n"
    assert not (workspace / "ran").exists()


def test_an_old_python_is_refused(workspace: Path) -> None:
    ran = acted(workspace, install="", python="/bin/false")
    assert ran.code == 2
    assert "::error title=relhealth::the input python is to name Python 3.11 or later" in ran.log


@pytest.mark.slow
def test_a_wheel_is_installed_and_asked(workspace: Path) -> None:
    """By pip itself, into an environment of its own; the program in the wheel is a small one."""
    wheel = workspace / "relhealth-9-py3-none-any.whl"
    about = "relhealth-9.dist-info"
    with ZipFile(wheel, "w") as archive:
        archive.writestr("relhealth.py", "def run():\n    raise SystemExit(1)\n")
        archive.writestr(
            f"{about}/METADATA", "Metadata-Version: 2.1\nName: relhealth\nVersion: 9\n"
        )
        archive.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(
            f"{about}/entry_points.txt", "[console_scripts]\nrelhealth = relhealth:run\n"
        )
        archive.writestr(f"{about}/RECORD", "")
    ran = acted(workspace, install=wheel.name, **PASS)
    assert (ran.code, ran.outputs["exit-code"], ran.outputs["verdict"]) == (1, "1", "error"), (
        ran.log
    )


def test_every_output_and_input_is_used_and_described() -> None:
    document = action(FOLDER)
    steps = json.dumps(document["runs"])
    for name, told in (document["inputs"] | document["outputs"]).items():
        assert told["description"]
        assert f"inputs.{name} " in steps or f"tell {name} " in steps, name


def test_the_docs_tell_of_every_input_and_output() -> None:
    document = action(FOLDER)
    page = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    _, _, section = page.partition("### The action\n")
    rows = re.findall(r"^\| `([a-z-]+)` \|", section.partition("\n### ")[0], re.MULTILINE)
    assert rows == [*document["inputs"], *document["outputs"]]
    (example,) = re.findall(
        r"```yaml\n(.*?)^```$", section.partition("\n### ")[0], re.DOTALL | re.MULTILINE
    )
    steps = yaml.safe_load(example)["jobs"]["gate"]["steps"]
    (used,) = [
        step for step in steps if step["uses" if "uses" in step else "run"].endswith("/action")
    ]
    assert set(used["with"]) <= set(document["inputs"])
