"""Finding files: which are read, each once, and every reason for which one cannot be."""

from __future__ import annotations

import bz2
import gzip
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import rows
from files import PAIR, faults, found, sessions, write
from process import finish, script
from relhealth import DataError, QuestionError
from relhealth.datasets.sources import open_sources
from rows import session

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = 65_534


def test_a_file(tmp_path: Path) -> None:
    """A file that the user names is read, with any name."""
    assert found(write(tmp_path / "a.parquet")) == ["a.parquet"]
    assert found(write(tmp_path / "a.data")) == ["a.data"]
    assert found(write(tmp_path / ".hidden")) == [".hidden"]


def test_a_directory_is_read_to_its_depths(tmp_path: Path) -> None:
    for name in ("b.parquet", "a/c.parquet", "a/b/c/d.parquet", "a/e.pq", "a/f.PARQUET"):
        write(tmp_path / name)
    (tmp_path / "a" / "notes.txt").write_text("no data")
    expected = ["c.parquet", "d.parquet", "e.pq", "f.PARQUET", "b.parquet"]
    assert sorted(found(tmp_path)) == sorted(expected)
    assert sessions(tmp_path) == {PAIR: 5}


def test_files_come_in_order_of_path(tmp_path: Path) -> None:
    paths = [write(tmp_path / name) for name in ("c.parquet", "a.parquet", "b.parquet")]
    assert found(*paths) == found(tmp_path) == ["a.parquet", "b.parquet", "c.parquet"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.parquet", ["a1.parquet", "a2.parquet", "b1.parquet"]),
        ("a?.parquet", ["a1.parquet", "a2.parquet"]),
        ("[ab]1.parquet", ["a1.parquet", "b1.parquet"]),
        ("**/*.parquet", ["a1.parquet", "a2.parquet", "b1.parquet", "d1.parquet", "e1.parquet"]),
        ("**/d1.parquet", ["d1.parquet"]),
        ("sub/*", ["d1.parquet", "e1.parquet"]),
        ("su*", ["d1.parquet", "e1.parquet"]),
    ],
)
def test_a_pattern(tmp_path: Path, pattern: str, expected: list[str]) -> None:
    """Files and directories whose names match; `**` is any depth."""
    for name in ("a1", "a2", "b1", "sub/d1", "sub/deep/e1"):
        write(tmp_path / f"{name}.parquet")
    assert sorted(found(tmp_path / pattern)) == expected


def test_several_sources(tmp_path: Path) -> None:
    one, other = write(tmp_path / "x" / "a.parquet"), write(tmp_path / "y" / "b.parquet")
    assert found(one, other) == ["a.parquet", "b.parquet"]
    assert sessions(one, other) == {PAIR: 2}


def test_a_file_is_read_once_however_often_it_is_named(tmp_path: Path) -> None:
    file = write(tmp_path / "a.parquet")
    dotted = f"{tmp_path}/./a.parquet"
    overlapping: list[str | Path] = [file, tmp_path, tmp_path / "*.parquet", dotted, str(file)]
    assert found(*overlapping) == ["a.parquet"]
    assert sessions(*overlapping) == {PAIR: 1}


def test_links_to_a_file_are_that_file(tmp_path: Path) -> None:
    """Symbolic links and hard links, in the directory and from outside."""
    file = write(tmp_path / "data" / "a.parquet")
    (tmp_path / "data" / "link.parquet").symlink_to(file)
    (tmp_path / "data" / "hard.parquet").hardlink_to(file)
    (tmp_path / "outside").symlink_to(tmp_path / "data")
    assert len(found(tmp_path / "data", tmp_path / "outside")) == 1
    assert sessions(tmp_path / "data", tmp_path / "outside") == {PAIR: 1}


def test_equal_files_are_two_files(tmp_path: Path) -> None:
    """It is the file that counts once, not its content."""
    file = write(tmp_path / "a.parquet")
    shutil.copy(file, tmp_path / "b.parquet")
    assert sessions(tmp_path) == {PAIR: 2}


def test_a_linked_directory_is_read(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "a.parquet")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "link").symlink_to(tmp_path / "elsewhere")
    assert found(tmp_path / "data") == ["a.parquet"]


def test_a_loop_of_directories_ends(tmp_path: Path) -> None:
    write(tmp_path / "a" / "a.parquet")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "self").symlink_to(tmp_path / "a")
    assert found(tmp_path) == ["a.parquet"]


@pytest.mark.parametrize(
    "name",
    [
        ".a.parquet",
        "_a.parquet",
        "._a.parquet",
        ".git/a.parquet",
        "_temporary/a.parquet",
        "_delta_log/0/a.parquet",
    ],
)
def test_hidden_names_are_passed_over(tmp_path: Path, name: str) -> None:
    """What writers of data sets keep beside the data; broken files too."""
    write(tmp_path / "b.parquet")
    write(tmp_path / name)
    assert found(tmp_path) == ["b.parquet"]
    (tmp_path / name).write_text("unfinished")
    assert found(tmp_path) == ["b.parquet"]


def test_a_partition_s_name_may_begin_with_an_underscore(tmp_path: Path) -> None:
    write(tmp_path / "_day=2026-03-02" / "a.parquet")
    assert found(tmp_path) == ["a.parquet"]


# What a pattern of that name would match as well, beside what it means to the letter.
LITERAL = {
    "a[1].parquet": ["a1.parquet"],
    "[a].parquet": ["a.parquet"],
    "[!b].parquet": ["a.parquet"],
    "a*.parquet": ["ab.parquet", "a.parquet"],
    "a?.parquet": ["ab.parquet"],
    "**.parquet": ["a.parquet"],
    "a\\b.parquet": ["ab.parquet", "a.parquet"],
    "it's.parquet": ["its.parquet"],
    "''.parquet": ["'.parquet"],
    '"a".parquet': ["a.parquet"],
    "{a,b}.parquet": ["a.parquet", "b.parquet"],
    "a\nb.parquet": ["a"],
    "100%.parquet": ["100.parquet"],
    "a%20b.parquet": ["a b.parquet"],
    "a=b.parquet": ["b.parquet"],
    "$start.parquet": ["start.parquet"],
    "健康🚀.parquet": ["健康.parquet"],
    " .parquet": [".parquet"],
    "-f.parquet": ["f.parquet"],
    "~.parquet": ["a.parquet"],
    "--.parquet": ["a.parquet"],
}


@pytest.mark.parametrize("name", LITERAL)
def test_a_name_is_taken_to_the_letter(tmp_path: Path, name: str) -> None:
    """Named outright, that file is read and none that the name would match as a pattern."""
    for lookalike in LITERAL[name]:
        write(tmp_path / lookalike, session(release="lookalike"))
    write(tmp_path / name)
    assert sessions(tmp_path / name) == {PAIR: 1}


def test_a_backslash_beside_a_pattern_s_character(tmp_path: Path) -> None:
    """DuckDB has no way to take such a name to the letter, so it is refused."""
    file = write(tmp_path / "\\*.parquet")
    refusal = f"{file}: a backslash and one of *?[ in the same path; rename the file"
    assert faults(file) == [refusal]
    assert faults(tmp_path) == [refusal]


@pytest.mark.parametrize("name", LITERAL)
def test_a_directory_s_name_is_taken_to_the_letter(tmp_path: Path, name: str) -> None:
    for lookalike in LITERAL[name]:
        write(tmp_path / lookalike / "x.parquet", session(release="lookalike"))
    write(tmp_path / name / "x.parquet")
    assert sessions(tmp_path / name) == {PAIR: 1}


@pytest.mark.parametrize("name", ["~/x.parquet", "file:/x.parquet", "s3:/bucket/x.parquet"])
def test_a_relative_path_is_a_path(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No home directory, and no address: nothing here goes over the network."""
    write(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert sessions(name) == {PAIR: 1}


def test_footers_are_asked_for_before_any_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last bytes of each file, and its first, which show whether it is Parquet."""
    paths = [write(tmp_path / f"{name}.parquet") for name in "ab"]
    done: list[str] = []

    def advise(opened: int, start: int, length: int, _advice: int) -> None:
        done.append(f"{os.fstat(opened).st_ino}: {length} from {start}")

    def read(_: object, path: str) -> tuple[list[str], None]:
        done.append(path)
        return ["no"], None

    monkeypatch.setattr("os.posix_fadvise", advise)
    monkeypatch.setattr("relhealth.datasets.sources._Footers.read", read)
    with pytest.raises(DataError):
        open_sources([tmp_path])
    asked = [f"{path.stat().st_ino}: {length} from 0" for path in paths for length in (4, 65_536)]
    assert done == [*asked, *map(str, paths)]


def test_sources_are_found_where_nothing_can_be_asked_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("os.posix_fadvise", raising=False)
    assert found(write(tmp_path / "a.parquet")) == ["a.parquet"]


def test_no_such_path(tmp_path: Path) -> None:
    gone = tmp_path / "gone.parquet"
    assert faults(gone) == [f"{gone}: no such file or directory"]
    assert faults(tmp_path / "g*.parquet") == [f"{tmp_path}/g*.parquet: no file matches"]
    assert faults("") == ["'': no such file or directory"]
    assert faults("a\0b") == ["a\\x00b: no such file or directory"]


def test_no_source() -> None:
    with pytest.raises(QuestionError, match="no source: name a Parquet file, a directory or"):
        open_sources([])


def test_a_directory_without_a_parquet_file(tmp_path: Path) -> None:
    fault = f"{tmp_path}: no Parquet file in this directory"
    assert faults(tmp_path) == [fault]
    (tmp_path / "notes.txt").write_text("no data")
    (tmp_path / "sub").mkdir()
    assert faults(tmp_path) == [f"{fault}, but files of other kinds, such as notes.txt"]


def test_a_directory_may_be_named_like_a_file(tmp_path: Path) -> None:
    """As some writers do with an entire data set."""
    folder = tmp_path / "x.parquet"
    folder.mkdir()
    assert faults(folder) == [f"{folder}: no Parquet file in this directory"]
    write(folder / "part-0.parquet")
    assert found(folder) == found(tmp_path) == ["part-0.parquet"]


def test_a_dangling_link(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet")
    link = tmp_path / "link.parquet"
    link.symlink_to("gone.parquet")
    assert faults(tmp_path) == faults(link) == [f"{link}: no such file or directory"]


def test_an_empty_file(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    file.touch()
    assert faults(file) == [f"{file}: the file is empty (0 bytes); write it again"]


def test_a_file_without_rows(tmp_path: Path) -> None:
    """Alone it means no data yet; beside others it is skipped, with any columns."""
    empty = tmp_path / "a.parquet"
    rows.write(empty, [], without=["value"])
    assert open_sources([empty]).files == ()
    write(tmp_path / "b.parquet")
    sources = open_sources([tmp_path])
    assert [file.path for file in sources.files] == [f"{tmp_path}/b.parquet"]
    assert sources.empty == (str(empty),)
    assert sessions(tmp_path) == {PAIR: 1}


@pytest.mark.parametrize("kept", [1, 3])
def test_a_file_cut_within_its_first_bytes(tmp_path: Path, kept: int) -> None:
    file = write(tmp_path / "a.parquet")
    file.write_bytes(file.read_bytes()[:kept])
    assert faults(file) == [f"{file}: not a Parquet file"]


@pytest.mark.parametrize("kept", [4, 8, 11, 12, 100, 0.5, 0.9, -9, -8, -4, -1])
def test_a_truncated_file(tmp_path: Path, kept: float) -> None:
    """Cut after so many bytes, at a share of them, or so many before the end."""
    file = write(tmp_path / "a.parquet")
    content = file.read_bytes()
    file.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else int(kept)])
    (fault,) = faults(file)
    assert fault.startswith(f"{file}: truncated or damaged Parquet file; write it again (")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"\0" * 100, ""),
        (b"\xff\xfe{", ""),
        (b"session_id,started\n1,2026-03-02\n", " but CSV"),
        (b"\xef\xbb\xbfa;b\n1;2\n", " but CSV"),
        (b'{"sid": "a", "type": "x"}\n{"sid": "b"}\n', " but JSON lines"),
        (b'[{"sid": "a"}]', " but JSON lines"),
        (b'{"sent_at": "x"}\n{"type": "session"}\n{}\n', " but an envelope of a Sentry SDK"),
        ("a,b\n1,é\n".encode("utf-16"), " but CSV"),
        ("a,é\n1,2\n".encode("latin-1"), " but CSV that is not in UTF-8"),
        ("a,b\n1,é\n".encode("latin-1"), " but CSV that is not in UTF-8"),
        (gzip.compress(b"a,b\n1,2\n", mtime=0), " but CSV compressed by gzip"),
        (bz2.compress(b'{"sid": "a"}'), " but JSON lines compressed by bzip2"),
        (gzip.compress(b"SQLite format 3\0", mtime=0), " but a SQLite database compressed by gzip"),
        (b"PK\x03\x04[Content_Types].xml", " but an Excel or Office file"),
        (b"SQLite format 3\0", " but a SQLite database"),
        (b"\0" * 8 + b"DUCK", " but a DuckDB database"),
    ],
)
def test_a_file_that_is_no_parquet(tmp_path: Path, content: bytes, what: str) -> None:
    """What it is, and where it has its place."""
    file = tmp_path / "a.parquet"
    file.write_bytes(content)
    (fault,) = faults(file)
    told, _, remedy = fault.partition("; ")
    assert told == f"{file}: not a Parquet file{what}"
    assert ("relhealth ingest" in remedy) == bool(what)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"hello world", "text"),
        (b"PK\x03\x04", "a zip archive; unpack it first"),
        (b"\x1f\x8b\x08", "a file compressed by gzip; unpack it"),
        (gzip.compress(b"PAR1", mtime=0), "Parquet compressed by gzip; unpack it"),
    ],
)
def test_a_file_that_ingest_does_not_read(tmp_path: Path, content: bytes, what: str) -> None:
    file = tmp_path / "a.parquet"
    file.write_bytes(content)
    assert faults(file) == [f"{file}: not a Parquet file but {what}"]


def test_an_encrypted_file(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    file.write_bytes(b"PARE" + b"\0" * 100 + b"PARE")
    assert faults(file) == [f"{file}: the file is encrypted Parquet; write it without encryption"]


@pytest.mark.parametrize("footer", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x01\0\0\0"])
def test_a_footer_of_nonsense(tmp_path: Path, footer: bytes) -> None:
    file = tmp_path / "a.parquet"
    file.write_bytes(b"PAR1" + b"\0" * 100 + footer + b"PAR1")
    (fault,) = faults(file)
    assert fault.startswith(f"{file}: truncated or damaged Parquet file; write it again (")


def test_a_pipe_does_not_hang(tmp_path: Path) -> None:
    """Neither named nor found; nobody ever writes to it."""
    pipe = tmp_path / "a.parquet"
    os.mkfifo(pipe)
    code = (
        "import sys\n"
        "from relhealth import DataError\n"
        "from relhealth.datasets.sources import open_sources\n"
        "for source in sys.argv[1:]:\n"
        "    try: open_sources([source])\n"
        "    except DataError as error: print(error)\n"
    )
    ended = finish(script(code, str(pipe), str(tmp_path)))
    assert ended.out.decode() == f"{pipe}: not a regular file\n" * 2


def test_a_device_is_no_file() -> None:
    assert faults("/dev/null") == ["/dev/null: not a regular file"]


def test_a_name_that_is_no_utf_8(tmp_path: Path) -> None:
    """DuckDB has no way to escape it."""
    file = os.fsencode(tmp_path) + b"/a\xff.parquet"
    shutil.copy(os.fsencode(write(tmp_path / "b.data")), file)
    fault = f"'{tmp_path}/a\\udcff.parquet': the file name is not UTF-8; rename the file"
    assert faults(os.fsdecode(file)) == faults(tmp_path) == [fault]


def test_a_name_is_told_on_one_line(tmp_path: Path) -> None:
    """Without the characters that would steer a terminal."""
    file = tmp_path / "a\n\x1b[31m.parquet"
    file.touch()
    assert faults(file) == [
        f"{tmp_path}/a\\n\\x1b[31m.parquet: the file is empty (0 bytes); write it again"
    ]


@contextmanager
def nobody_s_folder() -> Iterator[Path]:
    """A folder that everyone may enter: pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Give up root's rights, to which nothing is denied."""
    mine = os.geteuid()
    if mine != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(mine)


def test_a_file_without_permission() -> None:
    with nobody_s_folder() as folder:
        file = write(folder / "a.parquet")
        file.chmod(0)
        with as_nobody():
            assert faults(file) == faults(folder) == [f"{file}: permission denied"]


def test_a_directory_without_permission() -> None:
    with nobody_s_folder() as folder:
        write(folder / "b.parquet")
        closed = write(folder / "closed" / "a.parquet").parent
        closed.chmod(0)
        with as_nobody():
            told = [faults(closed), faults(folder)]
        closed.chmod(0o755)
        assert told == [[f"{closed}: permission denied"]] * 2


def test_a_file_in_a_directory_without_permission() -> None:
    """It may be there or not; what is known is that looking is not allowed."""
    with nobody_s_folder() as folder:
        file = write(folder / "closed" / "a.parquet")
        file.parent.chmod(0)
        with as_nobody():
            told = faults(file)
        file.parent.chmod(0o755)
        assert told == [f"{file}: permission denied"]


def test_all_faults_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    """Good files among bad ones change nothing: the question is refused, each fault a line."""
    write(tmp_path / "a-good.parquet")
    (tmp_path / "b-empty.parquet").touch()
    write(tmp_path / "c-columns.parquet", without=["value", "member"])
    (tmp_path / "d-text.parquet").write_text("hello")
    write(tmp_path / "e-good.parquet")
    broken = write(tmp_path / "f-short.parquet")
    broken.write_bytes(broken.read_bytes()[:-1])
    told = faults(tmp_path, tmp_path / "gone", tmp_path / "*.csv")
    assert told[:2] == [
        f"{tmp_path}/gone: no such file or directory",
        f"{tmp_path}/*.csv: no file matches",
    ]
    assert told[2:6] == [
        f"{tmp_path}/b-empty.parquet: the file is empty (0 bytes); write it again",
        f"{tmp_path}/c-columns.parquet: column value: missing, expected a number",
        f"{tmp_path}/c-columns.parquet: column member: missing, expected an integer",
        f"{tmp_path}/d-text.parquet: not a Parquet file",
    ]
    assert told[6].startswith(f"{tmp_path}/f-short.parquet: truncated or damaged")
    assert len(told) == 7
