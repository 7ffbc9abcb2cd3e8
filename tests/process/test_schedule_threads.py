"""The scheduler in background threads, for real: threads, loops, stopping, signals, forks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from rota import Budget, Run, RunEnded, Scheduler
from rota.errors import RotaError, TargetNotFound, Timeout
from rota.jobs.run import Outcome
from rota.stores.sqlite import SqliteStore
from tests.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.process.conftest import Spawn


@pytest.fixture(params=["memory", "sqlite"])
def rota(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scheduler]:
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/rota.db"
    scheduler = Scheduler(url, name="shop", shutdown_timeout="2s")
    yield scheduler
    scheduler.stop()
    scheduler.store.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "rota"]


def test_plain_and_async_functions_run_on_time(rota: Scheduler) -> None:
    late: list[float] = []

    @rota.every("100ms")
    def plain(run: Run) -> None:
        assert run.due is not None
        late.append(time.time() - run.due.timestamp())

    seen: list[str] = []

    @rota.every("100ms")
    async def on_a_loop() -> None:
        await asyncio.sleep(0)
        seen.append(threading.current_thread().name)

    with rota:
        eventually(lambda: len(late) >= 3 and len(seen) >= 3)
    assert min(late) < 0.05
    assert set(seen) == {"rota-loop"}
    assert not rota.running


def test_a_job_registered_while_running_runs(rota: Scheduler) -> None:
    ran = threading.Event()
    with rota:
        rota.every("100ms", ran.set, name="late")
        assert ran.wait(5)
        rota.remove("late")
        with pytest.raises(TargetNotFound, match="there is no job 'late'"):
            rota.pause("late")
        eventually(lambda: rota.store.job("shop", "late") is None)


def test_a_triggered_run_can_be_waited_for(rota: Scheduler) -> None:
    @rota.job
    def work() -> None:
        """Nothing."""

    with rota:
        assert rota.trigger(work).wait("5s").outcome is Outcome.OK

        async def main() -> None:
            assert (await rota.trigger(work)).trigger == "manual"

        asyncio.run(main())


def test_a_run_elsewhere_can_be_waited_for(tmp_path: Path) -> None:
    """By a scheduler that is not running itself, as in a web process beside the worker."""
    url = f"sqlite:///{tmp_path}/rota.db"
    asks, works = Scheduler(url, name="shop"), Scheduler(SqliteStore(f"{tmp_path}/rota.db"), name="shop")
    for scheduler in (asks, works):
        scheduler.job(lambda: None, name="work")
    early = asks.trigger("work")
    with works:
        assert early.wait("10s").outcome is Outcome.OK

        async def main() -> None:
            assert (await asyncio.wait_for(asks.trigger("work"), 10)).outcome is Outcome.OK

        asyncio.run(main())
    asks.store.close()


def test_waiting_for_a_run_has_a_limit(rota: Scheduler) -> None:
    go = threading.Event()
    rota.job(go.wait, name="work")
    with rota:
        handle = rota.trigger("work")
        with pytest.raises(Timeout, match="is not over yet"):
            handle.wait("50ms")
        go.set()
        assert handle.wait("5s").outcome is Outcome.OK


def test_a_thread_that_does_not_listen_is_stuck_and_its_slot_free(rota: Scheduler) -> None:
    go = threading.Event()
    rota.job(go.wait, name="deaf", timeout="50ms", kill_after="50ms")
    with rota:
        first = rota.trigger("deaf").wait("5s")
        second = rota.trigger("deaf").wait("5s")
        assert (first.outcome, second.outcome) == (Outcome.STUCK, Outcome.STUCK)
        assert "a thread cannot be ended from outside" in first.error
        go.set()
        eventually(lambda: "returned at last" in (rota.store.run(first.id) or first).note)


def test_a_thread_that_waits_for_a_budget_ends_when_told(rota: Scheduler) -> None:
    budget = Budget("api", limit=1, per="1h", store=rota.store)
    began = threading.Event()

    @rota.job
    def work(run: Run) -> None:
        began.set()
        for _ in run.batches(range(2), size=1, budget=budget):
            pass

    with rota:
        handle = rota.trigger(work)
        assert began.wait(5)
        eventually(lambda: budget.tokens == 0)
        rota.cancel(handle.id)
        assert handle.wait("5s").outcome is Outcome.CANCELLED


def test_batches_on_a_loop_do_not_go_past_their_budget(rota: Scheduler) -> None:
    budget = Budget("api", limit=1, per="1h", store=rota.store)

    @rota.job
    async def work(run: Run) -> None:
        for _ in run.batches(range(2), size=1, budget=budget):
            pass

    with rota:
        run = rota.trigger(work).wait("5s")
    assert run.outcome is Outcome.FAILED
    assert "use `async for" in run.error


def test_a_thread_that_listens_ends_when_told(rota: Scheduler) -> None:
    @rota.job(timeout="50ms")
    def polite(run: Run) -> None:
        run.wait("1m")

    @rota.job
    def patient(run: Run) -> None:
        while not run.cancelled:
            time.sleep(0.005)
        run.check()

    with rota:
        assert rota.trigger("polite").wait("5s").outcome is Outcome.TIMEOUT
        handle = rota.trigger("patient")
        eventually(lambda: rota.runs("patient") and rota.runs("patient")[0].started)
        assert rota.cancel(handle.id)
        assert handle.wait("5s").outcome is Outcome.CANCELLED
        assert not rota.cancel(handle.id)


def test_stopping_lets_runs_end_and_tells_the_others(rota: Scheduler) -> None:
    ended: list[str] = []

    @rota.job
    def short(run: Run) -> None:
        time.sleep(0.3)
        ended.append("short")

    @rota.job
    async def long() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("long")

    rota.start()
    with pytest.raises(RotaError, match="runs already"):
        rota.start()
    handles = [rota.trigger("short"), rota.trigger("long")]
    eventually(lambda: all(run.started for run in rota.runs()) and len(rota.runs()) == 2)
    began = time.monotonic()
    rota.stop("1s")
    assert 0.9 < time.monotonic() - began < 5
    assert sorted(ended) == ["long", "short"]
    outcomes = {run.job: run.outcome for run in rota.runs()}
    assert outcomes == {"short": Outcome.OK, "long": Outcome.CANCELLED}
    assert handles[0].wait("1s").outcome is Outcome.OK


def test_stopping_keeps_its_deadline_whoever_does_not_listen(rota: Scheduler) -> None:
    go, under_way = threading.Event(), threading.Barrier(3)

    @rota.job(run_on_start=True, kill_after="200ms")
    def deaf() -> None:
        under_way.wait()
        go.wait()

    @rota.job(run_on_start=True, kill_after="200ms")
    async def stubborn() -> None:
        await asyncio.to_thread(under_way.wait)
        while not go.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.5)

    rota.start()
    under_way.wait(timeout=10)
    began = time.monotonic()
    rota.stop(timeout="100ms")
    assert time.monotonic() - began < 8, "some 1.3 s on a machine that has the time"
    go.set()
    assert {run.outcome for run in rota.runs()} == {Outcome.STUCK}


def test_it_can_be_started_again(rota: Scheduler) -> None:
    ran: list[int] = []
    rota.every("50ms", lambda: ran.append(1), name="tick")
    for _ in range(3):
        before = len(ran)
        with rota:
            eventually(lambda before=before: len(ran) > before)  # type: ignore[misc]


def test_what_waits_when_it_stops_is_cancelled(rota: Scheduler) -> None:
    go = threading.Event()
    rota.every("100ms", lambda: go.wait(), name="slow", overlap="queue")
    rota.start()
    eventually(lambda: any(run.state.value == "waiting" for run in rota.runs()))
    threading.Timer(0.2, go.set).start()
    rota.stop("5s")
    waiting = [run for run in rota.runs() if run.outcome is Outcome.CANCELLED]
    assert [run.note for run in waiting][-1:] == ["the scheduler stopped"]
    assert not [run for run in rota.runs() if run.outcome is None]


PROGRAM = """
import asyncio, sys
from rota import Scheduler
rota = Scheduler("sqlite:///rota.db", name="shop", shutdown_timeout="20s", log=sys.argv[1] or None)
@rota.every("50ms")
async def quick(): pass
@rota.job(run_on_start=True)
async def long():
    print("started", flush=True)
    await asyncio.sleep(float(sys.argv[2]))
    print("done", flush=True)
rota.run_forever()
"""


def program(spawn: Spawn, folder: Path, log: str = "", seconds: float = 0.5) -> subprocess.Popen[bytes]:
    (folder / "program.py").write_text(PROGRAM)
    argv = (sys.executable, str(folder / "program.py"), log, str(seconds))
    return spawn(*argv, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_a_program_ends_well_on_sigterm(spawn: Spawn, tmp_path: Path) -> None:
    process = program(spawn, tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == b"started\n"
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, b"done\n")
    assert b"long completed in" in err
    store = SqliteStore(tmp_path / "rota.db")
    assert store.heartbeats() == []
    assert not store.runs(unfinished=True)
    store.close()


def test_a_program_that_just_ends_lets_its_runs_end(spawn: Spawn, tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(
        "import threading\n"
        "from rota import Scheduler\n"
        "rota, under_way = Scheduler('sqlite:///rota.db', name='shop'), threading.Event()\n"
        "@rota.job(run_on_start=True)\n"
        "def work(run):\n"
        "    under_way.set()\n"
        "    run.wait('300ms')\n"
        "rota.start()\n"
        "under_way.wait()\n"
    )
    assert spawn(sys.executable, str(script), cwd=tmp_path, stderr=subprocess.DEVNULL).wait(timeout=30) == 0
    store = SqliteStore(tmp_path / "rota.db")
    assert [run.outcome for run in store.runs("shop")] == [Outcome.OK]
    assert store.heartbeats() == []
    store.close()


def test_a_second_signal_ends_the_runs_at_once(spawn: Spawn, tmp_path: Path) -> None:
    process = program(spawn, tmp_path, "json", 60)
    assert process.stdout is not None
    assert process.stdout.readline() == b"started\n"
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert time.monotonic() - began < 10
    assert b'"event": "cancelled"' in err


def test_a_forked_child_does_not_run_the_parents_jobs(rota: Scheduler) -> None:
    rota.every("50ms", lambda: None, name="tick")
    with rota:
        eventually(lambda: rota.runs("tick"))
        pid = os.fork()
        if pid == 0:
            os._exit(3 if rota.running else len(threading.enumerate()))
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
        assert rota.running


def test_run_ended_is_what_check_raises() -> None:
    assert issubclass(RunEnded, RotaError)
