"""Spill files: removed after every end, others' kept, and one line when there is no room."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from typing import TYPE_CHECKING

import pytest

import rows
from command import Result, run
from process import environment, finish, script, unprivileged
from relhealth import ReleaseHealth
from relhealth.core.errors import OutputError
from relhealth.machine.database import Database
from relhealth.machine.spilling import SpillFolder
from rows import session, user

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = "2026-03-02T12:30:00Z"
MUCH = "CREATE TABLE much AS SELECT range, hash(range) AS h FROM range(3000000)"  # some 50 MB
SPILLS = """
import os, sys
from relhealth.machine.database import Database
database = Database(memory_limit="60MB", threads=1)
database.run("spilling", sys.argv[1], {})
assert len(os.listdir(database._spill.path)) > 1
"""
WAITS = """
os.write(1, b"!")
os.read(0, 1)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files."""
    folder = tmp_path / "place"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@pytest.fixture
def other(place: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that has spilled and waits."""
    argv = script(SPILLS + WAITS, MUCH)
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(TMPDIR=str(place))
    ) as process:
        assert process.stdout
        assert process.stdout.read(1) == b"!"
        yield process
        process.kill()


def test_a_process_that_ends_leaves_nothing(place: Path) -> None:
    assert finish(script(SPILLS, MUCH)).code == 0  # not even closed
    assert os.listdir(place) == []
    assert finish(script(SPILLS + "raise SystemExit(7)", MUCH)).code == 7
    assert os.listdir(place) == []
    assert "ZeroDivisionError" in finish(script(SPILLS + "1 / 0", MUCH)).err
    assert os.listdir(place) == []


def test_a_killed_process_is_cleaned_up_after(other: subprocess.Popen[bytes], place: Path) -> None:
    (left,) = place.iterdir()
    assert len(list(left.iterdir())) > 1
    database = Database()
    assert left.exists()  # its process lives
    database.close()
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert len(list(left.iterdir())) > 1
    Database().close()
    assert os.listdir(place) == []


def test_who_asks_without_a_database_makes_no_folder(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = rows.write(place.parent / "a.parquet", [session()])
    with monkeypatch.context() as patched:
        patched.setattr("relhealth.machine.spilling._make", None)
        assert run("overview", path, "--now", NOW, "--engine", "kernel").code == 0
        assert run("--help").code == 0
    with ReleaseHealth(path) as health:
        health.projects(now=NOW)
        assert len(os.listdir(place)) == 1
    assert os.listdir(place) == []


def test_what_is_not_ours_is_left_alone(place: Path) -> None:
    elsewhere = place.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "duckdb_temp_1").write_text("precious")
    (place / "relhealth-spill-abcdefgh").symlink_to(elsewhere)
    (place / "relhealth-spill-abcdefg1").write_text("a file")
    named = place / "relhealth-spill-my_own-folder"
    named.mkdir()
    (named / "duckdb_temp_1").write_text("precious")
    theirs = place / "relhealth-spill-abcdefg2"
    theirs.mkdir()
    (theirs / "notes").write_text("precious")
    (theirs / "duckdb_temp_1").write_text("spilled")
    outside = place.parent / "outside"
    outside.write_text("precious")
    (theirs / "duckdb_temp_2").symlink_to(outside)
    before = set(os.listdir(place))
    folder = SpillFolder()
    folder.remove()
    folder.remove()
    assert set(os.listdir(place)) == before
    assert (elsewhere / "duckdb_temp_1").read_text() == "precious"
    assert (named / "duckdb_temp_1").exists()
    assert os.listdir(theirs) == ["notes"]
    assert outside.read_text() == "precious"


def test_folders_of_other_users_are_left_alone(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = place / "relhealth-spill-abcdefgh"
    theirs.mkdir()
    (theirs / "duckdb_temp_1").touch()
    with monkeypatch.context() as patched:
        patched.setattr(os, "geteuid", lambda: theirs.stat().st_uid + 1)
        SpillFolder().remove()
        assert (theirs / "duckdb_temp_1").exists()
    SpillFolder().remove()
    assert not theirs.exists()  # of our own it is removed


def test_a_folder_that_is_swept_before_it_is_locked_is_made_anew(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = tempfile.mkdtemp
    made: list[str] = []

    def swept(**about: str) -> str:
        made.append(make(**about))
        if len(made) < 3:
            os.rmdir(made[-1])
        return made[-1]

    monkeypatch.setattr("tempfile.mkdtemp", swept)
    folder = SpillFolder()
    assert os.listdir(place) == [os.path.basename(made[2])]
    folder.remove()


# No room.


def told(result: Result, folder: Path, what: str) -> None:
    """Expect one line that names the folder, what is wrong with it, and what to do."""
    assert result == Result(
        4, "", f"relhealth: error: {folder}: cannot write temporary files: {what}\n"
    )


CLOSED = "set TMPDIR to a folder that can be written to"
FULL = "set TMPDIR to a folder with room, or raise --memory-limit"


def test_a_folder_that_is_missing(place: Path) -> None:
    path = rows.write(place.parent / "a.parquet", [session()])
    place.rmdir()
    told(run("projects", path, "--now", NOW), place, f"no such file or directory; {CLOSED}")


def test_a_folder_that_cannot_be_written_to(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = rows.write(open_folder / "a.parquet", [session()])
    place = open_folder / "place"
    place.mkdir()
    place.chmod(0o555)
    monkeypatch.setenv("TMPDIR", str(place))
    line = ["projects", path, "--now", NOW]
    (result,) = unprivileged(line, warm_up=[line])
    told(result, place, f"permission denied; {CLOSED}")


# Files must not grow beyond 4 KiB, which gives the same error as a full disk.
SMALL_FILES = """
import resource, sys
from relhealth.machine import memory, queries
from relhealth.__main__ import main

load = queries.load

def large(name):
    if name != "sessions_by_group":
        return load(name)
    sql = "SELECT count(DISTINCT hash(range)) AS sessions FROM range(9000000)"
    return queries.Template(name, sql, frozenset())

queries.load = large
memory.of_kernel = lambda *_: (1000, 1)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 12, 1 << 12))
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("command", ["overview", "projects"])
def test_a_folder_that_is_full(command: str, place: Path) -> None:
    path = rows.write(place.parent / "a.parquet", [session(), *map(user, range(9000))])
    engine = {"overview": "kernel", "projects": "duckdb"}[command]
    line = [command, path, "--now", NOW, "--memory-limit", "60MB", "--engine", engine]
    ended = finish(script(SMALL_FILES, *line))
    told(Result(ended.code, ended.out.decode(), ended.err), place, f"file too large; {FULL}")
    assert os.listdir(place) == []


def test_without_any_folder(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = rows.write(place.parent / "a.parquet", [session()])

    def none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.delenv("TMPDIR")
    monkeypatch.setattr("tempfile.gettempdir", none)
    assert run("projects", path, "--now", NOW) == Result(
        4,
        "",
        "relhealth: error: no folder for temporary files;"
        " set TMPDIR to one that can be written to\n",
    )
    with ReleaseHealth(path) as health, pytest.raises(OutputError):
        health.projects(now=NOW)
