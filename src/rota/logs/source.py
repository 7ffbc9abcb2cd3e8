"""The reading end of one FIFO: look at what is in it, move it into a file, or throw it away.

On Linux nothing is ever taken out before it is written: `tee` shows the bytes and leaves them in the pipe, `splice` moves
them into a file and consumes exactly what it wrote. So a process killed between two lines of this file loses nothing.
Elsewhere (macOS) bytes are read into memory first, and a kill loses what was read and not yet written.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
import sys
import termios
from functools import cache
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNK: Final = 256 * 1024
"""What a FIFO is raised to when found full: an unprivileged user has 64 MiB for all pipes."""

FLOOD: Final = 1024 * 1024
"""What it is raised to when it has been full again and again."""
PATIENCE: Final = 16
"""How often that is."""
FLOODS: Final = 8
"""FIFOs that may be so large at the same time."""

LOOK: Final = 64 * 1024
"""Bytes looked at at once: several transformed copies of that many stay in the cache, and are not given back by malloc."""

_NONBLOCK: Final = 0x02  # SPLICE_F_NONBLOCK


class Bench:
    """What all FIFOs of one process share, since only one is handled at a time: a buffer, a side pipe, a way to nowhere."""

    def __init__(self) -> None:
        self.buffer = bytearray(LOOK)
        self.floods = 0
        self._tees: bool | None = None
        self._side: tuple[int, int] | None = None
        self._null = -1

    def side(self) -> tuple[int, int]:
        """The side pipe for `tee`, (read end, write end)."""
        if self._side is None:
            self._side = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
            _grow(self._side[1], CHUNK)
        return self._side

    def tees(self) -> bool:
        """Whether this system has what `Fifo` needs."""
        if self._tees is None:
            self._tees = _tee_works(self)
        return self._tees

    def null(self) -> int:
        """A descriptor of /dev/null to write to."""
        if self._null < 0:
            self._null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        return self._null

    def close(self) -> None:
        for fd in (*(self._side or ()), self._null):
            if fd >= 0:
                os.close(fd)
        self._side, self._null = None, -1


class Source(Protocol):
    """What both kinds of FIFO can do. All raise BlockingIOError when the FIFO is empty but still open."""

    fd: int
    capacity: int

    def waiting(self) -> int:
        """Bytes that can be had without waiting."""
        ...

    def grow(self) -> None:
        """It was found full: raise it, if the system allows it."""
        ...

    def look(self) -> tuple[bytearray, int]:
        """(buffer, n): the first n bytes waiting, LOOK at most, still there; n = 0: no writer is left.

        Valid until the next call.
        """
        ...

    def move(self, to: int, most: int, at: int | None) -> int:
        """Move up to `most` bytes into file `to`, at offset `at` if it has offsets. 0: no writer is left.

        An OSError other than BlockingIOError is the file's.
        """
        ...

    def drop(self, count: int) -> None:
        """Throw away the first `count` bytes."""
        ...

    def leave(self) -> None:
        """It is about to be closed."""
        ...


def _grow(fd: int, size: int) -> None:
    # Refused when the user's allowance for pipes is used up, missing on other systems: slower, not wrong.
    with contextlib.suppress(OSError, AttributeError):
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, size)


def _capacity(fd: int) -> int:
    try:
        return fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ)
    except (OSError, AttributeError):
        return 16 * 1024


def _waiting(fd: int) -> int:
    return int(struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"\0\0\0\0"))[0])


def _write(to: int, data: memoryview, at: int | None) -> int:
    return os.write(to, data) if at is None else os.pwrite(to, data, at)


class Fifo:
    """Linux: `tee` to look, `splice` to move."""

    __slots__ = ("_bench", "_patience", "capacity", "fd")

    def __init__(self, fd: int, bench: Bench) -> None:
        self.fd = fd
        self._bench = bench
        self._patience = PATIENCE
        self.capacity = _capacity(fd)

    def waiting(self) -> int:
        return _waiting(self.fd)

    def grow(self) -> None:
        if self.capacity < CHUNK:
            _grow(self.fd, CHUNK)
            self.capacity = _capacity(self.fd)
        elif self._patience:
            self._patience -= 1
            if not self._patience and self._bench.floods < FLOODS:
                _grow(self.fd, FLOOD)
                self.capacity = _capacity(self.fd)
                self._bench.floods += self.capacity >= FLOOD

    def leave(self) -> None:
        self._bench.floods -= self.capacity >= FLOOD

    def look(self) -> tuple[bytearray, int]:
        read_end, write_end = self._bench.side()
        count = _tee(self.fd, write_end, LOOK)
        view = memoryview(self._bench.buffer)
        done = 0
        while done < count:
            done += os.readv(read_end, [view[done:count]])
        return self._bench.buffer, count

    def move(self, to: int, most: int, at: int | None) -> int:
        try:
            return os.splice(self.fd, to, most, offset_dst=at, flags=_NONBLOCK)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
        buffer, count = self.look()  # a terminal or another file that cannot be spliced into
        done = _write(to, memoryview(buffer)[: min(count, most)], at) if count else 0
        self.drop(done)
        return done

    def drop(self, count: int) -> None:
        null = self._bench.null()
        while count > 0:
            dropped = os.splice(self.fd, null, count, flags=_NONBLOCK)
            if dropped == 0:
                return  # cannot happen: the caller has seen these bytes, and nobody else reads this FIFO
            count -= dropped


class BufferedFifo:
    """Any POSIX system: `look` reads into memory, what is not moved at once is held there."""

    __slots__ = ("_count", "_held", "capacity", "fd")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.capacity = _capacity(fd)
        self._held = bytearray(LOOK)
        self._count = 0

    def waiting(self) -> int:
        return self._count + _waiting(self.fd)

    def grow(self) -> None:
        if self.capacity < CHUNK:
            _grow(self.fd, CHUNK)
            self.capacity = _capacity(self.fd)

    def leave(self) -> None:
        pass

    def look(self) -> tuple[bytearray, int]:
        if self._count < LOOK:
            try:
                self._count += os.readv(self.fd, [memoryview(self._held)[self._count :]])
            except BlockingIOError:
                if not self._count:
                    raise
        return self._held, self._count

    def move(self, to: int, most: int, at: int | None) -> int:
        buffer, count = self.look()
        done = _write(to, memoryview(buffer)[: min(count, most)], at) if count else 0
        self.drop(done)
        return done

    def drop(self, count: int) -> None:
        rest = self._count - count
        self._held[:rest] = self._held[count : self._count]
        self._count = rest


def open_source(fd: int, bench: Bench) -> Source:
    """The best source this system offers for the FIFO `fd` (opened O_RDONLY | O_NONBLOCK)."""
    return Fifo(fd, bench) if bench.tees() else BufferedFifo(fd)


if sys.platform == "linux":

    def _tee(source: int, to: int, most: int) -> int:
        """tee(2): Python has no binding of its own."""
        import ctypes

        tee = _libc_tee()
        while True:
            count: int = tee(source, to, most, _NONBLOCK)
            if count >= 0:
                return count
            code = ctypes.get_errno()
            if code != errno.EINTR:
                raise OSError(code, os.strerror(code))

    @cache
    def _libc_tee() -> Callable[[int, int, int, int], int]:
        import ctypes

        function = ctypes.CDLL(None, use_errno=True).tee
        function.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_size_t, ctypes.c_uint)
        function.restype = ctypes.c_ssize_t
        return function

else:

    def _tee(source: int, to: int, most: int) -> int:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


def _tee_works(bench: Bench) -> bool:
    """Whether `tee` and `splice` exist here: some sandboxes and all but Linux lack them."""
    if not hasattr(os, "splice"):
        return False
    try:
        _tee(*bench.side(), 1)
    except OSError as error:
        return error.errno in (errno.EAGAIN, errno.EINVAL)
    return True
