"""Lines of a stream: what alternates is read the same many at a time as one at a time."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relhealth.ingest import lines
from relhealth.ingest.lines import Lines

HEAD = b'{"type":"session"}'
PIECES = st.lists(st.sampled_from([HEAD, HEAD, b"{}", b"", b"\r", b"{}\r", b"text", b"x" * 50]))


def read(stream: bytes, *, many: bool) -> tuple[list[tuple[bytes, bytes | None]], bool, int]:
    """Read pairs of a header and another line, as a reader of envelopes does."""
    source = Lines(io.BytesIO(stream))
    found: list[tuple[bytes, bytes | None]] = []
    for line in source:
        if line != HEAD:
            found.append((line, None))
            continue
        found.append((line, source.read()))
        if many:
            found += [(line, other) for other in source.after_each(line)]
    return found, source.ends_a_line, source.cut_bytes(b"")


@given(PIECES, st.sampled_from([b"", b"\n"]), st.integers(1, 200))
def test_lines_that_alternate_are_the_same_many_at_a_time(
    pieces: list[bytes], end: bytes, chunk: int
) -> None:
    stream = b"\n".join(pieces) + end
    with pytest.MonkeyPatch.context() as changes:
        changes.setattr(lines, "_CHUNK", chunk)
        assert read(stream, many=True) == read(stream, many=False)


def test_many_are_read_at_a_time() -> None:
    source = Lines(io.BytesIO(b"".join(b"%s\n%d\n" % (HEAD, number) for number in range(1_000))))
    assert (next(iter(source)), source.read()) == (HEAD, b"0")
    assert source.after_each(HEAD) == [b"%d" % number for number in range(1, 1_000)]


def test_a_rest_behind_a_block_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "_CHUNK", 1 << 10)
    source = Lines(io.BytesIO(b"12345\n" + b"%s\nx\n" % HEAD * 3))
    assert source.exactly(3) == b"123"
    assert source.after_each(HEAD) == []
    assert source.read() == b"45"
    assert source.read() == HEAD
    assert source.read() == b"x"
    assert source.after_each(HEAD) == [b"x", b"x"]
