"""The daemon's side of what rota/inject/python/sitecustomize.py says: one SEQPACKET message per packet, tab-separated words.

child -> daemon
    hello PID VERSION                        the bootstrap is active
    bind PID FAMILY TYPE HOST PORT V6ONLY    with one end of a fresh socketpair, on which the answer is expected
    listening PID NAME                       listen() was called on the socket of that name
    drained PID                              it accepts no more

answers
    ok NAME                                  with the socket
    no ERRNO
    pass                                     bind yourself
"""

from __future__ import annotations

import array
import contextlib
import errno
import logging
import os
import socket
from typing import TYPE_CHECKING

from rota.daemon.cluster.listeners import Address

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

log = logging.getLogger("rota.cluster")

CONTROL_FD = "ROTA_CONTROL_FD"
FORMER_PATH = "ROTA_FORMER_PYTHONPATH"
WORDS = frozenset({"hello", "bind", "listening", "drained"})
_PACKET = 4096


class PythonChild:
    """The control socket of one process. Owns it.

    Args:
        obtain: gives the socket for a name and an address; raises OSError.
        listening: told the name of a socket that the process now listens on.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        obtain: Callable[[str, Address], socket.socket],
        listening: Callable[[str], None],
    ) -> None:
        self._loop, self.socket = loop, sock
        self._obtain, self._listening = obtain, listening
        self.active = False
        """Whether the bootstrap has said anything."""
        self.drained: set[int] = set()
        """Processes that have said that they accept no more."""
        sock.setblocking(False)
        loop.add_reader(sock, self._readable)

    def close(self) -> None:
        if self.socket.fileno() >= 0:
            self._loop.remove_reader(self.socket)
            self.socket.close()

    def _readable(self) -> None:
        try:
            data, rights, _, _ = self.socket.recvmsg(_PACKET, socket.CMSG_SPACE(4 * 4), socket.MSG_CMSG_CLOEXEC)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data, rights = b"", []
        fds = array.array("i")
        for _, _, payload in rights:
            fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
        try:
            if data:
                self._take(data.decode("utf-8", "replace").split("\t"), list(fds))
            else:
                self.close()
        finally:
            for fd in fds:
                os.close(fd)

    def _take(self, words: list[str], fds: list[int]) -> None:
        self.active = self.active or words[0] in WORDS  # the hello may have been said to a former daemon
        match words:
            case ["bind", _, family, kind, host, port, v6only] if fds:
                self._bind(_address(family, kind, host, port, v6only), fds[0])
            case ["drained", pid] if pid.isdecimal():
                self.drained.add(int(pid))
            case ["listening", _, name]:
                self._listening(name)

    def _bind(self, address: Address | None, reply: int) -> None:
        if address is None:
            _answer(reply, "pass")
            return
        name = f"{address.family}:{address.kind}:{address.host}:{address.port}:{int(address.v6only)}"
        try:
            sock = self._obtain(name, address)
        except (OSError, ValueError) as error:
            _answer(reply, f"no\t{getattr(error, 'errno', None) or errno.EINVAL}")
        else:
            _answer(reply, f"ok\t{name}", sock.fileno())


def _address(family: str, kind: str, host: str, port: str, v6only: str) -> Address | None:
    numbers = (family, kind, port, v6only)
    if not all(number.isdecimal() for number in numbers):
        return None
    address = Address(int(family), int(kind), host, int(port), v6only == "1")
    if address.family not in (socket.AF_INET, socket.AF_INET6) or address.kind != socket.SOCK_STREAM:
        return None
    return address if 0 < address.port < 65536 else None


def _answer(reply: int, text: str, fd: int | None = None) -> None:
    rights = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
    copy = os.dup(reply)
    try:
        end = socket.socket(fileno=copy)
    except OSError:  # whatever it is that we were given, nobody can be answered by it
        os.close(copy)
        return
    with end, contextlib.suppress(OSError):  # it may have ended meanwhile, or not read: we never wait for an app
        end.sendmsg([text.encode()], rights, socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)
