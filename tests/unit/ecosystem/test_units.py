from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.ecosystem import units
from rota.ecosystem.problems import Wrong


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (0, 0),
        (1048576, 1048576),
        (1.0, 1),
        ("300", 300),
        ("1K", 1024),
        ("300M", 300 * 1024**2),
        ("2G", 2 * 1024**3),
        ("1.5G", 1536 * 1024**2),
        ("100MB", 100 * 1024**2),
        ("100mb", 100 * 1024**2),
        ("64 MiB", 64 * 1024**2),
        (" 5k ", 5120),
        ("1T", 1024**4),
        ("12B", 12),
    ],
)
def test_sizes(text: Any, expected: int) -> None:
    assert units.size(text) == expected


@pytest.mark.parametrize("text", ["", "M", "1,5G", "1GM", "-1", -1, "ten", True, None, [], float("nan"), float("inf")])
def test_what_is_no_size(text: Any) -> None:
    with pytest.raises(Wrong, match="must be a size"):
        units.size(text)


@given(st.integers(min_value=0, max_value=2**50))
def test_sizes_round_trip(count: int) -> None:
    assert units.size(units.format_size(count)) == count


@pytest.mark.parametrize(
    ("given", "milliseconds", "duration"),
    [
        (0, 0, 0),
        ("0", 0, 0),
        (1600, 1.6, None),
        ("3000", 3, None),
        (1.5, 0.0015, None),
        ("5s", 5, 5),
        ("500ms", 0.5, 0.5),
        ("2m", 120, 120),
        ("1h30m", 5400, 5400),
        ("1d 2h", 93600, 93600),
        ("1.5h", 5400, 5400),
        ("5S", 5, 5),
    ],
)
def test_durations(given: Any, milliseconds: float, duration: float | None) -> None:
    """PM2's files count milliseconds; the native form wants a unit, as a bare number may mean either."""
    assert units.milliseconds(given) == pytest.approx(milliseconds)
    if duration is not None:
        assert units.duration(given) == duration
    else:
        with pytest.raises(Wrong, match="needs a unit"):
            units.duration(given)


@pytest.mark.parametrize(
    "given", ["", "s", "1x", "1s1h", "-5s", -1, True, None, {}, float("nan"), float("inf"), "200000w"]
)
def test_what_is_no_duration(given: Any) -> None:
    for reader in (units.milliseconds, units.seconds, units.duration):
        with pytest.raises(Wrong, match="must be a time"):
            reader(given)


def test_a_bare_number_is_explained() -> None:
    with pytest.raises(Wrong) as caught:
        units.duration(30)

    assert caught.value.hint == 'write "30s" or "30ms"'


def test_watch_delay_counts_seconds() -> None:
    assert units.seconds("2") == 2
    assert units.seconds("4000ms") == 4


def test_error_texts_show_short_values_only() -> None:
    assert units.shown("abc") == 'the text "abc"'
    assert units.shown("x" * 41) == "a long text"
    assert units.shown({"TOKEN": "secret"}) == "an object"
