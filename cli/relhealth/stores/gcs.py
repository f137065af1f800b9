"""Google Cloud Storage by Arrow, which finds credentials as Google's own tools do."""

import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, TypeVar
from urllib.parse import urlsplit

from relhealth.core.printable import excerpt
from relhealth.stores.addresses import Address
from relhealth.stores.store import Object, changed, refused

_Result = TypeVar("_Result")
_PATIENCE = 15  # seconds; Google's library tries again all that time
_EMULATORS = ("STORAGE_EMULATOR_HOST", "CLOUD_STORAGE_EMULATOR_ENDPOINT")
_CREDENTIALS = "run gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS"


class Gcs:
    """A bucket."""

    def __init__(self, address: Address) -> None:
        """Open it; STORAGE_EMULATOR_HOST names another server, which is asked without sign-in."""
        from pyarrow.fs import GcsFileSystem

        host = next((os.environ[name] for name in _EMULATORS if os.environ.get(name)), "")
        options: dict[str, Any] = {}
        if host:
            parts = urlsplit(host if "://" in host else f"http://{host}")
            options = {"endpoint_override": parts.netloc, "scheme": parts.scheme, "anonymous": True}
        self._store = GcsFileSystem(retry_time_limit=timedelta(seconds=_PATIENCE), **options)
        self._address = address
        self.identity = f"{host} gs://{address.bucket}"

    def objects(self, prefix: str) -> Iterator[Object]:
        """Yield the objects whose keys begin with a prefix, which ends at a slash."""
        from pyarrow.fs import FileSelector

        place = f"{self._address.bucket}/{prefix}".rstrip("/")
        selected = FileSelector(place, recursive=True, allow_not_found=bool(prefix))
        try:
            found = self._asked(prefix, lambda: self._store.get_file_info(selected))
        except FileNotFoundError as error:
            raise refused(
                self._address.uri(prefix), "no such bucket", "check its name, and the endpoint"
            ) from error
        yield from (self._object(one) for one in found if one.is_file)

    def head(self, key: str) -> Object | None:
        """Return an object; ``None`` if there is none with this key."""
        place = f"{self._address.bucket}/{key}"
        found = self._asked(key, lambda: self._store.get_file_info(place))
        return self._object(found) if found.is_file else None

    def read(self, one: Object, start: int, end: int) -> bytes:
        """Return a range of an object's bytes; raises ``ChangedError`` if it has changed."""
        uri = self._address.uri(one.key)

        def fetched() -> bytes:
            with self._store.open_input_file(f"{self._address.bucket}/{one.key}") as file:
                return bytes(file.read_at(end - start, start)) if file.size() == one.size else b""

        try:
            content = self._asked(one.key, fetched)
        except FileNotFoundError as error:
            raise changed(uri) from error
        if len(content) != end - start or self.head(one.key) != one:
            raise changed(uri)
        return content

    def _object(self, found: Any) -> Object:
        key = found.path.removeprefix(f"{self._address.bucket}/")
        return Object(key, found.size, "", found.mtime_ns / 1e9 if found.mtime_ns else 0.0)

    def _asked(self, key: str, ask: Callable[[], _Result]) -> _Result:
        try:
            return ask()
        except FileNotFoundError:
            raise
        except (OSError, ValueError) as error:
            text, uri = str(error), self._address.uri(key)
            if any(one in text for one in ("UNAUTHENTICATED", "credentials", "PERMISSION_DENIED")):
                raise refused(uri, "access denied", _CREDENTIALS) from error
            if any(one in text for one in ("UNAVAILABLE", "connect", "resolve", "DEADLINE")):
                raise refused(
                    uri, "the store does not answer", "check the network and the endpoint"
                ) from error
            raise refused(uri, f"the store refused ({excerpt(text)})", "try again later") from error
