"""A run that was asked for: wait for it in a thread, or await it on an event loop."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TYPE_CHECKING

from rota.errors import TargetNotFound, Timeout
from rota.timing.duration import parse_duration

if TYPE_CHECKING:
    from collections.abc import Generator
    from datetime import timedelta
    from typing import Any

    from rota.stores.records import RunRecord


class RunHandle:
    """What `scheduler.trigger` returns. `id` is the run's number in the ledger."""

    def __init__(self, id: int, job: str) -> None:
        self.id, self.job = id, job
        self._future: Future[RunRecord] = Future()

    def wait(self, timeout: str | float | timedelta | None = None) -> RunRecord:
        """The finished run. Not on an event loop: there, await the handle.

        Raises:
            Timeout: it is not over in time; it goes on.
        """
        try:
            return self._future.result(None if timeout is None else parse_duration(timeout))
        except FutureTimeout:
            raise Timeout(
                f"run {self.id} of {self.job} is not over yet", "it goes on; wait again, or look later"
            ) from None

    def __await__(self) -> Generator[Any, None, RunRecord]:
        return asyncio.wrap_future(self._future).__await__()

    def tell(self, record: RunRecord | None) -> None:
        """It is over. Called by the engine."""
        if self._future.done():
            return
        if record is None:
            self._future.set_exception(TargetNotFound(f"run {self.id} of {self.job} is no longer in the history"))
        else:
            self._future.set_result(record)

    def __repr__(self) -> str:
        return f"RunHandle(id={self.id}, job={self.job!r})"
