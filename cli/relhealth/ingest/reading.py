"""Reads the inputs of a run into a stage: each is new, known, grown, or replaces one."""

import io
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from relhealth.core.errors import DataError
from relhealth.core.printable import printable
from relhealth.datasets import compression
from relhealth.ingest import kafka
from relhealth.ingest.content import Chained, Digest, Hashing, Standing, digest_file, stand
from relhealth.ingest.dialect import declared
from relhealth.ingest.entries import HEAD_BYTES, Content, Entry, Known, Old
from relhealth.ingest.inputs import STDIN, Watched, partitions_of
from relhealth.ingest.kinds import InputKind
from relhealth.ingest.parsing import Named, Parsed, Plan, parse
from relhealth.ingest.staging import Stage
from relhealth.stores import present

STANDARD_INPUT = "standard input"
STREAM = "kafka://"  # before the name of a stream of messages
_PARQUET = b"PAR1"
_CHUNK = 1 << 20
# What reading can go on in; of others all is read again: known sessions and messages count once.
_GOES_ON = {InputKind.ENVELOPES, InputKind.BUCKETS, InputKind.CSV, InputKind.JSONL}
# What has columns without rows, too.
_WITH_HEADERS = {InputKind.CSV, InputKind.PARQUET}
_TABLES = {InputKind.CSV, InputKind.JSONL, InputKind.PARQUET}
# What SDKs send beside sessions: an envelope of such items alone is no fault.
_OTHER_ITEMS = frozenset(
    {
        "attachment", "check_in", "client_report", "event", "feedback", "form_data", "log",
        "metric_buckets", "nel", "otel_log", "otel_span", "profile", "profile_chunk",
        "raw_security", "replay_event", "replay_recording", "replay_video", "security", "span",
        "statsd", "trace_metric", "transaction", "unreal_report", "user_report", "view_hierarchy",
        kafka.WITHOUT_PAYLOAD,
    }
)  # fmt: skip


@dataclass(slots=True)
class Taken:
    """An input of this run that added something: what the ledger stores about it."""

    number: int
    named: Named
    digest: Digest
    parsed: Parsed
    items: int
    rejected: int
    before: Entry | None  # its entry before it grew
    positions: kafka.Positions

    def entry(
        self,
        options: Mapping[str, Any],
        at: str,
        *,
        sessions: int = 0,
        days: Iterable[str] = (),
        rejects: str = "",
    ) -> Entry:
        """Return the entry for the ledger."""
        before = self.before
        is_stream = self.named.path.startswith(STREAM)
        goes_on = is_stream or self.parsed.kind in _GOES_ON
        known = before if before and goes_on else None  # not read again
        content = Content(
            name=self.named.name,
            path=self.named.path,
            digest=self.digest.hexdigest(),
            size=self.digest.size,
            head=self.digest.head(self.digest.size),
            resume=self._resume(),
        )
        # The same content can come without its last line end.
        size, digest = self.digest.without_last_line_end()
        resume = content.resume if size == content.size else self.digest.line_before
        if self.parsed.kind is InputKind.ENVELOPES:
            resume = min(size, content.resume)
        cut = msgspec.structs.replace(
            content, digest=digest, size=size, head=self.digest.head(size), resume=resume
        )
        earlier = [] if is_stream else [*(before.contents if before else ()), cut]
        return Entry(
            number=self.number,
            content=content,
            kind=str(self.parsed.kind),
            project=self.parsed.project,
            options=dict(options),
            at=at,
            first_at=(before.first_at or before.at) if before else "",
            items=self.items + (known.items if known else 0),
            rejected=self.rejected + (known.rejected if known else 0),
            sessions=sessions + (before.sessions if before else 0),
            days=sorted({*days, *(before.days if before else ())}),
            offsets=self.positions.taken.saved(),
            skipped=self.positions.skipped.saved(),
            rejects=rejects or (before.rejects if before else ""),
            earlier=[one for one in earlier if one.digest != content.digest],
        )

    def _resume(self) -> int:
        if self.parsed.kind is InputKind.ENVELOPES:
            return self.digest.size - self.parsed.cut_bytes
        return self.digest.last_line


class Reading:
    """Reads inputs one after another."""

    def __init__(
        self,
        stage: Stage,
        known: Known,
        plan: Plan,
        *,
        replace: bool,
        folder: Path,
        stream: str | None = None,
    ) -> None:
        """Read into ``stage``; ``folder`` is for temporary files.

        ``stream`` is the name of a stream, of which all inputs hold further messages.
        """
        self._stage = stage
        self._known = known
        self._plan = plan
        self._options = plan.options()
        self._replace = replace
        self._stream = stream
        self._watch: Callable[[str, int], None] = _unwatched
        self._folder = folder
        self._offsets = kafka.Offsets(known.offsets())
        self.inputs = 0
        self.taken: list[Taken] = []
        self.known: list[str] = []
        self.replaced: dict[int, Entry] = {}
        self.fruitless: list[str] = []

    def read(self, paths: Sequence[str], watch: Callable[[str, int], None]) -> None:
        """Stage the new content of the inputs; ``watch`` receives the bytes read from each."""
        self._watch = watch
        for path in paths:
            self.inputs += 1
            if path == STDIN:
                self._read_stdin()
                continue
            try:
                if self._stream is not None:
                    self._read_messages(Named(self._stream, self._stream, path))
                    continue
                name = present.spelled(path)  # of an object, its URI
                self._read_file(Named(name, os.path.abspath(path) if name == path else name, path))
            except compression.InputError as error:
                raise DataError(f"{printable(path)}: {error}") from error
            except OSError as error:
                reason = (error.strerror or str(error)).lower()
                raise DataError(f"{printable(path)}: {reason}") from error

    def _read_stdin(self) -> None:
        raw = Watched(sys.stdin.buffer, lambda read: self._watch(STANDARD_INPUT, read))
        with _buffered(raw) as source:
            head = source.read(HEAD_BYTES)
            if self._may_be_known(head) or head.startswith(_PARQUET):
                # Content that can be known must be read twice, and Parquet from its end.
                spooled = self._folder / "stdin"
                with spooled.open("wb") as file:
                    file.write(head)
                    shutil.copyfileobj(source, file)
                self._read_file(Named(STANDARD_INPUT, "", str(spooled)))
                spooled.unlink()
                return
            stream = compression.plain(compression.buffered(Chained(head, source)))
            self._take(Named(STANDARD_INPUT, "", ""), stream, None)

    def _read_messages(self, named: Named) -> None:
        """Read further messages of a stream, which is one input however often it is read."""
        before = next(iter(self._known.of_path(named.path)), None)
        if before is not None and before.options != self._options:
            raise DataError(_other_options(named.name, before, self._options))
        with self._opened(named) as (stream, _):
            self._take(named, stream, None, before)

    def _may_be_known(self, head: bytes) -> bool:
        """Return whether an input can be known, by its first bytes; compressed ones always can."""
        if self._known.old or compression.compression_of(head) is not None:
            return True
        return bool(self._known.candidates(head))

    def _read_file(self, named: Named) -> None:
        standing = self._standing(named)
        replaced, taken = len(self.replaced), len(self.taken)
        is_known, before = self._settle(named, standing)
        if is_known:
            self.known.append(named.name)
            return
        with self._opened(named) as (content, plain_bytes):
            new = content
            if before is not None and before.kind in _GOES_ON:
                new = _from(content, standing.resume or 0, before.kind)
            self._take(named, new, standing.digest, before, plain_bytes)
        if len(self.replaced) > replaced and len(self.taken) == taken:
            raise DataError(
                f"{printable(named.name)}: nothing in it could be ingested; what it gave before is"
                " kept"
            )

    def _settle(self, named: Named, standing: Standing) -> tuple[bool, Entry | None]:
        """Return whether an input adds nothing, and otherwise what it continues, if anything.

        Removes the input that it replaces. Raises ``DataError`` if that is not possible.
        """
        found = standing.entry
        if isinstance(found, Old):
            if self._replace:
                raise DataError(
                    f"{printable(named.name)}: ingested by an earlier version, whose rows cannot be"
                    " separated; ingest all inputs again into another data set"
                )
            return True, None
        if found is None:
            if self._replace:
                self._drop_by_path(named)
            return False, None
        of_this_run = any(found.number == one.number for one in self.taken)
        if not of_this_run and self._replace:
            self._drop(found)
            return False, None
        if found.options != self._options:
            raise DataError(_other_options(named.name, found, self._options))
        if standing.resume is None and not found.incomplete:
            return True, None
        if standing.cut and found.kind == InputKind.CSV and not of_this_run:
            self._drop(found)  # its last row can have an incomplete cell
            return False, None
        return False, found

    def _standing(self, named: Named) -> Standing:
        """Return how much of a file is known."""
        if self._known.old:
            with Path(named.file).open("rb", buffering=0) as file:
                digest = digest_file(file, os.fstat(file.fileno()).st_size).hexdigest()
            if digest in self._known.old:
                return Standing(None, self._known.old[digest])
        with self._opened(named) as (stream, _):
            candidates = self._known.candidates(stream.read(HEAD_BYTES))
        told = self._told_by_folders(named.path)
        candidates = [
            one
            for one in candidates
            if one.entry.kind not in _TABLES or self._told_by_folders(one.content.path) == told
        ]
        if not candidates:
            return Standing(None, None)
        with self._opened(named) as (stream, _):
            return stand(stream, candidates)

    def _told_by_folders(self, path: str) -> dict[str, str | None]:
        """Return the fields of a table's rows that the folders of its file tell.

        The same content in folders of two projects is of two inputs.
        """
        folders = partitions_of(path)
        try:
            columns = self._plan.words.find(list(folders))
        except DataError:  # told when the table is read
            return folders
        return {name: folders[column] for name, column in columns.items()}

    def _drop(self, entry: Entry) -> None:
        self.replaced[entry.number] = entry
        self._known.forget(entry.number)
        self._offsets = kafka.Offsets(self._known.offsets())

    def _drop_by_path(self, named: Named) -> None:
        """Replace the input from a file of that path, if there is exactly one."""
        found = self._known.of_path(named.path)
        if len(found) > 1:
            listed = ", ".join(f"{one.content.digest[:12]} of {one.at}" for one in found)
            raise DataError(
                f"{printable(named.name)}: several inputs had this name ({listed});"
                " take the wrong one out with --forget DIGEST, then ingest this"
            )
        for one in found:
            self._drop(one)

    @contextmanager
    def _opened(self, named: Named) -> Iterator[tuple[io.BufferedReader, int]]:
        """Open the content of a file, up to its current end.

        Also yields how many bytes of the file are its content uncompressed: all, or none.
        """
        with Path(named.file).open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            raw = Watched(file, lambda read: self._watch(named.name, read), size)
            with _buffered(raw) as source:
                stream = compression.plain(source)
                yield stream, size if stream is source and not source.tell() else 0

    def _take(
        self,
        named: Named,
        stream: io.BufferedReader,
        digest: Digest | None,
        before: Entry | None = None,
        plain_bytes: int = 0,
    ) -> None:
        """Stage an input from its current position; ``digest`` is of its content, if known."""
        tally = self._stage.tally
        accepted, rejected, seen = tally.accepted.total(), tally.rejected.total(), tally.seen
        passed_over = dict(tally.passed_over)
        number = before.number if before else self._known.new_number()
        self._stage.begin(number)
        positions = kafka.Positions(
            self._offsets,
            kafka.Offsets([before.offsets] if before else []),
            kafka.Offsets([before.skipped] if before else []),
        )
        with _digesting(named.file, plain_bytes, stream, digest) as (read, finished):
            parsed = parse(read, named, self._stage, self._plan, before, positions)
            digest = finished()
        if tally.accepted.total() > accepted:
            one = Taken(
                number=number,
                named=named,
                digest=digest,
                parsed=parsed,
                items=tally.seen - seen,
                rejected=tally.rejected.total() - rejected,
                before=before,
                positions=positions,
            )
            self.taken.append(one)
            self._known.remember(one.entry(self._options, ""))
            self._offsets.update(positions.taken.saved())
            return
        empty = parsed.kind in _WITH_HEADERS and tally.seen == seen
        if empty and before is None and not self._replace:
            return  # an empty part among others is not a fault
        others = {what for what, n in tally.passed_over.items() if n > passed_over.get(what, 0)}
        read_before = kafka.READ_BEFORE in others
        others -= {kafka.READ_BEFORE}
        # Items of other kinds and buckets of other metrics alone are no fault.
        fine = all(what in _OTHER_ITEMS or ":" in what for what in others)
        nothing_new = tally.rejected.total() == rejected and fine
        if nothing_new and (read_before or (before is not None and not others)):
            self.known.append(named.name)
        elif not fine or not (others or read_before):
            self.fruitless.append(named.name)


def _unwatched(_name: str, _read: int) -> None:
    """Ignore the progress."""


def _from(stream: io.BufferedReader, resume: int, kind: str) -> io.BufferedReader:
    """Return content from where reading goes on; of CSV, behind its header."""
    header = stream.readline(resume) if kind == InputKind.CSV else b""
    if declared(header) is not None:
        header += stream.readline(resume - len(header))
    left = resume - len(header)
    while left > 0 and (piece := stream.read(min(left, _CHUNK))):
        left -= len(piece)
    return compression.buffered(Chained(header, stream)) if header else stream


def _other_options(name: str, found: Entry, options: Mapping[str, Any]) -> str:
    before = shown_options(found.options) or "no options"
    return (
        f"{printable(name)}: ingested on {found.at} with other options ({before}; now"
        f" {shown_options(options) or 'no options'}); --replace ingests it again and"
        " removes the earlier rows"
    )


def shown_options(options: Mapping[str, Any]) -> str:
    """Return options in the form of the command line."""
    words = []
    for name, value in options.items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, Mapping):
            words += [f"{option} {key}={meant}" for key, meant in value.items()]
        elif isinstance(value, list):
            words += [f"{option} {one if one != '' else repr('')}" for one in value]
        else:
            words.append(option if value is True else f"{option} {value}")
    return printable(" ".join(words))


@contextmanager
def _buffered(raw: Watched) -> Iterator[io.BufferedReader]:
    stream = compression.buffered(raw)
    try:
        yield stream
    finally:
        stream.detach()  # the caller closes the file


@contextmanager
def _digesting(
    file: str, plain_bytes: int, stream: io.BufferedReader, digest: Digest | None
) -> Iterator[tuple[io.BufferedReader, Callable[[], Digest]]]:
    """Yield a stream to read, and a function that then returns the digest of the full content.

    If the file is not compressed, compute the digest while reading.
    """
    if digest is not None:
        known = digest
        yield stream, lambda: known
    elif plain_bytes:
        stopped = threading.Event()
        with ThreadPoolExecutor(1) as worker, Path(file).open("rb", buffering=0) as again:
            taking = worker.submit(digest_file, again, plain_bytes, stopped.is_set)
            try:
                yield stream, taking.result
            finally:
                stopped.set()
    else:
        taken = Digest()
        hashing = compression.buffered(Hashing(stream, taken))

        def finish() -> Digest:
            while hashing.read(_CHUNK):  # the part that the reader did not read
                pass
            return taken

        yield hashing, finish
