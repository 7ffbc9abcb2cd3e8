"""Processes as the machine itself shows them, never by rota's word. Linux only."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

from rota.process.environ import MARKER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


def alive(pid: int) -> bool:
    """Whether a process runs; zombies do not."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Signal a process that may be gone. 0 is "none" to rota, and would be our own group to the system."""
    if pid > 1:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def kill_at_once(pids: Sequence[int]) -> None:
    """SIGKILL for all of them as if in one instant: none sees another die first."""
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            kill(pid, number)


def reap(pids: Iterable[int]) -> None:
    """Collect those of them that are dead children of ours."""
    for pid in pids:
        with contextlib.suppress(ChildProcessError):
            if pid > 1:
                os.waitpid(pid, os.WNOHANG)


def of_home(path: str, home_id: str) -> dict[int, str]:
    """Keeper, daemon, and everything that carries the marker of a home: the instance's mark by pid, "" for the first two."""
    ours = os.fsencode(path)
    found = {}
    for pid in _numbers():
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
            marker = marker_of(pid)
            if marker.startswith(f"{home_id}:"):
                found[pid] = marker.removeprefix(f"{home_id}:")
            elif any(ours == word or word.startswith(ours + b"/") for word in words) and _is_rota(words):
                found[pid] = ""
    return {pid: mark for pid, mark in found.items() if alive(pid)}


def marker_of(pid: int) -> str:
    """The marker in a process's environment, "" when it has none."""
    prefix = f"{MARKER}=".encode()
    with open(f"/proc/{pid}/environ", "rb") as file:
        for item in file.read().split(b"\0"):
            if item.startswith(prefix):
                return item[len(prefix) :].decode("ascii", "replace")
    return ""


def _is_rota(words: list[bytes]) -> bool:
    return b"rota.daemon" in words or any(word.endswith(b"/keeper/main.py") for word in words)


def _numbers() -> Iterator[int]:
    for name in os.listdir("/proc"):
        if name.isdecimal() and int(name) != os.getpid():
            yield int(name)


def descriptors(pid: int) -> int:
    """How many a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def memory(pid: int) -> int:
    """Proportional set size, bytes; resident size where the kernel does not tell."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup", "rb") as file:
        for line in file:
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    with open(f"/proc/{pid}/statm", "rb") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def available_memory() -> int:
    """Bytes that programs could still have."""
    with open("/proc/meminfo", "rb") as file:
        for line in file:
            if line.startswith(b"MemAvailable:"):
                return int(line.split()[1]) * 1024
    return 0
