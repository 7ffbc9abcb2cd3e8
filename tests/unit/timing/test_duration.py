"""Durations as people write them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.errors import SpecError
from rota.timing.duration import DurationError, format_duration, parse_duration, spell_duration


@pytest.mark.parametrize(
    ("given_text", "seconds"),
    [
        ("120s", 120.0),
        ("15m", 900.0),
        ("1h30m", 5400.0),
        ("1h 30m", 5400.0),
        ("500ms", 0.5),
        ("2d", 172800.0),
        ("1w2d3h4m5s6ms", 788645.006),
        ("1.5h", 5400.0),
        (".5s", 0.5),
        ("0", 0.0),
        ("90", 90.0),
        (" 90S ", 90.0),
        ("10M", 600.0),
        ("1 h", 3600.0),
        (90, 90.0),
        (0.25, 0.25),
        (timedelta(minutes=2), 120.0),
    ],
)
def test_parse(given_text: object, seconds: float) -> None:
    assert parse_duration(given_text) == seconds  # type: ignore[arg-type]


def test_plain_numbers_count_in_the_unit_of_the_place() -> None:
    assert parse_duration(1600, unit="ms") == 1.6
    assert parse_duration("1600", unit="ms") == 1.6
    assert parse_duration("3s", unit="ms") == 3.0


@pytest.mark.parametrize(
    "bad",
    ["", " ", "s", "5x", "5 minutes", "1h1h", "30m1h", "-5s", "5s-", "1..5s", "1.5.5s", "5s,", "m5", "1e3s", "inf", "nan",
     "٥s", "1h30", -1, float("nan"), float("inf"), True, None, [], b"5s", 1e12, timedelta(seconds=-1)],
)  # fmt: skip
def test_what_is_no_duration_is_refused(bad: object) -> None:
    with pytest.raises(DurationError) as caught:
        parse_duration(bad)  # type: ignore[arg-type]

    assert isinstance(caught.value, SpecError)
    assert isinstance(caught.value, ValueError)
    assert caught.value.hint


@given(ms=st.integers(0, 10**10))
def test_what_is_formatted_reads_back(ms: int) -> None:
    assert parse_duration(format_duration(ms / 1000)) == pytest.approx(ms / 1000, abs=1e-9)


@pytest.mark.parametrize(
    ("seconds", "short", "spelled"),
    [
        (900, "15m", "15 minutes"),
        (5400, "1h30m", "1 hour 30 minutes"),
        (86400, "1d", "day"),
        (0.5, "500ms", "500 milliseconds"),
        (0, "0s", "0 seconds"),
        (1, "1s", "second"),
    ],
)
def test_format_and_spell(seconds: float, short: str, spelled: str) -> None:
    assert (format_duration(seconds), spell_duration(seconds)) == (short, spelled)
