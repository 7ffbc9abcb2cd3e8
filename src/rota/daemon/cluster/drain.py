"""A copy leaves: it accepts no more, and its connections end. What they did is done when `drained` returns."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from typing import TYPE_CHECKING

from rota.daemon.cluster.programs import Kind
from rota.daemon.cluster.sockets import catches, connections
from rota.process.state import process_of

if TYPE_CHECKING:
    from rota.daemon.cluster.member import Member
    from rota.daemon.entry import Entry
    from rota.daemon.procs.tree import Tree
    from rota.daemon.world import World

log = logging.getLogger("rota.cluster")

EVERY = 0.05
SETTLE, LONG_SETTLE = 0.3, 1.0
"""After steering away: handshakes that had begun are completed into the queue that was chosen for them, seconds. Later ones
are rescued where a Node process can take them (rescue.py), and reset elsewhere."""


async def emptied(world: World, entry: Entry) -> None:
    """For a slot that nobody takes over: steer away, and let the process accept what waits in its queue."""
    member = world.cluster.members.get(entry)
    if member is None:
        return
    slot = world.cluster.slot(entry)
    mine = [listener for listener in world.cluster.listeners.of(entry.name) if listener.name in member.names]
    member.leaving = True
    world.cluster.steer(entry.name)
    until = world.loop.time() + max(entry.spec.drain_timeout, SETTLE)
    await asyncio.sleep(SETTLE if member.node is not None else LONG_SETTLE)
    while world.loop.time() < until and process_of(entry.instance.actual) is not None:
        if not any(not each.shared and each.waiting(slot) for each in mine):
            return
        await asyncio.sleep(EVERY)


async def drained(world: World, entry: Entry) -> None:
    """Stop accepting, then wait until the connections have ended, or are better ended by the app itself, or for long enough."""
    member, process = world.cluster.members.get(entry), process_of(entry.instance.actual)
    if member is None or process is None or entry.tree is None:
        return
    addresses = [each.address for each in world.cluster.listeners.of(entry.name)]
    ports = [(each.family, each.port) for each in addresses if each.kind == socket.SOCK_STREAM]
    member.draining = True
    world.cluster.steer(entry.name)
    told = _stop_accepting(entry, member)
    if told is None:
        return  # its own way of ending is all there is
    began, spec = world.loop.time(), entry.spec
    while True:
        await asyncio.sleep(EVERY)
        if process_of(entry.instance.actual) is None or entry.tree is None:
            return  # it ended meanwhile
        passed = world.loop.time() - began
        if member.node is not None and member.node.drained:
            return
        # A handler runs when the interpreter gets to it: before that, no connections means nothing. Who is kept from it for
        # that long serves nobody.
        quiet = member.node is None and (passed >= spec.soft_drain or _obeyed(entry.tree, member, told))
        if quiet and await _count(entry.name, entry.tree, ports) == 0:
            return
        if passed >= spec.drain_timeout or (passed >= spec.soft_drain and _ends_gracefully(entry, member, process.pid)):
            return


def _stop_accepting(entry: Entry, member: Member) -> set[int] | None:
    """Which processes were told by signal; None when nobody can be told."""
    if member.node is not None:
        return set() if member.node.drain(entry.spec.soft_drain, entry.spec.stop.signal) else None
    if member.python is None or not member.python.active or entry.tree is None:
        return None
    told = set()
    for one in entry.tree.members():
        if catches(one.pid, signal.SIGURG):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(one.pid, signal.SIGURG)
                told.add(one.pid)
    return told


def _obeyed(tree: Tree, member: Member, told: set[int]) -> bool:
    """Whether all that were told have said that they accept no more, or are gone."""
    said = member.python.drained if member.python is not None else set()
    # In a pid namespace of its own a process knows itself by another number.
    return len(said) >= len(told) or not (told - said) & {one.pid for one in tree.members()}


def _ends_gracefully(entry: Entry, member: Member, pid: int) -> bool:
    if entry.spec.stop.with_message:
        return True
    if member.kind is Kind.NODE:
        return bool(member.node and member.node.catches)
    return catches(pid, signal.SIGTERM)


async def _count(name: str, tree: Tree, ports: list[tuple[int, int]]) -> int:
    pids = [one.pid for one in tree.members()]
    try:
        return await asyncio.to_thread(connections, pids, ports)
    except OSError as error:
        log.warning("%s: the kernel does not tell its connections (%s)", name, error.strerror)
        return -1
