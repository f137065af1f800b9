"""Sources that relhealth opens once, at the first question, and again after they changed."""

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Concatenate, NamedTuple, ParamSpec, TypeVar

from relhealth.core.dimensions import Condition, Where, check_where
from relhealth.core.errors import ChangedError, DataError, QuestionError
from relhealth.core.printable import printable
from relhealth.core.scope import check_org
from relhealth.core.windows import parse_instant
from relhealth.core.words import counted
from relhealth.datasets import databases
from relhealth.datasets.ledger import ROLLUP
from relhealth.datasets.sources import Sources, open_sources
from relhealth.engines import AUTO
from relhealth.engines.choose import Choice, Engines, check_engine
from relhealth.engines.duckdb.engine import DuckdbEngine
from relhealth.engines.interface import Engine
from relhealth.engines.spark.sources import named_on_cluster, only_on_cluster
from relhealth.engines.templates import Templates
from relhealth.machine.database import Observer, check_limits
from relhealth.questions.asking import Asking
from relhealth.questions.newest import Newest, NewestOfFiles
from relhealth.questions.selection import Instant
from relhealth.stores import present
from relhealth.stores.addresses import is_uri
from relhealth.stores.limits import DEFAULT_SIZE, cache_bytes

if TYPE_CHECKING:
    from relhealth.engines.rollup.reader import Rollup
    from relhealth.engines.spark.engine import SparkEngine
    from relhealth.stores.mirror import Mirror

Source = str | os.PathLike[str]
_PATIENCE = 10  # how often a question opens sources that change again and again
_Asked = ParamSpec("_Asked")
_Answer = TypeVar("_Answer")


class Reading(NamedTuple):
    """How sources are read; the fields are parameters of ``ReleaseHealth``."""

    org: int | None = None
    strict: bool = False
    memory_limit: str | None = None
    threads: int | None = None
    observer: Observer | None = None
    engine: str = AUTO
    cache_size: str = DEFAULT_SIZE
    spark: object | None = None


class Opened:
    """Sources, and the engines that answer questions about them."""

    def __init__(
        self,
        sources: Source | Sequence[Source],
        reading: Reading = Reading(),  # noqa: B008 - it is immutable
        *,
        warn: Callable[[str], object] | None = None,
    ) -> None:
        """Check the parameters; read nothing yet. ``warn`` receives messages beside the answers."""
        check_limits(reading.memory_limit, reading.threads)
        check_org(reading.org)
        check_engine(reading.engine)
        cache_bytes(reading.cache_size)
        self.named = [sources] if isinstance(sources, str | os.PathLike) else list(sources)
        self.reading = reading
        self.on_cluster = _on_cluster(self.named, reading)
        self._warn = warn
        self._warned: set[str] = set()
        self._rollup_warned = False
        self._asking: Asking | None = None
        self._mirror: Mirror | None = None
        self._places: list[Source] = []
        self._to_close: list[Engines | Templates | SparkEngine] = []
        self._choices: dict[Choice, None] = {}

    def ask(
        self,
        now: Instant | None,
        question: Callable[Concatenate[Asking, datetime, _Asked], _Answer],
        *args: _Asked.args,
        **kwargs: _Asked.kwargs,
    ) -> _Answer:
        """Answer a question about an instant; open the sources again if files disappear meanwhile.

        The further arguments are those of the question.
        """
        purged = False
        try:
            for _ in range(_PATIENCE):
                try:
                    return question(*self.asking(now), *args, **kwargs)
                except ChangedError:
                    self.close()
                except DataError:
                    # What is damaged may be the copy in the cache: fetch anew, once.
                    if purged or self._mirror is None or not self._mirror.purge():
                        raise
                    purged = True
                    self.close()
            return question(*self.asking(now), *args, **kwargs)
        except DataError as error:
            error.reword(present.spelled)
            raise

    def only(self, where: Where | None) -> "Narrowed":
        """Return the sources with only the rows that meet conditions of dimensions.

        Raises ``QuestionError`` for an invalid filter.
        """
        return Narrowed(self, check_where(where))

    def asking(self, now: Instant | None) -> tuple[Asking, datetime]:
        """Open the sources, once, and return the instant; an invalid one is refused first."""
        if now is not None and now != "latest":
            now = parse_instant(now)
        if self._asking is None and self.on_cluster:
            self._asking = self._open_on_cluster()
        elif self._asking is None:
            sources = open_sources(self.places())
            self._check(sources)
            self._asking = self._open(sources)
        return self._asking, self._asking.instant(now)

    def places(self) -> list[Source]:
        """Return the local path of each source; that of a URI has what its store lists now."""
        if not self._places:
            self._places = [self._place(one) for one in self.named]
        return self._places

    def _place(self, source: Source) -> Source:
        database = None if is_uri(source) else databases.named(source)
        if database is None and not is_uri(source):
            return source
        if self._mirror is None:
            from relhealth.stores.cache import Cache
            from relhealth.stores.mirror import Mirror

            cache = Cache(cache_bytes(self.reading.cache_size))
            self._mirror = Mirror(cache, self.reading.observer)
        if database is not None:
            return databases.as_parquet(*database, self._mirror, self.reading.observer)
        return self._mirror.local(os.fspath(source))

    def _check(self, sources: Sources) -> None:
        """Warn of sources without any data; raise ``DataError`` for them if ``strict``."""
        if self.reading.strict and sources.empty:
            raise DataError([f"{printable(p)}: the file has no rows" for p in sources.empty])
        if self.reading.strict and not sources.files:
            raise DataError("no data yet: no file in any of the sources")
        if not sources.files:
            files = counted(len(sources.empty), "file")
            what = f"{files} and no row" if sources.empty else "no file"
            self.warn(f"no data yet: {what} in any of the sources")

    def _open_on_cluster(self) -> Asking:
        from relhealth.engines.spark.engine import SparkEngine
        from relhealth.engines.spark.session import Session

        org, strict = self.reading.org, self.reading.strict
        session = Session(self.reading.spark, self.reading.observer)
        spark = SparkEngine(session, named_on_cluster(self.named), org=org)
        answering = Engines(
            {"spark": lambda: spark},
            named=self.reading.engine,
            rows_in=lambda _: 0,
            choices=self._choices,
        )
        self._to_close = [answering, spark]
        newest = Newest(spark.found, spark, org=org)
        return Asking(spark.found, answering, spark, newest, org=org, strict=strict, warn=self.warn)

    def _open(self, sources: Sources) -> Asking:
        org, strict, memory_limit, threads, observer, named, _, _ = self.reading
        templates = Templates(memory_limit, threads, observer)
        rollup = self._rollup_of(sources)
        cores = threads or len(os.sched_getaffinity(0))
        duckdb = DuckdbEngine(sources, templates, org=org, threads=cores)

        def kernel() -> Engine:
            from relhealth.engines.kernel.engine import KernelEngine

            return KernelEngine(
                sources, org=org, memory_limit=memory_limit, threads=cores, observer=observer
            )

        def rolled_up() -> Engine:
            from relhealth.engines.rollup.engine import RollupEngine

            assert rollup is not None
            return RollupEngine(
                rollup, templates, org=org, memory_limit=memory_limit, threads=cores
            )

        engines: Mapping[str, Callable[[], Engine]] = {
            "duckdb": lambda: duckdb,
            "kernel": kernel,
            **({"rollup": rolled_up} if rollup is not None else {}),
        }
        answering = Engines(engines, named=named, rows_in=duckdb.rows_in, choices=self._choices)
        self._to_close = [answering, templates]  # Newest and inspections use the database directly
        newest = NewestOfFiles(sources, duckdb, rollup=rollup, org=org)
        return Asking(sources, answering, duckdb, newest, org=org, strict=strict, warn=self.warn)

    def close(self) -> None:
        """Close the engines and the database; the next question opens the sources again."""
        self._asking = None
        while self._to_close:
            self._to_close.pop().close()
        self._places = []
        if self._mirror is not None:
            self._mirror.close()
            self._mirror = None

    @property
    def engines(self) -> tuple[Choice, ...]:
        """The engines that have answered, each with the reason for its choice."""
        return tuple(self._choices)

    def warn(self, warning: str) -> None:
        """Pass a message to whoever asks, each message once."""
        if self._warn is not None and warning not in self._warned:
            self._warned.add(warning)
            self._warn(warning)

    def _rollup_of(self, sources: Sources) -> "Rollup | None":
        """Return the rollup of the data set, if only one is named and its rollup is fresh."""
        place = self._places[0]
        if len(self.named) != 1 or not os.path.isdir(os.path.join(place, ROLLUP)):
            return None
        from relhealth.engines.rollup.reader import Rollup

        opening = Rollup.open(place)
        reason = opening.reason
        if opening.rollup is not None:
            paths = [*(file.absolute for file in sources.files), *sources.empty]
            reason = opening.rollup.stale(paths)
        if reason is None:
            return opening.rollup
        if not self._rollup_warned:  # the reason can differ each time the sources are opened
            self._rollup_warned = True
            remedy = f"relhealth rollup {shlex.quote(printable(os.fspath(self.named[0])))}"
            if opening.newer:
                remedy = f"use the relhealth that made it, or {remedy} --force"
            else:
                remedy = f"{remedy} brings it up to date"
            reason = present.spelled(reason)
            self.warn(f"the rollup is not used: {reason}; {remedy}")
        return None


class Narrowed(NamedTuple):
    """Opened sources, and the conditions that the rows of a question meet."""

    opened: Opened
    where: tuple[Condition, ...]

    def ask(
        self,
        now: Instant | None,
        question: Callable[Concatenate[Asking, datetime, _Asked], _Answer],
        *args: _Asked.args,
        **kwargs: _Asked.kwargs,
    ) -> _Answer:
        """Answer a question as ``Opened.ask``, of only these rows."""

        def narrowed(asking: Asking, instant: datetime) -> _Answer:
            return question(asking.only(self.where), instant, *args, **kwargs)

        return self.opened.ask(now, narrowed)


def _on_cluster(named: Sequence[Source], reading: Reading) -> bool:
    """Return whether a cluster reads the sources; raise ``QuestionError`` if it cannot be asked."""
    elsewhere = [printable(os.fspath(one)) for one in named if only_on_cluster(one)]
    if reading.spark is None:
        if reading.engine == "spark" or any("://" in one for one in elsewhere):
            what = "engine 'spark'" if not elsewhere else elsewhere[0]
            raise QuestionError(
                f"{what}: name the cluster with --spark sc://HOST:PORT or RELHEALTH_SPARK"
            )
        return False
    of_session = not isinstance(reading.spark, str)
    if reading.engine != "spark" and not (reading.engine == AUTO and (of_session or elsewhere)):
        return False
    for option, value in (("memory-limit", reading.memory_limit), ("threads", reading.threads)):
        if value is not None:
            raise QuestionError(
                f"--{option}: the cluster has its own limits; set them there, or leave it out"
            )
    named_on_cluster(named)
    return True
