"""Figures as people read them."""

from __future__ import annotations

from datetime import UTC, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.render.human import (
    age,
    ahead,
    bytes_word,
    clock_time,
    duration,
    iso_ms,
    millis,
    percent,
    plural,
    span,
    stamp,
    uptime_word,
)

from .records import NOW

DAY = 86400


@pytest.mark.parametrize(
    ("seconds", "word"),
    [
        (-5, "0s"),
        (0, "0s"),
        (0.9, "0s"),
        (59, "59s"),
        (119.9, "119s"),
        (120, "2m"),
        (7199, "119m"),
        (7200, "2h"),
        (47 * 3600, "47h"),
        (48 * 3600, "2D"),
        (59 * DAY, "59D"),
        (60 * DAY, "2M"),
        (729 * DAY, "24M"),
        (730 * DAY, "2Y"),
    ],
)
def test_uptime(seconds: float, word: str) -> None:
    assert uptime_word(seconds) == word


@pytest.mark.parametrize(
    ("size", "word"),
    [
        (0, "0b"),
        (512, "512b"),
        (1023, "1023b"),
        (1024, "1.0kb"),
        (1280, "1.3kb"),
        (3_250_586, "3.1mb"),
        (53_764_096, "51.3mb"),
        (1_610_612_736, "1.5gb"),
        (2 * 2**40, "2.0tb"),
    ],
)
def test_bytes(size: int, word: str) -> None:
    assert bytes_word(size) == word


@pytest.mark.parametrize(
    ("value", "word"), [(0.0, "0%"), (0.04, "0%"), (0.3, "0.3%"), (100.0, "100%"), (1234.56, "1234.6%")]
)
def test_percent(value: float, word: str) -> None:
    assert percent(value) == word


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0ms"),
        (0.12, "120ms"),
        (0.9999, "1s"),
        (1.0, "1s"),
        (4.2, "4.2s"),
        (9.96, "10s"),
        (59.6, "1m"),
        (80, "1m 20s"),
        (3600, "1h"),
        (11_100, "3h 5m"),
        (187_200, "2d 4h"),
        (-3, "0ms"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0s"), (42, "42s"), (60, "1m"), (119, "119s"), (120, "2m"), (3600, "1h"), (3 * DAY, "3d")],
)
def test_spans(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_past_and_future() -> None:
    assert (age(0.5), age(7200), ahead(0), ahead(-5), ahead(90)) == ("now", "2h ago", "now", "now", "in 90s")


@pytest.mark.parametrize(
    ("offset", "text"),
    [
        (3600, "09:00"),
        (-3600, "07:00"),
        (DAY, "Sat 08:00"),
        (-3 * DAY, "Tue 08:00"),
        (20 * DAY, "4 Feb 08:00"),
        (400 * DAY, "19 Feb 2028 08:00"),
        (-15 * DAY, "31 Dec 2026 08:00"),
    ],
)
def test_an_instant_is_as_short_as_it_is_unambiguous(offset: float, text: str) -> None:
    assert clock_time(NOW + offset, NOW, UTC) == text


def test_an_instant_in_full() -> None:
    assert stamp(NOW, timezone(timedelta(hours=-3, minutes=-30))) == "2027-01-15 04:30:00 -03:30"


def test_javascripts_iso_form() -> None:
    assert iso_ms(1_769_891_047.704) == "2026-01-31T20:24:07.704Z"


@given(milliseconds=st.integers(0, 2**42))
def test_milliseconds_survive(milliseconds: int) -> None:
    assert millis(milliseconds / 1000) == milliseconds


@given(seconds=st.floats(0, 1e9))
def test_a_longer_time_never_reads_shorter(seconds: float) -> None:
    letters = "smhDMY"
    one, two = uptime_word(seconds), uptime_word(seconds * 2 + 1)
    assert (letters.index(one[-1]), int(one[:-1])) <= (letters.index(two[-1]), int(two[:-1])) or two[-1] != one[-1]
    assert letters.index(one[-1]) <= letters.index(two[-1])


def test_plurals() -> None:
    assert (plural(1, "app"), plural(2, "app"), plural(0, "process", "processes")) == ("1 app", "2 apps", "0 processes")
