"""Runs plain functions in threads. Threads cannot be ended from outside: they are told, and given up when they do not listen."""

from __future__ import annotations

import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from rota.schedule.execution import Result
from rota.schedule.run import RunEnded
from rota.schedule.runners.calls import call, describe, trace

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from rota.schedule.execution import Execution
    from rota.schedule.run import Run

_IDLE = 30.0
"""Seconds an unused thread stays."""


class Threads:
    """As many threads as there is work at once; idle ones are used first. They never keep the program alive."""

    def __init__(self) -> None:
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._count = 0

    def submit(self, work: Callable[[], None]) -> None:
        """Run it soon."""
        self._work.put(work)
        if not self._idle.acquire(blocking=False):
            self._count += 1
            threading.Thread(target=self._serve, name=f"rota-{self._count}", daemon=True).start()

    def close(self) -> None:
        """Let idle threads go."""
        while self._idle.acquire(blocking=False):
            self._work.put(None)

    def _serve(self) -> None:
        while True:
            try:
                work = self._work.get(timeout=_IDLE)
            except Empty:
                # Whoever counted on us being idle has work for us: then it is on its way.
                if self._idle.acquire(blocking=False):
                    return
                continue
            if work is None:
                return
            work()
            del work
            self._idle.release()


class ThreadRunner:
    """`Runner` in threads."""

    def __init__(self, threads: Threads, hooks: Sequence[Callable[[], None]] = ()) -> None:
        self._threads, self._hooks = threads, hooks

    def start(self, execution: Execution, run: Run, done: Callable[[Result], None]) -> None:
        """See `Runner.start`."""
        self._threads.submit(lambda: done(self._attempt(execution, run)))

    def _attempt(self, execution: Execution, run: Run) -> Result:
        result = attempt(execution, run)
        for hook in self._hooks:
            try:
                hook()
            except Exception:
                run.log.exception("a hook after the run failed")
        return result

    def cancel(self, execution: Execution, reason: str) -> None:
        """See `Runner.cancel`: `run.cancelled` and `run.check()` say so; there is nothing else to do."""

    def kill(self, execution: Execution) -> bool:
        """See `Runner.kill`: impossible. Python cannot end a thread, and one ended midway would leave locks held."""
        return False

    def close(self) -> None:
        """See `Runner.close`."""
        self._threads.close()


def attempt(execution: Execution, run: Run) -> Result:
    """Call the function here and now."""
    try:
        value = call(execution.job, run)
        if hasattr(value, "__await__"):
            _close(value)
            raise TypeError("the function returned something to await; make it an `async def`")
        return Result(seconds=run.elapsed)
    except RunEnded as error:
        return Result(describe(error), cancelled=True, seconds=run.elapsed)
    except BaseException as error:
        return Result(describe(error), run.cancelled, trace(error), seconds=run.elapsed)


def _close(value: Coroutine[object, object, object]) -> None:
    if hasattr(value, "close"):
        value.close()
