"""The SQL templates: where they are, and the parameters of each."""

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

_PACKAGE = Path(__file__).parents[1]

# Comments and quoted text, where a $name is not a parameter; then the parameters.
_NOT_CODE = re.compile(r"--[^\n]*|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"")
_PARAMETER = re.compile(r"\$([a-z_]+)")


class Template(NamedTuple):
    """One SQL statement and the names of its parameters."""

    name: str
    sql: str
    parameters: frozenset[str]


def folder() -> Path:
    """Return the folder of the templates: that of the package, else that of the checkout."""
    installed = _PACKAGE / "queries"
    return installed if installed.is_dir() else _PACKAGE.parents[1] / "queries"


@cache
def load(name: str) -> Template:
    """Return the template of that name."""
    sql = (folder() / f"{name}.sql").read_text(encoding="utf-8")
    return Template(name, sql, parameters(sql))


def limited(sql: str, most: int | None) -> str:
    """Return a statement that yields at most one row more than ``most``; None: any number."""
    return sql if most is None else f"SELECT * FROM (\n{sql}\n) LIMIT {most + 1}"


def parameters(sql: str) -> frozenset[str]:
    """Return the parameters that a statement names."""
    return frozenset(_PARAMETER.findall(_NOT_CODE.sub(" ", sql)))
