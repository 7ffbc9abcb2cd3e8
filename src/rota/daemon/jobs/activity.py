"""One run under way, and the command that checks it afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import TYPE_CHECKING

import msgspec

from rota.process import environ

if TYPE_CHECKING:
    from collections.abc import Callable

    from rota.daemon.world import World
    from rota.jobs.run import Ending, Outcome
    from rota.jobs.spec import JobSpec
    from rota.process.spec import AppSpec
    from rota.process.state import Exit

VERIFY_GEN = 0
"""Verify commands carry the marker of no generation: those of instances begin with 1."""
VERIFY_LIMIT = 300.0
"""A verify command that takes longer, seconds, has not verified anything."""


class Active(msgspec.Struct, eq=False):
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
    started: float = 0.0
    """When the present attempt was started; when it was adopted after a crash, the first one."""
    former: Exit | None = None
    """The last exit of the instance before this attempt: not ours."""
    output: str = ""
    waits: bool = False
    """For its place behind another run."""
    retrying: bool = False
    """Between two attempts: it keeps its place."""
    timed_out: bool = False
    cancelled: str = ""
    lost: bool = False
    """After a crash: the instance it ran in is no more."""
    gen: int = 0
    """After a crash: which start of the instance the present attempt is."""
    concluded: bool = False
    timer: asyncio.TimerHandle | None = None
    task: asyncio.Task[None] | None = None
    listeners: list[Callable[[Outcome, Ending], None]] = msgspec.field(default_factory=list)

    @property
    def counts(self) -> bool:
        """Whether it takes one of the places that overlap is about."""
        return not self.waits

    def cancel_timer(self) -> None:
        """Nothing is to happen by time any more."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def over(self, outcome: Outcome, ending: Ending) -> None:
        """Tell who follows it."""
        self.concluded = True
        self.cancel_timer()
        for listener in self.listeners:
            listener(outcome, ending)


def run_environment(active: Active) -> dict[str, str]:
    """What a run's own processes are told about it."""
    told = {"ROTA_RUN_ID": str(active.run), "ROTA_RUN_ATTEMPT": str(active.attempt)}
    if active.due is not None:
        told["ROTA_RUN_DUE"] = f"{active.due:.0f}"
    return told


def end_strays(world: World, active: Active) -> None:
    """After a crash: the verify command that a former daemon started is still there; it is started anew."""
    from rota.daemon.procs import descent, identity

    entries = world.supervisor.named(active.name)
    marker = f"{environ.MARKER}={environ.marker(world.home_id, entries[0].id, VERIFY_GEN)}".encode()
    run = f"ROTA_RUN_ID={active.run}".encode()
    for pid, _ in descent.every_process():
        opened = identity.open_process(pid) if _has_both(pid, marker, run) else None
        if opened is not None:
            if _has_both(pid, marker, run):  # still the same process, now that it is held
                identity.send(opened[0], signal.SIGKILL)
            os.close(opened[0])


def _has_both(pid: int, marker: bytes, run: bytes) -> bool:
    """Whether a process carries both entries in its environment."""
    from rota.daemon.procs.descent import has_entry

    return has_entry(pid, marker) and has_entry(pid, run)


async def verify(world: World, active: Active) -> int:
    """Run the verify command in the job's directory and environment; its exit code, 124 when it took too long, 127 when
    it cannot be started."""
    from rota.daemon.picture import record_of

    entries = world.supervisor.named(active.name)
    if not entries:
        return 127  # the job was deleted meanwhile
    env = environ.build(
        record_of(world, entries[0]),
        home=world.home.path,
        home_id=world.home_id,
        gen=VERIFY_GEN,
        extra={"ROTA_DB": world.home.db, **run_environment(active)},
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
