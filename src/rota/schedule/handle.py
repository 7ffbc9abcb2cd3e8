"""A run that was asked for: wait for it in a thread, or await it on an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import time
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TYPE_CHECKING

from rota.errors import StoreUnavailable, TargetNotFound, Timeout
from rota.jobs.run import RunState
from rota.timing.duration import parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from datetime import timedelta
    from typing import Any

    from rota.stores.records import RunRecord

_LOOK_EVERY = 0.5
"""Seconds between looks at the ledger: the run may be another process's, and our own scheduler not be running."""


class RunHandle:
    """What `scheduler.trigger` returns. `id` is the run's number in the ledger."""

    def __init__(self, id: int, job: str, look: Callable[[int], RunRecord | None]) -> None:
        self.id, self.job, self._look = id, job, look
        self._future: Future[RunRecord] = Future()

    def wait(self, timeout: str | float | timedelta | None = None) -> RunRecord:
        """The finished run. Not on an event loop: there, await the handle.

        Raises:
            Timeout: it is not over in time; it goes on.
        """
        end = float("inf") if timeout is None else time.monotonic() + parse_duration(timeout)
        while True:
            try:
                return self._future.result(max(0.0, min(_LOOK_EVERY, end - time.monotonic())))
            except FutureTimeout:
                self._look_at_it()
            if time.monotonic() >= end and not self._future.done():
                raise Timeout(f"run {self.id} of {self.job} is not over yet", "it goes on; wait again, or look later")

    def __await__(self) -> Generator[Any, None, RunRecord]:
        return self._over().__await__()

    async def _over(self) -> RunRecord:
        loop, told = asyncio.get_running_loop(), asyncio.Event()

        def tell(_: object) -> None:
            with contextlib.suppress(RuntimeError):  # nobody waits any more
                loop.call_soon_threadsafe(told.set)

        self._future.add_done_callback(tell)
        while not self._future.done():
            try:
                async with asyncio.timeout(_LOOK_EVERY):
                    await told.wait()
            except TimeoutError:
                await asyncio.to_thread(self._look_at_it)
        return self._future.result()

    def _look_at_it(self) -> None:
        try:
            record = self._look(self.id)
        except StoreUnavailable:
            return  # perhaps next time
        if record is None or record.state is RunState.FINISHED:
            self.tell(record)

    def tell(self, record: RunRecord | None) -> None:
        """It is over. Called by the engine."""
        with contextlib.suppress(InvalidStateError):  # it was told before
            if record is None:
                self._future.set_exception(TargetNotFound(f"run {self.id} of {self.job} is no longer in the history"))
            else:
                self._future.set_result(record)

    def __repr__(self) -> str:
        return f"RunHandle(id={self.id}, job={self.job!r})"
