"""S3 and its like, and Azure, by obstore: one request for each range, and etags."""

import os
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from relhealth.core.errors import DataError
from relhealth.core.printable import excerpt
from relhealth.stores import aws
from relhealth.stores.addresses import Address
from relhealth.stores.store import PATIENCE, RETRIES, TIMEOUT, UNPLACEABLE, Object, changed, refused

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_Result = TypeVar("_Result")
_CODE = re.compile(r"<Code>([^<]+)</Code>")
_DETAIL = re.compile(r"<Message>([^<]+)</Message>")
_STATUS = re.compile(r"status code: (\d{3})")
_MISNAMED = re.compile(r'(?:invalid path|parse path).*?"([^"]*)"')
_NO_BUCKET = {"NoSuchBucket", "ContainerNotFound"}
_OTHER_REGION = {"PermanentRedirect", "AuthorizationHeaderMalformed"}
_MOVED = {301, 307, 308}
_DENIED = {400, 401, 403}  # an expired token is 400
_BUSY = {429, 503}
_METADATA = ("/latest/api/token", "/latest/meta-data", "169.254.", "/metadata/identity")
_RETRIED: Any = {
    "max_retries": RETRIES,
    "retry_timeout": timedelta(seconds=PATIENCE),
    "backoff": {
        "init_backoff": timedelta(milliseconds=200),
        "max_backoff": timedelta(seconds=5),
        "base": 2,
    },
}


def s3(address: Address) -> "Bucket":
    """Return a bucket of S3 or of a store that speaks its protocol."""
    from obstore.store import S3Store

    config = aws.settings()
    endpoint = config.get("endpoint", "")
    store = S3Store(
        address.bucket,
        client_options=_client(endpoint),
        retry_config=_RETRIED,
        **config,
    )
    remedy = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    return Bucket(store, address, f"{endpoint} s3://{address.bucket}", remedy)


def azure(address: Address) -> "Bucket":
    """Return a container of Azure; the account is that of AZURE_STORAGE_ACCOUNT_NAME."""
    from obstore.store import AzureStore

    account = os.environ.get("AZURE_STORAGE_ACCOUNT_NAME") or os.environ.get(
        "AZURE_STORAGE_ACCOUNT", ""
    )
    endpoint = os.environ.get("AZURE_STORAGE_ENDPOINT", "")
    if not account:
        raise refused(address.uri(address.key), "no account", "set AZURE_STORAGE_ACCOUNT_NAME")
    config: Any = {"account_name": account, **({"endpoint": endpoint} if endpoint else {})}
    store = AzureStore(
        address.bucket, client_options=_client(endpoint), retry_config=_RETRIED, **config
    )
    remedy = "set AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_SAS_TOKEN or AZURE_CLIENT_ID"
    return Bucket(store, address, f"{endpoint} {account} az://{address.bucket}", remedy)


def _client(endpoint: str) -> Any:
    timeout = timedelta(seconds=TIMEOUT)
    return {
        "timeout": timeout,
        "connect_timeout": timedelta(seconds=5),
        **({"allow_http": True} if endpoint.startswith("http://") else {}),
    }


class Bucket:
    """A bucket or container."""

    def __init__(
        self, store: "ObjectStore", address: Address, identity: str, credentials: str
    ) -> None:
        """Take an obstore's store; ``credentials`` says how to set them."""
        self._store = store
        self._address = address
        self._credentials = credentials
        self.identity = identity

    def objects(self, prefix: str) -> Iterator[Object]:
        """Yield the objects whose keys begin with a prefix."""
        import obstore

        def listed() -> list[Object]:
            found = obstore.list(self._store, prefix=prefix or None)
            return [_object(one) for some in found for one in some]

        yield from self._asked(prefix, listed)

    def head(self, key: str) -> Object | None:
        """Return an object; ``None`` if there is none with this key."""
        import obstore

        try:
            return self._asked(key, lambda: _object(obstore.head(self._store, key)))
        except FileNotFoundError:
            return None

    def read(self, one: Object, start: int, end: int) -> bytes:
        """Return a range of an object's bytes; raises ``ChangedError`` if it has changed."""
        import obstore
        from obstore.exceptions import PreconditionError

        options: Any = {"range": (start, end), **({"if_match": one.etag} if one.etag else {})}

        def fetched() -> tuple[bytes, Any]:
            result = obstore.get(self._store, one.key, options=options)
            return bytes(result.bytes()), result.meta

        uri = self._address.uri(one.key)
        try:
            content, found = self._asked(one.key, fetched)
        except (FileNotFoundError, PreconditionError) as error:
            raise changed(uri) from error
        same = found["size"] == one.size and _etag(found["e_tag"]) in {one.etag, ""}
        if not same or len(content) != end - start:
            raise changed(uri)
        return content

    def _asked(self, key: str, ask: Callable[[], _Result]) -> _Result:
        """Ask, and turn errors into one line each; a missing key is a ``FileNotFoundError``."""
        from obstore.exceptions import BaseError, NotFoundError, PreconditionError

        try:
            return ask()
        except (PreconditionError, FileNotFoundError, NotFoundError) as error:
            if isinstance(error, PreconditionError):
                raise
            if _code(str(error)) in _NO_BUCKET:
                raise self._fault(key, error) from error
            raise FileNotFoundError(key) from error
        except (BaseError, OSError, ValueError) as error:
            raise self._fault(key, error) from error

    def _fault(self, key: str, error: Exception) -> DataError:
        line, code = str(error).partition("\n")[0], _code(str(error))
        found = _STATUS.search(line)
        status = int(found[1]) if found else 0
        if any(place in line for place in _METADATA):
            return self._told(key, "no credentials", self._credentials)
        if code in _NO_BUCKET:
            return self._told(key, "no such bucket", "check its name, and the endpoint")
        if code in _OTHER_REGION or status in _MOVED:
            return self._told(key, "the bucket is in another region", "set AWS_REGION to it")
        if status in _DENIED or isinstance(error, PermissionError):
            why = f"access denied ({code or status})"
            return self._told(key, why, f"check rights and time, or {self._credentials}")
        if status in _BUSY:
            return self._told(key, "the store asks for fewer requests", "try again later")
        misnamed = _MISNAMED.search(line)
        if misnamed:
            return self._told(misnamed[1] or key, UNPLACEABLE, "rename the object")
        if "non-partial" in line:
            remedy = "use another store, or copy the files here"
            return self._told(key, "the store does not answer with ranges of bytes", remedy)
        if not status:
            remedy = "check the network and the endpoint"
            return self._told(key, f"the store does not answer ({_reason(line)})", remedy)
        return self._told(key, f"the store refused ({code or status})", "try again later")

    def _told(self, key: str, why: str, remedy: str) -> DataError:
        return refused(self._address.uri(key), why, remedy)


def _object(found: Any) -> Object:
    return Object(
        found["path"],
        found["size"],
        _etag(found["e_tag"]),
        found["last_modified"].timestamp(),
    )


def _etag(text: str | None) -> str:
    """Return an etag as headers have it; listings of Azure leave out the quotes."""
    if not text:
        return ""
    return text if text.startswith(('"', "W/")) else f'"{text}"'


def _code(text: str) -> str:
    """Return the code of a store's error in XML; '' if there is none."""
    found = _CODE.search(text) or _DETAIL.search(text)
    return found[1] if found else ""


def _reason(line: str) -> str:
    """Return what an error with causes says last."""
    return excerpt(line.rpartition(" - ")[2].removeprefix("Generic S3 error: ") or "no reason")
