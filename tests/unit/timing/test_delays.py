"""Misfires, offsets by hash, backoff."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.timing.backoff import Exponential, pm2_next
from rota.timing.jitter import offset, stable_hash
from rota.timing.misfire import ORDINARY, Verdict, default_catch_up, default_grace, judge

DAY, HOUR = 86400.0, 3600.0


@pytest.mark.parametrize(
    ("period", "wild", "grace"),
    [
        (DAY, False, 12 * HOUR),
        (7 * DAY, False, 12 * HOUR),
        (HOUR, False, HOUR / 2),
        (HOUR, True, HOUR / 2),
        (DAY, True, HOUR),
        (60, True, 30),
        (1, True, 1),
        (7, True, 5),
    ],
)
def test_the_grace_is_half_the_period_within_limits(period: float, wild: bool, grace: float) -> None:
    assert default_grace(period, wild) == grace


def test_fixed_times_are_caught_up_on_and_intervals_are_not() -> None:
    assert (default_catch_up(wild=False), default_catch_up(wild=True)) == ("one", "none")


@pytest.mark.parametrize(
    ("lateness", "catch_up", "verdict"),
    [
        (0.0, "none", Verdict.ON_TIME),
        (ORDINARY, "none", Verdict.ON_TIME),
        (ORDINARY + 1, "none", Verdict.NOT_WANTED),
        (ORDINARY + 1, "one", Verdict.CAUGHT_UP),
        (300.0, "one", Verdict.CAUGHT_UP),
        (301.0, "one", Verdict.TOO_LATE),
        (301.0, "none", Verdict.TOO_LATE),
    ],
)
def test_late_firings(lateness: float, catch_up: str, verdict: Verdict) -> None:
    assert judge(lateness, 300.0, catch_up) is verdict  # type: ignore[arg-type]
    assert verdict.runs == (verdict in (Verdict.ON_TIME, Verdict.CAUGHT_UP))


@given(key=st.text(), spread=st.floats(0, 1e6), gap=st.none() | st.floats(0.001, 1e6))
def test_an_offset_stays_below_the_spread_and_the_gap(key: str, spread: float, gap: float | None) -> None:
    found = offset(key, spread, gap)

    assert found >= 0
    assert found < spread or found == spread == 0 or spread < 0.001
    assert gap is None or found < gap


def test_an_offset_is_the_same_in_every_process() -> None:
    code = "from rota.timing.jitter import offset; print(offset('snapshot@db1', 300))"
    env = {"PYTHONHASHSEED": "7", "PYTHONPATH": ":".join(sys.path)}
    said = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True, timeout=60)

    assert float(said.stdout) == offset("snapshot@db1", 300) > 0


def test_offsets_of_similar_names_are_spread_evenly() -> None:
    found = [offset(f"job-{n}@host", 300) for n in range(3000)]
    tenths = [sum(1 for value in found if tenth * 30 <= value < tenth * 30 + 30) for tenth in range(10)]

    assert min(tenths) > 240
    assert max(tenths) < 360
    assert len({stable_hash(f"job-{n}") for n in range(3000)}) == 3000


def test_pm2_counts_as_pm2_does() -> None:
    waits = [100]
    for _ in range(8):
        waits.append(pm2_next(waits[-1]))

    assert waits == [100, 150, 225, 337, 505, 757, 1135, 1702, 2553]
    assert [pm2_next(wait) for wait in (14000, 15000, 20000, 1)] == [15000, 15000, 15000, 1]


@pytest.mark.parametrize("backoff", [Exponential(0.5), Exponential(0.0), Exponential(2.0, 1.0)])
def test_waits_never_get_shorter_and_stay_bounded(backoff: Exponential) -> None:
    waits = [backoff.delay(attempt) for attempt in [*range(1, 100), 10_000, 10**7]]

    assert waits == sorted(waits)
    assert waits[0] >= 0
    assert waits[-1] <= 3600


def test_exponential() -> None:
    assert [Exponential(30).delay(n) for n in range(1, 10)] == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]
    assert Exponential(0.0).delay(10**6) == 0.0
    assert Exponential(1.0, factor=1.5, cap=2.0).delay(2) == 1.5


@pytest.mark.parametrize(("first", "factor", "cap"), [(-1, 2, 10), (1, 0.5, 10), (1, 2, -1)])
def test_a_backoff_that_shrinks_is_refused(first: float, factor: float, cap: float) -> None:
    with pytest.raises(ValueError, match="backoff"):
        Exponential(first, factor, cap)
