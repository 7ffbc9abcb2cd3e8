"""Connections handed to workers one by one: those that wait where nobody accepts, and with `balance = "rr"` all of them.

Nobody accepts from the queue of a slot whose process has died, or has been replaced or removed.

A sibling gets them where that can be done: Node's protocol hands connections over one by one. Elsewhere they wait for the
process that comes for this slot; where none is to come they are closed, so that their clients need not find out by waiting.
"""

from __future__ import annotations

import logging
import os
import socket
from functools import partial
from typing import TYPE_CHECKING

from rota.process.state import Down, Failed, Ready

if TYPE_CHECKING:
    from rota.daemon.cluster.listeners import Listener
    from rota.daemon.cluster.members import Cluster
    from rota.daemon.cluster.node_primary import NodeWorker

log = logging.getLogger("rota.cluster")


class Rescue:
    """Watches the queues that nobody else looks at."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._watched: dict[int, Listener] = {}
        """Sockets looked at, by descriptor."""
        self._count = 0

    def look(self, listener: Listener) -> None:
        """Something changed: begin or end watching this listener's queues."""
        if listener.shared != listener.handed or listener.address.kind != socket.SOCK_STREAM:
            return
        for slot, sock in zip(listener.slots, listener.sockets, strict=True):
            watched = sock.fileno() in self._watched
            wanted = not self._attended(listener, slot) and self._can_help(listener, slot)
            if wanted and not watched:
                self._watched[sock.fileno()] = listener
                self._cluster.loop.add_reader(sock, self._accept, listener, sock)
            elif watched and not wanted:
                self._unwatch(sock)

    def closing(self, listener: Listener) -> None:
        """The listener is about to be closed."""
        for sock in listener.sockets:
            if sock.fileno() in self._watched:
                self._unwatch(sock)

    def _unwatch(self, sock: socket.socket) -> None:
        del self._watched[sock.fileno()]
        self._cluster.loop.remove_reader(sock)

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
        if self._siblings(listener):
            return True
        return not listener.handed and not self._expected(listener, slot) and self._others(listener)

    def _siblings(self, listener: Listener) -> list[NodeWorker]:
        """Workers that can be given a connection."""
        ready = [
            (entry, member.node)
            for entry, member in self._cluster.members.items()
            if entry.name == listener.app and isinstance(entry.instance.actual, Ready) and entry.channel is not None
        ]
        return [node for entry, node in ready if node is not None and self._cluster.accepts(entry, listener.name)]

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

    def _accept(self, listener: Listener, sock: socket.socket) -> None:
        while True:
            try:
                connection, _ = sock.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                log.error("%s: cannot look after connections of %s: %s", listener.app, listener.name, error.strerror)
                self._unwatch(sock)
                return
            self._give(listener, connection.detach(), 0)

    def _give(self, listener: Listener, fd: int, tried: int) -> None:
        workers = sorted(self._siblings(listener), key=lambda worker: (worker.pending, worker.last_given))
        for worker in workers if tried <= len(workers) else []:
            if worker.give(listener.name, fd, partial(self._given_back, listener, tried)):
                self._count += 1
                worker.last_given = self._count
                return
        log.warning("%s: a connection that nobody accepted was closed", listener.app)
        os.close(fd)

    def _given_back(self, listener: Listener, tried: int, fd: int) -> None:
        self._give(listener, fd, tried + 1)
