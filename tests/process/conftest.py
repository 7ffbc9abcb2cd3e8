"""Real children for tests, and the check that none of them, nor a descriptor, outlives its test. Linux only."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

CHILDREN = Path(__file__).parent / "children"
_PR_SET_CHILD_SUBREAPER = 36


class Spawn(Protocol):
    def __call__(self, *argv: str, **options: Any) -> subprocess.Popen[bytes]: ...


def child(name: str, *args: str) -> tuple[str, ...]:
    """The argv of a program in `children/`."""
    return (sys.executable, "-I", "-S", str(CHILDREN / f"{name}.py"), *args)


def children_of_ours() -> set[int]:
    found: set[int] = set()
    for task in os.listdir("/proc/self/task"):
        with contextlib.suppress(FileNotFoundError):
            found.update(map(int, Path(f"/proc/self/task/{task}/children").read_bytes().split()))
    return found


def open_descriptors() -> dict[int, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
    return found


@pytest.fixture(scope="session", autouse=True)
def subreaper() -> None:
    """Orphans of the tests' processes become our children, as they become the keeper's in real life."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


@pytest.fixture(autouse=True)
def nothing_left(subreaper: None) -> Iterator[None]:
    """After the test no process and no descriptor of its own may be left."""
    before, children = open_descriptors(), children_of_ours()
    yield
    gc.collect()
    left = children_of_ours() - children
    running = [pid for pid in left if _reap(pid) is None]
    for pid in running:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert running == [], "processes outlived the test"
    # Threads of libraries close theirs a little after they were told to.
    with contextlib.suppress(AssertionError):
        eventually(lambda: not _opened_since(before), within=2.0)
    assert _opened_since(before) == {}, "descriptors outlived the test"


def _opened_since(before: dict[int, str]) -> dict[int, str]:
    after = open_descriptors()
    return {fd: target for fd, target in after.items() if before.get(fd) != target and not _is_listing(target)}


@pytest.fixture
def spawn(nothing_left: None) -> Iterator[Spawn]:
    """Start a program in a session of its own; it and all that came of it are killed and reaped when the test ends."""
    before = children_of_ours()
    started: list[subprocess.Popen[bytes]] = []

    def start(*argv: str, **options: Any) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(argv, start_new_session=True, **options))
        return started[-1]

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()
    eventually(lambda: _kill_all(children_of_ours() - before))


def _kill_all(pids: set[int]) -> bool:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        _reap(pid)
    return not pids


def _reap(pid: int) -> int | None:
    """The wait status, None while it runs; 0 when somebody else has reaped it."""
    try:
        reaped, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return 0
    return status if reaped else None


def _is_listing(target: str) -> bool:
    return target.startswith("/proc/") and target.endswith("/fd")
