"""Connections handed to workers one by one: those that wait where nobody accepts, and with `balance = "rr"` all of them.

Nobody accepts from the queue of a slot whose process has died, or has been replaced or removed.

A sibling gets them where that can be done: Node's protocol hands connections over one by one. Elsewhere they wait for the
process that comes for this slot; where none is to come they are closed, so that their clients need not find out by waiting.
"""

from __future__ import annotations

import hashlib
import logging
import os
import socket
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from rota.daemon.cluster.listeners import source_of
from rota.process.state import Down, Failed, Ready

if TYPE_CHECKING:
    from rota.daemon.cluster.listeners import Listener
    from rota.daemon.cluster.members import Cluster
    from rota.daemon.cluster.node_primary import NodeWorker
    from rota.daemon.entry import Entry

log = logging.getLogger("rota.cluster")

PENDING = 1000
"""Connections handed to one worker and not acknowledged from which it gets no more: the others wait in the kernel, not here."""
PER_TURN = 64
"""Connections accepted in one turn of the loop."""
PAUSE = 0.05
"""Seconds until the next look where nobody can take a connection, or no descriptor is left for one."""


class Rescue:
    """Watches the queues that nobody else looks at."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._watched: dict[int, Listener] = {}
        """Sockets looked at, by descriptor."""
        self._early: dict[Listener, deque[tuple[int, str]]] = {}
        """Accepted while nobody was ready: what comes to ask an instance how it is must be told apart from the others."""
        self._count = 0

    def look(self, listener: Listener) -> None:
        """Something changed: begin or end watching this listener's queues."""
        if listener.shared != listener.handed or listener.address.kind != socket.SOCK_STREAM:
            return
        self._give_early(listener)
        for slot, sock in zip(listener.slots, listener.sockets, strict=True):
            watched = sock.fileno() in self._watched
            wanted = not self._attended(listener, slot) and self._can_help(listener, slot)
            if wanted and not watched:
                self._watched[sock.fileno()] = listener
                os.set_blocking(sock.fileno(), False)  # a program it was handed to may have had it otherwise
                self._cluster.loop.add_reader(sock, self._accept, listener, sock)
            elif watched and not wanted:
                self._unwatch(sock)

    def closing(self, listener: Listener) -> None:
        """The listener is about to be closed."""
        for sock in listener.sockets:
            if sock.fileno() in self._watched:
                self._unwatch(sock)
        for fd, _ in self._early.pop(listener, ()):
            os.close(fd)

    def _unwatch(self, sock: socket.socket) -> None:
        del self._watched[sock.fileno()]
        self._cluster.loop.remove_reader(sock)

    def _pause(self, listener: Listener, sock: socket.socket) -> None:
        self._unwatch(sock)
        self._cluster.loop.call_later(PAUSE, self._look_again, listener)

    def _look_again(self, listener: Listener) -> None:
        if listener in self._cluster.listeners.of(listener.app):
            self.look(listener)

    # --- who there is ---

    def _attended(self, listener: Listener, slot: int) -> bool:
        if listener.handed:
            return False
        members = self._cluster.members
        return any(
            self._cluster.slot(entry) == slot and listener.name in member.names and not member.draining
            for entry, member in members.items()
            if entry.name == listener.app
        )

    def _can_help(self, listener: Listener, slot: int) -> bool:
        if listener.handed:
            return bool(self._workers(listener))
        if self._siblings(listener):
            return True
        return not self._expected(listener, slot) and self._others(listener)

    def _workers(self, listener: Listener) -> list[tuple[Entry, NodeWorker]]:
        """Those that can be given a connection, ready or not."""
        return [
            (entry, member.node)
            for entry, member in self._cluster.members.items()
            if entry.name == listener.app
            and member.node is not None
            and entry.channel is not None
            and self._cluster.accepts(entry, listener.name)
        ]

    def _siblings(self, listener: Listener) -> list[tuple[Entry, NodeWorker]]:
        """Those that are ready; only the healthy ones, where there are any."""
        ready = [each for each in self._workers(listener) if isinstance(each[0].instance.actual, Ready)]
        return [each for each in ready if self._cluster.members[each[0]].healthy] or ready

    def _expected(self, listener: Listener, slot: int) -> bool:
        """Whether a process is to come, or is on its way, that takes this slot's connections."""
        return any(
            entry.instance.desired == "up" and not isinstance(entry.instance.actual, Failed | Down)
            for entry in self._cluster.of(listener.app)
            if self._cluster.slot(entry) == slot and not entry.instance.leaving
        )

    def _others(self, listener: Listener) -> bool:
        """Whether the app is there at all: a client that comes again is answered."""
        members = self._cluster.members.items()
        return any(entry.name == listener.app and isinstance(entry.instance.actual, Ready) for entry, _ in members)

    # --- connections ---

    def _accept(self, listener: Listener, sock: socket.socket) -> None:
        if self._full(listener):
            self._pause(listener, sock)
            return
        for _ in range(PER_TURN):
            try:
                connection, peer = sock.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:  # no descriptor left, most likely: they wait where they are
                log.error("%s: cannot look after connections of %s: %s", listener.app, listener.name, error.strerror)
                self._pause(listener, sock)
                return
            self._give(listener, connection.detach(), str(peer[0]).removeprefix("::ffff:"), 0)

    def _full(self, listener: Listener) -> bool:
        if len(self._early.get(listener, ())) >= PENDING:
            return True
        siblings = self._siblings(listener)
        return bool(siblings) and all(worker.pending >= PENDING for _, worker in siblings)

    def _give(self, listener: Listener, fd: int, host: str, tried: int) -> None:
        workers = self._candidates(listener, host)
        for worker in workers if tried <= len(workers) else []:
            if worker.give(listener.name, fd, partial(self._given_back, listener, host, tried)):
                self._count += 1
                worker.last_given = self._count
                return
        if listener.handed and not workers and self._workers(listener):
            self._early.setdefault(listener, deque()).append((fd, host))
            return
        log.warning("%s: a connection that nobody accepted was closed", listener.app)
        os.close(fd)

    def _given_back(self, listener: Listener, host: str, tried: int, fd: int) -> None:
        self._give(listener, fd, host, tried + 1)

    def _give_early(self, listener: Listener) -> None:
        """Somebody is ready now, or nobody is to be any more."""
        if listener in self._early and (self._siblings(listener) or not self._workers(listener)):
            for fd, host in self._early.pop(listener):
                self._give(listener, fd, host, 0)

    def _candidates(self, listener: Listener, host: str) -> list[NodeWorker]:
        """Who may get a client's connection, the best first.

        A probe that means one instance reaches that one, ready or not. With affinity a client's address decides, by
        rendezvous hashing (Thaler and Ravishankar 1998): only the clients of an instance that is gone are moved.
        """
        if listener.handed and host.startswith("127."):
            workers, slot = self._workers(listener), self._cluster.slot
            meant = [node for entry, node in workers if source_of(slot(entry)) == host]
            if meant:
                return meant
        siblings = self._siblings(listener)
        if any(entry.spec.affinity == "ip" for entry, _ in siblings):
            siblings.sort(key=lambda each: _weight(host, each[0].instance.number), reverse=True)
        else:
            siblings.sort(key=lambda each: (each[1].pending, each[1].last_given))
        return [node for _, node in siblings]


def _weight(host: str, number: int) -> bytes:
    return hashlib.blake2b(f"{host} {number}".encode(), digest_size=8).digest()
