"""The scheduler in an event loop, for real: `async with`, a job that blocks the loop, workers that hear each other."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from rota import Budget, Run, Scheduler
from rota.jobs.run import Outcome
from rota.schedule.logs import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


async def until(predicate: Callable[[], object], within: float = 20.0) -> None:
    deadline = time.monotonic() + within
    while not predicate():
        assert time.monotonic() < deadline, "not true in time"
        await asyncio.sleep(0.01)


@contextmanager
def heard() -> Iterator[list[logging.LogRecord]]:
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        yield records
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


@pytest.fixture
def rota(tmp_path: Path) -> Iterator[Scheduler]:
    scheduler = Scheduler(f"sqlite:///{tmp_path}/rota.db", name="shop", shutdown_timeout="2s", blocked_after="300ms")
    yield scheduler
    scheduler.store.close()


def test_async_jobs_run_on_the_loop_that_entered_it(rota: Scheduler) -> None:
    seen: set[int] = set()

    @rota.every("50ms")
    async def tick(run: Run) -> None:
        seen.add(threading.get_ident())

    async def main() -> None:
        async with rota:
            await until(lambda: len(rota.runs(tick)) >= 3)
        assert not rota.running

    asyncio.run(main())
    assert seen == {threading.get_ident()}
    assert not [run for run in rota.runs() if run.outcome not in (Outcome.OK, Outcome.MISSED)]


def test_a_timeout_cancels_for_real(rota: Scheduler) -> None:
    @rota.job(timeout="100ms")
    async def hangs() -> None:
        await asyncio.sleep(60)

    async def main() -> None:
        async with rota:
            run = await rota.trigger(hangs)
        assert (run.outcome, run.error) == (Outcome.TIMEOUT, "ended after its timeout of 100ms")

    asyncio.run(main())


def test_a_job_that_blocks_the_loop_is_named(rota: Scheduler) -> None:
    @rota.job
    async def greedy() -> None:
        time.sleep(1.0)

    async def main() -> None:
        async with rota:
            await rota.trigger(greedy)
            await until(lambda: any(record.rota["event"] == "unblocked" for record in records))  # type: ignore[attr-defined]

    with heard() as records:
        asyncio.run(main())
    (blocked,) = [record for record in records if record.rota["event"] == "blocked"]  # type: ignore[attr-defined]
    assert blocked.rota["about"] == "greedy"  # type: ignore[attr-defined]
    assert "greedy blocks the event loop" in blocked.getMessage()
    assert "test_schedule_asyncio.py" in blocked.getMessage()


def test_the_schedule_goes_on_while_the_loop_is_blocked(rota: Scheduler) -> None:
    plain: list[float] = []
    rota.every("50ms", lambda: plain.append(time.monotonic()), name="plain")

    async def main() -> None:
        async with rota:
            await until(lambda: plain)
            began = time.monotonic()
            time.sleep(0.5)
            assert len([at for at in plain if at > began]) >= 3

    asyncio.run(main())


def test_pause_and_trigger_reach_another_process_worker(rota: Scheduler) -> None:
    other = Scheduler(rota.store.url, name="shop")
    ran: list[str] = []
    rota.every("50ms", lambda: ran.append("here"), name="tick")
    other.every("50ms", lambda: None, name="tick")

    async def main() -> None:
        async with rota:
            await until(lambda: ran)
            other.pause("tick")
            await until(
                lambda: rota.engine is not None and rota.engine.firings._records[rota.registered["tick"]].paused
            )
            await asyncio.sleep(0.1)
            before = len(ran)
            await asyncio.sleep(0.2)
            assert len(ran) == before
            run = other.trigger("tick")
            await until(lambda: other.store.run(run.id).outcome is Outcome.OK)  # type: ignore[union-attr]
            other.resume("tick")
            await until(lambda: len(ran) > before + 2)

    asyncio.run(main())


def test_a_cancel_from_elsewhere_reaches_the_worker(tmp_path: Path) -> None:
    rota = Scheduler(f"sqlite:///{tmp_path}/rota.db", name="shop", lease="1s")

    @rota.job
    async def long() -> None:
        await asyncio.sleep(60)

    async def main() -> None:
        async with rota:
            handle = rota.trigger(long)
            await until(lambda: rota.runs()[0].started)
            other = Scheduler(rota.store.url, name="shop")
            assert other.cancel(handle.id)
            assert (await handle).outcome is Outcome.CANCELLED

    asyncio.run(main())
    rota.store.close()


def test_a_store_that_fails_stops_nothing_for_ever(rota: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    from rota.errors import StoreUnavailable

    ran: list[int] = []
    rota.every("50ms", lambda: ran.append(1), name="tick")
    claim = rota.store.claim

    async def main() -> None:
        async with rota:
            await until(lambda: ran)
            with monkeypatch.context() as broken:

                def fail(_: object) -> None:
                    raise StoreUnavailable("the disk is full")

                broken.setattr(rota.store, "claim", fail)
                await asyncio.sleep(0.3)
                before = len(ran)
                await asyncio.sleep(0.3)
                assert len(ran) == before, "without a claim nothing starts"
            assert rota.store.claim == claim
            await until(lambda: len(ran) > before + 2)

    with heard() as records:
        asyncio.run(main())
    said = [record for record in records if record.rota["event"] == "store"]  # type: ignore[attr-defined]
    assert len(said) >= 1


def test_an_ending_that_cannot_be_written_is_written_later(rota: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    from rota.errors import StoreUnavailable

    rota._lease = 1.0

    @rota.job
    async def work() -> None:
        await asyncio.sleep(0)

    async def main() -> None:
        async with rota:
            with monkeypatch.context() as broken:

                def fail(*_: object) -> None:
                    raise StoreUnavailable("the disk is full")

                broken.setattr(rota.store, "finish", fail)
                handle = rota.trigger(work)
                await until(lambda: rota.store.run(handle.id).started)  # type: ignore[union-attr]
                await asyncio.sleep(0.1)
                assert rota.store.run(handle.id).outcome is None  # type: ignore[union-attr]
            assert (await handle).outcome is Outcome.OK

    asyncio.run(main())


def test_a_batch_that_cannot_be_written_starts_nothing_and_loses_nothing(
    rota: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rota.errors import StoreUnavailable

    ran: list[int] = []
    broken = False
    batch = rota.store.batch

    @contextmanager
    def fragile() -> Iterator[None]:
        with batch():
            yield
            if broken:
                raise StoreUnavailable("the disk is full")

    monkeypatch.setattr(rota.store, "batch", fragile)

    @rota.every("100ms", keep_runs=1000)
    async def tick(run: Run) -> None:
        ran.append(run.id)

    @rota.every("100ms", keep_runs=1000, overlap="queue")
    async def slow(run: Run) -> None:
        ran.append(run.id)
        await asyncio.sleep(0.15)

    async def main() -> None:
        nonlocal broken
        async with rota:
            await until(lambda: len(ran) >= 4)
            for _ in range(3):
                broken = True
                await asyncio.sleep(0.25)
                broken = False
                before = len(ran)
                await until(lambda before=before: len(ran) >= before + 4)  # type: ignore[misc]

    asyncio.run(main())
    rows = {run.id: run for run in rota.store.runs(limit=1000)}
    assert set(ran) <= set(rows), "what started is in the ledger"
    assert len(ran) == len(set(ran)), "nothing started twice"
    assert not [run for run in rows.values() if run.outcome is None], "nothing is left hanging"
    done = {run.id for run in rows.values() if run.outcome in (Outcome.OK,)}
    assert done <= set(ran)


def test_two_schedulers_of_one_loop_share_a_budget(tmp_path: Path) -> None:
    budget = Budget("api", limit=3, per="1h")
    url = f"sqlite:///{tmp_path}/rota.db"
    first, second = Scheduler(url, name="a"), Scheduler(url, name="b")
    for scheduler in (first, second):
        scheduler.every("50ms", lambda: None, name="poll", budget=budget)

    async def main() -> None:
        async with first, second:
            await until(lambda: budget.tokens == 0)
            await asyncio.sleep(0.3)

    asyncio.run(main())
    done = [run for run in first.store.runs(limit=1000) if run.outcome is Outcome.OK]
    assert len(done) == 3
    assert {run.note for run in first.store.runs(outcomes=[Outcome.CANCELLED])} == {"the scheduler stopped"}
    first.store.close()
