"""What can go wrong, and the exit code that each kind of outcome has."""

from collections.abc import Sequence
from enum import IntEnum

from relhealth.core.printable import printable


class ExitCode(IntEnum):
    """Exit codes of every command; the table in the README says the same."""

    OK = 0
    GATE_FAILED = 1
    USAGE = 2
    GATE_INCONCLUSIVE = 3
    DATA = 4
    INTERNAL = 70
    INTERRUPTED = 130
    BROKEN_PIPE = 141


class QuestionError(ValueError):
    """The question cannot be asked as it stands: an unknown period, a bad filter, a bad option."""


class NeedsMemoryError(QuestionError):
    """The answer needs more memory than is allowed."""


class DataError(Exception):
    """The data cannot be used: missing, unreadable, not of the contract, or invalid when strict.

    ``faults`` holds one line a fault, each naming its file.
    """

    def __init__(self, faults: str | Sequence[str]) -> None:
        """Take one fault, or several."""
        self.faults = (faults,) if isinstance(faults, str) else tuple(faults)
        super().__init__("\n".join(self.faults))


class TooLargeSumError(DataError):
    """A sum of session counters exceeds 64 bits."""

    def __init__(self) -> None:
        """Say so."""
        super().__init__("a sum of session counters exceeds 64 bits: these cannot be counts")


class ChangedError(DataError):
    """Files went while they were read, as when a data set is compacted: ask again."""


class GoneError(ChangedError):
    """Files that were found are not there any more."""

    def __init__(self, *paths: str) -> None:
        """Name them."""
        super().__init__([f"{printable(path)}: gone since it was found" for path in paths])


class OutputError(Exception):
    """Something could not be written: the answer where it was asked for, or temporary files.

    What was there is untouched.
    """


def exit_code(error: BaseException) -> ExitCode:
    """Map an outcome other than success to its exit code."""
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
