"""Release health from session-metric Parquet files: offline and exact.

The names below are the public Python interface. They load on first use, so that
``relhealth --version`` and ``--help`` start as fast as the interpreter.
"""

from relhealth.core.version import __version__

TYPE_CHECKING = False  # typing's, which takes as long to import as Python takes to start

__all__ = [
    "DataError",
    "Overview",
    "QuestionError",
    "ReleaseHealth",
    "ReleaseOverview",
    "__version__",
]

if TYPE_CHECKING:
    from relhealth.core.errors import DataError, QuestionError
    from relhealth.questions.overview import Overview, ReleaseOverview
    from relhealth.release_health import ReleaseHealth

_HOMES = {
    "DataError": "relhealth.core.errors",
    "Overview": "relhealth.questions.overview",
    "QuestionError": "relhealth.core.errors",
    "ReleaseHealth": "relhealth.release_health",
    "ReleaseOverview": "relhealth.questions.overview",
}


def __getattr__(name: str) -> object:
    """Load a public name from the module that owns it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'relhealth' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
