"""One process of a cluster app, and what tells it from others."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from rota.daemon.cluster.sockets import sockets_of
from rota.process.state import mark_of

if TYPE_CHECKING:
    import socket

    from rota.daemon.cluster.listeners import Listener
    from rota.daemon.cluster.node_primary import NodeWorker
    from rota.daemon.cluster.programs import Kind
    from rota.daemon.cluster.python_child import PythonChild
    from rota.daemon.entry import Entry

CONTROL = "control/"
"""The keeper's names for our ends of control sockets: control/MARK/GENERATION."""


class Member(msgspec.Struct, eq=False):
    """One process of a cluster app."""

    kind: Kind
    names: set[str] = msgspec.field(default_factory=set)
    """Listeners on which it accepts."""
    asked: set[str] = msgspec.field(default_factory=set)
    """Those it was given."""
    python: PythonChild | None = None
    node: NodeWorker | None = None
    leaving: bool = False
    """New connections go elsewhere; what waits in its queue it still accepts."""
    draining: bool = False
    """It accepts nothing any more."""
    healthy: bool = True


def is_successor(entry: Entry) -> bool:
    """Whether it has not taken over yet."""
    return entry.instance.stands_for is not None and not entry.instance.leaving


def control_key(entry: Entry) -> str:
    """The keeper's name for the control socket of the present process."""
    key = entry.child.key if entry.child is not None else mark_of(entry.instance)
    gen = entry.child.gen if entry.child is not None else entry.instance.gen
    return f"{CONTROL}{key}/{gen}"


def inode_of(sock: socket.socket) -> int:
    """What /proc calls it."""
    return os.fstat(sock.fileno()).st_ino


def inodes_of(listener: Listener) -> set[int]:
    return {inode_of(sock) for sock in listener.sockets}


def sockets_held(entry: Entry) -> set[int]:
    """The inodes of all sockets its processes have open."""
    pids = [one.pid for one in entry.tree.members()] if entry.tree is not None else []
    return {inode for pid in pids for inode in sockets_of(pid)}
