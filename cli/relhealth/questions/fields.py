"""The fields of a sessions query: what each reads, and its value for a group and a status."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from relhealth.core.errors import QuestionError
from relhealth.core.nearest import hint
from relhealth.core.scope import check_several
from relhealth.core.units import Unit
from relhealth.questions import figures
from relhealth.questions.counts import Counts

Value = int | float | None

STATUSES = ("healthy", "errored", "unhandled", "crashed", "abnormal")
STATUS = "session.status"
KEYS = ("project", "release", "environment", STATUS)


class Kind(Enum):
    """The kind of a field, which decides how statuses affect it."""

    COUNT = auto()  # has a value for every status
    DURATION = auto()  # only of healthy sessions, because they exited
    RATE = auto()  # of all sessions or users, whatever their status


@dataclass(frozen=True, slots=True)
class Field:
    """One field. ``value`` computes it from counts and a status; ``None`` means all statuses.

    Only fields of the kind ``COUNT`` use the status.
    """

    name: str
    kind: Kind
    needed: frozenset[str]  # of ``counts.Counting``
    value: Callable[[Counts, str | None], Value]

    @property
    def empty(self) -> Value:
        """The value without any data."""
        return 0 if self.kind is Kind.COUNT else None

    @property
    def unit(self) -> Unit:
        """The unit of its values."""
        match self.kind:
            case Kind.COUNT:
                return Unit.COUNT
            case Kind.DURATION:
                return Unit.SECONDS
            case Kind.RATE:
                return Unit.RATIO


_SESSIONS = {None: "sessions"} | {status: status for status in STATUSES}
_USERS = {None: "users"} | {status: f"users_{status}" for status in STATUSES}
_DURATIONS = {
    "avg": "mean",
    "p50": "p50",
    "p75": "p75",
    "p90": "p90",
    "p95": "p95",
    "p99": "p99",
    "max": "longest",
}
_RATES: dict[str, Callable[[int, Mapping[str | None, int]], float | None]] = {
    "crash_rate": lambda whole, by: figures.rate(by["crashed"], whole),
    "crash_free_rate": lambda whole, by: figures.crash_free(by["crashed"], whole),
    "unhandled_rate": lambda whole, by: figures.unhandled_rate(
        by["unhandled"], by["crashed"], whole
    ),
    "errored_rate": lambda whole, by: figures.rate(by["errored"], whole),
    "abnormal_rate": lambda whole, by: figures.rate(by["abnormal"], whole),
}


def _ratio(percent: float | None) -> float | None:
    return None if percent is None else percent / 100


def _count(name: str, needed: set[str], attributes: Mapping[str | None, str]) -> Field:
    return Field(
        name,
        Kind.COUNT,
        frozenset(needed),
        lambda one, status: getattr(one, attributes[status]),
    )


def _duration(name: str, column: str) -> Field:
    return Field(
        f"{name}(session.duration)",
        Kind.DURATION,
        frozenset({"durations"}),
        lambda one, _: one.duration(column),
    )


def _rate(name: str, what: str, needed: set[str], attributes: Mapping[str | None, str]) -> Field:
    formula = _RATES[name]

    def value(one: Counts, _: str | None) -> float | None:
        by = {status: getattr(one, attribute) for status, attribute in attributes.items()}
        return _ratio(formula(by[None], by))

    return Field(f"{name}({what})", Kind.RATE, frozenset(needed), value)


def _fields() -> Iterable[Field]:
    yield _count("sum(session)", {"sessions"}, _SESSIONS)
    yield _count("count_unique(user)", {"users"}, _USERS)
    for name, column in _DURATIONS.items():
        yield _duration(name, column)
    for name in _RATES:
        errored = {"errored"} if name == "errored_rate" else set()
        yield _rate(name, "session", {"sessions", *errored}, _SESSIONS)
        yield _rate(name, "user", {"users"}, _USERS)
    users = frozenset({"users"})
    yield Field(
        "anr_rate()",
        Kind.RATE,
        users,
        lambda one, _: _ratio(figures.rate(one.users_anr, one.users)),
    )
    yield Field(
        "foreground_anr_rate()",
        Kind.RATE,
        users,
        lambda one, _: _ratio(figures.rate(one.users_foreground_anr, one.users)),
    )


FIELDS: Mapping[str, Field] = {field.name: field for field in _fields()}


def check_fields(names: Iterable[str]) -> tuple[Field, ...]:
    """Return the named fields, each once; raise ``QuestionError`` for no or an unknown name."""
    asked = check_several("fields", names)
    if not asked:
        raise QuestionError(f"no field: expected some of {', '.join(FIELDS)}")
    for name in asked:
        if not isinstance(name, str) or name not in FIELDS:
            near = hint(str(name), FIELDS)
            raise QuestionError(
                f"unknown field {name!r}: expected one of {', '.join(FIELDS)}{near}"
            )
    return tuple(FIELDS[name] for name in dict.fromkeys(asked))
