"""Delivery of data: to stdout, or to a file, completely or not at all."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import rows
from command import Result, run
from process import Ended, command, finish, on_terminal, script, unprivileged
from relhealth.core.errors import OutputError
from relhealth.output.deliver import opened
from relhealth.output.formats import PAGES, ROWS, Format

if TYPE_CHECKING:
    from collections.abc import Callable

SUFFIXES = {
    "txt": Format.TABLE,
    "csv": Format.CSV,
    "json": Format.JSON,
    "jsonl": Format.JSONL,
    "ndjson": Format.JSONL,
    "md": Format.MARKDOWN,
    "parquet": Format.PARQUET,
    "html": Format.HTML,
    "htm": Format.HTML,
    "CSV": Format.CSV,
}
OLD = "what was there before"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file whose answer takes some kilobytes in every format."""
    names = [f"shop@{number}.0.0" for number in range(300)]
    path = tmp_path_factory.mktemp("source") / "sessions.parquet"
    return rows.write(path, [rows.session(release=name) for name in names])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for answers alone, so that leftovers are seen."""
    path = tmp_path / "answers"
    path.mkdir()
    return path


def ask(file: str, *options: str) -> Result:
    """Ask for the overview at the data's own now."""
    return run("overview", file, "--now", "latest", *options)


def names_in(folder: Path) -> list[str]:
    """What is in a folder, hidden files too."""
    return sorted(os.listdir(folder))


@pytest.mark.parametrize("chosen", ["csv", "json", "jsonl", "markdown", "prometheus"])
def test_a_terminal_gets_no_control_characters(chosen: str, tmp_path: Path) -> None:
    """A terminal shows escapes; a file and a pipe get the unchanged data."""
    name = "a\x1b]0;owned\x07\x9b31m\x7f\rb\u202ec"
    source = rows.write(tmp_path / "hostile.parquet", [rows.session(release=name)])
    asked = command("overview", source, "--now", "latest", "-f", chosen)
    shown = on_terminal(asked, columns=80).out.decode()
    assert r"\u202ec" in shown
    assert [char for char in shown.replace("\n", "") if not char.isprintable()] == []
    if chosen == "csv":
        assert shown.split("\n")[1].startswith(r'1,"a\x1b]0;owned\x07\x9b31m\x7f\rb\u202ec",')
        piped = finish(asked).out.decode()
        assert f'"{name}"' in piped
        ask(source, "-o", str(tmp_path / "answer.csv"), "-f", chosen)
        assert (tmp_path / "answer.csv").read_bytes().decode() == piped


# What is written.


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_suffix_decides_the_format(suffix: str, file: str, folder: Path) -> None:
    path = folder / f"answer.{suffix}"
    result = ask(file, "-o", str(path))
    assert (result.code, result.out) == (0, "")
    assert path.read_bytes() == ask(file, "-f", SUFFIXES[suffix]).raw
    assert names_in(folder) == [path.name]


def test_every_format_of_rows_has_a_suffix() -> None:
    assert set(SUFFIXES.values()) == {*ROWS, *PAGES}


@pytest.mark.parametrize("name", ["answer.csv", "answer.parquet", "answer", "answer.zip", ".json"])
def test_a_named_format_wins(name: str, file: str, folder: Path) -> None:
    assert ask(file, "-f", "jsonl", "-o", str(folder / name)).code == 0
    assert (folder / name).read_bytes() == ask(file, "-f", "jsonl").raw


def test_a_file_is_never_coloured_or_narrowed(
    file: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = ask(file).raw
    assert b"\x1b" not in expected
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "20")
    assert ask(file, "-o", str(folder / "answer.txt")).code == 0
    assert (folder / "answer.txt").read_bytes() == expected


def test_inspect_writes_files_too(file: str, folder: Path) -> None:
    for name, chosen in (("answer.json", "json"), ("answer.txt", "table")):
        told = run("inspect", file, "--now", "latest", "-f", chosen)
        assert run("inspect", file, "--now", "latest", "-o", str(folder / name)).code == 0
        assert (folder / name).read_bytes() == told.raw


def test_a_relative_path(file: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    for name in ("answer.csv", "./again.csv", "-o.csv"):
        assert ask(file, f"--output={name}").code == 0
    assert names_in(folder) == ["-o.csv", "again.csv", "answer.csv"]


def test_hostile_names(file: str, folder: Path) -> None:
    for name in ("a\nb.csv", "é 中 [x] %s.csv", "x" * 251 + ".csv"):
        assert ask(file, "-o", str(folder / name)).code == 0, name
        assert (folder / name).read_bytes() == ask(file, "-f", "csv").raw


# Modes and links.


def test_a_new_file_has_the_mode_of_the_umask(file: str, folder: Path) -> None:
    for umask, mode in ((0o022, 0o644), (0o077, 0o600), (0o002, 0o664)):
        before = os.umask(umask)
        try:
            ask(file, "-o", str(folder / "answer.csv"))
        finally:
            assert os.umask(before) == umask  # left as it was
        assert stat.S_IMODE((folder / "answer.csv").stat().st_mode) == mode
        (folder / "answer.csv").unlink()


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o755, 0o444])
def test_a_file_keeps_its_mode(mode: int, file: str, folder: Path) -> None:
    path = folder / "answer.csv"
    path.write_text(OLD)
    path.chmod(mode)
    assert ask(file, "-o", str(path)).code == 0
    assert path.read_bytes() == ask(file, "-f", "csv").raw
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_link_stays_and_its_target_is_replaced(file: str, folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.mkdir()
    (target / "real.csv").write_text(OLD)
    (folder / "near.csv").symlink_to(target / "real.csv")
    (folder / "far.csv").symlink_to("near.csv")
    assert ask(file, "-o", str(folder / "far.csv")).code == 0
    assert (folder / "near.csv").is_symlink()
    assert (folder / "far.csv").is_symlink()
    assert not (target / "real.csv").is_symlink()
    assert (target / "real.csv").read_bytes() == ask(file, "-f", "csv").raw
    assert (names_in(folder), names_in(target)) == (["far.csv", "near.csv"], ["real.csv"])


def test_a_dangling_link_makes_its_target(file: str, folder: Path) -> None:
    (folder / "link.csv").symlink_to("new.csv")
    assert ask(file, "-o", str(folder / "link.csv")).code == 0
    assert (folder / "link.csv").is_symlink()
    assert (folder / "new.csv").read_bytes() == ask(file, "-f", "csv").raw


# Refusals: code 4, one line, before any work.


def refused(result: Result, path: Path) -> str:
    """The reason why a path was not written."""
    assert (result.code, result.out) == (4, "")
    start = f"relhealth: error: {path}: cannot write: "
    assert result.err.startswith(start)
    assert result.err.count("\n") == 1
    return result.err[len(start) : -1]


def test_what_cannot_be_written_is_refused_first(file: str, folder: Path) -> None:
    nowhere = str(folder / "no such source.parquet")
    (folder / "loop.csv").symlink_to("loop.csv")
    (folder / "plain").write_text(OLD)
    (folder / "folder.csv").mkdir()
    before = names_in(folder)
    for path, told in (
        (folder / "folder.csv", "is a directory"),
        (folder / "none" / "answer.csv", "no directory"),
        (folder / "plain" / "answer.csv", "no directory"),
        (folder / "loop.csv", "symbolic links"),
        (folder / ("x" * 300 + ".csv"), "file name too long"),
        (folder / ("x" * 300) / "answer.csv", "file name too long"),
    ):
        for source in (nowhere, file):
            assert told in refused(ask(source, "-o", str(path)), path)
    assert names_in(folder) == before
    assert (folder / "plain").read_text() == OLD


def test_hostile_names_are_told_on_one_line(file: str, tmp_path: Path) -> None:
    path = tmp_path / "a\n\x1b[31mb" / "answer.csv"
    result = ask(file, "-o", str(path))
    assert (result.code, result.err.count("\n")) == (4, 1)
    assert "a\\n\\x1b[31mb/answer.csv: cannot write" in result.err


def test_folders_without_permission(open_folder: Path) -> None:
    source = rows.write(open_folder / "sessions.parquet", [rows.session()])
    for name in ("unwritable", "closed"):
        (open_folder / name).mkdir()
        (open_folder / name / "answer.csv").write_text(OLD)
    (open_folder / "unwritable").chmod(0o555)
    (open_folder / "closed").chmod(0)
    asked = ("overview", source, "--now", "latest", "-o")
    paths = [
        open_folder / "unwritable" / "answer.csv",
        open_folder / "unwritable" / "new.csv",
        open_folder / "closed" / "answer.csv",
        open_folder / "closed" / "deeper" / "answer.csv",
    ]
    lines = [(*asked, str(path)) for path in paths]
    results = unprivileged(*lines, warm_up=[(*asked, os.devnull, "-f", "csv")])
    told = [refused(result, path) for result, path in zip(results, paths, strict=True)]
    assert all("not writable" in reason for reason in told[:2])
    assert all("permission denied" in reason for reason in told[2:])
    for name in ("unwritable", "closed"):
        (open_folder / name).chmod(0o700)
        assert names_in(open_folder / name) == ["answer.csv"]
        assert (open_folder / name / "answer.csv").read_text() == OLD


def test_a_folder_that_may_be_written_and_not_listed(open_folder: Path) -> None:
    source = rows.write(open_folder / "sessions.parquet", [rows.session()])
    inbox = open_folder / "inbox"
    inbox.mkdir()
    asked = ("overview", source, "--now", "latest", "-o")
    inbox.chmod(0o333)
    (result,) = unprivileged(
        (*asked, str(inbox / "answer.csv")), warm_up=[(*asked, os.devnull, "-f", "csv")]
    )
    inbox.chmod(0o700)
    # The file is written, so this must not be reported as a failure.
    assert (result.code, names_in(inbox)) == (0, ["answer.csv"])


# Failures while writing: only the old file stays.

# Runs a command line where no file may grow beyond so many bytes, as on a disk that is full.
FULL_DISK = """
import resource, signal, sys
from relhealth.__main__ import main

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize("suffix", ["txt", "csv", "json", "jsonl", "md", "parquet"])
@pytest.mark.parametrize("old", [OLD, None], ids=["over a file", "new"])
def test_a_full_disk_leaves_what_was_there(
    suffix: str, old: str | None, file: str, folder: Path
) -> None:
    path = folder / f"answer.{suffix}"
    if old is not None:
        path.write_text(old)
    line = ["overview", file, "--now", "latest", "-o", str(path)]
    ended = finish(script(FULL_DISK, "1000", *line))
    assert "too large" in refused(Result(ended.code, ended.out.decode(), ended.err), path)
    assert names_in(folder) == ([path.name] if old is not None else [])
    if old is not None:
        assert path.read_text() == old
    assert run(*line).code == 0
    assert path.stat().st_size > 1_000


@pytest.mark.parametrize("variables", [{}, {"PYTHONUNBUFFERED": "1"}], ids=["", "unbuffered"])
def test_a_full_disk_behind_stdout_is_told(
    variables: dict[str, str], file: str, folder: Path
) -> None:
    """A truncated answer must not look complete."""
    argv = script(FULL_DISK, "1000", "overview", file, "--now", "latest", "-f", "csv")
    ended = finish(["sh", "-c", 'out=$1; shift; exec "$@" >"$out"', "sh", f"{folder}/a", *argv])
    assert ended.code == 4
    ended = finish(
        ["sh", "-c", 'out=$1; shift; exec "$@" >"$out"', "sh", f"{folder}/b", *argv], **variables
    )
    assert ended.code == 4
    assert ended.err.startswith("relhealth: error: ")
    assert "too large" in ended.err


def failing(name: str, code: int, real: Callable[..., Any]) -> Callable[..., Any]:
    """Return a substitute for a call of `os` that fails on the file being written."""

    def fail(*args: Any, **options: Any) -> Any:
        is_temporary = name != "replace" or ".relhealth-" in str(args[0])
        if is_temporary:
            raise OSError(code, os.strerror(code))
        return real(*args, **options)

    return fail


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("fsync", errno.EIO),
        ("fsync", errno.ENOSPC),
        ("fchmod", errno.EPERM),
        ("replace", errno.EACCES),
        ("replace", errno.EXDEV),
    ],
)
@pytest.mark.parametrize("old", [OLD, None], ids=["over a file", "new"])
def test_a_failure_at_the_end_leaves_what_was_there(
    name: str,
    code: int,
    old: str | None,
    file: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = folder / "answer.csv"
    if old is not None:
        path.write_text(old)
    with monkeypatch.context() as patched:
        patched.setattr(os, name, failing(name, code, getattr(os, name)))
        result = ask(file, "-o", str(path))
    assert refused(result, path) == os.strerror(code).lower()
    assert names_in(folder) == ([path.name] if old is not None else [])
    if old is not None:
        assert path.read_text() == old


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_an_exception_while_writing_leaves_what_was_there(
    error: type[BaseException], folder: Path
) -> None:
    path = folder / "answer.csv"
    path.write_text(OLD)

    def write_half() -> None:
        with opened(path) as stream:
            stream.write(b"half")
            stream.flush()
            assert len(names_in(folder)) == 2  # beside it, so that a rename can replace it
            raise error

    with pytest.raises(error):
        write_half()
    assert names_in(folder) == ["answer.csv"]
    assert path.read_text() == OLD


def test_a_folder_that_cannot_be_synced_is_no_failure(
    file: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    assert ask(file, "-o", str(folder / "answer.csv")).code == 0


def test_the_file_is_synced_before_it_takes_its_name(
    file: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "answer.csv"
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace

    def note_fsync(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        calls.append("sync folder" if is_folder else f"sync {os.fstat(descriptor).st_size}")
        fsync(descriptor)

    def note_replace(source: str, target: str) -> None:
        calls.append(f"name {os.path.dirname(source) == os.path.dirname(target)}")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    assert ask(file, "-o", str(path)).code == 0
    assert calls == [f"sync {path.stat().st_size}", "name True", "sync folder"]


def test_opened_tells_why(folder: Path) -> None:
    with pytest.raises(OutputError, match="cannot write: no such file"), opened(folder / "x" / "y"):
        pytest.fail("nothing was opened")


# Outputs that are not files.


def test_dev_null_stays_a_device(file: str) -> None:
    before = Path(os.devnull).stat()
    result = ask(file, "-f", "csv", "-o", os.devnull)
    assert (result.code, result.out) == (0, "")
    after = Path(os.devnull).stat()
    assert stat.S_ISCHR(after.st_mode)
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)


def test_dev_full_is_refused(file: str) -> None:
    path = Path("/dev/full")
    assert refused(ask(file, "-f", "csv", "-o", str(path)), path) == "no space left on device"


@pytest.mark.parametrize("chosen", ROWS)
def test_a_fifo_gets_the_answer(chosen: Format, file: str, folder: Path) -> None:
    path = folder / "pipe"
    os.mkfifo(path)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(path.read_bytes()), daemon=True)
    reader.start()
    assert ask(file, "-f", chosen, "-o", str(path)).code == 0
    reader.join(10)
    assert received == [ask(file, "-f", chosen).raw]
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert names_in(folder) == ["pipe"]


def from_shell(line: str, *args: str) -> Ended:
    """Run a shell's command line, in which `"$@"` is the command with these arguments."""
    return finish(["sh", "-c", line, "sh", *command(*args)])


@pytest.mark.parametrize("chosen", ["csv", "json", "table"])
def test_dev_stdout_is_stdout(chosen: str, file: str, folder: Path) -> None:
    asked = ("overview", file, "--now", "latest", "-f", chosen, "-q")
    told = finish(command(*asked)).out
    to_stdout = (*asked, "-o", "/dev/stdout")
    assert from_shell('"$@" | cat', *to_stdout).out == told
    assert from_shell(f'"$@" >{folder}/new && cat {folder}/new', *to_stdout).out == told


def test_dev_stdout_appends_where_the_shell_does(file: str, folder: Path) -> None:
    (folder / "log.csv").write_text("old\n")
    asked = ("overview", file, "--now", "latest", "-f", "csv", "-q")
    ended = from_shell(f'"$@" >>{folder}/log.csv', *asked, "-o", "/dev/stdout")
    assert ended.code == 0
    assert (folder / "log.csv").read_bytes() == b"old\n" + finish(command(*asked)).out


# Readers.


def test_no_reader_sees_half_a_file(folder: Path) -> None:
    path = folder / "answer.csv"
    answers = [bytes([65 + index]) * (50_000 + 10_000 * index) for index in range(5)]
    path.write_bytes(answers[0])
    done = threading.Event()
    seen: list[bytes] = []

    def read() -> None:
        while not done.is_set():
            seen.append(path.read_bytes())

    readers = [threading.Thread(target=read, daemon=True) for _ in range(2)]
    for reader in readers:
        reader.start()
    for index in range(100):
        answer = answers[index % len(answers)]
        with opened(path) as stream:
            for start in range(0, len(answer), 10_000):
                stream.write(answer[start : start + 10_000])
                stream.flush()
    done.set()
    for reader in readers:
        reader.join(10)
    assert set(seen) <= set(answers)
    assert len(set(seen)) > 1  # they did read while it was rewritten
    assert names_in(folder) == ["answer.csv"]


def test_no_reader_of_the_command_sees_half_a_file(file: str, folder: Path) -> None:
    path = folder / "answer.parquet"
    asked = ("-o", str(path), "-q")
    assert ask(file, *asked).code == 0
    done = threading.Event()
    counts: list[int] = []

    def read() -> None:
        while not done.is_set():
            counts.append(pq.read_table(pa.BufferReader(path.read_bytes())).num_rows)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    for limit in (1, 300, 2, 300, 3, 300):
        assert ask(file, *asked, "--limit", str(limit)).code == 0
    done.set()
    reader.join(10)
    assert counts
    assert set(counts) <= {1, 2, 3, 300}
