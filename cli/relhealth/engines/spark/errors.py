"""A cluster's errors, each as one line that says what happened and what to do."""

import re

from relhealth.core.errors import DataError
from relhealth.core.printable import printable

_LONGEST = 300  # characters of a cluster's message
_LOST = ("UNAVAILABLE", "CANCELLED", "DEADLINE_EXCEEDED")
_SIGNS_OF_LOSS = ("INVALID_HANDLE", "Socket closed", "RETRIES_EXCEEDED", "StatusCode.UNAVAILABLE")
_REFUSED = ("UNAUTHENTICATED", "PERMISSION_DENIED")
# What is above the cause in the message of a failed job.
_CAUSE = re.compile(r"(?:Caused by: |Lost task [\d.]+ in stage [\d.]+ \(.*?\)(?: \(.*?\))?: )(.+)")
_CLASS = re.compile(r"^(?:[\w$]+\.)+[\w$]*(?:Exception|Error)\w*: ")
_CLASS_IN_BRACKETS = re.compile(r"^\([\w.$]+\) ")
_STATUS = re.compile(r"status = StatusCode\.(\w+)")
_SQLSTATE = re.compile(r"\.? SQLSTATE: \w{5}$")


def explained(error: Exception, server: str | None) -> Exception | None:
    """Return what to raise for an error; None if it is not of a cluster."""
    if not type(error).__module__.startswith(("pyspark", "grpc")):
        return None
    where = "the cluster" if server is None else address(server)
    text = str(error)
    status = _status(error)
    if status in _REFUSED:
        return DataError(f"{where}: the server refused this user: check the token ({status})")
    if status == "UNIMPLEMENTED" or "NoSuchMethod" in text:
        return DataError(
            f"{where}: the server is of another version than the client, or no Spark Connect"
            f" server ({_short(text)}); servers of Spark 4 are known to work"
        )
    if status in _LOST or any(sign in text for sign in _SIGNS_OF_LOSS):
        return DataError(
            f"{where}: no connection, or it was lost ({_short(_detail(text))}); check that the"
            " server runs and that --spark names its host and port, then ask again"
        )
    told = _short(cause(text))
    if "FileSystem not found" in told or "No FileSystem for scheme" in told:
        told += "; the cluster lacks the library for paths of this scheme"
    return DataError(f"{where}: {told}")


def cause(text: str) -> str:
    """Return the line that tells why, of a message with many."""
    text = text.partition("JVM stacktrace:")[0]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return "the cluster gave no reason"
    found = [match[1] for line in lines if (match := _CAUSE.search(line))]
    first = lines[0]
    failed = "Job aborted" in first or "stage failure" in first
    why = found[-1] if failed and found else first
    return _SQLSTATE.sub("", _CLASS.sub("", _CLASS_IN_BRACKETS.sub("", why)))


def address(server: str) -> str:
    """Return the address of a server, without its token."""
    return printable(server.partition(";")[0].rstrip("/"))


def _status(error: Exception) -> str:
    for name in ("getGrpcStatusCode", "code"):
        asked = getattr(error, name, None)
        if callable(asked):
            code = asked()
            return str(getattr(code, "name", code))
    found = _STATUS.search(str(error))
    return found[1] if found else ""


def _detail(text: str) -> str:
    found = re.search(r'details = "(.*?)"', text)
    return found[1] if found else text


def _short(text: str) -> str:
    line = printable(" ".join(text.split()))
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
