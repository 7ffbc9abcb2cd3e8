"""Runs async functions as tasks of an event loop."""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import TYPE_CHECKING

from rota.schedule.execution import Result
from rota.schedule.runners.calls import call, describe, trace

if TYPE_CHECKING:
    from collections.abc import Callable

    from rota.schedule.execution import Execution
    from rota.schedule.run import Run


class LoopRunner:
    """`Runner` on an event loop that somebody else runs."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._tasks: dict[asyncio.Task[None], Execution] = {}
        """Also keeps the tasks alive: a loop itself holds only weak references."""

    def start(self, execution: Execution, run: Run, done: Callable[[Result], None]) -> None:
        """See `Runner.start`."""
        try:
            self.loop.call_soon_threadsafe(self._spawn, execution, run, done)
        except RuntimeError:
            done(Result(error="the event loop is closed"))

    def cancel(self, execution: Execution, reason: str) -> None:
        """See `Runner.cancel`."""
        self._on_loop(self._cancel, execution, reason)

    def kill(self, execution: Execution) -> bool:
        """See `Runner.kill`: a task that ignored its cancellation gets a second one, no more can be done."""
        self._on_loop(self._cancel, execution, "killed")
        return False

    def close(self) -> None:
        """See `Runner.close`."""

    def running(self) -> Execution | None:
        """The execution whose code the loop is in right now; callable from any thread."""
        task = asyncio.current_task(self.loop)
        return None if task is None else self._tasks.get(task)

    def _on_loop(self, act: Callable[[Execution, str], None], execution: Execution, reason: str) -> None:
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(act, execution, reason)

    def _spawn(self, execution: Execution, run: Run, done: Callable[[Result], None]) -> None:
        task = self.loop.create_task(self._go(execution, run, done), name=f"rota:{run.job}:{run.id}", context=Context())
        self._tasks[task] = execution
        execution.handle = task
        task.add_done_callback(lambda ended: self._over(ended, run, done))

    def _over(self, task: asyncio.Task[None], run: Run, done: Callable[[Result], None]) -> None:
        del self._tasks[task]
        # A task that was cancelled before its first step never got as far as to say so itself.
        if task.cancelled():
            done(Result(error="cancelled", cancelled=True, seconds=run.elapsed))

    def _cancel(self, execution: Execution, reason: str) -> None:
        if execution.handle is not None:
            execution.handle.cancel(reason)

    async def _go(self, execution: Execution, run: Run, done: Callable[[Result], None]) -> None:
        try:
            await call(execution.job, run)
            result = Result(seconds=run.elapsed)
        except asyncio.CancelledError:
            result = Result(error="cancelled", cancelled=True, seconds=run.elapsed)
        except BaseException as error:
            # Also SystemExit and KeyboardInterrupt of a job: one job's end is not the program's.
            result = Result(describe(error), run.cancelled, trace(error), seconds=run.elapsed)
        done(result)
