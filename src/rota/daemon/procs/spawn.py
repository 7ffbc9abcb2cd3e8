"""The one way a process starts: FIFOs on tmpfs, a session of its own, a pidfd. Decides nothing; owns nothing afterwards.

`subprocess.Popen` without preexec_fn keeps CPython's vfork path (docs/architecture.md): everything that would need code in
the child is done from the parent, before (soft limits) or after (hard limits, nice).
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal as signals
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Protocol

import msgspec

from rota.daemon.procs import identity
from rota.daemon.procs.mark import marked
from rota.daemon.procs.proc_stat import read_stat
from rota.errors import NotPermitted, SpawnFailed
from rota.process.environ import MARKER
from rota.process.state import Process

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rota.process.spec import AppSpec

TEMPORARY = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC})
ORIGINAL_NOFILE = resource.getrlimit(resource.RLIMIT_NOFILE)
"""Taken before the daemon raises its own: children get back what the user had."""


def _leave_room(highest: int) -> None:
    """Descriptors get the lowest free number, so the highest tells how many there are. A daemon that used its last one could
    be killed, but not followed: taking over a process needs up to five, running it as few as three.

    Raises:
        OSError: no more processes fit.
    """
    _, hard = ORIGINAL_NOFILE
    if hard != resource.RLIM_INFINITY and highest > hard * 3 // 5:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


class Deposit(Protocol):
    """Gives descriptors to the keeper; an empty list takes them back."""

    def __call__(self, key: str, fds: list[int]) -> None: ...


KEPT_IPC = 2
"""Place of the IPC end among a process's kept descriptors, after its two FIFOs."""


class Child(msgspec.Struct):
    """What the daemon holds of one running process. Closed by its owner, the supervisor."""

    gen: int
    process: Process
    pidfd: int
    own: bool
    """Whether we are its parent and may wait for it."""
    began: float
    """Monotonic seconds."""
    fds: dict[str, int] = msgspec.field(default_factory=dict)
    """Read ends by stream: "out", "err"."""
    ipc: socket.socket | None = None
    key: int = -1
    """The id in its marker, and in the names of its FIFOs and kept descriptors."""
    reaped: bool = False
    """It was gone before this daemon could open it: `pidfd` stands for nobody."""


class Order(msgspec.Struct, frozen=True):
    """All that a spawn needs, decided beforehand."""

    id: int
    gen: int
    spec: AppSpec
    environ: Mapping[str, str]
    run_dir: str
    ipc: bool
    pass_fds: tuple[int, ...] = ()
    """Further descriptors that the process inherits under their own numbers; they stay the caller's."""
    prefix: tuple[str, ...] = ()
    """Words put before the command."""


def fifo_path(run_dir: str, id: int, gen: int, stream: str) -> str:
    """Where a process's FIFO lies: stream is "in", "out" or "err"."""
    return f"{run_dir}/{id}.{gen}.{stream}"


def kept_key(id: int, gen: int) -> str:
    """The keeper's name for a process's descriptors."""
    return f"{id}.{gen}"


def raise_nofile() -> None:
    """Let the daemon have as many descriptors as it may."""
    _reserve()
    _, hard = ORIGINAL_NOFILE
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


_RESERVE: list[int] = []
"""Descriptors with low numbers, given up for the moment of a spawn."""
_RESERVED = 4


def _reserve() -> None:
    with contextlib.suppress(OSError):
        while len(_RESERVE) < _RESERVED:
            _RESERVE.append(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))


def spawn(order: Order, deposit: Deposit) -> Child:
    """Start the process.

    `deposit` gives the keeper the child's own ends before there is a child, so that no instant exists in which output
    could be lost with the daemon.

    Raises:
        SpawnFailed: with the reason in words; `temporary` is set when trying again may help.
    """
    pipes = _Pipes(order)
    try:
        pipes.open()
        deposit(kept_key(order.id, order.gen), pipes.to_keep())
        pid = _popen(order, pipes)
        return _watch(order, pipes, pid)
    except BaseException as error:
        pipes.abandon()
        deposit(kept_key(order.id, order.gen), [])
        if isinstance(error, OSError):
            raise _failure(order, error) from error
        raise
    finally:
        pipes.close_childs()


class _Pipes:
    """The FIFOs of one spawn: the child's ends (read-write, so that it never sees a broken pipe) and ours."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self.child: dict[str, int] = {}
        self.ours: dict[str, int] = {}
        self.ipc: socket.socket | None = None
        self.child_ipc: socket.socket | None = None

    def path(self, stream: str) -> str:
        return fifo_path(self._order.run_dir, self._order.id, self._order.gen, stream)

    def open(self) -> None:
        for stream in ("in", "out", "err"):
            path = self.path(stream)
            try:
                os.mkfifo(path, 0o600)
            except FileExistsError:
                pass
            except OSError as error:
                failed = SpawnFailed(f"no FIFO can be made in {self._order.run_dir}: {error.strerror}")
                failed.temporary = error.errno in TEMPORARY
                raise failed from error
            self.child[stream] = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            if stream != "in":
                self.ours[stream] = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        if self._order.ipc:
            self.ipc, self.child_ipc = socket.socketpair()
            self.ipc.setblocking(False)
        _leave_room(max(*self.child.values(), *self.ours.values()))

    def to_keep(self) -> list[int]:
        return [self.child["out"], self.child["err"], *([self.ipc.fileno()] if self.ipc else [])]

    def close_childs(self) -> None:
        for fd in self.child.values():
            os.close(fd)
        self.child.clear()
        if self.child_ipc is not None:
            self.child_ipc.close()

    def abandon(self) -> None:
        for fd in self.ours.values():
            os.close(fd)
        self.ours.clear()
        if self.ipc is not None:
            self.ipc.close()
        remove_fifos(self._order.run_dir, self._order.id, self._order.gen)


def fifo_keys(run_dir: str) -> set[str]:
    """The generations that have FIFOs, as `kept_key` names them."""
    try:
        names = os.listdir(run_dir)
    except OSError:
        return set()
    return {key for name in names for key, _, stream in [name.rpartition(".")] if stream in ("in", "out", "err")}


def remove_fifos(run_dir: str, id: int, gen: int) -> None:
    """Unlink the FIFOs of a process that is gone."""
    for stream in ("in", "out", "err"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(fifo_path(run_dir, id, gen, stream))


def _popen(order: Order, pipes: _Pipes) -> int:
    spec = order.spec
    environ = dict(order.environ)
    pass_fds = order.pass_fds
    if pipes.child_ipc is not None:
        pass_fds = (*pass_fds, pipes.child_ipc.fileno())
        environ["NODE_CHANNEL_FD"] = str(pass_fds[-1])
        environ["NODE_CHANNEL_SERIALIZATION_MODE"] = "json"
    user, group, groups = owner_of(spec, environ)
    _, hard = ORIGINAL_NOFILE
    # The limit is inherited at the fork; ours is put back at once (single thread, so nobody sees the gap). Under the user's
    # limit Popen can only open its pipe because low numbers are kept free for it: we may hold more than that allows.
    while _RESERVE:
        os.close(_RESERVE.pop())
    resource.setrlimit(resource.RLIMIT_NOFILE, ORIGINAL_NOFILE)
    try:
        with marked(f"{MARKER}={environ.get(MARKER, '')}".encode()):
            popen = subprocess.Popen(
                (*order.prefix, *spec.command()),
                stdin=pipes.child["in"],
                stdout=pipes.child["out"],
                stderr=pipes.child["err"],
                cwd=spec.cwd,
                env=environ,
                start_new_session=True,
                pass_fds=pass_fds,
                umask=-1 if spec.umask is None else spec.umask,
                user=user,
                group=group,
                extra_groups=groups,
            )
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        _reserve()
    # Waiting is ours, through the pidfd and after the ledger; Popen would reap behind our back.
    popen.returncode = 0
    return popen.pid


def owner_of(spec: AppSpec, environ: dict[str, str]) -> tuple[int | None, int | None, list[int] | None]:
    """uid, gid and groups to run as; sets HOME, USER and LOGNAME to match."""
    if not spec.uid and not spec.gid:
        return None, None, None
    import grp
    import pwd

    if os.geteuid() != 0:
        raise NotPermitted("to use uid and gid, rota must run as root", "start rota with sudo, or remove uid and gid")
    entry = None
    if spec.uid:
        try:
            entry = pwd.getpwuid(int(spec.uid)) if spec.uid.isdecimal() else pwd.getpwnam(spec.uid)
        except KeyError:
            raise SpawnFailed(f"user {spec.uid} cannot be found", "see `getent passwd`") from None
        environ.update(HOME=entry.pw_dir, USER=entry.pw_name, LOGNAME=entry.pw_name)
    gid = entry.pw_gid if entry is not None else None
    if spec.gid:
        try:
            gid = int(spec.gid) if spec.gid.isdecimal() else grp.getgrnam(spec.gid).gr_gid
        except KeyError:
            raise SpawnFailed(f"group {spec.gid} cannot be found", "see `getent group`") from None
    groups = os.getgrouplist(entry.pw_name, gid) if entry is not None and gid is not None else []
    return (entry.pw_uid if entry is not None else None), gid, groups


def _watch(order: Order, pipes: _Pipes, pid: int) -> Child:
    """Raises what keeps it from being supervised as it should be; the process is ended then."""
    try:
        pidfd = os.pidfd_open(pid)  # not yet waited for: the pid is this process, even if it has ended
    except OSError:
        _undo(pid)
        raise
    try:
        return _identified(order, pipes, pid, pidfd)
    except BaseException:
        os.close(pidfd)
        _undo(pid)
        raise


def _undo(pid: int) -> None:
    """End and reap a child of ours, with its group."""
    os.killpg(pid, signals.SIGKILL)
    os.waitpid(pid, 0)


def _identified(order: Order, pipes: _Pipes, pid: int, pidfd: int) -> Child:
    stat = read_stat(pid)
    assert stat is not None
    process = Process(
        pid=pid,
        start_ticks=stat.start_ticks,
        boot_id=identity.boot_id(),
        inode=identity.pidfd_inode(pidfd),
        started=time.time(),
    )
    spec = order.spec
    if spec.limits or spec.nice is not None:
        identity.apply_limits(pid, spec.limits, spec.nice)
    return Child(order.gen, process, pidfd, True, time.monotonic(), pipes.ours, pipes.ipc, order.id)


def _failure(order: Order, error: OSError) -> SpawnFailed:
    spec, program = order.spec, order.spec.command()[0]
    failed = SpawnFailed(*_explain(spec, program, error))
    failed.temporary = error.errno in TEMPORARY
    return failed


def _explain(spec: AppSpec, program: str, error: OSError) -> tuple[str, str]:
    match error.errno:
        case errno.ENOENT if not os.path.isdir(spec.cwd):
            return f"directory {spec.cwd} does not exist", "create it, or correct cwd"
        case errno.ENOENT if os.path.exists(program):
            return f"the interpreter named in the first line of {program} does not exist", "correct its #! line"
        case errno.ENOENT:
            return f"{program} not found", "install it, or correct script or interpreter"
        case errno.EACCES if not os.access(spec.cwd, os.X_OK):
            return f"no permission to enter {spec.cwd}", "correct cwd or its permissions"
        case errno.EACCES:
            who = f" by user {spec.uid}" if spec.uid else ""
            return f"{program} may not be executed{who}", f"chmod +x {program}, or name an interpreter"
        case errno.ENOEXEC:
            return f"{program} is not a program this machine can execute", "name an interpreter, or add a #! line"
        case errno.EMFILE:
            _, hard = ORIGINAL_NOFILE
            return (
                f"cannot start {program}: rota may open {hard} files, too few for this many processes",
                "raise the hard limit (ulimit -Hn, LimitNOFILE=), then `rota shutdown` and start again",
            )
        case errno.E2BIG:
            return "arguments and environment are too long for the system", "shorten them (see filter_env)"
        case _:
            return f"cannot start {program}: {error.strerror}", ""
