"""day.js tokens."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.errors import SpecError
from rota.logs.dates import DateFormat, iso_utc, zone

PARIS = ZoneInfo("Europe/Paris")
AT = datetime(2026, 1, 3, 15, 4, 5, 78_900, PARIS).timestamp()
MIDNIGHT = datetime(2026, 7, 31, 0, 0, 0, 0, PARIS).timestamp()


@pytest.mark.parametrize(
    ("text", "afternoon", "midnight"),
    [
        ("YYYY-MM-DD HH:mm:ss", "2026-01-03 15:04:05", "2026-07-31 00:00:00"),
        ("YYYY-MM-DDTHH:mm:ss.SSSZ", "2026-01-03T15:04:05.078+01:00", "2026-07-31T00:00:00.000+02:00"),
        ("YY M D H m s ZZ", "26 1 3 15 4 5 +0100", "26 7 31 0 0 0 +0200"),
        ("ddd MMM DD YYYY h:mm A", "Sat Jan 03 2026 3:04 PM", "Fri Jul 31 2026 12:00 AM"),
        ("dddd D MMMM, hh a d dd", "Saturday 3 January, 03 pm 6 Sa", "Friday 31 July, 12 am 5 Fr"),
        ("[YYYY] [at] HH", "YYYY at 15", "YYYY at 00"),
        ("SSS", "078", "000"),
        ("Q x", "Q x", "Q x"),
        ("", "", ""),
    ],
)
def test_tokens_mean_what_they_mean_in_dayjs(text: str, afternoon: str, midnight: str) -> None:
    date = DateFormat(text, PARIS)

    assert (date(AT), date(MIDNIGHT)) == (afternoon, midnight)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Do Q DDDD DDD", "3rd 1 003 3"),
        ("X x", "1767449045 1767449045078"),
        ("S SS SSSSSS", "0 07 078900"),
        ("kk W E", "15 1 6"),
    ],
)
def test_extended_formats_also_know_the_tokens_of_moment(text: str, expected: str) -> None:
    assert DateFormat(text, PARIS, extended=True)(AT) == expected


def test_a_half_hour_west_of_utc_is_signed_and_padded() -> None:
    newfoundland = DateFormat("Z ZZ", ZoneInfo("America/St_Johns"))

    assert newfoundland(AT) == "-03:30 -0330"


@given(st.integers(0, 4_102_444_800_000))
def test_javascripts_iso_form_reads_back_as_the_same_millisecond(millis: int) -> None:
    text = iso_utc(millis / 1000)

    back = datetime.fromisoformat(text.replace("Z", "+00:00"))
    assert round(back.timestamp() * 1000) == millis


@given(st.lists(st.integers(0, 3_000_000_000_000), min_size=2, max_size=20))
def test_what_is_remembered_from_one_second_never_shows_in_another(millis: list[int]) -> None:
    used = DateFormat("YYYY-MM-DD HH:mm:ss.SSS", UTC)

    assert [used(at / 1000) for at in millis] == [DateFormat(used.text, UTC)(at / 1000) for at in millis]


def test_an_unknown_zone_is_refused_with_a_hint() -> None:
    with pytest.raises(SpecError, match="Mars/Olympus"):
        zone("Mars/Olympus")
