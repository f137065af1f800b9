"""Opening the sources of a command, with progress, warnings and the engine of --engine."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from relhealth.output.answer import Answer
from relhealth.output.talk import say

if TYPE_CHECKING:
    from relhealth.release_health import ReleaseHealth


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
) -> Iterator["ReleaseHealth"]:
    """Open sources for a command's questions; with ``debug``, print the engines and reasons.

    The parameters are the shared options of the commands.
    """
    from relhealth.output.progress import progress
    from relhealth.release_health import ReleaseHealth

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
        ) as health,
    ):
        yield health
    if debug:
        for choice in health.engines:
            say(f"engine {choice.engine}: {choice.reason}")
