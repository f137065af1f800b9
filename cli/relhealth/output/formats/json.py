"""JSON: one strict document, with one line per row of data."""

import json
from typing import BinaryIO

from relhealth.output.report import Report


def render(report: Report, stream: BinaryIO) -> None:
    """Write ``{"meta": …, "data": …}``."""
    stream.write(b'{"meta": %b,\n"data": ' % encode(report.meta))
    if isinstance(report.data, list):
        rows = b",\n".join(encode(row) for row in report.data)
        stream.write(b"[\n%b\n]}\n" % rows)
    else:
        stream.write(encode(report.data) + b"}\n")


def encode(value: object) -> bytes:
    """Return strict JSON: no NaN, no infinity, text as UTF-8."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
