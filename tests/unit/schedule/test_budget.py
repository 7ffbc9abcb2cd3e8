"""Budgets in one process: one line, in order; what is given up is given back; nothing is spent twice."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rota import Budget, BudgetExceeded
from rota.errors import SpecError, Timeout
from rota.schedule import surroundings
from rota.stores.memory import MemoryStore
from rota.stores.sqlite import SqliteStore
from rota.testing import FakeClock, _cancel_all, _JumpingLoop
from tests.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

    from rota.stores.base import Store


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened: Store = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "rota.db")
    yield opened
    opened.close()


def jumping(main: Callable[[FakeClock], Coroutine[object, object, None]]) -> None:
    """Run a coroutine on a loop whose time jumps, with everything of rota in memory."""
    clock = FakeClock()
    loop = _JumpingLoop(clock)
    with surroundings.simulation(MemoryStore(), clock, clock.advance):
        try:
            loop.run_until_complete(main(clock))
            loop.run_until_complete(_cancel_all())
        finally:
            loop.close()


def test_tokens_are_taken_and_refused(store: Store) -> None:
    budget = Budget("lookup", limit=3, per="15m", store=store)
    assert [budget.try_take() for _ in range(4)] == [True, True, True, False]
    assert not Budget("lookup", limit=3, per="15m", store=store).try_take()
    assert Budget("other", limit=3, per="15m", store=store).try_take(3)
    assert (budget.tokens, budget.capacity) == (0.0, 3.0)


def test_waiting_in_a_thread_ends_when_the_token_is_back(store: Store) -> None:
    budget = Budget("lookup", limit=1, per=0.15, store=store)
    began = time.monotonic()
    assert budget.take().waited == 0.0
    grant = budget.take()
    # Never before its time, however long the machine took between the two.
    assert time.monotonic() - began >= 0.149
    assert grant.waited < 2.0


def test_a_thousand_tasks_are_served_in_order_of_arrival() -> None:
    async def main(clock: FakeClock) -> None:
        budget, served = Budget("lookup", limit=10, per="1s"), list[tuple[int, float]]()

        async def one(n: int) -> None:
            await budget.take()
            served.append((n, clock.now()))

        async with asyncio.TaskGroup() as group:
            for n in range(1000):
                group.create_task(one(n))
        assert [n for n, _ in served] == list(range(1000))
        first = served[0][1]
        assert [round(at - first) for _, at in served] == [n // 10 for n in range(1000)]

    jumping(main)


def test_a_thousand_waiters_of_a_shared_store_are_served_in_order(tmp_path: Path) -> None:
    budget, served = Budget("lookup", limit=500, per="200ms", store=f"sqlite:///{tmp_path}/rota.db"), list[int]()

    async def one(n: int) -> None:
        await budget.take()
        served.append(n)

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for n in range(1000):
                group.create_task(one(n))

    asyncio.run(main())
    assert served == list(range(1000))
    budget._given_store.close()  # type: ignore[union-attr]


def test_a_heavy_waiter_is_neither_overtaken_nor_starved() -> None:
    async def main(clock: FakeClock) -> None:
        budget, served = Budget("lookup", limit=10, per="10s"), list[str]()

        async def take(name: str, n: int) -> None:
            await budget.take(n)
            served.append(name)

        async with asyncio.TaskGroup() as group:
            group.create_task(take("first", 5))
            group.create_task(take("heavy", 10))
            for n in range(20):
                group.create_task(take(f"light {n}", 1))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not budget.try_take(1)
        assert served == ["first", "heavy", *(f"light {n}" for n in range(20))]

    jumping(main)


def test_giving_up_gives_the_place_to_the_next() -> None:
    async def main(clock: FakeClock) -> None:
        budget, began = Budget("lookup", limit=2, per="60s"), clock.now()
        assert budget.try_take(1)
        heavy = asyncio.create_task(budget_take(budget, 2))
        light = asyncio.create_task(budget_take(budget, 1))
        await asyncio.sleep(1)
        assert not light.done()
        heavy.cancel()
        await light
        assert clock.now() - began < 2
        with pytest.raises(Timeout, match="budget lookup has no 1 tokens in time"):
            await budget.take(1, timeout="5s")
        assert clock.now() - began < 60
        await budget.take(1, timeout="60s")
        assert clock.now() - began == pytest.approx(60, abs=0.1)

    async def budget_take(budget: Budget, n: int) -> None:
        await budget.take(n)

    jumping(main)


def test_a_timeout_in_a_thread_leaves_the_line(store: Store) -> None:
    budget = Budget("lookup", limit=1, per="1h", store=store)
    assert budget.try_take()
    with pytest.raises(Timeout):
        budget.take(timeout="50ms")
    (level,) = store.budget_levels(budget.now())
    assert level.waiting == 0


def test_threads_are_served_in_order_of_arrival(store: Store) -> None:
    budget, served = Budget("lookup", limit=1, per=0.02, store=store), list[int]()
    budget.take()
    threads, line = [], budget._the_line()

    def one(n: int) -> None:
        budget.take()
        served.append(n)

    for n in range(20):
        thread = threading.Thread(target=one, args=(n,))
        thread.start()
        threads.append(thread)
        eventually(lambda: len(line._places) + len(served) == len(threads))
    for thread in threads:
        thread.join()
    assert served == list(range(20))


def test_a_reservation_names_its_wait_and_can_be_cancelled() -> None:
    async def main(clock: FakeClock) -> None:
        budget = Budget("lookup", limit=2, per="60s")
        assert budget.reserve(2).wait == 0.0
        later = budget.reserve(1)
        assert later.wait == pytest.approx(60.0)
        assert budget.reserve(1).wait == pytest.approx(60.0)
        assert budget.reserve(1).wait == pytest.approx(120.0)
        assert later.cancel()
        assert not later.cancel()
        with pytest.raises(BudgetExceeded, match="never holds 3 tokens"):
            budget.reserve(3)

    jumping(main)


def test_a_cancelled_reservation_wakes_the_one_who_waits() -> None:
    async def main(clock: FakeClock) -> None:
        budget, began = Budget("lookup", limit=1, per="60s"), clock.now()
        reserved = budget.reserve()
        waiting = asyncio.create_task(_take(budget))
        await asyncio.sleep(5)
        assert not waiting.done()
        reserved.cancel()
        await waiting
        assert clock.now() - began < 6

    async def _take(budget: Budget) -> None:
        await budget.take()

    jumping(main)


def test_tokens_not_used_are_given_back() -> None:
    async def main(clock: FakeClock) -> None:
        budget = Budget("lookup", limit=2, per="60s")
        grant = await budget.take(2)
        assert not budget.try_take()
        assert grant.give_back()
        assert not grant.give_back()
        assert budget.tokens == 2.0

    jumping(main)


@pytest.mark.parametrize(
    "until",
    [
        lambda now: {"until": datetime.fromtimestamp(now, UTC) + timedelta(seconds=120)},
        lambda now: {"until": now + 120},
        lambda now: {"retry_after": "120"},
        lambda now: {
            "retry_after": (datetime.fromtimestamp(now, UTC) + timedelta(seconds=120)).strftime(
                "%a, %d %b %Y %H:%M:%S GMT"
            )
        },
    ],
    ids=["datetime", "epoch", "seconds", "http-date"],
)
def test_a_penalty_stops_everyone_until_the_server_said(until: Callable[[float], dict[str, object]]) -> None:
    async def main(clock: FakeClock) -> None:
        budget, other = Budget("lookup", limit=9, per="60s"), Budget("lookup", limit=9, per="60s")
        began = clock.now()
        budget.penalize(**until(began))  # type: ignore[arg-type]
        assert other.tokens == 0.0
        assert not other.try_take()
        await other.take()
        assert clock.now() - began == pytest.approx(120, abs=0.1)

    jumping(main)


def test_a_penalty_must_say_until_when() -> None:
    budget = Budget("lookup", limit=1, per="1s", store="memory://")
    with pytest.raises(SpecError, match="until= or retry_after="):
        budget.penalize()
    with pytest.raises(SpecError, match="no Retry-After"):
        budget.penalize(retry_after="soon")
    with pytest.raises(SpecError, match="aware datetime"):
        budget.penalize(datetime(2026, 1, 1))


def test_asking_for_more_than_there_ever_is_fails_at_once(store: Store) -> None:
    budget = Budget("lookup", limit=3, per="1h", burst=2, store=store)
    assert not budget.try_take(3)
    with pytest.raises(BudgetExceeded, match="it holds 2"):
        budget.take(3)

    async def main() -> None:
        with pytest.raises(BudgetExceeded):
            await budget.take(3)

    asyncio.run(main())
    (level,) = store.budget_levels(budget.now())
    assert level.waiting == 0


def test_a_grant_on_a_loop_must_be_awaited() -> None:
    async def main(clock: FakeClock) -> None:
        grant = Budget("lookup", limit=1, per="1s").take()
        with pytest.raises(TypeError, match="is awaited"):
            bool(grant)
        assert await grant

    jumping(main)


def test_a_grant_is_a_context_manager(store: Store) -> None:
    budget = Budget("lookup", limit=2, per="1h", store=store)
    with budget.take():
        pass

    async def main() -> None:
        async with budget.take():
            pass

    asyncio.run(main())
    assert not budget.try_take()


def test_tokens_in_use_count_until_the_end_of_the_block() -> None:
    async def main(clock: FakeClock) -> None:
        budget = Budget("lookup", limit=2, per="60s")
        async with budget.take(2):
            await asyncio.sleep(10)
        began = clock.now()
        await budget.take()
        assert clock.now() - began == pytest.approx(60, abs=0.1)

    jumping(main)


def test_terms_are_checked_with_a_hint() -> None:
    for options in ({"limit": 0, "per": "1m"}, {"limit": 5, "per": "1m", "burst": 6}, {"limit": 5, "per": "soon"}):
        with pytest.raises(SpecError):
            Budget("lookup", **options)  # type: ignore[arg-type]


def test_a_forked_child_shares_the_budget_and_not_the_connection(tmp_path: Path) -> None:
    budget = Budget("lookup", limit=3, per="1h", store=f"sqlite:///{tmp_path}/rota.db")
    assert budget.try_take()
    pid = os.fork()
    if pid == 0:
        os._exit(0 if budget.take(timeout="5s") and budget.try_take() and not budget.try_take() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert not budget.try_take()
    budget._given_store.close()  # type: ignore[union-attr]


@settings(max_examples=60, deadline=None)
@given(
    limit=st.integers(1, 6),
    window=st.booleans(),
    plan=st.lists(
        st.tuples(st.floats(0, 3), st.integers(1, 6), st.sampled_from(["take", "try", "reserve", "cancel", "short"])),
        max_size=30,
    ),
)
def test_no_interleaving_spends_one_token_too_many(
    limit: int, window: bool, plan: list[tuple[float, int, str]]
) -> None:
    async def main(clock: FakeClock) -> None:
        budget, spent = Budget("lookup", limit=limit, per="5s", window=window), list[tuple[float, float]]()

        async def one(delay: float, n: int, how: str) -> None:
            await asyncio.sleep(delay)
            try:
                if how == "try":
                    if budget.try_take(n):
                        spent.append((clock.monotonic(), n))
                elif how == "reserve":
                    reserved = budget.reserve(n)
                    if n % 2:
                        spent.append((clock.monotonic() + reserved.wait, n))
                    else:
                        reserved.cancel()
                else:
                    async with asyncio.timeout(1.5 if how == "cancel" else None):
                        await budget.take(n, timeout=2.5 if how == "short" else None)
                    spent.append((clock.monotonic(), n))
            except (BudgetExceeded, Timeout, TimeoutError):
                pass

        async with asyncio.TaskGroup() as group:
            for delay, n, how in plan:
                group.create_task(one(delay, n, how))
        for end, _ in spent:
            inside = sum(n for at, n in spent if end - 5 + 1e-3 < at <= end)
            assert inside <= (limit if window else 2 * limit)

    jumping(main)
