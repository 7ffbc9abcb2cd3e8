"""What a job's function is given: its run."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol, TypeVar

from rota.errors import LeaseLost, RotaError
from rota.schedule import surroundings
from rota.schedule.batches import Batches
from rota.schedule.progress import Progress
from rota.timing.duration import parse_duration

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Iterable
    from datetime import timedelta

    from rota.schedule.budgets.budget import Budget

T = TypeVar("T")

log = logging.getLogger("rota.schedule.run")


class RunEnded(RotaError):
    """Raised by `run.check()` in a run that was told to end: its time is up, it was cancelled, or replaced."""

    code = "run_ended"


class Reporter(Protocol):
    """Whoever keeps the records of a run that goes on elsewhere."""

    def progress(self, done: int, total: int | None, resumed_from: int) -> None:
        """Write down how far it has come. Returns at once."""
        ...

    def resume_point(self) -> int:
        """How far the job's last run had come that did not succeed."""
        ...

    def monotonic(self) -> float:
        """Seconds on the scheduler's clock."""
        ...


class Run:
    """One attempt to run a job.

    Attributes:
        id: the run's number in the ledger, as `rota runs` shows it.
        job: the job's name.
        due: the instant it was due, in UTC; None for a run by hand.
        attempt: 1, 2 for the first retry, and so on.
        trigger: cron, catch-up, manual, retry or after.
        fence: grows with every claim of the job. Pass it to whatever you write to: a system that refuses a smaller
            fence than it has seen cannot be harmed by a run that was given up for dead and woke up again.
        log: a logger that names the job and the run.
    """

    def __init__(
        self,
        *,
        id: int,
        job: str,
        due: float | None,
        attempt: int,
        trigger: str,
        fence: int,
        reporter: Reporter,
        timeout: float = 0.0,
    ) -> None:
        self.id, self.job, self.attempt, self.trigger, self.fence = id, job, attempt, trigger, fence
        self.due = None if due is None else datetime.fromtimestamp(due, UTC)
        self.log = logging.LoggerAdapter(log, {"job": job, "run": id})
        self._reporter = reporter
        self._timeout = timeout
        self._began = reporter.monotonic()
        self._ended = threading.Event()
        self._reason = ""
        self._lost = False
        self.done = 0
        self.total: int | None = None
        self._resumed_from = 0

    @property
    def cancelled(self) -> bool:
        """Whether this run was told to end. A function in a thread should look now and then, or call `check()`."""
        return self._ended.is_set()

    def check(self) -> None:
        """Return if the run may go on.

        Raises:
            RunEnded: it was told to end.
            LeaseLost: it was given up for dead and is no longer ours; somebody else may have taken over.
        """
        if self._lost:
            raise LeaseLost(f"run {self.id} of {self.job} was given up for dead", "it did not renew its lease in time")
        if self._ended.is_set():
            raise RunEnded(f"run {self.id} of {self.job} was told to end: {self._reason}")

    def wait(self, seconds: str | float | timedelta) -> None:
        """Sleep in a thread, but end the sleep (with RunEnded) when the run is told to end. Async functions use
        `asyncio.sleep`, which cancellation ends."""
        if surroundings.simulated_store() is None:
            self._ended.wait(parse_duration(seconds))
        else:
            surroundings.jump(parse_duration(seconds))
        self.check()

    @property
    def elapsed(self) -> float:
        """Seconds since this attempt began."""
        return self._reporter.monotonic() - self._began

    @property
    def remaining(self) -> float | None:
        """Seconds before the timeout; None without one."""
        return max(0.0, self._timeout - self.elapsed) if self._timeout else None

    def progress(self, done: int, total: int | None = None) -> None:
        """Say how far the work has come; shown in health, in `rota runs` and on a terminal."""
        self.done = done
        if total is not None:
            self.total = total
        self._reporter.progress(self.done, self.total, self._resumed_from)

    @property
    def pace(self) -> Progress:
        """Progress, rate and time left."""
        return Progress(self.done, self.total, self._resumed_from, self.elapsed)

    def batches(
        self,
        items: Iterable[T] | AsyncIterable[T],
        size: int = 50,
        pause: str | float | timedelta = 0.0,
        budget: Budget | None = None,
        *,
        cost: float = 1.0,
        total: int | None = None,
        resume: bool = False,
    ) -> Batches[T]:
        """Go through items in batches: `for batch in run.batches(...)`, or `async for` in an async function.

        A batch is confirmed, and counted as progress, when the next one is asked for.

        Args:
            items: any iterable, or an async one for `async for`.
            size: items per batch; the last may be smaller.
            pause: between two batches.
            budget: tokens taken before each batch, `cost` of them.
            total: how many items there are, where `len(items)` does not say.
            resume: begin behind what the job's last run confirmed, if that run did not succeed. The items must come in
                the same order. The batch that was under way is done again.
        """
        return Batches(self, items, size, parse_duration(pause), budget, cost, total, resume)

    def resume_point(self) -> int:
        """How many items the job's last run had confirmed, if it did not succeed; else 0."""
        return self._reporter.resume_point()

    def resumed(self, at: int) -> None:
        """The work begins behind `at` items that are done."""
        self._resumed_from = at

    def end(self, reason: str, *, lost: bool = False) -> None:
        """Tell the run to end. Called by the scheduler."""
        self._reason, self._lost = reason, lost
        self._ended.set()

    def __repr__(self) -> str:
        return f"Run(id={self.id}, job={self.job!r}, due={self.due}, attempt={self.attempt})"
