"""What a run in this process tells the scheduler, and asks it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from rota.clock import Clock
    from rota.schedule.execution import Execution
    from rota.schedule.ledger import Ledger


class LocalReporter:
    """`Reporter` between a function's thread or task and the engine's."""

    def __init__(
        self,
        report: Callable[[Execution, int, int | None, int], None],
        ledger: Ledger,
        clock: Clock,
        execution: Execution,
    ) -> None:
        self._report, self._ledger, self._clock, self._execution = report, ledger, clock, execution

    def progress(self, done: int, total: int | None, resumed_from: int) -> None:
        """See `Reporter.progress`."""
        self._report(self._execution, done, total, resumed_from)

    def resume_point(self) -> int:
        """See `Reporter.resume_point`."""
        return self._ledger.store.resume_point(self._ledger.app, self._execution.job.name, self._execution.id)

    def monotonic(self) -> float:
        """See `Reporter.monotonic`."""
        return self._clock.monotonic()
