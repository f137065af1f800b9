"""Fetches what a question reads of the files of an object store; local files are here already."""

from collections.abc import Sequence

from relhealth.core.windows import Window, to_epoch_us
from relhealth.datasets import footers
from relhealth.datasets.footers import Group
from relhealth.datasets.sources import PER_SECOND, SourceFile
from relhealth.stores import present


def fetch(files: Sequence[SourceFile], window: Window | None) -> None:
    """Fetch the row groups that can have rows of a window (None: all), all files at once."""
    wanted = []
    for file in files:
        if present.is_mirrored(file.absolute):
            footer = footers.read(file.absolute)
            groups = [
                number
                for number, group in enumerate(footer.groups)
                if window is None or overlaps(file, group, window)
            ]
            wanted.append((file.absolute, footer.spans(groups)))
    present.spans(wanted)


def overlaps(file: SourceFile, group: Group, window: Window) -> bool:
    """Return whether a row group can have rows of a window, by what its footer proves."""
    chunk, unit = group.chunks.get("timestamp"), file.timestamp_unit
    if chunk is None or unit not in PER_SECOND or chunk.nulls != 0:
        return True
    found, second = chunk.extremes(), PER_SECOND[unit]
    if found is None:
        return True
    start, end = (to_epoch_us(at) * second // 10**6 for at in (window.start, window.end))
    return bool(found[0] < end and found[1] >= start)
