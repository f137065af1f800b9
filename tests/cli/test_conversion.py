"""Plain words of a command line get the values that Typer gives them, without pydantic."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from typer import BadParameter
from typer._click import Context
from typer.core import TyperCommand
from typer.main import get_command

from command import run
from relhealth.commands.app import commands_for, registered
from relhealth.commands.conversion import convert_plainly
from relhealth.output.formats import ROWS

if TYPE_CHECKING:
    from pathlib import Path

WORDS = (
    *("", " ", "-", "24h", "latest", "nonsense", "true", "nan", "inf", "é", "x.json", "a/b.csv"),
    *("0", "7", "007", "-7", "+7", " 7 ", "1_000", "9" * 18, "9" * 19, "9" * 5000, "٣", "²"),
    *("0.5", "99.95", ".5", "5.", "1e3", "0." + "3" * 18, "123456789012345678.9", "7.0"),
    *("table", "json", "JSON", "openmetrics", "envelopes", "tables"),
)
COMMANDS = commands_for([]).commands


def converted(parameter: Any, value: Any) -> Any:
    """Return what a parameter makes of a value, or what it says against it."""
    try:
        found = parameter.get_runtime_param().coerce(value, parameter, Context(TyperCommand("x")))
    except Exception as error:  # noqa: BLE001 - compared with the other's
        return type(error), str(error)
    return (type(found), repr(found)) if found else None  # (), [] and None are nothing, to Typer


@pytest.mark.parametrize("name", COMMANDS)
def test_words_become_what_typer_makes_of_them(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "7").write_text("a file of that name")
    (tmp_path / "24h").mkdir()
    (tmp_path / "x.json").symlink_to("nowhere")
    command, plainly = (get_command(registered()).commands[name] for _ in range(2))  # type: ignore[attr-defined]
    for theirs, ours in zip(command.params, plainly.params, strict=True):
        many = theirs.multiple or theirs.nargs == -1
        words = [[], WORDS[3:5], *([word] for word in WORDS)] if many else WORDS
        default = theirs.default() if callable(theirs.default) else theirs.default
        for value in [None, default, *words]:
            convert_plainly(plainly)
            mine, typers = converted(ours, value), converted(theirs, value)
            if mine and mine[0] is BadParameter:  # in our own words
                assert typers[0] is BadParameter, (theirs.name, value)
                assert not re.search("Value error|Input should", mine[1])
                continue
            assert mine == typers, (theirs.name, value)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("gate x -r latest --target abc", "'--target': 'abc' is not a number"),
        ("overview x --limit 1.5", "'--limit': '1.5' is not a whole number"),
        ("receive --max-connections 0", "'0' is not a whole number at least 1"),
        ("ingest x --to y --from csvs", "'csvs' is not one of "),
        (
            "overview x -f htlm",
            "markdown, parquet, html, prometheus or openmetrics; the nearest is html",
        ),
        ("rollup x -f csv", "'csv' is not table or json\n"),
        ("gate test x -f junit", f"'junit' is not {', '.join(ROWS[:-1])} or {ROWS[-1]}\n"),
        ("releases x -f html", f"'html' is not {', '.join(ROWS[:-1])} or {ROWS[-1]}\n"),
        ("release x y -f openmetric", f"'openmetric' is not {', '.join(ROWS)} or html\n"),
    ],
)
def test_a_wrong_word_is_told_in_plain_words(line: str, told: str) -> None:
    result = run(*line.split())
    assert (result.code, result.out, told in result.err) == (2, "", True), result.err
    assert len(result.err.splitlines()) == 2


def test_a_line_is_run_by_its_own_commands_alone() -> None:
    assert set(commands_for(["overview", "x"]).commands) == {"overview"}
    assert set(commands_for(["gate", "test"]).commands) == {"gate", "gate plan", "gate test"}
    for line in ([], ["--help"], ["overviw"], ["-v", "overview"]):
        assert commands_for(line).commands.keys() == COMMANDS.keys()
