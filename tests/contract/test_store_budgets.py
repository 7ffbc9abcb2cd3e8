"""The contract of `BudgetStore`: nobody overtakes, nothing is spent twice, what is given back can be spent."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING

import pytest

from rota.timing.meter import BudgetRule

if TYPE_CHECKING:
    from rota.stores.base import Store

RULE = BudgetRule("lookup", limit=3, per=60.0, burst=3)
T0 = 1_700_000_000.0
LATER = T0 + 1e6


def test_a_budget_is_spent_and_comes_back(store: Store) -> None:
    assert [store.budget_take(RULE, 1, T0 + k) for k in range(3)] == [0.0, 0.0, 0.0]
    assert store.budget_take(RULE, 1, T0 + 10) == pytest.approx(50.0)
    assert store.budget_take(RULE, 2, T0 + 10) == pytest.approx(51.0)
    assert store.budget_take(RULE, 4, T0 + 10) == float("inf")
    assert store.budget_take(RULE, 1, T0 + 60) == 0.0
    assert store.budget_take(RULE, 1, T0 + 60.5) > 0


def test_levels_show_tokens_capacity_and_who_waits(store: Store) -> None:
    assert store.budget_levels(T0) == []
    store.budget_take(RULE, 2, T0)
    store.budget_join(RULE, 2, "h", T0, LATER)
    store.budget_take(BudgetRule("other", 10, 60, 10), 1, T0)
    levels = {level.key: level for level in store.budget_levels(T0 + 1)}
    assert (levels["lookup"].tokens, levels["lookup"].capacity, levels["lookup"].waiting) == (1.0, 3.0, 1)
    assert (levels["other"].tokens, levels["other"].capacity, levels["other"].per) == (9.0, 10.0, 60.0)
    assert [level.key for level in store.budget_levels(T0, ["other"])] == ["other"]


def test_those_who_wait_are_served_in_order_of_arrival_whatever_they_weigh(store: Store) -> None:
    assert store.budget_join(RULE, 2, "a", T0, LATER).wait == 0.0
    heavy = store.budget_join(RULE, 3, "a", T0 + 1, LATER)
    light = store.budget_join(RULE, 1, "b", T0 + 2, LATER)
    assert heavy.wait > 0
    assert light.wait > 0
    # One token is left, and still the light one does not overtake, nor does a newcomer.
    assert store.budget_poll(RULE, light.id, 1, "b", T0 + 3, LATER).wait > 0
    assert store.budget_take(RULE, 1, T0 + 3) > 0

    assert store.budget_poll(RULE, heavy.id, 3, "a", T0 + 59, LATER).wait == pytest.approx(1.0)
    assert store.budget_poll(RULE, heavy.id, 3, "a", T0 + 60, LATER).wait == 0.0
    assert store.budget_poll(RULE, light.id, 1, "b", T0 + 60, LATER).wait == pytest.approx(60.0)
    assert store.budget_poll(RULE, light.id, 1, "b", T0 + 120, LATER).wait == 0.0


def test_leaving_the_line_lets_the_next_one_go(store: Store) -> None:
    store.budget_take(RULE, 2, T0)
    heavy = store.budget_join(RULE, 3, "a", T0 + 1, LATER)
    light = store.budget_join(RULE, 1, "a", T0 + 2, LATER)
    store.budget_leave(RULE.key, heavy.id)
    assert store.budget_poll(RULE, light.id, 1, "a", T0 + 3, LATER).wait == 0.0
    assert store.budget_take(RULE, 1, T0 + 3) > 0


def test_a_waiter_whose_holder_died_is_passed_over_and_may_come_back_to_the_end(store: Store) -> None:
    store.budget_take(RULE, 3, T0)
    dead = store.budget_join(RULE, 1, "dead", T0 + 1, T0 + 5)
    alive = store.budget_join(RULE, 1, "alive", T0 + 2, LATER)
    assert store.budget_poll(RULE, alive.id, 1, "alive", T0 + 60, LATER).wait == 0.0
    back = store.budget_poll(RULE, dead.id, 3, "dead", T0 + 61, LATER)
    assert back.id != dead.id
    assert back.wait > 0


def test_a_reservation_is_a_promise_behind_everyone_who_waits(store: Store) -> None:
    store.budget_take(RULE, 3, T0)
    waiting = store.budget_join(RULE, 2, "a", T0 + 1, LATER)
    promised = store.budget_reserve(RULE, 2, T0 + 2)
    assert promised.at == pytest.approx(T0 + 120)
    assert promised.wait == pytest.approx(118)
    late = store.budget_join(RULE, 1, "a", T0 + 3, LATER)

    assert store.budget_poll(RULE, waiting.id, 2, "a", T0 + 60, LATER).wait == 0.0
    # Of the next window's three, two are promised at 120: one goes now, another not before they come back.
    assert store.budget_poll(RULE, late.id, 1, "a", T0 + 61, LATER).wait > 0
    assert store.budget_poll(RULE, late.id, 1, "a", T0 + 121, LATER).wait == 0.0
    assert store.budget_take(RULE, 1, T0 + 122) > 0


def test_a_reservation_given_back_can_be_spent(store: Store) -> None:
    first = store.budget_reserve(RULE, 3, T0)
    assert first.wait == 0.0
    second = store.budget_reserve(RULE, 3, T0 + 1)
    assert second.at == pytest.approx(T0 + 60)
    store.budget_unreserve(RULE, second, 3, T0 + 2)
    assert store.budget_reserve(RULE, 1, T0 + 3).at == pytest.approx(T0 + 60)
    assert store.budget_reserve(RULE, 4, T0 + 3).wait == float("inf")

    queue_rule = BudgetRule("queue", 1, 10.0, 1)
    store.budget_take(queue_rule, 1, T0)
    waiter = store.budget_join(queue_rule, 1, "a", T0, LATER)
    behind = store.budget_reserve(queue_rule, 1, T0)
    assert behind.at == pytest.approx(T0 + 20)
    store.budget_unreserve(queue_rule, behind, 1, T0)
    assert store.budget_poll(queue_rule, waiter.id, 1, "a", T0 + 10, LATER).wait == 0.0
    assert store.budget_take(queue_rule, 1, T0 + 20) == 0.0


def test_a_take_in_use_counts_from_its_end(store: Store) -> None:
    assert store.budget_take(RULE, 2, T0) == 0.0
    store.budget_restamp(RULE, 2, T0, T0 + 50)
    assert store.budget_take(RULE, 2, T0 + 60) == pytest.approx(50.0)
    assert store.budget_take(RULE, 1, T0 + 60) == 0.0
    assert store.budget_take(RULE, 2, T0 + 110) == 0.0
    # One that had come back meanwhile is taken anew: it was in use.
    store.budget_restamp(RULE, 2, T0 - 1000, T0 + 200)
    assert store.budget_take(RULE, 2, T0 + 200) > 0


def test_a_penalty_stops_everyone_and_is_never_shortened(store: Store) -> None:
    store.budget_penalize(RULE, T0 + 100, T0)
    store.budget_penalize(RULE, T0 + 50, T0)
    assert store.budget_take(RULE, 1, T0 + 60) == pytest.approx(40.0)
    waiting = store.budget_join(RULE, 1, "a", T0 + 60, LATER)
    assert waiting.wait == pytest.approx(40.0)
    (level,) = store.budget_levels(T0 + 60)
    assert (level.tokens, level.blocked_until) == (0.0, T0 + 100)
    assert store.budget_poll(RULE, waiting.id, 1, "a", T0 + 100, LATER).wait == 0.0


def test_terms_may_change_and_what_is_spent_stays_spent(store: Store) -> None:
    store.budget_take(RULE, 3, T0)
    wider = BudgetRule("lookup", limit=5, per=60.0, burst=5)
    assert store.budget_take(wider, 2, T0 + 1) == 0.0
    assert store.budget_take(wider, 1, T0 + 2) > 0


def test_threads_together_never_get_one_token_too_many(store: Store) -> None:
    rule = BudgetRule("hot", limit=50, per=1000.0, burst=50)
    granted: list[int] = []

    def grab(n: int) -> None:
        generator = random.Random(n)
        for _ in range(60):
            cost = generator.choice((1, 1, 2))
            if store.budget_take(rule, cost, T0 + generator.random()) == 0.0:
                granted.append(cost)

    threads = [threading.Thread(target=grab, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(granted) == 50
