"""Files that last: synced to disk, and replaced in one step."""

import os
from pathlib import Path


def sync(path: str | os.PathLike[str]) -> None:
    """Have a file or folder on disk; raises ``OSError``."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write(path: Path, content: bytes) -> None:
    """Write a file so that a kill at any moment leaves the old one or the new one."""
    new = path.with_name(f"{path.name}.new")
    with new.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(new, path)
    sync(path.parent)
