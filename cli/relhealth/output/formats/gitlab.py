"""GitLab's code quality report: one entry for each case that did not pass."""

import hashlib
import json
from pathlib import Path
from typing import BinaryIO

from relhealth.output.report import Outcome, Report

_SEVERITIES = {Outcome.FAILED: "blocker", Outcome.ERROR: "critical", Outcome.SKIPPED: "minor"}


def render(report: Report, stream: BinaryIO) -> None:
    """Write the entries as JSON; the fingerprint of a case is the same in every run."""
    entries = [
        {
            "description": f"{case.subject}: {case.name}: {case.message}",
            "check_name": f"relhealth {report.meta['command']}",
            "fingerprint": hashlib.sha256(f"{case.subject}\n{case.name}".encode()).hexdigest(),
            "severity": _SEVERITIES[case.outcome],
            "location": {"path": _in_repository(case.origin), "lines": {"begin": 1}},
        }
        for case in report.cases or ()
        if case.outcome in _SEVERITIES
    ]
    stream.write(json.dumps(entries, ensure_ascii=False, indent=1).encode() + b"\n")


def _in_repository(origin: str | None) -> str:
    """Return a path for GitLab, relative to the job's folder; for files elsewhere, the name.

    GitLab needs one for each entry, even where no file defines the check.
    """
    if origin is None:
        return "relhealth"
    path, here = Path(origin), Path.cwd()
    if path.is_absolute() and path.is_relative_to(here):
        path = path.relative_to(here)
    return path.name if path.is_absolute() or ".." in path.parts else path.as_posix()
