"""The engine against brute force, in zones whose clocks do everything clocks have done."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rota.timing.cron import Cron, CronError
from tests.unit.timing.brute_force import Plain, scan, utc, vixie
from tests.unit.timing.expressions import plains

# Zone and the UTC date of a change: 60, 30, 20-minute, 2-hour and 24-hour shifts, both ways, rules that were changed.
CHANGES = [
    ("Europe/Berlin", "2024-03-31"),
    ("Europe/Berlin", "2024-10-27"),
    ("Europe/Berlin", "1945-05-24"),  # double summer time
    ("Europe/Berlin", "1947-06-29"),
    ("America/New_York", "2024-03-10"),
    ("America/New_York", "2024-11-03"),
    ("Australia/Lord_Howe", "2024-04-06"),
    ("Australia/Lord_Howe", "2024-10-05"),
    ("Australia/Lord_Howe", "1981-02-28"),
    ("Pacific/Apia", "2011-12-30"),  # a day that was skipped
    ("Pacific/Apia", "2011-09-24"),
    ("Pacific/Kwajalein", "1993-08-21"),
    ("Pacific/Norfolk", "2015-10-03"),
    ("Asia/Pyongyang", "2018-05-04"),
    ("Asia/Kathmandu", "1985-12-31"),  # 15 minutes
    ("America/Caracas", "2007-12-09"),
    ("America/St_Johns", "2007-03-11"),  # at 00:01
    ("America/St_Johns", "2006-10-29"),
    ("America/Sao_Paulo", "2018-11-04"),  # midnight does not exist
    ("Africa/Casablanca", "2024-03-10"),
    ("Africa/Cairo", "2023-04-27"),
    ("Antarctica/Troll", "2024-03-31"),  # two hours
    ("Antarctica/Troll", "2024-10-27"),
    ("Europe/Dublin", "2024-03-31"),  # winter time is the exception in the database
    ("Europe/Moscow", "2011-03-26"),
    ("Europe/Moscow", "2014-10-25"),
    ("Asia/Gaza", "2040-10-20"),  # seven days at one offset
]


def _around(date: str) -> tuple[datetime, datetime]:
    middle = utc(date)
    return middle - timedelta(days=1), middle + timedelta(days=2)


def _cron(plain: Plain, zone: str, dst: str = "debian") -> Cron:
    try:
        return Cron(plain.text, zone, dst)  # type: ignore[arg-type]
    except CronError as error:
        assume(error.field != "day-of-month" or "no year" not in error.reason)
        raise


def _backwards(cron: Cron, start: datetime, end: datetime) -> list[datetime]:
    found = []
    moment = cron.prev(end)
    while moment is not None and moment >= start:
        found.append(moment)
        moment = cron.prev(moment)
    return found[::-1]


def _engine(cron: Cron, start: datetime, end: datetime) -> list[datetime]:
    return list(cron.between(start - timedelta(microseconds=1), end - timedelta(microseconds=1)))


@settings(max_examples=400, deadline=None)
@given(plain=plains(dense=True), change=st.sampled_from(CHANGES), dst=st.sampled_from(["debian", "debian", "real"]))
def test_both_directions_agree_with_trying_every_minute(plain: Plain, change: tuple[str, str], dst: str) -> None:
    zone, date = change
    start, end = _around(date)
    cron = _cron(plain, zone, dst)

    expected = scan(plain, ZoneInfo(zone), start, end, dst)
    assert _engine(cron, start, end) == expected
    assert _backwards(cron, start, end) == expected


@settings(max_examples=15, deadline=None)
@given(plain=plains(dense=True, seconds=True), change=st.sampled_from(CHANGES))
def test_seconds_agree_with_trying_every_second(plain: Plain, change: tuple[str, str]) -> None:
    zone, date = change
    cron = _cron(plain, zone)
    for window in cron.zone.window(int(utc(date).timestamp()) - 86400).hi, int(utc(date).timestamp()):
        start = datetime.fromtimestamp(window, UTC) - timedelta(hours=1, minutes=10)
        end = start + timedelta(hours=2, minutes=20)

        expected = scan(plain, ZoneInfo(zone), start, end)
        assert _engine(cron, start, end) == expected
        assert _backwards(cron, start, end) == expected


@settings(max_examples=40, deadline=None)
@given(plain=plains(dense=True), change=st.sampled_from(CHANGES))
def test_next_agrees_with_the_loop_of_vixie_cron(plain: Plain, change: tuple[str, str]) -> None:
    zone, date = change
    start, end = _around(date)

    assert _engine(_cron(plain, zone), start, end) == vixie(plain, ZoneInfo(zone), start, end)


_MOMENTS = st.datetimes(datetime(1950, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))
_ZONES = st.sampled_from(["UTC", *sorted({zone for zone, _ in CHANGES})])
_SPECIAL = st.sampled_from(
    ["0 0 L * *", "5 3 LW * *", "0 12 15W,L * *", "0 0 * * 5L", "30 2 * * SUN#5", "0 0 29 2 *", "0 0 1,31W * 1#1,FRI",
     "@weekly", "0 0 */7 * 1", "59 59 23 * * ?", "0 2 1W 1 0#1"]
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(
    text=st.one_of(
        _SPECIAL, plains().map(lambda plain: plain.text), plains(seconds=True).map(lambda plain: plain.text)
    ),
    zone=_ZONES,
    dst=st.sampled_from(["debian", "real"]),
    moment=_MOMENTS,
)
def test_next_and_prev_are_inverse_and_never_stand_still(text: str, zone: str, dst: str, moment: datetime) -> None:
    try:
        cron = Cron(text, zone, dst)  # type: ignore[arg-type]
    except CronError:
        assume(False)
    first = cron.next(moment)
    assume(first is not None)
    assert first is not None
    second = cron.next(first)
    assert second is not None

    assert moment < first < second
    assert cron.prev(second) == first
    assert cron.matches(first)
    assert cron.matches(second)
    before = cron.prev(moment)
    assert before is not None
    assert before < moment
    assert cron.next(before) in (first, moment)
    assert cron.upcoming(moment, 2) == [first, second]
    # Nothing lies between: firings found from any point in the gap are the same.
    between = first + (second - first) / 2
    assert cron.next(between) == second
    assert cron.prev(between) == first
    assert not cron.matches(between) or between == second


@settings(max_examples=100, deadline=None)
@given(plain=plains(), moment=_MOMENTS)
def test_an_answer_does_not_depend_on_what_was_asked_before(plain: Plain, moment: datetime) -> None:
    used = _cron(plain, "Europe/Berlin")
    for days in (40_000, -9_000, 3):
        used.next(moment + timedelta(days=days))
        used.prev(moment - timedelta(days=days))

    fresh = Cron(f" {plain.text}", "Europe/Berlin")  # a blank makes it a text that is not cached

    assert used.next(moment) == fresh.next(moment)
    assert used.prev(moment) == fresh.prev(moment)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"])
@pytest.mark.parametrize("text", ["30 2 * * *", "0 0 * * *", "15 1 * * *", "59 23 * * *", "15 2 * * *"])
def test_a_daily_job_runs_once_on_every_date_of_fifty_years(zone: str, text: str) -> None:
    """Each date on the wall has its run, or the run falls to the end of the gap that swallowed its time; none has two."""
    cron = Cron(text, zone)
    dates: dict[str, int] = {}
    moment = utc("1990-01-01")
    while moment < utc("2040-01-01"):
        following = cron.next(moment)
        assert following is not None
        moment = following
        date = moment.astimezone(ZoneInfo(zone)).date().isoformat()
        dates[date] = dates.get(date, 0) + 1

    day, missing, doubled = datetime(1990, 1, 3), [], [date for date, count in dates.items() if count > 1]
    while day < datetime(2039, 12, 30):
        if day.date().isoformat() not in dates:
            missing.append(day.date().isoformat())
        day += timedelta(days=1)

    assert doubled == []
    assert missing == (["2011-12-30"] if zone == "Pacific/Apia" else [])


def test_a_table_of_zone_changes_really_holds_changes() -> None:
    """A date that slipped would make every property above vacuous."""
    for zone, date in CHANGES:
        start, end = _around(date)
        assert start.astimezone(ZoneInfo(zone)).utcoffset() != end.astimezone(ZoneInfo(zone)).utcoffset(), (zone, date)
