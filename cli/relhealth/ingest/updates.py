"""Decodes regular session updates in batches, as columns.

Leaves unusual and bad updates to ``envelopes.take_update``, which decodes one at
a time by the same rules and reports what is wrong.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from relhealth.ingest import dimensions
from relhealth.ingest.protocol import MOST_ERRORS, NO_USERS, STATUSES, UUID
from relhealth.ingest.staging import SESSIONS
from relhealth.ingest.values import BREAKS, text_of

_FIELDS = pa.schema(
    [
        ("sid", pa.string()),
        ("init", pa.bool_()),
        ("started", pa.string()),
        ("timestamp", pa.string()),
        ("status", pa.string()),
        ("errors", pa.int64()),
        ("did", pa.string()),
        ("duration", pa.float64()),
        ("abnormal_mechanism", pa.string()),
    ]
)
_ATTRIBUTES = ("release", "environment")
_INSTANT = pa.timestamp("us", "UTC")


@dataclass(frozen=True, slots=True)
class Decoded:
    """A batch: the decoded rows, with the columns of ``SESSIONS``, and the payloads left over."""

    rows: pa.Table | None
    left: Sequence[int]  # indices of payloads


def decode(
    payloads: Sequence[bytes],
    projects: Sequence[int],
    org: int | None,
    bounds_us: tuple[int, int],
    named: Mapping[str, str],
) -> Decoded:
    """Decode payloads, which must all be plain; ``bounds_us`` limits the start of sessions.

    ``named`` are dimensions, with their attributes.
    Plain means one line whose first and last bytes are those of an object. Two such lines cannot be
    parts of one object, and one with several objects gives too many rows.
    """
    everyone = Decoded(None, range(len(payloads)))
    lines = b"\n".join(payloads)
    breaks = len(payloads) - 1
    plain = lines.startswith(b"{") and lines.endswith(b"}")
    if not plain or not breaks == lines.count(b"\n") == lines.count(b"}\n{"):
        return everyone
    try:
        one_block = pj.ReadOptions(use_threads=False, block_size=len(lines) + 1)
        found = pj.read_json(pa.BufferReader(lines), one_block, _parsing(named))
        if found.num_rows != len(payloads):
            return everyone
        found.validate(full=True)  # that text is UTF-8
        rows, good = _columns(found, projects, org, bounds_us, named)
        if b"\\" in lines:  # JSON has no other way to write what no release may hold
            broken = pc.match_substring_regex(rows["release"], BREAKS.pattern)
            good = pc.and_(good, pc.invert(broken.fill_null(False)))
    except pa.ArrowException:
        return everyone
    if pc.all(good).as_py():
        return Decoded(rows, ())
    return Decoded(rows.filter(good), pc.indices_nonzero(pc.invert(good)).to_pylist())


def _parsing(named: Mapping[str, str]) -> pj.ParseOptions:
    names = {**dict.fromkeys(_ATTRIBUTES), **dict.fromkeys(named.values())}
    attributes = pa.struct([(name, pa.string()) for name in names])
    schema = _FIELDS.append(pa.field("attrs", attributes))
    return pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")


def _packed(attributes: pa.ChunkedArray, named: Mapping[str, str]) -> pa.Array:
    """Return the dimensions of each row, in the form of ``ingest.dimensions``."""
    texts = [pc.struct_field(attributes, name).to_pylist() for name in named.values()]
    words = [[text_of(text) for text in each] for each in texts]
    return pa.array(dimensions.joined(words, list(named)), pa.string())


def _session_ids(given: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a standard spelling of each session's id, as ``protocol.session_id``."""
    plain = pc.ascii_lower(pc.replace_substring(given, "-", ""))
    if plain.equals(given):
        return given
    one_spelling = pc.or_(
        pc.match_substring_regex(plain, f"^{UUID.pattern}$"), pc.equal(pc.binary_length(plain), 0)
    )
    return pc.if_else(one_spelling, plain, given)


def _columns(
    found: pa.Table,
    projects: Sequence[int],
    org: int | None,
    bounds_us: tuple[int, int],
    named: Mapping[str, str],
) -> tuple[pa.Table, pa.ChunkedArray]:
    """Return the rows, and which are good."""
    started_us = found["started"].cast(_INSTANT).cast(pa.int64())
    ended_us = found["timestamp"].cast(_INSTANT).cast(pa.int64())
    status = found["status"].fill_null("ok")
    errors = found["errors"].fill_null(0)
    given = found["duration"]
    lasted = pc.divide(pc.cast(pc.subtract(ended_us, started_us), pa.float64()), 1e6)
    # If the clock was set back, the duration is unknown.
    lasted = pc.if_else(pc.greater_equal(lasted, 0.0), lasted, None)
    did = found["did"]
    sid = _session_ids(found["sid"])
    first_us, after_us = bounds_us
    good = [
        pc.greater(pc.binary_length(sid), 0),
        pc.is_in(status, pa.array(sorted(STATUSES))),
        pc.greater_equal(started_us, first_us),
        pc.less(started_us, after_us),
        pc.greater_equal(errors, 0),
        pc.less_equal(errors, MOST_ERRORS),
        pc.greater_equal(given.fill_null(0.0), 0.0),
        pc.is_finite(given.fill_null(0.0)),
    ]
    columns = {
        "org_id": pa.repeat(pa.scalar(org, pa.int64()), len(projects)),
        "project_id": pa.array(projects, pa.int64()),
        "sid": sid,
        "init": found["init"].fill_null(False),
        "started_us": started_us,
        "status": status,
        "errored": pc.greater(errors, 0),
        "did": pc.if_else(pc.is_in(did, pa.array(sorted(NO_USERS))), None, did),
        "duration": pc.if_else(pc.equal(status, "exited"), pc.coalesce(given, lasted), None),
        "release": pc.struct_field(found["attrs"], "release"),
        "environment": pc.struct_field(found["attrs"], "environment"),
        "abnormal_mechanism": found["abnormal_mechanism"],
        "dimensions": _packed(found["attrs"], named)
        if named
        else pa.nulls(len(projects), pa.string()),
    }
    all_good = good[0]
    for one in good[1:]:
        all_good = pc.and_(all_good, one)
    return pa.table(columns, schema=SESSIONS), all_good.fill_null(False)
