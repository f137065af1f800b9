"""The error boundary: one command line in, one exit code out, and a line for every error."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from relhealth.core.errors import DataError, ExitCode, OutputError, QuestionError, exit_code
from relhealth.core.version import __version__
from relhealth.output.talk import abandon, say


class _Ended(BaseException):
    """A signal ended the process; raised so that unfinished files are removed."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.code = 128 + signal_number


def run_guarded(arguments: list[str]) -> int:
    """Run a command line; turn any error into a line on stderr and an exit code."""
    received: list[int] = []
    try:
        with _heeding_signals(received):
            code = _run(arguments)
            sys.stdout.flush()
    except BrokenPipeError as error:
        abandon(sys.stdout)
        return exit_code(error)
    except KeyboardInterrupt as error:
        say("interrupted")
        return exit_code(error)
    except _Ended as error:
        say("ended by a signal")
        return error.code
    except (QuestionError, DataError, OutputError) as error:
        _trace(arguments)
        for line in getattr(error, "faults", (str(error),)):
            say(f"error: {line}")
        return exit_code(error)
    except OSError as error:  # of the machine: no room for temporary files, stdout full or closed
        _trace(arguments)
        abandon(sys.stdout)
        say(f"error: {error.filename or 'stdout'}: {(error.strerror or str(error)).lower()}")
        return ExitCode.DATA
    except Exception as error:  # noqa: BLE001 - the boundary
        if received:  # DuckDB replaces the exception of a signal by one of its own
            say("interrupted" if received[0] == signal.SIGINT else "ended by a signal")
            return 128 + received[0]
        _trace(arguments)
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        say(f"internal error: {what}; this is a bug in relhealth, --debug shows where")
        return exit_code(error)
    return code


def _trace(arguments: list[str]) -> None:
    """Print the traceback of the current error, with --debug."""
    if "--debug" in arguments:
        import traceback

        with suppress(OSError, ValueError):
            traceback.print_exc()


def _run(arguments: list[str]) -> int:
    if arguments == ["--version"]:  # answered before any import
        sys.stdout.write(f"relhealth {__version__}\n")
        return ExitCode.OK
    if "FORCE_COLOR" not in os.environ and not sys.stdout.isatty():
        # On GitHub, Typer would colour a help that goes into a pipe.
        os.environ.setdefault("_TYPER_FORCE_DISABLE_TERMINAL", "1")
    import typer

    from relhealth.commands.app import commands_for
    from relhealth.commands.configuration import configured

    command = commands_for(arguments)
    try:
        with configured(arguments) as found:
            defaults = {name: found.options_of(name) for name in command.commands}
            # Not with ``main``, which would end with 1 on a broken pipe: a failed gate.
            with command.make_context("relhealth", arguments, default_map=defaults) as context:
                command.invoke(context)
    except typer.Exit as error:
        return error.exit_code
    except SystemExit as error:
        if error.code:
            raise BrokenPipeError from None  # Rich raises this if the reader has closed the pipe
        return error.code if isinstance(error.code, int) else ExitCode.OK
    except typer.Abort:
        raise KeyboardInterrupt from None
    except typer.TyperException as error:
        return _usage_error(error)
    return ExitCode.OK


def _usage_error(error: Exception) -> int:
    """Print what is wrong with a command line, and how to see its help."""
    context = getattr(error, "ctx", None)
    message = str(getattr(error, "format_message", lambda: error)()).strip()
    if type(error).__name__ == "NoArgsIsHelpError":  # the help is already on stdout
        return ExitCode.USAGE
    command = context.command_path if context is not None else "relhealth"
    say(f"error: {message}")
    say(f"see '{command} --help'")
    return ExitCode.USAGE


@contextmanager
def _heeding_signals(received: list[int]) -> Iterator[None]:
    """Raise on the first signal to end, unless the parent process set it to be ignored.

    ``received`` gets the signal. Later ones are ignored, since they could interrupt the cleaning
    up: ``timeout`` sends two. But a second Ctrl-C ends the process at once.
    """

    def end(signal_number: int, _frame: FrameType | None) -> None:
        for name in heeded:
            signal.signal(name, signal.SIG_DFL if name is signal.SIGINT else signal.SIG_IGN)
        received.append(signal_number)
        if signal_number == signal.SIGINT:
            raise KeyboardInterrupt
        raise _Ended(signal_number)

    heeded: dict[signal.Signals, object] = {}
    if threading.current_thread() is threading.main_thread():
        for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(name) in {signal.SIG_DFL, signal.default_int_handler}:
                heeded[name] = signal.signal(name, end)
    try:
        yield
    finally:
        for name, before in heeded.items():
            signal.signal(name, before)  # type: ignore[arg-type]
