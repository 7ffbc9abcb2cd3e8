"""The daemon replaced by another program in the same process: by new code of its own, or by the keeper when that has died.

The parent of the apps stays their parent, so no exit code is ever lost. `rota update`: the installed daemon is executed over
this one, with the sockets, the lock and the IPC ends; the ledger says the rest. A dead keeper: the keeper's program is
executed over this process and starts a new daemon, which adopts as after any crash; nothing else could give the apps a
subreaper above them again.
"""

from __future__ import annotations

import logging
import os
import resource
import signal as signals
from itertools import chain
from typing import TYPE_CHECKING

import msgspec

from rota.daemon.gates import NOTIFY_KEY
from rota.daemon.procs import spawn
from rota.keeper.launch import daemon_argv, keeper_argv
from rota.keeper.protocol import LOCK_FD, STATE_FD

if TYPE_CHECKING:
    from rota.daemon.server import Server
    from rota.daemon.world import World

log = logging.getLogger("rota.keeper")

_ORDERS = {signals.SIGTERM, signals.SIGINT, signals.SIGQUIT, signals.SIGHUP, signals.SIGUSR1, signals.SIGUSR2}
"""What may be sent to rota at any time, a moment without handlers included."""


class State(msgspec.Struct, frozen=True):
    """What a daemon hands to its successor in the same process: descriptor numbers, which exec keeps."""

    keeper: int
    listener: int
    held: dict[str, int]
    """What the keeper holds: number of descriptors by key."""
    ipc: dict[str, int]
    """IPC ends by key."""
    notify: int = -1
    more: dict[str, list[int]] = {}
    """Further descriptors that the keeper holds too, by its keys: listeners and control sockets of clusters."""


def reexecute(world: World, lock_fd: int, server: Server) -> None:
    """Execute the installed daemon over this process. Does not return."""
    log.info("replacing myself by the installed code")
    world.ledger.flush()
    world.ledger.write_snapshot()
    listener = server.listener()
    ipc = {
        spawn.kept_key(entry.child.key, entry.child.gen): entry.child.ipc.fileno()
        for entry in world.supervisor.everybody()
        if entry.child is not None and entry.child.ipc is not None
    }
    listening = listener.fileno() if listener is not None else -1
    state = State(world.keeper.fileno(), listening, world.keeper.held, ipc, world.notify_fd, world.clusters.handover())
    memory = os.memfd_create("rota-state", 0)
    os.write(memory, msgspec.json.encode(state))
    more = chain.from_iterable(state.more.values())
    for fd in (memory, lock_fd, state.keeper, state.listener, state.notify, *ipc.values(), *more):
        if fd >= 0:
            os.set_inheritable(fd, True)
    argv = daemon_argv(world.home)
    environ = {**os.environ, STATE_FD: str(memory), LOCK_FD: str(lock_fd)}
    _before_exec(world)
    os.execve(argv[0], argv, environ)  # noqa: S606 - no shell, and that is the point


def read_state(fd: int | None) -> State | None:
    """What the predecessor handed over; None after an ordinary start."""
    if fd is None:
        return None
    with open(fd, "rb") as file:
        file.seek(0)
        state = msgspec.json.decode(file.read(), type=State)
    for number in (
        state.keeper,
        state.listener,
        state.notify,
        *state.ipc.values(),
        *chain.from_iterable(state.more.values()),
    ):
        if number >= 0:
            os.set_inheritable(number, False)
    return state


def _before_exec(world: World) -> None:
    """Signals wait for the successor's handlers, and its apps shall have the limits the user had, not our own."""
    world.keeper.empty_queue()
    signals.pthread_sigmask(signals.SIG_SETMASK, _ORDERS)
    resource.setrlimit(resource.RLIMIT_NOFILE, spawn.ORIGINAL_NOFILE)


def become_keeper(world: World, lock_fd: int) -> None:
    """Execute the keeper over this process. Does not return, unless rota is ending anyway."""
    if world.supervisor.leaving:
        return
    log.error("the keeper died; taking its place")
    world.ledger.flush()
    inherited = [item for entry in world.supervisor.everybody() if (item := _kept(world, entry.child))]
    if world.notify_fd >= 0:
        os.set_inheritable(world.notify_fd, True)
        inherited.append(f"{NOTIFY_KEY}:{world.notify_fd}")
    for key, fds in world.clusters.handover().items():
        for fd in fds:
            os.set_inheritable(fd, True)
        inherited.append(f"{key}:{','.join(map(str, fds))}")
    os.set_inheritable(lock_fd, True)
    argv = keeper_argv(world.home, lock_fd, inherited)
    _before_exec(world)
    os.execv(argv[0], argv)  # noqa: S606 - no shell, and that is the point


def _kept(world: World, child: spawn.Child | None) -> str:
    """KEY:FD,FD of one instance's FIFOs (read-write, as the keeper holds them) and IPC end."""
    if child is None:
        return ""
    fds: list[int] = []
    for stream in ("out", "err"):
        path = spawn.fifo_path(world.run_dir, child.key, child.gen, stream)
        if not os.path.exists(path):  # the runtime directory was emptied; our own end is still the same FIFO
            path = f"/proc/self/fd/{child.fds[stream]}"
        try:
            fds.append(os.open(path, os.O_RDWR))
        except (OSError, KeyError):
            return ""
    if child.ipc is not None:
        fds.append(os.dup(child.ipc.fileno()))
    for fd in fds:
        os.set_inheritable(fd, True)
    return f"{spawn.kept_key(child.key, child.gen)}:{','.join(map(str, fds))}"
