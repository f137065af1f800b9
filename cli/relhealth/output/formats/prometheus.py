"""Metrics in the text formats of Prometheus and OpenMetrics: gauges, without timestamps."""

from collections.abc import Iterator, Mapping
from typing import BinaryIO

from relhealth.core.printable import printable
from relhealth.output.report import Family, Report

_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})


def render(report: Report, stream: BinaryIO, *, openmetrics: bool = False) -> None:
    """Write each family that has samples; HELP and TYPE once each, in base units."""
    for family in report.families or ():
        if family.samples:
            stream.writelines(line.encode() for line in _lines(family, openmetrics=openmetrics))
    if openmetrics:
        stream.write(b"# EOF\n")


def _lines(family: Family, *, openmetrics: bool) -> Iterator[str]:
    yield f"# HELP {family.name} {family.help.translate(_HELP_ESCAPES)}\n"
    yield f"# TYPE {family.name} gauge\n"
    if openmetrics and family.unit:
        yield f"# UNIT {family.name} {family.unit}\n"
    for labels, value in family.samples:
        yield f"{family.name}{_labels(labels)} {_number(value)}\n"


def _labels(labels: Mapping[str, str]) -> str:
    """Return labels in braces: printable, since a reader may take a bare CR for a line's end."""
    if not labels:
        return ""
    told = (f'{name}="{printable(text).translate(_ESCAPES)}"' for name, text in labels.items())
    return "{" + ",".join(told) + "}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
