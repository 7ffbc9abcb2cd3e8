"""Node's IPC channel: the daemon's end of the socketpair whose other end an app finds as `NODE_CHANNEL_FD`.

Never blocks and never grows without bound, whatever the other side does: lines are limited, floods are slowed down by not
reading, what an app does not read is refused after 16 MiB. POSIX.
"""

from __future__ import annotations

import array
import asyncio
import os
import socket
from collections import deque
from typing import TYPE_CHECKING

from rota.daemon.talk.node_messages import NodeInternal, handle_received, interpret

if TYPE_CHECKING:
    from collections.abc import Callable

    from rota.daemon.talk.node_messages import NodeEvent

LINE_LIMIT = 16 * 1024 * 1024
"""Bytes; a longer line is skipped."""
QUEUE_LIMIT = 16 * 1024 * 1024
_READ_SIZE = 64 * 1024
_WINDOW = 0.1
"""Seconds over which reading is limited."""
_WINDOW_BYTES = 1024 * 1024
_MAX_FDS = 8
_FD_SIZE = array.array("i").itemsize


class Channel:
    """One app's channel. Owns the socket.

    Args:
        sock: our end; may come from an earlier daemon: a line that one had read half of is lost, nothing else.
        on_event: called with each message.
        on_close: called once, when the other side is gone; not after `close`.
        on_handle: takes a descriptor that the app sent with a message, and owns it from then; without, it is closed and the
            message that came with it is an event like any other.
    """

    def __init__(
        self,
        sock: socket.socket,
        on_event: Callable[[NodeEvent], None],
        on_close: Callable[[], None],
        on_handle: Callable[[NodeInternal, int], None] | None = None,
    ) -> None:
        self._socket = sock
        self._on_event, self._on_close, self._on_handle = on_event, on_close, on_handle
        self._loop = asyncio.get_running_loop()
        self._partial: list[bytes] = []
        self._partial_size = 0
        self._skipping = False
        self._handles: deque[int] = deque()
        self._queue: deque[tuple[memoryview, int | None]] = deque()
        self._queued = 0
        self._window_began = self._loop.time()
        self._window_read = 0
        self._rest: asyncio.TimerHandle | None = None
        self.garbage = 0
        """Lines that were no JSON, or too long."""
        sock.setblocking(False)
        self._loop.add_reader(sock, self._readable)

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._socket.fileno() < 0

    def fileno(self) -> int:
        """The socket, for depositing with the keeper."""
        return self._socket.fileno()

    def send(self, line: bytes, fd: int | None = None) -> bool:
        """Send a line made by `rota.daemon.talk.node_messages`, with at most one descriptor (which stays the caller's).

        False when the channel is closed, or so much waits for the app to read that no more is taken.
        """
        if self.closed or self._queued + len(line) > QUEUE_LIMIT:
            return False
        sent = 0 if self._queue else self._write(line, fd)
        if sent < len(line):
            # A descriptor travels with the first byte. It is the caller's, who may close it before its turn comes.
            kept = os.dup(fd) if fd is not None and sent == 0 else None
            self._queue.append((memoryview(line)[sent:], kept))
            self._queued += len(line) - sent
            self._loop.add_writer(self._socket, self._writable)
        return True

    def close(self) -> None:
        """Close our end: the app sees its channel disconnected."""
        if self.closed:
            return
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        if self._rest is not None:
            self._rest.cancel()
        self._socket.close()
        for fd in (*self._handles, *(fd for _, fd in self._queue if fd is not None)):
            os.close(fd)
        self._handles.clear()
        self._queue.clear()

    # --- in ---

    def _readable(self) -> None:
        try:
            data, ancillary, _, _ = self._socket.recvmsg(
                _READ_SIZE, socket.CMSG_SPACE(_MAX_FDS * _FD_SIZE), socket.MSG_CMSG_CLOEXEC
            )
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._lost()
            return
        self._handles.extend(_descriptors(ancillary))
        if not data:
            self._lost()
            return
        self._take(data)
        if not self.closed:
            self._slow_down(len(data))

    def _take(self, data: bytes) -> None:
        """Cut into lines. A handler may close the channel while we are at it."""
        first, *rest = data.split(b"\n")
        self._keep(first)
        for following in rest:
            line = None if self._skipping else b"".join(self._partial)
            self._partial.clear()
            self._partial_size, self._skipping = 0, False
            self._deliver(line)
            if self.closed:
                return
            self._keep(following)

    def _keep(self, part: bytes) -> None:
        self._partial_size += len(part)
        if self._partial_size > LINE_LIMIT:
            self._skipping = True
            self._partial.clear()
        elif part and not self._skipping:
            self._partial.append(part)

    def _deliver(self, line: bytes | None) -> None:
        event = interpret(line) if line is not None else None
        if event is None:
            self.garbage += line is None or bool(line.strip())
        elif isinstance(event, NodeInternal) and event.cmd == "NODE_HANDLE":
            self._take_handle(event)
        else:
            self._on_event(event)

    def _take_handle(self, message: NodeInternal) -> None:
        """Descriptors come with the first byte of the message they belong to, so they arrive in the order of messages."""
        fd = self._handles.popleft() if self._handles else None
        self.send(handle_received())
        if fd is not None and self._on_handle is not None:
            self._on_handle(message, fd)
            return
        if fd is not None:
            os.close(fd)
        event = interpret(bytes(message.fields.get("msg", b"null")))
        if event is not None:
            self._on_event(event)

    def _slow_down(self, size: int) -> None:
        """A flood fills the socket's buffer instead of the daemon's time."""
        now = self._loop.time()
        if now - self._window_began >= _WINDOW:
            self._window_began, self._window_read = now, 0
        self._window_read += size
        if self._window_read >= _WINDOW_BYTES:
            self._loop.remove_reader(self._socket)
            self._rest = self._loop.call_at(self._window_began + _WINDOW, self._go_on)

    def _go_on(self) -> None:
        self._rest = None
        self._loop.add_reader(self._socket, self._readable)

    def _lost(self) -> None:
        self.close()
        self._on_close()

    # --- out ---

    def _writable(self) -> None:
        while self._queue:
            data, fd = self._queue[0]
            sent = self._write(data, fd)
            if sent == 0:
                return
            self._queued -= sent
            if fd is not None:
                os.close(fd)
            if sent < len(data):
                self._queue[0] = (data[sent:], None)
                return
            self._queue.popleft()
        self._loop.remove_writer(self._socket)

    def _write(self, data: bytes | memoryview, fd: int | None) -> int:
        """Write what goes at once; how much that was."""
        rights = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
        try:
            return self._socket.sendmsg([data], rights, socket.MSG_NOSIGNAL)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            return len(data)  # the other side is gone: the reader tells


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    fds = array.array("i")
    for level, kind, payload in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(payload[: len(payload) - len(payload) % _FD_SIZE])
    return list(fds)
