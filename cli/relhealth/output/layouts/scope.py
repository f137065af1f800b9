"""The common parts of reports: the meta data, warnings and windows of a scope."""

from collections.abc import Iterator, Mapping
from typing import Any

from relhealth.core.printable import printable
from relhealth.core.scope import Scope
from relhealth.core.version import __version__
from relhealth.core.windows import Window, iso
from relhealth.core.words import counted
from relhealth.output.report import JSON_FORMAT


def scope_meta(
    command: str,
    scope: Scope,
    *,
    period: str | None,
    window: Window,
    files: int,
    invalid_rows: Mapping[str, int],
    **more: Any,
) -> dict[str, Any]:
    """Return the meta data of an answer about a scope."""
    return {
        "format": JSON_FORMAT,
        "command": command,
        "relhealth": __version__,
        "now": iso(scope.now),
        "period": period,
        "window": window.to_dict(),
        **more,
        "environments": listed(scope.environments),
        "projects": listed(scope.projects),
        "releases": listed(scope.releases),
        "sources": {"files": files},
        "invalid_rows": sum(invalid_rows.values()),
        "invalid_reasons": dict(invalid_rows),
    }


def listed(values: tuple[Any, ...] | None) -> list[Any] | None:
    """Return the values of a filter; None for all."""
    return None if values is None else list(values)


def elsewhere(*, latest: bool) -> str:
    """Return where there may be more than in a window that holds nothing."""
    return ("" if latest else "--now latest asks about the newest data, ") + "inspect shows all"


def invalid_warnings(invalid_rows: Mapping[str, int]) -> Iterator[str]:
    """Yield one line per reason for invalid rows."""
    for reason, count in invalid_rows.items():
        yield f"{counted(count, 'invalid row')} left out: {reason}"


def environments_text(environments: tuple[str, ...] | None) -> str:
    """Return the environments of a filter in words."""
    return ", ".join(printable(name) or "none" for name in environments or ())


def title(period: str | None, window: Window, scope: Scope) -> str:
    """Return a table's title: the period, the window, the environments."""
    words = [] if period is None else [period]
    words.append(f"{window.start:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M} UTC")
    if scope.environments is not None:
        words.append(f"environment {environments_text(scope.environments)}")
    return " · ".join(words)


def window_text(window: Window) -> str:
    """Return a window for the summary line."""
    return f"window {iso(window.start)} to {iso(window.end)}"


def or_none(name: str) -> str:
    """Return a name for people, with a word for the empty one."""
    return name or "(none)"
