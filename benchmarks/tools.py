"""The process managers under test, each in a home of its own, each told to do the same work in its own words."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MARK = "ROTA_BENCHMARK"
QUIET = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def timed(
    argv: Sequence[str], *, environ: dict[str, str] | None = None, check: bool = True, within: float = 300
) -> float:
    """A command, to its end; seconds. (`subprocess.run` with a limit looks every 50 ms only.)"""
    began = time.perf_counter()
    child = subprocess.Popen(argv, env={**os.environ, **(environ or {})}, **QUIET)  # type: ignore[call-overload]
    pidfd = os.pidfd_open(child.pid)
    try:
        if not select.select([pidfd], [], [], within)[0]:
            child.kill()
            raise subprocess.TimeoutExpired(argv, within)
        took = time.perf_counter() - began
    finally:
        os.close(pidfd)
        child.wait()
    if check and child.returncode:
        raise subprocess.CalledProcessError(child.returncode, argv)
    return took


@dataclass
class Work:
    """What is to be run: `count` copies of an argv, restarted when they die, output to a file."""

    name: str
    argv: Sequence[str]
    count: int = 1


@dataclass
class Tool:
    """One of them. `reason` says why it was left out, when it was."""

    name: str
    program: str
    scratch: Path
    figures: dict[str, list[float]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)

    def note(self, figure: str, value: float) -> None:
        self.figures.setdefault(figure, []).append(value)

    def run(self, *arguments: str, check: bool = True, within: float = 300) -> float:
        """A command of it, to its end; seconds."""
        return timed([*self.command(), *arguments], environ=self.environ, check=check, within=within)

    def command(self) -> list[str]:
        return [self.program]

    def begin(self, work: Work) -> None:
        """Get the daemon ready, with nothing running yet."""
        raise NotImplementedError

    def start(self, work: Work) -> float:
        raise NotImplementedError

    def list(self) -> float:
        raise NotImplementedError

    def stop(self, work: Work) -> float:
        raise NotImplementedError

    def end(self, work: Work) -> None:
        """Nothing of the work is left, and no daemon."""
        raise NotImplementedError

    def pids(self) -> list[int]:
        """The daemon's processes."""
        raise NotImplementedError

    def log(self, work: Work) -> Path:
        """Where the output of one copy lies."""
        raise NotImplementedError


class Pm2(Tool):
    """PM2's command line."""

    def __init__(self, program: str, scratch: Path, name: str = "PM2") -> None:
        super().__init__(name, program, scratch)
        self.home = scratch / name.lower()
        self.environ = {"PM2_HOME": str(self.home), "PM2_DISCRETE_MODE": "true"}

    def begin(self, work: Work) -> None:
        self.run("ping")

    def start(self, work: Work) -> float:
        path = self.scratch / f"{work.name}.json"
        first, *rest = work.argv
        app = {"name": work.name, "script": first, "args": rest, "interpreter": "none", "exec_mode": "fork"}
        limits = {"min_uptime": 100, "max_restarts": 10**6, "instances": work.count}
        path.write_text(json.dumps({"apps": [{**app, **limits, "merge_logs": True}]}))
        return self.run("start", str(path))

    def list(self) -> float:
        return self.run("list")

    def stop(self, work: Work) -> float:
        return self.run("stop", "all")

    def end(self, work: Work) -> None:
        self.run("kill", check=False)

    def pids(self) -> list[int]:
        return [int((self.home / "pm2.pid").read_text())]

    def log(self, work: Work) -> Path:
        return self.home / "logs" / f"{work.name}-out.log"


class Rota(Pm2):
    """The same command line."""

    def __init__(self, program: str, scratch: Path) -> None:
        super().__init__(program, scratch, "rota")
        self.environ = {"ROTA_HOME": str(self.home)}

    def begin(self, work: Work) -> None:
        """Without rotation, which the others do not have or do not have on."""
        super().begin(work)
        self.run("set", "rota-logrotate:max_size", "100G")

    def pids(self) -> list[int]:
        return [int((self.home / name).read_text()) for name in ("rota.pid", "keeper.pid")]


class Supervisor(Tool):
    """supervisord and supervisorctl: the work stands in its configuration before it is started."""

    def __init__(self, program: str, scratch: Path) -> None:
        super().__init__("supervisord", program, scratch)
        self.home = scratch / "supervisor"
        self.home.mkdir(exist_ok=True)
        self.conf = self.home / "supervisord.conf"

    def command(self) -> list[str]:
        return [self.program.replace("supervisord", "supervisorctl"), "-c", str(self.conf)]

    def begin(self, work: Work) -> None:
        socket = self.home / "s.sock"
        self.conf.write_text(
            f"[unix_http_server]\nfile={socket}\n[supervisord]\npidfile={self.home}/pid\nlogfile={self.home}/log\n"
            f"childlogdir={self.home}\n"
            "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory="
            "supervisor.rpcinterface:make_main_rpcinterface\n"
            f"[supervisorctl]\nserverurl=unix://{socket}\n"
            f"[program:{work.name}]\ncommand={' '.join(work.argv)}\nnumprocs={work.count}\n"
            "process_name=%(program_name)s_%(process_num)d\nautostart=false\nautorestart=true\nstartsecs=0\n"
            f"startretries=1000000\nstdout_logfile={self.log(work)}\nstdout_logfile_maxbytes=0\n"
        )
        subprocess.run([self.program, "-c", str(self.conf)], check=True, timeout=60, **QUIET)  # type: ignore[call-overload]
        deadline = time.monotonic() + 20
        while not (socket.exists() and (self.home / "pid").exists()) and time.monotonic() < deadline:
            time.sleep(0.05)

    def start(self, work: Work) -> float:
        return self.run("start", f"{work.name}:*")

    def list(self) -> float:
        return self.run("status", check=False)

    def stop(self, work: Work) -> float:
        return self.run("stop", f"{work.name}:*")

    def end(self, work: Work) -> None:
        end_by_pid(self.pids(), lambda: self.run("shutdown", check=False))

    def pids(self) -> list[int]:
        return [int((self.home / "pid").read_text())]

    def log(self, work: Work) -> Path:
        return self.home / f"{work.name}.log"


class Circus(Tool):
    """circusd and circusctl."""

    def __init__(self, program: str, scratch: Path) -> None:
        super().__init__("circus", program, scratch)
        self.home = scratch / "circus"
        self.home.mkdir(exist_ok=True)

    def command(self) -> list[str]:
        return [self.program.replace("circusd", "circusctl"), "--endpoint", f"ipc://{self.home}/c", "--timeout", "120"]

    def begin(self, work: Work) -> None:
        conf = self.home / "circus.ini"
        conf.write_text(
            f"[circus]\nendpoint=ipc://{self.home}/c\npubsub_endpoint=ipc://{self.home}/p\ncheck_delay=1\n"
            f"[watcher:{work.name}]\ncmd={' '.join(work.argv)}\nnumprocesses={work.count}\nautostart=False\n"
            "copy_env=True\nwarmup_delay=0\n"
            f"stdout_stream.class=FileStream\nstdout_stream.filename={self.log(work)}\n"
        )
        with contextlib.suppress(FileNotFoundError):
            (self.home / "pid").unlink()
        pid_file = str(self.home / "pid")
        arguments = [self.program, "--daemon", "--pidfile", pid_file, "--log-output", str(self.home / "log"), str(conf)]
        subprocess.run(arguments, check=True, timeout=60, **QUIET)  # type: ignore[call-overload]
        deadline = time.monotonic() + 20
        while not (self._ready() or time.monotonic() > deadline):
            time.sleep(0.05)

    def _ready(self) -> bool:
        pid = self.home / "pid"
        return (self.home / "c").exists() and pid.exists() and bool(pid.read_text())

    def start(self, work: Work) -> float:
        return self.run("start", "--waiting", work.name)

    def list(self) -> float:
        return self.run("status", check=False)

    def stop(self, work: Work) -> float:
        return self.run("stop", "--waiting", work.name)

    def end(self, work: Work) -> None:
        end_by_pid(self.pids(), lambda: self.run("quit", check=False))

    def pids(self) -> list[int]:
        return [int((self.home / "pid").read_text())]

    def log(self, work: Work) -> Path:
        return self.home / f"{work.name}.log"


@contextlib.contextmanager
def scratch_of_our_own() -> Iterator[Path]:
    """A directory that is gone afterwards, with every process that was started meanwhile, by whomever: a tool that fails half
    way leaves a daemon that nobody would find."""
    with tempfile.TemporaryDirectory(prefix="rota-bench-") as directory:
        os.environ[MARK] = directory
        try:
            yield Path(directory)
        finally:
            mark = f"{MARK}={directory}".encode()
            for entry in os.scandir("/proc"):
                with contextlib.suppress(OSError):
                    if entry.name.isdigit() and mark in Path(entry.path, "environ").read_bytes().split(b"\0"):
                        os.kill(int(entry.name), signal.SIGKILL)
            del os.environ[MARK]


def end_by_pid(pids: Sequence[int], ask: object) -> None:
    """Ask, and wait until they are gone."""
    ask()  # type: ignore[operator]
    deadline = time.monotonic() + 30
    while any(os.path.exists(f"/proc/{pid}") for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)


def chosen(scratch: Path, rota: str, pm2: str, supervisor: str, circus: str) -> list[Tool]:
    """Those whose programs are there."""
    tools: list[Tool] = [Rota(rota or str(Path(sys.executable).with_name("rota")), scratch)]
    if pm2:
        tools.append(Pm2(pm2, scratch))
    if supervisor:
        tools.append(Supervisor(supervisor, scratch))
    if circus:
        tools.append(Circus(circus, scratch))
    return tools
