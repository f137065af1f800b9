"""Keys: who may send, to which project, and where an SDK writes its key."""

import re
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from relhealth.core.errors import QuestionError
from relhealth.core.printable import printable

PROJECT = re.compile(r"[0-9]{1,18}")  # the ids that the ingest takes
_KEY = re.compile(r"[0-9A-Za-z_]{16,64}")  # what every SDK takes as a key of a DSN
_IN_HEADER = re.compile(r"(?:^Sentry\s+|,\s*)sentry_key\s*=\s*([^,\s]+)", re.IGNORECASE)

_IN_QUERY = re.compile(r"(?:^|&)sentry_key=([^&]*)")


class Dsn(NamedTuple):
    """What an SDK is configured with: where to send, with which key."""

    scheme: str
    host: str  # with its port
    path: str  # before the project, such as /sentry
    key: str
    project: int


def read_dsn(text: str) -> Dsn | None:
    """Return a DSN; ``None`` for anything else."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return None
    path, _, project = parts.path.rstrip("/").rpartition("/")
    if not parts.username or not parts.hostname or not PROJECT.fullmatch(project):
        return None
    host = parts.netloc.rpartition("@")[2]
    return Dsn(parts.scheme, host, path, parts.username, int(project))


class Keys:
    """The keys that may send; without any, everybody may."""

    def __init__(self, words: Iterable[str] = ()) -> None:
        """Take ``KEY``, which may send to every project, or ``PROJECT:KEY``.

        Raises ``QuestionError`` for other words.
        """
        # By digests: how long a look-up takes then tells nothing of a key.
        self._known: dict[bytes, set[int] | None] = {}
        for word in words:
            project, colon, key = word.rpartition(":")
            if not _KEY.fullmatch(key) or (colon and not PROJECT.fullmatch(project)):
                raise QuestionError(
                    "a key must be KEY or PROJECT:KEY, with 16 to 64 letters and digits; make one"
                    " with: openssl rand -hex 16"
                )
            digest = _digest(key)
            if not colon:
                self._known[digest] = None
            elif (projects := self._known.setdefault(digest, set())) is not None:
                projects.add(int(project))

    def __bool__(self) -> bool:
        """Return whether a key is required."""
        return bool(self._known)

    def allow(self, project: int, key: str) -> bool:
        """Return whether a key may send to a project."""
        projects = self._known.get(_digest(key), _NOBODY)
        return not self._known or projects is None or project in projects


_NOBODY: set[int] = set()


def _digest(key: str) -> bytes:
    return sha256(key.encode(errors="surrogatepass")).digest()


def read_file(path: Path) -> list[str]:
    """Return the keys of a file: one a line, ``KEY`` or ``PROJECT:KEY``; # begins a comment.

    Raises ``QuestionError`` for a file that cannot be read or has none.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise QuestionError(f"--keys {printable(str(path))}: {reason}") from error
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    found = [line for line in lines if line]
    if not found:
        raise QuestionError(f"--keys {printable(str(path))}: no key in this file")
    return found


def sent_key(header: bytes | None, query: bytes) -> str | None:
    """Return the key in the headers or the query of a request, if there is one."""
    if header:
        found = _IN_HEADER.search(header.decode("latin-1"))
        if found:
            return found[1]
    if b"sentry_key" in query:
        found = _IN_QUERY.search(query.decode("latin-1"))
        return unquote(found[1]) if found else None
    return None
