"""ping, kill, update: the daemon itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from typing import TYPE_CHECKING

from rota.daemon.supervisor import is_stuck
from rota.daemon.verbs.act import forget, report_failures
from rota.daemon.verbs.progress import shown
from rota.errors import RotaError
from rota.keeper.launch import daemon_argv
from rota.render.human import plural
from rota.version import __version__
from rota.wire.messages import PROTOCOL

if TYPE_CHECKING:
    from rota.daemon.answer import Answer
    from rota.daemon.server import Inbox
    from rota.daemon.world import World
    from rota.wire.messages import Kill, Ping, Update


async def ping(world: World, request: Ping, answer: Answer, inbox: Inbox) -> None:
    answer.data(
        {
            "pid": os.getpid(),
            "version": __version__,
            "protocol": PROTOCOL,
            "keeper": os.getppid() if world.keeper.alive else 0,
            "started": world.started,
        }
    )
    answer.text("{ msg: 'pong' }\n")


async def kill(world: World, request: Kill, answer: Answer, inbox: Inbox) -> None:
    """PM2's kill: everything stops and is forgotten (the dump is not), then the daemon and the keeper end."""
    supervisor = world.supervisor
    entries = list(supervisor.entries.values())
    strays = world.strays
    if not entries and not strays:
        answer.warn("No process found")
    if strays:
        answer.warn(f"Ending {plural(len(strays), 'process', 'processes')} that no ledger knows")
        await strays.end()
        if strays:
            answer.error("Some of them are still there")

    async def work(left: set[int]) -> None:
        await forget(world, entries, "rota kill")
        await supervisor.settled(
            [entry.id for entry in entries], is_stuck, lambda pending: left.intersection_update(pending)
        )

    await shown(answer, "stopping", entries, "still up", work)
    report_failures(answer, entries, "delete")
    if not answer.code:
        answer.say("[v] All Applications Stopped")
    answer.say("[v] rota daemon stopped")
    # From now on nobody finds this daemon: a command that comes next starts another, once the lock is free.
    with contextlib.suppress(OSError):
        os.unlink(world.home.socket)
    answer.done()
    await answer.drained()
    await asyncio.sleep(0)
    world.end(0)


async def update(world: World, request: Update, answer: Answer, inbox: Inbox) -> None:
    """Execute the installed code over this process: same pid, same children, same descriptors, nobody restarts.

    The new code is tried first, in a process of its own: one that cannot even start is refused.
    """
    try:
        version = await asyncio.to_thread(_try_installed, daemon_argv(world.home))
    except (OSError, subprocess.SubprocessError) as error:
        raise RotaError(
            f"the installed rota does not start ({_last_line(error)}); the running one goes on",
            "mend the installation, then run `rota update` again",
        ) from error
    answer.say(f"Replacing rota {__version__} (pid {os.getpid()}) by {version}; the apps keep running")
    answer.text(">>>>>>>>>> rota updated\n")
    answer.data({"from": __version__, "to": version})
    answer.done(0)
    await answer.drained()
    world.loop.call_soon(world.reexecute)


def _try_installed(argv: list[str]) -> str:
    checked = subprocess.run([*argv, "--check"], capture_output=True, text=True, timeout=30, check=True)
    return checked.stdout.strip()


def _last_line(error: Exception) -> str:
    text = getattr(error, "stderr", "") or str(error)
    return text.strip().splitlines()[-1] if text.strip() else type(error).__name__
