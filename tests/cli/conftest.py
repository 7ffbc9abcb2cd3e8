"""A real daemon in a home of its own, spoken to by the real program."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.forked import run

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = os.path.join(os.path.dirname(sys.executable), "rota")
LIMIT = 60.0
SLEEPER = "import sys, time\nprint('up', *sys.argv[1:], flush=True)\ntime.sleep(600)\n"


class Rota:
    """The command line, bound to one home and one directory."""

    def __init__(self, place: Path, cache: Path) -> None:
        self.home, self.cwd = place / "home", place / "work"
        self.cwd.mkdir()
        (place / "user").mkdir()
        (place / "run").mkdir(mode=0o700)
        self.environ = {
            "PATH": f"{os.path.dirname(sys.executable)}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": str(place / "user"),
            "ROTA_HOME": str(self.home),
            "XDG_RUNTIME_DIR": str(place / "run"),
            "LANG": "C.UTF-8",
            "PYTHONPYCACHEPREFIX": str(cache),
        }

    def __call__(self, *words: str, **given: Any) -> subprocess.CompletedProcess[str]:
        """Run a command line; whatever its exit code."""
        return run(
            PROGRAM,
            words,
            cwd=self.cwd,
            env={**self.environ, **given.get("env", {})},
            input=given.get("input"),
            timeout=given.get("timeout", LIMIT),
        )

    def ok(self, *words: str, **given: Any) -> str:
        """Run a command line that must succeed; its stdout."""
        done = self(*words, **given)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    def fails(self, *words: str, **given: Any) -> str:
        """Run a command line that must fail with 1; its stderr."""
        done = self(*words, **given)
        assert done.returncode == 1, (words, done.stdout, done.stderr)
        return done.stderr

    def popen(self, *words: str, **given: Any) -> subprocess.Popen[str]:
        """Start a command line that goes on."""
        environ = {**self.environ, **given.pop("env", {})}
        given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, **given}
        return subprocess.Popen([PROGRAM, *words], cwd=self.cwd, env=environ, text=True, **given)

    def records(self) -> list[dict[str, Any]]:
        """`jlist`."""
        found: list[dict[str, Any]] = json.loads(self.ok("jlist"))
        return found

    def states(self) -> dict[str, str]:
        """Status by name; of several instances the last one's."""
        return {record["name"]: record["pm2_env"]["status"] for record in self.records()}

    def write(self, name: str, text: str) -> Path:
        """A file in the working directory."""
        path = self.cwd / name
        path.write_text(text)
        return path

    def log(self, name: str) -> str:
        """What stands in a log file, "" when there is none."""
        path = self.home / "logs" / name
        return path.read_text() if path.exists() else ""

    def pids(self) -> list[int]:
        """Keeper and daemon, those that there are."""
        found = []
        for name in ("keeper.pid", "rota.pid"):
            with contextlib.suppress(OSError, ValueError):
                found.append(int((self.home / name).read_text()))
        return [pid for pid in found if alive(pid)]

    def end(self) -> None:
        """Leave no process behind, and none unmentioned."""
        if self.pids():
            with contextlib.suppress(subprocess.TimeoutExpired):
                self("kill", timeout=20)
        left = self._ours()
        while ours := self._ours():
            for pid in ours:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        assert left == [], "processes outlived the test"

    def _ours(self) -> list[int]:
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if self._is_ours(pid) and alive(pid)]

    def _is_ours(self, pid: int) -> bool:
        try:
            environ = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            return False
        return f"ROTA_HOME={self.home}\0".encode() in environ


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture(scope="session")
def cache() -> Iterator[Path]:
    """Compiled modules, so that a workplace that writes none does not compile at every command."""
    place = Path(tempfile.mkdtemp(prefix="rota-pyc-"))
    yield place
    shutil.rmtree(place, ignore_errors=True)


@contextlib.contextmanager
def lodged(cache: Path) -> Iterator[Rota]:
    # A short path: sockets have little room.
    place = Path(tempfile.mkdtemp(prefix="rota-cli-", dir="/tmp"))
    running = Rota(place, cache)
    yield running
    running.end()
    shutil.rmtree(place)


@pytest.fixture
def rota(cache: Path) -> Iterator[Rota]:
    """A home of the test's own, with no daemon yet."""
    with lodged(cache) as fresh:
        yield fresh


@pytest.fixture(scope="module")
def _running(cache: Path) -> Iterator[Rota]:
    with lodged(cache) as shared:
        shared.ok("ping")
        yield shared


@pytest.fixture
def warm(_running: Rota) -> Iterator[Rota]:
    """A daemon that tests of a module share, one after the other: it runs nothing and knows no app when a test begins."""
    yield _running
    _running("delete", "all")
    shutil.rmtree(_running.cwd)
    _running.cwd.mkdir()
    for log in (_running.home / "logs").iterdir():
        if log.is_file():
            log.unlink()
