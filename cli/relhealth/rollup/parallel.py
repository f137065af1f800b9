"""Work on several threads that stops soon when it is interrupted or fails."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Stopped(Exception):  # noqa: N818 - no error: another thread has one
    """Raised in a thread whose work is no longer wanted."""


class Stop:
    """Tells threads to end, and hands out their turns."""

    def __init__(self) -> None:
        """Begin with turn 0."""
        self._changed = threading.Condition()
        self._stopped = False
        self._turn = 0

    def set(self) -> None:
        """Tell all to end."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def check(self) -> None:
        """Raise ``Stopped`` when told to end."""
        if self._stopped:
            raise Stopped

    def wait_for_turn(self, number: int) -> None:
        """Wait until all lower numbers had their turn."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._turn == number)
        self.check()

    def end_turn(self) -> None:
        """Let the next number have its turn."""
        with self._changed:
            self._turn += 1
            self._changed.notify_all()


def each(
    work: Callable[[_Item], _Result], items: Iterable[_Item], threads: int, stop: Stop
) -> Iterator[_Result]:
    """Yield ``work`` of each item, in order; on an error or an interrupt none is left running."""
    if threads == 1:
        yield from map(work, items)
        return

    def guarded(item: _Item) -> _Result:
        stop.check()
        try:
            return work(item)
        except BaseException:
            stop.set()  # others may wait for a turn after this one's
            raise

    pool = ThreadPoolExecutor(threads, thread_name_prefix="relhealth-rollup")
    futures = [pool.submit(guarded, item) for item in items]
    try:
        for number, future in enumerate(futures):
            try:
                result = future.result()
            except Stopped:  # the error itself is another's
                for other in futures[number + 1 :]:
                    fault = other.exception()
                    if fault is not None and not isinstance(fault, Stopped):
                        raise fault from None
                raise
            futures[number] = None  # type: ignore[call-overload]  # its result may be large
            yield result
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
