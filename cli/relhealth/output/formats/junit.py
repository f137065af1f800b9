"""JUnit XML, the subset that Jenkins reads: a test suite per report, a test case per check."""

from typing import BinaryIO
from xml.etree import ElementTree as ET

from relhealth.core.printable import printable
from relhealth.output.report import Case, Outcome, Report

_TAGS = {Outcome.FAILED: "failure", Outcome.SKIPPED: "skipped", Outcome.ERROR: "error"}


def render(report: Report, stream: BinaryIO) -> None:
    """Write the cases: failed as failure, could not run as error, inconclusive as skipped."""
    cases = report.cases or ()
    name = f"relhealth {report.meta['command']}"
    counts = {
        "tests": len(cases),
        "failures": _number(cases, Outcome.FAILED),
        "errors": _number(cases, Outcome.ERROR),
        "skipped": _number(cases, Outcome.SKIPPED),
    }
    numbers = {word: str(count) for word, count in counts.items()}
    root = ET.Element("testsuites", {"name": name, **numbers})
    suite = ET.SubElement(root, "testsuite", {"name": name, **numbers})
    for case in cases:
        element = ET.SubElement(
            suite, "testcase", {"classname": _text(case.subject), "name": _text(case.name)}
        )
        if case.outcome in _TAGS:
            message = _text(case.message)
            told = ET.SubElement(element, _TAGS[case.outcome], {"message": message})
            if case.outcome is not Outcome.SKIPPED:
                told.text = message
        else:
            ET.SubElement(element, "system-out").text = _text(case.message)
    ET.indent(root)
    stream.write(b'<?xml version="1.0" encoding="UTF-8"?>\n')
    stream.write(ET.tostring(root, encoding="utf-8"))
    stream.write(b"\n")


def _number(cases: tuple[Case, ...], outcome: Outcome) -> int:
    return sum(case.outcome is outcome for case in cases)


def _text(text: str) -> str:
    r"""Return text that is valid in XML: escape the two code points that are not characters."""
    return printable(text).replace("\ufffe", r"\ufffe").replace("\uffff", r"\uffff")
