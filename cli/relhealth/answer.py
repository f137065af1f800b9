"""The way out of a command: its report to stdout or a file, its talk to stderr."""

import io
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from relhealth.errors import QuestionError
from relhealth.output import check_output, opened
from relhealth.render import Format, format_for, render
from relhealth.report import Report
from relhealth.talk import say

# Other names of stdout; as files they would be replaced, or written over from their beginning.
_STDOUT = {"-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"}


@dataclass(frozen=True, slots=True)
class Answer:
    """Where a command's answer goes, in which format, and how much is said beside it."""

    chosen: Format
    output: Path | None
    quiet: bool

    @classmethod
    def to(
        cls,
        named: Format | None,
        output: Path | None,
        *,
        quiet: bool,
        formats: tuple[Format, ...] = tuple(Format),
        sources: Sequence[str] = (),
    ) -> "Answer":
        """Choose the format and check the output, before any work is done.

        Raises ``QuestionError`` for a format that is not among the command's, ``OutputError`` for
        an output that cannot be written or that is, or would become, one of the ``sources``.
        """
        if output is not None and str(output) in _STDOUT:
            output = None
        check_output(output, sources)
        chosen = format_for(named, output)
        if chosen not in formats:
            raise QuestionError(
                f"format {chosen.value}: this answer comes as {' or '.join(formats)}"
            )
        if chosen is Format.PARQUET and output is None and sys.stdout.isatty():
            raise QuestionError("parquet is binary: name a file with --output, or use a pipe")
        return cls(chosen, output, quiet)

    def give(self, report: Report) -> None:
        """Write the report, then say what a reader must know of it."""
        terminal = self.output is None and sys.stdout.isatty()
        whole = io.BytesIO()  # so that a fault in rendering leaves no half of an answer
        render(
            report,
            self.chosen,
            whole,
            width=shutil.get_terminal_size().columns if terminal else None,
            colour=True if terminal else None if self.output is None else False,
        )
        with opened(self.output) as stream:
            stream.write(whole.getbuffer())
        if not self.quiet:
            for warning in report.warnings:
                say(f"warning: {warning}")
            told = self.chosen in {Format.TABLE, Format.MARKDOWN} and self.output is None
            say(
                report.summary
                if told or not report.window
                else f"{report.summary}, {report.window}"
            )
