"""Notices when a job blocks the event loop, and names it: the loop is asked every second to say it is there."""

from __future__ import annotations

import logging
import sys
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from rota.schedule.engine import Engine
    from rota.schedule.runners.loop import LoopRunner

ASK_EVERY = 1.0


class LoopWatch:
    """Lives in the engine's thread; the loop only writes down when it was asked."""

    def __init__(self, engine: Engine, runner: Callable[[], LoopRunner | None], patience: float) -> None:
        self._engine, self._runner, self._patience = engine, runner, patience
        self._asked = 0.0
        self._answered = 0.0
        self._thread: int | None = None
        self._named = ""

    def start(self) -> None:
        """Ask from now on."""
        self._again()

    def _again(self) -> None:
        runner, now = self._runner(), self._engine.clock.monotonic()
        if runner is not None and not runner.loop.is_closed():
            if self._answered >= self._asked:
                self._recovered()
                self._asked = now
                runner.loop.call_soon_threadsafe(self._answer)
                pause = min(ASK_EVERY, self._patience)
            else:
                if now - self._asked >= self._patience and not self._named:
                    self._blocked(runner, now - self._asked)
                pause = 0.1
        else:
            pause = ASK_EVERY
        self._engine.timers.at(now + pause, self._again)

    def _answer(self) -> None:
        import threading

        self._thread = threading.get_ident()
        self._answered = self._engine.clock.monotonic()

    def _blocked(self, runner: LoopRunner, seconds: float) -> None:
        execution = runner.running()
        where = self._where()
        self._named = execution.job.name if execution else "code that is no job of this scheduler"
        text = f"{self._named} blocks the event loop for {seconds:.1f} s now{where}; move the slow call to a thread"
        facts = {"about": execution.job.name} if execution else {}
        self._engine.log.scheduler(logging.WARNING, "blocked", text, seconds=round(seconds, 3), where=where, **facts)
        self._engine.detail["blocked_by"] = self._named

    def _recovered(self) -> None:
        lag = max(0.0, self._answered - self._asked)
        self._engine.detail["loop_lag"] = round(lag, 4)
        if self._named:
            text = f"the event loop is back after {lag:.1f} s; {self._named} had blocked it"
            self._engine.log.scheduler(logging.WARNING, "unblocked", text, seconds=round(lag, 3))
            self._engine.detail.pop("blocked_by", None)
            self._named = ""

    def _where(self) -> str:
        """The innermost line of the loop's thread, as far as it can be seen."""
        frame = sys._current_frames().get(self._thread or 0)
        if frame is None:
            return ""
        entry = traceback.extract_stack(frame)[-1]
        return f", in {entry.name} ({entry.filename}:{entry.lineno})"
