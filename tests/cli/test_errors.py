"""What goes wrong: its exit code, one line for each fault on stderr, and nothing on stdout."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import rows
from command import Result, run
from process import PATIENCE, command, environment, finish, on_terminal, script, unprivileged
from relhealth.commands import boundary
from relhealth.release_health import ReleaseHealth

if TYPE_CHECKING:
    from collections.abc import Callable

PROMPT = 5  # seconds; a second is promised, and machines that run tests are slow
COMMANDS = pytest.mark.parametrize("asked", ["overview", "inspect"])


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file without a fault."""
    return rows.write(tmp_path_factory.mktemp("good") / "good.parquet", [rows.session()])


def messages(result: Result, code: int) -> list[str]:
    """The errors of a refused command line, a line each; a hint can follow them."""
    assert result.code == code, result
    assert result.out == ""
    *lines, last = result.err.split("\n")
    assert last == ""
    start = "relhealth: error: "
    errors = [line.removeprefix(start) for line in lines if line.startswith(start)]
    hints = lines[len(errors) :]
    assert all(hint.startswith("relhealth: see 'relhealth") for hint in hints), result.err
    assert len(hints) <= (1 if code == 2 else 0)
    assert all(char.isprintable() for line in lines for char in line)
    return errors


def message(result: Result, code: int) -> str:
    """The one error of a refused command line."""
    (found,) = messages(result, code)
    return found


# Data: code 4, and the file's name.


def make_nothing(path: Path) -> None:
    """Make no file."""


def make_empty_folder(path: Path) -> None:
    """Make a directory without a Parquet file."""
    path.mkdir()
    (path / "notes.txt").write_text("no data")


def make_no_bytes(path: Path) -> None:
    """Make a file of no length."""
    path.touch()


def make_no_rows(path: Path) -> None:
    """Make a Parquet file without a row."""
    rows.write(path, [])


def make_truncated(path: Path) -> None:
    """Make a Parquet file that lacks its end."""
    rows.write(path, [rows.session()] * 1_000)
    path.write_bytes(path.read_bytes()[:-100])


def make_cut_to_its_head(path: Path) -> None:
    """Make a Parquet file of which only the first four bytes are left."""
    path.write_bytes(b"PAR1")


def make_text(path: Path) -> None:
    """Make a text file with the name of a Parquet file."""
    path.write_text("project_id,release\n1,shop@1.0.0\n")


def make_missing_column(path: Path) -> None:
    """Make a file without a required column."""
    rows.write(path, [rows.session()], without=["release"])


def make_wrong_type(path: Path) -> None:
    """Make a file with a column of a type that cannot be cast."""
    rows.write(path, [rows.session(timestamp=5)], types={"timestamp": pa.int64()})


def make_damaged_pages(path: Path) -> None:
    """Make a file with an intact footer and damaged data."""
    rows.write(path, [rows.session(release=f"shop@{n}") for n in range(1_000)])
    column = pq.read_metadata(path).row_group(0).column(4)
    assert column.path_in_schema == "release"
    damaged = bytearray(path.read_bytes())
    start = column.dictionary_page_offset
    damaged[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(damaged)


FAULTS: list[tuple[Callable[[Path], None], list[str]]] = [
    (make_nothing, ["no such file or directory"]),
    (make_empty_folder, ["no Parquet file"]),
    (make_no_bytes, ["0 bytes", "write it again"]),
    (make_truncated, ["truncated or damaged", "write it again"]),
    (make_cut_to_its_head, ["truncated or damaged", "write it again"]),
    (make_text, ["not a Parquet file"]),
    (make_missing_column, ["column release", "missing", "expected a string"]),
    (make_wrong_type, ["column timestamp", "found int64", "expected a timestamp"]),
    (make_damaged_pages, ["damaged", "write it again"]),
]


@COMMANDS
@pytest.mark.parametrize(("make", "told"), FAULTS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_file_with_a_fault(
    make: Callable[[Path], None], told: list[str], asked: str, tmp_path: Path
) -> None:
    path = tmp_path / "sessions.parquet"
    make(path)
    found = message(run(asked, str(path), "--now", "2026-03-02T12:30:00Z"), 4)
    assert found.startswith(f"{path}: ")
    for words in told:
        assert words in found


@COMMANDS
def test_all_faults_of_a_folder_are_told(asked: str, tmp_path: Path, good: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "good.parquet").write_bytes(Path(good).read_bytes())
    bad: list[Callable[[Path], None]] = [
        make_no_bytes,
        make_truncated,
        make_text,
        make_missing_column,
        make_wrong_type,
    ]
    for make in bad:
        make(folder / f"{make.__name__}.parquet")
    found = messages(run(asked, str(folder), "--now", "latest"), 4)
    assert [line.partition(": ")[0] for line in found] == sorted(
        str(folder / f"{make.__name__}.parquet") for make in bad
    )
    for make, told in FAULTS:
        for line in found:
            if f"/{make.__name__}." in line:
                assert all(words in line for words in told)


def test_all_faults_of_one_file_are_told(tmp_path: Path) -> None:
    path = tmp_path / "sessions.parquet"
    wrong = {"project_id": "one", "value": "many"}
    types = {"project_id": pa.string(), "value": pa.string()}
    rows.write(path, [rows.session(**wrong)], types=types, without=["metric", "release"])
    found = messages(run("overview", str(path)), 4)
    assert [line.removeprefix(f"{path}: ").split(":")[0] for line in found] == [
        "column project_id",
        "column metric",
        "column release",
        "column value",
    ]


@COMMANDS
@pytest.mark.parametrize(
    ("column", "value", "kind", "expected"),
    [
        ("member", "7", pa.string(), "an integer"),
        ("member", 7.0, pa.float64(), "an integer"),
        ("project_id", "1", pa.string(), "an integer"),
        ("release", 7, pa.int64(), "a string"),
        ("value", "1", pa.string(), "a number"),
        ("value", True, pa.bool_(), "a number"),
        ("org_id", "1", pa.string(), "an integer"),
        ("abnormal_mechanism", 1, pa.int64(), "a string"),
    ],
)
def test_types_that_clash_between_files(
    asked: str,
    column: str,
    value: object,
    kind: pa.DataType,
    expected: str,
    tmp_path: Path,
    good: str,
) -> None:
    path = tmp_path / "other.parquet"
    rows.write(path, [rows.session() | {column: value}], types={column: kind})
    found = message(run(asked, good, str(path), "--now", "latest"), 4)
    assert found.startswith(f"{path}: column {column}: found {kind}, expected {expected}")


@COMMANDS
def test_missing_sources_are_all_told(asked: str, tmp_path: Path, good: str) -> None:
    nowhere = [str(tmp_path / "a.parquet"), str(tmp_path / "no*.parquet")]
    found = messages(run(asked, nowhere[0], good, nowhere[1]), 4)
    assert found == [
        f"{nowhere[0]}: no such file or directory",
        f"{nowhere[1]}: no file matches",
    ]


def test_what_is_no_file(tmp_path: Path) -> None:
    assert message(run("overview", os.devnull), 4) == f"{os.devnull}: not a regular file"
    path = tmp_path / "pipe.parquet"
    os.mkfifo(path)
    assert message(run("overview", str(path)), 4) == f"{path}: not a regular file"
    link = tmp_path / "link.parquet"
    link.symlink_to(tmp_path / "gone.parquet")
    assert message(run("overview", str(link)), 4) == f"{link}: no such file or directory"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("a\nb.parquet", "a\\nb.parquet"),
        ("a\x1b[31mb.parquet", "a\\x1b[31mb.parquet"),
        ("a\u202eb.parquet", "a\\u202eb.parquet"),
        ("a\r.parquet", "a\\r.parquet"),
        ("[bold]a.parquet", "[bold]a.parquet"),
        ('it\'s "é" %s {x}.parquet', 'it\'s "é" %s {x}.parquet'),
        ("x" * 240 + ".parquet", "x" * 240 + ".parquet"),
    ],
    ids=ascii,
)
@pytest.mark.parametrize("make", [make_nothing, make_text, make_wrong_type, make_damaged_pages])
def test_hostile_file_names_are_told_on_one_line(
    make: Callable[[Path], None], name: str, told: str, tmp_path: Path
) -> None:
    make(tmp_path / name)
    found = message(run("overview", str(tmp_path / name), "--now", "2026-03-02T12:30Z"), 4)
    assert found.startswith(f"{tmp_path}/{told}: ")


def test_a_file_name_that_is_no_text(tmp_path: Path) -> None:
    make_no_rows(tmp_path / "named.parquet")
    path = os.fsdecode(bytes(tmp_path) + b"/\xff.parquet")
    (tmp_path / "named.parquet").rename(path)
    for source in (path, str(tmp_path)):
        found = message(run("inspect", source, "-f", "json"), 4)
        assert "\\udcff.parquet" in found
        assert "rename" in found


def test_unreadable_sources(open_folder: Path) -> None:
    file = open_folder / "file.parquet"
    rows.write(file, [rows.session()])
    file.chmod(0)
    closed = open_folder / "closed"
    closed.mkdir()
    rows.write(closed / "in.parquet", [rows.session()])
    mixed = open_folder / "mixed"
    mixed.mkdir()
    rows.write(mixed / "a.parquet", [rows.session()])
    rows.write(mixed / "b.parquet", [rows.session()])
    (mixed / "b.parquet").chmod(0)
    (mixed / "deeper").mkdir()
    (mixed / "deeper").chmod(0)
    warm_up = [("overview", str(mixed / "a.parquet"), "-f", "csv")]
    closed.chmod(0)
    sources = (file, closed, closed / "in.parquet", mixed)
    results = unprivileged(*[("overview", str(path)) for path in sources], warm_up=warm_up)
    assert [messages(result, 4) for result in results] == [
        [f"{file}: permission denied"],
        [f"{closed}: permission denied"],
        [f"{closed / 'in.parquet'}: permission denied"],
        [f"{mixed / 'deeper'}: permission denied", f"{mixed / 'b.parquet'}: permission denied"],
    ]


def test_rows_that_cannot_count_under_strict(tmp_path: Path) -> None:
    bad = [rows.session(value=float("nan")), rows.duration(-1.0), rows.duration(-2.0)]
    file = rows.write(tmp_path / "bad.parquet", [rows.session(), *bad])
    found = messages(run("overview", file, "--now", "latest", "--strict"), 4)
    assert len(found) == 2  # one a reason
    assert sorted(line.split(" ")[0] for line in found) == ["1", "2"]
    assert run("overview", file, "--now", "latest").code == 0


def test_latest_without_a_session_metric(tmp_path: Path) -> None:
    file = rows.write(tmp_path / "other.parquet", [rows.session() | {"metric": "c:other@none"}])
    for asked in ("overview", "inspect"):
        assert "no session metric" in message(run(asked, file, "--now", "latest"), 4)
    assert run("inspect", file).code == 0


# Far timestamps are data like any other.


@COMMANDS
@pytest.mark.parametrize(
    "microseconds",
    [253_402_300_800_000_000, -100_000_000_000_000_000, 2**63 - 1, -(2**63)],
    ids=["year 10000", "before year 1", "last", "first"],
)
@pytest.mark.parametrize("now", ["latest", "2026-03-02T12:30:00Z"])
def test_timestamps_beyond_the_calendar_are_no_internal_error(
    asked: str, microseconds: int, now: str, tmp_path: Path
) -> None:
    table = rows.table([rows.session(), rows.session()])
    index = table.column_names.index("timestamp")
    noon = table.column(index).cast(pa.int64())[0].as_py()
    column = pa.array([microseconds, noon], pa.int64()).cast(table.column(index).type)
    pq.write_table(table.set_column(index, "timestamp", column), tmp_path / "far.parquet")
    result = run(asked, str(tmp_path / "far.parquet"), "--now", now, "-f", "json")
    assert result.code in {0, 4}, result.err
    assert "internal error" not in result.err


# The question: code 2.


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--period", "2x"], ["unknown period '2x'", "24h", "90d"]),
        (["--period", ""], ["unknown period ''"]),
        (["--stats-period", "1w"], ["unknown period '1w'", "90d"]),
        (["--stat", "crashes"], ["unknown stat 'crashes'", "sessions, users"]),
        (["--now", "yesterday"], ["'yesterday'", "ISO 8601", "latest"]),
        (["--now", ""], ["''", "ISO 8601"]),
        (["--now", "0001-01-01"], ["'0001-01-01'", "1971"]),
        (["--now", "0001-01-01T00:00:00+23:59"], ["out of range"]),
        (["--now", "9999-12-31T23:59:59-23:59"], ["out of range"]),
        (["--now", "99999-01-01"], ["'99999-01-01'", "ISO 8601"]),
        (["--now", "1795460400"], ["1795460400"]),
        (["-r", ""], ["release", "not empty"]),
        (["-r", "a\nb"], ["'a\\nb'", "newline"]),
        (["-r", "a\tb"], ["'a\\tb'", "tab"]),
        (["-p", "1", "-r", "2/shop@1.0.0"], ["2/shop@1.0.0", "not among the selected projects 1"]),
        (["-p", "shop"], ["--project"]),
        (["-p", str(2**63)], ["project", "64 bits"]),
        (["--sort", "crashes"], ["cannot sort by 'crashes'", "crash_free_sessions"]),
        (["--sort", "stats"], ["cannot sort by 'stats'"]),
        (["--sort", ""], ["cannot sort by ''"]),
        (["--limit", "0"], ["limit 0", "1 or more"]),
        (["--limit", "-1"], ["limit -1", "1 or more"]),
        (["--limit", "ten"], ["--limit"]),
        (["--threads", "0"], ["threads 0", "1 or more"]),
        (["--threads", "-1"], ["threads -1", "1 or more"]),
        (["--threads", str(2**70)], ["threads"]),
        (["--memory-limit", "lots"], ["'lots'", "512MB"]),
        (["--memory-limit", ""], ["''", "512MB"]),
        (["--memory-limit", "-1GB"], ["'-1GB'", "512MB"]),
        (["--memory-limit", "99999999999999TB"], ["memory limit"]),
        (["--org", "acme"], ["--org"]),
        (["-f", "xml"], ["'xml'", "markdown"]),
        (["-o", "answer.zip"], ["answer.zip", "--format", ".csv"]),
        (["-o", "answer"], ["answer", "--format", ".csv"]),
        (["--bogus"], ["--bogus"]),
        (["--period"], ["--period"]),
        # Text from a caller is on one line, too.
        (["--period", "7d\nx"], ["unknown period"]),
        (["--stats-period", "\x1b[31m"], ["unknown period"]),
        (["--stat", "a\nb"], ["unknown stat"]),
        (["--sort", "\x1b[31m\n"], ["cannot sort by"]),
        (["--now", "now\n\x1b[31m"], ["ISO 8601"]),
        (["--memory-limit", "1\n\x1b[31m"], ["512MB"]),
        (["-o", "a\nb\x1b[31m"], ["--format"]),
        (["-f", "a\nb"], ["--format"]),
        (["--a\nb"], ["No such option"]),
    ],
    ids=ascii,
)
def test_a_question_that_cannot_be_asked(options: list[str], told: list[str], good: str) -> None:
    found = message(run("overview", good, *options), 2)
    for words in told:
        assert words in found


@pytest.mark.parametrize("chosen", ["csv", "jsonl", "markdown", "parquet"])
def test_inspect_comes_as_table_or_json(chosen: str, good: str, tmp_path: Path) -> None:
    assert f"'{chosen}' is not table or json" in message(run("inspect", good, "-f", chosen), 2)
    suffix = {"markdown": "md"}.get(chosen, chosen)
    out = tmp_path / f"answer.{suffix}"
    assert message(run("inspect", good, "-o", str(out)), 2).endswith("table or json")
    assert not out.exists()


@pytest.mark.parametrize(
    ("line", "told", "see"),
    [
        (["bogus"], "No such command 'bogus'.", "relhealth"),
        (["over\nview"], "No such command 'over\\nview'.", "relhealth"),
        (["--bogus"], "No such option: --bogus", "relhealth"),
        (["inspect", "--period", "24h", "x"], "No such option: --period", "relhealth inspect"),
    ],
    ids=ascii,
)
def test_a_line_that_is_no_command(line: list[str], told: str, see: str) -> None:
    result = run(*line)
    assert message(result, 2).startswith(told)
    assert result.err.split("\n")[1] == f"relhealth: see '{see} --help'"


@pytest.mark.parametrize("line", [["overview"], ["inspect"], ["status"], ["release", "shop@1"]])
def test_without_a_source_the_message_says_how_to_give_one(line: list[str]) -> None:
    told = message(run(*line), 2)
    assert told.startswith("no source: name a file or folder, such as data/, or write sources = [")
    assert "under [defaults] in relhealth.toml" in told


def test_no_command_shows_the_help_and_is_no_success() -> None:
    result = run()
    assert result.code == 2
    assert "Usage: relhealth [OPTIONS] COMMAND" in result.out
    assert result.err == ""


def test_several_organisations_need_one_named(tmp_path: Path) -> None:
    file = rows.write(tmp_path / "two.parquet", [rows.session(org_id=n) for n in (7, 8)])
    found = message(run("overview", file, "--now", "latest"), 2)
    assert "7, 8" in found
    assert "--org" in found


def test_parquet_is_not_written_to_a_terminal(good: str) -> None:
    ended = on_terminal(command("overview", good, "-f", "parquet"), columns=80)
    found = message(Result(ended.code, ended.out.decode(), ended.err), 2)
    assert "--output" in found


def test_a_bad_question_is_told_before_bad_data(tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere.parquet")
    for options in (
        ["--period", "x"],
        ["--stat", "x"],
        ["-o", "answer.zip"],
        ["--sort", "x"],
        ["--limit", "0"],
        ["--threads", "0"],
        ["--memory-limit", "x"],
        ["--now", "x"],
    ):
        assert len(messages(run("overview", nowhere, *options), 2)) == 1, options


# Bugs of relhealth, and signals.


def raising(error: BaseException) -> Callable[..., Any]:
    """Return a function that raises for any arguments."""

    def raise_it(*_args: object, **_options: object) -> Any:
        raise error

    return raise_it


def test_an_internal_error(good: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ReleaseHealth, "overview", raising(RuntimeError("boom\nsecond line")))
    result = run("overview", good)
    assert result.code == 70
    assert result.out == ""
    assert result.err.startswith("relhealth: internal error: RuntimeError: boom")
    assert "--debug" in result.err
    assert result.err.count("\n") == 1

    result = run("overview", good, "--debug")
    assert result.code == 70
    assert result.out == ""
    assert "Traceback (most recent call last):" in result.err
    assert "in raise_it" in result.err
    assert "\nrelhealth: internal error: RuntimeError: boom" in result.err


@pytest.mark.parametrize(
    "error",
    [ZeroDivisionError(), MemoryError(), KeyError("x"), SystemError("\x1b[31m"), AssertionError()],
    ids=repr,
)
def test_no_error_looks_like_a_failed_gate(
    error: Exception, good: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ReleaseHealth, "overview", raising(error))
    result = run("overview", good)
    assert result.code == 70
    assert result.err.startswith(f"relhealth: internal error: {type(error).__name__}")
    assert result.err.count("\n") == 1
    assert "\x1b" not in result.err


def test_a_keyboard_interrupt(good: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ReleaseHealth, "overview", raising(KeyboardInterrupt()))
    assert run("overview", good) == Result(130, "", "relhealth: interrupted\n")


# Asks a query that would take days, and says so on a descriptor just before it begins.
SLOW_QUERY = """
import os, signal, sys
from relhealth.machine import queries
from relhealth.__main__ import main

signal.signal(signal.SIGINT, signal.default_int_handler)
load = queries.load

def slow(name):
    if name != "sessions_by_group":
        return load(name)
    os.write(int(sys.argv[1]), b"!")
    sql = "SELECT sum(a.range * b.range) AS sessions FROM range(100000000) a, range(100000000) b"
    return queries.Template(name, sql, frozenset())

queries.load = slow
sys.exit(main(sys.argv[2:]))
"""

# Reads a file that would take days, and says so on a descriptor just before it begins.
SLOW_READING = """
import os, signal, sys, time
from relhealth.__main__ import main
from relhealth.engines.kernel import scanning

signal.signal(signal.SIGINT, signal.default_int_handler)
read = scanning.read

def slow(task, question):
    os.write(int(sys.argv[1]), b"!")
    while True:
        time.sleep(0.05)
        yield from read(task, question)

scanning.read = slow
sys.exit(main(sys.argv[2:]))
"""

# Writes half an answer, and says so on a descriptor just before it waits.
SLOW_OUTPUT = """
import os, signal, sys, time
from relhealth.output import answer
from relhealth.__main__ import main

signal.signal(signal.SIGINT, signal.default_int_handler)

def render(report, chosen, stream, **options):
    stream.write(b"half an answer")
    stream.flush()
    os.write(int(sys.argv[1]), b"!")
    time.sleep(600)

answer.render = render
sys.exit(main(sys.argv[2:]))
"""


def ended_by(sent: signal.Signals, code: str, line: list[str], spill: Path) -> Result:
    """Run a slow script, send it a signal once it says that it is busy, and see how it ends."""
    ours, theirs = os.pipe()
    spill.mkdir()
    with subprocess.Popen(
        script(code, str(theirs), *line),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(TMPDIR=str(spill)),
        pass_fds=[theirs],
    ) as process:
        os.close(theirs)
        try:
            assert os.read(ours, 1) == b"!"
            if code == SLOW_QUERY:
                with pytest.raises(subprocess.TimeoutExpired):
                    process.wait(0.3)  # so that the query is at work
            process.send_signal(sent)
            out, err = process.communicate(timeout=PROMPT)
        finally:
            process.kill()
            os.close(ours)
    assert list(spill.iterdir()) == []
    return Result(process.returncode, out.decode(), err.decode())


@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
@pytest.mark.parametrize(
    ("busy", "command"),
    [
        (SLOW_QUERY, "projects"),
        (SLOW_READING, "overview --engine kernel"),
        (SLOW_OUTPUT, "overview"),
    ],
    ids=["query", "reading", "output"],
)
def test_a_signal_ends_it_soon_and_leaves_nothing(
    sent: signal.Signals, code: int, busy: str, command: str, tmp_path: Path, good: str
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "answer.csv").write_text("old")
    line = [*command.split(), good, "--now", "latest", "-o", str(folder / "answer.csv")]
    result = ended_by(sent, busy, line, tmp_path / "spill")
    assert result.code == code
    assert result.out == ""
    assert result.err.startswith("relhealth: ")
    assert result.err.count("\n") == 1
    assert [path.name for path in folder.iterdir()] == ["answer.csv"]
    assert (folder / "answer.csv").read_text() == "old"


def test_ctrl_c_stops_an_inspection(tmp_path: Path, good: str) -> None:
    busy = SLOW_QUERY.replace("sessions_by_group", "inspect_metrics")
    assert busy != SLOW_QUERY
    result = ended_by(signal.SIGINT, busy, ["inspect", good], tmp_path / "spill")
    assert result == Result(130, "", "relhealth: interrupted\n")


@pytest.mark.parametrize(
    ("sent", "code", "told"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "ended by a signal"),
        (signal.SIGHUP, 129, "ended by a signal"),
    ],
)
def test_a_signal_is_known_when_a_library_replaces_its_exception(
    sent: signal.Signals,
    code: int,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And a second one of the kind does not interrupt the cleaning up; ``timeout`` sends two."""

    def interrupted(_: list[str]) -> int:
        try:
            os.kill(os.getpid(), sent)
            time.sleep(5)
        except BaseException:  # noqa: BLE001 - as a library that replaces it
            if sent is not signal.SIGINT:
                os.kill(os.getpid(), sent)
            raise RuntimeError("Query interrupted") from None
        return 0

    before = signal.getsignal(sent)
    signal.signal(sent, signal.default_int_handler if sent is signal.SIGINT else signal.SIG_DFL)
    monkeypatch.setattr(boundary, "_run", interrupted)
    try:
        assert boundary.run_guarded(["overview"]) == code
    finally:
        signal.signal(sent, before)
    assert capsys.readouterr().err == f"relhealth: {told}\n"


# Pipes whose reader has gone.


def to_nobody(argv: list[str]) -> Result:
    """Run a command whose stdout nobody reads."""
    ours, theirs = os.pipe()
    os.close(ours)
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.PIPE,
        env=environment(),
        timeout=PATIENCE,
        check=False,
    )
    os.close(theirs)
    return Result(done.returncode, "", done.stderr.decode())


@pytest.mark.parametrize(
    "line",
    [
        ["overview", "GOOD", "--now", "latest", "-f", chosen]
        for chosen in ("table", "csv", "json", "jsonl", "markdown", "parquet")
    ]
    + [
        ["inspect", "GOOD"],
        ["--version"],
        ["--help"],
        ["overview", "--help"],
        ["overview", "GOOD", "--now", "latest", "-f", "csv", "-o", "/dev/stdout"],
    ],
    ids=" ".join,
)
def test_a_broken_pipe_ends_it_quietly(line: list[str], good: str) -> None:
    argv = command(*[good if word == "GOOD" else word for word in line])
    assert to_nobody(argv) == Result(141, "", "")


@pytest.mark.parametrize("chosen", ["table", "csv", "json"])
@pytest.mark.parametrize("variables", [{}, {"PYTHONUNBUFFERED": "1"}], ids=["", "unbuffered"])
def test_head_ends_it_quietly(chosen: str, variables: dict[str, str], tmp_path: Path) -> None:
    names = [f"shop@{number}.0.0" for number in range(3_000)]  # more than a pipe holds
    file = rows.write(tmp_path / "many.parquet", [rows.session(release=name) for name in names])
    with subprocess.Popen(
        command("overview", file, "--now", "latest", "-f", chosen),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(**variables),
    ) as process:
        assert process.stdout
        assert process.stderr
        assert len(os.read(process.stdout.fileno(), 10)) == 10
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(PATIENCE) == 141


# Streams that are full or closed.


def shell(line: str, **variables: str) -> Result:
    """Run a shell's command line, in which `$relhealth` is the command."""
    relhealth = " ".join(f"'{word}'" for word in command())
    ended = finish(["sh", "-c", line.replace("$relhealth", relhealth)], **variables)
    return Result(ended.code, ended.out.decode(), ended.err)


@pytest.mark.parametrize("chosen", ["table", "csv", "json", "parquet"])
def test_a_full_disk_behind_stdout(chosen: str, good: str) -> None:
    result = shell(f'$relhealth overview "$GOOD" --now latest -f {chosen} >/dev/full', GOOD=good)
    assert "no space left on device" in message(result, 4).lower()


def test_a_full_disk_behind_the_version_and_the_help() -> None:
    for line in ("--version", "--help"):
        result = shell(f"$relhealth {line} >/dev/full")
        assert "no space left on device" in message(result, 4).lower()


def test_a_closed_stdout(good: str) -> None:
    for line in ('overview "$GOOD" --now latest -f csv', "--version"):
        result = shell(f"$relhealth {line} >&-", GOOD=good)
        assert "stdout" in message(result, 4).lower() or "standard output" in message(result, 4)


@pytest.mark.parametrize("redirected", ["2>&-", "2>/dev/full"])
def test_no_stderr_is_no_failed_gate(redirected: str, good: str) -> None:
    """Messages are lost if stderr is closed; the answer and the exit code are not."""
    line = '$relhealth overview "$GOOD" --now latest -f csv'
    told = shell(line, GOOD=good)
    assert told.code == 0
    assert told.out.count("\n") == 2
    assert shell(f"{line} {redirected}", GOOD=good) == Result(0, told.out, "")
    result = shell(f'$relhealth overview "$GOOD" --period x {redirected}', GOOD=good)
    assert result == Result(2, "", "")
    result = shell(f"$relhealth overview nowhere.parquet {redirected}")
    assert result == Result(4, "", "")


def test_completion_is_no_failure() -> None:
    ask = '"$@"; echo "$?" >&2'  # with a command behind it, so that the shell stays the parent
    line = ["bash", "-c", ask, "bash", *command("overview", "--perio")]
    ended = finish(line, _RELHEALTH_COMPLETE="fish")
    assert ended.err == "0\n"
    assert ended.out.split() == [b"--period", *ended.out.split()[1:]]


def test_an_output_is_no_source(tmp_path: Path) -> None:
    file = rows.write(tmp_path / "sessions.parquet", [rows.session()])
    before = Path(file).read_bytes()
    inside = str(tmp_path / "answer.parquet")
    for source, output in ((file, file), (str(tmp_path), inside), (f"{tmp_path}/s*", file)):
        found = message(run("overview", source, "--now", "latest", "-o", output), 4)
        assert "among the sources" in found
    assert Path(file).read_bytes() == before
    assert run("overview", str(tmp_path), "--now", "latest", "-o", f"{tmp_path}/a.csv").code == 0


def test_strict_inspection(tmp_path: Path) -> None:
    file = rows.write(tmp_path / "bad.parquet", [rows.session(), rows.session(value=-1.0)])
    assert "1 invalid row" in message(run("inspect", file, "--strict"), 4)
    assert run("inspect", file).code == 0


def test_filters_that_match_nothing_are_told(good: str) -> None:
    result = run("overview", good, "--now", "latest", "-e", "prodction")
    assert result.code == 0
    assert "no session in environment prodction in 90 days; there are: none" in result.err
    assert "no session" not in run("overview", good, "--now", "latest").err


def test_organisations_of_every_window_are_told_apart(tmp_path: Path) -> None:
    """A series of 90 days reaches back up to two days further than 90."""
    old = rows.session(org_id=2, timestamp=rows.NOON - timedelta(days=90))
    file = rows.write(tmp_path / "two.parquet", [rows.session(org_id=1), old])
    asked = ("overview", file, "--now", "2026-03-04T12:30:00Z", "--stats-period", "90d")
    assert "span organisations 1, 2" in message(run(*asked), 2)


def test_help_in_a_pipe_is_never_coloured() -> None:
    ended = finish(command("overview", "--help"), GITHUB_ACTIONS="1")
    assert ended.code == 0
    assert b"\x1b" not in ended.out
