"""Reads a policy from the file of settings."""

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from relhealth.core.errors import QuestionError
from relhealth.core.project_names import ids_by_name, project_id
from relhealth.core.settings_file import TABLES, read, refuse_unknown
from relhealth.gate.policy import Policy, Rule, When, converted


def from_document(document: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> Policy:
    """Read a policy from ``{"gate": {…, "rule": […]}}``, without checking the rules together.

    ``defaults`` holds settings that the policy takes where it has no own. Projects can be names:
    those of the table ``projects``, or those in force. Raises ``QuestionError`` for unknown words,
    with the known ones, and for values of wrong types.
    """
    refuse_unknown(document, TABLES)
    gate = document.get("gate", {})
    if not isinstance(gate, Mapping):
        raise QuestionError("gate: expected a table, [gate]")
    refuse_unknown(gate, _words(Policy), "gate.")
    rules = gate.get("rule", [])
    if not isinstance(rules, list) or not all(isinstance(rule, Mapping) for rule in rules):
        raise QuestionError("gate.rule: expected tables, each [[gate.rule]]")
    for number, rule in enumerate(rules, 1):
        refuse_unknown(rule, _words(Rule), f"rule {number}: ")
        if isinstance(rule.get("when"), Mapping):
            refuse_unknown(rule["when"], _words(When), f"rule {number}: when.")
    own = document.get("projects", {})
    ids = {**ids_by_name(), **(own if isinstance(own, Mapping) else {})}
    parts = tuple(
        converted(_with_ids(rule, ids, f"rule {n}: "), Rule, f"rule {n}: ")
        for n, rule in enumerate(rules, 1)
    )
    rest = {word: value for word, value in gate.items() if word != "rule"}
    rest = {**(defaults or {}), **_with_ids(rest, ids, "gate.")}
    return replace(converted(rest, Policy, "gate."), rule=parts)


def read_policy(path: Path, defaults: Mapping[str, Any] | None = None) -> Policy:
    """Read a policy file; in pyproject.toml, the policy is under ``[tool.relhealth]``.

    ``defaults`` is as in ``from_document``. Raises ``QuestionError``, which names the file, for any
    fault.
    """
    file = read(path, "the policy")
    try:
        return from_document(file.document, defaults)
    except QuestionError as error:
        raise file.fault(error) from None


def _with_ids(part: Mapping[str, Any], ids: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return a part of a policy with the ids of projects in place of their names."""
    projects = part.get("projects")
    if not isinstance(projects, list):
        return dict(part)
    try:
        return {**part, "projects": [_id(one, ids) for one in projects]}
    except QuestionError as error:
        raise QuestionError(f"{where}projects: {error}") from None


def _id(word: Any, ids: Mapping[str, Any]) -> Any:
    return project_id(word, ids) if isinstance(word, str) else word


def _words(part: type[Policy | Rule | When]) -> Iterable[str]:
    return [field.name for field in fields(part)]
