"""The meter: never one token too many in any window, and never one token withheld that is there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.timing.meter import EXACT_UP_TO, BudgetRule, Meter

T0 = 1_700_000_000.0

steps = st.lists(st.tuples(st.floats(0, 30), st.integers(1, 4)), max_size=60)


def spent_in_window(grants: list[tuple[float, float]], end: float, per: float) -> float:
    return sum(cost for at, cost in grants if end - per + 1e-5 < at <= end)


@given(steps=steps, limit=st.integers(4, 12), per=st.floats(1, 60))
def test_no_window_ever_sees_more_than_the_limit(steps: list[tuple[float, int]], limit: int, per: float) -> None:
    meter, now, grants = Meter(BudgetRule("k", limit, per, limit)), T0, []
    for passed, cost in steps:
        now += passed
        if meter.take(cost, now) == 0.0:
            grants.append((now, float(cost)))
        assert spent_in_window(grants, now, per) <= limit


@given(steps=steps, limit=st.integers(4, 12), per=st.floats(1, 60))
def test_a_take_is_refused_only_when_the_window_is_full(steps: list[tuple[float, int]], limit: int, per: float) -> None:
    meter, now, grants = Meter(BudgetRule("k", limit, per, limit)), T0, []
    for passed, cost in steps:
        now += passed
        full = sum(spent for at, spent in grants if at > now - per - 1e-5) + cost > limit
        wait = meter.take(cost, now)
        if wait == 0.0:
            grants.append((now, float(cost)))
        else:
            assert full


@given(steps=steps, limit=st.integers(4, 12), burst=st.integers(1, 4), per=st.floats(1, 60))
def test_a_steady_budget_keeps_the_bound_of_a_token_bucket(
    steps: list[tuple[float, int]], limit: int, burst: int, per: float
) -> None:
    meter, now, grants = Meter(BudgetRule("k", limit, per, burst, window=False)), T0, []
    for passed, cost in steps:
        now += passed
        if meter.take(cost, now) == 0.0:
            grants.append((now, float(cost)))
    for i, (start, _) in enumerate(grants):
        total = 0.0
        for at, cost in grants[i:]:
            total += cost
            assert total <= burst + (at - start) * limit / per + 1e-3


@given(steps=steps, limit=st.integers(4, 12), burst=st.integers(1, 12), per=st.floats(1, 60), window=st.booleans())
def test_after_the_wait_that_was_named_the_take_succeeds(
    steps: list[tuple[float, int]], limit: int, burst: int, per: float, window: bool
) -> None:
    meter, now = Meter(BudgetRule("k", limit, per, min(burst, limit), window)), T0
    for passed, cost in steps:
        now += passed
        wait = meter.take(cost, now)
        if wait == float("inf"):
            assert cost > min(burst, limit)
            continue
        if wait > 0.0:
            assert meter.take(cost, now + wait * 0.999 - 2e-5) > 0.0
            now += wait
            assert meter.take(cost, now) == 0.0


@given(steps=steps, limit=st.integers(4, 12), per=st.floats(1, 60), window=st.booleans())
def test_reservations_keep_the_bound_too(steps: list[tuple[float, int]], limit: int, per: float, window: bool) -> None:
    meter, now, grants = Meter(BudgetRule("k", limit, per, limit, window)), T0, []
    for passed, cost in steps:
        now += passed
        grants.append((now + meter.reserve(cost, now), float(cost)))
    assert [at for at, _ in grants] == sorted(at for at, _ in grants)
    for at, _ in grants:
        bound = limit if window else 2 * limit + 1e-3
        assert spent_in_window(grants, at, per) <= bound


@given(
    limit=st.integers(EXACT_UP_TO + 1, 5000), per=st.floats(0.5, 100), steps=st.lists(st.floats(0, 0.05), max_size=300)
)
def test_a_large_budget_remembers_little_and_never_too_little(limit: int, per: float, steps: list[float]) -> None:
    meter, now, grants = Meter(BudgetRule("k", limit, per, limit)), T0, []
    for share in steps:
        now += share * per
        if meter.take(limit / 20, now) == 0.0:
            grants.append((now, limit / 20))
        assert spent_in_window(grants, now, per) <= limit + 1e-6
        assert len(meter.spent) <= 3 * (2 * EXACT_UP_TO + 2)


@given(steps=steps, limit=st.integers(4, 12), window=st.booleans())
def test_what_is_given_back_is_as_if_it_was_never_taken(
    steps: list[tuple[float, int]], limit: int, window: bool
) -> None:
    rule = BudgetRule("k", limit, 10.0, limit, window)
    meter, other, now = Meter(rule), Meter(rule), T0
    for passed, cost in steps:
        now += passed
        if meter.wait(cost, now) == 0.0:
            meter.spend(cost, now)
            meter.give_back(cost, now)
        assert meter.tokens(now) == pytest.approx(other.tokens(now), abs=1e-3)
        assert (meter.take(1, now) == 0.0) == (other.take(1, now) == 0.0)


def test_state_survives_being_stored() -> None:
    rule = BudgetRule("k", 5, 10.0, 3)
    meter = Meter(rule)
    for k in range(3):
        assert meter.take(1, T0 + k) == 0.0
    again = Meter(rule, meter.state[0], meter.spent.tobytes(), meter.blocked_until)
    for at in (3.0, 5.0, 9.9, 10.0, 12.0):
        assert again.tokens(T0 + at) == meter.tokens(T0 + at)


def test_tokens_come_back_when_they_are_old() -> None:
    meter = Meter(BudgetRule("k", 3, 60.0, 3))
    for at in (0, 10, 20):
        assert meter.take(1, T0 + at) == 0.0
    assert [meter.tokens(T0 + at) for at in (20, 59, 60, 70, 80)] == [0, 0, 1, 2, 3]


def test_a_burst_below_the_limit_paces_the_rest() -> None:
    meter = Meter(BudgetRule("k", 6, 60.0, 2))
    assert [meter.take(1, T0), meter.take(1, T0)] == [0.0, 0.0]
    assert meter.take(1, T0) == pytest.approx(10.0)
    assert meter.take(3, T0 + 100) == float("inf")
    assert meter.tokens(T0) == 0.0
    assert meter.tokens(T0 + 15) == pytest.approx(1.5)


def test_a_penalty_lasts_and_does_not_shorten() -> None:
    for window in (True, False):
        meter = Meter(BudgetRule("k", 3, 60.0, 3, window))
        meter.penalize(T0 + 30)
        meter.penalize(T0 + 10)
        assert meter.take(1, T0 + 20) == pytest.approx(10.0)
        assert meter.tokens(T0 + 20) == 0.0
        assert meter.take(1, T0 + 30) == 0.0


def test_a_clock_that_was_set_back_takes_the_meter_along() -> None:
    meter = Meter(BudgetRule("k", 2, 60.0, 2))
    assert meter.take(2, T0) == 0.0
    meter.penalize(T0 + 5)
    meter.shift(-3600.0)
    assert meter.take(1, T0 - 3600 + 30) == pytest.approx(30.0)
    assert meter.take(1, T0 - 3600 + 60) == 0.0


def test_terms_that_make_no_sense_are_refused() -> None:
    for limit, per, burst in ((0, 1, 0), (1, 0, 1), (1, 1, 2), (5, 1, 0)):
        with pytest.raises(ValueError, match="budget 'k' needs"):
            BudgetRule("k", limit, per, burst)
