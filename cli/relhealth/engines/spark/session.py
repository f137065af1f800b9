"""A session of Spark Connect: opened with safe settings, asked for rows, interrupted, stopped."""

import logging
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from relhealth.core.errors import DataError, QuestionError
from relhealth.core.given import origin
from relhealth.core.printable import printable
from relhealth.engines.spark.errors import address, explained
from relhealth.machine.database import Observer, Progress, Row

if TYPE_CHECKING:
    from pyspark.sql.connect.dataframe import DataFrame

_T = TypeVar("_T")
MISSING = "this needs the Spark client: pip install 'relhealth[spark]'"
# Without ANSI mode, a sum beyond 64 bits becomes negative and text that is no number null. With the
# last two, files that cannot be read would count as files without rows.
SETTINGS = {
    "spark.sql.ansi.enabled": "true",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.files.ignoreCorruptFiles": "false",
    "spark.sql.files.ignoreMissingFiles": "false",
}
# Without it, Spark reads no timestamps in nanoseconds; set only for sources that have such.
NANOS_AS_LONG = "spark.sql.legacy.parquet.nanosAsLong"
_TAG = "relhealth"  # of statements in a caller's session
_TICK = 0.02  # seconds between two looks at running work
_AT_ONCE = 8  # statements
_FAREWELL = 0.4  # seconds for the cluster to heed an interrupt
_PATIENCE = 5  # seconds for it to end a session
# Retries after a lost connection: 15 by default, over minutes. These take about 2 seconds.
_RETRIES = {"max_retries": 3, "initial_backoff": 200, "max_backoff": 1_000, "jitter": 100}


class Session:
    """One session of a cluster; the first use opens it."""

    def __init__(self, spark: Any, observer: Observer | None = None) -> None:
        """Name a server, ``sc://host:port``, or take a session of the caller; open nothing yet.

        A caller's session gets the settings while this is open, and stays open.
        """
        self._named = spark if isinstance(spark, str) else None
        self._session: Any = None
        self._of_caller: Any = None if isinstance(spark, str) else spark
        self._observer = observer
        self._before: dict[str, str | None] = {}  # settings of the caller's session
        self._interrupted = False
        self._at_once = threading.BoundedSemaphore(_AT_ONCE)

    @property
    def spark(self) -> Any:
        """The session of PySpark."""
        if self._session is None:
            self._session = self._opened()
        return self._session

    def rows(self, statements: Sequence[tuple[str, str, Mapping[str, Any]]]) -> list[list[Row]]:
        """Run statements, each with a label and its values, side by side; return their rows."""
        spark = self.spark

        def fetching(sql: str, values: Mapping[str, Any]) -> Callable[[], list[Row]]:
            def fetch() -> list[Row]:
                if spark is self._of_caller:
                    spark.addTag(_TAG)  # of this thread: an interrupt leaves the caller's own work
                return _rows(spark.sql(sql, args=dict(values)))

            return fetch

        labels = [label for label, _, _ in statements]
        return self._all(labels, [fetching(sql, values) for _, sql, values in statements])

    def call(self, label: str, work: "Callable[[Any], _T]") -> _T:
        """Do one thing with the session of PySpark; it can be interrupted."""
        spark = self.spark
        return self._all([label], [lambda: work(spark)])[0]

    def stop(self, views: Sequence[str] = ()) -> None:
        """Stop the session; without that, the client would keep the process from its end.

        A caller's session loses the ``views``, and gets its settings back.
        """
        session, self._session = self._session, None
        if session is None:
            return

        def given_back() -> None:
            for view in views:
                session.catalog.dropTempView(view)
            for key, value in self._before.items():
                session.conf.unset(key) if value is None else session.conf.set(key, value)

        patience = _FAREWELL if self._interrupted else _PATIENCE
        _within(patience, given_back if session is self._of_caller else session.stop)

    def _opened(self) -> Any:
        with _quiet(), _explaining(self._named):
            session = self._connected()
            try:
                self._set(session)
            except BaseException:
                if session is not self._of_caller:
                    _within(_FAREWELL, session.stop)
                raise
        return session

    def _connected(self) -> Any:
        """Return a session of PySpark; of a caller's one a clone, where the cluster has these."""
        try:
            import sqlglot  # noqa: F401 - a half of the extra, before anything is done
        except ImportError as error:
            raise QuestionError(f"{MISSING} (there is no sqlglot)") from error
        given = self._of_caller
        if given is not None:
            with suppress(Exception):  # a server or client of before Spark 4.1
                return given.cloneSession()
            return given
        assert self._named is not None
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        warnings.filterwarnings("ignore", module="pyspark")  # also in threads that outlive a call
        try:
            from pyspark.sql.connect.client import DefaultChannelBuilder
            from pyspark.sql.connect.client.retries import DefaultPolicy
            from pyspark.sql.connect.session import SparkSession
        except ImportError as error:
            missing = (error.name or str(error)).partition(".")[0]
            raise QuestionError(f"{MISSING} (there is no {missing})") from error
        for name in ("pyspark", "pyspark.sql.connect", "grpc", "SQLQueryContextLogger"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        try:
            builder = DefaultChannelBuilder(_with_slash(self._named))
        except Exception as error:
            raise QuestionError(
                f"{origin(self._named, '--spark')} {address(self._named)}: expected sc://HOST:PORT,"
                " perhaps with ;token=…;use_ssl=true"
            ) from error
        session = SparkSession(builder)
        session.client.set_retry_policies([DefaultPolicy(**_RETRIES)])
        return session

    def _set(self, session: Any) -> None:
        """Set what exact answers need, and read it back: a cluster may fix it, or not know it."""

        def work() -> None:
            if session is self._of_caller:
                for key in (*SETTINGS, NANOS_AS_LONG):
                    self._before[key] = session.conf.get(key, None)
            for key, value in SETTINGS.items():
                with suppress(Exception):  # reading it back tells
                    session.conf.set(key, value)
                _check_setting(key, value, str(session.conf.get(key, None)))

        self._all(["connecting"], [work])

    def _all(self, labels: Sequence[str], work: "Sequence[Callable[[], _T]]") -> "list[_T]":
        """Do several things on threads, because the main thread must receive Ctrl-C."""
        outcomes: list[_T | None] = [None] * len(work)
        errors: list[BaseException] = []
        unwanted = threading.Event()

        def one(number: int) -> None:
            with self._at_once:
                if unwanted.is_set():
                    return
                try:
                    outcomes[number] = work[number]()
                except BaseException as error:  # noqa: BLE001 - handed to the waiting thread
                    errors.append(error)

        threads = [
            threading.Thread(target=one, args=(number,), name=f"relhealth-{label}", daemon=True)
            for number, label in enumerate(labels)
        ]
        with _quiet(), _explaining(self._named):
            try:
                for thread in threads:
                    thread.start()
                while not errors and any(thread.is_alive() for thread in threads):
                    self._observe(labels, threads)
                    time.sleep(_TICK)
            finally:
                if any(thread.is_alive() for thread in threads):
                    unwanted.set()
                    self._interrupt()
            if errors:
                raise errors[0]
        return outcomes  # type: ignore[return-value]

    def _interrupt(self) -> None:
        """Stop what runs on the cluster; do not wait long for a cluster that may be gone."""
        self._interrupted = True
        session = self._session
        if session is not None:
            stop = partial(session.interruptTag, _TAG)
            _within(_FAREWELL, stop if session is self._of_caller else session.interruptAll)

    def _observe(self, labels: Sequence[str], threads: Sequence[threading.Thread]) -> None:
        if self._observer is not None:
            left = [label for label, one in zip(labels, threads, strict=True) if one.is_alive()]
            if left:
                self._observer(Progress(left[0], 1 - len(left) / len(labels)))


def _with_slash(server: str) -> str:
    """Return an address with the slash that PySpark wants before parameters."""
    head, semicolon, parameters = server.partition(";")
    return f"{head.rstrip('/')}/{semicolon}{parameters}" if semicolon else server


def _check_setting(key: str, value: str, found: str) -> None:
    if found.lower() != value.lower():
        raise QuestionError(
            f"the cluster has {key} = {printable(found)} and does not take {value}, without which"
            " figures can be wrong with no sign of it: set it there"
        )


def _rows(found: "DataFrame") -> list[Row]:
    rows: list[Row] = found.toArrow().to_pylist()
    return rows


def _within(seconds: float, work: Callable[[], object]) -> None:
    """Do something that may hang or fail, and wait for it only so long."""

    def quietly() -> None:
        with suppress(Exception):
            work()

    thread = threading.Thread(target=quietly, daemon=True)
    thread.start()
    thread.join(seconds)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the client's warnings, of versions of other packages, from stderr."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _explaining(server: str | None) -> Iterator[None]:
    """Raise a cluster's error as one of relhealth's."""
    try:
        yield
    except (QuestionError, DataError, KeyboardInterrupt):
        raise
    except Exception as error:
        told = explained(error, server)
        if told is None:
            raise
        raise told from error
