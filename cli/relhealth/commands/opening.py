"""Opening the sources of a command, with progress, warnings and the engine of --engine."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple

from relhealth.commands import options
from relhealth.output.answer import Answer
from relhealth.output.talk import say
from relhealth.stores.limits import DEFAULT_SIZE

if TYPE_CHECKING:
    from relhealth.release_health import ReleaseHealth


class How(NamedTuple):
    """How a command runs. A command with a parameter ``how`` has these options (``flat``)."""

    strict: options.Strict = False
    engine: options.EngineOption = "auto"
    memory_limit: options.MemoryLimit = None
    threads: options.Threads = None
    cache_size: options.CacheSize = DEFAULT_SIZE
    quiet: options.Quiet = False
    debug: options.Debug = False

    def opened(
        self, answer: Answer, sources: Sequence[str], *, org: int | None
    ) -> AbstractContextManager["ReleaseHealth"]:
        """Open sources for a command's questions, by these options."""
        return opened(
            answer,
            sources,
            debug=self.debug,
            org=org,
            strict=self.strict,
            memory_limit=self.memory_limit,
            threads=self.threads,
            engine=self.engine,
            cache_size=self.cache_size,
        )


def flat(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command whose signature has the options of ``How`` in place of ``how``."""
    signature = inspect.signature(command)
    if "how" not in signature.parameters:
        return command

    @wraps(command)
    def run(**given: Any) -> None:
        how = How(**{name: given.pop(name) for name in How._fields})
        command(**given, how=how)

    others = [one for one in signature.parameters.values() if one.name != "how"]
    fields = inspect.signature(How).parameters.values()
    options_of_how = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in fields]
    run.__signature__ = signature.replace(parameters=[*others, *options_of_how])  # type: ignore[attr-defined]
    return run


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
) -> Iterator["ReleaseHealth"]:
    """Open sources for a command's questions; with ``debug``, print the engines and reasons."""
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
            cache_size=cache_size,
        ) as health,
    ):
        yield health
    if debug:
        for choice in health.engines:
            say(f"engine {choice.engine}: {choice.reason}")
