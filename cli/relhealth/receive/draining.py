"""Ingests the spool at intervals, by a process of its own."""

import asyncio
import os
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import Callable

import msgspec

import relhealth
from relhealth.receive.counting import Counts
from relhealth.receive.orders import Order, Report
from relhealth.receive.spool import SUFFIX, Spool

_TIDY_SECONDS = 3600.0
_SILENT_SECONDS = 60.0  # between two lines with the same error
_LAST_LINES = 3  # of a process that failed


class Draining:
    """Starts one process after another."""

    def __init__(
        self, spool: Spool, order: Order, every: float, counts: Counts, tell: Callable[[str], None]
    ) -> None:
        """Ingest each ``every`` seconds; ``tell`` gets lines about failures."""
        self._spool = spool
        self._order = order
        self._every = every
        self._counts = counts
        self._tell = tell
        self._told: dict[str, float] = {}
        self._tidied: float | None = None

    async def run(self, ends: asyncio.Event) -> None:
        """Ingest at intervals until the end, and once more after it."""
        while not ends.is_set():
            began = time.monotonic()
            try:
                await self.once()
            except OSError as error:  # the next time can be better
                self._counts.ingests["failed"] += 1
                self._complain(f"cannot ingest: {error}")
            pause = max(0.1, self._every - (time.monotonic() - began))
            try:
                await asyncio.wait_for(ends.wait(), pause)
            except TimeoutError:
                continue

    async def once(self, *, hurry: bool = False) -> None:
        """Ingest what is in the spool now."""
        await self._spool.rotate()
        now = time.monotonic()
        tidy = not hurry and (self._tidied is None or now - self._tidied >= _TIDY_SECONDS)
        if not tidy and not any(self._spool.folder.glob(f"*{SUFFIX}")):
            return
        order = msgspec.structs.replace(self._order, tidy=tidy, hurry=hurry)
        report = await self._do(order)
        self._spool.measure()
        self._counts.ingests["failed" if report.errors else "done"] += 1
        self._counts.sessions_ingested += report.sessions
        self._counts.items_rejected_by_ingest += sum(report.rejected.values())
        if report.errors:
            for error in report.errors[:_LAST_LINES]:
                self._complain(error)
            return
        self._counts.last_ingest = time.time()
        if tidy:
            self._tidied = now
        for reason, count in report.rejected.items():
            self._complain(f"{count:,} items rejected: {reason}")
        if report.days_removed:
            self._tell(f"removed {report.days_removed:,} days older than {order.keep_days} days")

    async def _do(self, order: Order) -> Report:
        # -P: no module of the current folder is ours.
        command = (sys.executable, "-P", "-m", "relhealth.receive.drain")
        code = os.path.dirname(os.path.dirname(relhealth.__file__))
        path = os.pathsep.join(filter(None, [code, os.environ.get("PYTHONPATH", "")]))
        process = await asyncio.create_subprocess_exec(
            *command,
            msgspec.json.encode(order).decode(),
            stdout=PIPE,
            stderr=PIPE,
            env=os.environ | {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},
        )
        out, err = await process.communicate()
        if process.returncode == 0:
            try:
                return msgspec.json.decode(out, type=Report)
            except msgspec.MsgspecError as error:
                return Report(errors=[f"the ingest gave no report: {error}"])
        last = err.decode(errors="replace").strip().splitlines()[-1:]
        return Report(errors=[f"the ingest ended with {process.returncode}: {' '.join(last)}"])

    def _complain(self, text: str) -> None:
        now = time.monotonic()
        if now - self._told.get(text, -_SILENT_SECONDS) >= _SILENT_SECONDS:
            if len(self._told) > 100:  # noqa: PLR2004 - what was told is for a minute
                self._told.clear()
            self._told[text] = now
            self._tell(text)
