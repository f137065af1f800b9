"""The part of a data set's ledger that readers need: files that a change adds or removes.

``relhealth ingest`` and ``compact`` change a data set by transactions. ``_ledger/pending.json`` has
one that is committed but not fully published; readers see the data set as it will be.
"""

import json
import os
from collections.abc import Callable
from typing import Any

from relhealth.core.errors import DataError
from relhealth.core.printable import printable

FORMAT = 2
_FORMATS = {1, FORMAT}  # that can be read
SUFFIXES = (".parquet", ".pq")  # of files of data, in a data set or any directory
LEDGER, STAGING, REJECTED, ROLLUP = "_ledger", "_staging", "_rejected", "_rollup"
SPOOL = "_spool"  # what a receiver has acknowledged and not yet ingested
_PENDING = "pending.json"
_PATIENCE = 10


def pending_path(root: str) -> str:
    """Return the path of a data set's pending transaction, if there is one."""
    return os.path.join(root, LEDGER, _PENDING)


def pending(root: str) -> dict[str, Any] | None:
    """Return the transaction of a data set that is committed but not fully published.

    Its ``moves`` map names in ``_staging/<name>/`` to names in the data set; its ``removals`` are
    names in the data set. Raises ``DataError`` for one that cannot be read.
    """
    path = pending_path(root)
    try:
        with open(path, "rb") as stream:
            found = json.loads(stream.read())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        try:
            os.scandir(root).close()
        except PermissionError:  # listing the folder reports it
            return None
        raise DataError(f"{printable(path)}: {(error.strerror or str(error)).lower()}") from error
    except ValueError as error:
        raise DataError(f"{printable(path)}: not readable as JSON ({error})") from error
    if not isinstance(found, dict) or found.get("format") not in _FORMATS:
        raise DataError(f"{printable(path)}: of another version of relhealth; use that one")
    return found


def settled(root: str, listing: Callable[[], list[str]]) -> list[str]:
    """Return the files of a directory as they will be after the pending transaction.

    ``listing`` returns the current files; it is called again if a change was
    published meanwhile. A directory that is not a data set is just listed.
    """
    for _ in range(_PATIENCE):
        changed, before = _changed(root), pending(root)
        files = listing()
        if before is not None:
            files = _published(root, files, before)
        if (_changed(root), pending(root)) == (changed, before):
            return files
    raise DataError(f"{printable(root)}: changes faster than it can be listed; ask again")


def _changed(root: str) -> int | None:
    """Return when the ledger's folder changed; a change that began and ended is seen by that."""
    try:
        return os.stat(os.path.join(root, LEDGER)).st_mtime_ns
    except OSError:
        return None


def _published(root: str, files: list[str], change: dict[str, Any]) -> list[str]:
    removed = {os.path.join(root, name) for name in change["removals"]}
    folder = os.path.join(root, STAGING, change["name"])
    staged = [
        os.path.join(folder, name)
        for name, final in change["moves"].items()
        if final.endswith(".parquet")
        and not final.startswith(f"{LEDGER}/")
        and os.path.exists(os.path.join(folder, name))
    ]
    return [file for file in files if file not in removed] + staged
