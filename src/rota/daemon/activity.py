"""One run under way, and the command that checks it afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rota.process import environ

if TYPE_CHECKING:
    from collections.abc import Callable

    from rota.daemon.world import World
    from rota.jobs.run import Ending, Outcome
    from rota.jobs.spec import JobSpec
    from rota.process.spec import AppSpec

VERIFY_LIMIT = 300.0
"""A verify command that takes longer, seconds, has not verified anything."""


@dataclass(slots=True, eq=False)
class Active:
    """A claimed run that has not finished."""

    name: str
    spec: AppSpec
    job: JobSpec
    run: int
    fence: int
    due: float | None
    attempt: int = 1
    instance: int | None = None
    """Where it executes, while it does."""
    extra: bool = False
    """The instance was made for this run only."""
    started: float = 0.0
    output: str = ""
    waits: bool = False
    """For its place behind another run."""
    retrying: bool = False
    timed_out: bool = False
    cancelled: str = ""
    abandoned: str = ""
    lost: bool = False
    timer: asyncio.TimerHandle | None = None
    task: asyncio.Task[None] | None = None
    listeners: list[Callable[[Outcome, Ending], None]] = field(default_factory=list)

    @property
    def counts(self) -> bool:
        """Whether it takes one of the places that overlap is about."""
        return not self.waits

    def over(self, outcome: Outcome, ending: Ending) -> None:
        """Tell who follows it."""
        if self.timer is not None:
            self.timer.cancel()
        for listener in self.listeners:
            listener(outcome, ending)


async def verify(world: World, active: Active) -> int:
    """Run the verify command in the job's directory and environment; its exit code, 124 when it took too long."""
    from rota.daemon.picture import record_of

    entry = world.supervisor.named(active.name)[0]
    env = environ.build(
        record_of(world, entry),
        home=world.home.path,
        home_id=world.home_id,
        gen=0,
        extra={"ROTA_DB": world.home.db, "ROTA_RUN_ID": str(active.run)},
    )
    try:
        output = os.open(active.output or os.devnull, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        output = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    try:
        process = await asyncio.create_subprocess_exec(
            *active.job.verify, cwd=active.spec.cwd, env=env, stdin=asyncio.subprocess.DEVNULL,
            stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    except OSError:
        return 127
    finally:
        os.close(output)
    try:
        async with asyncio.timeout(VERIFY_LIMIT):
            return await process.wait()
    except TimeoutError:
        return 124
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
