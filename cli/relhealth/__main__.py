"""The entry point: ``relhealth`` and ``python -m relhealth``."""

import sys
from collections.abc import Sequence

from relhealth.boundary import run_guarded
from relhealth.talk import open_standard_streams


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; never raises ``SystemExit``."""
    return run_guarded(list(sys.argv[1:] if argv is None else argv))


def run() -> None:
    """Run the process's own command line and exit with its code."""
    open_standard_streams()
    sys.exit(main())


if __name__ == "__main__":
    run()
