"""Counts what a receiver does, for ``/metrics`` and for a line a minute."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from relhealth.core.numerals import percent
from relhealth.core.project_names import project_text
from relhealth.ingest.protocol import ENDS, Aggregates, user_id
from relhealth.receive.envelope import Session

_MOST_RELEASES = 1_000  # told apart within a minute
_SHOWN = 5
_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(slots=True)
class _Release:
    sessions: set[int] = field(default_factory=set)  # by Python's hash, which takes less memory
    crashed: set[int] = field(default_factory=set)
    counted: int = 0  # sessions without an id
    counted_crashed: int = 0

    def figures(self) -> tuple[int, int]:
        return (
            len(self.sessions) + self.counted,
            len(self.crashed) + self.counted_crashed,
        )


class Minute:
    """The sessions that were received in a minute, by project and release."""

    def __init__(self) -> None:
        """Begin a minute."""
        self._releases: defaultdict[tuple[int, str], _Release] = defaultdict(_Release)
        self._users: set[int] = set()

    def add(self, project: int, items: Iterable[Session]) -> None:
        """Count the items of an envelope."""
        for _, _, content in items:
            name = (project, content.attrs.release or "") if content.attrs else (project, "")
            if name not in self._releases and len(self._releases) >= _MOST_RELEASES:
                name = (project, "")
            release = self._releases[name]
            if isinstance(content, Aggregates):
                for one in content.aggregates:
                    release.counted += sum(getattr(one, end) for end in ENDS)
                    release.counted_crashed += one.crashed
                    self._see(project, one.did)
                continue
            self._see(project, content.did)
            if content.sid:
                release.sessions.add(hash(content.sid))
                if content.status == "crashed":
                    release.crashed.add(hash(content.sid))
            else:
                release.counted += 1
                release.counted_crashed += content.status == "crashed"

    def _see(self, project: int, did: str | int | None) -> None:
        user = user_id(did)
        if user is not None:
            self._users.add(hash((project, user)))

    def line(self) -> str | None:
        """Return the minute as a line for people; ``None`` if nothing was received."""
        figures = sorted(
            ((*one.figures(), name) for name, one in self._releases.items()),
            key=lambda each: (-each[0], each[2]),
        )
        sessions = sum(each[0] for each in figures)
        if not sessions:
            return None
        several = len({project for _, _, (project, _) in figures}) > 1
        told = []
        for count, crashed, (project, release) in figures[:_SHOWN]:
            shown = release or "no release"
            if several:
                shown = f"{project_text(project)}/{shown}"
            told.append(f"{shown} {_crash_free(count, crashed)} of {count:,}")
        if len(figures) > _SHOWN:
            told.append(f"and {len(figures) - _SHOWN} more")
        users = f"{len(self._users):,} users"
        return f"{sessions:,} sessions, {users}; crash-free: {', '.join(told)}"


def _crash_free(sessions: int, crashed: int) -> str:
    return percent(100 - 100 * min(crashed, sessions) / sessions) if sessions else "none"


class Counts:
    """The counts since the start, in the form of Prometheus."""

    def __init__(self) -> None:
        """Begin at 0."""
        self.answers: Counter[int] = Counter()  # requests for envelopes, by status
        self.items: Counter[str] = Counter()  # by what became of them
        self.rejected: Counter[str] = Counter()  # by reason
        self.body_bytes = 0
        self.seconds = 0.0
        self._buckets = [0] * (len(_BOUNDS) + 1)
        self.forwarded: Counter[str] = Counter()  # by what became of them
        self.ingests: Counter[str] = Counter()  # by their end
        self.sessions_ingested = 0
        self.items_rejected_by_ingest = 0
        self.last_ingest = 0.0  # seconds since 1970
        self.refused_connections = 0

    def answered(self, status: int, seconds: float) -> None:
        """Count an answer to an envelope."""
        self.answers[status] += 1
        self.seconds += seconds
        for number, bound in enumerate(_BOUNDS):
            if seconds <= bound:
                self._buckets[number] += 1
                return
        self._buckets[-1] += 1

    def text(self, gauges: dict[str, tuple[str, float]]) -> str:
        """Return all in the text format of Prometheus; ``gauges`` are the values of now."""
        return "".join(f"{line}\n" for line in self._lines(gauges))

    def _lines(self, gauges: dict[str, tuple[str, float]]) -> Iterator[str]:
        yield from _counter("envelopes_total", "Requests with an envelope.", "status", self.answers)
        yield from _counter("items_total", "Items of envelopes.", "kind", self.items)
        yield from _counter(
            "rejected_items_total", "Items about sessions left out.", "reason", self.rejected
        )
        yield from _counter("body_bytes_total", "Bytes of bodies.", None, {"": self.body_bytes})
        yield from _counter(
            "forwarded_total", "Envelopes for upstream, by their end.", "end", self.forwarded
        )
        yield from _counter("ingests_total", "Ingests of the spool.", "end", self.ingests)
        yield from _counter(
            "sessions_total", "Sessions ingested.", None, {"": self.sessions_ingested}
        )
        yield from _counter(
            "ingest_rejected_items_total",
            "Items that the ingest left out.",
            None,
            {"": self.items_rejected_by_ingest},
        )
        yield from _counter(
            "refused_connections_total",
            "Connections above the limit.",
            None,
            {"": self.refused_connections},
        )
        name = "relhealth_receive_seconds"
        yield f"# HELP {name} Time until the answer to an envelope."
        yield f"# TYPE {name} histogram"
        total = 0
        for bound, count in zip((*_BOUNDS, "+Inf"), self._buckets, strict=True):
            total += count
            yield f'{name}_bucket{{le="{bound}"}} {total}'
        yield f"{name}_sum {self.seconds:.6f}"
        yield f"{name}_count {total}"
        for gauge, (meaning, value) in gauges.items():
            yield f"# HELP relhealth_receive_{gauge} {meaning}"
            yield f"# TYPE relhealth_receive_{gauge} gauge"
            yield f"relhealth_receive_{gauge} {value:.15g}"


def _counter(
    name: str,
    meaning: str,
    label: str | None,
    values: "dict[str, int] | Counter[str] | Counter[int]",
) -> Iterator[str]:
    name = f"relhealth_receive_{name}"
    yield f"# HELP {name} {meaning}"
    yield f"# TYPE {name} counter"
    for key, value in values.items():
        yield f'{name}{{{label}="{key}"}} {value}' if label else f"{name} {value}"
