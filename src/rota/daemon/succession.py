"""When the keeper dies, the daemon takes its place: the parent of the apps stays their parent, so no exit code is ever lost.

The process executes the keeper's program over itself, keeping its pid, its children, the lock and the FIFOs; as keeper it
then starts a new daemon, which adopts as after any crash. Nothing else could give the apps a subreaper above them again.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from rota.daemon import spawn
from rota.keeper.launch import keeper_argv

if TYPE_CHECKING:
    from rota.daemon.world import World

log = logging.getLogger("rota.keeper")


def become_keeper(world: World, lock_fd: int) -> None:
    """Execute the keeper over this process. Does not return."""
    log.error("the keeper died; taking its place")
    world.ledger.flush()
    inherited = [item for entry in world.supervisor.entries.values() if (item := _kept(world, entry.id))]
    os.set_inheritable(lock_fd, True)
    argv = keeper_argv(world.home, lock_fd, inherited)
    os.execv(argv[0], argv)  # noqa: S606 - no shell, and that is the point


def _kept(world: World, id: int) -> str:
    """KEY:FD,FD of one instance's FIFOs (read-write, as the keeper holds them) and IPC end."""
    child = world.supervisor.entries[id].child
    if child is None:
        return ""
    fds: list[int] = []
    for stream in ("out", "err"):
        try:
            fds.append(os.open(spawn.fifo_path(world.run_dir, id, child.gen, stream), os.O_RDWR))
        except OSError:
            return ""
    if child.ipc is not None:
        fds.append(os.dup(child.ipc.fileno()))
    for fd in fds:
        os.set_inheritable(fd, True)
    return f"{spawn.kept_key(id, child.gen)}:{','.join(map(str, fds))}"
