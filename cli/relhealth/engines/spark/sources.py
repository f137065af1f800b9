"""The names of sources on a cluster: paths with a scheme, and tables of a catalogue."""

import os
import re
from collections.abc import Sequence

from relhealth.core.data_files import may_be_parquet
from relhealth.core.errors import QuestionError
from relhealth.core.printable import printable

# Schemes that only a cluster reads; it reads those of object stores too.
CLUSTER_SCHEMES = frozenset(
    ("s3a", "s3n", "hdfs", "viewfs", "webhdfs", "dbfs", "wasb", "wasbs", "adl", "ofs", "o3fs")
)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/")
_PART = r"(?:[^\W\d]\w*|`[^`]+`)"
_TABLE = re.compile(rf"{_PART}(?:\.{_PART}){{1,3}}")


def scheme(source: str) -> str | None:
    """Return the scheme of a source, such as ``s3a``; None without one."""
    found = _SCHEME.match(source)
    return found[1].lower() if found else None


def is_table(source: str) -> bool:
    """Return whether a source is the dotted name of a table, such as ``lake.metrics.sessions``."""
    return _TABLE.fullmatch(source) is not None and not may_be_parquet(source)


def only_on_cluster(source: str | os.PathLike[str]) -> bool:
    """Return whether a source is one that this machine cannot read."""
    name = os.fspath(source)
    return is_on_cluster(name) or (is_table(name) and not os.path.lexists(name))


def is_on_cluster(place: str) -> bool:
    """Return whether a path has a scheme that only a cluster reads."""
    return scheme(place) in CLUSTER_SCHEMES


def named_on_cluster(sources: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Return the sources, each once; raise ``QuestionError`` for one that is of this machine."""
    names = list(dict.fromkeys(os.fspath(source) for source in sources))
    if not names:
        raise QuestionError("no source: name a path with a scheme, or a table")
    for name in names:
        if scheme(name) is None and not is_table(name):
            raise QuestionError(
                f"{printable(name)}: a cluster resolves sources itself: name a path with its"
                " scheme (s3a://…, file:///…) or a table (catalogue.schema.table)"
            )
    return names
