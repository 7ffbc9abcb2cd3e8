"""What `/proc/PID/stat` says (proc_pid_stat(5)): bytes in, numbers out. Linux only. Decides nothing."""

from __future__ import annotations

import msgspec

DEAD_STATES = (b"Z", b"X", b"x")


class Stat(msgspec.Struct, frozen=True):
    """The fields rota uses. Times are clock ticks (`sysconf(SC_CLK_TCK)` per second), memory is pages."""

    pid: int
    comm: bytes
    state: bytes
    ppid: int
    pgrp: int
    session: int
    cpu_ticks: int
    """User plus system time of the process itself, reaped children not included."""
    threads: int
    start_ticks: int
    """Since boot: with the pid and the boot id, an identity."""
    rss_pages: int
    status: int
    """The wait status, meaningful in a zombie only, and only to a reader the kernel lets see it (else it says 0)."""

    @property
    def ended(self) -> bool:
        """Whether the whole process is a zombie. A main thread that left early shows Z while its siblings run on."""
        return self.state in DEAD_STATES and self.threads <= 1


def parse_stat(text: bytes) -> Stat:
    """Take one stat line apart.

    A command name may hold anything, spaces and parentheses and newlines included, so the last `)` ends it. Kernels add
    fields at the end only.

    Raises:
        ValueError: this is no stat line.
    """
    opening = text.index(b"(")
    closing = text.rindex(b")")
    fields = text[closing + 1 :].split()
    if len(fields) < 22:
        raise ValueError("a /proc/PID/stat line has at least 24 fields")
    return Stat(
        pid=int(text[:opening]),
        comm=text[opening + 1 : closing],
        state=fields[0],
        ppid=int(fields[1]),
        pgrp=int(fields[2]),
        session=int(fields[3]),
        cpu_ticks=int(fields[11]) + int(fields[12]),
        threads=int(fields[17]),
        start_ticks=int(fields[19]),
        rss_pages=int(fields[21]),
        status=int(fields[49]) if len(fields) > 49 else 0,
    )


def read_stat(pid: int) -> Stat | None:
    """The stat of a process, None when there is none (or it vanished while being read)."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            return parse_stat(file.read(4096))
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
