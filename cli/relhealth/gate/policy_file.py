"""Reads a policy from a file: relhealth.toml, or pyproject.toml."""

import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from relhealth.core.errors import QuestionError
from relhealth.core.printable import printable
from relhealth.gate.policy import Policy, Rule, When, converted

FILE = "relhealth.toml"
PYPROJECT = "pyproject.toml"


def from_document(document: Mapping[str, Any]) -> Policy:
    """Read a policy from ``{"gate": {…, "rule": […]}}``, without checking the rules together.

    Raises ``QuestionError`` for unknown words, with the known ones, and for values of wrong types.
    """
    _only(document, ["gate", "ingest"], "")
    gate = document.get("gate", {})
    if not isinstance(gate, Mapping):
        raise QuestionError("gate: expected a table, [gate]")
    _only(gate, _words(Policy), "gate.")
    rules = gate.get("rule", [])
    if not isinstance(rules, list) or not all(isinstance(rule, Mapping) for rule in rules):
        raise QuestionError("gate.rule: expected tables, each [[gate.rule]]")
    for number, rule in enumerate(rules, 1):
        _only(rule, _words(Rule), f"rule {number}: ")
        if isinstance(rule.get("when"), Mapping):
            _only(rule["when"], _words(When), f"rule {number}: when.")
    parts = tuple(converted(rule, Rule, f"rule {n}: ") for n, rule in enumerate(rules, 1))
    rest = {word: value for word, value in gate.items() if word != "rule"}
    return replace(converted(rest, Policy, "gate."), rule=parts)


def read_policy(path: Path) -> Policy:
    """Read a policy file; in pyproject.toml, the policy is under ``[tool.relhealth]``.

    Raises ``QuestionError``, which names the file, for any fault.
    """
    named = printable(str(path))
    document: Any = _document(path, _content(path))
    if path.name == PYPROJECT:
        tool = document.get("tool", {})
        document = tool.get("relhealth", {}) if isinstance(tool, Mapping) else {}
        if not isinstance(document, Mapping):
            raise QuestionError(f"{named}: tool.relhealth: expected a table")
    try:
        return from_document(document)
    except QuestionError as error:
        raise QuestionError(f"{named}: {error}") from None


def find_policy(folder: Path) -> Path | None:
    """Return the policy file of a folder: relhealth.toml, else pyproject.toml if it has one.

    Raises ``QuestionError`` for a file that exists but is not readable: a damaged policy
    is not the same as no policy.
    """
    own, project = folder / FILE, folder / PYPROJECT
    if os.path.lexists(own):
        return own
    if not os.path.lexists(project):
        return None
    content = _content(project)
    try:
        document = _document(project, content)
    except QuestionError:
        if b"tool.relhealth" in content:
            raise
        return None  # a matter for other tools
    tool = document.get("tool")
    return project if isinstance(tool, Mapping) and "relhealth" in tool else None


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        named = printable(str(path))
        raise QuestionError(f"{named}: cannot read the policy: {reason}") from None


def _document(path: Path, content: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise QuestionError(f"{printable(str(path))}: not TOML: {error}") from None


def _words(part: type[Policy | Rule | When]) -> list[str]:
    return [field.name for field in fields(part)]


def _only(given: Iterable[str], known: list[str], where: str) -> None:
    for word in given:
        if word not in known:
            raise QuestionError(
                f"{where}{printable(word)}: unknown word; known are {', '.join(known)}"
            )
