"""Work in a child of ours that the kernel holds to limits of time and memory: whatever goes on in there, it ends.

The engine has limits of its own, with better messages. But what a file says is also read by code without any (the scanner of ES
modules, the files it asks for), and an engine has faults of its own; so that the last word is `setrlimit`'s.
"""

from __future__ import annotations

import json
import os
import signal
import time
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

CPU_SECONDS = 5
"""What the kernel allows in whole seconds: above every limit of the engine's own, so that its messages come first."""
WALL_SECONDS = 20.0
MEMORY = 512 * 1024 * 1024
"""Bytes of address space beyond what we have ourselves."""
_CHUNK = 1 << 16


class Ended(Exception):
    """The child did not bring its work to an end.

    Args:
        why: "time", "memory" or "crash".
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def confined(work: Callable[[], Any]) -> Any:
    """What `work` returns, computed in a child. It must be JSON; an exception of it has to be part of it.

    Raises:
        Ended: the child reached a limit, or crashed.
    """
    read, write = os.pipe()
    try:
        pid = _fork()
        if pid == 0:
            _child(work, write)
        os.close(write)
        write = -1
        answer, in_time = _collected(read, pid)
    finally:
        for fd in (read, write):
            if fd >= 0:
                os.close(fd)
    _, status = os.waitpid(pid, 0)
    if not in_time or (os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL)):
        raise Ended("time")
    try:
        found = json.loads(answer)
    except ValueError:
        raise Ended("crash") from None
    if "memory" in found:
        raise Ended("memory")
    return found["value"]


def _fork() -> int:
    with warnings.catch_warnings():
        # Python warns of threads whose locks the child would wait for: it takes none that they could hold.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _child(work: Callable[[], Any], write: int) -> None:
    """Never returns, and runs nothing that was meant for the end of the parent."""
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        _limit()
        try:
            answer = json.dumps({"value": work()})
        except MemoryError:
            answer = '{"memory": true}'
        left = memoryview(answer.encode())
        while left:
            left = left[os.write(write, left) :]
    finally:
        os._exit(0)


def _limit() -> None:
    import resource

    _lower(resource.RLIMIT_CPU, CPU_SECONDS)
    _lower(resource.RLIMIT_CORE, 0)
    size = _own_size()
    if size:
        _lower(resource.RLIMIT_AS, size + MEMORY)


def _lower(what: int, value: int) -> None:
    import resource

    _, hard = resource.getrlimit(what)
    least = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(what, (least, least))


def _own_size() -> int:
    """Bytes of address space in use; 0 where the system does not tell (then only the engine limits memory)."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _collected(read: int, pid: int) -> tuple[bytes, bool]:
    """All that the child writes, and whether it came to an end in time."""
    import select

    deadline = time.monotonic() + WALL_SECONDS
    pieces: list[bytes] = []
    poll = select.poll()
    poll.register(read, select.POLLIN)
    try:
        while poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            piece = os.read(read, _CHUNK)
            if not piece:
                return b"".join(pieces), True
            pieces.append(piece)
    except BaseException:
        _end(pid)
        os.waitpid(pid, 0)
        raise
    _end(pid)
    return b"", False


def _end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
