"""The daemon's side of the keeper protocol (rota.keeper.protocol): deposits, exits, and what to do when the keeper dies."""

from __future__ import annotations

import array
import contextlib
import logging
import os
import select
import socket
from typing import TYPE_CHECKING

import msgspec

from rota.keeper.protocol import MAX_FDS, PACKET

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

log = logging.getLogger("rota.keeper")

PER_TURN = 16
"""Words of the keeper's taken in one turn of the loop: each may be the end of a process."""
_FD_SIZE = array.array("i").itemsize


class Inheritance(msgspec.Struct):
    """What the keeper kept while no daemon was there."""

    kept: dict[str, list[int]] = msgspec.field(default_factory=dict)
    exits: dict[tuple[int, int], int] = msgspec.field(default_factory=dict)
    """Wait status by (pid, start ticks)."""
    marks: dict[tuple[int, int], int] = msgspec.field(default_factory=dict)
    """The mark (rota.daemon.procs.mark) of those among the ended that led a session."""
    ipc: dict[str, int] = msgspec.field(default_factory=dict)
    """IPC ends by key, after a planned re-execution."""


class KeeperLink:
    """Talk to the keeper. Without one (fd None) deposits go nowhere, and what that means is documented."""

    def __init__(self, fd: int | None) -> None:
        self._socket = socket.socket(fileno=fd) if fd is not None else None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queue: list[tuple[bytes, list[int]]] = []
        self._on_exit: Callable[[int, int, int], None] = lambda pid, start, status: None
        self._on_lost: Callable[[], None] = lambda: None
        self._owed: list[tuple[int, int]] = []
        self.may_forget: Callable[[], bool] = lambda: True
        """Whether all exits are in the ledger. While they are not, as on a full disk, the keeper remembers them."""
        self.held: dict[str, int] = {}
        """Keys on deposit, with the number of descriptors: what a new keeper would have to be given."""

    @property
    def alive(self) -> bool:
        """Whether there is a keeper."""
        return self._socket is not None

    def inherit(self) -> Inheritance:
        """Read what was kept, up to SYNC. Blocking: called once, before the loop runs."""
        inheritance = Inheritance()
        link = self._socket
        if link is None:
            return inheritance
        os.set_inheritable(link.fileno(), False)
        link.setblocking(True)
        while True:
            words, fds = self._receive(link)
            match words:
                case ["FD", key]:
                    inheritance.kept[key] = fds
                    self.held[key] = len(fds)
                case ["EXIT", pid, start, status]:
                    inheritance.exits[int(pid), int(start)] = int(status)
                case ["MARK", pid, start, mark]:
                    inheritance.marks[int(pid), int(start)] = int(mark)
                case ["SYNC"]:
                    # From now on never wait for the keeper: it may just be waiting for us.
                    link.setblocking(False)
                    return inheritance
                case []:
                    self._socket = None
                    return inheritance
                case _:
                    _close(fds)

    def hear(self, inheritance: Inheritance, within: float) -> bool:
        """Take what is told since SYNC into the inheritance. Waits at most `within` seconds; False when nothing
        came."""
        if self._socket is None:
            return False
        poll = select.poll()
        poll.register(self._socket.fileno(), select.POLLIN)
        if not poll.poll(max(within, 0.0) * 1000):
            return False
        words, fds = self._receive(self._socket)
        _close(fds)
        match words:
            case ["EXIT", pid, start, status]:
                inheritance.exits[int(pid), int(start)] = int(status)
            case ["MARK", pid, start, mark]:
                inheritance.marks[int(pid), int(start)] = int(mark)
            case []:
                return False  # it is dead; the loop will notice
        return True

    def watch(
        self,
        loop: asyncio.AbstractEventLoop,
        on_exit: Callable[[int, int, int], None],
        on_lost: Callable[[], None],
    ) -> None:
        """From now on report exits of processes that are not ours, as (pid, start ticks, wait status)."""
        self._on_exit, self._on_lost, self._loop = on_exit, on_lost, loop
        if self._socket is not None:
            self._socket.setblocking(False)
            loop.add_reader(self._socket.fileno(), self._readable)
            if self._queue:
                loop.add_writer(self._socket.fileno(), self._writable)

    def deposit(self, key: str, fds: list[int]) -> None:
        """Give descriptors (they stay ours too); an empty list takes the key back."""
        if fds:
            self.held[key] = len(fds)
            self._tell(f"PUT {key}", fds)
        elif self.held.pop(key, None) is not None:
            self._tell(f"DROP {key}")

    def acknowledge(self, pid: int, start: int) -> None:
        """The exit has been dealt with: the keeper may forget it as soon as the ledger has it."""
        self._owed.append((pid, start))
        self.settle()

    def settle(self) -> None:
        """Say of which exits the ledger has meanwhile."""
        if self._owed and self.may_forget():
            for pid, start in self._owed:
                self._tell(f"ACK {pid} {start}")
            self._owed.clear()

    def up(self) -> None:
        """We serve: should we die, start the next one at once."""
        self._tell("UP")

    def bye(self, code: int) -> None:
        """We end on purpose; the keeper ends with `code`."""
        self._tell(f"BYE {code}")

    def fileno(self) -> int:
        """The socket, for handing over in a re-execution."""
        return self._socket.fileno() if self._socket is not None else -1

    def empty_queue(self) -> None:
        """Wait until the keeper has taken everything; before this process is executed over."""
        if self._socket is not None and self._queue:
            self._socket.setblocking(True)
            self._writable()

    def close(self) -> None:
        if self._socket is not None:
            if self._loop is not None:
                self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _tell(self, text: str, fds: list[int] | None = None) -> None:
        if self._socket is None:
            return
        if self._queue or not self._send(text.encode(), fds or []):
            # The keeper is busy: descriptors may be closed by their owner before it reads, so copies wait here.
            self._queue.append((text.encode(), [os.dup(fd) for fd in fds or []]))
            if len(self._queue) == 1 and self._loop is not None:
                self._loop.add_writer(self._socket.fileno(), self._writable)

    def _send(self, data: bytes, fds: list[int]) -> bool:
        assert self._socket is not None
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            self._socket.sendmsg([data], rights)
        except BlockingIOError:
            return False
        except OSError:
            pass  # it is gone: the reader notices and takes its place
        return True

    def _writable(self) -> None:
        while self._queue and self._socket is not None:
            data, fds = self._queue[0]
            if not self._send(data, fds):
                return
            _close(fds)
            del self._queue[0]
        if self._loop is not None and self._socket is not None:
            self._loop.remove_writer(self._socket.fileno())

    def _readable(self) -> None:
        for _ in range(PER_TURN):
            if self._socket is None:
                return
            try:
                words, fds = self._receive(self._socket)
            except BlockingIOError:
                return
            _close(fds)
            match words:
                case ["EXIT", pid, start, status]:
                    self._on_exit(int(pid), int(start), int(status))
                case []:
                    log.error("the keeper is gone")
                    self.close()
                    self._on_lost()

    def _receive(self, link: socket.socket) -> tuple[list[str], list[int]]:
        try:
            data, ancillary, _, _ = link.recvmsg(PACKET, socket.CMSG_SPACE(MAX_FDS * _FD_SIZE), socket.MSG_CMSG_CLOEXEC)
        except ConnectionError:
            return [], []
        fds = array.array("i")
        for level, kind, payload in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(payload[: len(payload) - len(payload) % _FD_SIZE])
        return data.decode("ascii", "replace").split(), list(fds)


def _close(fds: list[int]) -> None:
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)
