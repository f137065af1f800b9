"""``relhealth config``: what the settings are, and where each comes from."""

import os
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from relhealth.commands import options
from relhealth.commands.configuration import OF_POLICY, OPTIONS, Configuration, current
from relhealth.core.errors import QuestionError
from relhealth.core.settings_file import SettingsFile, places
from relhealth.output.answer import Answer
from relhealth.output.layouts.configuration import Origin, Setting, configuration_report
from relhealth.stores.limits import DEFAULT_SIZE

_VARIABLES = {
    "now": "RELHEALTH_NOW",
    "spark": "RELHEALTH_SPARK",
    "cache_size": "RELHEALTH_CACHE_SIZE",
}
_BUILT_IN = {"period": "24h", "engine": "auto", "cache_size": DEFAULT_SIZE}


def config(
    format: options.FormatOption = None,  # noqa: A002 - the option's name
    output: options.Output = None,
    quiet: options.Quiet = False,
    debug: options.Debug = False,  # noqa: ARG001 - read by the error boundary
) -> None:
    """Show the settings that hold here, and where each comes from.

    An option beats an environment variable, which beats relhealth.toml.

    The file can be in this folder, or in one above.

    Examples:

      relhealth config

      relhealth config -f json
    """
    answer = Answer.to(format, output, quiet=quiet)
    found = current()
    settings = [*_defaults(found), *_projects(found), *_ingest(found.file), *_gate(found)]
    file = None if found.file is None else found.file.path
    searched: list[str] = []
    for of_folder in places():
        searched += map(os.path.abspath, of_folder)
        if file is not None and str(file) in of_folder:
            break
    answer.give(configuration_report(settings, _absolute(file), searched))


def _absolute(file: Path | None) -> str | None:
    return None if file is None else os.path.abspath(file)


def _defaults(found: Configuration) -> Iterator[Setting]:
    for word in OPTIONS:
        variable = _VARIABLES.get(word)
        name = f"defaults.{word}"
        if variable is not None and os.environ.get(variable):
            yield Setting(name, os.environ[variable], Origin.VARIABLE, variable)
        elif word in found.defaults:
            yield _of_file(found.file, name, found.defaults[word])
        else:
            yield Setting(name, _BUILT_IN.get(word), Origin.BUILT_IN)


def _projects(found: Configuration) -> Iterator[Setting]:
    for name, project in found.projects.items():
        yield _of_file(found.file, f"projects.{name}", project)


def _ingest(file: SettingsFile | None) -> Iterator[Setting]:
    if file is None:
        return
    from relhealth.ingest.settings import settings_of

    settings_of(file, named=False).plan(None)  # raises the faults of the table
    for word, value in file.table("ingest").items():
        yield _of_file(file, f"ingest.{word}", value)


def _gate(found: Configuration) -> Iterator[Setting]:
    from relhealth.gate.policy import Policy
    from relhealth.gate.policy_file import from_document

    document = {} if found.file is None else found.file.document
    try:
        policy = from_document(document, found.of_policy())
        if policy.rule:
            policy.checked()
    except QuestionError as error:
        raise error if found.file is None else found.file.fault(error) from None
    own = document.get("gate", {})
    for word in (field.name for field in fields(Policy) if field.name != "rule"):
        value = getattr(policy, word)
        if word in own or (word in OF_POLICY and word in found.defaults):
            yield _of_file(found.file, f"gate.{word}", value)
        else:
            yield Setting(f"gate.{word}", value, Origin.BUILT_IN)
    for number, rule in enumerate(own.get("rule", []), 1):
        yield _of_file(found.file, f"gate.rule {number}", rule)


def _of_file(file: SettingsFile | None, word: str, value: object) -> Setting:
    return Setting(word, value, Origin.FILE, None if file is None else _absolute(file.path))
