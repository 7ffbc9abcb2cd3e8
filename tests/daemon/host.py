"""What tests hold of one rota: its socket, its command line, its processes."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from rota.client.autostart import connect, running
from rota.client.connection import Connection
from rota.daemon.procs.proc_stat import read_stat
from rota.errors import RotaError
from rota.home import Home
from rota.process.environ import MARKER
from rota.process.record import Record
from rota.process.spec import AppSpec
from rota.process.state import process_of, status_word
from rota.wire.messages import Kill, List, Ping, Render, StartSpecs
from tests.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rota.wire.messages import Request

PROGRAM = Path(sys.executable).with_name("rota")
PATIENCE = 30.0
"""Seconds any answer may take; a daemon that owes one is a failure, not a hang."""
APPS = Path(__file__).parent / "apps"


@dataclass(frozen=True)
class Shown:
    """What a person would have seen."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


def python(name: str, *args: object) -> tuple[str, ...]:
    """The argv of a program in `apps/`."""
    return (sys.executable, "-I", "-S", str(APPS / f"{name}.py"), *map(str, args))


def shell(line: str) -> tuple[str, ...]:
    """The argv of a line of shell: the cheapest app there is."""
    return ("/bin/sh", "-c", line)


class Host:
    """One home, and the keeper and daemon that own it, whoever they are at the moment."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.home = Home(str(path))
        self.notes: list[str] = []
        self.may_trace = False
        """Whether a traceback in the daemon's log is what the test wants."""

    # --- asking ---

    def wake(self) -> None:
        """Start keeper and daemon, or find them."""
        connect(self.home, self.notes.append).__exit__()

    def call(self, request: Request) -> Any:
        """The typed answer; raises the daemon's error."""
        with self.connected() as connection:
            return connection.call(request)

    def connected(self) -> Connection:
        """A connection on which no answer is waited for in vain."""
        connection = Connection.open(self.home)
        connection._socket.settimeout(PATIENCE)
        return connection

    def show(self, request: Request, *, width: int = 200, **render: Any) -> Shown:
        """The answer as text."""
        parts: dict[int, list[bytes]] = {1: [], 2: []}
        rendered = msgspec.structs.replace(request, render=Render(width=width, **render))
        with self.connected() as connection:
            code = connection.show(rendered, lambda fd, data: parts[fd].append(data))
        return Shown(code, b"".join(parts[1]).decode(), b"".join(parts[2]).decode())

    def cli(self, *argv: str, cwd: Path | str | None = None, stdin: str = "", within: float = 30, **env: str) -> Shown:
        """Run the real program."""
        done = subprocess.run(
            [str(PROGRAM), *argv],
            cwd=cwd or self.path,
            env={**os.environ, **env},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
        )
        return Shown(done.returncode, done.stdout, done.stderr)

    def spawn_cli(self, *argv: str, **options: Any) -> subprocess.Popen[str]:
        """Run the real program without waiting."""
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.Popen([str(PROGRAM), *argv], cwd=self.path, text=True, **options)

    # --- apps ---

    def start(self, name: str, argv: Iterable[str], **options: Any) -> list[int]:
        """Start an app that executes `argv`; the ids of its instances. Raises what the daemon answers."""
        return self.start_all([spec(name, argv, **options)])

    def start_all(self, specs: Iterable[AppSpec], *, from_file: bool = True) -> list[int]:
        found = self.call(StartSpecs(specs=tuple(specs), from_file=from_file))
        return list(found)

    def records(self) -> list[Record]:
        return msgspec.json.decode(msgspec.json.encode(self.call(List())), type=list[Record])

    def record(self, app: str | int) -> Record:
        return next(r for r in self.records() if app in (r.instance.id, r.spec.name))

    def status(self, app: str | int) -> str:
        return status_word(self.record(app).instance.actual)

    def pid(self, app: str | int) -> int:
        """The process id of the main process, 0 when there is none."""
        process = process_of(self.record(app).instance.actual)
        return process.pid if process is not None else 0

    def reaches(self, app: str | int, status: str, within: float = 10) -> Record:
        """The record, once it has that status."""

        def look() -> Record | None:
            found = (r for r in self.records() if app in (r.instance.id, r.spec.name))
            return next((r for r in found if status_word(r.instance.actual) == status), None)

        try:
            return eventually(look, within)
        except AssertionError:
            actual = {record.spec.name: record.instance.actual for record in self.records()}
            raise AssertionError(f"{app} is not {status}: {actual}") from None

    def log(self, app: str, kind: str = "out") -> str:
        """What the app's log holds."""
        path = self.path / "logs" / f"{app}-{kind}.log"
        return path.read_text() if path.exists() else ""

    def logs(self, app: str, text: str, kind: str = "out", within: float = 10) -> str:
        """The log, once this is in it."""

        def look() -> str:
            found = self.log(app, kind)
            return found if text in found else ""

        try:
            return eventually(look, within)
        except AssertionError:
            raise AssertionError(f"{text!r} is not in {self.log(app, kind)!r}") from None

    # --- keeper and daemon ---

    @property
    def own_log(self) -> str:
        path = self.path / "rota.log"
        return path.read_text() if path.exists() else ""

    @property
    def daemon(self) -> int:
        """Pid of the daemon that answers."""
        return int(self.call(Ping())["pid"])

    @property
    def keeper(self) -> int:
        return int(self.call(Ping())["keeper"])

    def answers(self) -> bool:
        found = running(self.home)
        if found is None:
            return False
        with found:
            try:
                found.call(Ping())
            except RotaError:
                return False
        return True

    def kill_daemon(self) -> int:
        """SIGKILL it; returns its pid. The keeper will start another."""
        pid = self.daemon
        kill(pid)
        return pid

    def back(self, former: int, within: float = 10) -> int:
        """Wait until another daemon than `former` answers; returns its pid."""

        def look() -> int:
            try:
                pid = self.daemon
            except RotaError:
                return 0
            return pid if pid != former else 0

        return eventually(look, within, every=0.002)

    # --- the end ---

    @property
    def home_id(self) -> str:
        return self.home.runtime_dir.rpartition("-")[2]

    def processes(self) -> dict[int, str]:
        """Keeper, daemon, and everything that carries this home's marker; by pid, with their command lines."""
        marker, path = f"{MARKER}={self.home_id}:".encode(), os.fsencode(str(self.path))
        found = {}
        for name in os.listdir("/proc"):
            if name.isdecimal() and int(name) != os.getpid():
                with contextlib.suppress(OSError):
                    cmdline = Path(f"/proc/{name}/cmdline").read_bytes()
                    ours = path in cmdline and (b"rota.daemon" in cmdline or b"/keeper/main.py" in cmdline)
                    if ours or marker in Path(f"/proc/{name}/environ").read_bytes():
                        found[int(name)] = cmdline.replace(b"\0", b" ").decode("utf-8", "replace")
        return found

    def fifos(self) -> list[str]:
        """Every FIFO in the runtime directory."""
        directory = Path(self.home.runtime_dir)
        if not directory.exists():
            return []
        return sorted(path.name for path in directory.iterdir() if stat.S_ISFIFO(path.lstat().st_mode))

    def end(self) -> None:
        """`rota kill`, and nothing is left of it."""
        if not self.processes():
            return
        self.wake()
        self.call(Kill())
        eventually(lambda: not self.processes(), within=10)
        assert self.fifos() == []
        assert "Traceback" not in self.own_log or self.may_trace, self.own_log
        assert not [name for name in ("rota.pid", "keeper.pid", "rota.sock") if (self.path / name).exists()]

    def destroy(self) -> None:
        """Kill whatever is left, by pid."""
        for _ in range(50):
            left = self.processes()
            if not left:
                return
            for number in (signal.SIGSTOP, signal.SIGKILL):
                for pid in left:
                    kill(pid, number)
        raise AssertionError(f"cannot be killed: {self.processes()}")


def spec(name: str, argv: Iterable[str], **options: Any) -> AppSpec:
    """An app that executes exactly this."""
    argv = tuple(argv)
    options.setdefault("cwd", "/")
    options.setdefault("shell_env", {"PATH": os.environ["PATH"]})
    return AppSpec(name=name, script=argv[0], exec_path=argv[0], argv=argv, **options)


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Signal a process that may be gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def alive(pid: int) -> bool:
    """Whether a process runs; zombies do not, unless threads of theirs still hold on to their descriptors."""
    stat = read_stat(pid)
    return stat is not None and not stat.ended


def children_of_ours() -> set[int]:
    found: set[int] = set()
    for task in os.listdir("/proc/self/task"):
        with contextlib.suppress(FileNotFoundError):
            found.update(map(int, Path(f"/proc/self/task/{task}/children").read_bytes().split()))
    return found


def reap(pids: Iterable[int]) -> None:
    """Collect the dead among our children: the keeper is one, and orphans when we are a subreaper."""
    for pid in pids:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def open_descriptors() -> dict[int, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            target = os.readlink(f"/proc/self/fd/{name}")
            if not target.endswith("/fd"):
                found[int(name)] = target
    return found
