"""A rollup's numbers for pairs, environments and members, and their files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from relhealth.core.errors import DataError
from relhealth.datasets.arrays import Array
from relhealth.datasets.sealed import SealedWriter
from relhealth.rollup.files import table_of
from relhealth.rollup.manifest import Manifest
from relhealth.rollup.rows import Name, Place

CODE_BITS = 32
_MOST_CODE_FILES = 64
_MEMBERS_ROW_GROUP = 1 << 20


class Codes:
    """Dense codes of members, in the order of their first appearance."""

    def __init__(self, members: Array) -> None:
        """Take the members with codes, in the order of these."""
        order = np.argsort(members)
        self._members, self._codes = members[order], order.astype(np.uint32)
        self.fresh: list[Array] = []

    def __len__(self) -> int:
        """Return the number of codes."""
        return len(self._members)

    def encode(self, members: Array) -> Array:
        """Return the codes of sorted distinct members; new members get the next codes."""
        at = np.searchsorted(self._members, members)
        known = np.zeros(len(members), bool)
        inside = at < len(self._members)
        known[inside] = self._members[at[inside]] == members[inside]
        codes = np.empty(len(members), np.uint32)
        codes[known] = self._codes[at[known]]
        fresh = members[~known]
        if len(fresh):
            count = len(self._members)
            if count + len(fresh) >= 1 << CODE_BITS:
                raise DataError("more than 2^32 users: a rollup cannot hold them")
            new = np.arange(count, count + len(fresh), dtype=np.uint32)
            codes[~known] = new
            self._members = np.insert(self._members, at[~known], fresh)
            self._codes = np.insert(self._codes, at[~known], new)
            self.fresh.append(fresh)
        return codes


class Names:
    """Dense numbers of pairs and environments, in the order of their first appearance."""

    def __init__(self, pairs: Sequence[Name], environments: Sequence[str]) -> None:
        """Take those with numbers, in the order of these."""
        self._pairs = {name: number for number, name in enumerate(pairs)}
        self._environments = {name: number for number, name in enumerate(environments)}

    @property
    def pairs(self) -> list[Name]:
        """The pairs, in order."""
        return list(self._pairs)

    @property
    def environments(self) -> list[str]:
        """The environments, in order."""
        return list(self._environments)

    def encode(self, places: Sequence[Place]) -> list[tuple[int, int]]:
        """Return the numbers of places; new names get the next ones, in order of name."""
        for name, environment in sorted(places, key=repr):
            self._pairs.setdefault(name, len(self._pairs))
            self._environments.setdefault(environment, len(self._environments))
        return [(self._pairs[name], self._environments[env]) for name, env in places]


def known(folder: Path, old: Manifest | None) -> tuple[Names, Codes]:
    """Return the names and codes of the existing rollup."""
    if old is None:
        return Names((), ()), Codes(np.empty(0, np.uint64))
    table = table_of(str(folder), old.pairs)
    columns = (table[name].to_pylist() for name in ("org_id", "project_id", "release"))
    names = Names(list(zip(*columns, strict=True)), old.environments)
    return names, Codes(_members(folder, old.codes))


def _members(folder: Path, files: Sequence[str]) -> Array:
    parts = [table_of(str(folder), name)["member"] for name in files]
    arrays = [chunk.to_numpy() for part in parts for chunk in part.chunks]
    return np.concatenate(arrays) if arrays else np.empty(0, np.uint64)


def write(
    folder: Path, old: Manifest | None, names: Names, codes: Codes
) -> tuple[str, tuple[str, ...]]:
    """Write the new pairs and members, if there are any, into ``folder``.

    Returns the file of pairs and the files of members, relative to the rollup.
    """
    rollup = folder.parent
    pairs, members = (old.pairs, old.codes) if old else ("", ())
    if old is None or len(names.pairs) != table_of(str(rollup), pairs).num_rows:
        folder.mkdir(exist_ok=True)
        pairs = f"{folder.name}/pairs.parquet"
        _write_pairs(rollup / pairs, names.pairs)
    if codes.fresh:
        folder.mkdir(exist_ok=True)
        fresh = codes.fresh
        if len(members) >= _MOST_CODE_FILES:
            fresh, members = [_members(rollup, members), *fresh], ()
        members = (*members, f"{folder.name}/members.parquet")
        _write_members(rollup / members[-1], fresh)
    return pairs, members


def _write_pairs(path: Path, pairs: Sequence[Name]) -> None:
    orgs, projects, releases = zip(*pairs, strict=True) if pairs else ((), (), ())
    columns = {
        "pair": pa.array(range(len(pairs)), pa.int32()),
        "org_id": pa.array(orgs, pa.int64()),
        "project_id": pa.array(projects, pa.int64()),
        "release": pa.array(releases, pa.string()),
    }
    table = pa.table(columns)
    with SealedWriter(path, table.schema) as writer:
        writer.write(table)


def _write_members(path: Path, parts: Sequence[Array]) -> None:
    members = pa.table({"member": pa.array(np.concatenate(parts), pa.uint64())})
    with SealedWriter(
        path,
        members.schema,
        dictionary=[],
        level=1,
        row_group=_MEMBERS_ROW_GROUP,
        for_others=False,
    ) as writer:
        writer.write(members)
