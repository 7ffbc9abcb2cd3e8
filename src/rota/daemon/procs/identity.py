"""Which process is it: pidfds, start times and boot ids, so that a reused pid is never mistaken, signalled or believed.

Linux only (pidfd_open: 5.3; inodes that identify: 6.9; exit codes of reaped strangers: 6.15; older kernels fall back).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import resource
import select
import signal as signals
import struct
import time
from functools import cache
from typing import TYPE_CHECKING

from rota.clock import SystemClock
from rota.daemon.procs.proc_stat import read_stat
from rota.errors import NotPermitted, SpecError
from rota.process.state import Exit, Process

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rota.clock import Clock

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")

_CLOCK = SystemClock()
_CAP_SYS_PTRACE = 1 << 19

_NOT_A_PROCESS = (errno.ESRCH, errno.EINVAL, errno.ENOENT)
"""Gone; or the id of a mere thread (EINVAL, ENOENT since 6.16)."""

# struct pidfd_info, linux/pidfd.h: mask u64, cgroup id u64, eleven u32 ids, exit code s32 at byte 60.
_PIDFD_GET_INFO = 0xC040FF0B
_PIDFD_INFO_EXIT = 1 << 3
_INFO_SIZE = 64
_EXIT_CODE_AT = 60


@cache
def boot_id() -> str:
    """This boot of the machine; pids and start times mean nothing across two of them."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def start_ticks(pid: int) -> int | None:
    """When the process started, clock ticks since boot; None when there is no such process."""
    stat = read_stat(pid)
    return None if stat is None else stat.start_ticks


def is_zombie(pid: int) -> bool:
    """Whether the process has ended and waits to be reaped. False when there is none."""
    stat = read_stat(pid)
    return stat is not None and stat.ended


def ended(pidfd: int) -> bool:
    """Whether the pidfd's process has ended (zombie or reaped)."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def pidfd_inode(pidfd: int) -> int:
    """The pidfs inode, unique for the boot; 0 where the kernel's inodes do not identify."""
    return os.fstat(pidfd).st_ino if _inodes_identify() else 0


def open_process(pid: int, clock: Clock = _CLOCK) -> tuple[int, Process] | None:
    """Open a pidfd of a running process and identify it; None when it has ended. The caller closes the pidfd.

    The pidfd is checked last: still alive then, it was alive when its stat was read, so the stat is its own.

    Raises:
        OSError: out of descriptors.
    """
    pidfd = _pidfd_open(pid)
    if pidfd is None:
        return None
    stat = read_stat(pid)
    if stat is None or ended(pidfd):
        os.close(pidfd)
        return None
    return pidfd, Process(
        pid=pid,
        start_ticks=stat.start_ticks,
        boot_id=boot_id(),
        inode=pidfd_inode(pidfd),
        started=_wall_time(stat.start_ticks, clock),
    )


def process_since(start_ticks: int, pid: int, clock: Clock = _CLOCK) -> Process:
    """The process of this pid that started then, in this boot; it may have ended."""
    return Process(pid=pid, start_ticks=start_ticks, boot_id=boot_id(), started=_wall_time(start_ticks, clock))


def reopen(process: Process) -> int | None:
    """A pidfd of this very process, running or zombie; None when it is gone or its pid belongs to another.

    Raises:
        OSError: out of descriptors.
    """
    if process.boot_id != boot_id():
        return None
    pidfd = _pidfd_open(process.pid)
    if pidfd is None:
        return None
    same_start = start_ticks(process.pid) == process.start_ticks
    same_inode = process.inode in (0, pidfd_inode(pidfd))
    # Not yet reaped after the stat was read, so the stat was its own and not a successor's.
    if same_start and same_inode and _unreaped(pidfd):
        return pidfd
    os.close(pidfd)
    return None


def send(pidfd: int, signal: int) -> bool:
    """Send a signal; False when the process is gone. A zombie takes signals and ignores them.

    Raises:
        NotPermitted: it runs as a user whom rota may not signal.
    """
    try:
        signals.pidfd_send_signal(pidfd, signal)
    except ProcessLookupError:
        return False
    except PermissionError as error:
        raise NotPermitted(
            "a process may not be signalled: it runs as another user", "run rota as that user or as root"
        ) from error
    return True


def exit_of_stranger(process: Process, pidfd: int) -> int | None:
    """The wait status of an ended process that is not our child.

    None while it runs, and when the status cannot be known *now*: ask again once its parent has reaped it
    (`is_zombie(process.pid)` turns False); still None then, it is unknown for good.
    """
    if not ended(pidfd):
        return None
    stat = read_stat(process.pid)
    if stat is not None and stat.start_ticks == process.start_ticks and stat.ended and _unreaped(pidfd):
        # The kernel shows 0 instead of the status to readers without the right to it: a success nobody reported.
        return stat.status if _may_see_status(process.pid) else None
    return _recorded_status(pidfd)


def exit_from_status(status: int, at: float) -> Exit:
    """A wait status (waitid's or waitpid's) as an Exit at wall time `at`."""
    code = os.waitstatus_to_exitcode(status)
    return Exit(at=at, code=code) if code >= 0 else Exit(at=at, signal=-code)


def apply_limits(pid: int, limits: Mapping[str, int], nice: int | None = None, oom_score: int | None = None) -> None:
    """Set resource limits (soft and hard, -1 = unlimited), nice value and OOM score of a process just spawned.

    From outside and after the spawn, because anything done in the child before exec costs the vfork. A process that has
    ended by now is left alone.

    Raises:
        SpecError: no such limit.
        NotPermitted: only root may raise a limit or a priority.
    """
    for name, value in limits.items():
        _limit(pid, name, value)
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        try:
            if nice is not None:
                os.setpriority(os.PRIO_PROCESS, pid, nice)
            if oom_score is not None:
                with open(f"/proc/{pid}/oom_score_adj", "w", encoding="ascii") as file:
                    file.write(str(oom_score))
        except PermissionError as error:
            what = f"nice {nice}" if oom_score is None else f"nice {nice}, OOM score {oom_score}"
            raise NotPermitted(f"priority may not be raised to {what}", "use a higher value or run as root") from error


def _limit(pid: int, name: str, value: int) -> None:
    kind = getattr(resource, f"RLIMIT_{name.upper()}", None)
    if kind is None:
        known = ", ".join(sorted(word[7:] for word in dir(resource) if word.startswith("RLIMIT_")))
        raise SpecError(f"no resource limit {name!r}", f"known limits: {known}", key="limits")
    bound = resource.RLIM_INFINITY if value < 0 else value
    with contextlib.suppress(ProcessLookupError):
        try:
            resource.prlimit(pid, kind, (bound, bound))
        except (PermissionError, ValueError) as error:
            hint = "lower it, or raise the limit of the user or unit that runs rota"
            raise NotPermitted(f"limit {name.upper()} may not be set to {value}", hint) from error


def _pidfd_open(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        if error.errno in _NOT_A_PROCESS:
            return None
        raise


def _unreaped(pidfd: int) -> bool:
    try:
        signals.pidfd_send_signal(pidfd, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@cache
def _inodes_identify() -> bool:
    """Whether pidfds have inodes of their own (pidfs); before, all shared that of every anonymous inode."""
    pidfd = os.pidfd_open(os.getpid())
    other = os.eventfd(0)
    try:
        return os.fstat(pidfd).st_dev != os.fstat(other).st_dev
    finally:
        os.close(pidfd)
        os.close(other)


def _wall_time(ticks: int, clock: Clock) -> float:
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / TICKS_PER_SECOND
    return clock.now() - age


def _may_see_status(pid: int) -> bool:
    """Whether the kernel shows us the process's true status: ptrace access, by capability or by same user and group."""
    if _sees_every_status():
        return True
    try:
        owner = os.stat(f"/proc/{pid}")
    except OSError:
        return False
    return (owner.st_uid, owner.st_gid) == (os.geteuid(), os.getegid())


@cache
def _sees_every_status() -> bool:
    with open("/proc/self/status", "rb") as file:
        effective = next(line for line in file if line.startswith(b"CapEff:"))
    return bool(int(effective.split()[1], 16) & _CAP_SYS_PTRACE)


def _recorded_status(pidfd: int) -> int | None:
    info = bytearray(_INFO_SIZE)
    struct.pack_into("Q", info, 0, _PIDFD_INFO_EXIT)
    try:
        fcntl.ioctl(pidfd, _PIDFD_GET_INFO, info, True)
    except OSError:
        return None
    if not struct.unpack_from("Q", info)[0] & _PIDFD_INFO_EXIT:
        return None
    status: int = struct.unpack_from("i", info, _EXIT_CODE_AT)[0]
    return status
