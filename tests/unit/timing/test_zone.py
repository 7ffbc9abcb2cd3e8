"""Offset windows against the compiled files of the tz database."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta, timezone
from importlib import resources
from zoneinfo import ZoneInfo

import pytest

from rota.timing.changes import affected, clock_changes
from rota.timing.cron import Cron
from rota.timing.zone import _STRIDE, Zone, zone
from tests.unit.timing.brute_force import utc


def changes_on_file(key: str) -> list[tuple[int, int, int]]:
    """(instant, offset before, offset after) of a compiled zone (RFC 8536, the 64-bit block)."""
    data = resources.files("tzdata.zoneinfo").joinpath(*key.split("/")).read_bytes()

    def counts(at: int) -> tuple[int, ...]:
        return struct.unpack(">6l", data[at + 20 : at + 44])

    isut, isstd, leap, times, types, chars = counts(0)
    second = 44 + times * 5 + types * 6 + chars + leap * 8 + isstd + isut
    _, _, _, times, types, _ = counts(second)
    at = second + 44
    instants = struct.unpack(f">{times}q", data[at : at + 8 * times])
    indices = data[at + 8 * times : at + 9 * times]
    offsets = [struct.unpack(">l", data[n : n + 4])[0] for n in range(at + 9 * times, at + 9 * times + 6 * types, 6)]
    found, before = [], offsets[0]
    for instant, index in zip(instants, indices, strict=True):
        if offsets[index] != before:
            found.append((instant, before, offsets[index]))
        before = offsets[index]
    return found


def zone_names() -> list[str]:
    return resources.files("tzdata").joinpath("zones").read_text("utf-8").split()


def test_no_zone_ever_stays_at_an_offset_for_less_than_two_looks() -> None:
    """What makes looking every few days enough; a future tz database that breaks it must be noticed here."""
    shortest = min(
        after - before
        for name in zone_names()
        for (before, _, _), (after, _, _) in zip(changes_on_file(name), changes_on_file(name)[1:], strict=False)
    )

    assert shortest > 2 * _STRIDE


@pytest.mark.parametrize(
    "name",
    ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Gaza", "America/Recife",
     "Africa/Casablanca", "Pacific/Kwajalein", "Asia/Manila", "Europe/Dublin"],
)  # fmt: skip
def test_every_change_on_file_is_found_and_no_other(name: str) -> None:
    with resources.files("tzdata.zoneinfo").joinpath(*name.split("/")).open("rb") as file:
        tz = Zone(name, ZoneInfo.from_file(file, name))  # the host's own database may be of another year
    on_file = changes_on_file(name)

    found = list(clock_changes(tz, -5e9, on_file[-1][0]))

    assert [(change.at, change.before, change.offset) for change in found] == on_file
    assert len(found) > 2


@pytest.mark.parametrize("name", ["UTC", "Etc/UTC", "Asia/Tokyo", "Europe/Berlin"])
def test_windows_are_gapless_and_right(name: str) -> None:
    tz = zone(name)
    instant = int(utc("2020-01-01").timestamp())
    end = int(utc("2026-01-01").timestamp())
    while instant < end:
        window = tz.window(instant)
        assert window.lo <= instant < window.hi
        assert window.offset == tz.offset(instant)
        assert window.before == tz.offset(window.lo - 1)
        if window.hi < end:
            assert tz.window(window.hi).lo == window.hi
            assert tz.window(window.hi).before == window.offset
        instant = window.hi


@pytest.mark.parametrize("given", ["Nowhere", "", "../../etc/passwd", "/etc/localtime", None, 5, object()])
def test_what_is_no_zone_is_refused(given: object) -> None:
    with pytest.raises(ValueError, match="time zone"):
        zone(given)  # type: ignore[arg-type]


def test_a_zone_is_shared() -> None:
    assert zone("Europe/Berlin") is zone(zone("Europe/Berlin").tzinfo)
    assert zone(UTC).name == "UTC"
    assert zone(timezone(timedelta(hours=2))).offset(0) == 7200


def _year(tz: str, text: str, dst: str = "debian") -> list[tuple[str, tuple[str, ...], str]]:
    cron = Cron(text, tz, dst)  # type: ignore[arg-type]
    start = datetime(2024, 1, 1, tzinfo=UTC).timestamp()
    return [(str(found.change), found.walls, found.effect) for found in affected(cron, start, start + 366 * 86400)]


def test_a_year_ahead_shows_which_times_a_clock_change_meets() -> None:
    spring = "2024-03-31: clocks go forward, 02:00 to 03:00 do not exist"
    autumn = "2024-10-27: clocks go back, 02:00 to 03:00 come twice"

    assert _year("Europe/Berlin", "30 2 * * *") == [
        (spring, ("2024-03-31 02:30",), "run once, at 03:00"),
        (autumn, ("2024-10-27 02:30",), "run once, the first time round"),
    ]
    assert _year("Europe/Berlin", "30 2 * * *", "real") == [
        (spring, ("2024-03-31 02:30",), "not run at all"),
        (autumn, ("2024-10-27 02:30",), "run twice"),
    ]
    assert _year("Europe/Berlin", "*/30 2 * * *") == []
    assert _year("Europe/Berlin", "30 4 * * *") == []
    assert _year("UTC", "30 2 * * *") == []


def test_many_times_are_listed_in_part() -> None:
    start = utc("2024-03-01").timestamp()
    (found,) = affected(Cron("0-59 2 * * *", "Europe/Berlin"), start, start + 40 * 86400)

    assert (len(found.walls), found.more) == (5, True)


def test_a_change_of_zone_is_told_from_a_season() -> None:
    start = utc("2011-12-01").timestamp()
    (found,) = affected(Cron("0 12 * * *", "Pacific/Apia"), start, start + 40 * 86400)

    assert not found.change.seasonal
    assert found.effect == "not run at all: the zone itself changes"
    assert str(found.change) == "2011-12-30: clocks go forward, 00:00 to 2011-12-31 00:00 do not exist"
