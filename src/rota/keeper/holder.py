"""The keeper: starts the daemon and starts it again, keeps its descriptors, reaps the orphans, remembers their exits.

    python -I -S main.py PIDFILE LOCKFD [KEY:FD,FD...] -- DAEMON ARGV...

It thinks nothing: no configuration, no database, no app's log. Standard library only, single-threaded; rota's own code is
not importable here, so that an upgrade of the package can never change a running keeper. May be PID 1. The words are in
protocol.py beside this file. The KEY:FD arguments are descriptors inherited from a daemon that took the keeper's place.
"""

from __future__ import annotations

import array
import ctypes
import os
import resource
import select
import time
from _socket import AF_UNIX, CMSG_LEN, SCM_RIGHTS, SOCK_SEQPACKET, SOL_SOCKET, socket, socketpair

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
else:
    import _signal as signal  # what is over it brings enum and more, and makes this process a third larger

PR_SET_CHILD_SUBREAPER = 36
PERMANENT = 100
STABLE = 1.0  # a daemon that lived this long, seconds, is started again at once
BACKOFF = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
FORWARDED = (*ENDING, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
TRIES = 3  # daemons that are asked to end in order, before the keeper ends without one
NOFILE = resource.getrlimit(resource.RLIMIT_NOFILE)


class Keeper:
    """All there is to know: kept descriptors by key, unacknowledged exits, and the daemon."""

    def __init__(self, lock_fd: int, kept: dict[str, list[int]], argv: list[str]) -> None:
        self.lock_fd, self.kept, self.argv = lock_fd, kept, argv
        self.exits: dict[tuple[int, int], int] = {}
        self.marks: dict[tuple[int, int], int] = {}
        self.daemon, self.started, self.failures = 0, 0.0, 0
        self.link: socket | None = None
        self.bye: int | None = None
        self.up = False  # the daemon has said that it serves: its end will be no failed start
        self.asked, self.tries = 0, 0

    def start_daemon(self) -> None:
        self.started, self.up = time.monotonic(), False
        try:
            ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET)
            self.daemon = self.spawn(theirs.fileno())
            theirs.close()
        except OSError as error:  # no memory; or no program, while it is being installed anew
            self.failures += 1
            say(f"the daemon cannot be started: {error.strerror}; trying again")
            return
        self.link = ours
        if self.asked:
            os.kill(self.daemon, self.asked)
        for key, fds in self.kept.items():
            self.tell(f"FD {key}", fds)
        for (pid, start), status in self.exits.items():
            if mark := self.marks.get((pid, start)):
                self.tell(f"MARK {pid} {start} {mark}")
            self.tell(f"EXIT {pid} {start} {status}")
        self.tell("SYNC")

    def spawn(self, link: int) -> int:
        """The daemon begins with forwarded signals blocked, and takes them when it can obey them: none is lost."""
        environ = {**os.environ, "ROTA_KEEPER_FD": str(link), "ROTA_LOCK_FD": str(self.lock_fd)}
        for fd in (link, self.lock_fd):
            os.set_inheritable(fd, True)
        default = [*FORWARDED, signal.SIGCHLD, signal.SIGPIPE]
        resource.setrlimit(resource.RLIMIT_NOFILE, NOFILE)
        try:
            return os.posix_spawn(self.argv[0], self.argv, environ, setsigdef=default, setsigmask=FORWARDED)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (NOFILE[1], NOFILE[1]))

    def tell(self, text: str, fds: list[int] | None = None) -> None:
        rights = [(SOL_SOCKET, SCM_RIGHTS, array.array("i", fds))] if fds else []
        if self.link is not None:
            attempt(self.link.sendmsg, [text.encode()], rights)  # if it is dead, its successor is told everything again

    def reap(self) -> None:
        """Collect the dead. An exit is remembered until the daemon has written it down, whoever dies in between."""
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            pid = found.si_pid
            start, session = start_and_session(pid)
            if pid == session != self.daemon and (mark := read_mark(pid)):
                self.marks[pid, start] = mark
                self.tell(f"MARK {pid} {start} {mark}")  # before it is gone: whoever looks finds either
            _, status = os.waitpid(pid, 0)
            if pid == self.daemon:
                self.daemon_ended(status)
            else:
                self.exits[pid, start] = status
                self.tell(f"EXIT {pid} {start} {status}")

    def daemon_ended(self, status: int) -> None:
        self.daemon = 0
        self.listen()  # its last words may still lie in the socket
        self.hang_up()
        code = os.waitstatus_to_exitcode(status)
        if self.bye is not None:
            raise SystemExit(self.bye)
        self.tries += bool(self.asked)
        if (code == PERMANENT and not self.kept) or self.tries >= TRIES:
            raise SystemExit(code if code >= 0 else 1)
        stable = self.up or time.monotonic() - self.started >= STABLE
        self.failures = 0 if stable else self.failures + 1
        say(f"the daemon ended ({'exit code' if code >= 0 else 'signal'} {abs(code)}); starting it again")

    def listen(self) -> None:
        """Read what the daemon says."""
        while self.link is not None:
            try:
                data, ancillary, _, _ = self.link.recvmsg(
                    512, CMSG_LEN(64), 0x40 | 0x40000000
                )  # DONTWAIT | CMSG_CLOEXEC
            except OSError:
                return
            fds = array.array("i")
            for _, _, rights in ancillary:
                fds.frombytes(rights[: len(rights) - len(rights) % fds.itemsize])
            if not data:
                self.hang_up()
                return
            self.obey(data.decode("ascii", "replace").split(), list(fds))

    def hang_up(self) -> None:
        if self.link is not None:
            self.link.close()
            self.link = None

    def obey(self, words: list[str], fds: list[int]) -> None:
        match words:
            case ["PUT", key]:
                self.drop(key)
                self.kept[key], fds = fds, []
            case ["DROP", key]:
                self.drop(key)
            case ["ACK", pid, start]:
                self.exits.pop((int(pid), int(start)), None)
                self.marks.pop((int(pid), int(start)), None)
            case ["BYE", code]:
                self.bye = int(code)
            case ["UP"]:
                self.up = True
        for fd in fds:
            os.close(fd)

    def drop(self, key: str) -> None:
        for fd in self.kept.pop(key, ()):
            os.close(fd)

    def run(self, wake: int) -> None:
        self.reap()  # what died before there was a handler
        while True:
            wait = self.time_to_start()
            if wait == 0.0:
                self.start_daemon()
                continue
            poll = select.poll()
            poll.register(wake, select.POLLIN)
            if self.link is not None:
                poll.register(self.link.fileno(), select.POLLIN)
            if dict(poll.poll(None if wait is None else wait * 1000)).get(wake):
                self.signalled(os.read(wake, 512))
            self.listen()
            self.reap()

    def time_to_start(self) -> float | None:
        """Seconds until the daemon is to be started; None while it runs."""
        if self.daemon:
            return None
        pause = BACKOFF[min(self.failures, len(BACKOFF)) - 1] if self.failures else 0.0
        return max(0.0, self.started + pause - time.monotonic())

    def signalled(self, numbers: bytes) -> None:
        """Pass it on. Who asks us to end while no daemon runs has one started that ends everything in order."""
        for number in set(numbers) - {signal.SIGCHLD}:
            self.asked = number if number in ENDING else self.asked
            if self.daemon:
                os.kill(self.daemon, number)


def start_and_session(pid: int) -> tuple[int, int]:
    """Start time of a process not yet reaped, clock ticks since boot, and its session; 0 where /proc does not say."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0, 0
    return int(fields[19]), int(fields[3])


def read_mark(pid: int) -> int:
    """The number a process not yet reaped carries in its soft RLIMIT_RTTIME; 0 when it carries none."""
    try:
        with open(f"/proc/{pid}/limits", "rb") as file:
            words = file.read().partition(b"Max realtime timeout")[2].split(None, 1)
    except OSError:
        return 0
    return int(words[0]) if words and words[0].isdigit() else 0


def say(text: str) -> None:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S")
    attempt(os.write, 2, f"{stamp}: rota keeper: {text}\n".encode())


def attempt(function: Callable[..., object], *arguments: object) -> None:
    """A full disk, or a daemon that has just died, is no reason to have no keeper."""
    try:  # noqa: SIM105 - contextlib brings collections and more
        function(*arguments)
    except OSError:
        pass


def write_pid(path: str) -> None:
    """For people; rota does not read it."""
    temporary = f"{path}.{os.getpid()}"
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(f"{os.getpid()}\n")
    os.replace(temporary, path)


def main(arguments: list[str]) -> None:
    split = arguments.index("--")
    (pidfile, lock_fd, *inherited), argv = arguments[:split], arguments[split + 1 :]
    kept: dict[str, list[int]] = {}
    for item in inherited:
        key, _, numbers = item.rpartition(":")
        kept[key] = [int(number) for number in numbers.split(",")]
        for fd in kept[key]:
            os.set_inheritable(fd, False)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_NOFILE, (NOFILE[1], NOFILE[1]))
    receive, send = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(send, warn_on_full_buffer=False)
    for number in (*FORWARDED, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # a daemon that takes our place begins with them blocked
    os.chdir("/")
    attempt(write_pid, pidfile)
    keeper = Keeper(int(lock_fd), kept, argv)
    try:
        keeper.run(receive)
    finally:
        attempt(os.unlink, pidfile)
