"""Start a keeper, which starts the daemon. One per home: whoever holds the lock owns it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import sys
from typing import TYPE_CHECKING

from rota.errors import NotPermitted, StoreUnavailable

if TYPE_CHECKING:
    from rota.home import Home

MARKER = "ROTA_INSTANCE"
"""rota.process.environ.MARKER; a test keeps the two equal, an import would cost the command line."""
MARKS_FROM = 1 << 61
"""rota.daemon.procs.mark.LEAST; the same test."""
KEEPER_PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "main.py")


def daemon_argv(home: Home) -> list[str]:
    """How the daemon is started: nothing in the caller's directory or PYTHON* variables reaches it.

    Not -I: that would also hide the user's own site directory, where `pip install --user` puts rota.
    """
    return [sys.executable, "-E", "-P", "-m", "rota.daemon", home.path]


def keeper_argv(home: Home, lock_fd: int, inherited: list[str]) -> list[str]:
    """How the keeper is started. `inherited`: KEY:FD,FD items that it takes over."""
    argv = [sys.executable, "-I", "-S", KEEPER_PROGRAM, home.keeper_pid, str(lock_fd)]
    return [*argv, *inherited, "--", *daemon_argv(home)]


def take_lock(home: Home) -> int | None:
    """A locked descriptor, or None when a keeper or daemon owns this home already.

    The lock lives on the open file, which keeper and daemon share: it is free only when both are gone. (flock, not a pid
    file: a pid file can be stale, a lock cannot.)

    Raises:
        NotPermitted: the home may not be written.
        StoreUnavailable: the disk refuses.
    """
    try:
        fd = os.open(home.path + "/owner.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except PermissionError as error:
        raise NotPermitted(f"cannot write in {home.path}", "use a home of your own: ROTA_HOME") from error
    except OSError as error:
        raise StoreUnavailable(f"cannot write in {home.path}: {error.strerror}", "free some space") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def clean_environ() -> dict[str, str]:
    """Ours, without what marks a process as an app's: a keeper started from inside an app of another home is not its. The
    limit that marks it as well (`rota.daemon.procs.mark`) is lifted from this process, to be inherited so."""
    soft, hard = resource.getrlimit(resource.RLIMIT_RTTIME)
    if soft >= MARKS_FROM:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_RTTIME, (hard, hard))
    return {name: value for name, value in os.environ.items() if name != MARKER}


def launch(home: Home) -> bool:
    """Start keeper and daemon in the background; False when they (or someone starting them) already own the home.

    Returns before the daemon answers: its socket appears when it does.
    """
    home.ensure()
    lock = take_lock(home)
    if lock is None:
        return False
    os.set_inheritable(lock, True)
    argv = keeper_argv(home, lock, [])
    log_flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, home.log, log_flags, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    strangers = _strangers(lock)
    for fd in strangers:
        os.set_inheritable(fd, False)
    try:
        os.posix_spawn(argv[0], argv, clean_environ(), file_actions=actions, setsid=True, setsigmask=())
    finally:
        os.close(lock)
        for fd in strangers:
            os.set_inheritable(fd, True)
    return True


def _strangers(lock: int) -> list[int]:
    """Descriptors that a shell or a program left open for us: a keeper that inherited them would hold a pipe's end, or the
    lock of `flock FILE rota start app`, for as long as it lives."""
    found = []
    for name in os.listdir("/dev/fd"):
        fd = int(name)
        try:
            if fd > 2 and fd != lock and os.get_inheritable(fd):
                found.append(fd)
        except OSError:
            continue  # the listing's own
    return found


def foreground(home: Home) -> None:
    """Become the keeper: for containers (PID 1) and service managers. Does not return.

    Raises:
        NotPermitted: another rota owns this home.
    """
    home.ensure()
    lock = take_lock(home)
    if lock is None:
        raise NotPermitted(f"rota already runs for {home.path}", "stop it with `rota kill`, or use another ROTA_HOME")
    os.set_inheritable(lock, True)
    argv = keeper_argv(home, lock, [])
    os.execve(argv[0], argv, clean_environ())  # noqa: S606 - no shell, and that is the point
