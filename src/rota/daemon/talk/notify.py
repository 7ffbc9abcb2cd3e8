"""The service end of sd_notify(3): apps say READY=1, STATUS=..., WATCHDOG=1 in datagrams to `NOTIFY_SOCKET`.

One socket for all apps. Who spoke is told by the kernel (SCM_CREDENTIALS), never by the message; any process of an app's
tree may speak for it. Linux only.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from typing import TYPE_CHECKING

import msgspec

from rota.errors import RotaError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rota.clock import Clock

_CREDENTIALS = struct.Struct("iII")
_MAX_SIZE = 64 * 1024
_PER_TURN = 64
"""Datagrams taken in one turn of the event loop, so that a flood starves nobody."""
_MAX_STATUS = 500
_MAX_PATH = 107


class Notice(msgspec.Struct, frozen=True):
    """What one datagram said. Fields that were absent or nonsense have their defaults."""

    ready: bool = False
    stopping: bool = False
    reloading: bool = False
    watchdog: bool = False
    """It is alive (WATCHDOG=1)."""
    failing: bool = False
    """It asks to be restarted (WATCHDOG=trigger)."""
    status: str | None = None
    watchdog_interval: float | None = None
    """Seconds within which it promises to be heard of again (WATCHDOG_USEC); 0 = no longer."""
    extend: float | None = None
    """Seconds more that it needs for starting or stopping (EXTEND_TIMEOUT_USEC)."""
    main_pid: int | None = None
    errno: int | None = None


def parse_notice(data: bytes) -> Notice:
    """Read a datagram: one NAME=value per line. Whatever is not understood is skipped; FDSTORE and its kind are ignored."""
    said: dict[str, bytes] = {}
    for line in data.split(b"\n"):
        name, equals, value = line.partition(b"=")
        if equals:
            said[name.decode("ascii", "replace")] = value.strip()
    return Notice(
        ready=said.get("READY") == b"1",
        stopping=said.get("STOPPING") == b"1",
        reloading=said.get("RELOADING") == b"1",
        watchdog=said.get("WATCHDOG") == b"1",
        failing=said.get("WATCHDOG") == b"trigger",
        status=_status(said.get("STATUS")),
        watchdog_interval=_microseconds(said.get("WATCHDOG_USEC")),
        extend=_microseconds(said.get("EXTEND_TIMEOUT_USEC")),
        main_pid=_number(said.get("MAINPID")) or None,
        errno=_number(said.get("ERRNO")),
    )


class NotifySocket:
    """The receiving socket.

    Args:
        path: a file in the runtime directory, given to apps as NOTIFY_SOCKET; stays valid when the daemon restarts. A name
            that begins with @ is in the abstract namespace, where no directory's permissions stand in an app's way.
        resolve: tells the instance of a process, None for strangers (who are ignored). The process may have ended already.
        on_notice: called with instance id, sender's pid and what it said.
        fd: the socket of an earlier daemon, if it was kept: then nothing said meanwhile is lost.

    Raises:
        RotaError: the path is too long or cannot be made.
    """

    def __init__(
        self,
        path: str,
        resolve: Callable[[int], int | None],
        on_notice: Callable[[int, int, Notice], None],
        fd: int | None = None,
    ) -> None:
        self.path = path
        self._resolve, self._on_notice = resolve, on_notice
        self._socket = _bind(path) if fd is None else socket.socket(fileno=fd)
        self._socket.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._readable)

    def fileno(self) -> int:
        """The socket, for depositing with the keeper or handing over."""
        return self._socket.fileno()

    def close(self, *, keep_path: bool = False) -> None:
        """Stop listening. `keep_path` leaves the file for a successor."""
        self._loop.remove_reader(self._socket)
        self._socket.close()
        if not keep_path and not self.path.startswith("@"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)

    def _readable(self) -> None:
        for _ in range(_PER_TURN):
            try:
                # No room for descriptors: the kernel closes what FDSTORE or BARRIER bring, the latter as is its purpose.
                space = socket.CMSG_SPACE(_CREDENTIALS.size)
                data, ancillary, flags, _ = self._socket.recvmsg(_MAX_SIZE, space, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                return
            pid = _sender(ancillary)
            if flags & socket.MSG_TRUNC:
                data = data[: data.rfind(b"\n") + 1]
            instance = self._resolve(pid) if pid > 0 else None
            if instance is not None:
                self._on_notice(instance, pid, parse_notice(data))


class Watchdog:
    """Expects to be fed in time, and reports once when it was not.

    Args:
        interval: seconds between two signs of life, at most.
        on_expired: called when one did not come.
    """

    def __init__(self, interval: float, clock: Clock, on_expired: Callable[[], None]) -> None:
        self._interval, self._clock, self._on_expired = interval, clock, on_expired
        self._fed = clock.monotonic()
        self._task = asyncio.get_running_loop().create_task(self._watch())

    def feed(self) -> None:
        """It lives."""
        self._fed = self._clock.monotonic()

    def cancel(self) -> None:
        """Expect nothing any more."""
        self._task.cancel()

    async def _watch(self) -> None:
        while (left := self._fed + self._interval - self._clock.monotonic()) > 0:
            await self._clock.sleep(left)
        self._on_expired()


def _bind(path: str) -> socket.socket:
    if len(os.fsencode(path)) > _MAX_PATH:
        raise RotaError(f"the socket path {path} is too long", "use a shorter ROTA_HOME or runtime directory")
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    try:
        if path.startswith("@"):
            receiver.bind("\0" + path[1:])
        else:
            # Bound aside and renamed over the old one: there is no instant without a socket at the path.
            aside = path + ".new"[: _MAX_PATH - len(os.fsencode(path))]
            with contextlib.suppress(FileNotFoundError):
                os.unlink(aside)
            receiver.bind(aside)
            # Apps that run as other users must reach it; who they are is the kernel's word, not the file's.
            os.chmod(aside, 0o666)  # noqa: S103
            os.rename(aside, path)
    except OSError as error:
        receiver.close()
        raise RotaError(f"cannot listen at {path}: {error.strerror}", "check the runtime directory") from error
    return receiver


def _sender(ancillary: list[tuple[int, int, bytes]]) -> int:
    for level, kind, payload in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS) and len(payload) == _CREDENTIALS.size:
            pid: int = _CREDENTIALS.unpack(payload)[0]
            return pid
    return 0


def _status(value: bytes | None) -> str | None:
    if value is None:
        return None
    text = value.decode("utf-8", "replace")[:_MAX_STATUS]
    # It ends on terminals: no control characters.
    return "".join(char if char.isprintable() else " " for char in text)


def _number(value: bytes | None) -> int | None:
    return int(value) if value is not None and value.isdigit() and len(value) < 20 else None


def _microseconds(value: bytes | None) -> float | None:
    number = _number(value)
    return None if number is None else number / 1_000_000
