"""rota in the foreground: a keeper and daemon of our own, apps' output on ours, signals to the apps, their exit code as ours.

The process that runs this is a container's PID 1 or a terminal's: the keeper is its child, so that a daemon that crashes is
brought back as always, and zombies that fall to PID 1 are reaped here.
"""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import msgspec

from rota.cli.following import NOWHERE, Events, Printer, Sources, Wanted
from rota.client.autostart import connect, is_free, may_have_left_processes
from rota.errors import DaemonUnreachable, NotPermitted, RotaError
from rota.logs.tail import POLL_SECONDS
from rota.wire.messages import Act, Done, Kill, List, ProcessEvent, Said, SendSignal, StartSpecs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rota.cli.session import Session
    from rota.client.connection import Connection
    from rota.process.spec import AppSpec
    from rota.wire.messages import Request

ENDING = frozenset((signal.SIGTERM, signal.SIGINT, signal.SIGQUIT))
FORWARDED = frozenset((signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH))
KEEPER_PATIENCE = 5.0
"""Seconds for the keeper to end after its daemon has said that it does."""
KILL_ATTEMPTS = 3
"""A daemon that dies while it stops the apps is brought back by its keeper, to be asked again."""

_OUR_OUTPUT = frozenset(
    f"{place}{name}"
    for place in ("/dev/", "/proc/self/fd/", "/proc/1/fd/", "/dev/fd/")
    for name in ["stdout", "stderr", "1", "2"]
)
"""What people write into files for containers: meant is the output of the container, which all output goes to anyway."""


def streamed(spec: AppSpec, keep_files: bool) -> AppSpec:
    """The app with its output in files that can be followed; short-lived ones unless files were asked for."""
    logs = spec.logs
    changes: dict[str, Any] = {
        name: None
        for name in ("out_file", "error_file")
        if getattr(logs, name) is not None and (getattr(logs, name) in NOWHERE or getattr(logs, name) in _OUR_OUTPUT)
    }
    if not keep_files or changes:
        changes |= {"keep": 1, "max_size": 10 << 20}
    return msgspec.structs.replace(spec, logs=msgspec.structs.replace(logs, **changes)) if changes else spec


class Foreground:
    """One life of it.

    Args:
        wanted: how output is shown.
        auto_exit: end when nothing runs any more and nothing is scheduled.
    """

    def __init__(self, session: Session, wanted: Wanted, *, auto_exit: bool) -> None:
        self._session, self._auto_exit = session, auto_exit
        self._wanted, self._printer = wanted, Printer(session, wanted)
        self._events = Events(session, self._heard)
        self._stop = self._changed = self._ended = False
        self._to_forward: list[str] = []

    def run(self, requests: Sequence[StartSpecs], delay: float = 0.0) -> int:
        """Start, stream, end; returns the exit code.

        Raises:
            NotPermitted: a daemon runs for this home already; it is not ours to end.
            DaemonUnreachable: ours does not start.
        """
        if self._session.running() is not None:
            raise NotPermitted(
                f"rota already runs for {self._session.home.path}", "stop it with `rota kill`, or use another ROTA_HOME"
            )
        with _signals() as wakeup:
            self._wakeup = wakeup
            self._sources = Sources(self._session, self._wanted, self._sizes(requests))
            os.environ["ROTA_FRESH"] = "1"  # what ran in this home before is not brought back: it is told what runs
            connect(self._session.home, lambda _: None).close()
            try:
                code = self._start(requests, delay)
                if code == 0:
                    self._until_over()
                    code = 0 if self._stop else self._code()
            finally:
                self._end()
        return code

    def _sizes(self, requests: Sequence[StartSpecs]) -> dict[str, int]:
        """What a former life left in log files, wherever ours may be: the names of all of them are not known yet."""
        chosen = [spec.logs for request in requests for spec in request.specs]
        paths = [path for logs in chosen for path in (logs.out_file, logs.error_file, logs.log_file) if path]
        sizes: dict[str, int] = {}
        for directory in {self._session.home.logs, *map(os.path.dirname, paths)}:
            with suppress(OSError), os.scandir(directory) as entries:
                sizes |= {entry.path: entry.stat().st_size for entry in entries if entry.is_file()}
        return sizes

    # -- the three acts ------------------------------------------------------------------------------------------------

    def _start(self, requests: Sequence[StartSpecs], delay: float) -> int:
        # A home that outlived its container still lists what ran in it: the files given now say what is to run.
        code = self._ask(Act(action="delete", targets=("all",)), quiet=True)
        deadline = time.monotonic() + delay
        while not self._stop and time.monotonic() < deadline:
            self._turn()
        for request in requests:
            if self._stop:
                return 0
            code = self._ask(msgspec.structs.replace(request, cwd=self._session.cwd()))
            if code:
                return 1
        return 0

    def _until_over(self) -> None:
        self._changed = True
        while not self._stop:
            if self._was_ended():
                self._stop = self._ended = True
                return
            if self._changed:
                self._changed = False
                if self._auto_exit and not any(_goes_on(record) for record in self._records()):
                    return
            self._turn()

    def _was_ended(self) -> bool:
        """Whether somebody ended keeper and daemon (`rota shutdown` in another shell): nothing is left to wait for. When both
        were killed instead, what they left is supervised again."""
        home = self._session.home
        if self._events.waiting() or not is_free(home):
            return False
        if may_have_left_processes(home):
            self._session.connect().close()
            return False
        return True

    def _end(self) -> None:
        self._stop = True
        for _ in range(0 if self._ended else KILL_ATTEMPTS):
            with suppress(DaemonUnreachable):
                self._ask(Kill(), quiet=True)
                break
        self._events.close()
        while self._print():
            pass
        self._sources.close()
        deadline = time.monotonic() + KEEPER_PATIENCE
        while _reap() and time.monotonic() < deadline:
            select.select([self._wakeup], [], [], POLL_SECONDS)
            _drain(self._wakeup)

    # -- the loop ------------------------------------------------------------------------------------------------------

    def _turn(self, connection: Connection | None = None) -> bool:
        """Whatever there is to do; True when `connection` has something to say."""
        printed = self._print()
        waiting: list[Any] = [self._wakeup, *([connection] if connection else []), *self._events.waiting()]
        ready = select.select(waiting, [], [], 0 if printed else POLL_SECONDS)[0]
        if self._wakeup in ready:
            self._signalled(_drain(self._wakeup))
        self._events.poll()
        self._forward()
        return connection in ready

    def _forward(self) -> None:
        """Pass signals on, when the daemon is there: one that is just being brought back gets them afterwards."""
        while self._to_forward and (connection := self._session.running()) is not None:
            with connection:
                try:
                    connection.call(SendSignal(signal=self._to_forward[0], target="all"))
                except DaemonUnreachable:
                    return
                except RotaError:
                    pass  # nothing runs just now that could be told
            del self._to_forward[0]

    def _print(self) -> bool:
        batch = [record for reader in self._sources.readers for record in reader.poll()]
        self._printer.show(batch)
        return bool(batch)

    def _heard(self, event: ProcessEvent) -> None:
        self._changed = True
        self._printer.fit(self._sources.update())

    def _signalled(self, numbers: bytes) -> None:
        _reap()
        for number in dict.fromkeys(numbers):
            if number in ENDING:
                self._stop = True
            elif number in FORWARDED:
                self._to_forward.append(signal.Signals(number).name)

    def _ask(self, request: Request, *, quiet: bool = False) -> int:
        """Send a request and go on streaming until it is answered."""
        with self._session.connect() as connection:
            connection.send(request)
            while True:
                if not self._turn(connection):
                    continue
                for reply in connection.answers():
                    if isinstance(reply, Done):
                        if reply.message and not quiet:
                            self._session.say(f"{reply.message}\n  {reply.hint}".rstrip(), "error")
                        return reply.code
                    if isinstance(reply, Said) and reply.level in ("warn", "error") and not quiet:
                        self._session.say(reply.text, reply.level if reply.level == "error" else "warn")

    def _records(self) -> list[dict[str, Any]]:
        return list(self._session.call(List()) or [])

    def _code(self) -> int:
        """Of several apps that ended, the first that did not end well speaks for all."""
        codes = [_exit_code(record["instance"]) for record in self._records()]
        return next((code for code in codes if code), 0)


def _goes_on(record: dict[str, Any]) -> bool:
    actual = record["instance"].get("actual", {}).get("type", "down")
    if actual not in ("down", "failed"):
        return True
    job = record["spec"].get("job")
    return bool(job and (job.get("cron") or job.get("every")))


def _exit_code(instance: dict[str, Any]) -> int:
    """As a shell tells it: 128 and the signal's number; 1 where nobody knows, or rota has given up."""
    last = instance.get("last_exit")
    given_up = instance.get("actual", {}).get("type") == "failed"
    if not last or not last.get("known", True):
        return 1 if last or given_up else 0
    signalled, code = last.get("signal"), last.get("code")
    return 128 + int(signalled) if signalled else int(code or 0) or int(given_up)


@contextmanager
def _signals() -> Iterator[int]:
    """Signals as bytes of a pipe, so that one wait is enough for everything."""
    receive, send = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    former_fd = signal.set_wakeup_fd(send, warn_on_full_buffer=False)
    former = {number: signal.signal(number, lambda *_: None) for number in (*ENDING, *FORWARDED, signal.SIGCHLD)}
    try:
        yield receive
    finally:
        signal.set_wakeup_fd(former_fd)
        for number, handler in former.items():
            signal.signal(number, handler)
        os.close(receive)
        os.close(send)


def _drain(fd: int) -> bytes:
    try:
        return os.read(fd, 512)
    except BlockingIOError:
        return b""


def _reap() -> bool:
    """Collect the dead, whoever's children they were; whether any child is left."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True
