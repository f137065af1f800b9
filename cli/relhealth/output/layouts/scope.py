"""The common parts of reports: the meta data, warnings and windows of a scope."""

from collections.abc import Iterator, Mapping
from typing import Any

from relhealth.core.printable import printable
from relhealth.core.scope import Scope
from relhealth.core.windows import Window, iso
from relhealth.core.words import counted
from relhealth.output.report import meta_of


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
    return meta_of(
        command,
        now=iso(scope.now),
        period=period,
        window=window.to_dict(),
        **more,
        environments=listed(scope.environments),
        projects=listed(scope.projects),
        releases=listed(scope.releases),
        sources={"files": files},
        **invalid_meta(invalid_rows),
    )


def invalid_meta(invalid_rows: Mapping[str, int]) -> dict[str, Any]:
    """Return the meta data of invalid rows: how many there are, and how many by reason."""
    return {
        "invalid_rows": sum(invalid_rows.values()),
        "invalid_reasons": dict(invalid_rows),
    }


def listed(values: tuple[Any, ...] | None) -> list[Any] | None:
    """Return the values of a filter; None for all."""
    return None if values is None else list(values)


def elsewhere(*, latest: bool) -> str:
    """Return where to look for more data, if there is nothing in the window."""
    return ("" if latest else "--now latest asks about the newest data, ") + "inspect shows all"


def invalid_warnings(invalid_rows: Mapping[str, int]) -> Iterator[str]:
    """Yield one line per reason for invalid rows."""
    for reason, count in invalid_rows.items():
        yield f"{counted(count, 'invalid row')} left out: {reason}"


def left_out_warnings(left_out: int, noun: str, *, by: str = "--limit") -> Iterator[str]:
    """Yield how many rows an option left out, if any."""
    if left_out:
        yield f"{counted(left_out, noun)} left out by {by}"


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
    """Return a name for people; the empty one becomes a word."""
    return name or "(none)"
