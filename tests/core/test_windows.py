"""Periods, windows and instants: tables of cases worked out by hand, and laws for any instant."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relhealth.core import windows
from relhealth.core.errors import QuestionError
from relhealth.core.windows import PERIODS, Series, Window

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZERO = timedelta(0)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

# Off every grid: eleven and a half minutes past ten, on a day that begins no bucket of 3 days.
NOW = datetime(2026, 11, 18, 10, 32, 15, 123456, tzinfo=UTC)

# Any instant that a question may be about: in hours and microseconds, so that many are on the grid.
instants = st.builds(
    lambda hours, rest: (
        datetime(1971, 1, 1, tzinfo=UTC) + timedelta(hours=hours, microseconds=rest)
    ),
    st.integers(0, 8_026 * 8_766),
    st.sampled_from([0, 1, 3_599_999_999]) | st.integers(0, 3_599_999_999),
)
every_period = pytest.mark.parametrize("period", PERIODS)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def on_grid(instant: datetime, step: timedelta) -> bool:
    return (instant - EPOCH) % step == ZERO


@pytest.mark.parametrize(
    ("period", "length", "interval"),
    [
        ("1h", 3_600, 3_600),
        ("12h", 43_200, 3_600),
        ("24h", 86_400, 3_600),
        ("1d", 86_400, 3_600),
        ("48h", 172_800, 3_600),
        ("49h", 176_400, 86_400),
        ("3d", 259_200, 86_400),
        ("7d", 604_800, 86_400),
        ("30d", 2_592_000, 86_400),
        ("31d", 2_678_400, 259_200),
        ("90d", 7_776_000, 259_200),
        ("2160h", 7_776_000, 259_200),
    ],
)
def test_periods_and_their_intervals(period: str, length: int, interval: int) -> None:
    """Intervals are hours up to 48h, days up to 30d, and three days above."""
    assert windows.check_period(period) == period
    assert windows.period_seconds(period) == length
    assert windows.period_interval(period) == interval


@pytest.mark.parametrize(
    ("period", "start"),
    [
        ("1h", "2026-11-18T09:00"),
        ("24h", "2026-11-17T10:00"),
        ("1d", "2026-11-17T10:00"),
        ("48h", "2026-11-16T10:00"),
        ("2d", "2026-11-16T10:00"),
        ("7d", "2026-11-11T10:00"),
        ("14d", "2026-11-04T10:00"),
        ("30d", "2026-10-19T10:00"),
        ("90d", "2026-08-20T10:00"),
    ],
)
def test_totals_window(period: str, start: str) -> None:
    """Whole hours: the start is floored, the end, 11:00, ceiled."""
    assert windows.totals_window(NOW, period) == Window(at(start), at("2026-11-18T11:00"))


def test_totals_window_on_the_hour() -> None:
    """Now on the grid is the end itself: not a microsecond of the next hour is in."""
    now = at("2026-11-18T10:00")
    assert windows.totals_window(now, "24h") == Window(at("2026-11-17T10:00"), now)


def test_a_microsecond_past_the_hour_opens_the_next() -> None:
    now = at("2026-11-18T10:00") + timedelta(microseconds=1)
    expected = Window(at("2026-11-17T10:00"), at("2026-11-18T11:00"))
    assert windows.totals_window(now, "24h") == expected


def test_adoption_window() -> None:
    """24 hours for any period of the totals."""
    expected = Window(at("2026-11-17T10:00"), at("2026-11-18T11:00"))
    assert windows.adoption_window(NOW) == expected


def test_health_window() -> None:
    """90 full days: from midnight of 08-20 (12 + 30 + 31 + 17 days back) to the next midnight."""
    assert windows.health_window(NOW) == Window(at("2026-08-20"), at("2026-11-19"))


@pytest.mark.parametrize(
    ("period", "start", "end", "buckets"),
    [
        ("1h", "2026-11-18T09:00", "2026-11-18T11:00", 2),
        ("24h", "2026-11-17T10:00", "2026-11-18T11:00", 25),
        ("1d", "2026-11-17T10:00", "2026-11-18T11:00", 25),
        ("48h", "2026-11-16T10:00", "2026-11-18T11:00", 49),
        ("7d", "2026-11-11", "2026-11-19", 8),
        ("14d", "2026-11-04", "2026-11-19", 15),
        ("30d", "2026-10-19", "2026-11-19", 31),
        # 2026-11-18 is day 20775 = 3 * 6925 of the epoch, so a bucket begins there and ends on the
        # 21st; 90 days earlier, 08-20, is day 20685 = 3 * 6895: 30 buckets between, 31 in all.
        ("90d", "2026-08-20", "2026-11-21", 31),
    ],
)
def test_series(period: str, start: str, end: str, buckets: int) -> None:
    series = Series.back_from(NOW, period)
    assert series.window == Window(at(start), at(end))
    assert len(series.starts()) == buckets
    assert EPOCH + timedelta(seconds=series.starts()[0]) == at(start)


@pytest.mark.parametrize(
    ("now", "buckets"),
    [
        ("2026-11-18T10:00", 24),
        ("2026-11-18T10:00:00.000001", 25),
        ("2026-11-18T10:59:59.999999", 25),
    ],
)
def test_24h_has_25_buckets_unless_now_is_on_the_hour(now: str, buckets: int) -> None:
    assert len(Series.back_from(at(now), "24h").starts()) == buckets


def test_three_day_buckets_stand_on_the_epoch_grid() -> None:
    """A day later, the 19th, the 90 days start on the 21st of August: floored to the 20th."""
    expected = Window(at("2026-08-20"), at("2026-11-21"))
    assert Series.back_from(NOW + DAY, "90d").window == expected
    assert Series.back_from(NOW + 3 * DAY, "90d").window == Window(
        at("2026-08-23"), at("2026-11-24")
    )


@every_period
@given(now=instants)
def test_totals_window_of_any_instant(period: str, now: datetime) -> None:
    window = windows.totals_window(now, period)
    check_window(window, now, timedelta(seconds=windows.period_seconds(period)), HOUR)


@given(now=instants)
def test_adoption_and_health_window_of_any_instant(now: datetime) -> None:
    check_window(windows.adoption_window(now), now, DAY, HOUR)
    check_window(windows.health_window(now), now, 90 * DAY, DAY)


@every_period
@given(now=instants)
def test_series_of_any_instant(period: str, now: datetime) -> None:
    series = Series.back_from(now, period)
    length, interval = (
        timedelta(seconds=seconds)
        for seconds in (windows.period_seconds(period), windows.period_interval(period))
    )
    check_window(series.window, now, length, interval)
    starts = list(series.starts())
    step = int(interval.total_seconds())
    assert EPOCH + timedelta(seconds=starts[0]) == series.window.start
    assert EPOCH + timedelta(seconds=starts[-1] + step) == series.window.end
    assert {later - earlier for earlier, later in pairwise(starts)} <= {step}


def check_window(window: Window, now: datetime, length: timedelta, grid: timedelta) -> None:
    """The narrowest window on the grid that holds the time from ``now - length`` up to now."""
    assert now - length - grid < window.start <= now - length
    assert now <= window.end < now + grid
    assert (window.end == now) == on_grid(now, grid)
    for edge in (window.start, window.end):
        assert edge.utcoffset() == ZERO
        assert on_grid(edge, grid)


@given(instant=instants, seconds=st.sampled_from([1, 3_600, 86_400, 259_200]))
def test_floor_and_ceil_hold_an_instant_between_them(instant: datetime, seconds: int) -> None:
    floor, ceil = windows.floor_to(instant, seconds), windows.ceil_to(instant, seconds)
    assert floor <= instant <= ceil
    assert ceil - floor == (ZERO if floor == instant else timedelta(seconds=seconds))
    assert windows.floor_to(floor, seconds) == windows.ceil_to(floor, seconds) == floor


def test_floor_before_the_epoch() -> None:
    """Towards the past, not towards 1970."""
    instant = at("1969-12-31T23:30")
    assert windows.floor_to(instant, 3_600) == at("1969-12-31T23:00")
    assert windows.ceil_to(instant, 3_600) == at("1970-01-01T00:00")


@pytest.mark.parametrize(
    "period",
    ["", "24", "24H", " 24h", "1w", "0h", "90D", "91d", "2161h", "024h", "1.5h", "h", "-1h"],
)
def test_unknown_period(period: str) -> None:
    with pytest.raises(QuestionError) as refusal:
        windows.check_period(period)
    expected = "expected hours or days, up to 90d, such as 24h or 7d"
    assert str(refusal.value) == f"unknown period '{period}': {expected}"


@every_period
def test_known_period(period: str) -> None:
    assert windows.check_period(period) == period


def test_windows_and_series_check_the_period() -> None:
    with pytest.raises(QuestionError, match="unknown period '5m'"):
        windows.totals_window(NOW, "5m")
    with pytest.raises(QuestionError, match="unknown period '5m'"):
        Series.back_from(NOW, "5m")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-11-18T10:32:15Z", "2026-11-18T10:32:15"),
        ("2026-11-18T10:32:15", "2026-11-18T10:32:15"),
        ("2026-11-18 10:32", "2026-11-18T10:32"),
        ("2026-11-18", "2026-11-18T00:00"),
        ("2026-11-18T10:32:15.123456+00:00", "2026-11-18T10:32:15.123456"),
        ("2026-11-18T07:02:15-03:30", "2026-11-18T10:32:15"),
        ("2026-11-19T00:32:15+14:00", "2026-11-18T10:32:15"),
        (datetime(2026, 11, 18, 10, 32, tzinfo=UTC).replace(tzinfo=None), "2026-11-18T10:32"),
        (datetime(2026, 11, 18, 10, 32, tzinfo=timezone(timedelta(hours=2))), "2026-11-18T08:32"),
    ],
)
def test_parse_instant(value: datetime | str, expected: str) -> None:
    """No zone means UTC; every instant comes back in UTC."""
    instant = windows.parse_instant(value)
    assert instant == at(expected)
    assert instant.utcoffset() == ZERO


@pytest.mark.parametrize(
    "text", ["", "now", "yesterday", "Latest", "10:32", "1763461935", "2026-13-01", "2026-02-30"]
)
def test_parse_instant_refuses_other_text(text: str) -> None:
    with pytest.raises(QuestionError, match=re.escape(f"'{text}' is not an instant: expected ISO")):
        windows.parse_instant(text)


def test_latest_is_told_of_only_where_it_can_be() -> None:
    with pytest.raises(QuestionError, match=r"32:15Z, or 'latest'$"):
        windows.parse_instant("soon")
    for text in ("soon", "latest"):
        with pytest.raises(QuestionError, match=rf"^'{text}' is not an instant: .*32:15Z$"):
            windows.parse_instant(text, or_latest=False)


@pytest.mark.parametrize("text", ["1970-12-31T23:59:59Z", "0001-01-01", "9998-01-01", "9999-12-31"])
def test_parse_instant_refuses_the_ends_of_the_calendar(text: str) -> None:
    with pytest.raises(QuestionError, match="out of range: expected a year from 1971 to 9997"):
        windows.parse_instant(text)


@pytest.mark.parametrize("value", [date(2026, 11, 18), 1_763_461_935, b"2026-11-18"])
def test_parse_instant_refuses_other_types(value: Any) -> None:
    with pytest.raises(QuestionError):
        windows.parse_instant(value)


@every_period
@pytest.mark.parametrize(
    "text", ["1971-01-01T00:00+23:59", "9997-12-31T23:59:59.999999-23:59", "1971-01-01"]
)
def test_windows_reach_the_ends_of_the_calendar(period: str, text: str) -> None:
    """Every accepted instant has all its windows."""
    now = windows.parse_instant(text)
    length = timedelta(seconds=windows.period_seconds(period))
    assert windows.totals_window(now, period).start <= now - length
    assert Series.back_from(now, period).window.end >= now
    assert windows.health_window(now).start <= now - 90 * DAY


def test_window_refuses_to_end_before_it_starts() -> None:
    with pytest.raises(QuestionError, match="before it starts"):
        Window(NOW, NOW - timedelta(microseconds=1))
    assert Window(NOW, NOW).start == NOW


@pytest.mark.parametrize(
    ("one", "other", "hull"),
    [
        ((1, 2), (3, 4), (1, 4)),
        ((1, 4), (2, 3), (1, 4)),
        ((1, 3), (2, 4), (1, 4)),
        ((2, 3), (2, 3), (2, 3)),
    ],
)
def test_hull(one: tuple[int, int], other: tuple[int, int], hull: tuple[int, int]) -> None:
    def window(days: tuple[int, int]) -> Window:
        return Window(*(datetime(2026, 1, day, tzinfo=UTC) for day in days))

    assert window(one).hull(window(other)) == window(other).hull(window(one)) == window(hull)


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (datetime(2026, 11, 18, 10, tzinfo=UTC), "2026-11-18T10:00:00Z"),
        (datetime(2026, 11, 18, 10, 0, 0, 500, tzinfo=UTC), "2026-11-18T10:00:00.000500Z"),
        (
            datetime(2026, 11, 18, 10, tzinfo=timezone(timedelta(hours=-3, minutes=-30))),
            "2026-11-18T13:30:00Z",
        ),
    ],
)
def test_iso(instant: datetime, text: str) -> None:
    assert windows.iso(instant) == text


@given(instant=instants)
def test_instants_survive_text_and_microseconds(instant: datetime) -> None:
    assert windows.parse_instant(windows.iso(instant)) == instant
    assert windows.from_epoch_us(windows.to_epoch_us(instant)) == instant


@pytest.mark.parametrize(
    ("instant", "seconds", "microseconds"),
    [
        ("1970-01-01T00:00:00.000001", 0, 1),
        ("1969-12-31T23:59:59.999999", -1, -1),
        ("2026-03-02T11:59:59.999999", 1_772_452_799, 1_772_452_799_999_999),
        ("2026-03-02T12:00", 1_772_452_800, 1_772_452_800_000_000),
    ],
)
def test_epoch(instant: str, seconds: int, microseconds: int) -> None:
    """Whole seconds are floored, microseconds exact."""
    assert windows.epoch(at(instant)) == seconds
    assert windows.to_epoch_us(at(instant)) == microseconds
    assert windows.from_epoch_us(microseconds) == at(instant)
