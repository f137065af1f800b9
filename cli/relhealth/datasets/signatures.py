"""Recognises inputs that ingest does not support, by their first bytes."""

from relhealth.datasets.compression import compression_of

_EXPORT = "export its table of sessions as CSV or Parquet"
_SAVE = "save the sheet as CSV"
_UNPACK = "unpack it first"

# First bytes → the format that they mean, and what to do.
_BEGINNINGS: dict[bytes, tuple[str, str]] = {
    b"SQLite format 3\0": ("a SQLite database", _EXPORT),
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": ("an old Excel or Office file", _SAVE),
    b"Obj\x01": ("an Avro file", "write it as Parquet or JSON lines"),
    b"ORC": ("an ORC file", "write it as Parquet"),
    b"PARE": ("a Parquet file with an encrypted footer", "write it without encryption"),
    b"ARROW1": ("an Arrow IPC (Feather) file", "write it as Parquet"),
    b"\xff\xff\xff\xff": ("an Arrow IPC stream", "write it as Parquet"),
    b"FEA1": ("an old Feather file", "write it as Parquet"),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", _UNPACK),
    b"Rar!\x1a\x07": ("a RAR archive", _UNPACK),
    b"%PDF-": ("a PDF document", _EXPORT),
    b"\x89PNG": ("an image", _EXPORT),
    b"\xff\xd8\xff": ("an image", _EXPORT),
    b"GIF8": ("an image", _EXPORT),
    b"RIFF": ("an image or a sound", _EXPORT),
    b"\x89HDF": ("an HDF5 file", "write it as Parquet"),
    b"CDF\x01": ("a NetCDF file", "write it as Parquet"),
    b"\x93NUMPY": ("a NumPy file", "write it as Parquet"),
    b"SEQ\x06": ("a Hadoop sequence file", "write it as Parquet"),
    b"\x80\x02": ("a Python pickle", "write it as Parquet"),
    b"\x80\x03": ("a Python pickle", "write it as Parquet"),
    b"\x80\x04": ("a Python pickle", "write it as Parquet"),
    b"\x80\x05": ("a Python pickle", "write it as Parquet"),
    b"RDX": ("an R data file", "write it as Parquet"),
    b"\xff\x06\x00\x00sNaPpY": ("snappy data", "decompress it first"),
    b"\x1f\x9d": ("compress (.Z) data", "decompress it first"),
    b"\x7fELF": ("a program", _EXPORT),
    b"PGDMP": ("a dump of a PostgreSQL database", _EXPORT),
    b"SAS": ("a SAS file", "write it as Parquet"),
    b"$FL": ("an SPSS file", "write it as Parquet"),
    b"<stata_dta>": ("a Stata file", "write it as Parquet"),
}
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_DUCKDB = slice(8, 12)
_TAR = slice(257, 262)
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1a\x1b")) + b"\x7f"


def unsupported(head: bytes) -> str | None:
    """Return the format of an unsupported input, and what to do.

    ``head`` is its beginning; returns ``None`` if it can be text or Parquet.
    """
    found = signature(head)
    if found is None and _is_binary(head) and not head.startswith(b"{"):
        # An attachment in an envelope may hold anything.
        found = "binary data of an unknown kind", "write it as CSV, JSON lines or Parquet"
    if found is None:
        return None
    what, remedy = found
    return f"{what}, which cannot be ingested; {remedy}"


def signature(head: bytes) -> tuple[str, str] | None:
    """Return what a file is that begins so, and what to do; ``None`` for what may be text."""
    binary = _is_binary(head)
    found = next(
        (
            told
            for magic, told in _BEGINNINGS.items()
            # The name of a CSV column can begin like a format, such as ORCID.
            if head.startswith(magic) and (binary or not magic.isalnum())
        ),
        None,
    )
    return _inside(head) if found is None else found


def _inside(head: bytes) -> tuple[str, str] | None:
    if head[_DUCKDB] == b"DUCK":
        return "a DuckDB database", "COPY its table of sessions TO 'sessions.parquet'"
    if head[_TAR] == b"ustar":
        return "a tar archive", _UNPACK
    if head.startswith(_ZIP):
        return _zipped(head)
    if compression_of(head) is not None:
        return "compressed twice", "decompress it once"
    if any(_is_text(head[at:200:2]) and not any(head[1 - at : 200 : 2]) for at in (0, 1)):
        return "text in UTF-16 without a byte order mark", "write it in UTF-8"
    start = head[:200].lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<head", b"<body")):
        return "an HTML page", "see whether a login page was saved in place of the data"
    if start.startswith(b"<"):
        return "an XML document", "write it as CSV or JSON lines"
    return None


def _is_text(head: bytes) -> bool:
    return len(head) > 1 and not _is_binary(head)


def _is_binary(head: bytes) -> bool:
    return head.translate(None, _CONTROLS) != head


def _zipped(head: bytes) -> tuple[str, str]:
    if b"xl/" in head or b"[Content_Types].xml" in head or b"_rels/.rels" in head:
        return "an Excel or Office file", _SAVE
    if b"opendocument" in head:
        return "an OpenDocument file", _SAVE
    return "a zip archive", _UNPACK
