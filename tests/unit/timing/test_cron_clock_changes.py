"""The table of clock changes, case by case.

Europe/Berlin 2024: on March 31 the clock goes from 02:00 +01:00 to 03:00 +02:00 (01:00 UTC); on October 27 from 03:00
+02:00 back to 02:00 +01:00 (01:00 UTC). Lord Howe 2024: April 7 back from 02:00 +11:00 to 01:30 +10:30 (April 6, 15:00
UTC); October 6 from 02:00 +10:30 to 02:30 +11:00 (October 5, 15:30 UTC).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from rota.timing.cron import Cron
from tests.unit.timing.brute_force import utc

MARCH = ("2024-03-31T00:00", "2024-03-31T03:00")  # UTC around the gap: 01:00+01 to 05:00+02
OCTOBER = ("2024-10-26T23:00", "2024-10-27T03:00")  # UTC around the overlap: 01:00+02 to 04:00+01


def firings(text: str, span: tuple[str, str], tz: str = "Europe/Berlin", dst: str = "debian") -> list[str]:
    """Local times with offset of what fires in the span, its start included; the same in both directions."""
    cron = Cron(text, tz, dst)  # type: ignore[arg-type]
    start, end = utc(span[0]) - timedelta(microseconds=1), utc(span[1]) - timedelta(microseconds=1)
    found = list(cron.between(start, end))
    backwards, moment = [], cron.prev(end + timedelta(microseconds=1))
    while moment is not None and moment > start:
        backwards.append(moment)
        moment = cron.prev(moment)
    assert backwards[::-1] == found
    return [f"{moment.astimezone(ZoneInfo(tz)):%H:%M:%S%z}"[:-2] for moment in found]


@pytest.mark.parametrize(
    ("text", "march"),
    [
        ("30 2 * * *", ["03:00:00+02"]),
        ("0,30 2 * * *", ["03:00:00+02"]),
        ("0,30 2,3 * * *", ["03:00:00+02", "03:30:00+02"]),
        ("30 1,2 * * *", ["01:30:00+01", "03:00:00+02"]),
        ("59 1 * * *", ["01:59:00+01"]),
        ("0 3 * * *", ["03:00:00+02"]),
        ("0 2 * * *", ["03:00:00+02"]),
        ("15-45/5 2 * * *", ["03:00:00+02"]),
        ("*/30 2 * * *", []),
        ("*/30 2,3 * * *", ["03:00:00+02", "03:30:00+02"]),
        ("0 */2 * * *", ["04:00:00+02"]),
        ("30 */2 * * *", ["04:30:00+02"]),
        ("30 2 * * 1", []),  # a Monday job does not mind a Sunday's gap
        ("30 2 31 * *", ["03:00:00+02"]),
        ("0 30 2 * * *", ["03:00:00+02"]),
        ("15 30 2 * * *", ["03:00:00+02"]),
        ("*/20 30 2 * * *", []),
        ("0 */30 * * * *", ["01:00:00+01", "01:30:00+01", "03:00:00+02", "03:30:00+02", "04:00:00+02", "04:30:00+02"]),
    ],
)
def test_spring_in_berlin(text: str, march: list[str]) -> None:
    assert firings(text, MARCH) == march


@pytest.mark.parametrize(
    ("text", "october"),
    [
        ("30 2 * * *", ["02:30:00+02"]),
        ("0,30 2 * * *", ["02:00:00+02", "02:30:00+02"]),
        ("30 1,2 * * *", ["01:30:00+02", "02:30:00+02"]),
        ("0 3 * * *", ["03:00:00+01"]),
        ("0 2,3 * * *", ["02:00:00+02", "03:00:00+01"]),
        ("*/30 2 * * *", ["02:00:00+02", "02:30:00+02", "02:00:00+01", "02:30:00+01"]),
        (
            "*/30 * * * *",
            ["01:00:00+02", "01:30:00+02", "02:00:00+02", "02:30:00+02", "02:00:00+01", "02:30:00+01", "03:00:00+01",
             "03:30:00+01"],
        ),
        ("15 * * * *", ["01:15:00+02", "02:15:00+02", "02:15:00+01", "03:15:00+01"]),
        ("0 */2 * * *", ["02:00:00+02", "02:00:00+01"]),
        ("0 30 2 * * *", ["02:30:00+02"]),
        ("*/30 30 2 * * *", ["02:30:00+02", "02:30:30+02", "02:30:00+01", "02:30:30+01"]),
    ],
)  # fmt: skip
def test_autumn_in_berlin(text: str, october: list[str]) -> None:
    assert firings(text, OCTOBER) == october


@pytest.mark.parametrize(
    ("text", "march", "october"),
    [
        ("30 2 * * *", [], ["02:30:00+02", "02:30:00+01"]),
        ("0 3 * * *", ["03:00:00+02"], ["03:00:00+01"]),
        ("*/30 2 * * *", [], ["02:00:00+02", "02:30:00+02", "02:00:00+01", "02:30:00+01"]),
    ],
)
def test_real_maps_every_match_to_wall_minutes(text: str, march: list[str], october: list[str]) -> None:
    assert firings(text, MARCH, dst="real") == march
    assert firings(text, OCTOBER, dst="real") == october


def test_half_an_hour_in_lord_howe() -> None:
    back, forward = ("2024-04-06T14:00", "2024-04-06T16:30"), ("2024-10-05T14:30", "2024-10-05T17:00")
    zone = "Australia/Lord_Howe"

    assert firings("45 1 * * *", back, zone) == ["01:45:00+11"]
    assert firings("45 * * * *", back, zone) == ["01:45:00+11", "01:45:00+10", "02:45:00+10"]
    assert firings("0 */2 * * *", back, zone) == ["02:00:00+10"]
    assert firings("15 2 * * *", forward, zone) == ["02:30:00+11"]
    assert firings("0,15 2 * * *", forward, zone) == ["02:30:00+11"]
    assert firings("15,30,45 2 * * *", forward, zone) == ["02:30:00+11", "02:45:00+11"]
    assert firings("*/15 * * * *", forward, zone)[3:6] == ["01:45:00+10", "02:30:00+11", "02:45:00+11"]
    assert firings("0 */2 * * *", forward, zone) == []


def test_new_york_both_ways() -> None:
    assert firings("30 2 * * *", ("2024-03-10T06:00", "2024-03-10T09:00"), "America/New_York") == ["03:00:00-04"]
    assert firings("30 1 * * *", ("2024-11-03T04:00", "2024-11-03T08:00"), "America/New_York") == ["01:30:00-04"]


def test_a_skipped_midnight_runs_at_one_in_sao_paulo() -> None:
    assert firings("0 0 * * *", ("2018-11-04T02:00", "2018-11-04T05:00"), "America/Sao_Paulo") == ["01:00:00-02"]


def test_nothing_is_made_up_for_the_day_samoa_skipped() -> None:
    """December 30, 2011 does not exist in Apia: the clock went from the 29th, 24:00 -10 to the 31st, 00:00 +14."""
    cron = Cron("30 12 * * *", "Pacific/Apia")

    assert cron.upcoming(utc("2011-12-29T20:00"), 2) == [utc("2011-12-29T22:30"), utc("2011-12-30T22:30")]
    assert Cron("0 12 30 12 *", "Pacific/Apia").next(utc("2011-01-01")) == utc("2012-12-29T22:00")


def test_a_gap_of_under_three_hours_is_made_up_for_in_troll() -> None:
    """Two hours at once: 01:00 +00 to 03:00 +02."""
    assert firings("30 1 * * *", ("2024-03-31T00:00", "2024-03-31T05:00"), "Antarctica/Troll") == ["03:00:00+02"]
    assert firings("30 1,2 * * *", ("2024-03-31T00:00", "2024-03-31T05:00"), "Antarctica/Troll") == ["03:00:00+02"]


def test_from_inside_the_second_pass_the_answer_is_later_and_on_the_next_day() -> None:
    second_pass = utc("2024-10-27T01:30")  # 02:30 +01:00

    assert Cron("45 2 * * *", "Europe/Berlin").next(second_pass) == utc("2024-10-28T01:45")
    assert Cron("*/15 2 * * *", "Europe/Berlin").next(second_pass) == utc("2024-10-27T01:45")
    assert Cron("45 2 * * *", "Europe/Berlin").prev(second_pass) == utc("2024-10-27T00:45")
    local = datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin"))
    assert Cron("45 2 * * *", "Europe/Berlin").next(local) == utc("2024-10-28T01:45")
    assert Cron("45 2 * * *", "Europe/Berlin").next(local.replace(fold=0)) == utc("2024-10-27T00:45")


@pytest.mark.parametrize("start", ["2024-03-31T00:59:59", "2024-03-31T00:59:59.999999", "2024-03-30T12:00"])
def test_the_run_after_the_gap_is_found_from_anywhere_before_it(start: str) -> None:
    assert Cron("30 2 * * *", "Europe/Berlin").next(utc(start)) == utc("2024-03-31T01:00")


def test_the_run_after_the_gap_happens_once() -> None:
    cron = Cron("30 2 * * *", "Europe/Berlin")

    assert cron.next(utc("2024-03-31T01:00")) == utc("2024-04-01T00:30")
    assert cron.prev(utc("2024-04-01T00:30")) == utc("2024-03-31T01:00")
    assert cron.prev(utc("2024-03-31T01:00:00.000001")) == utc("2024-03-31T01:00")
    assert cron.prev(utc("2024-03-31T01:00")) == utc("2024-03-30T01:30")


def test_matches_knows_what_runs_and_what_does_not() -> None:
    cron = Cron("30 2 * * *", "Europe/Berlin")

    assert cron.matches(utc("2024-03-31T01:00"))  # made up for
    assert cron.matches(utc("2024-10-27T00:30"))  # first pass
    assert not cron.matches(utc("2024-10-27T01:30"))  # second pass
    assert Cron("30 2 * * *", "Europe/Berlin", "real").matches(utc("2024-10-27T01:30"))
    assert not cron.matches(utc("2024-05-01T00:30:00.5"))
    assert not cron.matches(utc("2024-05-01T00:30:01"))
    assert cron.matches(datetime(2024, 5, 1, 2, 30, tzinfo=ZoneInfo("Europe/Berlin")))
