"""Who makes the engine tick: a thread of its own, so that no job and no database can hold up an event loop, nor one the other."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from rota.schedule.runners.loop import LoopRunner
from rota.schedule.runners.thread import ThreadRunner, Threads

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rota.schedule.engine import Engine
    from rota.schedule.execution import Runner
    from rota.schedule.job import Job


_LAST_WORDS = 1.0
"""Seconds that tasks have to end when their loop does."""


class Clockwork:
    """A thread that ticks until the engine says it is finished."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """Tick now. From any thread."""
        self._event.set()

    def start(self, engine: Engine, jobs: dict[str, Job], ended: Callable[[], None]) -> None:
        """Begin; `ended` is called in the thread when all is over."""
        self._thread = threading.Thread(target=self._run, args=(engine, jobs, ended), name="rota", daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait until it is over."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self, engine: Engine, jobs: dict[str, Job], ended: Callable[[], None]) -> None:
        try:
            engine.begin(jobs)
            while not engine.finished.is_set():
                self._event.clear()
                pause = engine.tick()
                if pause > 0 and not engine.finished.is_set():
                    self._event.wait(pause)
        finally:
            engine.finished.set()
            ended()


def wind_up(loop: asyncio.AbstractEventLoop) -> None:
    """Close a loop of ours. Unlike `asyncio.run` it does not wait for ever for a task that ignores its cancellation, nor for a
    thread: those were given their time, and given up."""
    leftover = asyncio.all_tasks(loop)
    for task in leftover:
        task.cancel()
    if leftover:
        loop.run_until_complete(asyncio.wait(leftover, timeout=_LAST_WORDS))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


class LoopThread:
    """An event loop in a thread, for async jobs of programs that have none."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="rota-loop", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the loop and wait for it; one that a job keeps busy is left behind, as that job has been."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(2 * _LAST_WORDS)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            wind_up(self.loop)


class Runners:
    """The runner for each kind of job, made when first needed."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop | None, store_url: str, hooks: Sequence[Callable[[], None]] = ()
    ) -> None:
        self._hooks = hooks
        self._loop = loop
        self._loop_thread: LoopThread | None = None
        self._store_url = store_url
        self._threads = Threads()
        self._made: dict[str, Runner] = {}

    def of(self, job: Job) -> Runner:
        """The runner of this job."""
        runner = self._made.get(job.kind)
        if runner is None:
            runner = self._made[job.kind] = self._make(job.kind)
        return runner

    @property
    def loop_runner(self) -> LoopRunner | None:
        """The runner of async jobs, if there is a loop by now."""
        runner = self._made.get("async")
        if runner is None and self._loop is not None:
            runner = self._made["async"] = self._make("async")
        return runner if isinstance(runner, LoopRunner) else None

    def close(self) -> None:
        """Release threads and the loop. Not from the loop itself."""
        for runner in self._made.values():
            runner.close()
        self._threads.close()
        if self._loop_thread is not None:
            self._loop_thread.close()

    def _make(self, kind: str) -> Runner:
        if kind == "thread":
            return ThreadRunner(self._threads, self._hooks)
        if kind == "process":
            from rota.schedule.runners.process import ProcessRunner

            return ProcessRunner(self._threads, self._store_url)
        if self._loop is None:
            self._loop_thread = LoopThread()
            self._loop = self._loop_thread.loop
        return LoopRunner(self._loop)
