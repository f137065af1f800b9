"""The mapping of a table: the column of each field, and the meaning of its statuses."""

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from relhealth.core.errors import DataError, QuestionError
from relhealth.core.printable import excerpt, printable
from relhealth.ingest import dimensions
from relhealth.ingest.dimensions import FIELD
from relhealth.ingest.protocol import STATUSES
from relhealth.ingest.tally import MISSING_STATUS

# The names of the columns of each field, unless ``--map`` names one.
FIELDS: dict[str, tuple[str, ...]] = {
    "session_id": ("session_id", "sid", "session", "session_uuid", "id"),
    "user_id": ("user_id", "did", "distinct_id", "user"),
    "project_id": ("project_id", "project"),
    "release": ("release", "version", "app_version", "release_version"),
    "environment": ("environment", "env"),
    "status": ("status", "session_status"),
    "errors": ("errors", "error_count"),
    "started": ("started", "started_at", "start", "start_time", "session_start", "timestamp"),
    "duration": ("duration", "duration_s", "duration_seconds"),
    "abnormal_mechanism": ("abnormal_mechanism",),
}
# A table without these is refused, since its figures would be wrong; with the option for none.
_REQUIRED = {
    "session_id": "",
    "started": "",
    "status": ", or say with --no-status that every session ended well",
    "release": ", or say with --no-release that its sessions have none",
}
_WORDS = {"healthy": "exited", **{status: status for status in STATUSES}}
_MOST_SHOWN = 30  # names or words in a message
_METRIC_COLUMNS = frozenset({"metric", "value", "member"})


@dataclass(frozen=True, slots=True)
class Words:
    """The meaning of a table's words for columns and statuses.

    ``columns`` maps fields to columns, ``statuses`` words to statuses. ``no_status`` means that all
    sessions of a table without statuses ended normally, ``no_release`` that those of a table
    without releases have none.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    statuses: Mapping[str, str] = field(default_factory=dict)
    no_status: bool = False
    no_release: bool = False
    dimensions: Mapping[str, str] = field(default_factory=dict)  # their columns

    def check(self) -> None:
        """Raise ``QuestionError`` for an unknown field or status."""
        for name in self.columns:
            if name not in FIELDS:
                raise QuestionError(
                    f"--map {printable(name)}: unknown field; expected one of {', '.join(FIELDS)}"
                )
        dimensions.check(self.dimensions)
        for word in self.statuses.values():
            if status_key(word) not in _WORDS:
                known = ", ".join(sorted(_WORDS))
                raise QuestionError(
                    f"--status {printable(word)}: unknown status; expected one of {known}"
                )

    def meanings(self) -> dict[str, str]:
        """Return the status of each word; words are in the form of ``status_key``."""
        named = {status_key(w): _WORDS[status_key(meant)] for w, meant in self.statuses.items()}
        if "" in named:
            named[MISSING_STATUS] = named.pop("")
        return {**_WORDS, **named}

    def find(self, present: Sequence[str]) -> dict[str, str]:
        """Return the column of each field among the present columns.

        Raises ``DataError``, without the table's name, if one name matches several columns.
        """
        found = {}
        alike = _Alike(present)
        for name, usual in FIELDS.items():
            named = self.columns.get(name)
            candidates = usual if named is None else (named,)
            matches = [c for each in candidates if (c := alike.like(each, name))]
            column = matches[0] if matches else None
            if name == "status" and len(set(matches)) > 1:
                told = " and ".join(excerpt(each) for each in matches[:2])
                raise DataError(
                    f"columns {told} may both be status; name one with --map status=COLUMN"
                )
            if column is not None:
                if alike.counts[column] > 1:
                    raise DataError(f"column {excerpt(column)} for {name} is there twice; drop one")
                found[name] = column
        for name, wanted in self.dimensions.items():
            column = alike.like(wanted, name)
            if column is not None:
                found[f"{FIELD}{name}"] = column
        return found

    def fault(self, found: Mapping[str, str], present: Sequence[str]) -> str | None:
        """Return why a table with such columns is refused, or None."""
        if {each.casefold() for each in present} >= _METRIC_COLUMNS:
            return (
                "these are session-metric rows already, no table of sessions;"
                " ask them directly, such as with relhealth overview"
            )
        for name in [*self.columns, *_REQUIRED]:
            if name in found or (name == "status" and self.no_status and name not in self.columns):
                continue
            if name == "release" and self.no_release and name not in self.columns:
                continue
            named = self.columns.get(name)
            wanted = " or ".join(FIELDS[name]) if named is None else excerpt(named)
            near = _nearest(wanted if named is None else named, present)
            return (
                f"no column {wanted} for {name}; found {_listed(present)}{near};"
                f" name it with --map {name}=COLUMN{_REQUIRED.get(name, '')}"
            )
        for name, wanted in self.dimensions.items():
            if f"{FIELD}{name}" not in found:
                return (
                    f"no column {excerpt(wanted)} for the dimension {name}; found"
                    f" {_listed(present)}{_nearest(wanted, present)}; name it with --dimension"
                    f" {name}=COLUMN"
                )
        return None


def status_key(word: str) -> str:
    """Return the form in which words for a status are compared, without case and blanks."""
    return word.strip().casefold()


def check_statuses(unknown: Counter[str], where: str = "") -> None:
    """Raise ``DataError`` if rows had unknown words for a status, with a list of them.

    ``where`` names the input if there is only one.
    """
    if unknown:
        listed = ", ".join(f"{word!r} ({n:,})" for word, n in unknown.most_common(_MOST_SHOWN))
        if len(unknown) > _MOST_SHOWN:
            listed += f" and {len(unknown) - _MOST_SHOWN} more"
        first = next(iter(unknown))
        option = f"'{'' if first == MISSING_STATUS else first}=crashed'"
        raise DataError(
            f"{where}unknown words for a status: {listed}; say what each means, such as"
            f" --status {option}, or leave their rows out with --unknown-status reject"
        )


class _Alike:
    """Finds columns by exact name, else by name without case, blanks and punctuation."""

    def __init__(self, present: Sequence[str]) -> None:
        self.counts = Counter(present)
        self._by_key: dict[str, list[str]] = {}
        for name in present:
            self._by_key.setdefault(_key(name), []).append(name)

    def like(self, wanted: str, name: str) -> str | None:
        if wanted in self.counts:
            return wanted
        columns = self._by_key.get(_key(wanted), [])
        if len(columns) > 1:
            told = " and ".join(excerpt(each) for each in columns[:2])
            raise DataError(f"columns {told} may both be {name}; name one with --map {name}=COLUMN")
        return columns[0] if columns else None


def _key(name: str) -> str:
    return "".join(char for char in name.casefold() if char.isalnum())


def _nearest(wanted: str, present: Iterable[str]) -> str:
    near = difflib.get_close_matches(wanted, list(present)[:1000], 1)
    return f"; the nearest is {excerpt(near[0])}" if near else ""


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(excerpt(name) for name in names[:_MOST_SHOWN]) or "none"
    left = len(names) - _MOST_SHOWN
    return shown + (f" and {left} more" if left > 0 else "")
