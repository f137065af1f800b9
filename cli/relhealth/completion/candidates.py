"""What can be at the cursor of a command line; imports little, since a shell waits for it.

The commands, their options and the words that these take are in ``table.txt``, a line each, with
tabs between: the command; its words, or the number of an argument; the kind of its value (``flag``,
``file``, ``words``, or a kind of name); the words that it can have; and what it is.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache

from relhealth.completion import names

# What a value can be beside the words of the table: names that the data have, by kind.
_MORE = {"release", "project", "environment", "dimension"}
_LISTS = {"--columns"}  # of words with commas between
_MOST = 1_000  # candidates

Candidate = tuple[str, str]  # the word, and what it is


class _Option:
    """An option or argument: the kind of its value, its words, and what it is."""

    __slots__ = ("about", "kind", "spellings", "words")

    def __init__(self, spellings: list[str], kind: str, words: list[str], about: str) -> None:
        self.spellings = spellings
        self.kind = kind
        self.words = words
        self.about = about


def candidates(words: Sequence[str]) -> list[Candidate] | None:
    """Return what can be in place of the last word; ``None`` for a path.

    ``words`` are those after the program's, up to the cursor, without quotes.
    """
    *before, current = words
    table = _table()
    command = next((n for n in (" ".join(before[:2]), *before[:1]) if n in table), None)
    if command is None:
        return None if before else _commands(table, current)
    options = table[command]
    line = _Line(options, before[command.count(" ") + 1 :])
    if line.pending is not None:
        return _values(options[line.pending], current, line.places)
    if current.startswith("-") and not line.ended:
        return _option(options, current, line.places)
    found = _argument(options, current, line.places)
    if len(before) == 1:  # such as test of ``gate test``
        more = [
            (name.split()[1], table[name][""].about)
            for name in table
            if name.startswith(f"{command} ") and name.split()[1].startswith(current)
        ]
        found = [*more, *(found or [])] or None
    return found


def _table() -> dict[str, dict[str, _Option]]:
    """Return the options and arguments of each command, by their words and numbers."""
    found: dict[str, dict[str, _Option]] = {}
    path = os.path.join(os.path.dirname(__file__), "table.txt")
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            command, spellings, kind, words, about = line.rstrip("\n").split("\t")
            option = _Option(spellings.split(" "), kind, words.split(), about)
            found.setdefault(command, {}).update(dict.fromkeys(option.spellings, option))
    return found


class _Line:
    """The words of a command line before the cursor."""

    def __init__(self, options: dict[str, _Option], words: Iterable[str]) -> None:
        self.places: list[str] = []  # the arguments
        self.pending: str | None = None  # the option whose value is at the cursor
        self.ended = False  # by --
        for word in words:
            if self.pending is not None:
                self.pending = None
            elif self.ended or word == "-" or not word.startswith("-"):
                self.places.append(word)
            elif word == "--":
                self.ended = True
            elif word.startswith("--"):
                if "=" not in word and _takes(options, word):
                    self.pending = word
            else:
                self.pending = _last_of_short(options, word)


def _takes(options: dict[str, _Option], word: str) -> bool:
    return word in options and options[word].kind != "flag"


def _last_of_short(options: dict[str, _Option], word: str) -> str | None:
    """Return the option of ``-qp`` whose value is the next word."""
    for at in range(1, len(word)):
        if _takes(options, f"-{word[at]}"):
            return f"-{word[at]}" if at == len(word) - 1 else None
    return None


def _commands(table: dict[str, dict[str, _Option]], current: str) -> list[Candidate]:
    if current.startswith("-"):
        own = [("--version", "Show the version."), ("--help", "Show this help.")]
        return [one for one in own if one[0].startswith(current)]
    return [
        (name, table[name][""].about)
        for name in table
        if " " not in name and name.startswith(current)
    ]


def _option(
    options: dict[str, _Option], current: str, places: Sequence[str]
) -> list[Candidate] | None:
    name, equals, value = current.partition("=")
    if not current.startswith("--") and len(current) > 2 and _takes(options, current[:2]):  # noqa: PLR2004 - -pVALUE
        name, equals, value = current[:2], "", current[2:]
    elif not equals:
        return [
            (one.spellings[0], one.about)
            for key, one in options.items()
            if key == one.spellings[0] and key.startswith("-") and key.startswith(current)
        ]
    if not _takes(options, name):
        return []
    found = _values(options[name], value, places)
    return found and [(f"{name}{equals}{word}", about) for word, about in found]


def _argument(
    options: dict[str, _Option], current: str, places: Sequence[str]
) -> list[Candidate] | None:
    """Return names that can follow the sources; else an argument is a path."""
    last = [one for key, one in options.items() if key.isdecimal()][-1:]
    if not last or (last[0].kind in _MORE and not (places or _settings()[0])):
        return None
    return _values(last[0], current, places) or None


def _values(option: _Option, current: str, places: Sequence[str]) -> list[Candidate] | None:
    """Return the words that a value can be."""
    if option.kind == "file":
        return None
    given = ""
    if option.spellings[0] in _LISTS and "," in current:
        given, _, current = current.rpartition(",")
        given += ","
    words = [*option.words]
    if option.kind in _MORE:
        sources, projects = _settings()
        there = [place for place in places if os.path.exists(os.path.expanduser(place))]
        known = names.known(there or sources)
        match option.kind:
            case "release":
                if found := _of_project(current, projects, known.releases):
                    return [(word, "") for word in found]
                words += [name for _, name in known.releases]
            case "project":
                words += [*projects, *known.projects]
            case "environment":
                words += known.environments
            case "dimension":
                sign = "=" if option.spellings[0] == "--where" else ""
                words += [f"{name}{sign}" for name in known.dimensions]
    return [(f"{given}{word}", "") for word in _matching(words, current)]


def _of_project(
    current: str, projects: Mapping[str, int], releases: Iterable[tuple[str, str]]
) -> list[str]:
    """Return the releases for PROJECT/RELEASE, where the project has a name or an id."""
    project, slash, release = current.partition("/")
    identity = str(projects.get(project, project))
    own = [name for of, name in releases if of == identity]
    return [f"{project}/{name}" for name in _matching(own, release)] if slash else []


def _matching(words: Iterable[str], current: str) -> list[str]:
    """Return the words that begin with a text; if none does, those that have it in them."""
    every = list(dict.fromkeys(words))
    tests: tuple[Callable[[str], bool], ...] = (
        lambda word: word.startswith(current),
        lambda word: current.casefold() in word.casefold(),
    )
    for test in tests:
        found = [word for word in every if test(word)]
        if found:
            return found[:_MOST]
    return []


@cache
def _settings() -> tuple[list[str], dict[str, int]]:
    """Return the sources and the ids of projects of the settings; none where they are wrong."""
    from relhealth.core.errors import QuestionError
    from relhealth.core.settings_file import find

    try:
        file = find()
        if file is None:
            return [], {}
        given, projects = file.table("defaults").get("sources", []), dict(file.table("projects"))
    except QuestionError:
        return [], {}
    sources = [given] if isinstance(given, str) else given
    if not isinstance(sources, list) or not all(isinstance(one, str) for one in sources):
        return [], projects
    folder = os.path.dirname(file.path)
    return [one if "://" in one else os.path.join(folder, one) for one in sources], projects
