"""Budgets: the limit holds in every window, whatever is taken, reserved, given back or paused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rota.timing.meter import EXACT_UP_TO, BudgetRule, Meter

NOW = 1_700_000_000.0
INF = float("inf")

_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["take", "take", "take", "reserve", "give back", "penalize", "wait", "wait", "stored"]),
        st.integers(1, 5),
        st.floats(0, 2),
    ),
    max_size=80,
)


@st.composite
def rules(draw: st.DrawFn) -> BudgetRule:
    limit = draw(st.sampled_from([1, 2, 5, 15, 40, 129, 1000]))
    burst = draw(st.one_of(st.just(limit), st.integers(1, limit)))
    return BudgetRule("x", limit, draw(st.sampled_from([0.5, 7.0, 900.0])), burst)


@settings(max_examples=200, deadline=None)
@given(rule=rules(), steps=_STEPS)
def test_no_window_ever_holds_more_than_the_limit(rule: BudgetRule, steps: list[tuple[str, int, float]]) -> None:
    meter, now, blocked = Meter(rule), NOW, 0.0
    granted: list[tuple[float, float]] = []
    for what, n, fraction in steps:
        match what:
            case "take":
                if not meter.take(n, now):
                    granted.append((now, n))
                    assert now >= blocked - 1e-5
            case "reserve":
                wait = meter.reserve(n, now)
                assert (wait == INF) == (n > rule.burst)
                if wait < INF:
                    granted.append((now + wait, n))
            case "give back" if granted and granted[-1][0] >= now:
                at, cost = granted.pop()
                meter.give_back(cost, at)
            case "penalize":
                blocked = max(blocked, now + fraction * rule.per)
                meter.penalize(now + fraction * rule.per)
            case "stored":
                meter = Meter(rule, meter.state[0], meter.spent.tobytes(), meter.blocked_until)
            case _:
                now += fraction * rule.per / rule.limit * n
        assert 0 <= meter.tokens(now) <= rule.burst + 1e-6
    for start, _ in granted:
        within = sum(n for at, n in granted if start <= at < start + rule.per - 1e-4)
        assert within <= rule.limit


@settings(max_examples=80, deadline=None)
@given(rule=rules(), n=st.integers(1, 5), gaps=st.lists(st.floats(0, 1), max_size=30))
def test_what_was_refused_is_granted_after_the_wait_it_was_told(rule: BudgetRule, n: int, gaps: list[float]) -> None:
    meter, now = Meter(rule), NOW
    for gap in gaps:
        now += gap * rule.per / rule.limit
        wait = meter.take(n, now)
        if wait == INF:
            assert n > rule.burst
            return
        if wait:
            later = Meter(rule, meter.state[0], meter.spent.tobytes(), meter.blocked_until)
            if wait > 1e-3:
                assert later.wait(n, now + wait * 0.9) > 0
            assert later.wait(n, now + wait) == pytest.approx(0, abs=1e-5)


def test_what_a_server_that_counts_15_per_15_minutes_sees() -> None:
    meter, now, taken = Meter(BudgetRule("lookup", 15, 900, 15)), NOW, []
    while now < NOW + 3 * 900:
        if not meter.take(1, now):
            taken.append(now)
        now += 36  # 25 in 15 minutes are wanted

    assert max(sum(1 for at in taken if start <= at < start + 900) for start in taken) == 15
    assert len(taken) >= 44


def test_a_large_budget_remembers_little() -> None:
    meter, now = Meter(BudgetRule("x", 1_000_000, 60, 1_000_000)), NOW
    for _ in range(20_000):
        now += 0.01
        assert meter.take(1, now) == 0

    assert len(meter.spent) <= 3 * (EXACT_UP_TO + 2)
    assert meter.tokens(now + 61) == 1_000_000
