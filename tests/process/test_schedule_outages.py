"""The store fails for a moment, at the worst one: nothing waits for ever, nothing is lost, nothing happens twice."""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from rota import Budget, Run, Scheduler
from rota.errors import StoreUnavailable
from rota.jobs.run import Outcome
from rota.stores.sqlite import SqliteStore
from rota.testing import Simulation
from tests.eventually import eventually
from tests.process import schedule_jobs as jobs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Fragile(SqliteStore):
    """Fails the next calls of the methods named in `fails`, once each."""

    def __init__(self, path: str) -> None:
        self.fails: set[str] = set()
        super().__init__(path)

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if not name.startswith("_") and name != "fails" and name in self.fails:

            def broken(*_: Any, **__: Any) -> Any:
                self.fails.discard(name)
                raise StoreUnavailable("the disk is full")

            return broken
        return found


@pytest.fixture
def store(tmp_path: Path) -> Fragile:
    return Fragile(f"{tmp_path}/rota.db")


@pytest.fixture
def rota(store: Fragile) -> Iterator[Scheduler]:
    scheduler = Scheduler(store, name="shop", shutdown_timeout="200ms")
    yield scheduler
    scheduler.stop()
    store.close()


def has_started(store: Fragile, run: int) -> bool:
    record = store.run(run)
    return record is not None and record.started is not None


def test_a_place_in_line_that_cannot_be_taken_is_taken_later(rota: Scheduler, store: Fragile) -> None:
    budget = Budget("api", limit=1, per="300ms", store=store)
    rota.job(lambda: None, name="work", budget=budget)
    with rota:
        for failing in ("budget_join", "budget_poll"):
            budget.try_take()  # so that it has to wait
            store.fails.add(failing)
            assert rota.trigger("work").wait("10s").outcome is Outcome.OK
            assert not store.fails


def test_a_place_that_cannot_be_given_up_does_not_block_the_line(store: Fragile) -> None:
    budget = Budget("api", limit=1, per="200ms", store=store)
    budget.take()
    store.fails.add("budget_leave")
    with pytest.raises(StoreUnavailable):
        budget.take(timeout="20ms")
    began = time.monotonic()
    budget.take(timeout="4s")
    assert time.monotonic() - began < 2  # less than it takes until a silent process is passed over
    store.close()


def test_what_waits_for_its_place_gets_it_all_the_same(rota: Scheduler, store: Fragile) -> None:
    go = threading.Event()
    rota.job(lambda: go.wait(10) and None, name="work", overlap="queue")
    with rota:
        first, second = rota.trigger("work"), rota.trigger("work")
        eventually(lambda: has_started(store, first.id))
        store.fails.add("requested")
        go.set()
        assert first.wait("10s").outcome is Outcome.OK
        assert second.wait("10s").outcome is Outcome.OK
        assert not store.fails


def test_whoever_waits_for_a_run_does_not_keep_the_scheduler_from_ending(rota: Scheduler, store: Fragile) -> None:
    begun, told, go = threading.Event(), threading.Event(), threading.Event()

    @rota.job
    def work(run: Run) -> None:
        begun.set()
        while not run.cancelled:
            time.sleep(0.01)
        told.set()
        go.wait(10)

    rota.start()
    rota.trigger(work)
    assert begun.wait(10)
    ending = threading.Thread(target=rota.stop)
    ending.start()
    assert told.wait(10)
    store.fails.add("run")
    go.set()
    ending.join(10)
    assert not ending.is_alive()
    assert not store.fails


def test_a_retry_of_what_died_is_asked_for_until_it_can_be(rota: Scheduler, store: Fragile) -> None:
    ran = threading.Event()
    rota.job(ran.set, name="work", retries=1, retry_backoff="10ms")
    with rota:
        eventually(lambda: store.job("shop", "work"))
        with store.batch():  # nobody sees it before
            died = store.request("shop", "work", 0.0)
            store._db.run(
                "UPDATE runs SET state = 'running', claimed_by = 'x:1:2:3', lease_until = 1 WHERE id = ?", (died,)
            )
            store.fails.add("request")
        assert ran.wait(10)
        assert not store.fails


def test_a_start_that_was_asked_for_is_not_asked_for_again(rota: Scheduler, store: Fragile) -> None:
    ran: list[int] = []
    rota.job(lambda: ran.append(1), name="once", run_on_start=True)
    broken, batch = [], store.batch

    @contextmanager
    def fragile() -> Iterator[None]:
        with batch():
            yield
            if broken:
                broken.clear()
                raise StoreUnavailable("the disk is full")

    store.batch = fragile  # type: ignore[method-assign]
    with rota:
        eventually(lambda: ran)
        broken.append(1)
        rota.job(lambda: None, name="another")  # its registration fails, and all begins anew
        eventually(lambda: not broken)
        eventually(lambda: store.job("shop", "another"))
        rota.trigger("another").wait("10s")
    assert ran == [1]


def test_one_timer_for_all_that_is_to_be_looked_at_later() -> None:
    scheduler = Scheduler("memory://", name="shop", tz="UTC")
    scheduler.job(lambda: None, name="work")
    with Simulation(scheduler) as simulation:
        simulation.run_for("1s")
        engine = simulation._engine
        for hours in range(1, 50):
            simulation.store.request("shop", "work", simulation.clock.now() + 3600 * hours, "retry")
            engine.look()
        assert len(engine.timers._heap) < 5
        simulation.run_for("3d")
        assert len([run for run in simulation.runs() if run.outcome is Outcome.OK]) == 49


def test_tokens_of_a_run_that_never_began_come_back(rota: Scheduler, store: Fragile) -> None:
    first = Budget("first", limit=1, per="1h", store=store)
    second = Budget("second", limit=1, per="1h", store=store)
    second.take()
    rota.job(lambda: None, name="work", budget=[first, second])
    with rota:
        handle = rota.trigger("work")
        eventually(lambda: first.tokens < 1)
        rota.cancel(handle.id)
        assert handle.wait("10s").outcome is Outcome.CANCELLED
        eventually(lambda: first.tokens == 1)


def test_a_job_that_holds_the_loop_does_not_hold_the_end(store: Fragile) -> None:
    scheduler = Scheduler(store, name="shop", shutdown_timeout="50ms", blocked_after="10s")
    go, began = threading.Event(), threading.Event()

    async def greedy() -> None:
        began.set()
        go.wait(30)

    scheduler.job(greedy, name="greedy", kill_after="50ms")
    scheduler.start()
    handle = scheduler.trigger("greedy")
    assert began.wait(10)
    at = time.monotonic()
    scheduler.stop()
    took = time.monotonic() - at
    record = store.run(handle.id)
    go.set()
    assert record is not None
    assert record.outcome is Outcome.STUCK
    assert took < 10
    eventually(lambda: not [each for each in threading.enumerate() if each.name == "rota-loop"])
    store.close()


def test_what_leaves_the_group_of_an_isolated_run_does_not_keep_it(
    rota: Scheduler, store: Fragile, tmp_path: Path
) -> None:
    rota.job(jobs.detach, isolate="process", args=[str(tmp_path / "pid")])
    rota.start()
    run = rota.trigger("detach").wait("20s")
    os.kill(int((tmp_path / "pid").read_text()), 9)
    assert run.outcome is Outcome.OK
