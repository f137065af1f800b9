"""The interface of all stores, and the errors that they share."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from relhealth.core.errors import ChangedError, DataError
from relhealth.core.printable import printable

TIMEOUT = 30  # seconds that a request may take without an answer
RETRIES = 4
UNPLACEABLE = "the key has an empty part, one of dots, or a control character"
PATIENCE = 60  # seconds after which no request is tried again


class Object(NamedTuple):
    """An object at the time of a listing."""

    key: str
    size: int  # bytes
    etag: str  # '' if the store does not say
    modified: float  # seconds since the epoch


class Store(Protocol):
    """The objects of one bucket. All methods may be called by several threads.

    They raise ``DataError`` with one line that names the URI and the remedy.
    """

    identity: str  # what tells the bucket from all others

    def objects(self, prefix: str) -> Iterator[Object]:
        """Yield the objects whose keys begin with a prefix."""

    def head(self, key: str) -> Object | None:
        """Return an object; ``None`` if there is none with this key."""

    def read(self, one: Object, start: int, end: int) -> bytes:
        """Return a range of an object's bytes.

        Raises ``ChangedError`` if the object is not the listed one any more.
        """


def changed(uri: str) -> ChangedError:
    """Return the error for an object that is not the listed one any more."""
    return ChangedError([f"{printable(uri)}: changed or gone since it was listed"])


def refused(uri: str, why: str, remedy: str) -> DataError:
    """Return the error for a store that does not give what was asked for."""
    return DataError(f"{printable(uri)}: {printable(why)}; {remedy}")
