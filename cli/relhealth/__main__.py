"""The entry point: ``relhealth`` and ``python -m relhealth``."""

import os
import sys

from relhealth.core.version import __version__

TYPE_CHECKING = False  # as in the package: what is imported here, every start waits for
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: "Sequence[str] | None" = None) -> int:
    """Run one command line and return its exit code; never raises ``SystemExit``."""
    from relhealth.commands.boundary import run_guarded

    return run_guarded(list(sys.argv[1:] if argv is None else argv))


def run() -> None:
    """Run the process's own command line and exit with its code."""
    if sys.argv[1:] == ["--version"] and _version_told():
        return
    if "_RELHEALTH_COMPLETE" in os.environ:
        from relhealth.completion.answer import tell

        tell(sys.argv[1:])
        return
    if sys.argv[1:2] == ["completion"] and _script_told():
        return
    import gc

    gc.set_threshold(200_000, 20, 20)  # most of what a start makes, by its imports, stays
    # NumPy would start threads for BLAS, which spin a while; nothing here uses it.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.meta_path.insert(0, _NoPandas)
    from relhealth.output.talk import open_standard_streams

    open_standard_streams()
    code = main()
    watched = sys.getprofile() or sys.gettrace()
    spilling = sys.modules.get("relhealth.machine.spilling")
    of_cluster = "pyspark" in sys.modules
    if (code == 0 or of_cluster) and not watched and not (spilling and spilling.is_used()):
        # All is flushed, and no file has to be removed. To take the interpreter apart takes 30 ms,
        # and with the client of a cluster that does not answer, for ever.
        os._exit(code)
    sys.exit(code)


class _NoPandas:
    """Finds no pandas, but for the client of Spark, which does not load without it.

    Arrow imports it with its first array, 0.3 s that nothing else here needs.
    """

    @staticmethod
    def find_spec(name: str, *_: object) -> None:
        if name == "pandas" and "pyspark" not in sys.modules:
            raise ModuleNotFoundError(name)


def _version_told() -> bool:
    """Tell the version before anything is imported; where stdout fails, the boundary says so."""
    try:
        print(f"relhealth {__version__}", flush=True)  # noqa: T201 - no module of ours is there yet
    except (OSError, ValueError):
        return False
    return sys.stdout is not None


def _script_told() -> bool:
    """Print the script of a shell, for which each start of the shell waits."""
    from relhealth.completion.shells import SCRIPTS

    if len(sys.argv) != 3 or sys.argv[2] not in SCRIPTS:  # noqa: PLR2004 - completion SHELL
        return False
    try:
        print(SCRIPTS[sys.argv[2]], end="", flush=True)  # noqa: T201 - as above
    except (OSError, ValueError):
        return False
    return sys.stdout is not None


if __name__ == "__main__":
    run()
