"""Every N seconds."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.timing.duration import DurationError
from rota.timing.interval import Every
from tests.unit.timing.brute_force import utc

_MOMENTS = st.datetimes(datetime(1980, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
_PERIODS = st.one_of(st.integers(1, 10**6).map(lambda ms: ms / 1000), st.integers(1, 10**6))


@given(seconds=_PERIODS, anchor=st.floats(0, 4e9), moment=_MOMENTS)
def test_next_and_prev_are_inverse(seconds: float, anchor: float, moment: datetime) -> None:
    every = Every(seconds, anchor)
    first = every.next(moment)
    assert first is not None
    second = every.next(first)
    assert second is not None

    assert moment < first < second
    assert second - first == timedelta(seconds=seconds)
    assert first - moment <= timedelta(seconds=seconds)
    assert every.prev(second) == first
    assert every.matches(first)
    assert every.upcoming(moment, 2) == [first, second]
    before = every.prev(first)
    assert before is not None
    assert before <= moment


@given(seconds=_PERIODS, moment=_MOMENTS)
def test_seconds_since_the_epoch_say_the_same(seconds: float, moment: datetime) -> None:
    every = Every(seconds)
    following = every.next(moment)
    assert following is not None

    assert every.first_after(moment.timestamp()) == following.timestamp()
    assert every.last_at(following.timestamp()) == following.timestamp()
    last = every.last_at(moment.timestamp())
    assert last is not None
    assert last <= moment.timestamp() < following.timestamp()


def test_aligned_to_the_epoch_all_processes_agree() -> None:
    assert Every("15m").upcoming(utc("2024-01-01T10:07:33"), 2) == [utc("2024-01-01T10:15"), utc("2024-01-01T10:30")]
    assert Every("1h").next(utc("2024-01-01T10:00")) == utc("2024-01-01T11:00")


def test_from_a_start() -> None:
    start = utc("2024-01-01T10:07:33")
    every = Every("15m", anchor=start.timestamp())

    assert every.next(start) == utc("2024-01-01T10:22:33")
    assert every.matches(start)
    assert every.explain() == "Every 15 minutes, counted from 2024-01-01 10:07:33 UTC."


def test_a_million_firings_do_not_drift() -> None:
    every = Every(0.1)
    start = utc("2024-01-01").timestamp()

    assert every.last_at(start + 100_000) == start + 100_000


def test_a_value() -> None:
    assert Every("90s") == Every(90.0) == pickle.loads(pickle.dumps(Every(90)))
    assert len({Every("90s"), Every(90)}) == 1
    assert Every(90) != Every(90, anchor=1.0)
    assert repr(Every(5400)) == "Every('1h30m')"
    assert Every(900).explain() == "Every 15 minutes."
    assert Every("1d").explain() == "Every day."
    assert Every(1).wild
    assert not Every(1).fixed


@pytest.mark.parametrize("bad", [0, "0s", 0.0001, -5, "often", float("nan")])
def test_what_is_no_interval_is_refused(bad: float | str) -> None:
    with pytest.raises(DurationError):
        Every(bad)


@pytest.mark.parametrize("method", ["next", "prev", "matches"])
def test_a_time_without_a_zone_is_an_error(method: str) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        getattr(Every(60), method)(datetime(2024, 1, 1))


def test_the_calendar_ends_without_an_error() -> None:
    last = datetime.max.replace(tzinfo=UTC)

    assert Every("1d").next(last) is None
    assert Every("1d").upcoming(last, 2) == []
    assert Every("1w").prev(datetime.min.replace(tzinfo=UTC)) is None
