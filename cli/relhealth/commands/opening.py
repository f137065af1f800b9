"""Opening the sources of a command, with progress, warnings and the engine of --engine."""

import glob
import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple

from relhealth.commands import options
from relhealth.commands.configuration import current
from relhealth.core.errors import DataError, QuestionError
from relhealth.core.printable import printable
from relhealth.engines.spark.sources import is_on_cluster
from relhealth.output.answer import Answer
from relhealth.output.talk import say
from relhealth.stores.limits import DEFAULT_SIZE

if TYPE_CHECKING:
    from relhealth.release_health import ReleaseHealth

EVER = datetime(1971, 1, 1, tzinfo=UTC)  # before any window


class Asked(NamedTuple):
    """Whom and when a command asks about: what its options of these names say."""

    project: list[int] | None = None
    environment: list[str] | None = None
    where: list[str] | None = None
    now: str | None = None


class How(NamedTuple):
    """How a command runs. A command with a parameter ``how`` has these options (``flat``).

    ``asked`` is no option, but what others say.
    """

    max_age: options.MaxAge = None
    strict: options.Strict = False
    engine: options.EngineOption = "auto"
    spark: options.SparkOption = None
    memory_limit: options.MemoryLimit = None
    threads: options.Threads = None
    cache_size: options.CacheSize = DEFAULT_SIZE
    quiet: options.Quiet = False
    debug: options.Debug = False
    asked: Asked = Asked()

    @contextmanager
    def opened(
        self, answer: Answer, sources: Sequence[str], *, org: int | None
    ) -> Iterator["ReleaseHealth"]:
        """Open sources for a command's questions, by these options.

        Raises ``DataError`` for data older than ``max_age``.
        """
        with opened(
            answer,
            sources,
            debug=self.debug,
            org=org,
            strict=self.strict,
            memory_limit=self.memory_limit,
            threads=self.threads,
            engine=self.engine,
            cache_size=self.cache_size,
            spark=self.spark,
        ) as health:
            if self.max_age is not None:
                health.refuse_stale(
                    self.max_age,
                    projects=self.asked.project or None,
                    environments=self.asked.environment or None,
                    now=self.asked.now,
                )
            yield health

    def by_policy(self) -> "How":
        """Return the same, for a command whose policy refuses old data."""
        return self._replace(max_age=None)

    def ages(self, answer: Answer, health: "ReleaseHealth") -> Mapping[int, float] | None:
        """Return the age of each project's newest session, if the answer has metrics."""
        if not answer.has_metrics:
            return None
        return health.session_ages(
            self.asked.project or None,
            environments=self.asked.environment or None,
            now=self.asked.now,
        )

    @contextmanager
    def explaining(self, health: "ReleaseHealth") -> Iterator[None]:
        """Raise that a filter matches nothing, in place of an error that comes from it."""
        try:
            yield
        except DataError:
            self.refuse_unmatched(health)
            raise

    def hint_unless(self, has_data: bool, answer: Answer, health: "ReleaseHealth") -> None:  # noqa: FBT001
        """Without data, warn of a filter that nothing matches, whatever the answer goes to."""
        if has_data:
            return
        try:
            self.refuse_unmatched(health)
        except DataError as error:
            answer.warn(str(error))

    def refuse_unmatched(
        self, health: "ReleaseHealth", since: datetime = EVER, releases: Iterable[str] = ()
    ) -> str | None:
        """Raise ``DataError`` for a filter that nothing matches; else say if the period did it."""
        return health.explain_empty(
            projects=self.asked.project or None,
            environments=self.asked.environment or None,
            where=self.asked.where or None,
            releases=releases,
            since=since,
            now=self.asked.now,
        )

    def explain_empty(
        self,
        answer: Answer,
        health: "ReleaseHealth",
        since: datetime = EVER,
        releases: Iterable[str] = (),
    ) -> None:
        """Say what emptied an answer; ``since`` is the start of its window.

        ``releases`` are names of those that it is about, if only of some. Raises ``DataError`` for
        a filter that nothing matches, if the answer goes to a file, whose readers do not see a
        warning, and with ``--strict``.
        """
        try:
            told = self.refuse_unmatched(health, since, releases)
        except DataError as error:
            if self.strict or answer.output is not None or answer.reports:
                raise
            told = str(error)
        if told is not None:
            answer.warn(told)


def flat(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command whose signature has the options of each group in place of the group.

    A group is a parameter of a type of named tuple, such as ``how: How``.
    """
    signature = inspect.signature(command)
    groups = {
        name: _options(one.annotation)
        for name, one in signature.parameters.items()
        if hasattr(one.annotation, "_fields")
    }
    if not groups:
        return command

    @wraps(command)
    def run(**given: Any) -> None:
        more = {"asked": Asked(**{name: given[name] for name in Asked._fields if name in given})}
        for name, fields in groups.items():
            values = {one.name: given.pop(one.name) for one in fields}
            kind = signature.parameters[name].annotation
            asked = {key: value for key, value in more.items() if key in kind._fields}
            given[name] = kind(**values, **asked)
        command(**given)

    parameters: list[inspect.Parameter] = []
    for name, one in signature.parameters.items():
        parameters += groups.get(name, [one])
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return run


def _options(group: Any) -> list[inspect.Parameter]:
    """Return the options of a group, without what others say."""
    fields = inspect.signature(group).parameters.values()
    return [
        one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in fields if one.name != "asked"
    ]


def is_place(word: str) -> bool:
    """Tell whether a word is a source: a path, a pattern of files, or a place elsewhere."""
    if os.path.lexists(word) or "://" in word or "::" in word:
        return True
    if glob.has_magic(word) and any(glob.iglob(word, recursive=True)):
        return True
    begins = word.startswith(("/", "./", "../", "~")) or os.path.isdir(os.path.dirname(word))
    return begins or word.endswith(("/", ".parquet", ".duckdb"))


def refuse_cluster(
    command: str, places: Sequence[object], *, engine: str | None, spark: str | None
) -> None:
    """Raise ``QuestionError`` if a command that writes files is to do so on a cluster."""
    named = [str(place) for place in places if is_on_cluster(str(place))]
    if named or spark is not None or engine is not None:
        what = named[0] if named else "--spark" if spark is not None else "--engine"
        raise QuestionError(
            f"{printable(what)}: {command} writes files on this machine, and a cluster only answers"
            " questions; docs/scale.md has a Spark job in its place"
        )


@contextmanager
def opened(
    answer: Answer,
    sources: Sequence[str],
    *,
    debug: bool,
    org: int | None,
    strict: bool,
    memory_limit: str | None,
    threads: int | None,
    engine: str = "auto",
    cache_size: str = DEFAULT_SIZE,
    spark: str | None = None,
) -> Iterator["ReleaseHealth"]:
    """Open sources for a command's questions; with ``debug``, print the engines and reasons."""
    from relhealth.output.progress import progress
    from relhealth.release_health import ReleaseHealth

    current()  # raises a fault of the settings
    if not sources:
        raise QuestionError(
            'no source: name a file or folder, such as data/, or write sources = ["data/"] under'
            " [defaults] in relhealth.toml"
        )
    with (
        progress(quiet=answer.quiet) as observer,
        ReleaseHealth(
            sources,
            org=org,
            strict=strict,
            memory_limit=memory_limit,
            threads=threads,
            observer=observer,
            warn=answer.warn,
            engine=engine,
            cache_size=cache_size,
            spark=spark,
        ) as health,
    ):
        yield health
    if debug:
        for choice in health.engines:
            say(f"engine {choice.engine}: {choice.reason}")
