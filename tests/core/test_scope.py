"""The scope of a question: what is accepted, how it is kept, and which windows follow."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relhealth.core import scope as scopes
from relhealth.core import windows
from relhealth.core.errors import QuestionError
from relhealth.core.scope import Scope
from relhealth.core.windows import PERIODS, Series, Window

NOW = datetime(2026, 11, 18, 10, 32, 15, tzinfo=UTC)
LEAST, GREATEST = -(2**63), 2**63 - 1

# From the first to the last instant that a question may be about, in microseconds.
instants = st.integers(
    windows.to_epoch_us(datetime(1971, 1, 1, tzinfo=UTC)),
    windows.to_epoch_us(datetime(9997, 12, 31, tzinfo=UTC)),
).map(windows.from_epoch_us)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_resolve() -> None:
    """Every window comes of the one now: totals in hours, health in days, series in its rollup."""
    scope = Scope.resolve(NOW, period="7d", stats_period="30d", projects=(1,), environments=("",))
    assert scope == Scope(
        now=NOW,
        summary=Window(at("2026-11-11T10:00"), at("2026-11-18T11:00")),
        adoption=Window(at("2026-11-17T10:00"), at("2026-11-18T11:00")),
        health=Window(at("2026-08-20"), at("2026-11-19")),
        series=Series("30d", Window(at("2026-10-19"), at("2026-11-19")), 86_400),
        projects=(1,),
        environments=("",),
        releases=None,
        pairs=None,
    )


def test_resolve_without_a_series() -> None:
    scope = Scope.resolve(NOW)
    assert scope.series is None
    assert scope.summary == scope.adoption == Window(at("2026-11-17T10:00"), at("2026-11-18T11:00"))


def test_resolve_refuses_an_unknown_period() -> None:
    with pytest.raises(QuestionError, match="unknown period '5m'"):
        Scope.resolve(NOW, period="5m")
    with pytest.raises(QuestionError, match="unknown period '5m'"):
        Scope.resolve(NOW, stats_period="5m")


@pytest.mark.parametrize(
    ("period", "stats_period", "start", "end"),
    [
        ("1h", None, "2026-11-17T10:00", "2026-11-18T11:00"),  # adoption's day
        ("7d", None, "2026-11-11T10:00", "2026-11-18T11:00"),
        ("7d", "24h", "2026-11-11T10:00", "2026-11-18T11:00"),
        ("24h", "7d", "2026-11-11T00:00", "2026-11-19T00:00"),
        ("90d", "90d", "2026-08-20T00:00", "2026-11-21T00:00"),
    ],
)
def test_read_window(period: str, stats_period: str | None, start: str, end: str) -> None:
    """It holds what figures are made of, and no more."""
    scope = Scope.resolve(NOW, period=period, stats_period=stats_period)
    assert scope.read_window == Window(at(start), at(end))


@given(
    now=instants,
    period=st.sampled_from(list(PERIODS)),
    stats_period=st.sampled_from([None, *PERIODS]),
)
def test_read_window_holds_every_window_of_figures(
    now: datetime, period: str, stats_period: str | None
) -> None:
    scope = Scope.resolve(now, period=period, stats_period=stats_period)
    held = [scope.summary, scope.adoption, *([scope.series.window] if scope.series else [])]
    assert scope.read_window.start == min(window.start for window in held)
    assert scope.read_window.end == max(window.end for window in held)
    # Any session counter of the summary is health data: it lies in those 90 days.
    assert scope.health.start <= scope.summary.start
    assert scope.summary.end <= scope.health.end


def test_narrowed_to() -> None:
    scope = Scope.resolve(NOW, projects=(1, 2, 3), environments=("beta",))
    pairs = ((2, "b@1"), (1, "a@1"), (2, "a@1"))
    narrowed = scope.narrowed_to(pairs)
    assert narrowed.pairs == pairs  # in the order asked for
    assert narrowed.projects == (1, 2)
    assert narrowed.releases == ("a@1", "b@1")
    assert narrowed.environments == ("beta",)
    assert narrowed.summary == scope.summary


def test_narrowed_to_nothing_asks_for_nothing() -> None:
    """Empty, and not the None that asks for everything."""
    narrowed = Scope.resolve(NOW).narrowed_to(())
    assert (narrowed.pairs, narrowed.projects, narrowed.releases) == ((), (), ())


def test_check_projects() -> None:
    assert scopes.check_projects(None) is None
    assert scopes.check_projects([3, 1, 3, LEAST]) == (LEAST, 1, 3)
    assert scopes.check_projects(iter([GREATEST])) == (GREATEST,)


@pytest.mark.parametrize("project", ["1", 1.0, True, None, (1,), GREATEST + 1, LEAST - 1])
def test_check_projects_refuses(project: Any) -> None:
    with pytest.raises(QuestionError, match="expected a whole number of 64 bits"):
        scopes.check_projects([1, project])


def test_check_environments() -> None:
    assert scopes.check_environments(None) is None
    assert scopes.check_environments(["b", "", "a", "b"]) == ("", "a", "b")
    assert scopes.check_environments({"it's", "健康"}) == ("it's", "健康")


@pytest.mark.parametrize("environments", [[None], [1], ["a", b"b"], ["\ud800"], "production", ""])
def test_check_environments_refuses(environments: Any) -> None:
    with pytest.raises(QuestionError, match=r"^environment"):
        scopes.check_environments(environments)


@pytest.mark.parametrize("what", ["projects", "environments"])
def test_an_empty_filter_is_refused(what: str) -> None:
    """It would match nothing, and no filter at all is what asks for everything."""
    check: Any = getattr(scopes, f"check_{what}")
    with pytest.raises(QuestionError, match=f"^{what}: none named"):
        check([])


@pytest.mark.parametrize("name", ["shop@1.0.0", "a", " ", "it's", "健康🚀", "a\\b", "latest", "\r"])
def test_check_release(name: str) -> None:
    assert scopes.check_release(name) == name


@pytest.mark.parametrize("name", ["", "a\nb", "a\tb", None, 1, b"a", "\ud800"])
def test_check_release_refuses(name: object) -> None:
    with pytest.raises(QuestionError, match=r"^release "):
        scopes.check_release(name)


def test_check_pair() -> None:
    assert scopes.check_pair((1, "shop@1")) == (1, "shop@1")


@pytest.mark.parametrize(
    "pair",
    [
        "shop@1",
        1,
        None,
        (1,),
        (1, "a", "b"),
        [1, "a"],
        ("1", "a"),
        ("a", 1),
        (True, "a"),
        (1, ""),
        (1, None),
        (GREATEST + 1, "a"),
    ],
)
def test_check_pair_refuses(pair: object) -> None:
    with pytest.raises(QuestionError):
        scopes.check_pair(pair)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1/shop@1.0.0", (1, "shop@1.0.0")),
        ("007/shop@1.0.0", (7, "shop@1.0.0")),
        ("-5/shop", (-5, "shop")),
        (f"{GREATEST}/a", (GREATEST, "a")),
        (f"{LEAST}/a", (LEAST, "a")),
        ("1/12", (1, "12")),
        ("1/ ", (1, " ")),
        ("1/2/3", (1, "2/3")),
    ],
)
def test_parse_release_filter_of_a_project_or_a_name(text: str, expected: Any) -> None:
    """The data decide."""
    assert scopes.parse_release_filter(text) == scopes.Spelled(text, expected)


@pytest.mark.parametrize(
    "text",
    [
        "shop@1.0.0",
        "12",
        "健康@1",
        "/",
        "1/",
        "/shop",
        "org/shop@1.0",
        "1.0/shop",
        "+1/shop",
        " 1/shop",
        "--1/shop",
        "-/shop",
        "٣/shop",
        "²/shop",
        "1_000/shop",
        f"{'9' * 5_000}/a",
    ],
)
def test_parse_release_filter_of_a_name(text: str) -> None:
    """No number before a slash is no project."""
    assert scopes.parse_release_filter(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"{GREATEST + 1}/a",
        f"{LEAST - 1}/a",
        "1/a\tb",
        "a\nb",
    ],
)
def test_parse_release_filter_refuses(text: str) -> None:
    with pytest.raises(QuestionError):
        scopes.parse_release_filter(text)


@given(text=st.text(st.characters()))
def test_parse_release_filter_takes_or_refuses_any_text(text: str) -> None:
    """What is refused is refused as a question."""
    try:
        parsed = scopes.parse_release_filter(text)
    except QuestionError:
        return
    assert parsed == text or (
        isinstance(parsed, scopes.Spelled) and parsed.pair[1] == text.partition("/")[2]
    )


def test_check_stat() -> None:
    assert [scopes.check_stat(stat) for stat in ("sessions", "users")] == ["sessions", "users"]
    for stat in ("", "Users", "crashes"):
        with pytest.raises(QuestionError, match="expected one of sessions, users"):
            scopes.check_stat(stat)
