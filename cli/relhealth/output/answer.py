"""The output of a command: its report to stdout or a file, its messages to stderr."""

import io
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from relhealth.core.dimensions import check_where
from relhealth.core.errors import DataError, QuestionError
from relhealth.core.printable import printable
from relhealth.core.words import Unmatched
from relhealth.engines.choose import Choice
from relhealth.output.deliver import check_output, opened
from relhealth.output.formats import METRICS, ROWS, Format, format_for, render
from relhealth.output.html import check_installed
from relhealth.output.html.content import Page
from relhealth.output.report import Report
from relhealth.output.talk import say

if TYPE_CHECKING:
    from relhealth.gate.glance import Limits
    from relhealth.release_health import ReleaseHealth

# Other names of stdout; as files they would be replaced or overwritten.
_STDOUT = {"-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"}


class Answer(NamedTuple):
    """Where and in which formats a command's answer goes, and whether messages go with it."""

    chosen: Format
    output: Path | None
    quiet: bool
    unmatched: list[
        str
    ]  # warnings of filters that nothing matches, which an answer to a file heeds
    reports: tuple[tuple[Format, Path], ...] = ()
    where: tuple[str, ...] = ()  # the conditions of the rows that it is about

    @classmethod
    def to(
        cls,
        named: Format | None,
        output: Path | None,
        *,
        quiet: bool,
        formats: tuple[Format, ...] = ROWS,
        sources: Sequence[str] = (),
        reports: Sequence[str] = (),
        where: Sequence[str] | None = None,
    ) -> "Answer":
        """Choose the formats and check the outputs, before any work is done.

        ``reports`` are further outputs, each ``FORMAT=FILE``. ``where`` are the conditions of the
        rows that the answer is about; the report names them. Raises ``QuestionError`` for a format
        that the command does not support and for two outputs to one file, ``OutputError`` for an
        output that is not writable, or that is or would become one of the ``sources``.
        """
        if output is not None and str(output) in _STDOUT:
            output = None
        check_output(output, sources)
        chosen = _among(format_for(named, output), formats)
        if chosen is Format.PARQUET and output is None and sys.stdout.isatty():
            raise QuestionError("parquet is binary: name a file with --output, or use a pipe")
        beside = tuple(_report(text, formats, sources) for text in reports)
        _refuse_one_file([path for path in (output, *(path for _, path in beside)) if path])
        conditions = [text for one in check_where(where or None) for text in one.texts()]
        answer = cls(chosen, output, quiet, [], beside, tuple(conditions))
        if answer.has_page:
            check_installed()
        return answer

    @property
    def formats(self) -> tuple[Format, ...]:
        """The formats of the answer and of its further reports."""
        return (self.chosen, *(chosen for chosen, _ in self.reports))

    @property
    def has_metrics(self) -> bool:
        """Whether the answer goes out in a format of metrics."""
        return any(chosen in METRICS for chosen in self.formats)

    @property
    def has_page(self) -> bool:
        """Whether one of the outputs is an HTML page."""
        return Format.HTML in self.formats

    def page(
        self, found: object, health: "ReleaseHealth", limits: "Limits | None" = None
    ) -> Page | None:
        """Return what a page shows of what was found, if one of the outputs is a page.

        ``limits`` are those of the words of an overview and of a release.
        """
        if not self.has_page:
            return None
        from relhealth.output.html.answers import page_of

        return page_of(found, health, self.where, limits)

    def give(self, report: Report, engines: Sequence[Choice] = ()) -> None:
        """Write the report and the further reports, then print the messages beside them.

        ``engines`` are those that answered; they become part of the report's meta data. Raises
        ``DataError`` if the answer is for a file and a filter matched nothing.
        """
        if self.unmatched:
            raise DataError([f"{told}; the file stays as it is" for told in self.unmatched])
        if engines:
            named = [{"name": one.engine, "reason": one.reason} for one in engines]
            report = report._replace(meta={**report.meta, "engine": named})
        if self.where:
            report = report.only_where(self.where)
        terminal = self.output is None and sys.stdout.isatty()
        rendered = io.BytesIO()  # so that an error in rendering never writes half an answer
        render(
            report,
            self.chosen,
            rendered,
            width=shutil.get_terminal_size().columns if terminal else self._width(),
            colour=True if terminal else None if self.output is None else False,
        )
        self.give_reports(report)
        # A table has colours, but no other control characters for the terminal.
        escaped = terminal and self.chosen is not Format.TABLE
        with opened(self.output) as stream:
            stream.write(_printable(rendered.getvalue()) if escaped else rendered.getbuffer())
        for warning in report.warnings:
            self.warn(warning)
        if not self.quiet:
            titled = self.chosen in {Format.TABLE, Format.MARKDOWN} and self.output is None
            say(
                report.summary
                if titled or not report.window
                else f"{report.summary}, {report.window}"
            )

    def _width(self) -> int | None:
        """Return the width that ``COLUMNS`` gives to a pipe."""
        given = os.environ.get("COLUMNS", "")
        return int(given) if self.output is None and given.isdecimal() and int(given) else None

    def warn(self, warning: str) -> None:
        """Print a warning about the answer, except with --quiet.

        A filter that nothing matches is an error when the answer is given to a file, whose readers
        do not see the warning.
        """
        if isinstance(warning, Unmatched) and (self.output is not None or self.reports):
            self.unmatched.append(warning)
        elif not self.quiet:
            say(f"warning: {warning}")

    def give_reports(self, report: Report) -> None:
        """Write the further reports; render all before writing the first."""
        rendered = []
        for chosen, path in self.reports:
            content = io.BytesIO()
            render(report, chosen, content, colour=False)
            rendered.append((path, content))
        for path, content in rendered:
            with opened(path) as stream:
                stream.write(content.getbuffer())


def _printable(text: bytes) -> bytes:
    return "\n".join(map(printable, text.decode().split("\n"))).encode()


def _among(chosen: Format, formats: tuple[Format, ...]) -> Format:
    if chosen not in formats:
        raise QuestionError(f"format {chosen.value}: expected {' or '.join(formats)}")
    return chosen


def _report(text: str, formats: tuple[Format, ...], sources: Sequence[str]) -> tuple[Format, Path]:
    name, equals, file = text.partition("=")
    if not (equals and file) or name not in formats:
        raise QuestionError(
            f"--report {text}: expected FORMAT=FILE, the format one of {', '.join(formats)}"
        )
    if file in _STDOUT:
        raise QuestionError(f"--report {text}: a report is a file; stdout has the answer")
    path = Path(file)
    check_output(path, sources)
    return Format(name), path


def _refuse_one_file(paths: list[Path]) -> None:
    taken = set()
    for path in paths:
        resolved = path.resolve()
        if resolved in taken:
            raise QuestionError(f"{path}: named for two outputs; give each another file")
        taken.add(resolved)
