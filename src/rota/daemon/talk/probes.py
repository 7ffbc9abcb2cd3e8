"""Probes: questions asked of a running process until it is ready, or for as long as it should be alive.

Each probe is one task, ended by `cancel`. Verdicts are `rota.process.readiness`'s, time is the clock's, answers are the
targets'.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from rota.daemon.talk.probe_command import CommandTarget, Surroundings
from rota.daemon.talk.probe_targets import HttpTarget, LogTarget, Target, TcpTarget
from rota.process.readiness import Streak, is_dead, is_ready, pause, readiness_pause

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rota.clock import Clock
    from rota.daemon.procs.descent import Reapers
    from rota.process.spec import ProbeSpec

T = TypeVar("T")

__all__ = ["LivenessProbe", "ReadinessProbe", "Surroundings", "Target", "target_of"]


def target_of(spec: ProbeSpec, surroundings: Surroundings, reapers: Reapers) -> Target:
    """What the probe asks. A LogTarget must be fed with the app's output.

    Raises:
        SpecError: its target is none.
    """
    match spec.kind:
        case "http":
            return HttpTarget(spec.target)
        case "tcp":
            return TcpTarget(spec.target)
        case "exec":
            return CommandTarget(spec.command, surroundings, reapers)
        case "log":
            return LogTarget(spec.target)


class ReadinessProbe:
    """Asks until the app is ready or its deadline, counted from now and including the initial delay, has passed.

    Args:
        on_ready: called once, when enough good answers came in a row.
        on_failed: called once with the reason, when the deadline passed. Never after `on_ready`.
    """

    def __init__(
        self,
        spec: ProbeSpec,
        target: Target,
        clock: Clock,
        on_ready: Callable[[], None],
        on_failed: Callable[[str], None],
    ) -> None:
        self._spec, self._target, self._clock = spec, target, clock
        self._on_ready, self._on_failed = on_ready, on_failed
        self._last = ""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def cancel(self) -> None:
        """Ask no more; nothing is called any more, and what was under way is ended in the next turns of the loop."""
        self._task.cancel()

    async def _run(self) -> None:
        try:
            await limited(self._until_ready(), self._spec.deadline, self._clock)
        except TimeoutError:
            reason = f": {self._last}" if self._last else ""
            self._on_failed(f"not ready within {self._spec.deadline:g} s{reason}")
        else:
            self._on_ready()

    async def _until_ready(self) -> None:
        spec, streak = self._spec, Streak()
        await self._clock.sleep(spec.initial_delay)
        while True:
            began = self._clock.monotonic()
            self._last = await answer(spec, self._target, self._clock)
            streak = streak.after(not self._last)
            if is_ready(spec, streak):
                return
            await self._clock.sleep(began + readiness_pause(spec, streak) - self._clock.monotonic())


class LivenessProbe:
    """Asks for as long as the process runs. Begin it once the app is ready.

    Args:
        on_dead: called once with the reason, when enough bad answers came in a row; nothing is asked after that.
    """

    def __init__(self, spec: ProbeSpec, target: Target, clock: Clock, on_dead: Callable[[str], None]) -> None:
        self._spec, self._target, self._clock, self._on_dead = spec, target, clock, on_dead
        self._task = asyncio.get_running_loop().create_task(self._run())

    def cancel(self) -> None:
        """Ask no more; nothing is called any more, and what was under way is ended in the next turns of the loop."""
        self._task.cancel()

    async def _run(self) -> None:
        spec, streak = self._spec, Streak()
        await self._clock.sleep(spec.initial_delay)
        while True:
            began = self._clock.monotonic()
            wrong = await answer(spec, self._target, self._clock)
            streak = streak.after(not wrong)
            if is_dead(spec, streak):
                times = "" if streak.bad == 1 else f" ({streak.bad} times in a row)"
                self._on_dead(f"{wrong}{times}")
                return
            await self._clock.sleep(began + pause(spec) - self._clock.monotonic())


async def answer(spec: ProbeSpec, target: Target, clock: Clock) -> str:
    """One attempt, within its time limit."""
    try:
        return await limited(target.ask(), spec.timeout, clock)
    except TimeoutError:
        if isinstance(target, LogTarget):
            return target.describe_failure()
        what = spec.command[0] if spec.kind == "exec" else spec.target
        return f"{what}: no answer within {spec.timeout:g} s"


async def limited(work: Awaitable[T], seconds: float, clock: Clock) -> T:
    """Await something, but no longer than that by this clock; what is given up is cancelled and has ended on return.

    Raises:
        TimeoutError: time is up.
    """
    task = asyncio.ensure_future(work)
    timer = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait((task, timer), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise TimeoutError
    finally:
        timer.cancel()
        task.cancel()
        await asyncio.wait((task, timer))
        if not task.cancelled():
            task.exception()  # seen: nobody else will ask
