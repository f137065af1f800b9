"""Remake the table of what completion knows from the commands themselves."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from typer.core import TyperArgument

import relhealth
from relhealth.commands.app import commands_for
from relhealth.commands.gate import Mapped
from relhealth.engines import AUTO, ENGINES
from relhealth.gate.metrics import METRICS
from relhealth.ingest.kinds import InputKind, Unknown
from relhealth.ingest.mapping import FIELDS as MAPPED
from relhealth.output.formats import METRICS as MEASURED
from relhealth.output.formats import PAGES, ROWS, Format
from relhealth.output.layouts.overview import COLUMNS
from relhealth.questions.adoption_stages import STAGE_SORTS, ReleaseStage, Stage
from relhealth.questions.fields import FIELDS, KEYS, STATUSES
from relhealth.questions.overview import SORT_ALIASES, SORT_KEYS
from relhealth.questions.project_list import ListedProject
from relhealth.questions.release_list import RELEASE_SORTS, ListedRelease

TABLE = Path(relhealth.__file__).parent / "completion" / "table.txt"
PERIODS = ("1h", "6h", "12h", "24h", "3d", "7d", "14d", "30d", "90d")
INTERVALS = ("1m", "10m", "1h", "3h", "6h", "12h", "1d")  # of a day
PATHS = {"SOURCE", "FILE", "DATASET", "INPUT"}
# What a user has to think of: numbers, texts, and words of their own data.
FREE = {"ADDRESS", "AGE", "DAYS", "ID", "MARGIN", "N", "NAME=COLUMN", "PERCENT", "SHARE", "SIZE"}
FREE |= {"BROKERS", "DSN", "KEY", "NAME", "ORG", "TOPIC", "URL", "WORD=STATUS"}
WORDS: dict[str, Sequence[str]] = {
    "ACTION": list(Unknown),
    "COUNT": ["sessions", "users"],
    "ENGINE": [*ENGINES, AUTO],
    "FIELD": list(FIELDS),
    "FIELD=COLUMN": [f"{name}=" for name in MAPPED],
    "GROUP": KEYS,
    "INSTANT": ["latest"],
    "KIND": list(InputKind),
    "LENGTH": PERIODS,
    "METRIC": list(METRICS),
    "SHELL": ["bash", "zsh", "fish"],
    "STAGE": [one.value.removesuffix("_adoption") for one in Stage],
    "STATUS": STATUSES,
    "VERDICT": list(Mapped),
}
OF_COMMANDS: dict[tuple[str, str], Sequence[str]] = {
    ("overview", "COLUMNS"): COLUMNS,
    ("releases", "COLUMNS"): list(ListedRelease.UNITS),
    ("projects", "COLUMNS"): list(ListedProject.UNITS),
    ("adoption", "COLUMNS"): list(ReleaseStage.UNITS),
    ("overview", "FIGURE"): [*SORT_ALIASES, *SORT_KEYS, "release"],
    ("releases", "FIGURE"): RELEASE_SORTS,
    ("adoption", "FIGURE"): STAGE_SORTS,
    ("gate", "FORMAT=FILE"): [f"{one}=" for one in Format],
    ("overview", "FORMAT=FILE"): [f"{one}=" for one in (*ROWS, *PAGES, *MEASURED)],
    ("gate", "--release"): ["latest"],
    ("gate test", "--release"): ["latest"],
    ("ingest", "--now"): [],
    ("ingest", "--since"): [],
    ("overview", "--by"): ["environment"],
    ("query", "--interval"): INTERVALS,
    ("query", "--start"): [],
    ("query", "--end"): [],
    ("releases", "--since"): [],
    ("gate test", "--since"): [],
}
OF_COMMANDS |= {
    (name, "--baseline"): ["prevailing", "previous"] for name in ("gate", "gate test", "gate plan")
}
NAMES = {
    "A": "release",
    "B": "release",
    "COLUMN": "dimension",
    "COLUMN=VALUE": "dimension",
    "ENVIRONMENT": "environment",
    "GROUP": "dimension",
    "PROJECT": "project",
    "RELEASE": "release",
}


def lines() -> Iterator[str]:
    """Yield the lines of the table."""
    for name, command in commands_for([]).commands.items():
        yield "\t".join((name, "", "command", "", _about(command.help)))
        number = 0
        for param in command.params:
            if getattr(param, "hidden", False):
                continue
            words = param.opts
            if isinstance(param, TyperArgument):
                number += 1
                words = [str(number)]
            kind, choices = _value(name, param)
            yield "\t".join((name, " ".join(words), kind, " ".join(choices), _about(param.help)))


def _value(command: str, param: Any) -> tuple[str, Sequence[str]]:
    """Return the kind of a parameter's value, and the words that it can have."""
    if getattr(param, "is_flag", False):
        return "flag", []
    metavar = str(param.metavar)
    if (command, metavar) == ("status", "SOURCE"):  # the last word can be a release
        return "release", []
    if metavar in PATHS:
        return "file", []
    for key in (param.opts[0], metavar):
        if (command, key) in OF_COMMANDS:
            return NAMES.get(metavar, "words"), OF_COMMANDS[command, key]
    if metavar == "FORMAT":
        return "words", [one for one in Format if f"{one}" in _words(param.help)]
    if metavar not in {*FREE, *WORDS, *NAMES}:
        raise LookupError(f"{command} {param.opts[0]}: {metavar} is unknown here")
    return NAMES.get(metavar, "words"), WORDS.get(metavar, [])


def _words(text: str) -> set[str]:
    return {word.strip(".,:;()") for word in text.split()}


def _about(text: str | None) -> str:
    first = " ".join((text or "").partition("\n\n")[0].split()).replace("\\[", "[")
    for end in (". ", ": ", "; "):
        first = first.partition(end)[0]
    return first.rstrip(".")


if __name__ == "__main__":
    TABLE.write_text("".join(f"{line}\n" for line in lines()), encoding="utf-8")
