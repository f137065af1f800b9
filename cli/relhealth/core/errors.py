"""The errors of relhealth, and the exit code of each kind of outcome."""

from collections.abc import Callable, Sequence
from enum import IntEnum

from relhealth.core.printable import printable


class ExitCode(IntEnum):
    """Exit codes of every command, as in the table of the README."""

    OK = 0
    GATE_FAILED = 1
    USAGE = 2
    GATE_INCONCLUSIVE = 3
    DATA = 4
    INTERNAL = 70
    INTERRUPTED = 130
    BROKEN_PIPE = 141


class QuestionError(ValueError):
    """The question is not valid: an unknown period, a bad filter, a bad option."""


class NeedsMemoryError(QuestionError):
    """The answer needs more memory than is allowed."""


class DataError(Exception):
    """The data are missing, unreadable, not as the contract says, or invalid when strict.

    ``faults`` holds one line per fault; each names its file.
    """

    def __init__(self, faults: str | Sequence[str]) -> None:
        """Store one fault, or several."""
        self.faults = (faults,) if isinstance(faults, str) else tuple(faults)
        super().__init__("\n".join(self.faults))

    def reword(self, change: Callable[[str], str]) -> None:
        """Change the text of each fault."""
        self.faults = tuple(map(change, self.faults))
        self.args = ("\n".join(self.faults),)


class ChangedError(DataError):
    """Files disappeared while relhealth read them, as in a compaction: ask again."""


class GoneError(ChangedError):
    """Files that were found are not there any more."""

    def __init__(self, *paths: str) -> None:
        """Name them."""
        super().__init__([f"{printable(path)}: gone since it was found" for path in paths])


class OutputError(Exception):
    """relhealth could not write the answer or a temporary file.

    Existing files are unchanged.
    """


def exit_code(error: BaseException) -> ExitCode:
    """Return the exit code of an error."""
    match error:
        case QuestionError():
            return ExitCode.USAGE
        case DataError() | OutputError():
            return ExitCode.DATA
        case BrokenPipeError():
            return ExitCode.BROKEN_PIPE
        case KeyboardInterrupt():
            return ExitCode.INTERRUPTED
        case _:
            return ExitCode.INTERNAL
