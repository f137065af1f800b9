"""The benchmark compares, divides and reports as it should; peers answer as relhealth does."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from places import ROOT

if TYPE_CHECKING:
    import bars
    import overview as benchmark
    import peers
    import report as tables
else:
    BENCHMARKS = str(ROOT / "benchmarks")
    sys.path.insert(0, BENCHMARKS)
    import bars
    import overview as benchmark
    import peers
    import report as tables

    sys.path.remove(BENCHMARKS)

ROW = {"project_id": 1, "release": "shop@1", "total_users": 200, "duration_p50": 1.5}
ABOUT = {"rows": 100, "layout": "daily", "period": "90d", "stat": "sessions"}
FACTS = {"true_rows": 100, "bytes": 8_000_000, "day_rows": {tables.WHOLE_DAY: 10}}


def a_run(who: str, wall: float, mb: float = 100, begun: str = "2026-01-01") -> dict[str, Any]:
    """Return the record of a run."""
    cost = {"wall": wall, "cpu": wall, "mb": mb}
    return {"kind": "run", "begun": begun, "who": who, **ABOUT, **cost}


def results(*records: dict[str, Any]) -> tables.Results:
    """Return results with a machine."""
    return tables.Results([{"begun": "2026-01-01", **benchmark.machine()}, *records])


def test_whole_numbers_agree_exactly_and_others_nearly() -> None:
    assert not benchmark.differences([ROW], [{**ROW, "duration_p50": 1.5 + 1e-12}])
    assert benchmark.differences([ROW], [{**ROW, "duration_p50": 1.5001}])
    assert benchmark.differences([ROW], [{**ROW, "duration_p50": None}])
    assert benchmark.differences([ROW], [{**ROW, "total_users": 201}])
    assert benchmark.differences([ROW], [])
    assert benchmark.differences([ROW], [{**ROW, "stats": {"24h": [[0, 1]]}}])


def test_a_peer_need_not_have_every_figure() -> None:
    assert not benchmark.differences([{**ROW, "new_figure": 1}], [ROW])
    assert benchmark.differences([ROW], [{**ROW, "new_figure": 1}])


def test_an_approximate_count_is_off_by_percents() -> None:
    assert benchmark.off([ROW], [{**ROW, "total_users": 197}]) == pytest.approx(1.5)


def test_goals_are_ratios_of_medians() -> None:
    found = results(
        *(a_run("relhealth", wall) for wall in (1, 2, 9)),
        *(a_run("floor", wall) for wall in (1.0, 0.5, 2.0)),
        *(a_run("polars", wall) for wall in (4, 5)),
        a_run("chdb", 8),
        a_run("chdb_approx", 0.1),
        a_run("relhealth", 99, begun="2025-12-31"),  # an earlier run of the script
    )
    columns, goals = tables.question_goals(found, 100)
    told = {goal.measure: goal.row(columns)[1:] for goal in goals}
    assert columns == ["daily, sessions"]
    assert told["raw 90d, of the best peer"] == ["at most 0.5", "0.444, reached"]
    assert told["raw 90d, of the floor"] == ["at most 3", "2, reached"]
    assert told["rollup 90d, peak"] == ["at most 500 MB", ""]


def test_a_goal_that_is_not_reached_says_so() -> None:
    goal = tables.Goal("this", 2, {"here": 3.0})
    assert goal.row(["here", "there"]) == ["this", "at most 2", "3, **not reached**", ""]


def test_the_cost_of_a_rollup_is_that_of_its_parts() -> None:
    key = {"begun": "2026-01-01", "rows": 100, "layout": "daily"}
    steps = {"build": (10.0, 20.0), "nothing": (0.5, 0.5), "day": (2.0, 2.0)}
    found = results(
        a_run("relhealth", 5),
        {"kind": "data", "who": "raw", **key, **FACTS},
        {"kind": "rollup", "who": "size", **key, "bytes": 2_000_000},
        *(
            {"kind": "rollup", "who": who, **key, "wall": wall, "cpu": cpu, "mb": 50}
            for who, (wall, cpu) in steps.items()
        ),
    )
    layouts, goals = tables.dataset_goals(found, [100])
    told = [goal.row(layouts)[2] for goal in goals]
    assert told == ["0.25, reached", "2, reached", "1.5, reached", "0.75, reached", "", ""]
    page = tables.between_markers(
        f"before\n{tables.OPEN}old{tables.CLOSE}\nafter", tables.report(found)
    )
    assert page.startswith("before\n<!-- benchmark -->\n\n2026-01-01; ")
    assert page.endswith("\n\n<!-- /benchmark -->\nafter")
    assert "old" not in page
    assert "| 100 rows, daily | 8.0 | 2.0 | 10.00 | 0.50 | 2.00 | 50 |" in page


def test_a_page_without_markers_is_left_alone() -> None:
    with pytest.raises(SystemExit, match="no <!-- benchmark -->"):
        tables.between_markers("nothing here", "section")


def test_the_docs_have_a_place_for_the_table() -> None:
    page = ROOT / "docs" / "performance.md"
    text = page.read_text(encoding="utf-8")
    assert tables.between_markers(text, "new").count("\n\nnew\n\n") == 1


def test_windows_are_those_of_the_questions() -> None:
    question = peers.Question("data", "24h", "sessions")
    assert question.summary == (1_795_104_000, 1_795_194_000)
    assert question.read == question.summary
    assert peers.Question("data", "90d", "sessions").series.start % (3 * peers.DAY) == 0


def test_one_small_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = ("--days", "8", "--projects", "3", "--releases", "12")
    monkeypatch.setattr(benchmark, "SHAPE", shape)
    page = tmp_path / "page.md"
    page.write_text(f"{tables.OPEN}{tables.CLOSE}", encoding="utf-8")
    small = ["--sizes", "4_000", "--layouts", "daily", "--periods", "7d", "--stats", "users"]
    duckdb = [who for who, tool in tables.FORMULATIONS.items() if tool == "DuckDB"]
    who = ["--who", "relhealth", *duckdb, "floor", "floor_arrow", "--runs", "1", "--no-start"]
    kept = ["--json", str(tmp_path / "results.jsonl"), "--docs", str(page)]
    code = benchmark.main([*small, *who, *kept, "--no-identity", "--folder", str(tmp_path)])
    assert code == 0, capsys.readouterr().err
    records = map(json.loads, (tmp_path / "results.jsonl").read_text().splitlines())
    answered = [record["who"] for record in records if record["kind"] == "first"]
    assert answered == ["relhealth", *duckdb, "floor", "floor_arrow"]
    report = page.read_text(encoding="utf-8")
    assert "**4,000 rows, daily, series of users**" in report
    merged = ["--merge", str(tmp_path / "results.jsonl"), "--only-report"]
    again = tmp_path / "again.md"
    again.write_text(f"{tables.OPEN}{tables.CLOSE}", encoding="utf-8")
    folder = ["--folder", str(tmp_path / "none")]
    assert benchmark.main([*merged, "--docs", str(again), *folder]) == 0
    assert again.read_text(encoding="utf-8") == report


def test_a_difference_fails_the_run(tmp_path: Path) -> None:
    kept: list[tables.Record] = []
    run = benchmark.Benchmark(tmp_path, 1, ["relhealth", "naive"], kept.append)
    run.output("").parent.mkdir()
    run.output("relhealth").write_text('{"data": [{"project_id": 1, "release": "a", "n": 1}]}')
    run.output("naive").write_text('{"data": [{"project_id": 1, "release": "a", "n": 2}]}')
    assert run.compare("here", {}, ["relhealth", "naive"]) == ["naive"]
    assert run.complaints == [
        "here: DuckDB, a statement a component: (1, 'a'): n is 1, not 2",
    ]


def test_what_errs_or_fails_is_not_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[tables.Record] = []
    run = benchmark.Benchmark(tmp_path, 1, [], kept.append)
    run.output("").parent.mkdir()
    answers = {"relhealth": 1, "naive": 1, "duckdb_grouped": 2}

    def line(who: str, *_: object) -> list[str]:
        if who not in answers:
            return [sys.executable, "-c", "raise SystemExit('no memory')"]
        text = json.dumps({"data": [{"project_id": 1, "release": "a", "n": answers[who]}]})
        code = "import sys; open(sys.argv[1], 'w').write(sys.argv[2])"
        return [sys.executable, "-c", code, str(run.output(who)), text]

    monkeypatch.setattr(run, "line", line)
    dataset = benchmark.Dataset(tmp_path, 1, "daily")
    run.ask(dataset, "90d", "sessions", [*answers, "polars"])
    measured = [record["who"] for record in kept if record["kind"] == "run"]
    assert measured == ["relhealth", "naive"]
    failed, wrong = run.complaints
    assert failed.endswith("in two phases failed and is left out: exit code 1: no memory")
    assert wrong.endswith("in two phases: (1, 'a'): n is 1, not 2")


def test_an_answer_is_the_same_by_another_engine(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("kernel", "rollup", "other")]
    for path, now in zip(paths, (1, 1, 2), strict=True):
        answer = {"meta": {"now": now, "engine": [{"name": path.name}]}, "data": []}
        path.write_text(json.dumps(answer), encoding="utf-8")
    texts = [benchmark.text_of(path) for path in paths]
    assert texts[0] == texts[1] != texts[2]


def test_the_fastest_formulations_of_a_peer_go_on() -> None:
    walls = {"relhealth": 9.0, "naive": 3.0, "duckdb_grouped": 2.0, "duckdb_distinct": 2.2}
    walls |= {"polars": 1.0, "polars_unique": 1.5, "floor": 0.1}
    found = tables.still_in(walls, tables.FORMULATIONS)
    assert found == {"relhealth", "duckdb_grouped", "duckdb_distinct", "polars", "floor"}
    together = dict.fromkeys(tables.FORMULATIONS, "the peers")
    assert tables.still_in(walls, together) == {"relhealth", "polars", "floor"}


@pytest.fixture(scope="module")
def habitual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small data set of the habitual make."""
    folder = tmp_path_factory.mktemp("made") / "data"
    script = [sys.executable, str(ROOT / "benchmarks" / "generate.py"), "4_000", str(folder)]
    shape = ("--make", "habitual", "--days", "8", "--projects", "3", "--releases", "12")
    benchmark.measure([*script, *shape])
    return folder


@pytest.fixture(
    scope="module", params=[peers.STATS[0], pytest.param(peers.STATS[1], marks=pytest.mark.slow)]
)
def answered(request: pytest.FixtureRequest, habitual: Path) -> tuple[str, list[benchmark.Row]]:
    """Return what a series counts, and relhealth's answer with it."""
    stat: str = request.param
    output = habitual.parent / f"{stat}.json"
    benchmark.measure(benchmark.overview(str(habitual), "7d", stat, output))
    return stat, benchmark.rows_of(output)


@pytest.mark.parametrize("who", tables.FORMULATIONS)
def test_every_formulation_answers_as_relhealth(
    who: str, answered: tuple[str, list[benchmark.Row]], tmp_path: Path, habitual: Path
) -> None:
    if who in benchmark.NEEDS:
        pytest.importorskip(benchmark.NEEDS[who])
    stat, ours = answered
    output = tmp_path / "theirs.json"
    benchmark.measure(benchmark.peer(who, str(habitual), "7d", stat, str(output)))
    assert len(ours) > 3
    assert not benchmark.differences(ours, benchmark.rows_of(output))


@pytest.mark.parametrize("count", [1, pytest.param(len(bars.ALSO_ROLLED), marks=pytest.mark.slow)])
def test_bars_of_questions_are_all_measured(
    count: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All questions, or one and what it is compared with."""
    asked = bars.ALSO_ROLLED[:count]
    if count == 1:
        base = next(one for one in bars.RAW_ONLY if one.label == "overview, 90d")
        monkeypatch.setattr(bars, "RAW_ONLY", (base,))
    labels = {one.label for one in (*bars.RAW_ONLY, *asked)}
    measured = [
        bar
        for bar in bars.QUESTION_BARS
        if bar[1] in labels and bar[0].removesuffix(bars.ROLLED) in labels
    ]
    monkeypatch.setattr(bars, "ALSO_ROLLED", asked)
    monkeypatch.setattr(bars, "QUESTION_BARS", measured)
    shape = ("--days", "8", "--projects", "3", "--releases", "12")
    monkeypatch.setattr(benchmark, "SHAPE", shape)
    small = ["--rows", "4_000", "--runs", "1", "--only", "questions"]
    assert bars.main([*small, "--folder", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    compared = [line for line in told.splitlines() if "| at most " in line]
    assert len(compared) == len(measured) == (2 if count == 1 else 14)
    assert all("reached" in line for line in compared)


def test_bars_are_ratios_to_the_best_formulation_of_each_make() -> None:
    records = [a_run("relhealth", 5), a_run("chdb", 9), a_run("duckdb_grouped", 8)]
    other = [a_run("relhealth", 6), a_run("polars_unique", 12), a_run("polars", 15)]
    records += [{**record, "layout": "habitual"} for record in other]
    rows = [bar.row(bars.MAKES) for bar in bars.overview_bars(results(*records), 100)]
    assert rows[0] == [
        "raw overview, 90d, of the best peer",
        "at most 0.6",
        "0.625, **not reached**",
        "0.5, reached",
        "0.625",  # of processor time
        "0.5",
    ]
