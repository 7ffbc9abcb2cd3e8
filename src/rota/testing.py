"""For tests of schedules: a clock that jumps, and a simulation that runs your jobs under it.

    from rota.testing import Simulation

    def test_the_report_is_sent_once_a_day_also_when_clocks_change():
        with Simulation(rota, start="2026-01-01") as simulation:
            simulation.run_for("365d")
        assert len(simulation.runs("report")) == 365

Nothing is slept: time jumps to whatever happens next, `asyncio.sleep` and waiting for budgets included. Nothing real is
touched: records go to memory. Functions are really called; what they do beyond rota and asyncio's timers is their own.
"""

from __future__ import annotations

import asyncio
import selectors
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from rota.errors import SpecError
from rota.schedule import surroundings
from rota.schedule.execution import Result
from rota.schedule.runners.loop import LoopRunner
from rota.schedule.runners.thread import attempt
from rota.stores.memory import MemoryStore
from rota.timing.duration import parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

    from rota.schedule.execution import Execution, Runner
    from rota.schedule.run import Run
    from rota.schedule.scheduler import Scheduler
    from rota.stores.records import JobRecord, RunRecord

__all__ = ["FakeClock", "Simulation", "simulate"]

_SMALLEST = 1e-6
"""Seconds. A jump shorter than what a double can hold beside today's date would stand still."""


class FakeClock:
    """A clock that moves only when told. Start: a datetime, ISO text (UTC unless it says otherwise), or epoch seconds."""

    def __init__(self, start: datetime | str | float = "2026-01-01") -> None:
        self._monotonic = 1000.0
        self._offset = _instant(start) - self._monotonic

    def now(self) -> float:
        """Wall clock, seconds since the epoch."""
        return self._monotonic + self._offset

    def monotonic(self) -> float:
        """Monotonic clock, seconds."""
        return self._monotonic

    def advance(self, seconds: str | float | timedelta) -> None:
        """Let time pass."""
        self._monotonic += parse_duration(seconds)

    def set(self, wall: datetime | str | float) -> None:
        """Set the wall clock, as an administrator or NTP does: no time passes."""
        self._offset = _instant(wall) - self._monotonic

    async def sleep(self, seconds: float) -> None:
        """Wait; in a simulation, a jump."""
        await asyncio.sleep(max(seconds, 0.0))

    def __repr__(self) -> str:
        return f"FakeClock({datetime.fromtimestamp(self.now(), UTC).isoformat()!r})"


class Simulation:
    """Your scheduler's jobs under a clock that jumps. Use as a context manager; the scheduler itself stays stopped.

    Args:
        scheduler: its jobs are simulated, with a store of their own.
        start: where time begins.
        only: names of the jobs to simulate; default all. A poller of every minute costs a test of a year half a million runs.

    Raises:
        SpecError: `only` names a job that there is not.
    """

    def __init__(
        self, scheduler: Scheduler, start: datetime | str | float = "2026-01-01", *, only: Iterable[str] = ()
    ) -> None:
        self.clock = FakeClock(start)
        self.store = _Everything()
        self._scheduler = scheduler
        self._only = _known(scheduler, only)
        self._around: AbstractContextManager[None] | None = None
        self._loop = _JumpingLoop(self.clock)
        self._woken: asyncio.Event | None = None
        self._plain = _InlineRunner(self.clock)
        self._begin_anew()

    def __enter__(self) -> Self:
        self._around = surroundings.simulation(self.store, self.clock, self.clock.advance)
        self._around.__enter__()
        self.restart()
        return self

    def __exit__(self, *error: object) -> None:
        assert self._around is not None, "entered before"
        try:
            self._loop.run_until_complete(_cancel_all())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()
        finally:
            self._plain.close()
            self._around.__exit__(None, None, None)

    def run_for(self, duration: str | float | timedelta) -> Self:
        """Let this much time pass, and happen what happens."""
        return self.run_until(self.clock.now() + parse_duration(duration))

    def run_until(self, end: datetime | str | float) -> Self:
        """Let time pass until this instant (on the wall clock as it runs now)."""
        deadline = self.clock.monotonic() + _instant(end) - self.clock.now()
        self._loop.run_until_complete(self._drive(deadline))
        return self

    def set_clock(self, wall: datetime | str | float) -> Self:
        """Set the wall clock forward or back; no time passes."""
        self.clock.set(wall)
        return self

    def down_for(self, duration: str | float | timedelta) -> Self:
        """The program is not running for this long: as after a crash, runs under way are lost, and then it starts again."""
        self._loop.run_until_complete(_cancel_all())
        self.clock.advance(duration)
        self.restart()
        self._engine.reap(float("inf"))
        return self

    def restart(self) -> None:
        """Start the program anew, over the same records."""
        self._begin_anew()
        registered = self._scheduler.registered
        jobs = {name: job for name, job in registered.items() if not self._only or name in self._only}
        self._engine.begin(jobs, alone=True)

    def trigger(self, job: str | Callable[..., Any]) -> int:
        """Ask for a run now; it happens when time passes next. Its id."""
        run = self._scheduler.trigger(job).id
        self._engine.post(self._engine.look)
        return run

    def pause(self, job: str | Callable[..., Any]) -> None:
        """Pause a job."""
        self._scheduler.pause(job)
        self._engine.post(self._engine.look)

    def resume(self, job: str | Callable[..., Any]) -> None:
        """Resume a job."""
        self._scheduler.resume(job)
        self._engine.post(self._engine.look)

    def runs(self, job: str | None = None) -> list[RunRecord]:
        """Everything that happened, oldest first: runs, and due times that were skipped or missed."""
        return self.store.runs(None, job, limit=1 << 40)[::-1]

    def starts(self, job: str | None = None) -> list[datetime]:
        """When runs started, in UTC, oldest first."""
        return [datetime.fromtimestamp(run.started, UTC) for run in self.runs(job) if run.started is not None]

    def job(self, name: str) -> JobRecord:
        """What is known of a job: counters, next due time, pause."""
        record = self.store.job(self._scheduler.name, name)
        if record is None:
            raise SpecError(f"there is no job {name!r} in this simulation")
        return record

    def _begin_anew(self) -> None:
        runners = (self._plain, LoopRunner(self._loop))
        self._engine = self._scheduler.make_engine(
            lambda job: runners[job.kind == "async"],
            self._wake,
            store=self.store,
            clock=self.clock,
            lease=float("inf"),
        )

    def _wake(self) -> None:
        if self._woken is not None:
            self._woken.set()

    async def _drive(self, deadline: float) -> None:
        self._woken = woken = asyncio.Event()
        while True:
            woken.clear()
            pause = self._engine.tick()
            left = deadline - self.clock.monotonic()
            if left <= 0:
                # What is due at this very instant still happens, and what it leads to.
                await _settle()
                if not woken.is_set():
                    return
                continue
            if pause > 0:
                await _at_most(woken, max(min(pause, left), 10 * _SMALLEST))


def simulate(scheduler: Scheduler, start: datetime | str | float = "2026-01-01", days: float = 365) -> list[RunRecord]:
    """Run a scheduler's jobs through `days` days from `start`, and return everything that happened, oldest first."""
    with Simulation(scheduler, start) as simulation:
        simulation.run_for(days * 86400)
    return simulation.runs()


class _Everything(MemoryStore):
    """Keeps every run: a test of a year wants to see the year."""

    def _prune(self, key: tuple[str, str], keep: int) -> None:
        pass


class _InlineRunner:
    """`Runner` that calls plain functions at once, in a thread that is waited for: they see no running event loop, as in
    a real thread, and time stands still unless they wait with rota's own means."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rota-simulated")

    def start(self, execution: Execution, run: Run, done: Callable[[Result], None]) -> None:
        began = self._clock.monotonic()
        result = self._thread.submit(attempt, execution, run).result()
        seconds = self._clock.monotonic() - began
        limit = execution.job.spec.timeout
        execution.timed_out = bool(limit and seconds > limit)
        done(Result(result.error, result.cancelled, result.traceback, seconds=seconds))

    def cancel(self, execution: Execution, reason: str) -> None:
        pass

    def kill(self, execution: Execution) -> bool:
        return False

    def close(self) -> None:
        self._thread.shutdown()


class _JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is the fake clock's, and which never waits."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        super().__init__(_JumpingSelector(clock))
        # A timer is due when it is closer than this. asyncio's nanosecond vanishes beside months of simulated time.
        self._clock_resolution = _SMALLEST

    def time(self) -> float:
        return self._clock.monotonic()


class _JumpingSelector(selectors.DefaultSelector):
    """Instead of waiting for a timer it puts the clock forward. What comes from outside (a thread, a socket) is waited for
    only when there is no timer at all."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            return super().select(None)
        ready = super().select(0)
        if not ready and timeout > 0:
            self._clock.advance(max(timeout, _SMALLEST))
        return ready


async def _settle() -> None:
    """Let every task go as far as it can without time passing."""
    for _ in range(10):
        await asyncio.sleep(0)


async def _at_most(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass


async def _cancel_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def _known(scheduler: Scheduler, names: Iterable[str]) -> frozenset[str]:
    wanted = frozenset(names)
    for name in wanted - scheduler.registered.keys():
        raise SpecError(f"there is no job {name!r}", f"known are: {', '.join(sorted(scheduler.registered)) or 'none'}")
    return wanted


def _instant(given: datetime | str | float) -> float:
    if isinstance(given, str):
        try:
            given = datetime.fromisoformat(given)
        except ValueError:
            raise SpecError(f"{given!r} is no instant", 'write it as "2026-03-29T01:59:00+01:00"') from None
    if isinstance(given, datetime):
        return (given if given.tzinfo else given.replace(tzinfo=UTC)).timestamp()
    return given


if TYPE_CHECKING:
    _is_a_runner: Runner = _InlineRunner(FakeClock())
