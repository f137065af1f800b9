"""What the file of settings sets for commands: defaults of their options, names of projects."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date, datetime, time
from typing import Any, NamedTuple

from relhealth.core import settings_file
from relhealth.core.errors import QuestionError
from relhealth.core.nearest import hint
from relhealth.core.project_names import is_id, named_projects, project_id
from relhealth.core.settings_file import SettingsFile, refuse_unknown
from relhealth.engines import AUTO, ENGINES
from relhealth.engines.spark.sources import is_table

# Each word of [defaults], with the parameter of commands that it sets.
OPTIONS = {
    "sources": "sources",
    "projects": "project",
    "environments": "environment",
    "org": "org",
    "period": "period",
    "now": "now",
    "max_age": "max_age",
    "engine": "engine",
    "spark": "spark",
    "memory_limit": "memory_limit",
    "threads": "threads",
    "cache_size": "cache_size",
}
# The words that a policy has, too: for commands with a policy they are defaults of [gate].
OF_POLICY = ("projects", "environments", "period", "max_age")
_WITH_POLICY = ("gate", "gate test", "gate plan", "status")
# The commands that write a data set ask nothing.
_OF_MACHINE = ("memory_limit", "threads", "cache_size")
_WRITING = ("ingest", "receive", "compact", "rollup")
_INT64 = range(-(2**63), 2**63)


class Configuration(NamedTuple):
    """The settings of a file, checked; ``fault`` is the error if the file has one."""

    file: SettingsFile | None = None
    projects: Mapping[str, int] = {}
    defaults: Mapping[str, Any] = {}
    fault: QuestionError | None = None

    def options_of(self, command: str) -> dict[str, Any]:
        """Return the defaults of a command's parameters, by their names."""
        without = OF_POLICY if command in _WITH_POLICY else ()
        words = _OF_MACHINE if command in _WRITING else OPTIONS
        return {
            OPTIONS[word]: self.defaults[word]
            for word in words
            if word in self.defaults and word not in without
        }

    def of_policy(self) -> dict[str, Any]:
        """Return the settings that a policy takes where it has no own."""
        return {word: self.defaults[word] for word in OF_POLICY if word in self.defaults}


_CURRENT: ContextVar[Configuration] = ContextVar("configuration")


def current() -> Configuration:
    """Return the configuration of the running command; raises its fault, if it has one."""
    found = _CURRENT.get(Configuration())
    if found.fault is not None:
        raise found.fault
    return found


@contextmanager
def configured(arguments: Sequence[str]) -> Iterator[Configuration]:
    """Read the file of settings for a command line, and let it apply meanwhile.

    A gate meets a fault of the file when it first looks for its policy, so that it can write the
    error to its reports.
    """
    found = Configuration()
    asks_nothing = {"--help", "-h", "--version"}.intersection(arguments)
    if arguments and not asks_nothing and arguments[0] != "completion":
        try:
            found = configuration(settings_file.find())
        except QuestionError as error:
            if arguments[0] != "gate":
                raise
            found = Configuration(fault=error)
    token = _CURRENT.set(found)
    try:
        with named_projects(found.projects):
            yield found
    finally:
        _CURRENT.reset(token)


def configuration(file: SettingsFile | None) -> Configuration:
    """Return the settings of a file; raises ``QuestionError``, which names it, for a fault."""
    if file is None:
        return Configuration()
    projects, given = file.table("projects"), file.table("defaults")
    try:
        for name, one in projects.items():
            _check_name(name, one)
        refuse_unknown(given, OPTIONS, "defaults.")
        defaults = {word: _value(word, value) for word, value in given.items()}
        if "projects" in defaults:
            ids = [project_id(one, projects) for one in defaults["projects"]]
            defaults["projects"] = ids
    except QuestionError as error:
        raise file.fault(error) from None
    if "sources" in defaults:
        folder = os.path.dirname(file.path)
        defaults["sources"] = [_from(folder, one) for one in defaults["sources"]]
    return Configuration(file, projects, defaults)


def _check_name(name: str, project: object) -> None:
    if not name or is_id(name) or "/" in name:
        raise QuestionError(f"projects.{name!r}: a name must have letters, and no /")
    if not _is_whole(project):
        raise QuestionError(f"projects.{name}: expected the id of a project, a whole number")


def _from(folder: str, source: str) -> str:
    """Return a source as this folder names it; relative paths are relative to the file's."""
    from relhealth.stores.addresses import is_uri

    there = os.path.join(folder, source)
    is_path = not is_uri(source) and not is_table(source)
    return there if is_path or os.path.lexists(there) else source


def _value(word: str, value: object) -> Any:
    """Return a value of [defaults], checked."""
    try:
        return _CHECKS[word](value)
    except QuestionError as error:
        raise QuestionError(f"defaults.{word}: {error}") from None


def _is_whole(value: object) -> bool:
    return type(value) is int and value in _INT64


def _whole(value: object) -> int:
    if not _is_whole(value):
        raise QuestionError("expected a whole number")
    return value  # type: ignore[return-value]


def _positive(value: object) -> int:
    if _whole(value) < 1:
        raise QuestionError(f"{value}: expected 1 or more")
    return _whole(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise QuestionError("expected text")
    return value


def _texts(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value) or not value:
        raise QuestionError('expected a list of text, such as ["…"]')
    return value


def _projects(value: object) -> list[int | str]:
    if (
        not isinstance(value, list)
        or not all(isinstance(one, str) or _is_whole(one) for one in value)
        or not value
    ):
        raise QuestionError("expected a list of projects, each an id or a name")
    return value


def _instant(value: object) -> str:
    if isinstance(value, datetime):
        value = value.isoformat()
    if isinstance(value, date | time):
        value = str(value)
    if value != "latest":
        from relhealth.core.windows import parse_instant

        parse_instant(_text(value))
    return _text(value)


def _engine(value: object) -> str:
    name, known = _text(value), (AUTO, *ENGINES)
    if name not in known:
        raise QuestionError(f"{name!r}: expected one of {', '.join(known)}{hint(name, known)}")
    return name


def _period(value: object) -> str:
    from relhealth.core.windows import check_period

    return check_period(_text(value))


def _length(value: object) -> str:
    from relhealth.core.windows import parse_length

    parse_length(_text(value))
    return _text(value)


def _memory(value: object) -> str:
    from relhealth.machine.memory import memory_bytes

    memory_bytes(_text(value))
    return _text(value)


def _cache(value: object) -> str:
    from relhealth.stores.limits import cache_bytes

    cache_bytes(_text(value))
    return _text(value)


_CHECKS: Mapping[str, Callable[[object], Any]] = {
    "sources": _texts,
    "projects": _projects,
    "environments": _texts,
    "org": _whole,
    "period": _period,
    "now": _instant,
    "max_age": _length,
    "engine": _engine,
    "spark": _text,
    "memory_limit": _memory,
    "threads": _positive,
    "cache_size": _cache,
}
