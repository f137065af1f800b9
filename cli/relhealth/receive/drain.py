"""A process of its own that ingests the spool, so that requests never wait for an ingest.

``python -m relhealth.receive.drain ORDER`` takes its order and gives its report as JSON.
"""

import errno
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from relhealth.core.errors import DataError, OutputError, QuestionError
from relhealth.datasets.ledger import LEDGER, SPOOL
from relhealth.ingest import keeping
from relhealth.ingest.compact import compact
from relhealth.ingest.kinds import InputKind
from relhealth.ingest.mapping import Words
from relhealth.ingest.parsing import Plan
from relhealth.ingest.run import Ingested, ingest
from relhealth.ingest.staging import AcceptedSpan
from relhealth.machine import memory
from relhealth.receive import frames
from relhealth.receive.orders import Order, Report
from relhealth.receive.spool import taken_over

_NICE = 19  # requests come first
_LEAST_FREE = 1 << 18  # bytes without which no file of a day can be written


def drain(order: Order) -> Report:
    """Ingest the files of the spool that nobody writes; remove those that the data set has."""
    report = Report()
    root = Path(order.dataset)
    plan = Plan(
        span=AcceptedSpan.until(None, f"{order.keep_days}d"),
        kind=InputKind.ENVELOPES,
        org=order.org,
        words=Words(dimensions=order.dimensions),
    )
    with taken_over(root / SPOOL) as taken:
        files = []
        for path, descriptor in taken:
            report.torn_bytes += frames.mend(descriptor)
            if os.fstat(descriptor).st_size > len(frames.beginning()):
                files.append(path)
            else:
                path.unlink(missing_ok=True)
        if files:
            _ingest(files, root, plan, order, report)
    if order.tidy and (root / LEDGER).is_dir():
        report.days_removed = len(keeping.remove_days(root, order.keep_days))
        compact(root, memory_limit=order.memory_limit, threads=1)
        keeping.forget_inputs_below(root, root / SPOOL)
    return report


def _ingest(files: Sequence[Path], root: Path, plan: Plan, order: Order, report: Report) -> None:
    """Ingest files together; if one is in the way, each alone."""
    try:
        found = ingest(
            [str(path) for path in files],
            root,
            plan,
            most_rejected=1.0,
            keep_rejects=False,
            threads=None if order.hurry else 1,
            memory_limit=order.memory_limit,
        )
    except (DataError, QuestionError, OutputError, OSError) as error:
        if len(files) > 1:
            for path in files:
                _ingest([path], root, plan, order, report)
        else:
            report.errors.append(_reason(error, root) or f"{files[0].name}: {error}")
        return
    _count(found, report)
    for path in files:
        path.unlink(missing_ok=True)
    report.files += len(files)


def _reason(error: Exception, root: Path) -> str | None:
    """Return that there is no room, if an error comes from that."""
    is_full = "No space left" in str(error) or getattr(error, "errno", 0) == errno.EDQUOT
    with suppress(OSError):
        is_full = is_full or shutil.disk_usage(root).free < _LEAST_FREE
    return f"{root}: no room left on the disk; what was received waits there" if is_full else None


def _count(found: Ingested, report: Report) -> None:
    report.sessions += found.sessions
    report.rejected = dict(Counter(report.rejected) + Counter(found.rejected))


def main(order_text: str) -> int:
    """Do an order; print the report."""
    # A Ctrl-C of the terminal is for the receiver. Not by a session of its own: Linux would
    # weigh it against the others', whatever its priority.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.setpgid(0, 0)
    order = msgspec.json.decode(order_text, type=Order)
    if not order.hurry:
        os.nice(_NICE)
    memory.use_one_heap()
    try:
        report = drain(order)
    except Exception as error:  # of DuckDB and Arrow, too, where a disk is full
        reason = _reason(error, Path(order.dataset))
        if reason is None and not isinstance(error, DataError | QuestionError | OutputError):
            raise
        report = Report(errors=[reason or str(error)])
    sys.stdout.buffer.write(msgspec.json.encode(report))
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
