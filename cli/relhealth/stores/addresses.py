"""Addresses of objects: what the URI of a source names."""

import glob
import os
import re
from typing import NamedTuple
from urllib.parse import urlsplit

from relhealth.core.errors import QuestionError
from relhealth.core.printable import printable

_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_OF_PATH = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.*)", re.DOTALL)  # pathlib joins slashes
_SAME = {"gcs": "gs", "azure": "az"}
_OF_WEB = {"http", "https"}
SCHEMES = ("s3", "gs", "az", "https")


class Address(NamedTuple):
    """A place in a store; ``key`` is that of an object, a prefix, a pattern, or ''."""

    scheme: str
    bucket: str  # for the web, scheme and host; for Azure, the container
    key: str

    def name(self, key: str) -> str:
        """Return the path of a local file for a key: of the web, without the query."""
        return key.partition("?")[0] if self.scheme == "https" else key

    @property
    def is_pattern(self) -> bool:
        """Whether the key is a pattern; addresses of the web are none."""
        return self.scheme != "https" and glob.has_magic(self.key)

    def uri(self, key: str) -> str:
        """Return the URI of a key in the same bucket."""
        if self.scheme == "https":
            return f"{self.bucket}/{key}"
        return f"{self.scheme}://{self.bucket}/{key}"


def is_uri(source: str | os.PathLike[str]) -> bool:
    """Return whether a source is a URI, and no path."""
    return isinstance(source, str) and _URI.match(source) is not None


def address_of(uri: str) -> Address:
    """Return what a URI names; raises ``QuestionError`` for one that nothing here can read."""
    found = _URI.match(uri)
    scheme = found[1].lower() if found else ""
    scheme = _SAME.get(scheme, scheme)
    if scheme in _OF_WEB:
        try:
            parts = urlsplit(uri)
        except ValueError as error:
            raise QuestionError(f"{printable(uri)}: no address of a file ({error})") from None
        _, _, key = uri[found.end() if found else 0 :].partition("/")
        if not parts.hostname or not key:
            raise QuestionError(f"{printable(uri)}: name one file, as https://HOST/PATH")
        return Address("https", f"{scheme}://{parts.netloc}", key)
    if scheme not in SCHEMES:
        known = ", ".join(f"{one}://" for one in SCHEMES)
        raise QuestionError(f"{printable(uri)}: unknown scheme; known are {known}")
    bucket, _, key = uri[found.end() if found else 0 :].partition("/")
    if not bucket:
        raise QuestionError(f"{printable(uri)}: no bucket; write {scheme}://BUCKET/PATH")
    if not _BUCKET.fullmatch(bucket):
        raise QuestionError(f"{printable(uri)}: no name of a bucket; check it")
    if key and not is_placeable(key.removesuffix("/")):
        raise QuestionError(
            f"{printable(uri)}: the path has an empty part, one of dots, or a control character"
        )
    return Address(scheme, bucket, key)


def is_placeable(key: str) -> bool:
    """Return whether a key can be the path of a local file."""
    return key.isprintable() and not {"", ".", ".."} & set(key.split("/"))


def refuse_to_write(place: str | os.PathLike[str], remedy: str) -> None:
    """Raise ``QuestionError`` if a place to write to is in a store."""
    found = _OF_PATH.match(os.fspath(place))
    if found is not None:
        uri = f"{found[1]}://{found[2]}"
        raise QuestionError(f"{printable(uri)}: relhealth does not write to stores; {remedy}")
