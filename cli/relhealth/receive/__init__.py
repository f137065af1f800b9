"""A receiver of what Sentry SDKs send: sessions go into a data set, the rest is passed on.

A request goes through ``app``, which checks its key (``keys``), undoes its encoding
(``encodings``), reads it (``envelope``), and answers when ``spool`` has its sessions on disk.
``draining`` starts a process (``drain``) that ingests the spool. ``forward`` passes envelopes on.
``server`` runs all.
"""

from importlib.util import find_spec

from relhealth.core.errors import QuestionError

_NEEDED = ("brotli", "httptools", "starlette", "uvicorn", "uvloop", "zstandard")


def check_installed() -> None:
    """Raise ``QuestionError`` if the receiver's packages are not installed; import nothing."""
    if any(find_spec(name) is None for name in _NEEDED):
        raise QuestionError("receive needs more packages: pip install 'relhealth[receive]'")
