"""The entry point: ``relhealth`` and ``python -m relhealth``."""

import sys
from collections.abc import Sequence

from relhealth import __version__


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; never raises ``SystemExit``."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments == ["--version"]:  # answered before anything is imported
        sys.stdout.write(f"relhealth {__version__}\n")
        return 0
    from relhealth.boundary import run_guarded

    return run_guarded(arguments)


def run() -> None:
    """Run the process's own command line and exit with its code."""
    sys.exit(main())


if __name__ == "__main__":
    run()
