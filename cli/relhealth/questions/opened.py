"""Sources opened once, by a question asked of them, and opened anew when they changed."""

import os
import shlex
import warnings
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial, wraps
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar

from relhealth.core.errors import ChangedError, DataError
from relhealth.core.printable import printable
from relhealth.core.scope import check_org
from relhealth.core.windows import parse_instant
from relhealth.core.words import counted
from relhealth.datasets.ledger import ROLLUP
from relhealth.datasets.sources import Sources, open_sources
from relhealth.engines import AUTO
from relhealth.engines.choose import Choice, Engines, check_engine
from relhealth.engines.duckdb.engine import DuckdbEngine
from relhealth.engines.interface import Engine
from relhealth.engines.templates import Templates
from relhealth.machine.database import Observer, check_limits
from relhealth.questions.asking import Asking, Instant
from relhealth.questions.newest import Newest

if TYPE_CHECKING:
    from relhealth.engines.rollup.reader import Rollup

Source = str | os.PathLike[str]
_PATIENCE = 10  # times that changing sources are found anew
_Asked = ParamSpec("_Asked")
_Answer = TypeVar("_Answer")


def anew_when_changed(ask: Callable[_Asked, _Answer]) -> Callable[_Asked, _Answer]:
    """Find the sources anew when files of theirs went while a question was answered."""

    @wraps(ask)
    def asked(*args: _Asked.args, **kwargs: _Asked.kwargs) -> _Answer:
        for _ in range(_PATIENCE):
            try:
                return ask(*args, **kwargs)
            except ChangedError:
                (health,) = (one for one in args if isinstance(one, Opened))
                health.close()
        return ask(*args, **kwargs)

    return asked


def interval_was_rollup(ask: Callable[_Asked, _Answer]) -> Callable[_Asked, _Answer]:
    """Take ``rollup``, the old name of ``interval``, for one more version, with a warning."""

    @wraps(ask)
    def asked(*args: _Asked.args, **kwargs: _Asked.kwargs) -> _Answer:
        if "rollup" in kwargs:
            warnings.warn(
                "the parameter rollup is called interval now", DeprecationWarning, stacklevel=2
            )
            kwargs["interval"] = kwargs.pop("rollup")
        return ask(*args, **kwargs)

    return asked


def _rollup_engine(rollup: "Rollup", templates: Templates, **how: Any) -> Engine:
    from relhealth.engines.rollup.engine import RollupEngine

    return RollupEngine(rollup, templates, **how)


class Opened:
    """Sources and how they are read; what is asked of them is for those who derive from it."""

    def __init__(  # noqa: PLR0913 - how sources are read has that many sides
        self,
        sources: Source | Sequence[Source],
        *,
        org: int | None = None,
        strict: bool = False,
        memory_limit: str | None = None,
        threads: int | None = None,
        observer: Observer | None = None,
        warn: Callable[[str], object] | None = None,
        engine: str = AUTO,
    ) -> None:
        """Name the sources; nothing is read yet.

        ``engine`` (``duckdb``, ``kernel``, ``rollup``) is asked alone; default: the best for each
        question.
        ``warn`` gets what a reader must know beside the answers: why the rollup of the sources
        is not used, that there are no data yet, which sessions are later than the clock. Raises
        ``QuestionError`` for limits that cannot be.
        """
        check_limits(memory_limit, threads)
        check_org(org)
        check_engine(engine)
        self._named_engine = engine
        self._named = [sources] if isinstance(sources, str | os.PathLike) else list(sources)
        self._org = org
        self._strict = strict
        self._memory_limit = memory_limit
        self._threads = threads
        self._observer = observer
        self._warn = warn
        self._warned: set[str] = set()
        self._rollup_warned = False
        self._opened: Asking | None = None
        self._engines: Engines | None = None
        self._choices: dict[Choice, None] = {}

    def close(self) -> None:
        """Let go of the sources; a later question opens them anew."""
        if self._opened is not None:
            self._opened = None
        if self._engines is not None:
            self._engines.close()
            self._engines = None

    def __enter__(self) -> Self:
        """Return the object itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    def asking(self, now: Instant | None) -> tuple[Asking, datetime]:
        """Open the sources, once; a question about no instant is told before bad data."""
        if now is not None and now != "latest":
            now = parse_instant(now)
        if self._opened is None:
            sources = open_sources(self._named)
            if self._strict and sources.empty:
                raise DataError([f"{printable(p)}: the file has no rows" for p in sources.empty])
            if self._strict and not sources.files:
                raise DataError("no data yet: no file in any of the sources")
            if not sources.files:
                files = counted(len(sources.empty), "file")
                what = f"{files} and no row" if sources.empty else "no file"
                self.warn(f"no data yet: {what} in any of the sources")
            self._opened = self._open(sources)
        return self._opened, self._opened.instant(now)

    def _open(self, sources: Sources) -> Asking:
        """Make the engines over sources, and what asks them."""
        org, memory_limit = self._org, self._memory_limit
        threads = self._threads or len(os.sched_getaffinity(0))
        templates = Templates(memory_limit, self._threads, self._observer)
        self.duckdb = duckdb = DuckdbEngine(sources, templates, org=org, threads=threads)

        def kernel() -> Engine:
            from relhealth.engines.kernel.engine import KernelEngine

            return KernelEngine(
                sources,
                org=org,
                memory_limit=memory_limit,
                threads=threads,
                observer=self._observer,
            )

        engines: dict[str, Callable[[], Engine]] = {"duckdb": lambda: duckdb, "kernel": kernel}
        rollup = self._rollup_of(sources)
        if rollup is not None:
            engines["rollup"] = partial(
                _rollup_engine,
                rollup,
                templates,
                org=org,
                memory_limit=memory_limit,
                threads=threads,
            )
        self._engines = Engines(
            engines, named=self._named_engine, rows_in=duckdb.rows_in, choices=self._choices
        )
        newest = Newest(sources, self.duckdb, rollup=rollup, org=org)
        return Asking(sources, self._engines, newest, org=org, strict=self._strict, warn=self.warn)

    @property
    def engines(self) -> tuple[Choice, ...]:
        """The engines that have answered, each with the reason why it was chosen."""
        return tuple(self._choices)

    def warn(self, warning: str) -> None:
        """Tell whoever asks what they must know beside the answer, each thing once."""
        if self._warn is not None and warning not in self._warned:
            self._warned.add(warning)
            self._warn(warning)

    def _warn_of_rollup(self, warning: str) -> None:
        if not self._rollup_warned:  # once is enough, whatever the reason
            self._rollup_warned = True
            self.warn(warning)

    def _rollup_of(self, sources: Sources) -> "Rollup | None":
        """Return the rollup of the one data set that was named, if it is there and fresh."""
        if len(self._named) != 1 or not os.path.isdir(os.path.join(self._named[0], ROLLUP)):
            return None
        from relhealth.engines.rollup.reader import Rollup

        opening = Rollup.open(self._named[0])
        reason = opening.reason
        if opening.rollup is not None:
            paths = [*(file.absolute for file in sources.files), *sources.empty]
            reason = opening.rollup.stale(paths)
        if reason is not None:
            remedy = f"relhealth rollup {shlex.quote(printable(os.fspath(self._named[0])))}"
            if opening.newer:
                remedy = f"use the relhealth that made it, or {remedy} --force"
            else:
                remedy = f"{remedy} brings it up to date"
            self._warn_of_rollup(f"the rollup is not used: {reason}; {remedy}")
        return opening.rollup if reason is None else None
