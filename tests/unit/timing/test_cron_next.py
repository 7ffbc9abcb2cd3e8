"""Plain cases in UTC, edges of the calendar, and the shape of the answers."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest

from rota.timing.cron import Cron
from tests.unit.timing.brute_force import utc


@pytest.mark.parametrize(
    ("text", "start", "expected"),
    [
        ("* * * * *", "2024-01-01T00:00", "2024-01-01T00:01"),
        ("* * * * *", "2024-01-01T00:00:59.999999", "2024-01-01T00:01"),
        ("* * * * *", "2023-12-31T23:59", "2024-01-01T00:00"),
        ("15 10 * * *", "2024-01-01T10:14:59.5", "2024-01-01T10:15"),
        ("15 10 * * *", "2024-01-01T10:15", "2024-01-02T10:15"),
        ("15 10 * * *", "2024-01-01T10:15:00.5", "2024-01-02T10:15"),
        ("* * * * * *", "2024-01-01T00:00:00.5", "2024-01-01T00:00:01"),
        ("*/10 * * * * *", "2024-01-01T00:00:51", "2024-01-01T00:01"),
        ("0 9 * * 1-5", "2024-06-07T09:00", "2024-06-10T09:00"),
        ("0 0 29 2 *", "2024-02-29T00:00", "2028-02-29T00:00"),
        ("0 0 29 2 *", "2096-02-29T00:00", "2104-02-29T00:00"),  # 2100 is no leap year
        ("0 0 L * *", "2024-02-01T00:00", "2024-02-29T00:00"),
        ("0 0 L * *", "2023-02-01T00:00", "2023-02-28T00:00"),
        ("0 0 L 4 *", "2024-01-01T00:00", "2024-04-30T00:00"),
        # LW: the last working day
        ("0 0 LW * *", "2024-03-01T00:00", "2024-03-29T00:00"),  # the 31st is a Sunday
        ("0 0 LW * *", "2024-08-01T00:00", "2024-08-30T00:00"),  # the 31st is a Saturday
        ("0 0 LW * *", "2024-07-01T00:00", "2024-07-31T00:00"),
        # nW: the working day nearest, never in another month
        ("0 0 15W * *", "2024-06-01T00:00", "2024-06-14T00:00"),  # Saturday -> Friday
        ("0 0 15W * *", "2024-09-01T00:00", "2024-09-16T00:00"),  # Sunday -> Monday
        ("0 0 15W * *", "2024-07-01T00:00", "2024-07-15T00:00"),
        ("0 0 1W * *", "2024-05-31T00:00", "2024-06-03T00:00"),  # Saturday the 1st -> Monday the 3rd
        ("0 0 1W * *", "2024-08-31T00:00", "2024-09-02T00:00"),
        ("0 0 31W * *", "2024-03-01T00:00", "2024-03-29T00:00"),  # Sunday the 31st -> Friday
        ("0 0 31W * *", "2024-04-01T00:00", "2024-05-31T00:00"),  # no 31st in April
        ("0 0 30w * *", "2024-02-01T00:00", "2024-03-29T00:00"),  # none in February; March 30 is a Saturday
        # d#k and dL
        ("0 0 * * MON#1", "2024-06-01T00:00", "2024-06-03T00:00"),
        ("0 0 * * 5#5", "2024-01-01T00:00", "2024-03-29T00:00"),
        ("0 0 * * 7#2", "2024-06-01T00:00", "2024-06-09T00:00"),
        ("0 0 * * 5L", "2024-06-01T00:00", "2024-06-28T00:00"),
        ("0 0 * * friL", "2024-06-28T00:00", "2024-07-26T00:00"),
        ("0 0 * * 7L", "2024-06-01T00:00", "2024-06-30T00:00"),
        ("0 0 * * 1#1,FRI", "2024-06-01T00:00", "2024-06-03T00:00"),
        ("0 0 * * 1#1,FRI", "2024-06-03T00:00", "2024-06-07T00:00"),
        ("0 0 1,L * *", "2024-06-01T00:00", "2024-06-30T00:00"),
        # Debian's day rule
        ("0 0 13 * 5", "2024-06-01T00:00", "2024-06-07T00:00"),  # either
        ("0 0 13 * 5", "2024-06-12T00:00", "2024-06-13T00:00"),
        ("0 0 */10 * 5", "2024-06-01T00:00", "2024-06-21T00:00"),  # a star: both
        ("0 0 1-31/10 * 5", "2024-06-01T00:00", "2024-06-07T00:00"),  # no star: either
        ("0 0 13 * */2", "2024-06-01T00:00", "2024-06-13T00:00"),  # Thursday the 13th is even: both hold
        ("0 0 13 * */5", "2024-06-01T00:00", "2024-09-13T00:00"),  # Sunday or Friday, and the 13th
        ("0 0 ? * 5", "2024-06-01T00:00", "2024-06-07T00:00"),
        ("0 0 13 * ?", "2024-06-01T00:00", "2024-06-13T00:00"),
        ("0 0 *,13 * 5", "2024-06-01T00:00", "2024-06-07T00:00"),
        ("0 0 13,* * 5", "2024-06-01T00:00", "2024-06-02T00:00"),  # begins with a number: either, so every day
        ("0 0 1 1-12/3 *", "2024-02-01T00:00", "2024-04-01T00:00"),
    ],
)
def test_next(text: str, start: str, expected: str) -> None:
    cron = Cron(text)
    found = cron.next(utc(start))

    assert found == utc(expected)
    assert found is not None
    assert found.tzinfo is UTC
    assert cron.prev(found + timedelta(microseconds=1)) == found


@pytest.mark.parametrize(
    ("text", "start", "expected"),
    [
        ("* * * * *", "2024-01-01T00:00", "2023-12-31T23:59"),
        ("* * * * *", "2024-01-01T00:00:00.000001", "2024-01-01T00:00"),
        ("30 2 * * *", "2024-01-01T02:30", "2023-12-31T02:30"),
        ("0 0 29 2 *", "2104-02-29T00:00", "2096-02-29T00:00"),
        ("59 59 23 31 12 *", "2024-06-01T00:00", "2023-12-31T23:59:59"),
        ("0 0 * * MON#1", "2024-06-03T00:00", "2024-05-06T00:00"),
    ],
)
def test_prev(text: str, start: str, expected: str) -> None:
    assert Cron(text).prev(utc(start)) == utc(expected)


def test_february_29_on_a_monday_is_found_across_forty_years() -> None:
    assert Cron("0 0 29 2 */7").upcoming(utc("2024-03-01"), 3) == [
        utc("2032-02-29"), utc("2060-02-29"), utc("2088-02-29"),
    ]  # fmt: skip
    assert Cron("0 0 29-29/2 2 *").next(utc("2024-03-01")) == utc("2028-02-29")


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_the_calendar_ends_without_an_error(zone: str) -> None:
    cron = Cron("0 12 * * *", zone)
    last, first = datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)

    assert cron.next(last) is None
    assert cron.prev(first) is None
    assert cron.upcoming(last, 3) == []
    assert (found := cron.prev(last)) is not None
    assert found.year == 9999
    assert (found := cron.next(first)) is not None
    assert found.year == 1
    assert cron.next(datetime(9999, 12, 29, tzinfo=UTC)) is not None


def test_a_start_in_any_zone_is_the_same_instant() -> None:
    start = datetime(2024, 1, 1, 5, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))

    assert Cron("0 1 * * *").next(start) == utc("2024-01-01T01:00")


@pytest.mark.parametrize("method", ["next", "prev", "matches"])
def test_a_time_without_a_zone_is_an_error(method: str) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        getattr(Cron("* * * * *"), method)(datetime(2024, 1, 1))


@pytest.mark.parametrize("n", [0, -1])
def test_no_firings_are_asked_for(n: int) -> None:
    assert Cron("* * * * *").upcoming(utc("2024-01-01"), n) == []


def test_upcoming_and_between() -> None:
    cron = Cron("0 */6 * * *")

    assert cron.upcoming(utc("2024-01-01"), 3) == [utc(f"2024-01-01T{hour}:00") for hour in ("06", "12", "18")]
    assert list(cron.between(utc("2024-01-01"), utc("2024-01-01T12:00"))) == cron.upcoming(utc("2024-01-01"), 2)


def test_seconds_since_the_epoch_say_the_same_as_datetimes() -> None:
    cron = Cron("30 2 * * *", "Europe/Berlin")
    noon = utc("2024-03-30T12:00").timestamp()

    assert cron.first_after(utc("2024-04-01T00:30").timestamp()) == utc("2024-04-02T00:30").timestamp()
    assert cron.first_after(noon) == utc("2024-03-31T01:00").timestamp()
    assert cron.first_after(utc("2024-03-31T01:00").timestamp() - 0.25) == utc("2024-03-31T01:00").timestamp()
    assert cron.last_at(utc("2024-03-31T01:00").timestamp()) == utc("2024-03-31T01:00").timestamp()
    assert cron.last_at(noon) == utc("2024-03-30T01:30").timestamp()


def test_one_expression_serves_many_threads() -> None:
    """What the engine remembers of the last month is replaced whole, never changed in place."""
    cron = Cron("0 0 1,15,L * *", "America/New_York")
    starts = [utc(f"{year}-{month:02}-10") for year in range(2000, 2020) for month in (1, 6, 12)]
    expected = [Cron("0 0 1,15,L * * ".rstrip(), "America/New_York").next(start) for start in starts]
    wrong: list[datetime] = []

    def ask(order: int) -> None:
        for _ in range(30):
            pairs = list(zip(starts, expected, strict=True))[::order]
            wrong.extend(start for start, answer in pairs if cron.next(start) != answer)

    threads = [threading.Thread(target=ask, args=(order,)) for order in (1, -1, 7, -11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []
