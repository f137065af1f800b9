"""Output for a step of GitHub Actions: a summary for its page, annotations in its log."""

import io
import os
import sys
from contextlib import suppress

from relhealth.output.formats import Format, render
from relhealth.output.report import Outcome, Report
from relhealth.output.talk import say

_MOST_BYTES = 500_000  # GitHub refuses a step's summary above 1 MiB
_MOST_ANNOTATIONS = 10  # of each level, which is what GitHub shows
_LEVELS = {Outcome.FAILED: "error", Outcome.ERROR: "error", Outcome.SKIPPED: "warning"}


def tell_github(report: Report) -> None:
    """Append the report to the step's summary and print annotations, in a step of GitHub Actions.

    If the summary cannot be written, that is only a warning, because the verdict is not affected.
    """
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        try:
            with open(summary, "ab") as file:
                file.write(step_summary(report))
        except OSError as error:
            say(f"warning: {summary}: cannot write the step's summary: {error.strerror}")
    with suppress(OSError, ValueError):
        for line in annotations(report):
            sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def step_summary(report: Report) -> bytes:
    """Return Markdown of bounded size, cut at the end of a line."""
    content = io.BytesIO()
    render(report, Format.MARKDOWN, content)
    heading = f"### relhealth {report.meta['command']}: {report.summary}\n\n".encode()
    body = content.getvalue()
    if len(body) > _MOST_BYTES:
        body = body[: body.rindex(b"\n", 0, _MOST_BYTES) + 1]
        body += b"\nCut here: the reports have all of it.\n"
    return heading + body + b"\n"


def annotations(report: Report) -> list[str]:
    """Return workflow commands: errors and warnings, the first of each."""
    lines = []
    for level in ("error", "warning"):
        cases = [case for case in report.cases or () if _LEVELS.get(case.outcome) == level]
        for case in cases[:_MOST_ANNOTATIONS]:
            title = _property(f"relhealth {report.meta['command']}")
            lines.append(f"::{level} title={title}::{_data(f'{case.subject}: {case.message}')}")
    return lines


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
