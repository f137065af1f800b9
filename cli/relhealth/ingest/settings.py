"""Settings of an ingest kept in a TOML file, by the options' names; the command line wins."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import msgspec

from relhealth.core.errors import QuestionError
from relhealth.core.project_names import project_id
from relhealth.core.settings_file import SettingsFile, refuse_unknown
from relhealth.ingest.kinds import InputKind, Unknown
from relhealth.ingest.mapping import Words
from relhealth.ingest.parsing import Plan
from relhealth.ingest.staging import AcceptedSpan

TABLE = "ingest"


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a file for reading inputs; ``None`` means not set."""

    map: Mapping[str, str] = field(default_factory=dict)
    status: Mapping[str, str] = field(default_factory=dict)
    project: int | None = None
    org: int | None = None
    kind: InputKind | None = None  # the option and the word of the file are ``from``
    no_status: bool | None = None
    no_release: bool | None = None
    unknown_status: Unknown | None = None
    retention: str | None = None
    dimensions: Mapping[str, str] | list[str] = field(default_factory=dict)

    def over(self, kept: "Settings") -> "Settings":
        """Return these settings, with missing ones from the file."""
        found = {
            each.name: getattr(self, each.name)
            if getattr(self, each.name) is not None
            else getattr(kept, each.name)
            for each in fields(self)
        }
        found["map"] = {**kept.map, **self.map}
        found["status"] = {**kept.status, **self.status}
        found["dimensions"] = {**_by_name(kept.dimensions), **_by_name(self.dimensions)}
        return Settings(**found)

    def plan(self, now: str | None) -> Plan:
        """Return the plan of an ingest at an instant; raises ``QuestionError`` if it is invalid."""
        return Plan(
            span=AcceptedSpan.until(now, self.retention or "90d"),
            kind=self.kind,
            project=self.project,
            org=self.org,
            words=Words(
                columns=self.map,
                statuses=self.status,
                no_status=bool(self.no_status),
                no_release=bool(self.no_release),
                dimensions=_by_name(self.dimensions),
            ),
            unknown_status=self.unknown_status or Unknown.STOP,
        )


def _by_name(dimensions: Mapping[str, str] | list[str]) -> Mapping[str, str]:
    """Return the column of each dimension; in a list, both have the same name."""
    if isinstance(dimensions, list):
        return {name: name for name in dimensions}
    return dimensions


_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "object": "a table",
    "array": "a list",
    "datetime": "a date",
    "date": "a date",
    "time": "a time",
}
_KNOWN = {"from" if each.name == "kind" else each.name: each.name for each in fields(Settings)}


def settings_of(file: SettingsFile | None, *, named: bool) -> Settings:
    """Return the settings of ``[ingest]`` of a file.

    A file that the user ``named`` can have them at its top, too. Raises ``QuestionError`` for
    unknown words, with the known ones.
    """
    if file is None:
        return Settings()
    at_top = named and TABLE not in file.document
    return _converted(file, file.document if at_top else file.table(TABLE))


def _converted(file: SettingsFile, given: Mapping[str, Any]) -> Settings:
    try:
        refuse_unknown(given, _KNOWN, "" if given is file.document else f"{TABLE}.")
        words = {_KNOWN[word]: value for word, value in given.items()}
        if isinstance(given.get("project"), str):
            words["project"] = project_id(given["project"])
    except QuestionError as error:
        raise file.fault(error) from None
    try:
        return msgspec.convert(words, Settings)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$.")
        word = path.rstrip("`").replace("kind", "from").removesuffix("[...]")
        raise file.fault(f"{word}: {_told(word, what)}") from None


def _told(word: str, what: str) -> str:
    """Return what is wrong with a value, in the words of TOML and not of Python."""
    enums = {"from": InputKind, "unknown_status": Unknown}
    if word in enums and what.startswith("Invalid enum value"):
        given = what.removeprefix("Invalid enum value ")
        return f"unknown word {given}; expected one of {', '.join(map(str, enums[word]))}"
    for name, meant in _TYPES.items():
        what = what.replace(f"`{name}`", meant).replace(f"`{name} | null`", meant)
    return f"{what[:1].lower()}{what[1:]}"
