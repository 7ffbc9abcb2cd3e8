"""A rota of our own in a scratch home: started, asked, killed and cleaned away. Never the user's."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from rota.client.autostart import await_end, connect
from rota.client.connection import Connection
from rota.errors import DaemonUnreachable
from rota.home import Home
from rota.process.record import Record
from rota.process.spec import AppSpec
from rota.process.state import process_of
from rota.torture import processes
from rota.torture.finding import Broken
from rota.wire.messages import Act, Kill, List, Ping, StartSpecs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rota.wire.messages import Action, Request

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds that anything may take before it counts as hanging. Generous: the machine may be busy."""

PROGRAM = (sys.executable, "-I", "-m", "rota")


def wait(look: Callable[[], T | None], what: str, within: float = PATIENCE, every: float = 0.01) -> T:
    """The first true value of `look`.

    Raises:
        Broken: there was none in time.
    """
    deadline = time.monotonic() + within
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise Broken(f"{what}: not within {within:g} s")
        time.sleep(every)


class Scratch:
    """One scratch home, and the keeper and daemon that own it at the moment.

    Args:
        where: directory to make it in; "" = the machine's temporary directory.

    While it exists the variables of this process (ROTA_*, PM2_*, XDG_RUNTIME_DIR) belong to it: what we start inherits them.
    """

    def __init__(self, where: str = "") -> None:
        self._environ = dict(os.environ)
        for name in list(os.environ):
            if name.startswith(("ROTA_", "PM2_")):
                del os.environ[name]
        self.root = os.path.realpath(tempfile.mkdtemp(prefix="rota-torture-", dir=where or None))
        in_memory = "/dev/shm" if os.access("/dev/shm", os.W_OK | os.X_OK) else None  # noqa: S108 - mkdtemp's own name
        self.runtime = tempfile.mkdtemp(prefix="rota-torture-", dir=in_memory)
        self.home = Home(self.root + "/home")
        self.work = self.root + "/work"
        os.mkdir(self.work)
        os.environ.update(ROTA_HOME=self.home.path, XDG_RUNTIME_DIR=self.runtime)
        self._keepers: set[int] = set()

    # --- asking ---

    def wake(self) -> float:
        """Start keeper and daemon, or find them, as any rota command does; seconds until it answers.

        Raises:
            DaemonUnreachable: it does not come up.
        """
        began = time.monotonic()
        while True:
            try:
                with connect(self.home, lambda _: None, PATIENCE) as connection:
                    self._keepers.add(connection.call(Ping())["keeper"])
                return time.monotonic() - began
            except DaemonUnreachable:
                # A daemon killed a moment ago may still hold its socket, though not its lock.
                if time.monotonic() - began > PATIENCE:
                    raise

    def call(self, request: Request, within: float = PATIENCE) -> Any:
        """The typed answer; raises the daemon's error."""
        with Connection.open(self.home) as connection:
            connection.limit(within)
            return connection.call(request)

    def ask(self, request: Request) -> Any:
        """A question, asked again while the daemon is away.

        Raises:
            Broken: it never answered.
        """
        answers: list[Any] = []

        def look() -> bool:
            try:
                answers.append(self.call(request))
            except DaemonUnreachable:
                return False
            return True

        wait(look, "the daemon answers")
        return answers[0]

    def records(self) -> list[Record]:
        """All instances."""
        return msgspec.json.decode(msgspec.json.encode(self.ask(List())), type=list[Record])

    def record(self, name: str) -> Record:
        """The first instance of an app."""
        for record in self.records():
            if record.spec.name == name:
                return record
        raise Broken(f"{name} has been forgotten")

    def pid(self, name: str) -> int:
        """Its main process, 0 when there is none."""
        return pid_of(self.record(name))

    # --- apps ---

    def start(self, *specs: AppSpec) -> None:
        """Start them; returns once they run."""
        self.call(StartSpecs(specs=specs, from_file=True))

    def act(self, action: Action, *names: str) -> None:
        """stop, restart, delete ... by exact name."""
        self.call(Act(action=action, names=names))

    def logs(self, name: str) -> str:
        """Path of the app's output log."""
        return f"{self.home.logs}/{name}-out.log"

    # --- keeper and daemon ---

    def owners(self) -> tuple[int, int]:
        """Pids of keeper and daemon."""
        facts = self.ask(Ping())
        self._keepers.add(facts["keeper"])
        return facts["keeper"], facts["pid"]

    def kill_both(self) -> None:
        """SIGKILL for keeper and daemon in one instant; returns when both are dead."""
        victims = self.owners()
        processes.kill_at_once(victims)
        if not await_end(self.home, PATIENCE):  # the lock is free when the last of their threads has let go
            raise Broken("keeper and daemon cannot be killed")
        processes.reap(victims)

    def back(self, former: int) -> float:
        """Wait until another daemon than `former` answers; seconds that took."""
        began = time.monotonic()

        def look() -> bool:
            try:
                return bool(self.call(Ping())["pid"] != former)
            except DaemonUnreachable:
                return False

        wait(look, "a new daemon answers", every=0.002)
        return time.monotonic() - began

    def cli(self, *argv: str, within: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        """Run the real command line."""
        return subprocess.run(
            [*PROGRAM, *argv], cwd=self.work, capture_output=True, text=True, timeout=within, check=False
        )

    def log_says(self, text: str) -> bool:
        """Whether the daemon's own log has this."""
        try:
            with open(self.home.log, encoding="utf-8", errors="replace") as file:
                return text in file.read()
        except FileNotFoundError:
            return False

    # --- the end ---

    def processes(self) -> dict[int, str]:
        """Everything of this home that runs, by pid."""
        return processes.of_home(self.home.path, self.home.runtime_dir.rpartition("-")[2])

    def end(self) -> None:
        """`rota kill`.

        Raises:
            Broken: something of it is left, or the daemon's log tells of a fault of ours.
        """
        if self.processes():
            self.wake()
            self.call(Kill())
            wait(lambda: not self._left(), "after `rota kill` nothing is left")
        if self.log_says("Traceback (most recent call last)"):
            raise Broken(f"a fault of rota's own stands in its log: {self._fault()}")
        left = os.listdir(self.home.runtime_dir) if os.path.isdir(self.home.runtime_dir) else []
        if left:
            raise Broken(f"left in the runtime directory: {', '.join(sorted(left)[:5])}")

    def _left(self) -> dict[int, str]:
        processes.reap(self._keepers)
        return self.processes()

    def _fault(self) -> str:
        with open(self.home.log, encoding="utf-8", errors="replace") as file:
            lines = file.read().partition("Traceback (most recent call last)")[2].splitlines()
        return next((line for line in lines[1:] if line and not line[0].isspace()), "")[:200]

    def destroy(self) -> None:
        """Whatever is left goes, by pid; and every file."""
        for _ in range(100):
            left = self._left()
            if not left:
                break
            processes.kill_at_once(list(left))
            time.sleep(0.02)
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.rmtree(self.runtime, ignore_errors=True)
        os.environ.clear()
        os.environ.update(self._environ)

    def keep_log(self, target: str) -> None:
        """Copy the daemon's own log, for whoever looks into a broken promise."""
        with contextlib.suppress(OSError):
            shutil.copyfile(self.home.log, target)


def pid_of(record: Record) -> int:
    """Its main process, 0 when there is none."""
    process = process_of(record.instance.actual)
    return process.pid if process is not None else 0


def spec(name: str, argv: Iterable[str], **options: Any) -> AppSpec:
    """An app that executes exactly this."""
    argv = tuple(argv)
    options.setdefault("cwd", "/")
    options.setdefault("shell_env", {"PATH": os.environ.get("PATH", os.defpath)})
    return AppSpec(name=name, script=argv[0], exec_path=argv[0], argv=argv, **options)


def shell(line: str) -> tuple[str, ...]:
    """The argv of a line of shell."""
    return ("/bin/sh", "-c", line)
