"""Progress of long work: a bar on stderr, only on a terminal."""

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

    from relhealth.machine.database import Observer, Progress

_PATIENCE = 0.8  # seconds before a bar appears


@contextmanager
def progress(*, quiet: bool) -> "Iterator[Observer | None]":
    """Yield an observer that draws a bar if the work takes long; ``None`` without a terminal."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    with ExitStack() as stack:
        yield _Bar(stack).observe


class _Bar:
    """A bar that appears late and disappears at the end."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._began = time.monotonic()
        self._shown: tuple[RichProgress, TaskID] | None = None

    def observe(self, progress: "Progress") -> None:
        """Draw the progress of the work."""
        if self._shown is None:
            if time.monotonic() - self._began < _PATIENCE:
                return
            self._shown = self._show()
        bar, task = self._shown
        label = progress.component.replace("_", " ")
        bar.update(task, description=label, completed=progress.done)

    def _show(self) -> "tuple[RichProgress, TaskID]":
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self._stack.enter_context(bar)
        return bar, bar.add_task("", total=1.0)
