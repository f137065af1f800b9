"""What a page holds: a verdict, sections of charts, and tables."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple

Spec = Mapping[str, Any]  # of a chart, in Vega-Lite


class Tone(StrEnum):
    """How a word is shown: its colour, and the sign beside it."""

    GOOD = "good"
    BAD = "bad"
    WAIT = "wait"
    NONE = "none"


class Mark(NamedTuple):
    """A word, such as BAD, and its tone."""

    word: str
    tone: Tone


class Key(NamedTuple):
    """A line of a legend: the letter, and the number of the colour and dashes of a release."""

    letter: str
    name: str
    number: int


class Chart(NamedTuple):
    """A chart under its title; ``wide`` replaces ``spec`` where there is room for it."""

    title: str
    spec: Spec
    text: str = ""
    mark: Mark | None = None
    wide: Spec | None = None
    keys: tuple[Key, ...] = ()


class Section(NamedTuple):
    """Charts under one heading; ``text`` has sentences above them."""

    title: str
    charts: tuple[Chart, ...]
    text: tuple[str, ...] = ()


class Page(NamedTuple):
    """What a page shows beside the facts and the table of its report.

    ``sentence`` is the answer in one sentence. ``facts`` are further ones: a label and a value.
    ``marks`` are those of releases, (project, release), for tables that do not have them.
    """

    mark: Mark
    sentence: str
    sections: tuple[Section, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    marks: Mapping[tuple[int, str], Mark] = MappingProxyType({})
