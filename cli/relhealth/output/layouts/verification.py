"""The verification of files laid out for rendering."""

from relhealth.core.units import Unit
from relhealth.core.words import counted
from relhealth.datasets.verification import Verification
from relhealth.output.report import Column, Report, Table, meta_of

_FILES = (
    Column("files", Unit.COUNT, "Files"),
    Column("bytes", Unit.COUNT, "Bytes"),
    Column("sealed", Unit.COUNT, "Sealed"),
    Column("checksums", Unit.COUNT, "Checksums"),
    Column("unverified", Unit.COUNT, "Without"),
    Column("damaged", Unit.COUNT, "Damaged"),
)


def verification_report(found: Verification) -> Report:
    """Lay out the result for the files; warnings name the damaged ones."""
    shown = found.to_dict() | {"damaged": len(found.damaged)}
    warnings = []
    if found.unverified:
        warnings.append(
            f"{counted(found.unverified, 'file')} without checksums: decoded, which does not show"
            " all damage"
        )
    return Report(
        meta=meta_of("inspect --verify"),
        data=found.to_dict(),
        tables=(Table("Files", _FILES, [shown]),),
        summary=f"{counted(found.files, 'file')} read, {len(found.damaged):,} damaged",
        warnings=tuple(warnings),
    )
