"""A claimed run on its way: what the engine and the runners share of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from rota.jobs.run import TriggerKind
    from rota.schedule.budgets.budget import Budget
    from rota.schedule.budgets.turn import Turn
    from rota.schedule.job import Job
    from rota.schedule.run import Run
    from rota.schedule.timers import Timer


@dataclass(slots=True, eq=False)
class Execution:
    """One claimed run with all its attempts. The engine's thread owns it; runners read `job` and `run`."""

    job: Job
    id: int
    fence: int
    due: float | None
    trigger: TriggerKind
    attempt: int = 1
    started: float | None = None
    """Wall clock of the first start."""
    run: Run | None = None
    """Of the attempt under way."""
    pending_budgets: list[tuple[Budget, float]] = field(default_factory=list)
    taken: list[tuple[Budget, float, float]] = field(default_factory=list)
    """Budgets of this attempt: tokens, and when they were taken."""
    turn: Turn | None = None
    """Our place in the line of the first of them."""
    gate: object | None = None
    """What the next continuation must show to be the one that is meant."""
    give_up_at: float | None = None
    """Wall clock: without tokens until then, it is skipped."""
    alarm: Timer | None = None
    """The timeout, or the end of patience after it."""
    cancel_reason: str = ""
    timed_out: bool = False
    stuck: bool = False
    lost: bool = False
    """Our lease lapsed; the row is no longer ours."""
    was_queued: bool = False
    over: bool = False
    exit_code: int | None = None
    signal: str | None = None
    handle: Any = None
    """The runner's own."""


@dataclass(frozen=True, slots=True)
class Result:
    """How an attempt ended, as its runner saw it. `error` is None when the function returned."""

    error: str | None = None
    cancelled: bool = False
    """It ended because it was told to."""
    traceback: str = ""
    exit_code: int | None = None
    signal: str | None = None
    seconds: float = 0.0


class Runner(Protocol):
    """Runs functions somewhere. Every method is called from the engine's thread and returns at once."""

    def start(self, execution: Execution, run: Run, done: Callable[[Result], None]) -> None:
        """Begin. `done` is called once, from any thread."""
        ...

    def cancel(self, execution: Execution, reason: str) -> None:
        """Tell it to end."""
        ...

    def kill(self, execution: Execution) -> bool:
        """End it by force. False when that is impossible here; `done` is called when it is."""
        ...

    def close(self) -> None:
        """No more starts; release what idles."""
        ...
