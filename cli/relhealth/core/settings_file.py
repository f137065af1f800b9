"""Finds and reads the file of settings: relhealth.toml, or [tool.relhealth] of pyproject.toml."""

import os
import re
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from relhealth.core.errors import QuestionError
from relhealth.core.nearest import hint
from relhealth.core.printable import printable

FILE = "relhealth.toml"
PYPROJECT = "pyproject.toml"
TABLES = ("gate", "ingest", "defaults", "projects")
# What a pyproject.toml with settings has; others need not be parsed.
_OURS = re.compile(
    rb"""^\s*(?:\[\s*)?["']?tool["']?\s*[]=]|\btool["']?\s*\.\s*["']?relhealth""", re.MULTILINE
)


class SettingsFile(NamedTuple):
    """A file of settings, and its tables."""

    path: Path
    document: Mapping[str, Any]

    def table(self, name: str) -> Mapping[str, Any]:
        """Return a table, empty if there is none; raises ``QuestionError`` for another value."""
        found = self.document.get(name, {})
        if not isinstance(found, Mapping):
            raise self.fault(f"{name}: expected a table, [{name}]")
        return found

    def fault(self, what: object) -> QuestionError:
        """Return the error for a fault of the file, which names it."""
        return QuestionError(f"{printable(str(self.path))}: {what}")

    def checked(self) -> "SettingsFile":
        """Return the file; raises ``QuestionError`` for an unknown table."""
        try:
            refuse_unknown(self.document, TABLES)
        except QuestionError as error:
            raise self.fault(error) from None
        return self


def refuse_unknown(given: Iterable[str], known: Iterable[str], where: str = "") -> None:
    """Raise ``QuestionError`` for a word that is not among the known ones."""
    known = list(known)
    for word in given:
        if word not in known:
            raise QuestionError(
                f"{where}{printable(word)}: unknown word; known are {', '.join(known)}"
                f"{hint(word, known)}"
            )


def find() -> SettingsFile | None:
    """Return the file of this folder, else of the nearest folder above it that has one.

    Raises ``QuestionError`` for a file that exists but is not readable, because damaged settings
    are not the same as no settings, and for an unknown table.
    """
    for own, project in places():
        if os.path.lexists(own):
            return read(Path(own), "the settings").checked()
        if os.path.lexists(project):
            content = _content(Path(project), "the settings")
            found = _of_project(Path(project), content) if _OURS.search(content) else None
            if found is not None:
                return found.checked()
    return None


def places() -> Iterator[tuple[str, str]]:
    """Yield the two files of each folder that can have the settings, the nearest first."""
    yield FILE, PYPROJECT
    with suppress(OSError):  # this folder has been deleted
        for folder in Path.cwd().parents:
            yield os.path.join(folder, FILE), os.path.join(folder, PYPROJECT)


def read(path: Path, what: str) -> SettingsFile:
    """Read a file that the user named; ``what`` says for messages what it holds.

    In pyproject.toml, the settings are under ``[tool.relhealth]``. Raises ``QuestionError``, which
    names the file, if it is not readable.
    """
    content = _content(path, what)
    if path.name != PYPROJECT:
        return SettingsFile(path, _document(path, content))
    return _of_project(path, content) or SettingsFile(path, {})


def _of_project(path: Path, content: bytes) -> SettingsFile | None:
    """Return the settings of a pyproject.toml, if it has any."""
    try:
        document = _document(path, content)
    except QuestionError:
        if b"tool.relhealth" in content:
            raise
        return None  # a matter for other tools
    tool = document.get("tool")
    if not isinstance(tool, Mapping) or "relhealth" not in tool:
        return None
    found = SettingsFile(path, tool["relhealth"])
    if not isinstance(found.document, Mapping):
        raise found.fault("tool.relhealth: expected a table")
    return found


def _content(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise QuestionError(f"{printable(str(path))}: cannot read {what}: {reason}") from None


def _document(path: Path, content: bytes) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(content.removeprefix(BOM_UTF8).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise QuestionError(f"{printable(str(path))}: not TOML: {error}") from None
