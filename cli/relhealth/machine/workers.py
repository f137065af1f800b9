"""Threads that share work and stop at any moment on Ctrl-C.

``concurrent.futures`` does not work here: an interrupt while it holds a lock
leaves a thread waiting forever. Here, threads share queues, which they read in one atomic step.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TypeAlias, TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_Done: TypeAlias = tuple[int, list[_Result], BaseException | None]  # the item's number first
_TICK = 0.1  # seconds between two checks for Ctrl-C


class Stopped(Exception):  # noqa: N818 - no error: what went wrong did in another thread
    """Raised in a thread when nobody needs its work any more."""


class Workers:
    """Threads for one piece of work after another; ``ended`` makes them stop."""

    def __init__(self, threads: int, *, leaves: bool = False) -> None:
        """Start nothing yet. With ``leaves``, an error does not wait for what others still do."""
        self._threads = threads
        self._leaves = leaves
        self.ended = False

    def each(self, ask: Callable[[_Item], _Result], items: Sequence[_Item]) -> Iterator[_Result]:
        """Yield the result of each item, in order; raise the first error."""
        todo: SimpleQueue[tuple[int, _Item]] = SimpleQueue()
        done: SimpleQueue[_Done[_Result]] = SimpleQueue()
        for numbered in enumerate(items):
            todo.put(numbered)

        def work() -> None:
            with suppress(Empty):
                while not self.ended:
                    number, item = todo.get_nowait()
                    try:
                        done.put((number, [ask(item)], None))
                    except BaseException as error:  # noqa: BLE001 - raised where it is waited for
                        done.put((number, [], error))

        threads = [
            threading.Thread(target=work, name="relhealth-worker", daemon=True)
            for _ in range(min(self._threads, len(items)))
        ]
        try:
            for thread in threads:
                thread.start()
            yield from _in_order(done, len(items))
        except BaseException:
            self.ended = True
            raise
        finally:
            for thread in threads:
                if thread.ident is not None and not (self._leaves and self.ended):
                    thread.join()

    def check(self) -> None:
        """Raise ``Stopped`` in a thread that must stop."""
        if self.ended:
            raise Stopped


class Turns:
    """Makes threads do a part of their work in the order of their items."""

    def __init__(self, workers: Workers) -> None:
        """Begin with item 0."""
        self._workers = workers
        self._changed = threading.Condition()
        self._next = 0

    def wait(self, number: int) -> None:
        """Wait until all earlier items have had their turn; raises ``Stopped``."""
        with self._changed:
            while self._next != number:
                self._workers.check()
                self._changed.wait(_TICK)

    def end(self) -> None:
        """Let the next item have its turn."""
        with self._changed:
            self._next += 1
            self._changed.notify_all()


def _in_order(done: "SimpleQueue[_Done[_Result]]", count: int) -> Iterator[_Result]:
    ready: dict[int, list[_Result]] = {}
    for number in range(count):
        while number not in ready:
            with suppress(Empty):
                finished, result, error = done.get(timeout=_TICK)
                if error is not None:
                    raise error
                ready[finished] = result
        yield from ready.pop(number)
